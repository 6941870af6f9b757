//! Numbers by group and step, from what the database found.

use std::cmp::Reverse;
use std::collections::HashMap;

use storage::telemetry::stats::Cell;

/// What was found.
#[derive(Debug, PartialEq)]
pub(crate) struct Table<T> {
    /// Those with the most first.
    pub(crate) groups: Vec<(String, Row<T>)>,
    /// What was in no group of them; none: nothing was.
    pub(crate) rest: Option<Row<T>>,
}

/// One group.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row<T> {
    /// Of all steps.
    pub(crate) total: T,
    pub(crate) steps: Vec<T>,
}

impl<T: Copy + Default> Table<T> {
    /// Puts cells in their places; what was not found is nothing. `size` says which group comes
    /// first.
    pub(crate) fn of(cells: Vec<Cell<T>>, steps: u32, size: fn(&T) -> u64) -> Self {
        let mut rows: HashMap<Option<String>, Row<T>> = HashMap::new();
        for cell in cells {
            let row = rows.entry(cell.group).or_insert_with(|| Row::empty(steps));
            match cell.step {
                None => row.total = cell.value,
                Some(step) => {
                    if let Some(place) = row.steps.get_mut(step as usize) {
                        *place = cell.value;
                    }
                }
            }
        }
        let rest = rows.remove(&None);
        let named = rows.into_iter();
        let mut groups: Vec<_> = named.filter_map(|(name, row)| Some((name?, row))).collect();
        groups.sort_by(|(a, one), (b, other)| {
            (Reverse(size(&one.total)), a).cmp(&(Reverse(size(&other.total)), b))
        });
        Self { groups, rest }
    }
}

impl<T: Copy + Default> Row<T> {
    pub(crate) fn empty(steps: u32) -> Self {
        Self {
            total: T::default(),
            steps: vec![T::default(); steps as usize],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_have_their_places_and_groups_their_order() {
        let cell = |group: Option<&str>, step, value| Cell {
            group: group.map(str::to_owned),
            step,
            value,
        };
        let cells = vec![
            cell(None, Some(1), 1_u64),
            cell(None, None, 1),
            cell(Some("b"), Some(0), 2),
            cell(Some("b"), None, 2),
            cell(Some("a"), Some(2), 2),
            cell(Some("a"), None, 2),
            cell(Some("c"), Some(9), 5),
            cell(Some("c"), None, 5),
        ];
        let table = Table::of(cells, 3, |value| *value);
        let names: Vec<&str> = table.groups.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["c", "a", "b"]);
        assert_eq!(table.groups[0].1.steps, [0, 0, 0], "no place for it");
        assert_eq!(table.groups[1].1.steps, [0, 0, 2]);
        let rest = table.rest.unwrap();
        assert_eq!((rest.total, rest.steps), (1, vec![0, 1, 0]));
    }
}
