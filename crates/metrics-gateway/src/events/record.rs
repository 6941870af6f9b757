//! A batch as bytes, for a log on disk and between gateways.
//!
//! Protocol Buffers, so that gateways of two versions understand each other (fields are added,
//! never changed), packed by zstd: events of a batch are much alike.

use std::io::Read as _;

use prost::Message as _;
use storage::telemetry::intake::{Context, Event, Refused};
use uuid::Uuid;

use super::batch::{Batch, Source};
use super::event::Fault;

/// A batch unpacked: three times what a request may bring.
const BYTES_MAX: u64 = 16 << 20;
/// Fast, and a fifth of what it was.
const LEVEL: i32 = 1;

/// Why bytes are no batch.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// They cannot be unpacked.
    #[error("not packed as it should be")]
    Packing(#[from] std::io::Error),
    /// They are more than a batch may be.
    #[error("larger than {BYTES_MAX} bytes when it is unpacked")]
    TooLarge,
    /// They are no message.
    #[error("not a message of a batch")]
    Message(#[from] prost::DecodeError),
    /// A number in it has not the length that it should have.
    #[error("`{0}` has another length than it should have")]
    Length(&'static str),
}

/// The bytes of a batch.
pub(crate) fn encode(batch: &Batch) -> Result<Vec<u8>, Error> {
    let packed = Packed {
        events: batch.events.iter().map(PackedEvent::from).collect(),
        contexts: batch.contexts.iter().map(PackedContext::from).collect(),
        refused: batch.refused.iter().map(PackedRefused::from).collect(),
        org: batch.source.org.clone(),
        app: batch.source.name.clone(),
    };
    Ok(zstd::bulk::compress(&packed.encode_to_vec(), LEVEL)?)
}

/// The batch of bytes that [`encode`] made, here or elsewhere.
pub(crate) fn decode(bytes: &[u8]) -> Result<Batch, Error> {
    let mut message = Vec::new();
    let mut unpacked = zstd::stream::read::Decoder::new(bytes)?.take(BYTES_MAX + 1);
    unpacked.read_to_end(&mut message)?;
    if message.len() as u64 > BYTES_MAX {
        return Err(Error::TooLarge);
    }
    let packed = Packed::decode(&*message)?;
    let events = packed.events.into_iter().map(TryInto::try_into);
    let refused = packed.refused.into_iter().map(TryInto::try_into);
    Ok(Batch {
        source: Source {
            org: packed.org,
            name: packed.app,
        },
        events: events.collect::<Result<_, _>>()?,
        contexts: packed.contexts.into_iter().map(Into::into).collect(),
        refused: refused.collect::<Result<_, _>>()?,
    })
}

#[derive(Clone, PartialEq, prost::Message)]
struct Packed {
    #[prost(message, repeated, tag = "1")]
    events: Vec<PackedEvent>,
    #[prost(message, repeated, tag = "2")]
    contexts: Vec<PackedContext>,
    #[prost(message, repeated, tag = "3")]
    refused: Vec<PackedRefused>,
    #[prost(string, tag = "4")]
    org: String,
    #[prost(string, tag = "5")]
    app: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PackedEvent {
    #[prost(int32, tag = "1")]
    app_id: i32,
    #[prost(bytes = "vec", tag = "2")]
    id: Vec<u8>,
    #[prost(sfixed64, tag = "3")]
    ts_us: i64,
    #[prost(sfixed64, tag = "4")]
    context_id: i64,
    #[prost(string, tag = "5")]
    event_type: String,
    #[prost(string, optional, tag = "6")]
    category: Option<String>,
    #[prost(string, optional, tag = "7")]
    data: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PackedContext {
    #[prost(int32, tag = "1")]
    app_id: i32,
    #[prost(sfixed64, tag = "2")]
    id: i64,
    #[prost(string, tag = "3")]
    service: String,
    #[prost(string, tag = "4")]
    service_version: String,
    #[prost(string, tag = "5")]
    language: String,
    #[prost(string, optional, tag = "6")]
    language_version: Option<String>,
    #[prost(string, optional, tag = "7")]
    sdk_version: Option<String>,
    #[prost(string, tag = "8")]
    os: String,
    #[prost(string, optional, tag = "9")]
    os_version: Option<String>,
    #[prost(string, optional, tag = "10")]
    arch: Option<String>,
    #[prost(bool, optional, tag = "11")]
    ci: Option<bool>,
    #[prost(string, optional, tag = "12")]
    shell: Option<String>,
    #[prost(string, tag = "13")]
    user_id: String,
    #[prost(string, optional, tag = "14")]
    session_id: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PackedRefused {
    #[prost(int32, tag = "1")]
    app_id: i32,
    #[prost(bytes = "vec", tag = "2")]
    digest: Vec<u8>,
    #[prost(string, optional, tag = "3")]
    event_id: Option<String>,
    #[prost(string, tag = "4")]
    reason: String,
    #[prost(string, tag = "5")]
    event: String,
}

impl From<&Event> for PackedEvent {
    fn from(event: &Event) -> Self {
        Self {
            app_id: event.app_id,
            id: event.id.as_bytes().to_vec(),
            ts_us: event.ts_us,
            context_id: event.context_id,
            event_type: event.event_type.clone(),
            category: event.category.clone(),
            data: event.data.clone(),
        }
    }
}

impl TryFrom<PackedEvent> for Event {
    type Error = Error;

    fn try_from(packed: PackedEvent) -> Result<Self, Error> {
        Ok(Self {
            app_id: packed.app_id,
            id: Uuid::from_slice(&packed.id).map_err(|_| Error::Length("id"))?,
            ts_us: packed.ts_us,
            context_id: packed.context_id,
            event_type: packed.event_type,
            category: packed.category,
            data: packed.data,
        })
    }
}

impl From<&Context> for PackedContext {
    fn from(context: &Context) -> Self {
        let context = context.clone();
        Self {
            app_id: context.app_id,
            id: context.id,
            service: context.service,
            service_version: context.service_version,
            language: context.language,
            language_version: context.language_version,
            sdk_version: context.sdk_version,
            os: context.os,
            os_version: context.os_version,
            arch: context.arch,
            ci: context.ci,
            shell: context.shell,
            user_id: context.user_id,
            session_id: context.session_id,
        }
    }
}

impl From<PackedContext> for Context {
    fn from(packed: PackedContext) -> Self {
        Self {
            app_id: packed.app_id,
            id: packed.id,
            service: packed.service,
            service_version: packed.service_version,
            language: packed.language,
            language_version: packed.language_version,
            sdk_version: packed.sdk_version,
            os: packed.os,
            os_version: packed.os_version,
            arch: packed.arch,
            ci: packed.ci,
            shell: packed.shell,
            user_id: packed.user_id,
            session_id: packed.session_id,
        }
    }
}

impl From<&Refused> for PackedRefused {
    fn from(refused: &Refused) -> Self {
        Self {
            app_id: refused.app_id,
            digest: refused.digest.to_vec(),
            event_id: refused.event_id.clone(),
            reason: refused.reason.to_owned(),
            event: refused.event.clone(),
        }
    }
}

impl TryFrom<PackedRefused> for Refused {
    type Error = Error;

    fn try_from(packed: PackedRefused) -> Result<Self, Error> {
        let digest = packed.digest.as_slice().try_into();
        // A newer gateway may know reasons that are none here.
        let fault = Fault::parse(&packed.reason).unwrap_or(Fault::Malformed);
        Ok(Self {
            app_id: packed.app_id,
            digest: digest.map_err(|_| Error::Length("digest"))?,
            event_id: packed.event_id,
            reason: fault.as_str(),
            event: packed.event,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::option;
    use proptest::prelude::*;

    use super::*;

    prop_compose! {
        fn events()(
            app_id in any::<i32>(), id in any::<u128>(), ts_us in any::<i64>(), context_id in any::<i64>(),
            event_type in ".{0,20}", category in option::of(".{0,9}"), data in option::of(".{0,99}"),
        ) -> Event {
            Event { app_id, id: Uuid::from_u128(id), ts_us, context_id, event_type, category, data }
        }
    }

    prop_compose! {
        fn contexts()(
            (app_id, id) in any::<(i32, i64)>(), texts in prop::array::uniform5(".{0,9}"),
            maybe in prop::array::uniform6(option::of(".{0,9}")), ci in any::<Option<bool>>(),
        ) -> Context {
            let [service, service_version, language, os, user_id] = texts;
            let [language_version, sdk_version, os_version, arch, shell, session_id] = maybe;
            Context {
                app_id, id, service, service_version, language, language_version, sdk_version, os,
                os_version, arch, ci, shell, user_id, session_id,
            }
        }
    }

    prop_compose! {
        fn refusals()(
            app_id in any::<i32>(), digest in any::<[u8; 32]>(), event_id in option::of(".{0,9}"),
            fault in prop::sample::select(Fault::ALL), event in ".{0,30}",
        ) -> Refused {
            Refused { app_id, digest, event_id, reason: fault.as_str(), event }
        }
    }

    prop_compose! {
        pub(crate) fn batches()(
            events in prop::collection::vec(events(), 0..6),
            contexts in prop::collection::vec(contexts(), 0..3),
            refused in prop::collection::vec(refusals(), 0..3),
            (org, name) in (".{0,9}", ".{0,9}"),
        ) -> Batch {
            Batch { source: Source { org, name }, events, contexts, refused }
        }
    }

    proptest! {
        #[test]
        fn what_is_packed_is_unpacked(batch in batches()) {
            prop_assert_eq!(decode(&encode(&batch).unwrap()).unwrap(), batch);
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
            let _ = decode(&zstd::bulk::compress(&bytes, LEVEL).unwrap());
        }
    }

    #[test]
    fn what_unpacks_to_more_than_a_batch_is_refused() {
        let bomb = zstd::bulk::compress(&vec![0; BYTES_MAX as usize + 1], 19).unwrap();
        assert!(matches!(decode(&bomb), Err(Error::TooLarge)));
    }

    #[test]
    fn a_reason_of_a_newer_gateway_is_a_malformed_event() {
        let packed = Packed {
            refused: vec![PackedRefused {
                digest: vec![0; 32],
                reason: "unheard_of".to_owned(),
                ..PackedRefused::default()
            }],
            ..Packed::default()
        };
        let bytes = zstd::bulk::compress(&packed.encode_to_vec(), LEVEL).unwrap();
        let refused = decode(&bytes).unwrap().refused;
        assert_eq!(refused[0].reason, Fault::Malformed.as_str());
    }
}
