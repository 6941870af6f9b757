//! `/api/v1/webhooks`: where a tenant wants to be told what its sessions do.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::routing::{delete, get, post};
use axum::{Extension, Json};
use http::{Method, StatusCode, Uri};
use model::WebhookId;
use serde::{Deserialize, Serialize};
use serde_json::json;
use storage::control::audit;
use storage::control::webhooks::{self, NewWebhook, Webhook};
use utoipa::ToSchema;

use crate::auth::{Access, Caller};
use crate::error::{ApiError, Code};
use crate::openapi::Description;
use crate::routes::{Body, Route};
use crate::state::App;
use crate::time::rfc3339;
use crate::token;
use crate::webhooks::{EVENTS, Secret};

/// Endpoints of one tenant.
const WEBHOOKS_MAX: u32 = 16;
const URL_LENGTH_MAX: usize = 2048;

pub(super) fn routes() -> Vec<Route> {
    let all = "/api/v1/webhooks";
    vec![
        Route::new(Method::GET, all, Access::User, get(list))
            .describe(Description::new("Who is told.").gives::<ListResponse>(200)),
        Route::new(Method::POST, all, Access::User, post(create)).describe(
            Description::new("Tells an endpoint what the tenant's sessions do.")
                .takes::<CreateRequest>()
                .gives::<CreateResponse>(201)
                .refuses(&[409]),
        ),
        Route::new(
            Method::DELETE,
            "/api/v1/webhooks/{id}",
            Access::User,
            delete(remove),
        )
        .describe(
            Description::new("Tells an endpoint no more.")
                .says(204)
                .refuses(&[404]),
        ),
    ]
}

#[derive(Serialize, ToSchema)]
#[schema(as = webhooks::ListResponse)]
struct ListResponse {
    webhooks: Vec<WebhookView>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = webhooks::WebhookView)]
struct WebhookView {
    #[schema(value_type = String)]
    webhook_id: WebhookId,
    url: String,
    events: Vec<String>,
    created_at: String,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = webhooks::CreateRequest)]
struct CreateRequest {
    url: String,
    /// Of what it is told; absent: of everything.
    events: Option<Vec<String>>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = webhooks::CreateResponse)]
struct CreateResponse {
    #[serde(flatten)]
    webhook: WebhookView,
    /// What signatures are checked with. Shown this once.
    secret: String,
}

async fn list(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<ListResponse>, ApiError> {
    let found = webhooks::list(&app.pool, &caller.account.tenant_id).await?;
    let webhooks = found.into_iter().map(Into::into).collect();
    Ok(Json(ListResponse { webhooks }))
}

async fn create(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Body(request): Body<CreateRequest>,
) -> Result<(StatusCode, Json<CreateResponse>), ApiError> {
    check_url(&request.url, app.config.webhooks_http_allowed)?;
    let events = check_events(request.events)?;
    let (id, secret, now) = (
        WebhookId::from_u128(token::id_bits()),
        Secret::fresh(),
        app.now(),
    );
    let sealed = secret.seal(&app, &id).map_err(|error| {
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "A secret was not sealed"
        );
        ApiError::internal()
    })?;
    let new = NewWebhook {
        id: &id,
        tenant_id: &caller.account.tenant_id,
        user_id: &caller.account.user_id,
        url: &request.url,
        events: &events,
        sealed_secret: &sealed,
    };
    let mut transaction = storage::begin(&app.pool).await?;
    if !webhooks::create(&mut transaction, &new, WEBHOOKS_MAX, now).await? {
        let message = format!("at most {WEBHOOKS_MAX} webhooks");
        return Err(ApiError::new(Code::Conflict, message).because("too_many"));
    }
    let action = caller.action("webhook.create", id.as_str());
    let detail = json!({"url": request.url, "events": events});
    audit::record(&mut transaction, action, &detail, now).await?;
    storage::commit(transaction).await?;
    let webhook = WebhookView {
        webhook_id: id,
        url: request.url,
        events,
        created_at: rfc3339(now),
    };
    let secret = secret.text();
    Ok((
        StatusCode::CREATED,
        Json(CreateResponse { webhook, secret }),
    ))
}

async fn remove(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let unknown = || ApiError::not_found("no such webhook");
    let id = WebhookId::parse(&id).map_err(|_| unknown())?;
    let mut transaction = storage::begin(&app.pool).await?;
    if !webhooks::remove(&mut transaction, &caller.account.tenant_id, &id).await? {
        return Err(unknown());
    }
    let action = caller.action("webhook.remove", id.as_str());
    audit::record(&mut transaction, action, &json!({}), app.now()).await?;
    storage::commit(transaction).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Which address it has is looked at when it is called.
fn check_url(url: &str, http_allowed: bool) -> Result<(), ApiError> {
    let uri: Option<Uri> = url.parse().ok();
    let is_good = uri.is_some_and(|uri| {
        let scheme = uri.scheme_str();
        let is_safe = scheme == Some("https") || (http_allowed && scheme == Some("http"));
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        is_safe && !authority.is_empty() && !authority.contains('@')
    });
    if is_good && url.len() <= URL_LENGTH_MAX {
        return Ok(());
    }
    Err(ApiError::invalid(
        "url: such as https://example.com/hooks, of at most 2048 characters",
    ))
}

fn check_events(events: Option<Vec<String>>) -> Result<Vec<String>, ApiError> {
    let Some(mut events) = events else {
        return Ok(EVENTS.map(str::to_owned).to_vec());
    };
    events.sort_unstable();
    events.dedup();
    let is_known = |event: &String| EVENTS.contains(&event.as_str());
    if !events.is_empty() && events.iter().all(is_known) {
        return Ok(events);
    }
    Err(ApiError::invalid(format!(
        "events: some of {}",
        EVENTS.join(", ")
    )))
}

impl From<Webhook> for WebhookView {
    fn from(webhook: Webhook) -> Self {
        Self {
            webhook_id: webhook.id,
            url: webhook.url,
            events: webhook.events,
            created_at: rfc3339(webhook.created_at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_checked() {
        assert!(check_url("https://example.com/hooks?x=1", false).is_ok());
        assert!(check_url("http://127.0.0.1:9/x", true).is_ok());
        for wrong in [
            "http://example.com/",
            "ftp://example.com/",
            "https://user:secret@example.com/",
            "example.com",
            "/hooks",
            "",
        ] {
            assert!(check_url(wrong, false).is_err(), "{wrong}");
        }
        let long = format!("https://example.com/{}", "x".repeat(URL_LENGTH_MAX));
        assert!(check_url(&long, false).is_err());
    }

    #[test]
    fn events_are_known_ones() {
        assert_eq!(check_events(None).unwrap().len(), EVENTS.len());
        let twice = ["session.up", "session.up"].map(str::to_owned).to_vec();
        assert_eq!(check_events(Some(twice)).unwrap(), ["session.up"]);
        assert!(check_events(Some(Vec::new())).is_err());
        assert!(check_events(Some(vec!["session.sideways".to_owned()])).is_err());
    }
}
