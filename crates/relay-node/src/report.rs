//! Samples to the metrics-gateway, one report each second. When it is away the
//! last half minute is kept, the oldest goes first, and nobody waits.

use std::time::Duration;

use model::NodeId;
use model::telemetry::NodeReport;
use proto::telemetry as pb;
use proto::telemetry::telemetry_client::TelemetryClient;
use service_kit::grpc::BearerInterceptor;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tonic::transport::Endpoint;

use crate::backlog::Backlog;
use crate::backoff::{Backoff, chance};
use crate::metrics;
use crate::sampler::Sampled;

/// Reports kept for a gateway that is away.
const REPORTS_MAX: usize = 30;
/// Reports on their way out.
const OUTBOX_LENGTH: usize = 4;

/// Tells the gateway what the sampler sees.
pub(crate) struct Reporter {
    pub(crate) endpoint: Endpoint,
    pub(crate) bearer: BearerInterceptor,
    pub(crate) node_id: NodeId,
    pub(crate) boot_id: String,
    pub(crate) samples: watch::Receiver<Sampled>,
}

/// The sampler has ended, and with it the node.
struct Ended;

impl Reporter {
    /// Reports until the sampler ends.
    pub(crate) async fn run(mut self) {
        let mut backlog = Backlog::new(REPORTS_MAX);
        let mut backoff = Backoff::new();
        let mut away = false;
        loop {
            let attempt = self.stream(&mut backlog, &mut backoff, &mut away).await;
            let Ok(error) = attempt else { return };
            note_away(away, &error);
            away = true;
            if self
                .wait(&mut backlog, backoff.next(chance()))
                .await
                .is_err()
            {
                return;
            }
        }
    }

    /// One stream from its start to its failure.
    async fn stream(
        &mut self,
        backlog: &mut Backlog<pb::NodeReport>,
        backoff: &mut Backoff,
        away: &mut bool,
    ) -> Result<Status, Ended> {
        let (outbox, reports) = mpsc::channel(OUTBOX_LENGTH);
        let call = call(self.endpoint.clone(), self.bearer.clone(), reports);
        tokio::pin!(call);
        loop {
            tokio::select! {
                status = &mut call => return Ok(status),
                permit = outbox.reserve(), if !backlog.is_empty() => {
                    if let (Ok(permit), Some(report)) = (permit, backlog.pop()) {
                        permit.send(report);
                    }
                    // A whole outbox went: the gateway reads.
                    if outbox.capacity() == OUTBOX_LENGTH {
                        backoff.reset();
                        *away = false;
                    }
                }
                sampled = self.sample() => keep(backlog, sampled?),
            }
        }
    }

    /// Waits while keeping the reports that fall due.
    async fn wait(
        &mut self,
        backlog: &mut Backlog<pb::NodeReport>,
        time: Duration,
    ) -> Result<(), Ended> {
        let sleep = tokio::time::sleep(time);
        tokio::pin!(sleep);
        loop {
            tokio::select! {
                () = &mut sleep => return Ok(()),
                sampled = self.sample() => keep(backlog, sampled?),
            }
        }
    }

    /// The next second's report.
    async fn sample(&mut self) -> Result<pb::NodeReport, Ended> {
        self.samples.changed().await.map_err(|_| Ended)?;
        let sampled = self.samples.borrow_and_update().clone();
        let report = NodeReport {
            node_id: self.node_id.clone(),
            boot_id: self.boot_id.clone(),
            observed_at: sampled.observed_at,
            node: sampled.snapshot.node_sample(),
            sessions: sampled.snapshot.samples.clone(),
        };
        Ok(report.into())
    }
}

/// Carries reports until the stream fails; a gateway that ends it is away, too.
async fn call(
    endpoint: Endpoint,
    bearer: BearerInterceptor,
    reports: mpsc::Receiver<pb::NodeReport>,
) -> Status {
    let channel = match endpoint.connect().await {
        Ok(channel) => channel,
        Err(error) => return Status::unavailable(service_kit::grpc::why(&error)),
    };
    let mut client = TelemetryClient::with_interceptor(channel, bearer);
    match client.report(ReceiverStream::new(reports)).await {
        Ok(_) => Status::unavailable("the gateway ended the stream"),
        Err(status) => status,
    }
}

fn keep(backlog: &mut Backlog<pb::NodeReport>, report: pb::NodeReport) {
    if backlog.push(report) {
        metrics::report_dropped();
    }
}

fn note_away(away: bool, error: &Status) {
    let (code, reason) = (error.code(), error.message());
    if away {
        tracing::debug!(?code, reason, "the metrics-gateway is still away");
    } else {
        tracing::warn!(
            ?code,
            reason,
            "the metrics-gateway is away; the oldest samples go first"
        );
    }
}
