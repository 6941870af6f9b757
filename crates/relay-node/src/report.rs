//! Samples to the metrics-gateway, one report each second. When it is away the
//! last minutes are kept, the oldest go first, and nobody waits. When it is back
//! it gets them in order and not all at once, so that what it shows as live goes
//! on where it was, and its history has no hole.

mod kept;

use std::time::Duration;

use model::NodeId;
use model::telemetry::NodeReport;
use proto::telemetry as pb;
use proto::telemetry::telemetry_client::TelemetryClient;
use service_kit::grpc::BearerInterceptor;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

use crate::backoff::{Backoff, chance};
use crate::metrics;
use crate::sampler::Sampled;
use kept::Kept;

/// Between two reports, when some were kept: many nodes find a gateway again at once, and
/// viewers take what comes twenty times as fast as it was, but not all of it in a moment.
const CATCH_UP_INTERVAL: Duration = Duration::from_millis(50);
/// Between two reports of a young stream, as samples fall due.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);
/// A gateway that is to refuse a stream has asked for its reasons by then.
const PROVEN_AFTER: Duration = Duration::from_secs(6);
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
        let mut kept = Kept::default();
        let mut backoff = Backoff::new();
        let mut away = false;
        loop {
            let attempt = self.stream(&mut kept, &mut backoff, &mut away).await;
            let Ok(error) = attempt else { return };
            note_away(away, &error);
            away = true;
            let pause = tokio::time::sleep(backoff.next(chance()));
            if self.meanwhile(&mut kept, pause).await.is_err() {
                return;
            }
        }
    }

    /// One stream from its start to its failure.
    async fn stream(
        &mut self,
        kept: &mut Kept,
        backoff: &mut Backoff,
        away: &mut bool,
    ) -> Result<Status, Ended> {
        let connecting = connect(self.endpoint.clone());
        let channel = match self.meanwhile(kept, connecting).await? {
            Ok(channel) => channel,
            Err(status) => return Ok(status),
        };
        // Only now: what is on its way when a stream fails is lost.
        let (outbox, reports) = mpsc::channel(OUTBOX_LENGTH);
        let call = call(channel, self.bearer.clone(), reports);
        tokio::pin!(call);
        let (began_at, mut sent) = (Instant::now(), 0);
        let mut next_at = began_at;
        loop {
            tokio::select! {
                status = &mut call => return Ok(status),
                permit = place(&outbox, next_at), if !kept.is_empty() => {
                    if let (Ok(permit), Some(report)) = (permit, kept.pop()) {
                        permit.send(report);
                        sent += 1;
                    }
                    next_at = Instant::now() + interval(began_at.elapsed());
                    // More than an outbox went: the gateway reads.
                    if sent > OUTBOX_LENGTH {
                        backoff.reset();
                        *away = false;
                    }
                }
                sampled = self.sample() => keep(kept, sampled?),
            }
        }
    }

    /// Waits for something while keeping the reports that fall due.
    async fn meanwhile<F: Future>(&mut self, kept: &mut Kept, wait: F) -> Result<F::Output, Ended> {
        tokio::pin!(wait);
        loop {
            tokio::select! {
                done = &mut wait => return Ok(done),
                sampled = self.sample() => keep(kept, sampled?),
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

/// Between two reports of a stream that is so old: what waits is not hurried after a gateway that
/// may yet refuse the stream, and with it all that is on its way.
fn interval(age: Duration) -> Duration {
    if age < PROVEN_AFTER {
        SAMPLE_INTERVAL
    } else {
        CATCH_UP_INTERVAL
    }
}

async fn connect(endpoint: Endpoint) -> Result<Channel, Status> {
    let connected = endpoint.connect().await;
    connected.map_err(|error| Status::unavailable(service_kit::grpc::why(&error)))
}

/// Carries reports until the stream fails; a gateway that ends it is away, too.
async fn call(
    channel: Channel,
    bearer: BearerInterceptor,
    reports: mpsc::Receiver<pb::NodeReport>,
) -> Status {
    let mut client = TelemetryClient::with_interceptor(channel, bearer);
    match client.report(ReceiverStream::new(reports)).await {
        Ok(_) => Status::unavailable("the gateway ended the stream"),
        Err(status) => status,
    }
}

/// A place for a report, not before its time.
async fn place(
    outbox: &mpsc::Sender<pb::NodeReport>,
    at: Instant,
) -> Result<mpsc::Permit<'_, pb::NodeReport>, mpsc::error::SendError<()>> {
    tokio::time::sleep_until(at).await;
    outbox.reserve().await
}

fn keep(kept: &mut Kept, report: pb::NodeReport) {
    for _ in 0..kept.push(report) {
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
