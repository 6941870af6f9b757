//! The cookie of a signed-in dock, and whether a request comes from our own page.

use std::time::Duration;

use http::header::{COOKIE, HOST, ORIGIN};
use http::{HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretString};

const NAME: &str = "streamhaul_dock";

/// The dock's secret among the request's cookies.
pub(crate) fn read(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|header| header.to_str().ok())
        .flat_map(|header| header.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(name, value)| (name == NAME).then_some(value))
}

/// The header that gives a dock its secret.
pub(crate) fn set(secret: &SecretString, lifetime: Duration, secure: bool) -> Option<HeaderValue> {
    header(secret.expose_secret(), lifetime.as_secs(), secure)
}

/// The header that takes it away.
pub(crate) fn clear(secure: bool) -> Option<HeaderValue> {
    header("", 0, secure)
}

fn header(value: &str, seconds: u64, secure: bool) -> Option<HeaderValue> {
    let secure = if secure { "; Secure" } else { "" };
    let text =
        format!("{NAME}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}");
    let mut header = HeaderValue::from_str(&text).ok()?;
    header.set_sensitive(true);
    Some(header)
}

/// Whether the browser came by HTTPS, as the proxy in front of us says.
pub(crate) fn is_secure(headers: &HeaderMap) -> bool {
    headers
        .get("x-forwarded-proto")
        .is_some_and(|scheme| scheme == "https")
}

/// Whether a request that changes something comes from our own page. `SameSite` does
/// not tell the ports of a host apart, so the page of another service on this machine
/// would have the cookie sent along.
pub(crate) fn is_same_origin(headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return site == "same-origin";
    }
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let (Some(origin), Some(host)) = (text(ORIGIN), text(HOST)) else {
        return false;
    };
    let authority = origin
        .strip_prefix("https://")
        .or_else(|| origin.strip_prefix("http://"));
    authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&str, &str)| {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            (name, HeaderValue::from_str(value).unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        let found = |cookies: &str| read(&headers(&[("cookie", cookies)])).map(str::to_owned);
        let ours = Some("sh_dock_1".to_owned());
        assert_eq!(found("streamhaul_dock=sh_dock_1"), ours);
        assert_eq!(found("a=b; streamhaul_dock=sh_dock_1; c=d"), ours);
        assert_eq!(found("other_streamhaul_dock=sh_dock_1"), None);
        assert_eq!(read(&HeaderMap::new()), None);
    }

    #[test]
    fn scripts_and_other_sites_cannot_use_the_cookie() {
        let cookie = set(&"sh_dock_1".into(), Duration::from_secs(60), true).unwrap();
        assert_eq!(
            cookie.to_str().unwrap(),
            "streamhaul_dock=sh_dock_1; Path=/; HttpOnly; SameSite=Strict; Max-Age=60; Secure"
        );
        assert!(
            clear(false)
                .unwrap()
                .to_str()
                .unwrap()
                .contains("Max-Age=0")
        );
    }

    #[test]
    fn another_port_is_another_origin() {
        let from = |pairs: &[(&str, &str)]| is_same_origin(&headers(pairs));
        let host = ("host", "127.0.0.1:8080");
        assert!(from(&[host, ("origin", "http://127.0.0.1:8080")]));
        assert!(!from(&[host, ("origin", "http://127.0.0.1:9000")]));
        assert!(!from(&[host, ("origin", "null")]));
        assert!(!from(&[host]));
        assert!(from(&[host, ("sec-fetch-site", "same-origin")]));
        let other_port = ("sec-fetch-site", "same-site");
        assert!(!from(&[
            host,
            other_port,
            ("origin", "http://127.0.0.1:8080")
        ]));
    }
}
