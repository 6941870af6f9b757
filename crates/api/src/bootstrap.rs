//! What a fresh installation begins with: the first account, and a node for a
//! deployment whose node has its join token beforehand.

use std::time::Duration;

use anyhow::Context as _;
use model::clock::Clock;
use model::{NodeId, TenantId, UserId};
use secrecy::ExposeSecret;
use service_kit::seal::SealingKey;
use storage::Pool;
use storage::control::accounts::{self, Account};
use storage::control::nodes::{self, NewNode};

use crate::config::{BootstrapNode, Config, seconds};
use crate::fleet::bans::Bans;
use crate::fleet::keys::{self, Keys, SigningSeed};
use crate::fleet::standing;
use crate::token;

const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// What a fresh installation begins with.
pub(crate) struct First {
    pub(crate) node: Option<FirstNode>,
    /// The first key that signs leases; none: it is made.
    pub(crate) lease_key: Option<SigningSeed>,
}

/// What the installation has, once the database is there.
pub(crate) struct Prepared {
    pub(crate) admin: Account,
    pub(crate) keys: Keys,
    pub(crate) bans: Bans,
}

/// The node to begin with, its join token read.
pub(crate) struct FirstNode {
    settings: BootstrapNode,
    join_token: token::Hash,
}

impl FirstNode {
    /// Reads the join token of the configured node, if one is.
    ///
    /// # Errors
    /// When the token's file cannot be read.
    pub(crate) fn read(config: &Config) -> anyhow::Result<Option<Self>> {
        let Some(settings) = config.bootstrap_node.clone() else {
            return Ok(None);
        };
        let token = service_kit::secret::read_file(&settings.join_token_file)?;
        let join_token = token::hash(token.expose_secret());
        Ok(Some(Self {
            settings,
            join_token,
        }))
    }
}

/// Brings the schema up to date, finds or makes the first account, lease keys and node,
/// for as long as it takes the database to be there.
///
/// # Errors
/// When the database refuses, or the lease keys in it cannot be unsealed.
pub(crate) async fn prepare(
    pool: &Pool,
    config: &Config,
    first: &First,
    sealing: &SealingKey,
    clock: &dyn Clock,
) -> anyhow::Result<Prepared> {
    let fresh = Account {
        user_id: UserId::from_u128(token::id_bits()),
        tenant_id: TenantId::from_u128(token::id_bits()),
    };
    let mut is_first = true;
    loop {
        match attempt(pool, config, &fresh, first, sealing, clock).await {
            Ok(prepared) => return Ok(prepared),
            Err(error) if !error.is_retryable() => return Err(error).context("prepare"),
            Err(error) if is_first => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "Waiting for the database");
            }
            Err(_) => {}
        }
        is_first = false;
        tokio::time::sleep(RETRY_INTERVAL).await;
    }
}

async fn attempt(
    pool: &Pool,
    config: &Config,
    fresh: &Account,
    first: &First,
    sealing: &SealingKey,
    clock: &dyn Clock,
) -> Result<Prepared, keys::Error> {
    storage::migrate(pool).await?;
    let admin = accounts::bootstrap(pool, fresh, clock.now()).await?;
    keys::ensure(pool, sealing, first.lease_key.as_ref(), clock.now()).await?;
    if let Some(node) = &first.node {
        create(pool, config, node, clock).await?;
    }
    Ok(Prepared {
        admin,
        keys: keys::load(pool, sealing, clock.now()).await?,
        bans: Bans::load(pool, clock.now()).await?,
    })
}

/// A node of that name stays as it is, whatever its token was.
async fn create(
    pool: &Pool,
    config: &Config,
    node: &FirstNode,
    clock: &dyn Clock,
) -> Result<(), storage::Error> {
    let now = clock.now();
    let region = &node.settings.region;
    let new = NewNode {
        id: NodeId::from_u128(token::id_bits()),
        name: node.settings.name.clone(),
        region: region
            .clone()
            .unwrap_or_else(|| config.default_region.clone()),
        sessions_limit: None,
        join_token_sha256: node.join_token,
        join_token_expires_at: now.plus(seconds(config.fleet.join_token_seconds)),
        vitals: standing::trusted(),
    };
    match nodes::create(pool, &new, now).await {
        Ok(()) => {
            tracing::info!(node.id = %new.id, node.name = new.name, "The first node was created");
            Ok(())
        }
        Err(storage::Error::Conflict { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}
