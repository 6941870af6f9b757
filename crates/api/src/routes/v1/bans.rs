//! `/api/v1/ops/bans`: tenants, users, address prefixes and stream keys that are shut out.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::routing::{delete, get, post};
use axum::{Extension, Json};
use http::{Method, StatusCode};
use ipnet::IpNet;
use model::ban::BanKind;
use model::session::Role;
use model::{BanId, OpsRole, StreamKey, TenantId, UnixMillis, UserId};
use serde::{Deserialize, Serialize};
use serde_json::json;
use storage::control::audit::{self, Action};
use storage::control::bans::{self, Ban};
use storage::control::{people, streams};
use subtle::ConstantTimeEq;
use utoipa::ToSchema;

use super::check_reason;
use crate::auth::{Access, Caller};
use crate::config::seconds;
use crate::error::{ApiError, Code};
use crate::fleet::bans::{BANS_MAX, end_sessions, key_subject, look};
use crate::metrics;
use crate::openapi::Description;
use crate::routes::{Body, Route};
use crate::state::App;
use crate::time::{parse_rfc3339, rfc3339};
use crate::token;

/// The longest that a ban may last before it ends by itself: ten years.
const SECONDS_MAX: u32 = 10 * 366 * 86_400;
/// The shortest prefixes that can be banned: a shorter one is a slip.
const V4_BITS_MIN: u8 = 8;
const V6_BITS_MIN: u8 = 16;
/// Bans that ended, in one answer.
const ENDED_MAX: u32 = 500;
/// Streams whose keys are looked at in one go.
const STREAMS_MAX: u32 = 1000;

pub(super) fn routes() -> Vec<Route> {
    let all = "/api/v1/ops/bans";
    vec![
        Route::new(Method::GET, all, Access::VIEWER, get(list)).describe(
            Description::new("Every ban.")
                .query("ended", "`true`: those that ended, too.")
                .gives::<ListResponse>(200)
                .refuses(&[400]),
        ),
        Route::new(Method::POST, all, Access::OPERATOR, post(add)).describe(
            Description::new(
                "Bans a tenant, a user, addresses or a stream key; what of it lives is cut.",
            )
            .takes::<AddRequest>()
            .gives::<BanView>(201)
            .refuses(&[404, 409]),
        ),
        Route::new(
            Method::DELETE,
            "/api/v1/ops/bans/{id}",
            Access::OPERATOR,
            delete(lift),
        )
        .describe(Description::new("Lifts a ban.").says(204)),
    ]
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = bans::AddRequest)]
struct AddRequest {
    #[schema(value_type = String)]
    kind: BanKind,
    /// A tenant's or user's id, a prefix or an address, or a stream key as people paste it.
    subject: String,
    reason: String,
    /// This, `expires_at`, or neither: until it is lifted.
    seconds: Option<u32>,
    /// RFC 3339.
    expires_at: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListRequest {
    /// Those that ended instead of those in force.
    #[serde(default)]
    ended: bool,
}

#[derive(Serialize, ToSchema)]
#[schema(as = bans::ListResponse)]
struct ListResponse {
    bans: Vec<BanView>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = bans::BanView)]
struct BanView {
    #[schema(value_type = String)]
    ban_id: BanId,
    #[schema(value_type = String)]
    kind: BanKind,
    subject: String,
    reason: String,
    created_at: String,
    #[schema(value_type = String)]
    created_by: UserId,
    expires_at: Option<String>,
    ended_at: Option<String>,
}

async fn list(
    State(app): State<Arc<App>>,
    query: Result<Query<ListRequest>, QueryRejection>,
) -> Result<Json<ListResponse>, ApiError> {
    let Query(request) = query?;
    let bans = if request.ended {
        bans::ended(&app.pool, ENDED_MAX).await?
    } else {
        bans::in_force(&app.pool, app.now()).await?
    };
    Ok(Json(ListResponse {
        bans: bans.into_iter().map(Into::into).collect(),
    }))
}

async fn add(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Body(request): Body<AddRequest>,
) -> Result<(StatusCode, Json<BanView>), ApiError> {
    let now = app.now();
    let ban = Ban {
        id: BanId::from_u128(token::id_bits()),
        kind: request.kind,
        subject: subject(&app, &caller, &request).await?,
        reason: check_reason(&request.reason)?.to_owned(),
        created_at: now,
        created_by: caller.account.user_id.clone(),
        expires_at: expiry(&request, now)?,
        ended_at: None,
    };
    let mut transaction = storage::begin(&app.pool).await?;
    // One that is over and not yet noticed is not in the way.
    bans::expire(&mut transaction, now).await?;
    if bans::count(&mut transaction, ban.kind).await? >= BANS_MAX {
        let message = format!("there are {BANS_MAX} bans of this kind: remove some first");
        return Err(ApiError::new(Code::Conflict, message));
    }
    bans::add(&mut transaction, &ban).await.map_err(known)?;
    let stopped = end_sessions(&mut transaction, now).await?;
    let added = Action {
        reason: Some(&ban.reason),
        ..caller.action("ban.add", ban.id.as_str())
    };
    let detail = json!({"kind": ban.kind, "subject": ban.subject,
        "expires_at": ban.expires_at.map(rfc3339), "sessions_stopped": stopped});
    audit::record(&mut transaction, added, &detail, now).await?;
    storage::commit(transaction).await?;
    metrics::stopped(metrics::Stopped::Banned, stopped);
    tracing::info!(ban.id = %ban.id, kind = %ban.kind, stopped, "A ban was added");
    take_effect(&app).await?;
    Ok((StatusCode::CREATED, Json(ban.into())))
}

async fn lift(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let unknown = || ApiError::not_found("no such ban in force");
    let id = BanId::parse(&id).map_err(|_| unknown())?;
    let now = app.now();
    let mut transaction = storage::begin(&app.pool).await?;
    let ban = bans::find(&mut *transaction, &id).await?;
    let ban = ban.ok_or_else(unknown)?;
    if !bans::lift(&mut transaction, &id, now).await? {
        return Err(unknown());
    }
    let lifted = caller.action("ban.remove", id.as_str());
    let detail = json!({"kind": ban.kind, "subject": ban.subject});
    audit::record(&mut transaction, lifted, &detail, now).await?;
    storage::commit(transaction).await?;
    tracing::info!(ban.id = %id, kind = %ban.kind, "A ban was lifted");
    take_effect(&app).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Here at once; the other replicas hear of it by themselves.
async fn take_effect(app: &App) -> Result<(), ApiError> {
    if look(app).await? {
        app.registry.wake_all();
    }
    Ok(())
}

fn expiry(request: &AddRequest, now: UnixMillis) -> Result<Option<UnixMillis>, ApiError> {
    let wrong = || {
        let message = "seconds: 1 to 316224000; or expires_at: RFC 3339, in the future, at most \
                       ten years ahead; not both";
        ApiError::invalid(message)
    };
    let at = match (request.seconds, &request.expires_at) {
        (None, None) => return Ok(None),
        (Some(after), None) => now.plus(seconds(after)),
        (None, Some(at)) => parse_rfc3339(at).ok_or_else(wrong)?,
        (Some(_), Some(_)) => return Err(wrong()),
    };
    if at > now && at <= now.plus(seconds(SECONDS_MAX)) {
        Ok(Some(at))
    } else {
        Err(wrong())
    }
}

/// Whom or what the request means, in one way of writing.
async fn subject(app: &App, caller: &Caller, request: &AddRequest) -> Result<String, ApiError> {
    let text = request.subject.trim();
    match request.kind {
        BanKind::Tenant => tenant(app, caller, text).await,
        BanKind::User => user(app, caller, text).await,
        BanKind::Prefix => prefix(text).map(|prefix| prefix.to_string()),
        BanKind::StreamKey => stream_key(app, text).await,
    }
}

async fn user(app: &App, caller: &Caller, text: &str) -> Result<String, ApiError> {
    let unknown = || ApiError::not_found("no such user");
    let id = UserId::parse(text).map_err(|_| unknown())?;
    let person = people::find(&app.pool, &id).await?.ok_or_else(unknown)?;
    check_rank(caller, person.role)?;
    Ok(id.to_string())
}

async fn tenant(app: &App, caller: &Caller, text: &str) -> Result<String, ApiError> {
    let unknown = || ApiError::not_found("no such tenant");
    let id = TenantId::parse(text).map_err(|_| unknown())?;
    let role = people::highest_role(&app.pool, &id).await?;
    check_rank(caller, role.ok_or_else(unknown)?)?;
    Ok(id.to_string())
}

/// Nobody shuts out whom they could not give a role, and nobody the admin token's user.
fn check_rank(caller: &Caller, role: OpsRole) -> Result<(), ApiError> {
    if role == OpsRole::None || (caller.role == OpsRole::Admin && role < OpsRole::Admin) {
        return Ok(());
    }
    let message = format!("they have the role `{role}`: take it away first");
    Err(ApiError::new(Code::Conflict, message).because("has_role"))
}

/// A prefix, or one address.
fn prefix(text: &str) -> Result<IpNet, ApiError> {
    let wrong = || {
        let message = "subject: an address or a prefix such as 203.0.113.0/24 or 2001:db8::/32, \
                       of at least 8 bits (IPv6: 16)";
        ApiError::invalid(message)
    };
    let address = || text.parse::<IpAddr>().ok().map(IpNet::from);
    let prefix: Option<IpNet> = text.parse().ok().or_else(address);
    let prefix = prefix.ok_or_else(wrong)?.trunc();
    let bits_min = match prefix {
        IpNet::V4(_) => V4_BITS_MIN,
        IpNet::V6(_) => V6_BITS_MIN,
    };
    if prefix.prefix_len() < bits_min {
        return Err(wrong());
    }
    Ok(prefix)
}

/// The stream and role that a key opens. Keys are derived and not kept, so it is looked for.
async fn stream_key(app: &App, text: &str) -> Result<String, ApiError> {
    let bare = ["live_", "play_"].iter();
    let bare = bare.fold(text, |text, prefix| {
        text.strip_prefix(prefix).unwrap_or(text)
    });
    let wanted = StreamKey::parse(bare)
        .map_err(|_| ApiError::invalid("subject: a stream key as it is pasted into an encoder"))?;
    let mut after = String::new();
    loop {
        let streams = streams::generations(&app.pool, &after, STREAMS_MAX).await?;
        let Some((last, _)) = streams.last() else {
            return Err(ApiError::not_found("no stream has this key now"));
        };
        after = last.to_string();
        for (stream, generation) in &streams {
            for role in [Role::Publish, Role::Play] {
                let key = app.stream_keys.derive(role, stream, *generation);
                let (key, wanted) = (key.expose().as_bytes(), wanted.expose().as_bytes());
                if bool::from(key.ct_eq(wanted)) {
                    return Ok(key_subject(stream, *generation, role));
                }
            }
        }
    }
}

fn known(error: storage::Error) -> ApiError {
    match error {
        storage::Error::Conflict { .. } => {
            let message = "this is banned already: remove that ban first";
            ApiError::new(Code::Conflict, message)
        }
        error => error.into(),
    }
}

impl From<Ban> for BanView {
    fn from(ban: Ban) -> Self {
        Self {
            ban_id: ban.id,
            kind: ban.kind,
            subject: ban.subject,
            reason: ban.reason,
            created_at: rfc3339(ban.created_at),
            created_by: ban.created_by,
            expires_at: ban.expires_at.map(rfc3339),
            ended_at: ban.ended_at.map(rfc3339),
        }
    }
}
