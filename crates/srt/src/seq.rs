//! Sequence numbers: 31 bits that wrap, and inclusive ranges of them.

/// A packet sequence number, modulo 2³¹.
///
/// It has no `Ord`: on a circle "less than" is not transitive. Compare with [`Seq::is_after`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Seq(u32);

const MASK: u32 = 0x7fff_ffff;
const HALF: u32 = 0x4000_0000;

impl Seq {
    /// Takes the low 31 bits of `value`.
    pub const fn new(value: u32) -> Self {
        Self(value & MASK)
    }

    /// The number as it stands on the wire, below 2³¹.
    pub const fn value(self) -> u32 {
        self.0
    }

    /// The number `count` places later.
    pub const fn add(self, count: u32) -> Self {
        Self::new(self.0.wrapping_add(count))
    }

    /// The number `count` places earlier.
    pub const fn sub(self, count: u32) -> Self {
        Self::new(self.0.wrapping_sub(count))
    }

    /// The number right after this one.
    pub const fn next(self) -> Self {
        self.add(1)
    }

    /// The number right before this one.
    pub const fn previous(self) -> Self {
        self.sub(1)
    }

    /// How many places this number is past `earlier`, going forward round the circle.
    ///
    /// Meaningful when `self` is known not to lie before `earlier`; see [`Seq::offset`] otherwise.
    pub const fn distance(self, earlier: Self) -> u32 {
        self.0.wrapping_sub(earlier.0) & MASK
    }

    /// The signed distance from `other` the short way round, in −2³⁰ ≤ d < 2³⁰.
    pub const fn offset(self, other: Self) -> i32 {
        let forward = self.distance(other);
        if forward < HALF {
            forward as i32
        } else {
            forward as i32 - (MASK as i32) - 1
        }
    }

    /// Whether this number lies after `other`: 0 < distance < 2³⁰.
    pub const fn is_after(self, other: Self) -> bool {
        let forward = self.distance(other);
        forward > 0 && forward < HALF
    }

    /// Whether this number lies before `other`: the mirror of [`Seq::is_after`].
    pub const fn is_before(self, other: Self) -> bool {
        other.is_after(self)
    }
}

/// Numbers from `first` to `last`, both included, so never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SeqRange {
    first: Seq,
    last: Seq,
}

impl SeqRange {
    /// The range from `first` to `last`, or `None` when `last` lies before `first`.
    pub const fn new(first: Seq, last: Seq) -> Option<Self> {
        if last.distance(first) < HALF {
            Some(Self { first, last })
        } else {
            None
        }
    }

    /// The range of one number.
    pub const fn single(seq: Seq) -> Self {
        Self {
            first: seq,
            last: seq,
        }
    }

    /// The first number.
    pub const fn first(self) -> Seq {
        self.first
    }

    /// The last number.
    pub const fn last(self) -> Seq {
        self.last
    }

    /// How many numbers there are: 1 to 2³⁰. A peer chose it: bound any loop over it.
    pub const fn count(self) -> u32 {
        self.last.distance(self.first) + 1
    }

    /// Whether `seq` is one of the numbers.
    pub const fn contains(self, seq: Seq) -> bool {
        seq.distance(self.first) < self.count()
    }

    /// The numbers in order.
    pub fn iter(self) -> impl ExactSizeIterator<Item = Seq> + use<> {
        let first = self.first;
        (0..self.count()).map(move |step| first.add(step))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wraps_at_31_bits() {
        let last = Seq::new(0x7fff_ffff);
        assert_eq!(last.next(), Seq::new(0));
        assert_eq!(Seq::new(0).previous(), last);
        assert!(Seq::new(0).is_after(last));
        assert!(last.is_before(Seq::new(0)));
        assert_eq!(Seq::new(3).distance(last), 4);
        assert_eq!(Seq::new(3).offset(last), 4);
        assert_eq!(last.offset(Seq::new(3)), -4);
    }

    #[test]
    fn a_number_is_not_after_itself_nor_after_its_antipode() {
        let seq = Seq::new(5);
        assert!(!seq.is_after(seq));
        assert!(!seq.is_after(seq.add(HALF)));
        assert_eq!(seq.add(HALF).offset(seq), -(HALF as i32));
    }

    #[test]
    fn ranges_cross_the_wrap() {
        let range = SeqRange::new(Seq::new(0x7fff_fffe), Seq::new(1)).unwrap();
        assert_eq!(range.count(), 4);
        assert!(range.contains(Seq::new(0)));
        assert!(!range.contains(Seq::new(2)));
        assert_eq!(range.iter().last(), Some(Seq::new(1)));
        assert_eq!(SeqRange::new(Seq::new(1), Seq::new(0)), None);
    }
}
