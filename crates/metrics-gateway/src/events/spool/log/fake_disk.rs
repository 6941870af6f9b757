//! A disk that loses power between any two steps, and keeps of what was not synced what it likes.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use testkit::random::Random;

use super::Disk;

#[derive(Debug, Clone, Default)]
pub(super) struct FakeDisk(Arc<Mutex<State>>);

#[derive(Debug, Clone, Default)]
struct State {
    files: BTreeMap<u64, File>,
    last: Option<u64>,
    /// Steps until the power is gone; none: it stays.
    steps_left: Option<u32>,
    /// Steps until one fails, and the power stays.
    fails_in: Option<u32>,
    set_aside: Vec<u64>,
}

#[derive(Debug, Clone, Default)]
struct File {
    bytes: Vec<u8>,
    /// What is kept for good.
    synced: Vec<u8>,
    is_name_synced: bool,
    is_removed: bool,
}

impl FakeDisk {
    /// The power goes in so many steps.
    pub(super) fn lose_power_in(&self, steps: u32) {
        self.0.lock().unwrap().steps_left = Some(steps);
    }

    /// One step fails, and what it wrote is not to be trusted.
    pub(super) fn fail_in(&self, steps: u32) {
        self.0.lock().unwrap().fails_in = Some(steps);
    }

    pub(super) fn set_aside(&self) -> Vec<u64> {
        self.0.lock().unwrap().set_aside.clone()
    }

    /// Changes a segment behind everybody's back.
    pub(super) fn spoil(&self, number: u64, spoil: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.0.lock().unwrap();
        let file = state.files.get_mut(&number).unwrap();
        spoil(&mut file.bytes);
        file.synced = file.bytes.clone();
    }

    /// What is there when the power is back.
    pub(super) fn after_power_cut(&self, random: &mut Random) -> Self {
        let mut state = self.0.lock().unwrap().clone();
        (state.steps_left, state.fails_in, state.last) = (None, None, None);
        state.files.retain(|_, file| {
            let is_kept = file.is_name_synced || random.below(2) == 0;
            is_kept && !(file.is_removed && random.below(2) == 0)
        });
        for file in state.files.values_mut() {
            *file = file.after_power_cut(random);
        }
        Self(Arc::new(Mutex::new(state)))
    }

    fn step<T>(&self, step: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.0.lock().unwrap();
        if state.steps_left == Some(0) {
            return Err(io::Error::other("the power is gone"));
        }
        state.steps_left = state.steps_left.map(|left| left - 1);
        let fails = state.fails_in == Some(0);
        state.fails_in = state.fails_in.and_then(|left| left.checked_sub(1));
        if fails {
            return Err(io::Error::other("the disk fails"));
        }
        step(&mut state)
    }
}

impl File {
    fn after_power_cut(&self, random: &mut Random) -> Self {
        let mut bytes = self.synced.clone();
        if let Some(tail) = self.bytes.get(self.synced.len()..) {
            let kept = random.below(tail.len() as u64 + 1) as usize;
            bytes.extend(&tail[..kept]);
            // Pages reach the disk in any order.
            if kept > 0 && random.below(2) == 0 {
                let hole = self.synced.len() + random.below(kept as u64) as usize;
                bytes[hole..].fill(0);
            }
        }
        Self {
            synced: bytes.clone(),
            bytes,
            is_name_synced: true,
            is_removed: false,
        }
    }
}

impl State {
    fn there(&mut self, number: u64) -> io::Result<&mut File> {
        let file = self.files.get_mut(&number).filter(|file| !file.is_removed);
        file.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn last(&mut self) -> io::Result<&mut File> {
        let number = self.last.ok_or(io::ErrorKind::NotFound)?;
        self.there(number)
    }
}

impl Disk for FakeDisk {
    fn list(&self) -> io::Result<Vec<u64>> {
        let state = self.0.lock().unwrap();
        let there = state.files.iter().filter(|(_, file)| !file.is_removed);
        Ok(there.map(|(number, _)| *number).rev().collect())
    }

    fn read(&self, number: u64) -> io::Result<Vec<u8>> {
        self.step(|state| state.there(number).map(|file| file.bytes.clone()))
    }

    fn create(&mut self, number: u64) -> io::Result<()> {
        self.step(|state| {
            if state.there(number).is_ok() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            state.files.insert(number, File::default());
            state.last = Some(number);
            Ok(())
        })
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        // Half of it is a step of its own.
        let (first, second) = bytes.split_at(bytes.len() / 2);
        for half in [first, second] {
            self.step(|state| {
                state.last()?.bytes.extend(half);
                Ok(())
            })?;
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.step(|state| {
            let file = state.last()?;
            file.synced = file.bytes.clone();
            Ok(())
        })
    }

    fn cut(&mut self, number: u64, length: u64) -> io::Result<()> {
        self.step(|state| {
            let file = state.there(number)?;
            file.bytes.truncate(length as usize);
            file.synced.truncate(length as usize);
            Ok(())
        })
    }

    fn sync_names(&mut self) -> io::Result<()> {
        self.step(|state| {
            state.files.retain(|_, file| !file.is_removed);
            state
                .files
                .values_mut()
                .for_each(|file| file.is_name_synced = true);
            Ok(())
        })
    }

    fn remove(&mut self, number: u64) -> io::Result<()> {
        self.step(|state| {
            state.there(number)?.is_removed = true;
            Ok(())
        })
    }

    fn set_aside(&mut self, number: u64) -> io::Result<()> {
        self.step(|state| {
            state.there(number)?;
            state.files.remove(&number);
            state.set_aside.push(number);
            Ok(())
        })
    }
}
