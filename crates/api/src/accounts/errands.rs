//! What is done after the answer: letters, and everything whose duration would tell a
//! stranger whether an address has an account.

use std::sync::Arc;
use std::time::Duration;

use storage::control::mail_tokens::{self, Purpose};
use storage::control::people;
use tokio::sync::mpsc;

use super::email::Email;
use super::links;
use crate::error::{ApiError, Code};
use crate::mail::Letter;
use crate::metrics;
use crate::state::App;

/// Errands that wait; more are turned away.
const WAITING_MAX: usize = 256;
/// Strangers cause a letter to an address this often at most.
const LETTER_INTERVAL: Duration = Duration::from_secs(60);
/// And no further one while so many are good: each of them does.
const GOOD_MAX: u32 = 5;
/// Between the tries to hand a letter over.
const RETRY_DELAYS: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(10)];

/// Something to do soon.
pub(crate) enum Errand {
    /// Somebody wants an account with an address.
    Register(Email),
    /// Somebody forgot the password of an address.
    Forgot(Email),
    /// A letter that is written.
    Send(Letter),
}

/// Takes errands on.
pub(crate) struct Errands(mpsc::Sender<Errand>);

pub(crate) fn channel() -> (Errands, mpsc::Receiver<Errand>) {
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    (Errands(sender), receiver)
}

impl Errands {
    pub(crate) fn take_on(&self, errand: Errand) -> Result<(), ApiError> {
        let taken = self.0.try_send(errand);
        taken.map_err(|_| ApiError::new(Code::Overloaded, "too many letters wait; try again"))
    }
}

/// Runs errands, one after the other.
pub(crate) async fn run(app: Arc<App>, mut errands: mpsc::Receiver<Errand>) {
    while let Some(errand) = errands.recv().await {
        match letter(&app, errand).await {
            Ok(Some(letter)) => deliver(&app, &letter).await,
            Ok(None) => {}
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "A letter could not be written");
            }
        }
    }
}

async fn letter(app: &App, errand: Errand) -> Result<Option<Letter>, storage::Error> {
    match errand {
        Errand::Send(letter) => Ok(Some(letter)),
        Errand::Forgot(email) => reset(app, email).await,
        Errand::Register(email) => {
            if people::by_email(&app.pool, email.as_str()).await?.is_some() {
                return reset(app, email).await;
            }
            if is_too_soon(app, &email, Purpose::Invite).await? {
                return Ok(None);
            }
            let mut transaction = storage::begin(&app.pool).await?;
            let link = links::invite(app, &mut transaction, &email).await?;
            storage::commit(transaction).await?;
            Ok(Some(links::invitation(email, &link)))
        }
    }
}

async fn reset(app: &App, email: Email) -> Result<Option<Letter>, storage::Error> {
    let person = people::by_email(&app.pool, email.as_str()).await?;
    let Some(person) = person.filter(|person| !person.is_disabled) else {
        return Ok(None);
    };
    if is_too_soon(app, &email, Purpose::Reset).await? {
        return Ok(None);
    }
    let user = &person.account.user_id;
    let mut transaction = storage::begin(&app.pool).await?;
    let link = links::reset(app, &mut transaction, &email, user).await?;
    storage::commit(transaction).await?;
    Ok(Some(links::password_reset(email, &link)))
}

async fn is_too_soon(app: &App, email: &Email, purpose: Purpose) -> Result<bool, storage::Error> {
    let now = app.now();
    let good = mail_tokens::good(&app.pool, email.as_str(), purpose, now).await?;
    let since = now.minus(LETTER_INTERVAL);
    Ok(good.count >= GOOD_MAX || good.newest_at.is_some_and(|made_at| made_at > since))
}

async fn deliver(app: &App, letter: &Letter) {
    for delay in RETRY_DELAYS {
        match app.post.send(letter).await {
            Ok(()) => return metrics::letter(true),
            Err(error) => tracing::debug!(error = format!("{error:#}"), "A letter was not taken"),
        }
        tokio::time::sleep(delay).await;
    }
    let sent = app.post.send(letter).await;
    metrics::letter(sent.is_ok());
    if let Err(error) = sent {
        tracing::warn!(error = format!("{error:#}"), "A letter was not sent");
    }
}
