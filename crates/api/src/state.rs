//! What every request and every node's stream can reach.

use std::sync::Arc;

use axum::body::Body;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use model::clock::Clock;
use model::{UnixMillis, UserId};
use secrecy::SecretString;
use service_kit::places::Places;
use storage::Pool;
use storage::control::accounts::Account;
use storage::control::wake::Wake;
use tokio::sync::{Semaphore, broadcast};
use tokio_util::sync::CancellationToken;

use crate::Config;
use crate::accounts::errands::Errands;
use crate::accounts::password::Passwords;
use crate::accounts::providers::Providers;
use crate::accounts::tries::Tries;
use crate::believed::Believed;
use crate::billing::Billing;
use crate::fleet::bans::Bans;
use crate::fleet::heartbeats::Heartbeats;
use crate::fleet::leases::Issuer;
use crate::fleet::pause::Pause;
use crate::fleet::registry::Registry;
use crate::limits::RateLimits;
use crate::mail::Post;
use crate::relay::capacity::Surveys;
use crate::relay::keys::KeyDeriver;
use crate::relay::links::Links;
use crate::token;

/// The control plane's parts. Nothing in here must survive the process.
pub(crate) struct App {
    pub(crate) config: Config,
    pub(crate) pool: Pool,
    pub(crate) clock: Arc<dyn Clock>,
    /// Its holder may do everything.
    pub(crate) admin_token: token::Hash,
    /// The account the admin token stands for.
    pub(crate) admin: Account,
    pub(crate) service_token: SecretString,
    pub(crate) issuer: Issuer,
    pub(crate) stream_keys: KeyDeriver,
    pub(crate) registry: Arc<Registry>,
    pub(crate) bans: Bans,
    pub(crate) pause: Pause,
    pub(crate) heartbeats: Heartbeats,
    /// What other processes said of sessions, for those who watch them.
    pub(crate) wakes: broadcast::Sender<Wake>,
    /// To the metrics-gateway.
    pub(crate) gateway: Client<HttpConnector, Body>,
    /// What it knows of sessions' links.
    pub(crate) links: Links,
    /// A place for each start that may use the database now.
    pub(crate) starts: Semaphore,
    /// A place for each stream of a node that may use the database now.
    pub(crate) stream_queries: Semaphore,
    /// A place for each live view.
    pub(crate) live_streams: Places<UserId>,
    pub(crate) passwords: Passwords,
    pub(crate) tries: Tries,
    pub(crate) rate_limits: RateLimits,
    /// Whose `X-Forwarded-For` is believed.
    pub(crate) proxies: Arc<Believed>,
    /// Where else people have accounts.
    pub(crate) providers: Providers,
    /// Who tells us what is paid for.
    pub(crate) billing: Billing,
    pub(crate) post: Post,
    pub(crate) errands: Errands,
    /// What the fleet can take, looked up now and then.
    pub(crate) surveys: Surveys,
    /// Ends what would go on for ever.
    pub(crate) stopping: CancellationToken,
}

impl App {
    pub(crate) fn now(&self) -> UnixMillis {
        self.clock.now()
    }
}
