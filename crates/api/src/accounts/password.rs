//! Passwords: Argon2id with the parameters of OWASP's password storage cheat sheet
//! (19 MiB, two passes, one lane), a few at a time.

use std::sync::Arc;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{ApiError, Code};
use crate::token;

const CHARACTERS_MIN: usize = 10;
const BYTES_MAX: usize = 256;
/// Requests that may wait for each that runs; more are turned away.
const WAITING_FACTOR: usize = 8;

/// Hashes and checks passwords. Each takes 19 MiB and tens of milliseconds of a core,
/// so that strangers must not choose how many run.
pub(crate) struct Passwords {
    running: Arc<Semaphore>,
    admitted: Arc<Semaphore>,
    /// What the password of nobody is checked against.
    nobody: String,
}

impl Passwords {
    /// At most `running_max` at a time.
    pub(crate) fn new(running_max: usize) -> anyhow::Result<Self> {
        let unknown = hex::encode(token::random::<32>());
        let nobody = hash(&unknown.into()).map_err(|error| anyhow::anyhow!("argon2: {error}"))?;
        Ok(Self {
            running: Arc::new(Semaphore::new(running_max)),
            admitted: Arc::new(Semaphore::new(running_max * (1 + WAITING_FACTOR))),
            nobody,
        })
    }

    /// The PHC string to keep of a password.
    pub(crate) async fn hash(&self, password: SecretString) -> Result<String, ApiError> {
        let hashed = self.run(move || hash(&password)).await?;
        hashed.map_err(|error| {
            tracing::error!(%error, "A password could not be hashed");
            ApiError::internal()
        })
    }

    /// Whether `password` is the one of `kept`. It takes as long when nothing is kept.
    pub(crate) async fn verify(
        &self,
        password: SecretString,
        kept: Option<String>,
    ) -> Result<bool, ApiError> {
        let is_somebody = kept.is_some();
        let is_right = self.compare(password, kept).await?;
        Ok(is_right && is_somebody)
    }

    /// Whether `password` is the one of `kept`, or else of nobody.
    async fn compare(
        &self,
        password: SecretString,
        kept: Option<String>,
    ) -> Result<bool, ApiError> {
        let kept = kept.unwrap_or_else(|| self.nobody.clone());
        self.run(move || matches(&password, &kept)).await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let _admitted = self
            .admitted
            .clone()
            .try_acquire_owned()
            .map_err(|_| busy())?;
        let permit: OwnedSemaphorePermit = self
            .running
            .clone()
            .acquire_owned()
            .await
            .map_err(|_| busy())?;
        // The permit goes along: a caller that hangs up frees no place before its work is done.
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work()
        });
        done.await.map_err(|error| {
            tracing::error!(%error, "A password check ended early");
            ApiError::internal()
        })
    }
}

/// Refuses passwords that are guessed at once.
pub(crate) fn check_new(password: &SecretString, email: &str) -> Result<(), ApiError> {
    let text = password.expose_secret();
    if text.chars().count() < CHARACTERS_MIN || text.len() > BYTES_MAX {
        return Err(ApiError::invalid(
            "password: at least 10 characters, at most 256 bytes",
        ));
    }
    let mut characters = text.chars();
    let first = characters.next();
    let is_one_character = characters.all(|one| Some(one) == first);
    if is_one_character || text.eq_ignore_ascii_case(email) {
        return Err(ApiError::invalid("password: too easy to guess"));
    }
    Ok(())
}

fn busy() -> ApiError {
    ApiError::new(Code::Overloaded, "too many sign in at once; try again")
}

fn hash(password: &SecretString) -> Result<String, argon2::password_hash::Error> {
    let hash = Argon2::default().hash_password(password.expose_secret().as_bytes())?;
    Ok(hash.to_string())
}

fn matches(password: &SecretString, kept: &str) -> bool {
    let Ok(kept) = PasswordHash::new(kept) else {
        return false;
    };
    let password = password.expose_secret().as_bytes();
    Argon2::default().verify_password(password, &kept).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_matches_its_own_hash_and_no_other() {
        let passwords = Passwords::new(1).unwrap();
        let kept = passwords.hash("correct horse".into()).await.unwrap();
        assert!(
            kept.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{kept}"
        );
        let is = async |password: &str, kept: Option<&String>| {
            passwords
                .verify(password.into(), kept.cloned())
                .await
                .unwrap()
        };
        assert!(is("correct horse", Some(&kept)).await);
        assert!(!is("correct horsf", Some(&kept)).await);
        assert!(!is("correct horse", None).await);
        assert!(!is("correct horse", Some(&"nonsense".to_owned())).await);
    }

    /// Work is compared and not time, which a busy machine would blur.
    #[tokio::test]
    async fn nobodys_password_costs_the_work_of_somebodys() {
        let mut passwords = Passwords::new(1).unwrap();
        let kept = passwords.hash("correct horse".into()).await.unwrap();
        let cost = |hash: &str| hash.split('$').take(4).collect::<Vec<_>>().join("$");
        assert_eq!(cost(&passwords.nobody), cost(&kept));
        // Each waits for a place to compute a hash in.
        for kept in [Some(kept), None] {
            let held = passwords.running.clone().acquire_owned().await.unwrap();
            let mut check = Box::pin(passwords.verify("a wrong one".into(), kept));
            assert!(futures_util::poll!(check.as_mut()).is_pending());
            drop(held);
            assert!(!check.await.unwrap());
        }
        // And computes it: that it is right is known by no other way, and is not said.
        let known = SecretString::from("that of nobody");
        passwords.nobody = passwords.hash(known.clone()).await.unwrap();
        assert!(passwords.compare(known.clone(), None).await.unwrap());
        assert!(!passwords.verify(known, None).await.unwrap());
    }

    #[tokio::test]
    async fn more_than_may_wait_are_turned_away() {
        let passwords = Passwords::new(1).unwrap();
        let held = passwords.running.clone().acquire_owned().await.unwrap();
        let kept = Some(passwords.nobody.clone());
        let mut waiting = Vec::new();
        for _ in 0..=WAITING_FACTOR {
            let mut one = Box::pin(passwords.verify("x".into(), kept.clone()));
            let first = futures_util::poll!(one.as_mut());
            assert!(first.is_pending());
            waiting.push(one);
        }
        let refused = passwords.verify("x".into(), kept).await.unwrap_err();
        assert!(refused.is(Code::Overloaded));
        drop(held);
        for one in waiting {
            assert!(!one.await.unwrap());
        }
    }

    #[test]
    fn easy_passwords_are_refused() {
        let check = |password: &str| check_new(&password.into(), "someone@example.com");
        assert!(check("correct horse").is_ok());
        for password in [
            "short",
            "aaaaaaaaaaaa",
            "Someone@example.com",
            &"ab".repeat(129),
        ] {
            assert!(check(password).is_err(), "{password}");
        }
    }
}
