//! A minute of points in few bytes.
//!
//! ```text
//! point: varint flags · node · counts · head row · publisher row · link rows
//! row:   a bit per column that is not as predicted · their differences as zigzag varints
//! ```
//!
//! A column of a row is predicted from the rows before in its place: a gauge stays as it
//! is, a counter grows as it did. Most are right, most others are off by a little, so a
//! point of three links takes about a tenth of its size in memory. Node names and link
//! identities are kept once for each block. The legs of players are left out: a history
//! counts them only.
//!
//! To add a field, add it to its line of [`columns!`]: the compiler asks for it.

use std::sync::Arc;

use model::live::{Claim, Figures, Identity, Link};
use model::telemetry::PublisherSample;
use model::{NodeId, UnixMillis};

use crate::point::Point;

const PUBLISHING: u64 = 1;
const PUBLISHER: u64 = 2;

/// Points that were encoded together.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) len: usize,
    /// When the last point came, by our clock.
    pub(crate) came: UnixMillis,
    /// When its node saw the last point.
    pub(crate) last: UnixMillis,
    nodes: Box<[NodeId]>,
    identities: Box<[Arc<Identity>]>,
    data: Box<[u8]>,
}

impl Block {
    /// Encodes points, oldest first; none for none. The last one came at `came`.
    pub(crate) fn new(points: &[Arc<Point>], came: UnixMillis) -> Option<Self> {
        let last = points.last()?.observed_at;
        let mut encoder = Encoder::default();
        points.iter().for_each(|point| encoder.point(point));
        Some(Self {
            len: points.len(),
            came,
            last,
            nodes: encoder.nodes.into(),
            identities: encoder.identities.into(),
            data: encoder.data.into(),
        })
    }

    /// The points again, without their players' legs.
    pub(crate) fn points(&self) -> Vec<Point> {
        let mut decoder = Decoder {
            block: self,
            data: &self.data,
            rows: Rows::default(),
        };
        (0..self.len).map(|_| decoder.point()).collect()
    }

    /// What it takes of the memory that histories share.
    pub(crate) fn bytes(&self) -> usize {
        let nodes = self.nodes.iter().map(|node| node.as_str().len());
        let identities = self.identities.iter();
        let names =
            identities.map(|identity| identity.asn_org.as_ref().map_or(0, |name| name.len()));
        size_of::<Self>()
            + self.data.len()
            + size_of_val(&*self.nodes)
            + self.identities.len() * (size_of::<Arc<Identity>>() + size_of::<Identity>())
            + nodes.chain(names).sum::<usize>()
    }
}

/// A number as a column has it.
trait Column: Copy {
    fn to_column(self) -> u64;
    fn of_column(column: u64) -> Self;
}

/// A struct as a row of columns.
trait Row: Sized {
    /// For each column whether it only grows.
    const COUNTERS: &'static [bool];
    fn columns(&self) -> Vec<u64>;
    fn of_columns(columns: &[u64]) -> Self;
}

impl Column for u64 {
    fn to_column(self) -> u64 {
        self
    }
    fn of_column(column: u64) -> Self {
        column
    }
}

impl Column for u32 {
    fn to_column(self) -> u64 {
        self.into()
    }
    fn of_column(column: u64) -> Self {
        column as Self
    }
}

impl Column for i64 {
    fn to_column(self) -> u64 {
        self.cast_unsigned()
    }
    fn of_column(column: u64) -> Self {
        column.cast_signed()
    }
}

/// Absent is 0, and everything else one more than it is.
impl Column for Option<u32> {
    fn to_column(self) -> u64 {
        self.map_or(0, |value| u64::from(value) + 1)
    }
    fn of_column(column: u64) -> Self {
        column.checked_sub(1).map(|value| value as u32)
    }
}

/// Names the columns of a struct: those that only grow, and the others.
macro_rules! columns {
    ($name:ident { counters: $($counter:ident),+; gauges: $($gauge:ident),+ }) => {
        impl Row for $name {
            const COUNTERS: &'static [bool] = &[
                $({ let _ = stringify!($counter); true }),+,
                $({ let _ = stringify!($gauge); false }),+
            ];

            fn columns(&self) -> Vec<u64> {
                vec![$(self.$counter.to_column()),+, $(self.$gauge.to_column()),+]
            }

            fn of_columns(columns: &[u64]) -> Self {
                let mut columns = columns.iter().copied();
                let mut next = || columns.next().expect("a row has all of its columns");
                Self {
                    $($counter: Column::of_column(next())),+,
                    $($gauge: Column::of_column(next())),+
                }
            }
        }
    };
}

columns!(PublisherSample {
    counters: bytes_total, packets_total, packets_lost_total, packets_recovered_total,
        packets_dropped_total, packets_duplicate_total, uptime_ms, naks_sent_total,
        packets_retransmitted_total, packets_limited_total, acks_sent_total,
        ackacks_received_total;
    gauges: bitrate_bps, rtt_us, latency_ms, packets_missing, packets_buffered,
        reorder_packets_max, rtt_var_us, drift_us
});

columns!(Figures {
    counters: bytes, packets, duplicates, late, retransmitted, lost, uptime_s;
    gauges: bitrate_kbps, share_permille, bitrate_10s_kbps, share_10s_permille,
        loss_10s_hundredths_pct, jitter_tenths_ms, delay_tenths_ms, silent_ms
});

columns!(Claim {
    counters: naks;
    gauges: rtt_ms, window_packets, in_flight_packets, bitrate_kbps
});

/// The numbers of a point that belong to no leg. An absent rate is 0, others are one more.
#[derive(Clone, Copy)]
struct Head {
    observed_at: i64,
    ingress: u64,
    egress: u64,
    players_total: u64,
}

columns!(Head {
    counters: observed_at;
    gauges: ingress, egress, players_total
});

/// What a row is predicted from.
#[derive(Default)]
struct Before {
    columns: Vec<u64>,
    growth: Vec<u64>,
}

impl Before {
    fn predicted<R: Row>(&mut self, column: usize) -> u64 {
        self.columns.resize(R::COUNTERS.len(), 0);
        self.growth.resize(R::COUNTERS.len(), 0);
        if R::COUNTERS[column] {
            self.columns[column].wrapping_add(self.growth[column])
        } else {
            self.columns[column]
        }
    }

    fn note(&mut self, column: usize, value: u64) {
        self.growth[column] = value.wrapping_sub(self.columns[column]);
        self.columns[column] = value;
    }
}

/// The rows before, each in its place.
#[derive(Default)]
struct Rows {
    head: Before,
    publisher: Before,
    links: Vec<(Before, Before)>,
}

impl Rows {
    fn link(&mut self, place: usize) -> &mut (Before, Before) {
        if self.links.len() <= place {
            self.links.resize_with(place + 1, Default::default);
        }
        &mut self.links[place]
    }
}

#[derive(Default)]
struct Encoder {
    data: Vec<u8>,
    nodes: Vec<NodeId>,
    identities: Vec<Arc<Identity>>,
    rows: Rows,
}

impl Encoder {
    fn point(&mut self, point: &Point) {
        let publishing = if point.publishing { PUBLISHING } else { 0 };
        let publisher = if point.publisher.is_some() {
            PUBLISHER
        } else {
            0
        };
        put(&mut self.data, publishing | publisher);
        let node = place(&mut self.nodes, &point.node_id);
        put(&mut self.data, node);
        put(&mut self.data, point.links.len() as u64);
        put_row(&mut self.data, &mut self.rows.head, &Head::of(point));
        if let Some(publisher) = &point.publisher {
            put_row(&mut self.data, &mut self.rows.publisher, publisher);
        }
        for (number, link) in point.links.iter().enumerate() {
            self.link(number, link);
        }
    }

    fn link(&mut self, number: usize, link: &Link) {
        // Its lowest bit says whether the sender claims anything.
        let identity = place(&mut self.identities, &link.identity);
        put(
            &mut self.data,
            identity << 1 | u64::from(link.sender.is_some()),
        );
        let (figures, claim) = self.rows.link(number);
        put_row(&mut self.data, figures, &link.figures);
        if let Some(sender) = &link.sender {
            put_row(&mut self.data, claim, sender);
        }
    }
}

impl Head {
    fn of(point: &Point) -> Self {
        let rate = |rate: Option<u64>| rate.map_or(0, |rate| rate.saturating_add(1));
        Self {
            observed_at: point.observed_at.0,
            ingress: rate(point.ingress_bitrate_bps),
            egress: rate(point.egress_bitrate_bps),
            players_total: point.players_total as u64,
        }
    }
}

struct Decoder<'a> {
    block: &'a Block,
    data: &'a [u8],
    rows: Rows,
}

impl Decoder<'_> {
    fn point(&mut self) -> Point {
        let flags = take(&mut self.data);
        let node = take(&mut self.data) as usize;
        let links = take(&mut self.data) as usize;
        let head: Head = take_row(&mut self.data, &mut self.rows.head);
        let publisher =
            (flags & PUBLISHER != 0).then(|| take_row(&mut self.data, &mut self.rows.publisher));
        Point {
            observed_at: UnixMillis(head.observed_at),
            node_id: self.block.nodes[node].clone(),
            publishing: flags & PUBLISHING != 0,
            ingress_bitrate_bps: head.ingress.checked_sub(1),
            egress_bitrate_bps: head.egress.checked_sub(1),
            publisher,
            players_total: head.players_total as usize,
            players: Box::default(),
            links: (0..links).map(|number| self.link(number)).collect(),
        }
    }

    fn link(&mut self, number: usize) -> Link {
        let identity = take(&mut self.data);
        let (figures, claim) = self.rows.link(number);
        Link {
            identity: self.block.identities[(identity >> 1) as usize].clone(),
            figures: take_row(&mut self.data, figures),
            sender: (identity & 1 != 0).then(|| take_row(&mut self.data, claim)),
        }
    }
}

/// Where a value is in a dictionary; it is added when it is not.
fn place<T: Clone + PartialEq>(dictionary: &mut Vec<T>, value: &T) -> u64 {
    let known = dictionary.iter().position(|known| known == value);
    known.unwrap_or_else(|| {
        dictionary.push(value.clone());
        dictionary.len() - 1
    }) as u64
}

fn put_row<R: Row>(data: &mut Vec<u8>, before: &mut Before, row: &R) {
    let bits_at = data.len();
    data.resize(bits_at + R::COUNTERS.len().div_ceil(8), 0);
    for (column, value) in row.columns().into_iter().enumerate() {
        let difference = value.wrapping_sub(before.predicted::<R>(column));
        before.note(column, value);
        if difference != 0 {
            data[bits_at + column / 8] |= 1 << (column % 8);
            put(data, zigzag(difference));
        }
    }
}

fn take_row<R: Row>(data: &mut &[u8], before: &mut Before) -> R {
    let (bits, rest) = data.split_at(R::COUNTERS.len().div_ceil(8));
    *data = rest;
    for column in 0..R::COUNTERS.len() {
        let is_off = bits[column / 8] & (1 << (column % 8)) != 0;
        let difference = if is_off { unzigzag(take(data)) } else { 0 };
        let value = before.predicted::<R>(column).wrapping_add(difference);
        before.note(column, value);
    }
    R::of_columns(&before.columns)
}

/// Small differences, up or down, become small numbers.
const fn zigzag(difference: u64) -> u64 {
    let signed = difference.cast_signed();
    ((signed << 1) ^ (signed >> 63)).cast_unsigned()
}

const fn unzigzag(number: u64) -> u64 {
    (number >> 1) ^ (number & 1).wrapping_neg()
}

/// Seven bits a byte, the lowest first; the highest bit says that more follow.
fn put(data: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        data.push(number as u8 | 0x80);
        number >>= 7;
    }
    data.push(number as u8);
}

fn take(data: &mut &[u8]) -> u64 {
    let (mut number, mut shift) = (0, 0);
    loop {
        let (byte, rest) = data
            .split_first()
            .expect("a block ends with its last point");
        *data = rest;
        number |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            return number;
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use model::telemetry::LinkType;
    use testkit::random::Random;

    use super::*;

    /// A value of any size, small ones more often.
    fn any(random: &mut Random) -> u64 {
        let bits = random.below(65);
        if bits == 0 {
            0
        } else {
            random.bits() >> (64 - bits)
        }
    }

    fn any_row<R: Row>(random: &mut Random) -> R {
        let columns: Vec<u64> = R::COUNTERS.iter().map(|_| any(random)).collect();
        R::of_columns(&columns)
    }

    fn any_link(random: &mut Random) -> Link {
        let number = random.below(4);
        let identity = Identity {
            number,
            addr: ([203, 0, 113, number as u8], 40_000).into(),
            asn_org: random.chance(0.5).then(|| "Example Mobile".into()),
            asn: random.chance(0.5).then_some(64_500),
            link_type: LinkType::Cellular,
        };
        Link {
            identity: Arc::new(identity),
            figures: any_row(random),
            sender: random.chance(0.5).then(|| any_row(random)),
        }
    }

    fn any_point(random: &mut Random) -> Point {
        let links = random.below(5);
        let rate = |random: &mut Random| random.chance(0.8).then(|| any(random) >> 1);
        Point {
            observed_at: UnixMillis(any(random).cast_signed()),
            node_id: NodeId::from_u128(random.below(3).into()),
            publishing: random.chance(0.5),
            ingress_bitrate_bps: rate(random),
            egress_bitrate_bps: rate(random),
            publisher: random.chance(0.8).then(|| any_row(random)),
            players_total: any(random) as usize,
            players: Box::default(),
            links: (0..links).map(|_| any_link(random)).collect(),
        }
    }

    #[test]
    fn points_come_back_as_they_were() {
        for seed in 0..300 {
            let mut random = Random::new(seed);
            let points: Vec<_> = (0..random.below(70))
                .map(|_| Arc::new(any_point(&mut random)))
                .collect();
            let Some(block) = Block::new(&points, UnixMillis(7)) else {
                assert!(points.is_empty());
                continue;
            };
            let again = block.points();
            assert_eq!(again.len(), points.len());
            for (again, point) in again.iter().zip(&points) {
                assert_eq!(again, &**point, "seed {seed}");
            }
        }
    }

    #[test]
    fn the_ends_of_a_column_come_back() {
        for value in [0, 1, 0x7f, 0x80, u64::MAX / 2, u64::MAX / 2 + 1, u64::MAX] {
            assert_eq!(unzigzag(zigzag(value)), value);
            let mut data = Vec::new();
            put(&mut data, value);
            assert_eq!(take(&mut &data[..]), value);
        }
        assert_eq!(
            zigzag(1_u64.wrapping_neg()),
            1,
            "one less is a small number"
        );
    }
}
