//! A counter that goes on when its node starts anew.

/// The sum of what a node's counter showed in all of its boots.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Total {
    value: u64,
    /// The counter as this boot of the node last showed it.
    shown: u64,
}

impl Total {
    /// The node began to count anew.
    pub(super) const fn restart(&mut self) {
        self.shown = 0;
    }

    /// Takes what the counter shows now; returns by how much it grew.
    pub(super) fn advance(&mut self, shown: u64) -> u64 {
        let growth = shown.saturating_sub(self.shown);
        self.shown = self.shown.max(shown);
        self.value = self.value.saturating_add(growth);
        growth
    }

    pub(super) const fn get(self) -> u64 {
        self.value
    }

    /// What the counter last showed.
    pub(super) const fn shown(self) -> u64 {
        self.shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_never_goes_back_and_counts_nothing_twice() {
        let mut total = Total::default();
        assert_eq!(total.advance(10), 10);
        assert_eq!(total.advance(4), 0, "an older word");
        assert_eq!(total.advance(12), 2);
        total.restart();
        assert_eq!(total.advance(5), 5);
        assert_eq!((total.get(), total.shown()), (17, 5));
        assert_eq!(total.advance(u64::MAX), u64::MAX - 5);
        assert_eq!(total.get(), u64::MAX, "an absurd word stays a number");
    }
}
