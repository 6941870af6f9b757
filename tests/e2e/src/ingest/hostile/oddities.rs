//! Batches that are signed as they should be and wrong in some other way.

use std::io::{self, Write as _};
use std::net::SocketAddr;

use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;

use super::request::{Answer, Request, connect};
use crate::ingest::sender::{Batch, Target};

/// What a bomb inflates to, and what a huge body promises.
const HUGE: u64 = 300 << 20;
const CHUNK: usize = 64 << 10;
/// 2100-01-01, Unix seconds.
const FAR: i64 = 4_102_444_800;

/// A request and the status that it should get.
pub(super) struct Oddity {
    pub(super) name: &'static str,
    request: Request,
    framing: Framing,
    expected: u16,
}

/// How the body comes.
enum Framing {
    Whole,
    /// So many bytes are promised, and none comes.
    Promised(u64),
    /// In chunks, without an end.
    Endless,
}

/// What came of one of them.
pub(super) struct Outcome {
    /// Whether it had the status that it should have.
    pub(super) is_right: bool,
    /// Whether the answer tells what is behind the gateway.
    pub(super) tells: bool,
}

impl Oddity {
    /// Sends it.
    pub(super) fn send(&self, address: SocketAddr) -> io::Result<Outcome> {
        let answer = match self.framing {
            Framing::Whole => self.request.clone().send(address),
            Framing::Promised(bytes) => {
                let mut stream = connect(address)?;
                let head = self.request.head(&format!("content-length: {bytes}"));
                stream.write_all(&head)?;
                Answer::read(stream)
            }
            Framing::Endless => return self.pour(address),
        }?;
        Ok(Outcome {
            is_right: answer.status == self.expected,
            tells: answer.tells(),
        })
    }

    /// Writes until nobody reads it any more; the answer is lost with the connection then.
    fn pour(&self, address: SocketAddr) -> io::Result<Outcome> {
        let mut stream = connect(address)?;
        stream.write_all(&self.request.head("transfer-encoding: chunked"))?;
        let chunk = [
            format!("{CHUNK:x}\r\n").into_bytes(),
            vec![b' '; CHUNK],
            b"\r\n".to_vec(),
        ];
        let chunk = chunk.concat();
        let chunks = HUGE / CHUNK as u64;
        let is_read = (0..chunks).all(|_| stream.write_all(&chunk).is_ok());
        Ok(Outcome {
            is_right: !is_read,
            tells: false,
        })
    }
}

/// All of them, signed now.
pub(super) fn all(target: &Target, bombs: &[(&'static str, Vec<u8>); 2]) -> Vec<Oddity> {
    let now = Timestamp::now().as_second();
    let event = Batch::new(1, 0).body;
    let at = |seconds: i64, body: &str| Request::signed(target, seconds, body);
    let json = |request: Request| request.with("content-type", "application/json");
    let with_data = |data: &str| {
        let body = event.replace("\"exit_code\":0", &format!("\"exit_code\":{data}"));
        json(at(now, &body))
    };
    let deep = format!("{}{}", "[".repeat(64), "]".repeat(64));
    let far_deeper = "[".repeat(1 << 20);
    let mut oddities = vec![
        Oddity::whole("clock of 1970", json(at(0, &event)), 403),
        Oddity::whole("clock of 2100", json(at(FAR, &event)), 403),
        // One bad event is put aside, and its batch is taken.
        Oddity::whole("NUL", with_data(r#""\u0000""#), 200),
        Oddity::whole("64 deep", with_data(&deep), 200),
        Oddity::whole("a million deep", json(at(now, &far_deeper)), 400),
        Oddity::whole("no JSON", json(at(now, "{\"events\":[")), 400),
        Oddity::whole(
            "wrong content type",
            at(now, &event).with("content-type", "text/plain"),
            415,
        ),
        Oddity::whole(
            "two signatures",
            json(at(now, &event)).with("x-signature", "0".repeat(64)),
            400,
        ),
        Oddity {
            framing: Framing::Promised(HUGE),
            ..Oddity::whole("300 MB promised", json(at(now, "")), 413)
        },
        Oddity {
            framing: Framing::Endless,
            ..Oddity::whole("300 MB in chunks", json(at(now, "")), 413)
        },
    ];
    oddities.extend(bombs.iter().map(|(encoding, bomb)| {
        let request = Request::signed(target, now, bomb.as_slice());
        let request = json(request).with("content-encoding", *encoding);
        Oddity::whole(encoding, request, 413)
    }));
    oddities
}

impl Oddity {
    fn whole(name: &'static str, request: Request, expected: u16) -> Self {
        Self {
            name,
            request,
            framing: Framing::Whole,
            expected,
        }
    }
}

/// Bodies that inflate to 300 MB, by the name of their encoding.
pub(super) fn bombs() -> io::Result<[(&'static str, Vec<u8>); 2]> {
    let mut zipped = GzEncoder::new(Vec::new(), Compression::best());
    io::copy(&mut spaces(), &mut zipped)?;
    let pressed = zstd::encode_all(spaces(), zstd::DEFAULT_COMPRESSION_LEVEL)?;
    Ok([("gzip", zipped.finish()?), ("zstd", pressed)])
}

fn spaces() -> impl io::Read {
    io::Read::take(io::repeat(b' '), HUGE)
}
