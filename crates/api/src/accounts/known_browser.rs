//! Browsers that signed in to an account before. Strangers who guess an account's password
//! slow each other down, wherever they are, and never a browser that shows its cookie from
//! a time when it knew the password: so nobody locks an owner out of their own browser.
//! The cookie opens nothing.

use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use secrecy::SecretString;

use super::email::Email;
use crate::cookie::Cookie;
use crate::state::App;
use crate::token::{self, Hash};

/// How long a browser is known after it signed in.
const LIFETIME: Duration = Duration::from_secs(180 * 24 * 3600);
/// Of either half of the cookie: 128 bits.
const HALF_CHARACTERS: usize = 32;

/// What tells known browsers of an account apart, if this is one of them.
pub(crate) fn read(app: &App, headers: &HeaderMap, email: &Email) -> Option<Hash> {
    let (nonce, shown) = Cookie::Known.read(headers)?.split_once('.')?;
    if nonce.len() != HALF_CHARACTERS {
        return None;
    }
    let is_ours = token::same(&token::hash(shown), &token::hash(&mark(app, email, nonce)));
    is_ours.then(|| token::hash(nonce))
}

/// The header that makes the browser of this request a known one.
pub(crate) fn set(app: &App, request: &HeaderMap, email: &Email) -> Option<HeaderValue> {
    let nonce = hex::encode(token::random::<16>());
    let mark = mark(app, email, &nonce);
    let secret: SecretString = format!("{nonce}.{mark}").into();
    Cookie::Known.set(&secret, LIFETIME, request)
}

fn mark(app: &App, email: &Email, nonce: &str) -> String {
    hex::encode(app.stream_keys.bits(&format!("browser:{email}:{nonce}")))
}
