//! A publisher with the habits of Moblin's own implementation of SRT.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use e2e::media::CHUNK_BYTES;
use testkit::srt_caller::{Caller, Habits, Role};

use crate::callers::{Call, Stream};

/// Calls, sends the stream at its own rate, and stays for a while.
///
/// # Errors
/// When the clip cannot be read or the thread not started.
pub fn publish(call: Call, stream: Stream<'_>) -> anyhow::Result<JoinHandle<anyhow::Result<()>>> {
    let bytes = std::fs::read(stream.clip)?;
    let (length, linger) = (stream.length, stream.linger);
    let publish = move || {
        let mut caller = connect(&call)?;
        feed(&mut caller, &bytes, length)?;
        serve(&mut caller, Instant::now() + linger)
    };
    let builder = std::thread::Builder::new().name("moblin".into());
    Ok(builder.spawn(publish)?)
}

fn connect(call: &Call) -> anyhow::Result<Caller> {
    let (id, role) = (&call.stream_id, Role::Publisher);
    Caller::connect_as(call.to, id, role, call.latency, Habits::Moblin).context("Moblin calls")
}

fn feed(caller: &mut Caller, stream: &[u8], length: Duration) -> anyhow::Result<()> {
    let started = Instant::now();
    let chunks = stream.len().div_ceil(CHUNK_BYTES);
    for (index, chunk) in stream.chunks(CHUNK_BYTES).enumerate() {
        serve(
            caller,
            started + length.mul_f64(index as f64 / chunks as f64),
        )?;
        caller.send(chunk)?;
    }
    Ok(())
}

/// Answers the peer until `deadline`.
fn serve(caller: &mut Caller, deadline: Instant) -> anyhow::Result<()> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        caller.receive(left)?;
        ensure!(!caller.is_closed(), "the relay ended Moblin's connection");
    }
}
