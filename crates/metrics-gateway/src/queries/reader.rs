//! Who may ask about an app: whoever has one of its tokens, from where the app sends, and
//! operators.

use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderValue;

use super::{Queries, Refusal, Subject};
use crate::events::app::{App, TOKEN_PREFIX};
use crate::events::directory::Entry;

/// Whether this is an app's token, or what would be one.
pub(crate) fn is_of_app(token: &str) -> bool {
    token.starts_with(TOKEN_PREFIX)
}

/// From where somebody asks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Whence<'a> {
    pub(crate) address: IpAddr,
    /// Of the page, when a browser asks.
    pub(crate) origin: Option<&'a HeaderValue>,
}

impl Queries {
    /// The app, if the token is its own.
    pub(crate) fn app_of(
        &self,
        (org, name): (&str, &str),
        token: &str,
        whence: Whence<'_>,
    ) -> Result<Subject, Refusal> {
        // To whom has no right token no app exists.
        let app = self.app(org, name).map_err(|refusal| match refusal {
            Refusal::NoApp => Refusal::Unauthorized,
            other => other,
        })?;
        if !app.knows(token, self.now()) {
            return Err(Refusal::Unauthorized);
        }
        if app.is_disabled {
            return Err(Refusal::Disabled);
        }
        if !app.admits(whence.address) {
            return Err(Refusal::Address);
        }
        subject_of(&app, (org, name), whence.origin)
    }

    /// The app, for whom may ask about all of them.
    pub(crate) fn subject(
        &self,
        (org, name): (&str, &str),
        origin: Option<&HeaderValue>,
    ) -> Result<Subject, Refusal> {
        let app = self.app(org, name)?;
        subject_of(&app, (org, name), origin)
    }

    /// Whether the token is still the app's, and it may still ask.
    pub(crate) fn still_knows(&self, subject: &Subject, token: &str) -> bool {
        let app = self.app(&subject.org, &subject.name);
        app.is_ok_and(|app| !app.is_disabled && app.knows(token, self.now()))
    }

    fn app(&self, org: &str, name: &str) -> Result<Arc<App>, Refusal> {
        match self.directory.find(org, name) {
            Entry::App(app) => Ok(app),
            Entry::Nobody => Err(Refusal::NoApp),
            Entry::Unread => Err(Refusal::Unavailable),
        }
    }
}

/// The app, if pages of that origin may ask about it.
fn subject_of(
    app: &App,
    (org, name): (&str, &str),
    origin: Option<&HeaderValue>,
) -> Result<Subject, Refusal> {
    let shares = |origin: &HeaderValue| origin.to_str().is_ok_and(|it| app.shares_with(it));
    if !origin.is_none_or(shares) {
        return Err(Refusal::Origin);
    }
    Ok(Subject {
        id: app.id,
        org: org.to_owned(),
        name: name.to_owned(),
    })
}
