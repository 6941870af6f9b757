//! Secrets of a node, and the keys that are made of its seed.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// A secret's holder: `Debug` shows nothing of it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Unshown<T>(pub(crate) T);

impl<T> std::fmt::Debug for Unshown<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("..")
    }
}

/// A secret that says nothing about the keys of [`split`].
pub(crate) fn expand(seed: &[u8; 32]) -> [u8; 32] {
    Sha256::new()
        .chain_update(seed)
        .chain_update([u8::MAX])
        .finalize()
        .into()
}

pub(crate) fn join(low: [u8; 16], high: [u8; 16]) -> [u8; 32] {
    let mut key = [0; 32];
    key[..16].copy_from_slice(&low);
    key[16..].copy_from_slice(&high);
    key
}

/// Keys for different uses, none of which says anything about another.
pub(crate) fn split<const N: usize>(seed: &[u8; 32]) -> [[u8; 16]; N] {
    std::array::from_fn(|use_number| {
        let digest = Sha256::new()
            .chain_update(seed)
            .chain_update([use_number as u8])
            .finalize();
        std::array::from_fn(|place| digest[place])
    })
}
