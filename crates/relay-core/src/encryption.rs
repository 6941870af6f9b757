//! Who encrypts, and how a publisher's keys are followed.
//!
//! A publisher's packets are decrypted as they come in: the stream is clear in
//! the node's memory. A player's are encrypted as they go out, with the keys
//! that it brought itself. So publishers and players need not share a secret. Of a
//! connection that we make, the keys are our own: see `remote_keys`.

use std::time::Instant;

use model::Passphrase;
use model::session::Role;
use model::settings::Encryption;
use sha2::{Digest as _, Sha256};
use srt::crypto::{Error, KeyMaterial};
use srt::listener::ConnectRequest;

use crate::connections::Connection;
use crate::key_work::{KeyWork, KeyWorkDone, Purpose, Task, Unwrapped};
use crate::reason::{DropReason, RefusalReason};
use crate::relay::Relay;
use crate::sealer::Sealer;
use crate::secrets::Unshown;
use crate::sessions::Permit;

/// What the keys are made from that the relay makes itself.
#[derive(Debug)]
pub(crate) struct KeySource {
    secret: Unshown<[u8; 32]>,
    shard: u16,
    made: u64,
}

impl KeySource {
    /// `secret` may be the same for all relays of a node.
    pub(crate) const fn new(secret: [u8; 32], shard: u16) -> Self {
        Self {
            secret: Unshown(secret),
            shard,
            made: 0,
        }
    }

    /// A secret that nobody else gets.
    pub(crate) fn make(&mut self) -> [u8; 32] {
        self.made += 1;
        Sha256::new()
            .chain_update(self.secret.0)
            .chain_update(self.shard.to_be_bytes())
            .chain_update(self.made.to_be_bytes())
            .finalize()
            .into()
    }
}

/// Why a caller has no keys yet.
#[derive(Debug)]
pub(crate) enum NoKeys {
    /// It never will.
    Refused(RefusalReason),
    /// They have to be unwrapped with this.
    Wrapped(Passphrase, KeyMaterial),
}

impl From<RefusalReason> for NoKeys {
    fn from(reason: RefusalReason) -> Self {
        Self::Refused(reason)
    }
}

/// What a caller that is let in encrypts with: `None` when it does not. `done`
/// is what was found out about its key material.
///
/// The node's own default is that nobody encrypts. The refusals are libsrt's,
/// of a listener that enforces encryption, which is its default.
pub(crate) fn keys_for(
    permit: &Permit,
    request: &ConnectRequest,
    done: Option<&KeyWorkDone>,
) -> Result<Option<Unwrapped>, NoKeys> {
    let encryption = permit.claims.encryption.unwrap_or(Encryption::Off);
    let material = match (encryption, &request.key_material) {
        (Encryption::Off, Some(_)) => return Err(RefusalReason::EncryptionUnexpected.into()),
        (Encryption::Required, None) => return Err(RefusalReason::EncryptionRequired.into()),
        (Encryption::Off | Encryption::Optional, None) => return Ok(None),
        (Encryption::Optional | Encryption::Required, Some(material)) => material,
    };
    let passphrase = permit.passphrase.as_ref();
    let passphrase = passphrase.ok_or(RefusalReason::NoPassphrase)?;
    let message = material.as_ref().map_err(|error| refusal(*error))?;
    match done.filter(|done| done.passphrase == *passphrase) {
        Some(done) => match &done.unwrapped {
            Ok(unwrapped) => Ok(Some(unwrapped.clone())),
            Err(error) => Err(refusal(*error).into()),
        },
        None => Err(NoKeys::Wrapped(passphrase.clone(), message.clone())),
    }
}

const fn refusal(error: Error) -> RefusalReason {
    match error {
        Error::Malformed => RefusalReason::BadKeyMaterial,
        Error::Empty | Error::BadSecret => RefusalReason::BadSecret,
        Error::OtherMode => RefusalReason::UnsupportedCipher,
    }
}

impl Relay {
    /// The next keys to unwrap or to wrap, on another thread; the result comes back by
    /// [`handle_key_work`](Self::handle_key_work).
    pub fn poll_key_work(&mut self) -> Option<KeyWork> {
        self.key_desk.poll()
    }

    /// Takes keys that are ready: lets a caller in, goes on reading one, or calls a
    /// remote.
    pub fn handle_key_work(&mut self, now: Instant, done: KeyWorkDone) {
        let handled = match self.key_desk.take(&done) {
            Some(Purpose::Join(origin, _)) if self.is_gone(&origin) => {
                Err(DropReason::StaleHandshake)
            }
            Some(Purpose::Join(origin, request)) => {
                self.decide(now, &origin, &request, Some(&done)).map(|_| ())
            }
            Some(Purpose::Refresh(id)) => match self.connections.find(id) {
                Some((key, _)) => self.refresh(now, key, done),
                None => Ok(()),
            },
            Some(Purpose::Call(session, attempt)) => {
                self.handle_call_keys(now, &session, attempt, done);
                Ok(())
            }
            None => Ok(()),
        };
        if let Err(reason) = handled {
            self.output.drop_datagram(reason);
        }
    }

    /// What a player's packets are encrypted with.
    pub(crate) fn sealer(&mut self, unwrapped: Unwrapped) -> Box<Sealer> {
        let secret = self.key_source.make();
        Box::new(Sealer::new(unwrapped, self.config.key_refresh, secret))
    }

    /// Takes keys that a publisher announces. An answer is owed only for those
    /// that are taken: others are ignored, as libsrt does.
    pub(crate) fn handle_key_request(
        &mut self,
        now: Instant,
        key: u32,
        body: &[u8],
    ) -> Result<(), DropReason> {
        let connection = self.connections.connection(key);
        let connection = connection.ok_or(DropReason::UnknownSocket)?;
        let stream = self.streams.item_mut(connection.stream);
        let publisher = stream.and_then(|stream| stream.publisher.as_mut());
        let publisher = publisher.ok_or(DropReason::UnknownSocket)?;
        let keys = publisher.keys.as_mut();
        let keys = keys.ok_or(DropReason::UnexpectedControl)?;
        let message = KeyMaterial::parse(body).map_err(|_| DropReason::BadKeyMaterial)?;
        if keys.fits(&message) {
            keys.accept(&message)
                .map_err(|_| DropReason::BadKeyMaterial)?;
            publisher.confirm_keys(now, &message, &mut self.output);
            return Ok(());
        }
        let id = connection.socket_id;
        if self.key_desk.is_refreshing(now, id) {
            return Err(DropReason::KeyWorkPending);
        }
        let passphrase = self
            .publisher_passphrase(connection)
            .ok_or(DropReason::BadKeyMaterial)?
            .clone();
        let task = Task::Unwrap(message);
        self.key_desk
            .ask(now, Purpose::Refresh(id), passphrase, task)
    }

    /// What a connection's publisher wraps its keys with: the session's, or the
    /// remote's when it is we who called.
    fn publisher_passphrase(&self, connection: &Connection) -> Option<&Passphrase> {
        if connection.is_ours() {
            let dial = self.dials.dial(connection.dial?)?;
            return Some(&dial.remote.secret.as_ref()?.passphrase);
        }
        self.sessions.passphrase(&connection.session, Role::Publish)
    }

    fn refresh(&mut self, now: Instant, key: u32, done: KeyWorkDone) -> Result<(), DropReason> {
        let unwrapped = done.unwrapped.map_err(|_| DropReason::BadKeyMaterial)?;
        let connection = self.connections.connection(key);
        let stream = connection.and_then(|connection| self.streams.item_mut(connection.stream));
        if let Some(publisher) = stream.and_then(|stream| stream.publisher.as_mut())
            && let Some(keys) = &mut publisher.keys
        {
            keys.replace(unwrapped.kek, &unwrapped.seks);
            publisher.confirm_keys(now, &done.message, &mut self.output);
        }
        Ok(())
    }
}
