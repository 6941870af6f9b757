//! A body that grows, compressed as whoever reads it likes.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, header};

const ZSTD_LEVEL: i32 = 3;

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    Identity,
    Gzip,
    Zstd,
}

/// Compresses what is written to it.
pub(crate) enum Encoder {
    Identity(Vec<u8>),
    Gzip(GzEncoder<Vec<u8>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

impl Coding {
    /// The best that the reader takes.
    pub(crate) fn accepted(headers: &HeaderMap) -> Self {
        let said = headers.get_all(header::ACCEPT_ENCODING).iter();
        let said: Vec<&str> = said
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .collect();
        let takes = |name: &str| said.iter().any(|one| is_taken(one, name));
        if takes("zstd") {
            Self::Zstd
        } else if takes("gzip") {
            Self::Gzip
        } else {
            Self::Identity
        }
    }

    /// The name in `Content-Encoding`.
    pub(crate) const fn name(self) -> Option<&'static str> {
        match self {
            Self::Identity => None,
            Self::Gzip => Some("gzip"),
            Self::Zstd => Some("zstd"),
        }
    }
}

/// Whether an element such as `gzip;q=0.5` takes a coding.
fn is_taken(element: &str, name: &str) -> bool {
    let mut parts = element.split(';').map(str::trim);
    let is_named = parts
        .next()
        .is_some_and(|said| said.eq_ignore_ascii_case(name));
    let weight = parts.find_map(|part| part.strip_prefix("q="));
    let is_wanted = |weight: &str| weight.parse().is_ok_and(|weight: f32| weight > 0.0);
    is_named && weight.is_none_or(is_wanted)
}

impl Encoder {
    /// # Errors
    /// When zstd has no memory.
    pub(crate) fn new(coding: Coding) -> io::Result<Self> {
        Ok(match coding {
            Coding::Identity => Self::Identity(Vec::new()),
            Coding::Gzip => Self::Gzip(GzEncoder::new(Vec::new(), Compression::fast())),
            Coding::Zstd => {
                let encoder = zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
                Self::Zstd(encoder)
            }
        })
    }

    /// Takes away what is ready to be sent; some may stay until more was written.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        std::mem::take(match self {
            Self::Identity(bytes) => bytes,
            Self::Gzip(encoder) => encoder.get_mut(),
            Self::Zstd(encoder) => encoder.get_mut(),
        })
    }

    /// The rest.
    ///
    /// # Errors
    /// When the compressor fails.
    pub(crate) fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Identity(bytes) => Ok(bytes),
            Self::Gzip(encoder) => encoder.finish(),
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl Write for Encoder {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Identity(all) => all.write(bytes),
            Self::Gzip(encoder) => encoder.write(bytes),
            Self::Zstd(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Identity(_) => Ok(()),
            Self::Gzip(encoder) => encoder.flush(),
            Self::Zstd(encoder) => encoder.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_best_that_is_wanted_is_taken() {
        for (said, coding) in [
            ("", Coding::Identity),
            ("br, deflate", Coding::Identity),
            ("gzip, zstd", Coding::Zstd),
            ("GZIP;q=0.5,zstd;q=0", Coding::Gzip),
            ("gzip;q=0.0", Coding::Identity),
            ("gzip;q=x", Coding::Identity),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(said));
            assert_eq!(Coding::accepted(&headers), coding, "{said}");
        }
    }

    fn inflated(coding: Coding, sent: &[u8]) -> Vec<u8> {
        match coding {
            Coding::Identity => sent.to_vec(),
            Coding::Gzip => {
                let mut read = Vec::new();
                let mut decoder = flate2::read::GzDecoder::new(sent);
                decoder.read_to_end(&mut read).unwrap();
                read
            }
            Coding::Zstd => zstd::decode_all(sent).unwrap(),
        }
    }

    #[test]
    fn what_was_taken_piece_by_piece_is_the_whole() {
        let text = "a line of an event\n".repeat(10_000);
        for coding in [Coding::Identity, Coding::Gzip, Coding::Zstd] {
            let mut encoder = Encoder::new(coding).unwrap();
            let mut sent = Vec::new();
            for piece in text.as_bytes().chunks(7000) {
                encoder.write_all(piece).unwrap();
                sent.extend(encoder.take());
            }
            sent.extend(encoder.finish().unwrap());
            assert!(inflated(coding, &sent) == text.as_bytes(), "{coding:?}");
        }
    }
}
