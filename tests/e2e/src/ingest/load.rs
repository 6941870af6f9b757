//! Senders at work: as fast as answers come, or at a rate.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::ensure;

use super::sender::{Sender, Target};
use super::stock::Stock;

/// How much is sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    pub(super) connections: u32,
    pub(super) batch: usize,
    pub(super) length: Duration,
}

/// Times from when a batch was due to its acknowledgement.
#[derive(Debug, Clone)]
pub(super) struct Acks {
    sorted: Vec<Duration>,
}

impl Acks {
    /// The time that this share of them did not exceed, in milliseconds.
    pub(super) fn quantile_ms(&self, share: f64) -> f64 {
        let last = self.sorted.len().saturating_sub(1);
        let index = (last as f64 * share).round() as usize;
        let time = self.sorted.get(index);
        time.map_or(0.0, |time| time.as_secs_f64() * 1000.0)
    }
}

/// Events acknowledged in a second, when each connection sends its next batch at once; so many
/// batches are made before.
pub(super) fn most(target: &Target, load: Load, stocked: usize) -> anyhow::Result<f64> {
    let stock = Stock::of(stocked, target, load);
    let acknowledged = AtomicU64::new(0);
    let started = Instant::now();
    thread::scope(|scope| {
        let senders = (0..load.connections).map(|_| {
            let (acknowledged, stock) = (&acknowledged, &stock);
            scope.spawn(move || -> anyhow::Result<()> {
                let sender = Sender::new(target.clone());
                while started.elapsed() < load.length {
                    send(&sender, stock)?;
                    acknowledged.fetch_add(load.batch as u64, Ordering::Relaxed);
                }
                Ok(())
            })
        });
        all_joined(senders.collect())
    })?;
    Ok(acknowledged.load(Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64())
}

/// How long acknowledgements take at so many events a second, late senders counted.
pub(super) fn at_rate(target: &Target, load: Load, events_per_s: f64) -> anyhow::Result<Acks> {
    let interval = Duration::from_secs_f64(load.batch as f64 / events_per_s.max(1.0));
    let batches = (load.length.as_secs_f64() / interval.as_secs_f64()) as u64;
    let stock = Stock::of(batches as usize, target, load);
    let next = AtomicU64::new(0);
    let started = Instant::now();
    let times = thread::scope(|scope| {
        let senders = (0..load.connections).map(|_| {
            let (next, stock) = (&next, &stock);
            scope.spawn(move || -> anyhow::Result<Vec<Duration>> {
                let sender = Sender::new(target.clone());
                let mut times = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= batches {
                        return Ok(times);
                    }
                    let due = started + interval.mul_f64(number as f64);
                    thread::sleep(due.saturating_duration_since(Instant::now()));
                    send(&sender, stock)?;
                    times.push(due.elapsed());
                }
            })
        });
        all_joined(senders.collect())
    })?;
    let mut sorted: Vec<Duration> = times.into_iter().flatten().collect();
    sorted.sort();
    Ok(Acks { sorted })
}

fn send(sender: &Sender, stock: &Stock<'_>) -> anyhow::Result<()> {
    let status = stock.send_next(sender)?;
    ensure!(status == 200, "a batch was answered {status}");
    Ok(())
}

/// What each thread came to, or what stopped the first that failed.
fn all_joined<T>(
    threads: Vec<thread::ScopedJoinHandle<'_, anyhow::Result<T>>>,
) -> anyhow::Result<Vec<T>> {
    // All are waited for, whatever the first says.
    let results: Vec<anyhow::Result<T>> = threads.into_iter().map(joined).collect();
    results.into_iter().collect()
}

/// What a thread came to.
pub(super) fn joined<T>(
    thread: thread::ScopedJoinHandle<'_, anyhow::Result<T>>,
) -> anyhow::Result<T> {
    let panicked = |_| Err(anyhow::anyhow!("a thread panicked"));
    thread.join().unwrap_or_else(panicked)
}
