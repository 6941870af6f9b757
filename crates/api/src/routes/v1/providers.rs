//! `/api/v1/auth/providers`, `/api/v1/account/providers`: signing in with an account
//! elsewhere, and linking one.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json};
use http::header::{CACHE_CONTROL, LOCATION, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use model::Provider;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use storage::control::provider_visits::Errand;
use utoipa::ToSchema;

use crate::accounts::membership;
use crate::accounts::providers::{self, Arrival, Callback, Departure, VISIT};
use crate::auth::{Access, Caller};
use crate::config::{Registration, seconds};
use crate::cookie::Cookie;
use crate::error::ApiError;
use crate::openapi::Description;
use crate::routes::{Body, Route};
use crate::state::App;
use crate::token;
use service_kit::client_address::ClientAddress;

pub(super) fn routes() -> Vec<Route> {
    let (one, linked) = (
        "/api/v1/auth/providers/{provider}",
        "/api/v1/account/providers/{provider}",
    );
    vec![
        Route::new(
            Method::GET,
            "/api/v1/auth/providers",
            Access::Public,
            get(list),
        )
        .describe(Description::new("How a stranger may come in.").gives::<WaysResponse>(200)),
        Route::new(Method::POST, one, Access::Page, post(start)).describe(
            Description::new("Signs in with an account elsewhere: where to send the browser.")
                .takes::<StartRequest>()
                .gives::<StartResponse>(200)
                .refuses(&[403, 503]),
        ),
        Route::new(
            Method::GET,
            "/api/v1/auth/providers/{provider}/callback",
            Access::Public,
            get(callback),
        )
        .describe(
            Description::new(
                "Where the provider sends the browser back to; a page of ours follows.",
            )
            .query("code", "What the provider says.")
            .query("state", "What we said.")
            .query("error", "Why it did not let anybody in.")
            .says(303),
        ),
        Route::new(Method::POST, linked, Access::Browser, post(link)).describe(
            Description::new("Links an account elsewhere: where to send the browser.")
                .takes::<LinkRequest>()
                .gives::<StartResponse>(200)
                .refuses(&[403, 503]),
        ),
        Route::new(
            Method::DELETE,
            linked,
            Access::Browser,
            axum::routing::delete(unlink),
        )
        .describe(Description::new("Unlinks it.").says(204).refuses(&[409])),
    ]
}

/// How a stranger may come in.
#[derive(Serialize, ToSchema)]
#[schema(as = providers::WaysResponse)]
struct WaysResponse {
    /// Whether people invite themselves (`open`) or the operator does (`invite`).
    #[schema(value_type = String)]
    registration: Registration,
    #[schema(value_type = Vec<String>)]
    providers: Vec<Provider>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = providers::StartRequest)]
struct StartRequest {
    /// The secret of an invitation that is accepted in this way.
    #[serde(default)]
    invitation: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = providers::LinkRequest)]
struct LinkRequest {
    /// Needed where one is set.
    #[serde(default)]
    #[schema(value_type = String)]
    current_password: SecretString,
}

#[derive(Serialize, ToSchema)]
#[schema(as = providers::StartResponse)]
struct StartResponse {
    /// The provider's page.
    authorize_url: String,
}

async fn list(State(app): State<Arc<App>>) -> Json<WaysResponse> {
    Json(WaysResponse {
        registration: app.config.accounts.registration,
        providers: app.providers.names().collect(),
    })
}

async fn start(
    State(app): State<Arc<App>>,
    Extension(address): Extension<ClientAddress>,
    Path(provider): Path<String>,
    headers: HeaderMap,
    Body(request): Body<StartRequest>,
) -> Result<Response, ApiError> {
    let errand = match request.invitation {
        Some(secret) => Errand::Accept(token::hash(&secret)),
        None => Errand::SignIn,
    };
    let departure =
        providers::depart(&app, (address, &headers), named(&provider)?, &errand).await?;
    leave(departure, &headers)
}

async fn link(
    State(app): State<Arc<App>>,
    Extension(address): Extension<ClientAddress>,
    Extension(caller): Extension<Caller>,
    Path(provider): Path<String>,
    headers: HeaderMap,
    Body(request): Body<LinkRequest>,
) -> Result<Response, ApiError> {
    let provider = named(&provider)?;
    membership::confirm_owner(&app, &caller, request.current_password).await?;
    let errand = Errand::Link(caller.account.user_id);
    let departure = providers::depart(&app, (address, &headers), provider, &errand).await?;
    leave(departure, &headers)
}

fn leave(departure: Departure, headers: &HeaderMap) -> Result<Response, ApiError> {
    let cookie = Cookie::Visit.set(&departure.secret, VISIT, headers);
    let cookie = cookie.ok_or_else(ApiError::internal)?;
    let response = StartResponse {
        authorize_url: departure.authorize_url,
    };
    Ok(([(SET_COOKIE, cookie)], Json(response)).into_response())
}

/// Where the provider's page sends the browser; whatever happens, a page of ours follows.
async fn callback(
    State(app): State<Arc<App>>,
    Path(provider): Path<String>,
    Query(callback): Query<Callback>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let provider = named(&provider)?;
    let secret = Cookie::Visit.read(&headers);
    let arrived = providers::arrive(&app, &headers, provider, callback, secret).await?;
    let visited = Cookie::Visit.clear(&headers);
    let mut cookies = vec![visited.ok_or_else(ApiError::internal)?];
    let page = match arrived {
        Ok(Arrival::SignedIn(secret)) => {
            let lifetime = seconds(app.config.accounts.browser_seconds);
            let cookie = Cookie::Account.set(&secret, lifetime, &headers);
            cookies.push(cookie.ok_or_else(ApiError::internal)?);
            "/account".to_owned()
        }
        Ok(Arrival::Linked) => format!("/account#linked={provider}"),
        Err(problem) => format!("/account#problem={}", problem.as_str()),
    };
    let mut response = (StatusCode::SEE_OTHER, [(LOCATION, page)]).into_response();
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    for cookie in cookies {
        headers.append(SET_COOKIE, cookie);
    }
    Ok(response)
}

async fn unlink(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(provider): Path<String>,
) -> Result<StatusCode, ApiError> {
    membership::unlink(&app, &caller.account.user_id, named(&provider)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn named(provider: &str) -> Result<Provider, ApiError> {
    let provider = provider.parse();
    provider.map_err(|_| ApiError::not_found("there is no such provider"))
}
