//! Connections that send a byte now and then, and never a whole request.

use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use jiff::Timestamp;

use super::request::{Request, connect};
use crate::ingest::sender::Target;

const BETWEEN_BYTES: Duration = Duration::from_millis(250);
/// What each of them promises, bytes.
const PROMISED: u32 = 100_000;

/// So many of them, the half in the head of a request and the half in its body, each opened again
/// when it is shut; how many were shut.
pub(super) fn dawdle(
    (target, address): (&Target, SocketAddr),
    connections: u32,
    is_over: &AtomicBool,
) -> io::Result<u64> {
    let open = |number: u32| begin(target, address, number);
    let mut streams: Vec<TcpStream> = (0..connections).map(open).collect::<io::Result<_>>()?;
    let mut shut = 0;
    while !is_over.load(Ordering::Relaxed) {
        thread::sleep(BETWEEN_BYTES);
        for (number, stream) in (0..).zip(&mut streams) {
            if stream.write_all(b"x").is_err() {
                shut += 1;
                *stream = open(number)?;
            }
        }
    }
    Ok(shut)
}

fn begin(target: &Target, address: SocketAddr, number: u32) -> io::Result<TcpStream> {
    // Each from another network, so that the bound of one address is not what stops them.
    let from = format!("198.51.{}.{}", number / 250 % 250, number % 250 + 1);
    let request = Request::signed(target, Timestamp::now().as_second(), "")
        .with("content-type", "application/json")
        .with("x-forwarded-for", from);
    let mut head = request.head(&format!("content-length: {PROMISED}"));
    if number.is_multiple_of(2) {
        // The empty line is what ends it.
        head.truncate(head.len() - 2);
    }
    let mut stream = connect(address)?;
    stream.write_all(&head)?;
    Ok(stream)
}
