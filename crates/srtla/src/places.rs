//! Groups in numbered places. A place is used again, under another generation.

use crate::group::Group;

/// A group of one registry. The key of a group that is gone finds nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupKey {
    place: u32,
    generation: u32,
}

#[derive(Debug, Default)]
pub(crate) struct Places {
    places: Vec<Place>,
    free: Vec<u32>,
}

#[derive(Debug, Default)]
struct Place {
    generation: u32,
    group: Option<Group>,
}

impl Places {
    pub(crate) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    pub(crate) fn insert(&mut self, group: Group) -> GroupKey {
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place::default());
            (self.places.len() - 1) as u32
        });
        let entry = &mut self.places[place as usize];
        entry.group = Some(group);
        let generation = entry.generation;
        GroupKey { place, generation }
    }

    pub(crate) fn take(&mut self, key: GroupKey) -> Option<Group> {
        let place = self.places.get_mut(key.place as usize)?;
        if place.generation != key.generation {
            return None;
        }
        let group = place.group.take()?;
        place.generation = place.generation.wrapping_add(1);
        self.free.push(key.place);
        Some(group)
    }

    pub(crate) fn group(&self, key: GroupKey) -> Option<&Group> {
        let place = self.places.get(key.place as usize)?;
        (place.generation == key.generation).then_some(place.group.as_ref()?)
    }

    pub(crate) fn group_mut(&mut self, key: GroupKey) -> Option<&mut Group> {
        let place = self.places.get_mut(key.place as usize)?;
        (place.generation == key.generation).then_some(place.group.as_mut()?)
    }

    /// The key of the group at a place, for walks during which groups go.
    pub(crate) fn key_at(&self, place: usize) -> Option<GroupKey> {
        let entry = self.places.get(place)?;
        entry.group.as_ref()?;
        let generation = entry.generation;
        Some(GroupKey {
            place: place as u32,
            generation,
        })
    }

    /// The number of places, taken or free.
    pub(crate) const fn capacity(&self) -> usize {
        self.places.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (GroupKey, &Group)> {
        let numbered = (0..).zip(&self.places);
        numbered.filter_map(|(place, Place { generation, group })| {
            let generation = *generation;
            Some((GroupKey { place, generation }, group.as_ref()?))
        })
    }
}
