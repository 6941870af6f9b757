//! JetStream as a log between gateways: edges put batches in, writers take them out.
//!
//! ```text
//! batch ▸ edge ▸ streamhaul.events.<org>.<app> ▸ JetStream, work queue ▸ writer ▸ COMMIT ▸ ack
//!          ▲ 200, when the log has it, or ◂──────── committed ◂──────────────┘
//! ```
//!
//! One message is one batch, or a part of one that is larger than the server's messages. A
//! message leaves the log when a writer has committed it; one that comes twice is found in the
//! database. Who may publish and who may take is the server's to say.

mod consumer;
mod delivery;
mod edge;
mod subject;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use async_nats::jetstream::{self, stream};
use async_nats::{Client, ConnectOptions, Event, ServerAddr};
use futures_util::FutureExt as _;
use futures_util::future::join;
use secrecy::ExposeSecret as _;
use service_kit::Readiness;
use tokio::sync::watch;

use super::outlet::{Behind, Outlet};
use super::slis::Slis;
use crate::config::{Config, NatsConfig, NatsRole};
use edge::Edge;
use writer::Drain;

/// The part of readiness that is the log.
const NATS: &str = "nats";

const STREAM: &str = "STREAMHAUL_EVENTS";
/// How long the server may take to answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// The same bytes again within this are one message.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);
/// The largest event with all that it carries, packed.
const MESSAGE_BYTES_MIN: usize = 512 << 10;
/// Says where a writer tells that it has committed a message.
const COMMITTED_TO: &str = "Streamhaul-Committed-To";
/// Before it, killing a server could lose a whole stream.
const VERSION_MIN: (i64, i64, i64) = (2, 10, 23);

/// The way of an edge, into the log; or that of a writer, with the log drained beside it.
pub(super) async fn open(
    config: &Config,
    context: &service_kit::Context,
    slis: &Arc<Slis>,
) -> anyhow::Result<Outlet> {
    let its = &config.events.nats;
    let (readiness, stopping) = (context.readiness.clone(), context.shutdown.clone());
    let log = Log::connect(its, &readiness).await?;
    match its.role {
        NatsRole::Edge => {
            let edge = Edge::new(log, its.acknowledge);
            Ok(Outlet {
                sink: Arc::new(edge.clone()),
                pool: None,
                work: Box::new(|bridge| {
                    async move { edge.run(bridge, &readiness, &stopping).await }.boxed()
                }),
            })
        }
        NatsRole::Writer => {
            let Outlet { sink, pool, work } = Outlet::to_database(config, slis)?;
            let drain = Drain::new(log, sink.clone());
            let drain = async move { drain.run(&readiness, &stopping).await };
            let work: Behind = Box::new(|bridge| join(work(bridge), drain).map(drop).boxed());
            Ok(Outlet { sink, pool, work })
        }
    }
}

/// A connection to the log, which comes back by itself.
#[derive(Clone)]
struct Log {
    client: Client,
    context: jetstream::Context,
    made_with: stream::Config,
    /// Changes when the connection ends.
    line: watch::Receiver<()>,
}

/// One connection, which ends once: what was asked by it may never be answered.
#[derive(Clone)]
struct Line(watch::Receiver<()>);

impl Log {
    /// Connects as soon as there is a server.
    ///
    /// # Errors
    /// When the setting is not what it should be.
    async fn connect(config: &NatsConfig, readiness: &Readiness) -> anyhow::Result<Self> {
        readiness.expect(NATS);
        let url = service_kit::secret::read_either(&config.url, config.url_file.as_deref())?;
        let servers = url.expose_secret().split(',').map(str::trim);
        let servers: Result<Vec<ServerAddr>, _> = servers.map(str::parse).collect();
        // Its message would repeat a password.
        let servers =
            servers.map_err(|_| anyhow::anyhow!("events.nats.url: not an address of NATS"))?;
        let (told, line) = watch::channel(());
        let told = Arc::new(told);
        let options = ConnectOptions::new()
            .name("streamhaul-metrics-gateway")
            .retry_on_initial_connect()
            .request_timeout(Some(REQUEST_TIMEOUT))
            .event_callback(move |event| {
                let told = told.clone();
                async move { note(event, &told) }
            });
        let client = options.connect(servers).await.context("events.nats.url")?;
        let mut context = jetstream::new(client.clone());
        context.set_timeout(REQUEST_TIMEOUT);
        Ok(Self {
            client,
            context,
            made_with: stream_config(config),
            line,
        })
    }

    /// The connection that there is now.
    fn line(&self) -> Line {
        let mut line = self.line.clone();
        line.mark_unchanged();
        Line(line)
    }

    /// The stream, made if it is not there. One that is there stays as it is.
    async fn stream(&self) -> anyhow::Result<stream::Stream> {
        let stream = self.found().await?;
        self.judge(&stream)?;
        Ok(stream)
    }

    async fn found(&self) -> anyhow::Result<stream::Stream> {
        let stream = self.context.get_or_create_stream(self.made_with.clone());
        Ok(stream.await?)
    }

    /// Whether the stream and its server are as they must be.
    fn judge(&self, stream: &stream::Stream) -> anyhow::Result<()> {
        let config = &stream.cached_info().config;
        anyhow::ensure!(
            config.retention == stream::RetentionPolicy::WorkQueue,
            "the stream {STREAM} is there and no work queue; remove it"
        );
        anyhow::ensure!(
            !forgets(config),
            "the stream {STREAM} forgets what it has taken; it must lie in files, discard what is \
             new, and have neither an age nor a bound of messages by subject"
        );
        let room = self.client.server_info().max_payload;
        anyhow::ensure!(
            room >= MESSAGE_BYTES_MIN,
            "max_payload of NATS is {room}, and an event may need {MESSAGE_BYTES_MIN} bytes"
        );
        Ok(())
    }

    /// Says once that a server is not to be believed.
    fn judge_version(&self) {
        let (major, minor, patch) = VERSION_MIN;
        if !self.client.is_server_compatible(major, minor, patch) {
            tracing::warn!(
                version = self.client.server_info().version,
                "this NATS server is older than {major}.{minor}.{patch} and may lose events; \
                 acknowledge after the commit only"
            );
        }
    }
}

impl Line {
    /// Ends when it does.
    async fn interrupted(mut self) {
        // Whoever told has ended: so has the client.
        let _ = self.0.changed().await;
    }

    fn is_interrupted(&self) -> bool {
        self.0.has_changed().unwrap_or(true)
    }
}

/// Whether a stream may lose what it has acknowledged, by its own rules.
fn forgets(config: &stream::Config) -> bool {
    config.storage != stream::StorageType::File
        || config.discard != stream::DiscardPolicy::New
        || !config.max_age.is_zero()
        || config.max_messages_per_subject > 0
}

fn stream_config(config: &NatsConfig) -> stream::Config {
    stream::Config {
        name: STREAM.to_owned(),
        subjects: vec![subject::ALL.to_owned()],
        retention: stream::RetentionPolicy::WorkQueue,
        storage: stream::StorageType::File,
        // What is full refuses; it does not forget.
        discard: stream::DiscardPolicy::New,
        max_bytes: i64::try_from(config.bytes_max).unwrap_or(i64::MAX),
        num_replicas: config.replicas.into(),
        duplicate_window: DUPLICATE_WINDOW,
        ..stream::Config::default()
    }
}

fn note(event: Event, line: &watch::Sender<()>) {
    match event {
        Event::Connected => tracing::info!("connected to NATS"),
        Event::Disconnected => {
            tracing::warn!("the NATS server is away");
            line.send_replace(());
        }
        other => tracing::debug!(event = %other, "NATS"),
    }
}
