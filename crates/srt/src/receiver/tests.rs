//! The receiver against its promises.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

const ISN: u32 = 0x7fff_fff0;
const FIRST: u64 = (1 << 31) + ISN as u64;

#[allow(
    clippy::disallowed_methods,
    reason = "tests need one instant to count from"
)]
fn start() -> Instant {
    Instant::now()
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn receiver(now: Instant) -> Receiver {
    let settings = Settings {
        isn: Seq::new(ISN),
        window_packets: 8192,
        gaps_max: 64,
    };
    Receiver::new(settings, now)
}

/// Takes packet `place` with half a second to its deadline.
fn take(receiver: &mut Receiver, now: Instant, place: u32) -> Arrival {
    let seq = Seq::new(ISN).add(place);
    receiver.handle_data(now, seq, 1000, false, now + ms(500))
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Reports {
    full: Vec<(u32, u64)>,
    light: Vec<u64>,
    naks: Vec<(u64, u64)>,
}

/// Everything to report, as places in the stream.
fn reports(receiver: &mut Receiver, now: Instant) -> Reports {
    let place = |seq: Seq| u64::from(seq.distance(Seq::new(ISN)));
    let mut reports = Reports::default();
    while let Some(report) = receiver.poll_report(now) {
        match report {
            Report::Ack(ack) if ack.number == 0 => reports.light.push(place(ack.next)),
            Report::Ack(ack) => reports.full.push((ack.number, place(ack.next))),
            Report::Nak(ranges) => {
                let ranges = ranges.iter().map(|r| (place(r.first()), place(r.last())));
                reports.naks.extend(ranges);
            }
        }
    }
    reports
}

#[test]
fn a_steady_stream_is_acknowledged_every_ten_milliseconds_by_its_packets() {
    let start = start();
    let mut receiver = receiver(start);
    let mut full = Vec::new();
    for place in 0..1000 {
        let now = start + ms(u64::from(place));
        take(&mut receiver, now, place);
        let timer = receiver.poll_timeout();
        assert!(
            timer.is_none_or(|at| at > now),
            "no timer is due while packets come"
        );
        full.extend(reports(&mut receiver, now).full);
    }
    assert_eq!(full.len(), 100);
    assert_eq!(full[0], (1, 1));
    assert_eq!(full[99], (100, 991));
}

/// Gaps wait so long from when they open.
fn release(receiver: &mut Receiver, now: Instant, wait: Duration) {
    receiver.release_gaps(now, |gap| gap.opened_at + wait);
}

#[test]
fn a_held_gap_is_reported_when_it_is_let_go_and_then_repeated() {
    let start = start();
    let mut receiver = receiver(start);
    receiver.hold_gaps();
    take(&mut receiver, start, 0);
    take(&mut receiver, start, 3);
    take(&mut receiver, start + ms(5), 6);
    release(&mut receiver, start + ms(5), ms(40));
    assert_eq!(reports(&mut receiver, start + ms(5)).naks, []);
    assert!(
        receiver
            .poll_timeout()
            .is_some_and(|at| at <= start + ms(40))
    );
    for (at_ms, expected) in [(39, &[][..]), (40, &[(1, 2)]), (44, &[]), (45, &[(4, 5)])] {
        let now = start + ms(at_ms);
        receiver.handle_timeout(now);
        release(&mut receiver, now, ms(40));
        assert_eq!(reports(&mut receiver, now).naks, expected, "{at_ms} ms");
    }
    let later = start + ms(45) + receiver.rtt().patience();
    receiver.handle_timeout(later);
    release(&mut receiver, later, ms(40));
    assert_eq!(reports(&mut receiver, later).naks, [(1, 2), (4, 5)]);
}

#[test]
fn a_lost_repair_leaves_time_for_another() {
    let start = start();
    let mut receiver = receiver(start);
    receiver.hold_gaps();
    take(&mut receiver, start, 0);
    take(&mut receiver, start, 2);
    release(&mut receiver, start, ms(0));
    assert_eq!(reports(&mut receiver, start).naks, [(1, 1)]);
    // Repairs are seen to take longer than there is left.
    (0..50).for_each(|_| receiver.rtt.sample(ms(600)));
    let asked = (1..=500).filter(|at_ms| {
        let now = start + ms(*at_ms);
        receiver.handle_timeout(now);
        !reports(&mut receiver, now).naks.is_empty()
    });
    assert_eq!(asked.count(), 1);
}

#[test]
fn what_would_come_too_late_is_not_asked_for() {
    let start = start();
    let mut receiver = receiver(start);
    take(&mut receiver, start, 0);
    // 2 s later; there is half a second to the deadline.
    let back = start + ms(2000);
    take(&mut receiver, back, 200);
    let naks = reports(&mut receiver, back).naks;
    assert_eq!(
        naks,
        [(150, 199)],
        "one in 10 ms, and the last 500 ms are in time"
    );
    assert_eq!(
        receiver.missing(),
        199,
        "should they come, they are welcome"
    );
}

#[test]
fn a_gap_that_fills_while_it_is_held_is_never_reported() {
    let start = start();
    let mut receiver = receiver(start);
    receiver.hold_gaps();
    take(&mut receiver, start, 0);
    take(&mut receiver, start, 4);
    take(&mut receiver, start + ms(20), 2);
    take(&mut receiver, start + ms(20), 1);
    let now = start + ms(50);
    release(&mut receiver, now, ms(40));
    assert_eq!(reports(&mut receiver, now).naks, [(3, 3)]);
    take(&mut receiver, now, 3);
    let later = start + ms(400);
    receiver.handle_timeout(later);
    release(&mut receiver, later, ms(40));
    assert_eq!(reports(&mut receiver, later).naks, []);
    let statistics = receiver.statistics();
    assert_eq!(statistics.naks, 1);
    // Two were only overtaken.
    assert_eq!((statistics.lost, statistics.recovered), (1, 1));
}

#[test]
fn a_held_gap_is_given_up_at_its_deadline_all_the_same() {
    let start = start();
    let mut receiver = receiver(start);
    receiver.hold_gaps();
    take(&mut receiver, start, 0);
    take(&mut receiver, start, 2);
    let deadline = start + ms(500);
    receiver.handle_timeout(deadline);
    release(&mut receiver, deadline, ms(1000));
    let statistics = receiver.statistics();
    assert_eq!((statistics.lost, statistics.dropped), (1, 1));
    assert_eq!(reports(&mut receiver, deadline).full.last().unwrap().1, 3);
}

#[test]
fn many_packets_between_two_acknowledgements_get_light_ones() {
    let now = start();
    let mut receiver = receiver(now);
    let mut light = Vec::new();
    for place in 0..200 {
        take(&mut receiver, now, place);
        light.extend(reports(&mut receiver, now).light);
    }
    assert_eq!(light, [65, 129, 193]);
}

#[test]
fn a_gap_is_reported_at_once_and_again_until_it_is_filled() {
    let start = start();
    let mut receiver = receiver(start);
    take(&mut receiver, start, 0);
    take(&mut receiver, start, 5);
    assert_eq!(reports(&mut receiver, start).naks, [(1, 4)]);
    let next = start + ms(150);
    receiver.handle_timeout(next - ms(1));
    assert_eq!(reports(&mut receiver, next - ms(1)).naks, []);
    take(&mut receiver, next, 2);
    receiver.handle_timeout(next);
    let repeated = reports(&mut receiver, next);
    assert_eq!(repeated.naks, [(1, 1), (3, 4)]);
    assert!(repeated.full.iter().all(|(_, point)| *point == 1));
    for place in [1, 3, 4] {
        assert!(matches!(
            take(&mut receiver, next, place),
            Arrival::Recovered { .. }
        ));
    }
    receiver.handle_timeout(next + ms(400));
    let last = reports(&mut receiver, next + ms(400));
    assert_eq!((last.naks, last.full.last()), (vec![], Some(&(2, 6))));
}

#[test]
fn a_gap_is_given_up_when_what_follows_is_due() {
    let start = start();
    let mut receiver = receiver(start);
    take(&mut receiver, start, 0);
    take(&mut receiver, start, 3);
    let due = start + ms(500);
    receiver.handle_timeout(due);
    assert_eq!(
        reports(&mut receiver, due).full.last().map(|ack| ack.1),
        Some(4)
    );
    assert_eq!(receiver.statistics().dropped, 2);
    assert_eq!(take(&mut receiver, due, 1), Arrival::Duplicate);
}

#[test]
fn a_drop_request_gives_up_what_is_missing_and_nothing_else() {
    let now = start();
    let mut receiver = receiver(now);
    take(&mut receiver, now, 0);
    take(&mut receiver, now, 10);
    let range = |first, last| {
        let seq = |place| Seq::new(ISN).add(place);
        SeqRange::new(seq(first), seq(last)).expect("in order")
    };
    receiver.handle_drop_request(range(0, 4));
    receiver.handle_drop_request(range(8, 5000));
    assert_eq!(receiver.statistics().dropped, 4 + 2);
    assert!(receiver.is_missing(FIRST + 5) && receiver.is_missing(FIRST + 7));
    assert!(!receiver.is_missing(FIRST + 4) && !receiver.is_missing(FIRST + 8));
    assert!(matches!(
        take(&mut receiver, now, 11),
        Arrival::New { index } if index == FIRST + 11
    ));
}

#[test]
fn a_jump_beyond_the_window_is_a_new_place_and_a_wild_one_is_nothing() {
    let now = start();
    let mut receiver = receiver(now);
    take(&mut receiver, now, 0);
    take(&mut receiver, now, 3);
    let index = FIRST + 9000;
    assert_eq!(take(&mut receiver, now, 9000), Arrival::Resync { index });
    assert_eq!(receiver.statistics().dropped, 2 + 8996);
    let wild = 9000 + RESYNC_MAX + 1;
    assert_eq!(take(&mut receiver, now, wild), Arrival::OutOfWindow);
    assert!(matches!(
        take(&mut receiver, now, 9001),
        Arrival::New { .. }
    ));
}

#[test]
fn a_quiet_connection_needs_no_timer() {
    let start = start();
    let mut receiver = receiver(start);
    assert_eq!(receiver.poll_timeout(), None);
    take(&mut receiver, start, 0);
    let first = reports(&mut receiver, start).full[0].0;
    let again_at = receiver.poll_timeout().expect("not confirmed yet");
    receiver.handle_timeout(again_at);
    assert_eq!(reports(&mut receiver, again_at).full, [(first + 1, 1)]);
    assert!(receiver.handle_ackack(again_at, first).is_some());
    assert_eq!(receiver.poll_timeout(), None, "either answer confirms it");
    assert_eq!(receiver.handle_ackack(again_at, first), None);
    assert_eq!(receiver.handle_ackack(again_at, 77), None);
}

proptest! {
    /// Packets lost, late, doubled, over one path or several: the books agree with a set.
    #[test]
    fn the_books_balance(
        holds in any::<bool>(),
        steps in prop::collection::vec((0u32..12, 0u32..30, 0u64..40), 1..300),
    ) {
        let mut now = start();
        let mut receiver = receiver(now);
        if holds {
            receiver.hold_gaps();
        }
        let (mut newest, mut seen) = (0, BTreeSet::new());
        for (ahead, behind, wait_ms) in steps {
            now += ms(wait_ms);
            receiver.handle_timeout(now);
            release(&mut receiver, now, ms(30));
            let place = if behind > 15 { newest + ahead } else { newest.saturating_sub(behind) };
            let missing = receiver.is_missing(FIRST + u64::from(place));
            let is_new = FIRST + u64::from(place) > receiver.highest();
            match take(&mut receiver, now, place) {
                Arrival::New { index } => {
                    prop_assert!(is_new && index == FIRST + u64::from(place));
                    prop_assert!(seen.insert(place));
                    newest = place;
                }
                Arrival::Recovered { .. } => {
                    prop_assert!(missing);
                    prop_assert!(seen.insert(place));
                }
                Arrival::Duplicate => prop_assert!(!missing && !is_new),
                other => prop_assert!(false, "{:?}", other),
            }
            for (first, last) in reports(&mut receiver, now).naks {
                for place in first..=last {
                    prop_assert!(receiver.is_missing(FIRST + place));
                }
            }
            let statistics = *receiver.statistics();
            let open = (0..newest).filter(|p| receiver.is_missing(FIRST + u64::from(*p)));
            let open = open.count() as u64 - receiver.held_packets();
            prop_assert_eq!(statistics.lost, statistics.recovered + statistics.dropped + open);
            prop_assert_eq!(statistics.packets, seen.len() as u64);
        }
    }
}
