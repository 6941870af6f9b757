//! gRPC `telemetry.v1.Apps` and `telemetry.v1.Upkeep`: apps are made and changed, and partitions
//! made, for whoever has the service token.

mod terms;

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use model::UnixMillis;
use model::clock::Clock;
use proto::telemetry as pb;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use service_kit::seal::SealingKey;
use sha2::{Digest, Sha256};
use storage::telemetry::apps::{self, Change};
use storage::{Pool, Transaction};
use tonic::{Request, Response, Status};

use super::app::{KEYS_MAX, TOKEN_PREFIX};
use super::directory::{APPS_MAX, Directory, purpose};
use super::{days, month};
use crate::queries::encoding::Coding;
use crate::queries::export;
use crate::queries::{Queries, Refusal, Subject};
use terms::check_name;

const GRACE_MAX: Duration = Duration::from_secs(90 * 86_400);
/// Apps in one answer.
const LIST_DEFAULT: u32 = 100;
const PAGE_MAX: u32 = 500;
const CHANGES_MAX: u32 = 20;
const SECRET_BYTES: usize = 32;

/// Both services.
#[derive(Clone)]
pub(crate) struct Admin {
    pub(crate) pool: Pool,
    pub(crate) key: Arc<SealingKey>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) queries: Arc<Queries>,
}

/// What an app is told once.
struct Fresh {
    token: SecretString,
    secret: SecretString,
}

#[tonic::async_trait]
impl pb::apps_server::Apps for Admin {
    async fn create_app(
        &self,
        request: Request<pb::CreateAppRequest>,
    ) -> Result<Response<pb::AppCredential>, Status> {
        let request = request.into_inner();
        check_name("org", &request.org)?;
        check_name("name", &request.name)?;
        let terms = terms::of_new(&request)?;
        let now = self.clock.now();
        let mut transaction = self.begin().await?;
        let count = apps::count(&mut transaction).await.map_err(status)?;
        if count >= APPS_MAX.into() {
            let text = format!("there are {APPS_MAX} apps, which is as many as there may be");
            return Err(Status::resource_exhausted(text));
        }
        let named = (request.org.as_str(), request.name.as_str());
        let id = apps::create(&mut transaction, named, &terms, now).await;
        let id = id.map_err(|error| match error {
            storage::Error::Conflict { .. } => Status::already_exists(format!(
                "there is an app {}/{}; `rotate` gives it another secret",
                request.org, request.name
            )),
            other => status(other),
        })?;
        let fresh = self.give(&mut transaction, id, now).await?;
        note(
            &mut transaction,
            id,
            ("create", terms::details(&terms)),
            now,
        )
        .await?;
        self.publish(transaction).await?;
        let app = self.app(&request.org, &request.name).await?;
        Ok(Response::new(fresh.told(app, None)))
    }

    async fn list_apps(
        &self,
        request: Request<pb::ListAppsRequest>,
    ) -> Result<Response<pb::ListAppsResponse>, Status> {
        let request = request.into_inner();
        let limit = match request.limit {
            0 => LIST_DEFAULT,
            limit => limit.min(PAGE_MAX),
        };
        let after = match request.after.split_once('/') {
            Some((org, name)) => self.app(org, name).await?.id,
            None if request.after.is_empty() => 0,
            None => return Err(Status::invalid_argument("after: `org/name`")),
        };
        let listed = apps::list(&self.pool, after, limit).await;
        let apps = listed.map_err(status)?.into_iter().map(told).collect();
        Ok(Response::new(pb::ListAppsResponse { apps }))
    }

    async fn get_app(
        &self,
        request: Request<pb::GetAppRequest>,
    ) -> Result<Response<pb::GetAppResponse>, Status> {
        let request = request.into_inner();
        let now = self.clock.now();
        let app = self.app(&request.org, &request.name).await?;
        let credentials = apps::credentials(&self.pool, Some(app.id), now).await;
        let times = |one: apps::Credential| pb::CredentialTimes {
            created_at_unix_ms: one.created_at.0,
            ends_at_unix_ms: one.ends_at.map(|at| at.0),
        };
        let changes = apps::changes(&self.pool, app.id, CHANGES_MAX).await;
        let change = |one: Change| pb::AppChange {
            at_unix_ms: one.at.0,
            action: one.action,
            details_json: one.details.to_string(),
        };
        let usage = apps::usage(&self.pool, month::first_day(now)).await;
        let mut usage = usage.map_err(status)?.into_iter();
        let sent = usage.find(|(id, _)| *id == app.id);
        Ok(Response::new(pb::GetAppResponse {
            credentials: credentials
                .map_err(status)?
                .into_iter()
                .map(times)
                .collect(),
            month_events: sent.map_or(0, |(_, events)| events),
            changes: changes.map_err(status)?.into_iter().map(change).collect(),
            app: Some(told(app)),
        }))
    }

    async fn rotate_app(
        &self,
        request: Request<pb::RotateAppRequest>,
    ) -> Result<Response<pb::AppCredential>, Status> {
        let request = request.into_inner();
        let grace = Duration::from_secs(request.grace_seconds);
        if grace > GRACE_MAX {
            return Err(Status::invalid_argument("grace: 90 days at most"));
        }
        let now = self.clock.now();
        let mut transaction = self.begin().await?;
        // From here on nobody else rotates.
        apps::touch(&mut transaction).await.map_err(status)?;
        let app = app(&mut transaction, &request.org, &request.name).await?;
        let ends_at = now.plus(grace);
        let has_previous = self
            .retire(&mut transaction, app.id, (now, ends_at))
            .await?;
        let fresh = self.give(&mut transaction, app.id, now).await?;
        let details = json!({ "grace_seconds": request.grace_seconds });
        note(&mut transaction, app.id, ("rotate", details), now).await?;
        self.publish(transaction).await?;
        let previous = has_previous.then_some(ends_at);
        Ok(Response::new(fresh.told(app, previous)))
    }

    async fn change_app(
        &self,
        request: Request<pb::ChangeAppRequest>,
    ) -> Result<Response<pb::ChangeAppResponse>, Status> {
        let request = request.into_inner();
        let now = self.clock.now();
        let mut transaction = self.begin().await?;
        // From here on nobody else changes it.
        apps::touch(&mut transaction).await.map_err(status)?;
        let before = app(&mut transaction, &request.org, &request.name).await?;
        let terms = terms::changed(&before.terms, &request)?;
        let changed = terms != before.terms;
        if changed {
            let set = apps::set_terms(&mut transaction, before.id, &terms).await;
            set.map_err(status)?;
            let details = terms::difference(&before.terms, &terms);
            note(&mut transaction, before.id, ("change", details), now).await?;
            self.publish(transaction).await?;
        }
        let app = self.app(&request.org, &request.name).await?;
        Ok(Response::new(pb::ChangeAppResponse {
            app: Some(told(app)),
            changed,
        }))
    }

    async fn ask_app(
        &self,
        request: Request<pb::AskAppRequest>,
    ) -> Result<Response<pb::AskAppResponse>, Status> {
        let request = request.into_inner();
        let subject = self.subject(&request.org, &request.name)?;
        let asked = self.queries.stats(&subject, &request.query).await;
        let body = asked.map_err(|refusal| refusal.status())?;
        let json = String::from_utf8_lossy(&body).into_owned();
        Ok(Response::new(pb::AskAppResponse { json }))
    }

    async fn get_app_usage(
        &self,
        request: Request<pb::GetAppUsageRequest>,
    ) -> Result<Response<pb::GetAppUsageResponse>, Status> {
        let request = request.into_inner();
        let subject = self.subject(&request.org, &request.name)?;
        let asked = self.queries.usage(&subject, &request.query).await;
        let json = asked.map_err(|refusal| refusal.status())?.to_string();
        Ok(Response::new(pb::GetAppUsageResponse { json }))
    }

    type ExportAppStream = BoxStream<'static, Result<pb::ExportAppResponse, Status>>;

    async fn export_app(
        &self,
        request: Request<pb::ExportAppRequest>,
    ) -> Result<Response<Self::ExportAppStream>, Status> {
        let request = request.into_inner();
        let subject = self.subject(&request.org, &request.name)?;
        let wanted = self.queries.wanted(&request.query);
        let wanted = wanted.map_err(|refusal| refusal.status())?;
        let how = (wanted, Coding::Identity);
        let begun = export::begin(&self.queries, subject.id, how, Box::new(|| true)).await;
        let pieces = begun.map_err(|refusal| refusal.status())?;
        let pieces = pieces.map(|piece| match piece {
            Ok(bytes) => Ok(pb::ExportAppResponse {
                piece: bytes.to_vec(),
            }),
            Err(broken) => Err(Status::aborted(broken.to_string())),
        });
        Ok(Response::new(pieces.boxed()))
    }

    async fn disable_app(
        &self,
        request: Request<pb::DisableAppRequest>,
    ) -> Result<Response<pb::DisableAppResponse>, Status> {
        let request = request.into_inner();
        let now = self.clock.now();
        let mut transaction = self.begin().await?;
        let app = app(&mut transaction, &request.org, &request.name).await?;
        let changed = app.disabled_at.is_some() != request.disabled;
        if changed {
            let disabled_at = request.disabled.then_some(now);
            let set = apps::set_disabled(&mut transaction, app.id, disabled_at).await;
            set.map_err(status)?;
            let action = if request.disabled {
                "disable"
            } else {
                "enable"
            };
            note(&mut transaction, app.id, (action, json!({})), now).await?;
            self.publish(transaction).await?;
        }
        let app = self.app(&request.org, &request.name).await?;
        Ok(Response::new(pb::DisableAppResponse {
            app: Some(told(app)),
            changed,
        }))
    }
}

#[tonic::async_trait]
impl pb::upkeep_server::Upkeep for Admin {
    async fn make_partitions(
        &self,
        _request: Request<pb::MakePartitionsRequest>,
    ) -> Result<Response<pb::MakePartitionsResponse>, Status> {
        let made = days::make(&self.pool, self.clock.now()).await;
        let made = made.map_err(status)?;
        Ok(Response::new(pb::MakePartitionsResponse {
            made: made.partitions,
            stray_events: made.stray,
        }))
    }
}

impl Admin {
    async fn begin(&self) -> Result<Transaction, Status> {
        storage::begin(&self.pool).await.map_err(status)
    }

    /// Makes a change stand, and known here at once; other gateways follow within a second.
    async fn publish(&self, mut transaction: Transaction) -> Result<(), Status> {
        apps::touch(&mut transaction).await.map_err(status)?;
        storage::commit(transaction).await.map_err(status)?;
        self.directory.catch_up().await.map_err(status)
    }

    async fn app(&self, org: &str, name: &str) -> Result<apps::App, Status> {
        let found = apps::find(&self.pool, org, name).await;
        found.map_err(status)?.ok_or_else(|| nobody(org, name))
    }

    fn subject(&self, org: &str, name: &str) -> Result<Subject, Status> {
        let found = self.queries.subject((org, name), None);
        found.map_err(|refusal| match refusal {
            Refusal::NoApp => nobody(org, name),
            other => other.status(),
        })
    }

    /// Gives an app a token and a secret.
    async fn give(
        &self,
        transaction: &mut Transaction,
        app_id: i32,
        now: UnixMillis,
    ) -> Result<Fresh, Status> {
        let fresh = Fresh {
            token: SecretString::from(format!("{TOKEN_PREFIX}{}", random()?)),
            secret: SecretString::from(random()?),
        };
        let hash: [u8; 32] = Sha256::digest(fresh.token.expose_secret().as_bytes()).into();
        let secret = fresh.secret.expose_secret().as_bytes();
        let sealed = self.key.seal(&purpose(&hash), secret);
        let sealed = sealed.map_err(|error| Status::internal(error.to_string()))?;
        let added = apps::add_credential(transaction, app_id, (&hash, &sealed), now).await;
        added.map_err(status)?;
        Ok(fresh)
    }

    /// Lets the newest credential end in a while, and older ones now. Whether there was one.
    async fn retire(
        &self,
        transaction: &mut Transaction,
        app_id: i32,
        (now, ends_at): (UnixMillis, UnixMillis),
    ) -> Result<bool, Status> {
        let good = apps::credentials(&mut **transaction, Some(app_id), now).await;
        let good = good.map_err(status)?;
        for (place, credential) in good.iter().enumerate() {
            let stays = place + 1 < KEYS_MAX;
            let at = if stays { ends_at } else { now };
            let at = credential.ends_at.map_or(at, |before| before.min(at));
            let ended = apps::end_credential(transaction, credential.id, at).await;
            ended.map_err(status)?;
        }
        Ok(!good.is_empty())
    }
}

impl Fresh {
    fn told(self, app: apps::App, previous_ends_at: Option<UnixMillis>) -> pb::AppCredential {
        pb::AppCredential {
            app: Some(told(app)),
            token: self.token.expose_secret().to_owned(),
            secret: self.secret.expose_secret().to_owned(),
            previous_ends_at_unix_ms: previous_ends_at.map(|at| at.0),
        }
    }
}

async fn app(transaction: &mut Transaction, org: &str, name: &str) -> Result<apps::App, Status> {
    let found = apps::find(&mut **transaction, org, name).await;
    found.map_err(status)?.ok_or_else(|| nobody(org, name))
}

fn nobody(org: &str, name: &str) -> Status {
    Status::not_found(format!("no app {org}/{name}"))
}

async fn note(
    transaction: &mut Transaction,
    app_id: i32,
    (action, details): (&str, Value),
    at: UnixMillis,
) -> Result<(), Status> {
    let change = Change {
        at,
        action: action.to_owned(),
        details,
    };
    let noted = apps::note(transaction, app_id, &change).await;
    noted.map_err(status)
}

fn told(app: apps::App) -> pb::App {
    pb::App {
        org: app.org,
        name: app.name,
        tier: app.terms.tier.as_str().to_owned(),
        quota_events: app.terms.quota_events,
        rate_events: app.terms.rate_events,
        retention_days: app.terms.retention_days,
        networks: app.terms.networks,
        origins: app.terms.origins,
        created_at_unix_ms: app.created_at.0,
        disabled_at_unix_ms: app.disabled_at.map(|at| at.0),
        counts_for_slis: app.terms.counts_for_slis,
    }
}

/// 256 random bits as hexadecimal digits.
fn random() -> Result<String, Status> {
    let mut bytes = [0; SECRET_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| Status::internal(error.to_string()))?;
    Ok(hex::encode(bytes))
}

/// What went wrong in the database is logged, and not told.
#[allow(
    clippy::needless_pass_by_value,
    reason = "it is what errors are mapped by"
)]
fn status(error: storage::Error) -> Status {
    if error.is_retryable() {
        return Status::unavailable("the database is away; try again");
    }
    tracing::error!(error = ?error, "a query of the apps failed");
    Status::internal("the query failed")
}
