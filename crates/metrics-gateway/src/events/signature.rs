//! What a request says about who signed it, and when.
//!
//! ```text
//! with X-Nonce:     HMAC-SHA256(secret, "{X-Timestamp}:{X-Nonce}:{body}")
//! without X-Nonce:  HMAC-SHA256(secret, "{X-Timestamp}:{body}")
//! ```
//!
//! The secret is the bytes of its text; the body is what is sent, before anything is inflated.

use std::time::Duration;

use http::{HeaderMap, header};
use model::UnixMillis;

use super::app::App;
use super::refusal::Refusal;

const SIGNATURE: &str = "x-signature";
const TIMESTAMP: &str = "x-timestamp";
const NONCE: &str = "x-nonce";
const BATCH_SIZE: &str = "x-batch-size";
/// What may be there once at most: a proxy and the gateway could read different ones.
const ONCE: [&str; 6] = [
    SIGNATURE,
    TIMESTAMP,
    NONCE,
    BATCH_SIZE,
    "authorization",
    "content-type",
];
const NONCE_LENGTH_MAX: usize = 128;
const TOKEN_LENGTH_MAX: usize = 512;

/// The claims, not yet believed.
#[derive(Debug)]
pub(crate) struct Signed {
    timestamp: String,
    pub(crate) nonce: Option<String>,
    pub(crate) tag: [u8; 32],
    pub(crate) batch_size: Option<usize>,
}

impl Signed {
    /// Reads the headers. The time comes first: what is old is refused whoever signed it.
    pub(crate) fn read(
        headers: &HeaderMap,
        now: UnixMillis,
        window: Duration,
    ) -> Result<Self, Refusal> {
        if ONCE
            .iter()
            .any(|name| headers.get_all(*name).iter().count() > 1)
        {
            return Err(Refusal::DuplicateHeader);
        }
        let timestamp = text(headers, TIMESTAMP)?.ok_or(Refusal::Unsigned)?;
        if !is_near(timestamp, now, window).ok_or(Refusal::Unsigned)? {
            return Err(Refusal::Clock);
        }
        let mut tag = [0; 32];
        let signature = text(headers, SIGNATURE)?.ok_or(Refusal::Unsigned)?;
        hex::decode_to_slice(signature, &mut tag).map_err(|_| Refusal::Unsigned)?;
        let nonce = text(headers, NONCE)?;
        if nonce.is_some_and(|nonce| nonce.is_empty() || nonce.len() > NONCE_LENGTH_MAX) {
            return Err(Refusal::Unsigned);
        }
        let batch_size = text(headers, BATCH_SIZE)?.map(str::parse).transpose();
        Ok(Self {
            timestamp: timestamp.to_owned(),
            nonce: nonce.map(str::to_owned),
            tag,
            batch_size: batch_size.map_err(|_| Refusal::BatchSize)?,
        })
    }

    /// Whether the app signed this body.
    pub(crate) fn is_of(&self, app: &App, body: &[u8], now: UnixMillis) -> bool {
        let timestamp = self.timestamp.as_bytes();
        match &self.nonce {
            Some(nonce) => {
                let parts = [timestamp, b":", nonce.as_bytes(), b":", body];
                app.signed(&parts, &self.tag, now)
            }
            None => app.signed(&[timestamp, b":", body], &self.tag, now),
        }
    }
}

/// The bearer token, if one is shown.
pub(crate) fn token(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let Some(shown) = headers.get(header::AUTHORIZATION) else {
        return Ok(None);
    };
    let shown = shown.to_str().map_err(|_| Refusal::Unauthorized)?;
    let token = shown.strip_prefix("Bearer ").ok_or(Refusal::Unauthorized)?;
    if token.is_empty() || token.len() > TOKEN_LENGTH_MAX {
        return Err(Refusal::Unauthorized);
    }
    Ok(Some(token))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Refusal> {
    let value = headers.get(name).map(http::HeaderValue::to_str);
    value.transpose().map_err(|_| Refusal::Unsigned)
}

/// Whether Unix seconds are near now; none: they are no number.
fn is_near(seconds: &str, now: UnixMillis, window: Duration) -> Option<bool> {
    let is_number = !seconds.is_empty() && seconds.bytes().all(|byte| byte.is_ascii_digit());
    let seconds: i64 = is_number.then(|| seconds.parse().ok()).flatten()?;
    let apart = seconds.abs_diff(now.0.div_euclid(1000));
    Some(apart <= window.as_secs())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const NOW: UnixMillis = UnixMillis(1_760_000_000_000);
    const WINDOW: Duration = Duration::from_secs(600);

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn signed(pairs: &[(&'static str, &str)]) -> Result<Signed, Refusal> {
        Signed::read(&headers(pairs), NOW, WINDOW)
    }

    #[test]
    fn upper_case_is_read_like_lower_case() {
        let (lower, upper) = ("ab".repeat(32), "AB".repeat(32));
        for tag in [lower, upper] {
            let read = signed(&[(TIMESTAMP, "1760000000"), (SIGNATURE, &tag)]).unwrap();
            assert_eq!(read.tag, [0xab; 32]);
            assert_eq!(read.nonce, None);
        }
    }

    #[test]
    fn the_window_comes_before_the_signature() {
        for (seconds, refusal) in [
            ("1759999399", Refusal::Clock),
            ("1760000601", Refusal::Clock),
            ("0", Refusal::Clock),
            ("4102444800", Refusal::Clock),
            ("1760000600", Refusal::Unsigned),
            ("-1", Refusal::Unsigned),
            ("+1760000000", Refusal::Unsigned),
            ("99999999999999999999", Refusal::Unsigned),
            ("", Refusal::Unsigned),
        ] {
            assert_eq!(
                signed(&[(TIMESTAMP, seconds)]).unwrap_err(),
                refusal,
                "{seconds}"
            );
        }
    }

    #[test]
    fn what_is_there_twice_is_refused() {
        let twice = signed(&[(TIMESTAMP, "1760000000"), (TIMESTAMP, "1760000000")]);
        assert_eq!(twice.unwrap_err(), Refusal::DuplicateHeader);
    }

    #[test]
    fn a_token_is_a_bearer_token() {
        let of = |value: &str| {
            let headers = headers(&[("authorization", value)]);
            token(&headers).map(|token| token.map(str::to_owned))
        };
        assert_eq!(of("Bearer tk_1"), Ok(Some("tk_1".to_owned())));
        assert_eq!(of("Basic tk_1"), Err(Refusal::Unauthorized));
        assert_eq!(of("Bearer "), Err(Refusal::Unauthorized));
        assert_eq!(token(&HeaderMap::new()), Ok(None));
    }
}
