//! Where events go.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::batch::Batch;

/// Keeps batches. PostgreSQL does; a log in front of it may, too.
pub(crate) trait Sink: Send + Sync {
    /// Keeps a batch, all of it, for good: once this is `Ok`, no end of this process or of the
    /// store's loses it. After an error some of it may be kept; the same again is harmless.
    fn keep(&self, batch: Arc<Batch>) -> BoxFuture<'static, Result<(), Failure>>;
}

/// Why a batch is not kept. All of them pass: what can never be kept goes to the quarantine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// As many are on their way as there is room for.
    Full,
    /// The store is away.
    Unavailable,
}
