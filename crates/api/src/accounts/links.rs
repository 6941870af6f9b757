//! Links that prove an address, once, and the letters that carry them.
//!
//! The secret is in the fragment, which browsers do not send: no server and no proxy
//! has it in a log.

use model::{UnixMillis, UserId};
use secrecy::ExposeSecret;
use storage::Transaction;
use storage::control::mail_tokens::{self, NewToken, Purpose};

use super::email::Email;
use crate::config::{AccountsConfig, seconds};
use crate::mail::Letter;
use crate::state::App;
use crate::token::{self, Kind};

/// A link, until it is used.
pub(crate) struct Link {
    pub(crate) url: String,
    pub(crate) expires_at: UnixMillis,
}

/// What a link is for, in every respect in which links differ.
struct Form {
    purpose: Purpose,
    kind: Kind,
    /// Names the secret in the fragment; the page goes by it.
    parameter: &'static str,
    lifetime_seconds: fn(&AccountsConfig) -> u32,
}

const INVITE: Form = Form {
    purpose: Purpose::Invite,
    kind: Kind::Invite,
    parameter: "invite",
    lifetime_seconds: |config| config.invite_seconds,
};
const RESET: Form = Form {
    purpose: Purpose::Reset,
    kind: Kind::Reset,
    parameter: "reset",
    lifetime_seconds: |config| config.reset_seconds,
};
const VERIFY: Form = Form {
    purpose: Purpose::Verify,
    kind: Kind::Verify,
    parameter: "verify",
    lifetime_seconds: |config| config.verify_seconds,
};

/// Lets somebody make an account with an address.
pub(crate) async fn invite(
    app: &App,
    transaction: &mut Transaction,
    email: &Email,
) -> Result<Link, storage::Error> {
    make(app, transaction, &INVITE, email, None).await
}

/// Lets a user set a new password.
pub(crate) async fn reset(
    app: &App,
    transaction: &mut Transaction,
    email: &Email,
    user: &UserId,
) -> Result<Link, storage::Error> {
    make(app, transaction, &RESET, email, Some(user)).await
}

/// Lets a user prove that an address is theirs.
pub(crate) async fn verify(
    app: &App,
    transaction: &mut Transaction,
    email: &Email,
    user: &UserId,
) -> Result<Link, storage::Error> {
    make(app, transaction, &VERIFY, email, Some(user)).await
}

async fn make(
    app: &App,
    transaction: &mut Transaction,
    form: &Form,
    email: &Email,
    user_id: Option<&UserId>,
) -> Result<Link, storage::Error> {
    let secret = token::fresh(form.kind);
    let now = app.now();
    let expires_at = now.plus(seconds((form.lifetime_seconds)(&app.config.accounts)));
    let new = NewToken {
        sha256: &token::hash(secret.expose_secret()),
        purpose: form.purpose,
        email: email.as_str(),
        user_id,
        expires_at,
    };
    mail_tokens::add(transaction, new, now).await?;
    let (base, parameter) = (app.config.public_url(), form.parameter);
    let secret = secret.expose_secret();
    Ok(Link {
        url: format!("{base}/account#{parameter}={secret}"),
        expires_at,
    })
}

pub(crate) fn invitation(to: Email, link: &Link) -> Letter {
    let text = format!(
        "You are invited to Streamhaul. This link makes your account, once:\r\n\r\n{}\r\n\r\n\
         If you did not expect this, there is nothing to do.\r\n",
        link.url
    );
    Letter {
        to,
        subject: "Your invitation to Streamhaul",
        text,
    }
}

pub(crate) fn password_reset(to: Email, link: &Link) -> Letter {
    let text = format!(
        "Somebody, most likely you, asked for a new password for Streamhaul. This link sets one, \
         once, and signs every device out:\r\n\r\n{}\r\n\r\n\
         If it was not you, there is nothing to do: your password stays as it is.\r\n",
        link.url
    );
    Letter {
        to,
        subject: "A new password for Streamhaul",
        text,
    }
}

pub(crate) fn verification(to: Email, link: &Link) -> Letter {
    let text = format!(
        "This link makes this the address of your Streamhaul account:\r\n\r\n{}\r\n\r\n\
         If you have none, there is nothing to do.\r\n",
        link.url
    );
    Letter {
        to,
        subject: "Your address for Streamhaul",
        text,
    }
}
