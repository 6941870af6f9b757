use proptest::prelude::*;
use testkit::random::Random;

use super::fake_disk::FakeDisk;
use super::*;

/// Two or three of the records below.
const SMALL: u64 = 64;

fn entry(number: u32, random: &mut Random) -> Entry {
    let mut payload = number.to_le_bytes().to_vec();
    payload.resize(4 + random.below(20) as usize, 0xEE);
    let came_at = UnixMillis(number.into());
    let frame = frame::write(came_at, &payload).unwrap();
    Entry { came_at, frame }
}

fn number(payload: &[u8]) -> u32 {
    u32::from_le_bytes(*payload.first_chunk().unwrap())
}

/// Reads and removes everything; the records' numbers.
fn drain(log: &mut Log<FakeDisk>) -> Vec<u32> {
    let mut numbers = Vec::new();
    while let Some(mut sealed) = log.oldest().unwrap() {
        while let Some(payload) = sealed.next() {
            numbers.push(number(payload));
        }
        log.remove(&sealed, false).unwrap();
    }
    numbers
}

/// Appends so many records, each by itself.
fn fill(log: &mut Log<FakeDisk>, count: u32) {
    let mut random = Random::new(1);
    for number in 0..count {
        log.append(&[entry(number, &mut random)]).unwrap();
    }
}

/// What a run of a log was told.
#[derive(Default)]
struct Told {
    tried: u32,
    kept: Vec<u32>,
}

impl Told {
    /// Appends and removes at random until the disk fails.
    fn run(&mut self, log: &mut Log<FakeDisk>, random: &mut Random) -> io::Result<()> {
        for _ in 0..40 {
            if random.below(4) == 0 {
                self.take_one(log)?;
            } else {
                self.append(log, random)?;
            }
        }
        Ok(())
    }

    fn append(&mut self, log: &mut Log<FakeDisk>, random: &mut Random) -> io::Result<()> {
        let first = self.tried;
        self.tried += 1 + random.below(5) as u32;
        let entries: Vec<Entry> = (first..self.tried).map(|it| entry(it, random)).collect();
        log.append(&entries)?;
        self.kept.extend(first..self.tried);
        Ok(())
    }

    fn take_one(&mut self, log: &mut Log<FakeDisk>) -> io::Result<()> {
        let Some(mut sealed) = log.oldest()? else {
            return Ok(());
        };
        let mut taken = Vec::new();
        while let Some(payload) = sealed.next() {
            taken.push(number(payload));
        }
        // Whoever removes it has the records elsewhere: they may be gone from now on.
        self.kept.retain(|number| !taken.contains(number));
        log.remove(&sealed, false).map(drop)
    }

    /// Everything that was kept is there, in order, and nothing that never was.
    fn check(&self, found: &[u32]) {
        assert!(found.is_sorted_by(|one, next| one < next), "{found:?}");
        assert!(found.iter().all(|number| *number < self.tried), "{found:?}");
        let lost: Vec<_> = self
            .kept
            .iter()
            .filter(|number| !found.contains(number))
            .collect();
        assert!(lost.is_empty(), "{lost:?} of {:?} in {found:?}", self.kept);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_power_cut_between_any_two_steps_loses_nothing_that_was_kept(
        seed in any::<u64>(), steps in 0_u32..260, again in prop::option::of(0_u32..6),
    ) {
        let mut random = Random::new(seed);
        let disk = FakeDisk::default();
        let mut log = Log::with(disk.clone(), SMALL).unwrap();
        let mut told = Told::default();
        disk.lose_power_in(steps);
        let _ = told.run(&mut log, &mut random);
        let mut disk = disk.after_power_cut(&mut random);
        // And once more while it is mended.
        if let Some(steps) = again {
            disk.lose_power_in(steps);
            let _ = Log::with(disk.clone(), SMALL);
            disk = disk.after_power_cut(&mut random);
        }
        let mut log = Log::with(disk.clone(), SMALL).unwrap();
        told.append(&mut log, &mut random).unwrap();
        told.check(&drain(&mut log));
        prop_assert!(disk.set_aside().is_empty(), "a power cut is no damage");
        prop_assert_eq!(log.held(), Held::default());
    }

    #[test]
    fn a_step_that_fails_loses_nothing_that_was_kept(seed in any::<u64>(), steps in 0_u32..200) {
        let mut random = Random::new(seed);
        let disk = FakeDisk::default();
        let mut log = Log::with(disk.clone(), SMALL).unwrap();
        let mut told = Told::default();
        disk.fail_in(steps);
        let _ = told.run(&mut log, &mut random);
        told.append(&mut log, &mut random).unwrap();
        drop(log);
        told.check(&drain(&mut Log::with(disk, SMALL).unwrap()));
    }

    #[test]
    fn a_wrong_bit_costs_what_follows_it_in_its_segment(bit in any::<prop::sample::Index>()) {
        let disk = FakeDisk::default();
        let mut log = Log::with(disk.clone(), SMALL).unwrap();
        fill(&mut log, 12);
        let whole = drain_copy(&disk);
        let first = disk.list().unwrap().into_iter().min().unwrap();
        let length = disk.read(first).unwrap().len();
        // Of another version it would be refused, and rightly so.
        let bit = (bit.index((length - 8) * 8) + 64) % (length * 8);
        disk.spoil(first, |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
        let mut log = Log::with(disk.clone(), SMALL).unwrap();
        let found = drain(&mut log);
        prop_assert_eq!(disk.set_aside(), vec![first]);
        prop_assert!(found.len() < whole.len());
        prop_assert!(found.iter().all(|number| whole.contains(number)));
        let others = whole.len() - of_segment(&whole, length);
        prop_assert_eq!(&found[found.len() - others..], &whole[whole.len() - others..]);
    }
}

/// Everything, and nothing removed.
fn drain_copy(disk: &FakeDisk) -> Vec<u32> {
    let copy = disk.after_power_cut(&mut Random::new(1));
    drain(&mut Log::with(copy, SMALL).unwrap())
}

/// How many of the records that `fill` makes are in a first segment of this length.
fn of_segment(numbers: &[u32], length: usize) -> usize {
    let mut random = Random::new(1);
    let mut end = MAGIC.len();
    let lengths = numbers
        .iter()
        .map(|number| entry(*number, &mut random).frame.len());
    lengths
        .take_while(|frame| {
            end += frame;
            end <= length
        })
        .count()
}

#[test]
fn a_tail_that_is_torn_at_any_byte_is_cut() {
    let disk = FakeDisk::default();
    let mut log = Log::with(disk.clone(), SEGMENT_BYTES).unwrap();
    fill(&mut log, 4);
    let whole = disk.read(0).unwrap();
    for length in 0..whole.len() {
        let torn = FakeDisk::default();
        let mut fresh = torn.clone();
        fresh.create(0).unwrap();
        torn.spoil(0, |bytes| *bytes = whole[..length].to_vec());
        let mut log = Log::with(torn.clone(), SEGMENT_BYTES).unwrap();
        let found = drain(&mut log);
        assert!(found.is_sorted() && found.len() < 4, "{length}: {found:?}");
        assert!(torn.set_aside().is_empty(), "{length}");
    }
}

#[test]
fn segments_fill_are_read_in_order_and_go_whole() {
    let disk = FakeDisk::default();
    let mut log = Log::with(disk.clone(), SMALL).unwrap();
    fill(&mut log, 20);
    assert!(disk.list().unwrap().len() > 3);
    let held = log.held();
    assert_eq!((held.records, held.oldest_at), (20, Some(UnixMillis(0))));
    let mut sealed = log.oldest().unwrap().unwrap();
    let place = sealed.place();
    assert_eq!(sealed.next().map(number), Some(0));
    sealed.back(place);
    assert_eq!(sealed.next().map(number), Some(0), "until it is removed");
    let removed = log.remove(&sealed, false).unwrap();
    assert_eq!(log.held().bytes, held.bytes - removed);
    assert_eq!(log.remove(&sealed, false).unwrap(), 0);
    let rest = drain(&mut log);
    assert_eq!(rest, (20 - rest.len() as u32..20).collect::<Vec<_>>());
    assert_eq!(disk.list().unwrap(), [0_u64; 0]);
}

#[test]
fn what_cannot_be_understood_is_set_aside() {
    let disk = FakeDisk::default();
    let mut log = Log::with(disk.clone(), SMALL).unwrap();
    fill(&mut log, 1);
    let sealed = log.oldest().unwrap().unwrap();
    log.remove(&sealed, true).unwrap();
    assert_eq!(disk.set_aside(), [0]);
}

#[test]
fn a_head_that_was_never_written_whole_is_cut() {
    let disk = FakeDisk::default();
    fill(&mut Log::with(disk.clone(), SMALL).unwrap(), 1);
    disk.spoil(0, |bytes| bytes[7..].fill(0));
    let mut log = Log::with(disk.clone(), SMALL).unwrap();
    assert_eq!(drain(&mut log), [0; 0]);
    assert_eq!(disk.list().unwrap(), [0_u64; 0]);
}

#[test]
fn a_spool_of_a_newer_version_is_left_alone() {
    let disk = FakeDisk::default();
    fill(&mut Log::with(disk.clone(), SMALL).unwrap(), 1);
    disk.spoil(0, |bytes| bytes[7] = 2);
    let error = Log::with(disk.clone(), SMALL).unwrap_err();
    assert!(error.to_string().contains("version 2"), "{error}");
    assert_eq!(disk.list().unwrap(), [0]);
}

/// The first byte of the first record's payload.
const IN_THE_FIRST: usize = MAGIC.len() + frame::HEAD_LENGTH;

#[test]
fn what_is_wrong_before_whole_records_is_no_torn_write() {
    let disk = FakeDisk::default();
    fill(&mut Log::with(disk.clone(), SEGMENT_BYTES).unwrap(), 4);
    disk.spoil(0, |bytes| bytes[IN_THE_FIRST] ^= 1);
    let mut log = Log::with(disk.clone(), SEGMENT_BYTES).unwrap();
    assert_eq!(drain(&mut log), [0; 0]);
    assert_eq!(disk.set_aside(), [0]);
}

#[test]
fn what_the_disk_spoils_after_the_start_is_not_taken_for_an_end() {
    let disk = FakeDisk::default();
    let mut log = Log::with(disk.clone(), SEGMENT_BYTES).unwrap();
    fill(&mut log, 4);
    let read = |log: &mut Log<FakeDisk>| {
        let mut sealed = log.oldest().unwrap().unwrap();
        while sealed.next().is_some() {}
        sealed.is_whole()
    };
    assert!(read(&mut log));
    disk.spoil(0, |bytes| bytes[IN_THE_FIRST] ^= 1);
    assert!(!read(&mut log));
}
