//! The document for programs, and as a page for people: plain HTML, without scripts.

use std::fmt::Write;
use std::sync::LazyLock;

use axum::response::{Html, IntoResponse};
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use serde_json::Value;

use super::document::document;

/// Nothing but our own style sheet.
const POLICY: &str = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";
const STYLE: &str = include_str!("style.css");
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];
/// How deep a schema is followed.
const DEPTH_MAX: usize = 6;

static JSON: LazyLock<Value> =
    LazyLock::new(|| serde_json::to_value(document()).expect("a document is JSON"));
static PAGE: LazyLock<String> = LazyLock::new(|| page(&JSON));

/// `GET /api/openapi.json`
pub(crate) async fn json() -> impl IntoResponse {
    axum::Json(&*JSON)
}

/// `GET /api/docs`
pub(crate) async fn docs() -> impl IntoResponse {
    let headers = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-cache"),
    ];
    (headers, Html(PAGE.as_str()))
}

/// `GET /api/docs/style.css`
pub(crate) async fn style() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/css; charset=utf-8")], STYLE)
}

fn page(document: &Value) -> String {
    let mut html = String::from(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <title>Streamhaul API</title><link rel=\"stylesheet\" href=\"/api/docs/style.css\">\
         </head><body><main><h1>Streamhaul API</h1>",
    );
    let about = text(&document["info"]["description"]);
    let _ = write!(
        html,
        "<p>{about}</p><p><a href=\"/api/openapi.json\">openapi.json</a> has the same for programs.</p>"
    );
    contents(&mut html, document);
    for (path, method, operation) in operations(document) {
        section(&mut html, document, path, method, operation);
    }
    html.push_str("</main></body></html>\n");
    html
}

/// Every operation, by path.
fn operations(document: &Value) -> impl Iterator<Item = (&str, &'static str, &Value)> {
    let paths = document["paths"].as_object().into_iter().flatten();
    paths.flat_map(|(path, item)| {
        METHODS
            .iter()
            .filter_map(move |method| Some((path.as_str(), *method, item.get(*method)?)))
    })
}

fn contents(html: &mut String, document: &Value) {
    html.push_str("<nav><ul>");
    for (path, method, operation) in operations(document) {
        let id = text(&operation["operationId"]);
        let _ = write!(
            html,
            "<li><a href=\"#{id}\"><b>{}</b> {}</a> {}</li>",
            method.to_uppercase(),
            escaped(path),
            text(&operation["summary"])
        );
    }
    html.push_str("</ul></nav>");
}

fn section(html: &mut String, document: &Value, path: &str, method: &str, operation: &Value) {
    let _ = write!(
        html,
        "<section id=\"{}\"><h2><b>{}</b> {}</h2><p>{}</p>",
        text(&operation["operationId"]),
        method.to_uppercase(),
        escaped(path),
        text(&operation["summary"])
    );
    let schemes = operation["security"].as_array().into_iter().flatten();
    let schemes = schemes
        .filter_map(Value::as_object)
        .flat_map(|it| it.keys());
    let schemes: Vec<String> = schemes.map(|scheme| escaped(scheme)).collect();
    let shown = if schemes.is_empty() {
        "nothing".to_owned()
    } else {
        schemes.join(" or ")
    };
    let _ = write!(html, "<p>Shows: {shown}</p>");
    parameters(html, operation);
    let body = &operation["requestBody"]["content"]["application/json"]["schema"];
    if !body.is_null() {
        html.push_str("<h3>Request</h3>");
        schema(html, document, body, DEPTH_MAX);
    }
    let answers = operation["responses"].as_object().into_iter().flatten();
    for (status, answer) in answers {
        let what = text(&answer["description"]);
        let _ = write!(html, "<h3>{} {what}</h3>", escaped(status));
        let is_refusal = status.as_str() >= "400";
        let content = answer["content"].as_object().into_iter().flatten();
        for (media_type, content) in content.filter(|_| !is_refusal) {
            let _ = write!(html, "<p>{}</p>", escaped(media_type));
            schema(html, document, &content["schema"], DEPTH_MAX);
        }
    }
    html.push_str("</section>");
}

fn parameters(html: &mut String, operation: &Value) {
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    for parameter in parameters {
        let _ = write!(
            html,
            "<p>{} <code>{}</code> {}</p>",
            text(&parameter["in"]),
            text(&parameter["name"]),
            text(&parameter["description"])
        );
    }
}

/// A schema's fields as a list, each with its type and meaning.
fn schema(html: &mut String, document: &Value, schema_or_ref: &Value, depth: usize) {
    let Some(depth) = depth.checked_sub(1) else {
        return;
    };
    let found = resolved(document, schema_or_ref);
    for part in ["allOf", "oneOf"] {
        for part in found[part].as_array().into_iter().flatten() {
            schema(html, document, part, depth);
        }
    }
    if !found["items"].is_null() {
        schema(html, document, &found["items"], depth);
    }
    let Some(properties) = found["properties"].as_object() else {
        return;
    };
    html.push_str("<ul>");
    for (name, property) in properties {
        let (name, kind) = (escaped(name), kind(document, property));
        let meaning = text(&property["description"]);
        let _ = write!(html, "<li><code>{name}</code> <i>{kind}</i> {meaning}");
        schema(html, document, property, depth);
        html.push_str("</li>");
    }
    html.push_str("</ul>");
}

fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let name = schema["$ref"]
        .as_str()
        .and_then(|it| it.strip_prefix("#/components/schemas/"));
    name.map_or(schema, |name| &document["components"]["schemas"][name])
}

/// `string or null`, `one of a, b`.
fn kind(document: &Value, schema: &Value) -> String {
    let schema = resolved(document, schema);
    let words = |values: &[Value]| {
        let words: Vec<String> = values.iter().map(text).collect();
        words.join(", ")
    };
    if let Some(values) = schema["enum"].as_array() {
        return format!("one of {}", words(values));
    }
    match &schema["type"] {
        Value::Array(types) => types.iter().map(text).collect::<Vec<_>>().join(" or "),
        Value::String(one) => escaped(one),
        _ if schema["oneOf"].is_array() => "object or null".to_owned(),
        _ => "any".to_owned(),
    }
}

fn text(value: &Value) -> String {
    escaped(value.as_str().unwrap_or_default())
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
