//! Directives from the wire to what the relay understands.

use std::time::Duration;

use ipnet::IpNet;
use lease::{InvalidKey, KeySet, Kid};
use model::{Passphrase, SessionId, StreamKey};
use proto::fleet as pb;
use relay_core::{
    Assignment, BANNED_PREFIXES_MAX, BannedAddresses, Command, KeyLength, KeyedLease, Remote,
    RemoteSecret,
};

/// Directives may be longer than this many sessions only by mistake.
const SESSIONS_MAX: usize = proto::convert::SESSIONS_MAX;
/// What a handshake can say, nearly.
const LATENCY_MAX: Duration = Duration::from_secs(60);

/// Why a directive was not understood. Secrets in it are not repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    #[error("malformed_session_id")]
    Session,
    #[error("malformed_stream_key")]
    StreamKey,
    #[error("malformed_passphrase")]
    Passphrase,
    #[error("malformed_lease")]
    Lease,
    #[error("malformed_remote")]
    Remote,
    #[error("malformed_key_set: {0}")]
    Keys(#[from] InvalidKey),
    #[error("too_many_sessions")]
    TooMany,
    #[error("malformed_prefix")]
    Prefix,
    #[error("too_many_prefixes")]
    TooManyPrefixes,
}

pub(crate) fn revoke(revoke: &pb::Revoke) -> Result<Command, Error> {
    let reason = revoke
        .reason
        .chars()
        .take(proto::convert::REASON_LENGTH_MAX)
        .collect();
    Ok(Command::Revoke {
        session: session(&revoke.session_id)?,
        reason,
    })
}

/// A set with one assignment that is not understood is refused as a whole:
/// carried out in part it would cut sessions that should live.
pub(crate) fn resync(resync: pb::Resync) -> Result<Vec<Assignment>, Error> {
    if resync.assigned.len() > SESSIONS_MAX {
        return Err(Error::TooMany);
    }
    resync.assigned.into_iter().map(assignment).collect()
}

pub(crate) fn key_set(set: pb::KeySet) -> Result<KeySet, Error> {
    let keys = set
        .keys
        .into_iter()
        .map(public_key)
        .collect::<Result<Vec<_>, _>>()?;
    Ok(KeySet::new(keys)?)
}

/// A set with one prefix that is not understood is refused as a whole: what is held stays.
pub(crate) fn banned(set: &pb::BannedAddresses) -> Result<Command, Error> {
    if set.prefixes.len() > BANNED_PREFIXES_MAX {
        return Err(Error::TooManyPrefixes);
    }
    let prefixes = set.prefixes.iter().map(|prefix| prefix.parse::<IpNet>());
    let prefixes: Result<Vec<_>, _> = prefixes.collect();
    let prefixes = prefixes.map_err(|_| Error::Prefix)?;
    Ok(Command::Ban(BannedAddresses::new(prefixes)))
}

fn public_key(key: pb::PublicKey) -> Result<(Kid, [u8; 32]), InvalidKey> {
    let bytes = <[u8; 32]>::try_from(key.public_key).map_err(|_| InvalidKey::PublicKey)?;
    Ok((Kid::parse(&key.kid)?, bytes))
}

pub(crate) fn assignment(assign: pb::AssignLease) -> Result<Assignment, Error> {
    Ok(Assignment {
        session: session(&assign.session_id)?,
        publish: assign.publish.map(keyed_lease).transpose()?,
        play: assign.play.map(keyed_lease).transpose()?,
        pull: assign.pull.as_ref().map(remote).transpose()?,
        push: assign.push.iter().map(remote).collect::<Result<_, _>>()?,
    })
}

fn remote(remote: &pb::Remote) -> Result<Remote, Error> {
    let latency = Duration::from_millis(remote.latency_ms.into());
    let taken = Remote::new(&remote.host, remote.port, &remote.stream_id, latency);
    let taken = taken.filter(|remote| remote.latency <= LATENCY_MAX);
    Ok(Remote {
        secret: remote_secret(remote)?,
        ..taken.ok_or(Error::Remote)?
    })
}

fn remote_secret(remote: &pb::Remote) -> Result<Option<RemoteSecret>, Error> {
    let key_length = match remote.key_length {
        0 => KeyLength::Bits128,
        bytes => KeyLength::from_bytes(bytes as usize).ok_or(Error::Remote)?,
    };
    let secret = |passphrase| RemoteSecret {
        passphrase,
        key_length,
    };
    Ok(passphrase(&remote.passphrase)?.map(secret))
}

fn keyed_lease(keyed: pb::KeyedLease) -> Result<KeyedLease, Error> {
    if keyed.lease.len() > lease::LENGTH_MAX {
        return Err(Error::Lease);
    }
    Ok(KeyedLease {
        key: StreamKey::parse(&keyed.stream_key).map_err(|_| Error::StreamKey)?,
        passphrase: passphrase(&keyed.passphrase)?,
        lease: keyed.lease,
    })
}

/// On the wire no passphrase is an empty one.
fn passphrase(text: &str) -> Result<Option<Passphrase>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    Passphrase::parse(text)
        .map(Some)
        .map_err(|_| Error::Passphrase)
}

fn session(id: &str) -> Result<SessionId, Error> {
    SessionId::parse(id).map_err(|_| Error::Session)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire() -> pb::AssignLease {
        let keyed = |digit: &str| pb::KeyedLease {
            stream_key: digit.repeat(32),
            lease: "v4.public.x".into(),
            passphrase: if digit == "1" {
                "correct horse".into()
            } else {
                String::new()
            },
        };
        let remote = pb::Remote {
            host: "relay.example".into(),
            port: 5000,
            stream_id: "play_1".into(),
            latency_ms: 200,
            passphrase: "battery staple".into(),
            key_length: 32,
        };
        pb::AssignLease {
            session_id: "ses_1".into(),
            publish: Some(keyed("1")),
            play: Some(keyed("2")),
            pull: Some(remote.clone()),
            push: vec![remote],
        }
    }

    #[test]
    fn an_assignment_is_taken_over() {
        let assignment = assignment(wire()).unwrap();
        assert_eq!(assignment.session.as_str(), "ses_1");
        let (publish, play) = (assignment.publish.unwrap(), assignment.play.unwrap());
        assert_eq!(publish.key.expose(), "1".repeat(32));
        assert_eq!(publish.passphrase.unwrap().expose(), "correct horse");
        assert_eq!(play.lease, "v4.public.x");
        assert_eq!(play.passphrase, None);
        let pull = assignment.pull.unwrap();
        assert_eq!((pull.host.as_str(), pull.port), ("relay.example", 5000));
        assert_eq!(pull.latency, Duration::from_millis(200));
        let secret = pull.secret.as_ref().unwrap();
        assert_eq!(secret.passphrase.expose(), "battery staple");
        assert_eq!(secret.key_length, KeyLength::Bits256);
        assert_eq!(assignment.push, [pull]);
    }

    #[test]
    fn a_remote_is_clear_without_a_passphrase_and_has_short_keys_without_a_length() {
        let mut wire = wire().pull.unwrap();
        wire.key_length = 0;
        let secret = remote(&wire).unwrap().secret.unwrap();
        assert_eq!(secret.key_length, KeyLength::Bits128);
        wire.passphrase.clear();
        assert_eq!(remote(&wire).unwrap().secret, None);
    }

    #[test]
    fn what_is_malformed_is_refused_without_repeating_it() {
        let changed = |change: fn(&mut pb::AssignLease)| {
            let mut wire = wire();
            change(&mut wire);
            assignment(wire).unwrap_err()
        };
        assert_eq!(changed(|a| a.session_id = "nod_1".into()), Error::Session);
        assert_eq!(
            changed(|a| a.publish.as_mut().unwrap().stream_key = "secret".into()).to_string(),
            "malformed_stream_key"
        );
        assert_eq!(
            changed(|a| a.play.as_mut().unwrap().passphrase = "secret".into()).to_string(),
            "malformed_passphrase"
        );
        assert_eq!(
            changed(|a| a.play.as_mut().unwrap().lease = "v".repeat(513)),
            Error::Lease
        );
        let remote = |change: fn(&mut pb::Remote)| {
            let mut wire = wire();
            change(&mut wire.push[0]);
            assignment(wire).unwrap_err()
        };
        assert_eq!(remote(|r| r.host = "a b".into()), Error::Remote);
        assert_eq!(remote(|r| r.port = 0), Error::Remote);
        assert_eq!(remote(|r| r.stream_id = "\n".into()), Error::Remote);
        assert_eq!(remote(|r| r.latency_ms = 60_001), Error::Remote);
        assert_eq!(remote(|r| r.key_length = 17), Error::Remote);
        assert_eq!(
            remote(|r| r.passphrase = "secret".into()),
            Error::Passphrase
        );
    }

    #[test]
    fn a_set_with_one_mistake_cuts_nobody() {
        let bad = pb::AssignLease {
            session_id: "x".into(),
            ..wire()
        };
        assert_eq!(
            resync(pb::Resync {
                assigned: vec![wire(), bad]
            })
            .unwrap_err(),
            Error::Session
        );
    }

    #[test]
    fn keys_are_checked() {
        let key = |kid: &str, public_key: Vec<u8>| pb::KeySet {
            keys: vec![pb::PublicKey {
                kid: kid.into(),
                public_key,
            }],
        };
        let good = lease::SigningKey::from_seed(&[1; 32]);
        let set = key_set(key(good.kid().as_str(), good.public_key().to_vec())).unwrap();
        assert_eq!(set.len(), 1);
        assert_eq!(
            key_set(key("k", vec![1; 31])).unwrap_err(),
            Error::Keys(InvalidKey::PublicKey)
        );
        assert_eq!(
            key_set(key("", vec![1; 32])).unwrap_err(),
            Error::Keys(InvalidKey::Kid)
        );
    }
}
