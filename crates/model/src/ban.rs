//! Who and what is shut out.

use crate::words::words;

words! {
    /// What a ban is of.
    pub enum BanKind {
        /// Everybody of a tenant.
        Tenant = "tenant",
        /// One person.
        User = "user",
        /// Addresses that nodes answer no longer.
        Prefix = "prefix",
        /// One key of a stream.
        StreamKey = "stream_key",
    }
}
