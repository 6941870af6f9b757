//! Things in numbered places; a number is used again after its thing is gone.

#[derive(Debug)]
pub(crate) struct Slab<T> {
    places: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Slab<T> {
    pub(crate) const fn new() -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    pub(crate) fn insert(&mut self, thing: T) -> u32 {
        if let Some(key) = self.free.pop() {
            self.places[key as usize] = Some(thing);
            return key;
        }
        self.places.push(Some(thing));
        (self.places.len() - 1) as u32
    }

    pub(crate) fn remove(&mut self, key: u32) -> Option<T> {
        let thing = self.places.get_mut(key as usize)?.take()?;
        self.free.push(key);
        Some(thing)
    }

    pub(crate) fn item(&self, key: u32) -> Option<&T> {
        self.places.get(key as usize)?.as_ref()
    }

    pub(crate) fn item_mut(&mut self, key: u32) -> Option<&mut T> {
        self.places.get_mut(key as usize)?.as_mut()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        let numbered = self.places.iter().enumerate();
        numbered.filter_map(|(key, thing)| Some((key as u32, thing.as_ref()?)))
    }
}
