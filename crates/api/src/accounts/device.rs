//! Devices that are signed in by somebody who is: a plugin or a dock shows a code, a
//! signed-in browser shows the same one and confirms it (RFC 8628).
//!
//! The code is the defence against a stranger's link: who confirms one that their own
//! device does not show lets the stranger in (RFC 8628, section 5.4). It is not secret.
//! What lets the device in is its poll token, which only the device knows.

use model::{UnixMillis, UserId};
use secrecy::{ExposeSecret, SecretString};
use storage::Transaction;
use storage::control::accounts::Account;
use storage::control::device_logins::{self, Decision, DeviceLogin, Kind, NewDeviceLogin, State};
use storage::control::pending::PendingMax;

use super::sign_in::described;
use super::tries::{Party, Try};
use crate::config::seconds;
use crate::error::{ApiError, Code};
use crate::state::App;
use crate::token;
use service_kit::client_address::ClientAddress;

/// Without vowels, so that no words arise (RFC 8628, section 6.1).
const CODE_ALPHABET: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
const CODE_LENGTH: usize = 8;
/// Devices that ask at the same time; anybody may.
const PENDING: PendingMax = PendingMax {
    all: 10_000,
    of_origin: 200,
};
/// Tries to find a code that no other device shows.
const CODES_MAX: usize = 4;
const REASON_LENGTH_MAX: usize = 64;

/// A device that began to ask.
pub(crate) struct Begun {
    pub(crate) id: String,
    pub(crate) user_code: String,
    pub(crate) poll_token: SecretString,
    pub(crate) expires_at: UnixMillis,
}

/// Lets a device ask.
pub(crate) async fn begin(
    app: &App,
    address: ClientAddress,
    kind: Kind,
    device: &str,
) -> Result<Begun, ApiError> {
    app.tries
        .count(Try::Device, &Party::at(address), app.now())?;
    let begun = Begun {
        id: format!("pla_{}", uuid::Uuid::new_v4()),
        user_code: fresh_code(),
        poll_token: token::fresh(token::Kind::Poll),
        expires_at: app.now().plus(seconds(app.config.accounts.device_seconds)),
    };
    add(app, kind, (&described(device), address), begun).await
}

async fn add(
    app: &App,
    kind: Kind,
    (device, address): (&str, ClientAddress),
    mut begun: Begun,
) -> Result<Begun, ApiError> {
    let origin = address.network().to_string();
    for _ in 0..CODES_MAX {
        let new = NewDeviceLogin {
            id: &begun.id,
            kind,
            poll_sha256: &token::hash(begun.poll_token.expose_secret()),
            user_code: &begun.user_code,
            device,
            origin: &origin,
            expires_at: begun.expires_at,
        };
        match device_logins::add(&app.pool, new, PENDING, app.now()).await {
            Ok(true) => return Ok(begun),
            Ok(false) => {
                let message = "too many devices near you ask at once; try again later";
                return Err(ApiError::new(Code::RateLimited, message));
            }
            Err(storage::Error::Conflict { .. }) => begun.user_code = fresh_code(),
            Err(error) => return Err(error.into()),
        }
    }
    Err(ApiError::internal())
}

/// 34 bits, such as `WDJB-MJHT`.
fn fresh_code() -> String {
    let letters = || {
        // 240 is the largest multiple of 20 in a byte: no letter is likelier than another.
        let fair = std::iter::repeat_with(token::random::<1>).map(|[byte]| byte);
        let letter = |byte| char::from(CODE_ALPHABET[usize::from(byte) % CODE_ALPHABET.len()]);
        fair.filter(|byte| *byte < 240)
            .map(letter)
            .take(CODE_LENGTH / 2)
    };
    letters()
        .chain(std::iter::once('-'))
        .chain(letters())
        .collect()
}

/// A code as a person types it.
pub(crate) fn typed_code(text: &str) -> String {
    let letters: Vec<char> = text
        .chars()
        .filter(char::is_ascii_alphabetic)
        .map(|letter| letter.to_ascii_uppercase())
        .take(CODE_LENGTH + 1)
        .collect();
    if letters.len() != CODE_LENGTH {
        return String::new();
    }
    let (first, last) = letters.split_at(CODE_LENGTH / 2);
    first.iter().chain(&['-']).chain(last).collect()
}

/// A device that comes in: it does once the transaction is committed, and once only.
pub(crate) struct Arrival {
    pub(crate) transaction: Transaction,
    pub(crate) account: Account,
    /// What the device says it is.
    pub(crate) device: String,
}

/// What a device that asks is told: to come in, or that nobody has decided yet.
pub(crate) async fn poll(
    app: &App,
    kind: Kind,
    id: &str,
    poll_token: &str,
) -> Result<Option<Arrival>, ApiError> {
    let Some(login) = approved(app, kind, id, poll_token).await? else {
        return Ok(None);
    };
    let mut transaction = storage::begin(&app.pool).await?;
    let claimed = device_logins::claim(&mut transaction, &login.id, app.now()).await?;
    let account = claimed.ok_or_else(already_claimed)?;
    Ok(Some(Arrival {
        transaction,
        account,
        device: login.device,
    }))
}

async fn approved(
    app: &App,
    kind: Kind,
    id: &str,
    poll_token: &str,
) -> Result<Option<DeviceLogin>, ApiError> {
    let found = device_logins::by_poll(&app.pool, id, kind, &token::hash(poll_token)).await?;
    let login = found.ok_or_else(unknown)?;
    match &login.state {
        State::Claimed => Err(already_claimed()),
        State::Denied(reason) => {
            let denied = ApiError::new(Code::LoginDenied, "somebody said no to this device");
            Err(denied.because(reason.clone()))
        }
        _ if login.expires_at <= app.now() => Err(expired()),
        State::Pending => Ok(None),
        State::Approved => Ok(Some(login)),
    }
}

/// A device by its id or its code, for somebody who may confirm it.
pub(crate) async fn find(app: &App, id_or_code: &str) -> Result<DeviceLogin, ApiError> {
    let found = device_logins::find(&app.pool, id_or_code).await?;
    let login = found.ok_or_else(unknown)?;
    if login.expires_at <= app.now() {
        return Err(expired());
    }
    if login.state != State::Pending {
        return Err(decided());
    }
    Ok(login)
}

/// Confirms a device as a user's.
pub(crate) async fn approve(app: &App, id: &str, user: &UserId) -> Result<(), ApiError> {
    decide(app, id, Decision::Approve(user)).await?;
    tracing::info!(user.id = %user, "A device was confirmed");
    Ok(())
}

/// Turns a device away.
pub(crate) async fn deny(app: &App, id: &str, reason: &str) -> Result<(), ApiError> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    if !(1..=REASON_LENGTH_MAX).contains(&reason.len()) || !reason.bytes().all(plain) {
        return Err(ApiError::invalid("reason_code: 1 to 64 of [0-9a-z_]"));
    }
    decide(app, id, Decision::Deny(reason)).await
}

async fn decide(app: &App, id: &str, decision: Decision<'_>) -> Result<(), ApiError> {
    let login = find(app, id).await?;
    if device_logins::decide(&app.pool, &login.id, decision, app.now()).await? {
        return Ok(());
    }
    Err(decided())
}

fn unknown() -> ApiError {
    ApiError::not_found("no device asks with this")
}

fn expired() -> ApiError {
    let message = "this took too long; begin again on the device";
    ApiError::new(Code::LoginAttemptExpired, message)
}

fn decided() -> ApiError {
    ApiError::new(Code::Conflict, "this was decided already")
}

fn already_claimed() -> ApiError {
    ApiError::new(Code::LoginAlreadyClaimed, "this device came in already")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_survives_being_typed() {
        for _ in 0..100 {
            let code = fresh_code();
            assert_eq!(code.len(), CODE_LENGTH + 1);
            let spoken = format!(" {} ", code.to_lowercase().replace('-', " "));
            assert_eq!(typed_code(&spoken), code);
        }
        for nonsense in ["", "BCDF", "BCDF-GHJKL", "1234-5678"] {
            assert_eq!(typed_code(nonsense), "", "{nonsense}");
        }
    }
}
