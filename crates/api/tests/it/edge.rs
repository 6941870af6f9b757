//! What surrounds every request: its id, whose pages may ask.

use std::collections::BTreeSet;
use std::path::Path;

use crate::house::{House, Raw};

const LISTED: &str = "https://tools.example";
const START: &str = "/api/v1/relay/start";

fn header<'a>(raw: &'a Raw, name: &str) -> Option<&'a str> {
    raw.headers().get(name).map(|value| value.to_str().unwrap())
}

async fn preflight(house: &House, origin: &str) -> Raw {
    let headers = [
        ("origin", origin),
        ("access-control-request-method", "POST"),
        (
            "access-control-request-headers",
            "authorization,content-type,idempotency-key",
        ),
    ];
    house.raw("OPTIONS", START, &headers, None).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_has_a_request_id_and_a_malformed_one_is_replaced() {
    let house = House::with(|config| config.http.cors_origins = vec![LISTED.to_owned()]).await;
    for (method, path) in [
        ("GET", "/healthz"),
        ("GET", "/dock"),
        ("GET", "/nothing"),
        ("POST", START),
        ("DELETE", START),
        ("OPTIONS", START),
    ] {
        let ask = async |id: &'static str| {
            let headers = [("x-request-id", id), ("origin", LISTED)];
            let answer = house.raw(method, path, &headers, None).await;
            header(&answer, "x-request-id").unwrap().to_owned()
        };
        assert_eq!(ask("test-1").await, "test-1", "{method} {path}");
        let made = ask("not well formed").await;
        assert!(made.starts_with("req_") && made.len() == 36, "{made}");
        assert_ne!(ask("<script>").await, made);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_listed_origins_may_ask_with_a_token_and_never_with_cookies() {
    let house = House::with(|config| config.http.cors_origins = vec![LISTED.to_owned()]).await;
    let allowed = preflight(&house, LISTED).await;
    assert_eq!(allowed.status(), 200);
    assert_eq!(
        header(&allowed, "access-control-allow-origin"),
        Some(LISTED)
    );
    let methods = header(&allowed, "access-control-allow-methods").unwrap();
    assert!(methods.contains("POST"), "{methods}");
    let headers = header(&allowed, "access-control-allow-headers").unwrap();
    for name in ["authorization", "content-type", "idempotency-key"] {
        assert!(headers.contains(name), "{headers}");
    }
    assert_eq!(header(&allowed, "access-control-allow-credentials"), None);

    let token = house.user("someone").await;
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str()), ("origin", LISTED)];
    let path = "/api/v1/relay/sessions";
    let answer = house.raw("GET", path, &headers, None).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(header(&answer, "access-control-allow-origin"), Some(LISTED));
    let exposed = header(&answer, "access-control-expose-headers").unwrap();
    for name in ["x-request-id", "retry-after", "ratelimit"] {
        assert!(exposed.contains(name), "{exposed}");
    }
    assert_eq!(header(&answer, "access-control-allow-credentials"), None);
    // A page may read refusals, too.
    let headers = [("origin", LISTED)];
    let refused = house.raw("GET", path, &headers, None).await;
    assert_eq!(refused.status(), 401);
    let allowed = header(&refused, "access-control-allow-origin");
    assert_eq!(allowed, Some(LISTED));
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_other_origins_may_not() {
    let house = House::with(|config| config.http.cors_origins = vec![LISTED.to_owned()]).await;
    for origin in [
        "https://evil.example",
        "http://tools.example",
        "https://tools.example:8443",
        "https://tools.example.evil.example",
        "null",
    ] {
        let refused = preflight(&house, origin).await;
        let allowed = header(&refused, "access-control-allow-origin");
        assert_eq!(allowed, None, "{origin}");
        let headers = [("origin", origin)];
        let answer = house.raw("GET", "/healthz", &headers, None).await;
        let allowed = header(&answer, "access-control-allow-origin");
        assert_eq!(allowed, None, "{origin}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_origin_is_listed_unless_the_operator_does() {
    let house = House::new().await;
    let refused = preflight(&house, LISTED).await;
    assert_eq!(refused.status(), 405);
    assert_eq!(header(&refused, "access-control-allow-origin"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_not_on_the_public_listener_and_refusals_are_json() {
    let house = House::new().await;
    for (path, status) in [
        ("/metrics", 404),
        ("/readyz", 404),
        ("/log-filter", 404),
        ("/api/v1/relay/sessions", 401),
        ("/api/v1/ops/nodes", 401),
    ] {
        let refused = house.raw("GET", path, &[], None).await;
        assert_eq!(refused.status(), status, "{path}");
        assert_eq!(header(&refused, "content-type"), Some("application/json"));
    }
}

/// The names of all tests below a directory.
fn tests_below(directory: &Path, names: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("node_modules") && !path.ends_with("target") {
            tests_below(&path, names);
        } else if path.extension().is_some_and(|it| it == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let named = text
                .split("fn ")
                .skip(1)
                .filter_map(|it| it.split('(').next());
            names.extend(named.map(str::to_owned));
        }
    }
}

#[test]
fn every_test_that_the_security_page_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut tests = BTreeSet::new();
    tests_below(&root.join("crates"), &mut tests);
    tests_below(&root.join("tests"), &mut tests);
    let page = std::fs::read_to_string(root.join("docs/security.md")).unwrap();
    let lines = page
        .lines()
        .filter(|line| line.starts_with("| ") && line.contains('`'));
    let mut checked = 0;
    for line in lines {
        let met_by = line.split('|').nth(2).unwrap();
        for name in met_by.split('`').skip(1).step_by(2) {
            assert!(
                tests.contains(name),
                "docs/security.md: no test is called {name}"
            );
            checked += 1;
        }
    }
    assert!(checked > 30, "only {checked} tests are named");
}
