//! A bounded queue of things to tell somebody who is away: the oldest goes first
//! when it is full.

use std::collections::VecDeque;

/// At most `max` items.
#[derive(Debug)]
pub(crate) struct Backlog<T> {
    items: VecDeque<T>,
    max: usize,
}

impl<T> Backlog<T> {
    pub(crate) const fn new(max: usize) -> Self {
        Self {
            items: VecDeque::new(),
            max,
        }
    }

    /// Adds an item; says whether the oldest had to go.
    pub(crate) fn push(&mut self, item: T) -> bool {
        let full = self.items.len() >= self.max;
        if full {
            self.items.pop_front();
        }
        self.items.push_back(item);
        full
    }

    pub(crate) fn pop(&mut self) -> Option<T> {
        self.items.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_when_it_is_full() {
        let mut backlog = Backlog::new(2);
        assert!(!backlog.push(1) && !backlog.push(2) && backlog.push(3));
        assert_eq!(
            (backlog.pop(), backlog.pop(), backlog.pop()),
            (Some(2), Some(3), None)
        );
    }
}
