//! Events that were never there before, at half of what it costs to look.

use model::UnixMillis;

use super::Event;
use crate::{Error, Transaction, copy};

/// Nothing casts on the way: when a column gets another type, gateways that know it come first.
const STATEMENT: &str = "COPY telemetry.events (ts_us, app_id, event_id, context_id, event_type, \
                         category, data, received_at) FROM STDIN (FORMAT binary)";
const FIELDS: i16 = 8;

/// Adds them all.
///
/// # Errors
/// [`Error::Conflict`] when one of them is there already; none is added then.
pub(super) async fn append(
    transaction: &mut Transaction,
    events: &[&Event],
    now: UnixMillis,
) -> Result<(), Error> {
    if events.is_empty() {
        return Ok(());
    }
    let write = |event: &&Event, row: &mut copy::Row<'_>| {
        row.int8(event.ts_us);
        row.int4(event.app_id);
        row.uuid(event.id);
        row.int8(event.context_id);
        row.text(&event.event_type);
        row.text_or_null(event.category.as_deref());
        row.jsonb_or_null(event.data.as_deref());
        row.int8(now.0);
    };
    copy::rows(transaction, STATEMENT, events, (FIELDS, write)).await?;
    Ok(())
}
