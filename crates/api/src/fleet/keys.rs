//! The keys that sign leases: made, rotated, revoked.
//!
//! There is always a current key, which signs, and a next one, which nodes believe ahead of
//! time: so a rotation refuses nobody, not even on a node that was away. A retired key is
//! believed until the last lease it signed has run out. A revoked one is believed no more,
//! and nodes cut what lives on its leases.

use std::time::Duration;

use lease::{InvalidKey, KEYS_MAX, KeySet, Kid, SigningKey};
use model::UnixMillis;
use model::lease_key::LeaseKeyState;
use serde_json::json;
use service_kit::seal::{self, SealingKey};
use storage::control::audit::{self, Action, Actor};
use storage::control::lease_keys::{self, LeaseKey, NewLeaseKey};
use storage::{Pool, Transaction};
use zeroize::Zeroizing;

use crate::state::App;
use crate::token;

/// Whose name stands in the audit for what nobody did by hand.
const SERVICE: &str = "api";

/// Why keys are not what was wished.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Storage(#[from] storage::Error),
    #[error(transparent)]
    Seal(#[from] seal::Error),
    #[error("a lease key in the database is damaged: {0}")]
    Damaged(#[from] InvalidKey),
    #[error("no lease key is current")]
    NoCurrent,
    #[error("{KEYS_MAX} lease keys are believed already; retired ones go by themselves")]
    TooMany,
    #[error("no such lease key")]
    Unknown,
    #[error("the lease key is revoked already")]
    Revoked,
}

impl Error {
    /// Whether trying again can help.
    pub(crate) fn is_retryable(&self) -> bool {
        matches!(self, Self::Storage(error) if error.is_retryable())
    }
}

/// The key that signs, and all that nodes believe.
#[derive(Debug)]
pub(crate) struct Keys {
    pub(crate) signing: SigningKey,
    pub(crate) believed: KeySet,
}

/// Makes what is missing: the current key, `first` if there never was one, and the next.
pub(crate) async fn ensure(
    pool: &Pool,
    sealing: &SealingKey,
    first: Option<&SigningSeed>,
    now: UnixMillis,
) -> Result<(), Error> {
    let mut transaction = storage::begin(pool).await?;
    lease_keys::lock(&mut transaction).await?;
    let keys = lease_keys::all(&mut *transaction).await?;
    if in_state(&keys, LeaseKeyState::Current).is_none() {
        let first = first.filter(|_| keys.is_empty()).cloned();
        let seed = first.unwrap_or_else(SigningSeed::fresh);
        add(
            &mut transaction,
            sealing,
            &seed,
            LeaseKeyState::Current,
            now,
        )
        .await?;
    }
    if in_state(&keys, LeaseKeyState::Next).is_none() {
        add_next(&mut transaction, sealing, now).await?;
    }
    Ok(storage::commit(transaction).await?)
}

/// What this replica signs with and tells nodes to believe, now.
pub(crate) async fn load(
    pool: &Pool,
    sealing: &SealingKey,
    now: UnixMillis,
) -> Result<Keys, Error> {
    let keys = lease_keys::all(pool).await?;
    let current = in_state(&keys, LeaseKeyState::Current).ok_or(Error::NoCurrent)?;
    Ok(Keys {
        signing: unseal(sealing, current)?.signing_key(),
        believed: believed(&keys, now)?,
    })
}

/// The next key signs from now on; what the current one signed is believed for `overlap`.
/// Says which key signs.
pub(crate) async fn rotate(
    transaction: &mut Transaction,
    sealing: &SealingKey,
    overlap: Duration,
    now: UnixMillis,
) -> Result<String, Error> {
    lease_keys::lock(transaction).await?;
    let keys = lease_keys::all(&mut **transaction).await?;
    if believed(&keys, now)?.len() >= KEYS_MAX {
        return Err(Error::TooMany);
    }
    let next = in_state(&keys, LeaseKeyState::Next).ok_or(Error::NoCurrent)?;
    lease_keys::retire_current(transaction, now.plus(overlap)).await?;
    lease_keys::promote_next(transaction, now).await?;
    add_next(transaction, sealing, now).await?;
    Ok(next.kid.clone())
}

/// Rotates when the current key has signed for as long as `signs_for`, and writes it down.
/// Says which key signs since.
pub(crate) async fn rotate_old(app: &App, signs_for: Duration) -> Result<Option<String>, Error> {
    let now = app.now();
    let mut transaction = storage::begin(&app.pool).await?;
    lease_keys::lock(&mut transaction).await?;
    let keys = lease_keys::all(&mut *transaction).await?;
    let current = in_state(&keys, LeaseKeyState::Current).ok_or(Error::NoCurrent)?;
    let since = current.promoted_at.unwrap_or(current.created_at);
    if now.since(since) < signs_for {
        return Ok(None);
    }
    let (sealing, overlap) = (app.issuer.sealing(), app.issuer.overlap());
    let kid = rotate(&mut transaction, sealing, overlap, now).await?;
    let rotated = Action {
        actor: Actor::Service(SERVICE),
        name: "key.rotate",
        subject: &kid,
        reason: Some("the key before signed for long enough"),
    };
    let detail = json!({"before": current.kid, "signed_since": since});
    audit::record(&mut transaction, rotated, &detail, now).await?;
    storage::commit(transaction).await?;
    tracing::info!(kid, "The lease keys were rotated: their time had come");
    Ok(Some(kid))
}

/// Nothing that a key signed is believed any longer. If it was the current or the next one,
/// others take their places.
pub(crate) async fn revoke(
    transaction: &mut Transaction,
    sealing: &SealingKey,
    kid: &str,
    now: UnixMillis,
) -> Result<(), Error> {
    lease_keys::lock(transaction).await?;
    let keys = lease_keys::all(&mut **transaction).await?;
    let key = keys.iter().find(|key| key.kid == kid);
    let state = key.ok_or(Error::Unknown)?.state;
    if state == LeaseKeyState::Revoked {
        return Err(Error::Revoked);
    }
    lease_keys::revoke(transaction, kid, now).await?;
    if state == LeaseKeyState::Current {
        lease_keys::promote_next(transaction, now).await?;
    }
    if state != LeaseKeyState::Retired {
        add_next(transaction, sealing, now).await?;
    }
    Ok(())
}

/// The public keys whose leases count, with what each is for.
pub(crate) fn believed_keys(keys: &[LeaseKey], now: UnixMillis) -> impl Iterator<Item = &LeaseKey> {
    keys.iter().filter(move |key| match key.state {
        LeaseKeyState::Next | LeaseKeyState::Current => true,
        LeaseKeyState::Retired => key.believed_until.is_some_and(|until| until > now),
        LeaseKeyState::Revoked => false,
    })
}

fn believed(keys: &[LeaseKey], now: UnixMillis) -> Result<KeySet, InvalidKey> {
    let named = believed_keys(keys, now).map(|key| Ok((Kid::parse(&key.kid)?, key.public_key)));
    KeySet::new(named.collect::<Result<Vec<_>, InvalidKey>>()?)
}

fn in_state(keys: &[LeaseKey], state: LeaseKeyState) -> Option<&LeaseKey> {
    keys.iter().find(|key| key.state == state)
}

/// The secret half of a signing key.
#[derive(Clone)]
pub(crate) struct SigningSeed(Zeroizing<[u8; 32]>);

impl SigningSeed {
    fn fresh() -> Self {
        Self(Zeroizing::new(token::random()))
    }

    /// Takes 64 hexadecimal digits.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut seed = Zeroizing::new([0; 32]);
        hex::decode_to_slice(text, &mut *seed).ok()?;
        Some(Self(seed))
    }

    fn signing_key(&self) -> SigningKey {
        SigningKey::from_seed(&self.0)
    }
}

async fn add_next(
    transaction: &mut Transaction,
    sealing: &SealingKey,
    now: UnixMillis,
) -> Result<(), Error> {
    let seed = SigningSeed::fresh();
    add(transaction, sealing, &seed, LeaseKeyState::Next, now).await
}

async fn add(
    transaction: &mut Transaction,
    sealing: &SealingKey,
    seed: &SigningSeed,
    state: LeaseKeyState,
    now: UnixMillis,
) -> Result<(), Error> {
    let key = seed.signing_key();
    let kid = key.kid().as_str();
    let new = NewLeaseKey {
        kid,
        public_key: &key.public_key(),
        sealed_seed: &sealing.seal(&purpose(kid), &*seed.0)?,
        state,
    };
    Ok(lease_keys::insert(transaction, new, now).await?)
}

fn unseal(sealing: &SealingKey, key: &LeaseKey) -> Result<SigningSeed, Error> {
    let sealed = key.sealed_seed.as_deref().unwrap_or_default();
    let seed = sealing.unseal(&purpose(&key.kid), sealed)?;
    let seed = <[u8; 32]>::try_from(&**seed).map_err(|_| InvalidKey::PublicKey)?;
    Ok(SigningSeed(Zeroizing::new(seed)))
}

fn purpose(kid: &str) -> String {
    format!("lease key {kid}")
}
