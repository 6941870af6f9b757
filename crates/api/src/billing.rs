//! Hears from an outside billing system what tenants have paid for, as Standard Webhooks
//! (<https://www.standardwebhooks.com>) says: `docs/operations/billing.md`.
//!
//! ```text
//! message ─▶ signed? ─▶ in time? ─▶ understood? ─▶ one transaction: once, the newest wins, audit
//!      401 bad_signature  401 stale       400
//! ```
//! Nothing is looked at before the signature, and without a secret there is nobody to hear.

use std::time::Duration;

use anyhow::{Context, ensure};
use http::HeaderMap;
use model::{TenantId, UnixMillis};
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use storage::control::audit::{self, Action, Actor};
use storage::control::plans::PlanStatus;
use storage::control::subscriptions::{self, Event, Outcome, Subscription};
use utoipa::ToSchema;

use crate::config::{BillingConfig, seconds};
use crate::error::{ApiError, Code};
use crate::state::App;
use crate::time::parse_rfc3339;
use crate::webhooks::Secret;

/// How far the sender's clock may be from ours, and how old a message is at most.
const WINDOW: Duration = Duration::from_secs(300);
/// One that signs, and those that take its place.
const SECRETS_MAX: usize = 4;
const ID_LENGTH_MAX: usize = 255;
/// What there is to be told of.
const SUBSCRIPTION_UPDATED: &str = "subscription.updated";
/// Who acts, in the audit.
const ACTOR: Actor<'static> = Actor::Service("billing");

/// Whose messages are believed.
pub(crate) struct Billing(Vec<Secret>);

/// A message as it came.
pub(crate) struct Message<'a> {
    id: &'a str,
    timestamp_unix: i64,
    signatures: &'a str,
    body: &'a [u8],
}

/// A message's body.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = billing::Notice)]
pub(crate) struct Notice {
    /// `subscription.updated`.
    #[serde(rename = "type")]
    kind: String,
    /// When it happened, RFC 3339: of a tenant's events the newest wins.
    timestamp: String,
    data: NoticeData,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = billing::NoticeData)]
struct NoticeData {
    tenant_id: String,
    plan_tier: String,
    status: PaidStatus,
    /// When the period that is paid for began, RFC 3339.
    current_period_start: String,
    /// The first moment after it.
    current_period_end: String,
    /// Its place among those of one moment.
    #[serde(default)]
    sequence: u32,
}

#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = billing::PaidStatus)]
enum PaidStatus {
    Active,
    PastDue,
    Canceled,
}

impl From<PaidStatus> for PlanStatus {
    fn from(status: PaidStatus) -> Self {
        match status {
            PaidStatus::Active => Self::Active,
            PaidStatus::PastDue => Self::PastDue,
            PaidStatus::Canceled => Self::Canceled,
        }
    }
}

impl Billing {
    pub(crate) fn new(config: &BillingConfig) -> anyhow::Result<Self> {
        let Some(path) = &config.webhook_secret_file else {
            return Ok(Self(Vec::new()));
        };
        let text = service_kit::secret::read_file(path)?;
        let lines = text.expose_secret().lines().map(str::trim);
        let secrets: Option<Vec<Secret>> = lines
            .filter(|line| !line.is_empty())
            .map(Secret::parse)
            .collect();
        let shown = path.display();
        let secrets = secrets.with_context(|| {
            format!("{shown}: expected lines of whsec_ and at least 24 bytes in base64")
        })?;
        ensure!(
            secrets.len() <= SECRETS_MAX,
            "{shown}: at most {SECRETS_MAX} secrets"
        );
        Ok(Self(secrets))
    }

    fn check(&self, message: &Message<'_>, now: UnixMillis) -> Result<(), ApiError> {
        if self.0.is_empty() {
            return Err(ApiError::not_found("no billing system is set up"));
        }
        let Message {
            id,
            timestamp_unix,
            signatures,
            body,
        } = *message;
        let is_signed = |secret: &Secret| secret.signed(id, timestamp_unix, body, signatures);
        if !self.0.iter().any(is_signed) {
            return Err(unauthorized("the signature is not right", "bad_signature"));
        }
        let at = UnixMillis::from_secs(timestamp_unix);
        if at < now.minus(WINDOW) || at > now.plus(WINDOW) {
            let message = "webhook-timestamp is more than 5 minutes from now: sign anew";
            return Err(unauthorized(message, "stale_timestamp"));
        }
        Ok(())
    }
}

impl<'a> Message<'a> {
    /// One whose fields are missing is signed by nobody.
    pub(crate) fn of(headers: &'a HeaderMap, body: &'a [u8]) -> Self {
        let field = |name| {
            let value = headers.get(name).and_then(|value| value.to_str().ok());
            value.unwrap_or_default()
        };
        Self {
            id: field("webhook-id"),
            timestamp_unix: field("webhook-timestamp").parse().unwrap_or_default(),
            signatures: field("webhook-signature"),
            body,
        }
    }

    fn event(&self, now: UnixMillis) -> Result<Event, ApiError> {
        if !(1..=ID_LENGTH_MAX).contains(&self.id.len()) {
            return Err(ApiError::invalid("webhook-id: 1 to 255 characters"));
        }
        let notice: Notice = serde_json::from_slice(self.body).map_err(|error| {
            ApiError::invalid(format!("the body is not what it should be: {error}"))
        })?;
        if notice.kind != SUBSCRIPTION_UPDATED {
            let message = format!("type: only {SUBSCRIPTION_UPDATED} is understood");
            return Err(ApiError::invalid(message).because("unknown_type"));
        }
        let at = time("timestamp", &notice.timestamp)?;
        // It would outlast everything that is told until then.
        if at > now.plus(WINDOW) {
            let error = ApiError::invalid("timestamp: it has not happened yet");
            return Err(error.because("in_the_future"));
        }
        Ok(Event {
            id: self.id.to_owned(),
            body_sha256: Sha256::digest(self.body).into(),
            tenant_id: TenantId::parse(&notice.data.tenant_id).map_err(|_| unknown_tenant())?,
            at,
            sequence: notice.data.sequence.into(),
            subscription: notice.data.subscription()?,
        })
    }
}

impl NoticeData {
    fn subscription(&self) -> Result<Subscription, ApiError> {
        let subscription = Subscription {
            plan: self.plan_tier.clone(),
            status: self.status.into(),
            period_began_at: time("current_period_start", &self.current_period_start)?,
            period_ends_at: time("current_period_end", &self.current_period_end)?,
        };
        if subscription.period_began_at >= subscription.period_ends_at {
            return Err(ApiError::invalid(
                "current_period_end: after current_period_start",
            ));
        }
        Ok(subscription)
    }
}

/// Takes a message; says what became of it. It counts once, however often it comes.
pub(crate) async fn receive(app: &App, message: &Message<'_>) -> Result<&'static str, ApiError> {
    let now = app.now();
    app.billing.check(message, now)?;
    let event = message.event(now)?;
    let patience = seconds(app.config.billing.past_due_seconds);
    let mut transaction = storage::begin(&app.pool).await?;
    let outcome = subscriptions::take(&mut transaction, &event, patience, now).await?;
    let word = match outcome {
        Outcome::Applied => "applied",
        Outcome::Superseded => "superseded",
        Outcome::Duplicate => return Ok("duplicate"),
        Outcome::Mismatch => return Err(mismatch()),
        Outcome::UnknownTenant => return Err(unknown_tenant()),
        Outcome::UnknownPlan => return Err(unknown_plan()),
    };
    let action = Action {
        actor: ACTOR,
        name: "billing.subscription",
        subject: event.tenant_id.as_str(),
        reason: None,
    };
    let subscription = &event.subscription;
    let detail = json!({
        "event_id": event.id, "event_at": event.at, "outcome": word,
        "plan_tier": subscription.plan, "plan_status": subscription.status.as_str(),
        "period_began_at": subscription.period_began_at,
        "period_ends_at": subscription.period_ends_at,
    });
    audit::record(&mut transaction, action, &detail, now).await?;
    storage::commit(transaction).await?;
    tracing::info!(
        tenant.id = %event.tenant_id, plan = subscription.plan,
        status = subscription.status.as_str(), outcome = word, "Billing spoke of a tenant"
    );
    Ok(word)
}

fn time(field: &'static str, text: &str) -> Result<UnixMillis, ApiError> {
    parse_rfc3339(text)
        .ok_or_else(|| ApiError::invalid(format!("{field}: a time such as 2025-11-21T04:40:00Z")))
}

fn unauthorized(message: &'static str, reason: &'static str) -> ApiError {
    ApiError::new(Code::Unauthorized, message).because(reason)
}

fn mismatch() -> ApiError {
    let message = "another message came with this webhook-id";
    ApiError::new(Code::Conflict, message).because("event_id_reused")
}

fn unknown_tenant() -> ApiError {
    ApiError::invalid("tenant_id: no such tenant").because("unknown_tenant")
}

fn unknown_plan() -> ApiError {
    ApiError::invalid("plan_tier: no such plan").because("unknown_plan")
}
