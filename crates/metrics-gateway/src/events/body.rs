//! Bodies: so many bytes at most, of one request and of all, within a time, as sent and inflated.

use std::io::Read;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use http::{HeaderMap, header};
use service_kit::places::{Place, Places};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::refusal::Refusal;

/// The largest body, as sent and inflated, bytes.
pub(crate) const BODY_BYTES_MAX: usize = 5 << 20;
/// The largest window that zstd may ask for: more than a body is never of use.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;
const BUFFER_BYTES: usize = 64 << 10;
/// What a body is given room for before any of it came: a batch of an SDK, which then is not moved as
/// it grows.
const RESERVED_BYTES_MAX: usize = 72 << 10;

/// Reads bodies.
pub(crate) struct Bodies {
    /// One for each body that is being read.
    places: Places<IpAddr>,
    /// One for each byte that is held.
    memory: Arc<Semaphore>,
    patience: Duration,
}

/// A body, and the memory that it is counted with.
pub(crate) struct Held {
    pub(crate) bytes: Bytes,
    _memory: Option<OwnedSemaphorePermit>,
}

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Identity,
    Gzip,
    Zstd,
}

impl Bodies {
    pub(crate) fn new(places: Places<IpAddr>, bytes_max: usize, patience: Duration) -> Self {
        Self {
            places,
            memory: Arc::new(Semaphore::new(bytes_max.min(Semaphore::MAX_PERMITS))),
            patience,
        }
    }

    /// Reads a body to its end. Its memory is counted as it comes, so that nobody has more than
    /// [`RESERVED_BYTES_MAX`] by promising a large one.
    pub(crate) async fn read(&self, body: Body, holder: Option<IpAddr>) -> Result<Held, Refusal> {
        let _place: Place<IpAddr> = self.places.take(holder).map_err(|_| Refusal::Full)?;
        let read = tokio::time::timeout(self.patience, self.read_all(body)).await;
        read.unwrap_or(Err(Refusal::BodyTooSlow))
    }

    async fn read_all(&self, body: Body) -> Result<Held, Refusal> {
        let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        let mut bytes = BytesMut::with_capacity(announced.min(RESERVED_BYTES_MAX));
        let mut memory = None;
        let mut stream = body.into_data_stream();
        while let Some(data) = stream.next().await {
            let data = data.map_err(|_| Refusal::BodyBroken)?;
            if bytes.len() + data.len() > BODY_BYTES_MAX {
                return Err(Refusal::BodyTooLarge);
            }
            merge(&mut memory, self.claim(data.len())?);
            bytes.extend_from_slice(&data);
        }
        Ok(Held {
            bytes: bytes.freeze(),
            _memory: memory,
        })
    }

    fn claim(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Refusal> {
        let bytes = u32::try_from(bytes).map_err(|_| Refusal::BodyTooLarge)?;
        let claimed = self.memory.clone().try_acquire_many_owned(bytes);
        claimed.map_err(|_| Refusal::Full)
    }

    /// The body as it was before it was compressed.
    pub(crate) async fn inflate(&self, held: Held, encoding: Encoding) -> Result<Held, Refusal> {
        if encoding == Encoding::Identity {
            return Ok(held);
        }
        // What it grows to is counted before it grows.
        let memory = self.claim(BODY_BYTES_MAX)?;
        let inflated = tokio::task::spawn_blocking(move || inflate(&held.bytes, encoding)).await;
        Ok(Held {
            bytes: inflated.map_err(|_| Refusal::BodyBroken)??,
            _memory: Some(memory),
        })
    }
}

impl Encoding {
    /// What the headers say.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        let mut said = headers.get_all(header::CONTENT_ENCODING).iter();
        let (first, second) = (said.next(), said.next());
        match (first.map(http::HeaderValue::as_bytes), second) {
            (None | Some(b"identity"), None) => Ok(Self::Identity),
            (Some(b"gzip"), None) => Ok(Self::Gzip),
            (Some(b"zstd"), None) => Ok(Self::Zstd),
            _ => Err(Refusal::Encoding),
        }
    }
}

/// Refuses what says itself that it is too large, before any of it is read.
pub(crate) fn check_length(headers: &HeaderMap) -> Result<(), Refusal> {
    let length = headers.get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    match length {
        Some(length) if length > BODY_BYTES_MAX as u64 => Err(Refusal::BodyTooLarge),
        _ => Ok(()),
    }
}

fn inflate(bytes: &[u8], encoding: Encoding) -> Result<Bytes, Refusal> {
    match encoding {
        Encoding::Identity => Ok(Bytes::copy_from_slice(bytes)),
        Encoding::Gzip => read_bounded(flate2::read::MultiGzDecoder::new(bytes)),
        Encoding::Zstd => {
            let decoder = zstd::Decoder::with_buffer(bytes);
            let mut decoder = decoder.map_err(|_| Refusal::BodyBroken)?;
            let bounded = decoder.window_log_max(ZSTD_WINDOW_LOG_MAX);
            bounded.map_err(|_| Refusal::BodyBroken)?;
            read_bounded(decoder)
        }
    }
}

fn read_bounded(reader: impl Read) -> Result<Bytes, Refusal> {
    let mut bytes = Vec::with_capacity(BUFFER_BYTES);
    let mut reader = reader.take(BODY_BYTES_MAX as u64 + 1);
    let read = reader.read_to_end(&mut bytes);
    read.map_err(|_| Refusal::BodyBroken)?;
    if bytes.len() > BODY_BYTES_MAX {
        return Err(Refusal::BodyTooLarge);
    }
    Ok(Bytes::from(bytes))
}

fn merge(held: &mut Option<OwnedSemaphorePermit>, more: OwnedSemaphorePermit) {
    match held {
        Some(held) => held.merge(more),
        None => *held = Some(more),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use http::HeaderValue;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_bomb_is_not_inflated_further_than_a_body_may_be() {
        let bomb = vec![b' '; 64 << 20];
        for (bytes, encoding) in [
            (gzip(&bomb), Encoding::Gzip),
            (zstd::encode_all(&bomb[..], 3).unwrap(), Encoding::Zstd),
        ] {
            assert!(bytes.len() < BODY_BYTES_MAX / 10, "it is small as sent");
            assert_eq!(inflate(&bytes, encoding), Err(Refusal::BodyTooLarge));
        }
    }

    #[test]
    fn what_was_compressed_comes_back_and_damage_is_refused() {
        let body = br#"{"events":[]}"#;
        let sent = [
            (gzip(body), Encoding::Gzip),
            (zstd::encode_all(&body[..], 3).unwrap(), Encoding::Zstd),
        ];
        for (bytes, encoding) in sent {
            assert_eq!(inflate(&bytes, encoding).unwrap(), body[..]);
            assert_eq!(inflate(&bytes[..7], encoding), Err(Refusal::BodyBroken));
        }
        assert_eq!(inflate(body, Encoding::Gzip), Err(Refusal::BodyBroken));
    }

    #[test]
    fn one_encoding_is_understood_and_not_two() {
        let of = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("content-encoding", HeaderValue::from_static(value));
            }
            Encoding::of(&headers)
        };
        assert_eq!(of(&[]), Ok(Encoding::Identity));
        assert_eq!(of(&["zstd"]), Ok(Encoding::Zstd));
        for other in [&["br"][..], &["gzip, gzip"], &["gzip", "gzip"]] {
            assert_eq!(of(other), Err(Refusal::Encoding));
        }
    }

    #[tokio::test]
    async fn memory_is_bounded_over_all_bodies_and_given_back() {
        let bodies = Bodies::new(Places::new(8, 8), 100, Duration::from_secs(5));
        let held = bodies.read(Body::from(vec![0; 80]), None).await;
        let held = held.unwrap_or_else(|refusal| panic!("{refusal:?}"));
        let refused = bodies.read(Body::from(vec![0; 80]), None).await.err();
        assert_eq!(refused, Some(Refusal::Full));
        drop(held);
        assert!(bodies.read(Body::from(vec![0; 80]), None).await.is_ok());
    }
}
