//! The page's files, as `npm run build` made them, out of the binary.

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY};
use http::header::{X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS};
use http::{HeaderName, StatusCode};

use crate::error::ApiError;

static FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/dock_files.rs"));

/// Only what the page brings itself; nothing inline, nobody else's, in no frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// The names of these change with their contents.
const FOR_EVER: &str = "public, max-age=31536000, immutable";
const NOT_BUILT: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
    <title>Streamhaul</title><h1>The pages are not in this build</h1>\
    <p>This binary was built without the dock's and the account's page; everything else works. To have them, \
    install Node 20.19 or newer and build again:</p>\
    <pre>cargo xtask web build\ncargo build --release</pre></html>\n";

/// `/dock`: the page itself.
pub(crate) async fn index() -> Response {
    page("index.html")
}

/// `/account`: the account's page, of the same build.
pub(crate) async fn account() -> Response {
    page("account.html")
}

fn page(name: &'static str) -> Response {
    let html = find(name).unwrap_or(NOT_BUILT.as_bytes());
    answer(name, html, "no-cache")
}

/// `/dock/…`: its scripts, styles and pictures.
pub(crate) async fn file(Path(name): Path<String>) -> Result<Response, ApiError> {
    let contents = find(&name).ok_or_else(|| ApiError::not_found("there is nothing here"))?;
    let cached = if name.starts_with("assets/") {
        FOR_EVER
    } else {
        "no-cache"
    };
    Ok(answer(&name, contents, cached))
}

fn find(name: &str) -> Option<&'static [u8]> {
    let found = FILES.iter().find(|(other, _)| *other == name);
    found.map(|(_, contents)| *contents)
}

fn answer(name: &str, contents: &'static [u8], cached: &'static str) -> Response {
    let headers: [(HeaderName, &str); 6] = [
        (CONTENT_TYPE, content_type(name)),
        (CACHE_CONTROL, cached),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
    ];
    (StatusCode::OK, headers, contents).into_response()
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_whole_or_not_there() {
        if FILES.is_empty() {
            return;
        }
        for page in ["index.html", "account.html"] {
            let html = find(page).expect("a build has every page");
            check_files_of(std::str::from_utf8(html).unwrap());
        }
    }

    fn check_files_of(html: &str) {
        let named: Vec<&str> = html
            .split('"')
            .filter_map(|text| text.strip_prefix("/dock/"))
            .collect();
        assert!(named.iter().any(|name| name.ends_with(".js")), "{html}");
        for name in named {
            assert!(find(name).is_some(), "{name} is missing");
            assert_ne!(content_type(name), "application/octet-stream", "{name}");
        }
    }

    #[test]
    fn the_page_has_nothing_inline() {
        let pages = ["index.html", "account.html"].map(|page| find(page).unwrap_or_default());
        for html in pages.into_iter().chain([NOT_BUILT.as_bytes()]) {
            let html = std::str::from_utf8(html).unwrap();
            assert!(
                !html.contains("<style") && !html.contains("style="),
                "{html}"
            );
            let scripts = html.matches("<script").count();
            assert_eq!(scripts, html.matches("></script>").count(), "{html}");
        }
    }
}
