//! The document and the route table say the same.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use streamhaul_api::{document, table};

use crate::house::House;

/// `cargo xtask openapi` sets it.
const WRITE_VARIABLE: &str = "STREAMHAUL_WRITE_OPENAPI";

fn described() -> Value {
    serde_json::to_value(document()).unwrap()
}

#[test]
fn every_route_is_described_and_nothing_else() {
    let document = described();
    let routes: BTreeSet<(String, String)> = table()
        .map(|(method, path, _)| (path.replace("{*", "{"), method.as_str().to_lowercase()))
        .collect();
    let mut found = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let summary = operation["summary"].as_str().unwrap_or_default();
            assert!(
                !summary.is_empty(),
                "{method} {path} is not described: give its line in the route table a Description"
            );
            let answers = operation["responses"].as_object().unwrap();
            assert!(
                answers.keys().any(|status| status.as_str() < "400"),
                "{method} {path} describes no good answer"
            );
            found.insert((path.clone(), method.clone()));
        }
    }
    assert_eq!(found, routes);
}

#[test]
fn every_reference_leads_somewhere_and_operation_ids_are_unique() {
    let document = described();
    assert_eq!(document["openapi"], "3.1.0");
    let schemas = &document["components"]["schemas"];
    let text = document.to_string();
    for reference in text.split("\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(schemas[name].is_object(), "{name} is not described");
    }
    let mut ids = BTreeSet::new();
    let paths = document["paths"].as_object().unwrap();
    for operation in paths
        .values()
        .flat_map(|item| item.as_object().unwrap().values())
    {
        let id = operation["operationId"].as_str().unwrap();
        assert!(ids.insert(id.to_owned()), "{id} twice");
    }
}

#[test]
fn the_checked_in_document_is_this_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    let text = serde_json::to_string_pretty(&described()).unwrap() + "\n";
    if std::env::var_os(WRITE_VARIABLE).is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let checked_in = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        checked_in == text,
        "docs/openapi.json is of another API: run `cargo xtask openapi`"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_and_its_page_are_served_without_anybody_elses_files() {
    let house = House::new().await;
    let json = house.raw("GET", "/api/openapi.json", &[], None).await;
    assert_eq!(json.status(), 200);
    assert_eq!(
        serde_json::from_str::<Value>(json.body()).unwrap(),
        described()
    );

    let page = house.raw("GET", "/api/docs", &[], None).await;
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
    let policy = page.headers()["content-security-policy"].to_str().unwrap();
    assert!(
        policy.starts_with("default-src 'none'; style-src 'self'"),
        "{policy}"
    );
    let html = page.body();
    for other in ["<script", "http://", "https://", "style=", "{{"] {
        assert!(!html.contains(other), "{other}");
    }
    for (method, path, _) in table() {
        let shown = format!("<h2><b>{method}</b> {}</h2>", path.replace("{*", "{"));
        assert!(html.contains(&shown), "{shown}");
    }
    // What is behind a reference is shown as well.
    assert!(
        html.contains("<code>media_source_url</code> <i>string</i>"),
        "{html}"
    );
    let style = house.raw("GET", "/api/docs/style.css", &[], None).await;
    assert_eq!(style.headers()["content-type"], "text/css; charset=utf-8");
}
