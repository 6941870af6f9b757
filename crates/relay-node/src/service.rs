//! Parse, bind, then run: the parts of the node put together.

use std::io;
use std::net::SocketAddr;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use model::node::NodeAddress;
use relay_core::Event;
use secrecy::SecretString;
use service_kit::Context;
use service_kit::grpc::BearerInterceptor;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::backoff::chance;
use crate::carriers;
use crate::config::Config;
use crate::control::{self, About, Control, Parts, READINESS, Replicas};
use crate::identity::{Identity, Store};
use crate::lookup::{Lookups, Policy};
use crate::report::Reporter;
use crate::resume::Keeper;
use crate::sampler::{self, Sampled};
use crate::shard::Farewell;
use crate::shards::{self, Running, Shards};
use crate::sockets::Socket;
use crate::stats::{self, PlayKeys};
use crate::{key_worker, metrics};

/// The readiness part: the UDP ports are served.
const SOCKETS: &str = "sockets";

/// Runs a relay node until it is told to stop.
///
/// # Errors
/// When a port cannot be bound, the node cannot be enrolled, or a data thread
/// ends by itself.
pub async fn run(config: Config, context: Context) -> anyhow::Result<()> {
    context.readiness.expect(SOCKETS);
    context.readiness.expect(READINESS);
    metrics::register();
    let ports = bind(&config)?;
    let addresses: Vec<_> = ports.iter().map(|group| group[0].local_addr()).collect();
    let listener = stats::bind(config.listen_stats)
        .with_context(|| format!("cannot bind listen_stats {}", config.listen_stats))?;

    let store = Store::new(&config.state_dir);
    let mut replicas = Replicas::parse(&config.kit.grpc, &config.api_grpc, chance())?;
    let Some(identity) = identity(&config, &store, &mut replicas, &context).await? else {
        return Ok(());
    };
    tracing::info!(node.id = %identity.node_id, "the node knows who it is");

    let age_max = Duration::from_secs(config.resume_seconds);
    let keeper = Keeper::new(&config.state_dir, identity.node_id.clone(), age_max);
    let bearer = BearerInterceptor::new(&identity.credential).context("the node's credential")?;
    let Running {
        shards,
        threads,
        events,
    } = start_data_threads(&config, ports, &identity, keeper.as_ref(), &context)?;
    context.readiness.set(SOCKETS, Ok(()));
    let node = Node {
        config,
        context,
        addresses,
        listener,
        store,
        replicas,
        bearer,
        identity,
        shards,
        keeper,
    };
    let served = node.serve(events).await;
    tokio::task::spawn_blocking(move || threads.into_iter().try_for_each(join)).await??;
    served
}

fn join(thread: JoinHandle<io::Result<()>>) -> anyhow::Result<()> {
    let joined = thread.join();
    joined
        .map_err(|_| anyhow!("a data thread panicked"))?
        .context("a data thread")
}

/// What is ready once the data threads run.
struct Node {
    config: Config,
    context: Context,
    addresses: Vec<SocketAddr>,
    listener: TcpListener,
    store: Store,
    replicas: Replicas,
    bearer: BearerInterceptor,
    identity: Identity,
    shards: Shards,
    keeper: Option<Keeper>,
}

impl Node {
    /// Runs everything around the data threads, then stops them.
    async fn serve(self, events: mpsc::Receiver<Event>) -> anyhow::Result<()> {
        let shutdown = self.context.shutdown.clone();
        let (shards, keeper) = (self.shards.clone(), self.keeper.clone());
        let (draining, is_draining) = watch::channel(false);
        let mut tasks = self.spawn(events, draining)?;
        let ended = tokio::select! {
            () = shutdown.cancelled() => Ok(()),
            Some(ended) = tasks.join_next() => ended.map_err(Into::into).and_then(|ended| ended),
        };
        tasks.shutdown().await;
        let farewell = match keeper {
            // A node that was drained does not come back soon.
            Some(keeper) if !*is_draining.borrow() => leave(&keeper, &shards).await,
            _ => Farewell::All,
        };
        // An error means that a thread has ended already.
        let _ = shards.stop(farewell).await;
        ended
    }

    fn spawn(
        self,
        events: mpsc::Receiver<Event>,
        draining: watch::Sender<bool>,
    ) -> anyhow::Result<JoinSet<anyhow::Result<()>>> {
        let mut tasks = JoinSet::new();
        let boot_id = boot_id()?;
        let is_draining = draining.subscribe();
        let (sampled, samples) = watch::channel(Sampled::nothing(self.context.clock.now()));
        let newest = samples.clone();
        self.context
            .show(move |page| metrics::forward_delay(page, &newest.borrow().snapshot.delay));
        let (shards, clock) = (self.shards.clone(), self.context.clock.clone());
        let (carriers, watcher) = carriers::channel(self.config.asn_database.clone());
        tasks
            .spawn(async move { Err(sampler::run(shards, carriers, clock, sampled).await.into()) });
        if let Some(watcher) = watcher {
            let shutdown = self.context.shutdown.clone();
            tasks.spawn(async move {
                shutdown.run_until_cancelled(watcher.run()).await;
                Ok(())
            });
        }
        if let Some(keeper) = self.keeper {
            let shards = self.shards.clone();
            tasks.spawn(async move { Err(keeper.run(shards).await.into()) });
        }
        let play_keys = PlayKeys::default();
        let stats = stats::serve(stats::Parts {
            listener: self.listener,
            limits: self.config.stats,
            keys: play_keys.clone(),
            samples: samples.clone(),
            draining: is_draining,
        });
        let shutdown = self.context.shutdown.clone();
        tasks.spawn(async move {
            stats.await;
            shutdown.cancelled().await;
            Ok(())
        });
        if let Some(gateway) = &self.config.gateway_grpc {
            let reporter = Reporter {
                endpoint: control::endpoint(&self.config.kit.grpc, "gateway_grpc", gateway)?,
                bearer: self.bearer.clone(),
                node_id: self.identity.node_id.clone(),
                boot_id: boot_id.clone(),
                samples: samples.clone(),
            };
            let shutdown = self.context.shutdown.clone();
            tasks.spawn(async move {
                tokio::select! {
                    () = reporter.run() => {}
                    () = shutdown.cancelled() => {}
                }
                shutdown.cancelled().await;
                Ok(())
            });
        }
        let policy = Policy {
            remotes: self.config.remotes,
            local: self.addresses[0],
        };
        let (lookups, events) = Lookups::new(self.shards.clone(), policy, events);
        tasks.spawn(async move { Err(lookups.run().await.into()) });
        let control = Control::new(Parts {
            about: about(&self.config, &self.addresses, &self.identity, boot_id),
            replicas: self.replicas,
            bearer: self.bearer,
            identity: self.identity,
            store: self.store,
            shards: self.shards,
            play_keys,
            events,
            samples,
            draining,
            readiness: self.context.readiness,
            clock: self.context.clock,
            shutdown: self.context.shutdown,
        });
        tasks.spawn(async move { Ok(control.run().await?) });
        Ok(tasks)
    }
}

/// Writes down the connections for the next process.
async fn leave(keeper: &Keeper, shards: &Shards) -> Farewell {
    match keeper.write_now(shards).await {
        Ok(()) => Farewell::Unsaved,
        Err(error) => {
            tracing::warn!(%error, "cannot write down the connections; they end");
            Farewell::All
        }
    }
}

fn about(config: &Config, addresses: &[SocketAddr], identity: &Identity, boot_id: String) -> About {
    About {
        node_id: identity.node_id.clone(),
        region: config.region.clone(),
        address: NodeAddress {
            public_host: config.public_host.clone(),
            udp_port: addresses[0].port(),
            publish_port: addresses[1].port(),
            play_port: addresses[2].port(),
        },
        sessions_max: config.limits.sessions_max,
        boot_id,
    }
}

fn boot_id() -> anyhow::Result<String> {
    Ok(hex::encode(random::<16>()?))
}

fn random<const N: usize>() -> anyhow::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| anyhow!("no random numbers: {error}"))?;
    Ok(bytes)
}

/// For each port its sockets, one for each data thread.
fn bind(config: &Config) -> anyhow::Result<Vec<Vec<Socket>>> {
    let names = ["listen_udp", "listen_publish", "listen_play"];
    let threads = config.data_threads();
    let bind = |(name, address): (&str, SocketAddr)| {
        let group = Socket::bind_group(address, threads)
            .with_context(|| format!("cannot bind {name} {address}"))?;
        log_bound(name, &group[0]);
        Ok(group)
    };
    names.into_iter().zip(config.listens()).map(bind).collect()
}

fn log_bound(name: &str, socket: &Socket) {
    let (address, buffers) = (socket.local_addr(), socket.buffers());
    let (receive_bytes, send_bytes) = (buffers.receive_bytes, buffers.send_bytes);
    tracing::info!(name, %address, receive_bytes, send_bytes, "bound");
    if buffers.is_short() {
        tracing::info!(
            name,
            "the kernel gave smaller buffers than asked for; raise net.core.rmem_max and \
             net.core.wmem_max to 4194304 for high rates"
        );
    }
}

/// The node's identity, from its file or by enrolling; `None` when the node is
/// stopped first.
async fn identity(
    config: &Config,
    store: &Store,
    replicas: &mut Replicas,
    context: &Context,
) -> anyhow::Result<Option<Identity>> {
    if let Some(identity) = store.load()? {
        return Ok(Some(identity));
    }
    let waiting = "waits for the control plane to enrol this node";
    context.readiness.set(READINESS, Err(waiting.into()));
    let join_token = join_token(config)?;
    let enrolled = match control::enrol(replicas, &join_token, &context.shutdown).await {
        Err(control::EnrolError::Stopped) => return Ok(None),
        enrolled => enrolled?,
    };
    store.save(&enrolled)?;
    Ok(Some(enrolled))
}

fn join_token(config: &Config) -> anyhow::Result<SecretString> {
    match (&config.join_token, &config.join_token_file) {
        (Some(token), _) => Ok(token.clone()),
        (None, Some(path)) => Ok(service_kit::secret::read_file(path)?),
        (None, None) => Err(anyhow!(
            "this node is not enrolled: set join_token or join_token_file"
        )),
    }
}

/// Starts the data threads over the sockets.
fn start_data_threads(
    config: &Config,
    ports: Vec<Vec<Socket>>,
    identity: &Identity,
    keeper: Option<&Keeper>,
    context: &Context,
) -> anyhow::Result<Running> {
    let wall = context.clock.now();
    let saved = keeper.map_or_else(Vec::new, |keeper| keeper.load(wall));
    log_resumed(&saved);
    let (key_worker, key_work) = key_worker::channel();
    // It ends when the data threads have, and nobody waits for it.
    context
        .spawn_thread("keys", move || key_work.run())
        .context("the thread for keys")?;
    let plan = shards::Plan {
        ports,
        config: config.relay(),
        identity: identity.clone(),
        seed: random()?,
        wall,
        key_worker,
        pause_max: Duration::from_micros(config.pause_max_us),
        saved,
    };
    let spawn =
        |name: &str, shard: crate::shard::Shard| context.spawn_thread(name, move || shard.run());
    shards::start(plan, spawn).context("the data threads")
}

fn log_resumed(saved: &[relay_core::Saved]) {
    let connections: usize = saved.iter().map(relay_core::Saved::connections).sum();
    if connections > 0 {
        tracing::info!(
            connections,
            "goes on with the connections of the last process"
        );
    }
}
