//! Records in segments: appended at one end, taken away at the other.
//!
//! ```text
//! sealed ▸ sealed ▸ sealed ▸ last one     a segment: "shspool" version ▸ frame ▸ frame ▸ …
//!   ▲ read, and removed whole    ▲ appended to and synced, many records at a time
//! ```
//!
//! What [`Log::append`] said yes to is there after any crash, until its segment is removed. What
//! it said no to, or did not answer, may be there, whole or not at all. A crash leaves its traces
//! only at the end of the last segment; anything else that is wrong is the disk's doing: what
//! comes before it is read, and the segment is set aside for people rather than removed.

use std::collections::VecDeque;
use std::io;

use model::UnixMillis;

use super::disk::Disk;
use super::frame;

/// A segment's first bytes, the format's version last.
const MAGIC: [u8; 8] = *b"shspool\x01";
/// A segment that is longer gets no more records.
const SEGMENT_BYTES: u64 = 8 << 20;

/// A record to be kept, framed.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) came_at: UnixMillis,
    pub(super) frame: Vec<u8>,
}

/// The log.
#[derive(Debug)]
pub(super) struct Log<D> {
    disk: D,
    segment_bytes: u64,
    /// The oldest first.
    sealed: VecDeque<Segment>,
    /// The one that is appended to.
    last: Option<Segment>,
    next: u64,
}

#[derive(Debug, Clone, Copy)]
struct Segment {
    number: u64,
    /// Up to the end of the last record that is kept for good.
    length: u64,
    records: u64,
    oldest_at: UnixMillis,
    is_damaged: bool,
}

/// What there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) bytes: u64,
    pub(crate) records: u64,
    pub(crate) oldest_at: Option<UnixMillis>,
}

/// A segment that nothing is added to, to be read and removed.
#[derive(Debug)]
pub(super) struct Sealed {
    number: u64,
    /// As many bytes as were kept for good, if the disk still has them.
    length: u64,
    bytes: Vec<u8>,
    read: usize,
}

impl<D: Disk> Log<D> {
    /// Finds what there is, and mends what a crash left.
    ///
    /// # Errors
    /// When the disk fails, or a segment is of another version of this.
    pub(super) fn open(disk: D) -> io::Result<Self> {
        Self::with(disk, SEGMENT_BYTES)
    }

    fn with(disk: D, segment_bytes: u64) -> io::Result<Self> {
        let mut numbers = disk.list()?;
        numbers.sort_unstable();
        let newest = numbers.last().copied();
        let mut log = Self {
            disk,
            segment_bytes,
            sealed: VecDeque::new(),
            last: None,
            next: newest.map_or(0, |number| number + 1),
        };
        for number in numbers {
            log.recover(number, Some(number) == newest)?;
        }
        log.disk.sync_names()?;
        Ok(log)
    }

    fn recover(&mut self, number: u64, is_newest: bool) -> io::Result<()> {
        let bytes = self.disk.read(number)?;
        let mut segment = scan(number, &bytes)?;
        let rest = bytes.len() as u64 - segment.length;
        if rest > 0 && is_newest && !is_surely_damage(&bytes, segment.length) {
            tracing::warn!(
                segment = number,
                bytes = rest,
                "the spool ends in what is no record, as a write does that a crash cut short; it is cut off"
            );
            self.disk.cut(number, segment.length)?;
        } else if rest > 0 {
            segment.is_damaged = true;
            tracing::error!(
                segment = number,
                bytes = rest,
                "the spool is damaged; what comes before is replayed, and the segment set aside"
            );
        }
        if segment.records == 0 {
            return self.discard(&segment);
        }
        self.sealed.push_back(segment);
        Ok(())
    }

    /// Keeps records for good, all of them or, as far as anybody is told, none.
    ///
    /// # Errors
    /// When the disk fails. The next call begins another segment: what a failed write left of
    /// this one is not to be trusted.
    pub(super) fn append(&mut self, entries: &[Entry]) -> io::Result<()> {
        let mut rest = entries;
        while !rest.is_empty() {
            let count = match self.append_some(rest) {
                Ok(count) => count,
                Err(error) => {
                    self.abandon();
                    return Err(error);
                }
            };
            rest = &rest[count..];
        }
        Ok(())
    }

    /// As many as the segment has room for, one at least.
    fn append_some(&mut self, entries: &[Entry]) -> io::Result<usize> {
        if self
            .last
            .is_some_and(|last| last.length >= self.segment_bytes)
        {
            self.seal();
        }
        let mut segment = match self.last {
            Some(segment) => segment,
            None => self.begin()?,
        };
        let mut bytes = Vec::new();
        let mut count = 0;
        for entry in entries {
            if count > 0 && segment.length >= self.segment_bytes {
                break;
            }
            segment.add(entry.came_at, entry.frame.len());
            bytes.extend_from_slice(&entry.frame);
            count += 1;
        }
        self.disk.append(&bytes)?;
        self.disk.sync()?;
        self.last = Some(segment);
        Ok(count)
    }

    fn begin(&mut self) -> io::Result<Segment> {
        let segment = Segment::new(self.next);
        // Never a second try with a number that was.
        self.next += 1;
        self.disk.create(segment.number)?;
        self.last = Some(segment);
        self.disk.append(&MAGIC)?;
        self.disk.sync()?;
        self.disk.sync_names()?;
        Ok(segment)
    }

    /// Leaves a segment whose end is not known.
    fn abandon(&mut self) {
        let Some(last) = self.last.take() else { return };
        let result = if last.records == 0 {
            self.disk.remove(last.number)
        } else {
            self.sealed.push_back(last);
            self.disk.cut(last.number, last.length)
        };
        if let Err(error) = result {
            tracing::warn!(%error, segment = last.number, "a segment of the spool stays as it is");
        }
    }

    /// The oldest segment; none when there are no records. It stays until it is removed.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn oldest(&mut self) -> io::Result<Option<Sealed>> {
        if self.sealed.is_empty() {
            self.seal();
        }
        let Some(segment) = self.sealed.front() else {
            return Ok(None);
        };
        let mut bytes = self.disk.read(segment.number)?;
        bytes.truncate(usize::try_from(segment.length).unwrap_or(usize::MAX));
        Ok(Some(Sealed {
            number: segment.number,
            length: segment.length,
            bytes,
            read: MAGIC.len(),
        }))
    }

    fn seal(&mut self) {
        self.sealed.extend(self.last.take());
    }

    /// Takes a segment away whose records are kept elsewhere; how many bytes of records it had.
    /// One that is not whole, or of which something `is_unread`, is set aside.
    ///
    /// # Errors
    /// When the disk fails; the segment may be there again after a start then.
    pub(super) fn remove(&mut self, sealed: &Sealed, is_unread: bool) -> io::Result<u64> {
        let is_it = |segment: &Segment| segment.number == sealed.number;
        let Some(place) = self.sealed.iter().position(is_it) else {
            return Ok(0);
        };
        let mut segment = self.sealed[place];
        segment.is_damaged |= is_unread;
        self.discard(&segment)?;
        self.sealed.remove(place);
        Ok(segment.record_bytes())
    }

    fn discard(&mut self, segment: &Segment) -> io::Result<()> {
        if segment.is_damaged {
            self.disk.set_aside(segment.number)
        } else {
            self.disk.remove(segment.number)
        }
    }

    pub(super) fn held(&self) -> Held {
        let segments = self.sealed.iter().chain(&self.last);
        segments.fold(Held::default(), |held, segment| Held {
            bytes: held.bytes + segment.record_bytes(),
            records: held.records + segment.records,
            oldest_at: match held.oldest_at {
                None if segment.records > 0 => Some(segment.oldest_at),
                oldest_at => oldest_at,
            },
        })
    }
}

impl Segment {
    const fn new(number: u64) -> Self {
        Self {
            number,
            length: MAGIC.len() as u64,
            records: 0,
            oldest_at: UnixMillis(0),
            is_damaged: false,
        }
    }

    fn add(&mut self, came_at: UnixMillis, length: usize) {
        if self.records == 0 {
            self.oldest_at = came_at;
        }
        self.records += 1;
        self.length += length as u64;
    }

    const fn record_bytes(&self) -> u64 {
        self.length.saturating_sub(MAGIC.len() as u64)
    }
}

impl Sealed {
    /// The next record's payload.
    pub(super) fn next(&mut self) -> Option<&[u8]> {
        let (frame, rest) = frame::read(self.bytes.get(self.read..)?)?;
        self.read = self.bytes.len() - rest.len();
        Some(frame.payload)
    }

    /// Whether all that was kept has been read; else the disk has spoiled it since.
    pub(super) fn is_whole(&self) -> bool {
        self.read as u64 == self.length
    }

    /// Where it is, to come [`back`](Self::back) to.
    pub(super) const fn place(&self) -> usize {
        self.read
    }

    pub(super) const fn back(&mut self, place: usize) {
        self.read = place;
    }
}

/// Whether what ends a segment's records at this place is no torn write: behind a write that was
/// cut short there is nothing whole, and no record is written before its segment's head is kept.
fn is_surely_damage(bytes: &[u8], place: u64) -> bool {
    let rest = usize::try_from(place).ok().and_then(|it| bytes.get(it..));
    let rest = rest.unwrap_or_default();
    match place {
        0 => rest.len() > MAGIC.len() && rest[MAGIC.len()..].iter().any(|byte| *byte != 0),
        _ => frame::skip(rest).is_some_and(|behind| frame::read(behind).is_some()),
    }
}

/// What a segment holds, up to the first thing that is no record.
fn scan(number: u64, bytes: &[u8]) -> io::Result<Segment> {
    let mut segment = Segment::new(number);
    let Some((magic, mut rest)) = bytes.split_first_chunk::<8>() else {
        segment.length = 0;
        return Ok(segment);
    };
    if *magic != MAGIC {
        // No version is 0: a power cut may leave a hole there.
        if magic.starts_with(&MAGIC[..7]) && magic[7] != 0 {
            return Err(io::Error::other(format!(
                "segment {number:016x} is of version {} of the spool, which this gateway does not know",
                magic[7]
            )));
        }
        segment.length = 0;
        return Ok(segment);
    }
    while let Some((frame, more)) = frame::read(rest) {
        segment.add(frame.came_at, rest.len() - more.len());
        rest = more;
    }
    Ok(segment)
}

#[cfg(test)]
mod fake_disk;
#[cfg(test)]
mod tests;
