//! A user's stream slots, by number.

use model::session::Role;
use model::{StreamId, UserId};
use serde::Serialize;
use storage::Transaction;
use storage::control::accounts::Account;
use storage::control::sessions;
use storage::control::slots::{self, NumberedSlot};
use storage::control::streams::{self, Slot};
use utoipa::ToSchema;

use super::standing;
use crate::error::{ApiError, Code};
use crate::state::App;
use crate::token;

/// The most slots one answer lists.
const LISTED_MAX: u32 = 500;
const LABEL_CHARACTERS_MAX: usize = 64;

/// A slot as its user sees it. Field names are the plugin's contract.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = slots::SlotView)]
pub(crate) struct SlotView {
    pub(crate) slot_number: u32,
    label: String,
    stream_token: String,
}

/// A slot that was made.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = slots::Created)]
pub(crate) struct Created {
    #[schema(value_type = String)]
    stream_id: StreamId,
    #[serde(flatten)]
    slot: SlotView,
}

/// A user's slots. Who has none gets the first one.
pub(crate) async fn list(app: &App, account: &Account) -> Result<Vec<SlotView>, ApiError> {
    let mut transaction = storage::begin(&app.pool).await?;
    let slots = numbered(app, &mut transaction, account).await?;
    transaction.commit().await.map_err(storage::Error::from)?;
    Ok(slots.into_iter().map(|slot| view(app, slot)).collect())
}

/// Makes a slot, as far as the plan goes. Its connection is `connection`'s, or whichever
/// shows its stream token.
pub(crate) async fn create(
    app: &App,
    account: &Account,
    connection: Option<&str>,
    label: Option<&str>,
) -> Result<Created, ApiError> {
    let label = label.map(check_label).transpose()?;
    let mut transaction = storage::begin(&app.pool).await?;
    let user = &account.user_id;
    sessions::lock_user(&mut transaction, user).await?;
    let slots = slots::list(&mut transaction, user, LISTED_MAX).await?;
    let count = u32::try_from(slots.len()).unwrap_or(LISTED_MAX);
    standing::check_slots(app, &mut transaction, user, count).await?;
    if count >= LISTED_MAX {
        let message = format!("a user has at most {LISTED_MAX} slots");
        return Err(ApiError::new(Code::ConnectionLimitReached, message).because("too_many_slots"));
    }
    let fresh = StreamId::from_u128(token::id_bits());
    let slot = Slot {
        tenant_id: &account.tenant_id,
        user_id: user,
        name: connection.unwrap_or(fresh.as_str()),
    };
    if !slots::create(&mut transaction, slot, &fresh, label, app.now()).await? {
        let message = "the connection has a slot already";
        return Err(ApiError::new(Code::Conflict, message).because("slot_exists"));
    }
    let slots = slots::list(&mut transaction, user, LISTED_MAX).await?;
    let made = slots.into_iter().find(|slot| slot.stream.id == fresh);
    let made = made.ok_or_else(ApiError::internal)?;
    storage::commit(transaction).await?;
    tracing::info!(stream.id = %fresh, user.id = %user, "A slot was made");
    Ok(Created {
        stream_id: fresh,
        slot: view(app, made),
    })
}

/// Calls a slot something.
pub(crate) async fn rename(
    app: &App,
    account: &Account,
    number: u32,
    label: &str,
) -> Result<SlotView, ApiError> {
    let label = check_label(label)?;
    let mut transaction = storage::begin(&app.pool).await?;
    slot(app, &mut transaction, account, number).await?;
    slots::set_label(&mut transaction, &account.user_id, number, label).await?;
    let renamed = slot(app, &mut transaction, account, number).await?;
    transaction.commit().await.map_err(storage::Error::from)?;
    Ok(view(app, renamed))
}

/// Replaces a slot's keys. Who uses the old ones is cut off when the node hears of it.
pub(crate) async fn rotate(
    app: &App,
    account: &Account,
    number: u32,
) -> Result<SlotView, ApiError> {
    let mut transaction = storage::begin(&app.pool).await?;
    let old = slot(app, &mut transaction, account, number).await?;
    slots::rotate(&mut transaction, &old.stream.id).await?;
    let fresh = slot(app, &mut transaction, account, number).await?;
    transaction.commit().await.map_err(storage::Error::from)?;
    tracing::info!(stream.id = %old.stream.id, user.id = %account.user_id, "A slot's keys were replaced");
    Ok(view(app, fresh))
}

fn check_label(label: &str) -> Result<&str, ApiError> {
    let label = label.trim();
    let is_printable = !label.chars().any(char::is_control);
    if is_printable && (1..=LABEL_CHARACTERS_MAX).contains(&label.chars().count()) {
        return Ok(label);
    }
    Err(ApiError::invalid("label: 1 to 64 printable characters"))
}

async fn slot(
    app: &App,
    transaction: &mut Transaction,
    account: &Account,
    number: u32,
) -> Result<NumberedSlot, ApiError> {
    let slots = numbered(app, transaction, account).await?;
    let found = slots.into_iter().find(|slot| slot.number == number);
    found.ok_or_else(|| ApiError::not_found("no such slot"))
}

async fn numbered(
    app: &App,
    transaction: &mut Transaction,
    account: &Account,
) -> Result<Vec<NumberedSlot>, ApiError> {
    let user: &UserId = &account.user_id;
    sessions::lock_user(transaction, user).await?;
    let slots = slots::list(transaction, user, LISTED_MAX).await?;
    if !slots.is_empty() {
        return Ok(slots);
    }
    let first = Slot {
        tenant_id: &account.tenant_id,
        user_id: user,
        name: "",
    };
    let fresh = StreamId::from_u128(token::id_bits());
    streams::find_or_create(transaction, first, &fresh, app.now()).await?;
    Ok(slots::list(transaction, user, LISTED_MAX).await?)
}

fn view(app: &App, slot: NumberedSlot) -> SlotView {
    let stream = &slot.stream;
    let key = app
        .stream_keys
        .derive(Role::Publish, &stream.id, stream.generation);
    let label = slot.label.unwrap_or_else(|| match slot.name.as_str() {
        "" => "Main".to_owned(),
        name if name == stream.id.as_str() => format!("Stream {}", slot.number),
        _ => slot.name,
    });
    SlotView {
        slot_number: slot.number,
        label,
        stream_token: key.expose().to_owned(),
    }
}
