//! gRPC `telemetry.v1`: the nodes' reports come in.

use std::sync::Arc;
use std::time::Duration;

use model::clock::Clock;
use model::telemetry::NodeReport;
use model::{NodeId, SessionId, UnixMillis};
use proto::telemetry as pb;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use crate::access::{Access, Verdict};
use crate::fleet::Fleet;
use crate::live::Live;
use crate::metrics::{self, ReportRefusal, SampleRefusal};

/// A stream that says nothing for this long is closed.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// A node whose clock is further off than this is not believed.
const SKEW_MAX: Duration = Duration::from_secs(600);

/// The service.
pub(crate) struct Ingest {
    pub(crate) access: Arc<Access>,
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) live: Arc<Live>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) streams: Semaphore,
    pub(crate) stopping: CancellationToken,
}

#[tonic::async_trait]
impl pb::telemetry_server::Telemetry for Ingest {
    async fn report(
        &self,
        request: Request<Streaming<pb::NodeReport>>,
    ) -> Result<Response<pb::ReportSummary>, Status> {
        let Ok(_place) = self.streams.try_acquire() else {
            return Err(refusal(ReportRefusal::StreamsFull));
        };
        let credential = service_kit::grpc::bearer(request.metadata());
        let credential = credential.unwrap_or_default().to_owned();
        self.node(&credential).await?;
        service_kit::grpc::admit(request.extensions());
        let mut reports = request.into_inner();
        let mut accepted = 0;
        while let Some(report) = self.next(&mut reports).await? {
            // Asked each time, answered from memory: a credential can be taken back.
            let node = self.node(&credential).await?;
            accepted += u64::from(self.take(&node, report).await?);
        }
        Ok(Response::new(pb::ReportSummary { reports: accepted }))
    }
}

impl Ingest {
    async fn node(&self, credential: &str) -> Result<NodeId, Status> {
        match self.access.node(credential).await {
            Verdict::Yes(node) => Ok(node),
            Verdict::No => Err(refusal(ReportRefusal::Unauthenticated)),
            Verdict::Unknown => Err(refusal(ReportRefusal::Unverified)),
        }
    }

    /// The next report; none when the node or this service ends the stream.
    async fn next(
        &self,
        reports: &mut Streaming<pb::NodeReport>,
    ) -> Result<Option<pb::NodeReport>, Status> {
        tokio::select! {
            biased;
            () = self.stopping.cancelled() => Ok(None),
            next = tokio::time::timeout(IDLE_MAX, reports.message()) => {
                next.unwrap_or_else(|_| Err(Status::deadline_exceeded("no report for a minute")))
            }
        }
    }

    /// Whether the report counted. One that names another node ends the stream.
    async fn take(&self, node: &NodeId, report: pb::NodeReport) -> Result<bool, Status> {
        let mut report = match NodeReport::try_from(report) {
            Ok(report) => report,
            Err(error) => {
                tracing::debug!(node.id = %node, %error, "a report is not what its contract promises");
                metrics::report_refused(ReportRefusal::Invalid);
                return Ok(false);
            }
        };
        if report.node_id != *node {
            return Err(refusal(ReportRefusal::WrongNode));
        }
        let now = self.clock.now();
        if is_skewed(report.observed_at, now) {
            metrics::report_refused(ReportRefusal::Clock);
            return Ok(false);
        }
        if !self.fleet.accept(&report, now) {
            metrics::report_refused(ReportRefusal::NotTaken);
            return Ok(false);
        }
        self.keep_given(&mut report).await;
        self.live.accept(&report, now);
        Ok(true)
    }

    /// Drops what a node says of sessions that are not its own.
    async fn keep_given(&self, report: &mut NodeReport) {
        let told = report.sessions.iter().map(|one| one.session_id.clone());
        let told: Vec<SessionId> = told.collect();
        let given = self.access.sessions(&report.node_id, &told).await;
        for _ in given.iter().filter(|is_given| !**is_given) {
            metrics::sample_refused(SampleRefusal::NotGiven);
        }
        let mut given = given.into_iter();
        report.sessions.retain(|_| given.next().unwrap_or(false));
    }
}

fn is_skewed(observed_at: UnixMillis, now: UnixMillis) -> bool {
    observed_at.since(now) > SKEW_MAX || now.since(observed_at) > SKEW_MAX
}

/// Counts a refusal that ends the stream, and says it.
fn refusal(reason: ReportRefusal) -> Status {
    metrics::report_refused(reason);
    match reason {
        ReportRefusal::Unauthenticated => Status::unauthenticated("not a node's credential"),
        ReportRefusal::WrongNode => {
            Status::permission_denied("the report names another node than its credential")
        }
        ReportRefusal::StreamsFull => Status::resource_exhausted("too many report streams"),
        _ => Status::unavailable("the credential cannot be checked now"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_may_be_off_by_minutes() {
        let now = UnixMillis(10_000_000);
        assert!(!is_skewed(now.plus(SKEW_MAX), now));
        assert!(!is_skewed(now.minus(SKEW_MAX), now));
        for far in [UnixMillis(0), UnixMillis(i64::MAX), UnixMillis(i64::MIN)] {
            assert!(is_skewed(far, now));
        }
    }
}
