//! `fleet.v1.Dns`: which records `jobs` should write, and what became of them.

use std::sync::Arc;
use std::time::Duration;

use model::StreamId;
use proto::fleet as pb;
use storage::Transaction;
use storage::control::dns::{self, Change, Counts};
use tonic::{Request, Response, Status};

use super::{counted, status};
use crate::relay::names;
use crate::state::App;

/// The most records of one call.
const CHANGES_MAX: u32 = 200;
const CLAIM_MS: std::ops::RangeInclusive<u32> = 1000..=600_000;
const FAILURE_LENGTH_MAX: usize = 500;

pub(super) struct Dns {
    pub(super) app: Arc<App>,
}

#[tonic::async_trait]
impl pb::dns_server::Dns for Dns {
    async fn claim_dns_changes(
        &self,
        request: Request<pb::ClaimDnsChangesRequest>,
    ) -> Result<Response<pb::ClaimDnsChangesResponse>, Status> {
        counted("Dns/ClaimDnsChanges", self.claim(request.get_ref()).await)
    }

    async fn report_dns_changes(
        &self,
        request: Request<pb::ReportDnsChangesRequest>,
    ) -> Result<Response<pb::ReportDnsChangesResponse>, Status> {
        counted(
            "Dns/ReportDnsChanges",
            self.report(request.into_inner()).await,
        )
    }
}

impl Dns {
    /// Without a zone nothing is handed out: records that there are stay as they are.
    async fn claim(
        &self,
        request: &pb::ClaimDnsChangesRequest,
    ) -> Result<pb::ClaimDnsChangesResponse, Status> {
        if !(1..=CHANGES_MAX).contains(&request.limit) {
            return Err(Status::invalid_argument("limit: 1 to 200"));
        }
        if !CLAIM_MS.contains(&request.claim_ms) {
            return Err(Status::invalid_argument("claim_ms: 1000 to 600000"));
        }
        let app = &self.app;
        let claim = Duration::from_millis(request.claim_ms.into());
        let mut changes = Vec::new();
        if let Some(plan) = names::plan(&app.config) {
            let mut transaction = storage::begin(&app.pool).await.map_err(status)?;
            changes = dns::claim(&mut transaction, plan, app.now(), request.limit, claim)
                .await
                .map_err(status)?;
            storage::commit(transaction).await.map_err(status)?;
        }
        let counts = dns::counts(&app.pool).await.map_err(status)?;
        Ok(pb::ClaimDnsChangesResponse {
            changes: changes.into_iter().map(said).collect(),
            counts: Some(counted_as(counts)),
        })
    }

    async fn report(
        &self,
        request: pb::ReportDnsChangesRequest,
    ) -> Result<pb::ReportDnsChangesResponse, Status> {
        if request.outcomes.len() > CHANGES_MAX as usize {
            return Err(Status::invalid_argument("outcomes: at most 200"));
        }
        let outcomes: Vec<Outcome> = request
            .outcomes
            .into_iter()
            .map(Outcome::heard)
            .collect::<Result<_, _>>()?;
        let mut transaction = storage::begin(&self.app.pool).await.map_err(status)?;
        for outcome in &outcomes {
            self.settle(&mut transaction, outcome)
                .await
                .map_err(status)?;
        }
        storage::commit(transaction).await.map_err(status)?;
        Ok(pb::ReportDnsChangesResponse {})
    }

    async fn settle(
        &self,
        transaction: &mut Transaction,
        outcome: &Outcome,
    ) -> Result<(), storage::Error> {
        let (change, now) = (&outcome.change, self.app.now());
        let held = match &outcome.result {
            Ended::Done => dns::published(transaction, change, now).await?,
            Ended::Failed(failure) => dns::failed(transaction, change, failure, now).await?,
            Ended::Left => dns::left(transaction, change).await?,
        };
        if !held {
            tracing::info!(stream.id = %change.stream_id, "A report on a name came too late");
        }
        Ok(())
    }
}

/// What became of a record that was handed out.
struct Outcome {
    change: Change,
    result: Ended,
}

enum Ended {
    Done,
    Failed(String),
    Left,
}

impl Outcome {
    fn heard(outcome: pb::DnsOutcome) -> Result<Self, Status> {
        let result = match outcome.result() {
            pb::DnsResult::Done => Ended::Done,
            pb::DnsResult::Failed => {
                Ended::Failed(outcome.failure.chars().take(FAILURE_LENGTH_MAX).collect())
            }
            pb::DnsResult::Left => Ended::Left,
            pb::DnsResult::Unspecified => {
                return Err(Status::invalid_argument("outcomes.result: say it"));
            }
        };
        let change = outcome.change;
        let change = change.ok_or_else(|| Status::invalid_argument("outcomes.change: say it"))?;
        let change = heard(change)?;
        Ok(Self { change, result })
    }
}

fn said(change: Change) -> pb::DnsChange {
    pb::DnsChange {
        stream_id: change.stream_id.to_string(),
        claim: change.claim,
        name: change.name,
        host: change.host.unwrap_or_default(),
        ttl_seconds: change.ttl_seconds,
    }
}

fn heard(change: pb::DnsChange) -> Result<Change, Status> {
    let stream_id = StreamId::parse(&change.stream_id)
        .map_err(|error| Status::invalid_argument(format!("change.stream_id: {error}")))?;
    Ok(Change {
        stream_id,
        claim: change.claim,
        name: change.name,
        host: Some(change.host).filter(|host| !host.is_empty()),
        ttl_seconds: change.ttl_seconds,
    })
}

fn counted_as(counts: Counts) -> pb::DnsCounts {
    pb::DnsCounts {
        published: counts.published,
        pending: counts.pending,
        failing: counts.failing,
    }
}
