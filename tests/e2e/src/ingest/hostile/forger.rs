//! Requests whose signature is wrong, many before the first answer is read.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use jiff::Timestamp;

use super::request::{Request, connect};
use crate::ingest::sender::{Batch, Target};

/// Requests that are written at once.
const BURST: usize = 128;
/// How an answer to one of them begins.
const REFUSED: &[u8] = b"HTTP/1.1 401 ";
/// More than an answer has.
const ANSWER_BYTES_MAX: usize = 4096;
/// Between two looks at whether all of them are there.
const GLANCE: Duration = Duration::from_millis(1);

/// Somebody who guesses an app's secret over one connection.
pub(super) struct Forger<'a> {
    pub(super) target: &'a Target,
    pub(super) address: SocketAddr,
    /// Requests a second.
    pub(super) rate: f64,
}

impl Forger<'_> {
    /// Sends for so long; the requests that were refused as they should be.
    pub(super) fn work(&self, length: Duration) -> anyhow::Result<u64> {
        let guess = Target {
            secret: "a guess".to_owned(),
            ..self.target.clone()
        };
        let mut stream = connect(self.address)?;
        stream.write_all(&forged(&guess))?;
        let mut answer = vec![0; ANSWER_BYTES_MAX];
        // One answer is as long as another.
        let length_of_one = stream.read(&mut answer)?;
        let mut answers = vec![0; length_of_one * BURST];
        let interval = Duration::from_secs_f64(BURST as f64 / self.rate.max(1.0));
        let started = Instant::now();
        let mut refused: u64 = 0;
        for number in 1_u32.. {
            let due = interval.saturating_mul(number);
            if due.max(started.elapsed()) >= length {
                break;
            }
            stream.write_all(&forged(&guess).repeat(BURST))?;
            thread::sleep(due.saturating_sub(started.elapsed()));
            // Who waits for each answer is woken by each.
            while stream.peek(&mut answers)? < answers.len() {
                thread::sleep(GLANCE);
            }
            stream
                .read_exact(&mut answers)
                .context("answers to a forger")?;
            let all = answers.chunks(length_of_one);
            let are_right = all.clone().all(|answer| answer.starts_with(REFUSED));
            ensure!(are_right, "a forged request is not refused");
            refused += all.len() as u64;
        }
        Ok(refused)
    }
}

/// One event, signed by a guess.
fn forged(guess: &Target) -> Vec<u8> {
    let body = Batch::new(1, 0).body;
    Request::signed(guess, Timestamp::now().as_second(), body)
        .with("content-type", "application/json")
        .with("x-forwarded-for", "198.51.100.7")
        .bytes()
}
