//! The apps that there are, in memory: no request asks the database who somebody is.
//!
//! Every second the number that changes with any app or credential is read, and the rest when it
//! moved: a secret that was taken back opens nothing a second later, at any gateway.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use model::clock::Clock;
use service_kit::Readiness;
use service_kit::seal::SealingKey;
use storage::Pool;
use storage::telemetry::apps::{self, Credential};
use tokio_util::sync::CancellationToken;

use super::allowance::Allowance;
use super::app::{App, Key};
use super::month;

/// The part of readiness that is the events.
pub(crate) const EVENTS: &str = "events";

const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Between two sums of what apps sent this month, in looks.
const USAGE_LOOKS: u32 = 10;
/// Apps of one instance.
pub(crate) const APPS_MAX: u32 = 10_000;

/// The apps.
pub(crate) struct Directory {
    pool: Pool,
    key: Arc<SealingKey>,
    clock: Arc<dyn Clock>,
    /// None until they were read once.
    known: RwLock<Option<Arc<Known>>>,
    /// Apps that sent all of their month's events.
    spent: RwLock<HashSet<i32>>,
}

struct Known {
    revision: i64,
    /// By `org/name`; neither holds a slash.
    apps: HashMap<String, Arc<App>>,
    /// Those whose measurements count.
    counted: HashSet<i32>,
}

/// What the directory says of a name.
pub(crate) enum Entry {
    App(Arc<App>),
    Nobody,
    /// The apps were never read.
    Unread,
}

impl Directory {
    pub(crate) fn new(pool: Pool, key: Arc<SealingKey>, clock: Arc<dyn Clock>) -> Self {
        Self {
            pool,
            key,
            clock,
            known: RwLock::default(),
            spent: RwLock::default(),
        }
    }

    pub(crate) fn find(&self, org: &str, name: &str) -> Entry {
        let Some(known) = self.known() else {
            return Entry::Unread;
        };
        let app = known.apps.get(&format!("{org}/{name}"));
        app.map_or(Entry::Nobody, |app| Entry::App(app.clone()))
    }

    /// Whether an app has sent all of its month's events, as of seconds ago.
    pub(crate) fn has_spent(&self, app_id: i32) -> bool {
        let spent = self.spent.read().unwrap_or_else(PoisonError::into_inner);
        spent.contains(&app_id)
    }

    /// Whether what the app's clients measure counts.
    pub(crate) fn counts_for_slis(&self, app_id: i32) -> bool {
        self.known()
            .is_some_and(|known| known.counted.contains(&app_id))
    }

    /// Follows the database until the service stops.
    pub(crate) async fn follow(&self, readiness: &Readiness, stopping: &CancellationToken) {
        let mut looks = 0;
        let mut is_well = true;
        while !stopping.is_cancelled() {
            let read = self.look(looks % USAGE_LOOKS == 0).await;
            if let Err(error) = &read
                && is_well
            {
                tracing::warn!(%error, "the apps cannot be read; those of before count");
            }
            is_well = read.is_ok();
            if self.known().is_some() {
                readiness.set(EVENTS, Ok(()));
            }
            looks += 1;
            tokio::select! {
                () = stopping.cancelled() => {}
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
            }
        }
    }

    async fn look(&self, with_usage: bool) -> Result<(), storage::Error> {
        self.refresh().await?;
        if with_usage {
            self.sum_up().await?;
        }
        Ok(())
    }

    /// Reads what changed, unless nothing was read yet: there may be no place for events.
    pub(crate) async fn catch_up(&self) -> Result<(), storage::Error> {
        match self.known() {
            Some(_) => self.refresh().await,
            None => Ok(()),
        }
    }

    /// Reads what changed.
    async fn refresh(&self) -> Result<(), storage::Error> {
        // The number first: what changes while the rest is read is read again.
        let revision = apps::revision(&self.pool).await?;
        let before = self.known();
        if before
            .as_ref()
            .is_some_and(|known| known.revision == revision)
        {
            return Ok(());
        }
        let listed = apps::list(&self.pool, 0, APPS_MAX).await?;
        let keys = apps::credentials(&self.pool, None, self.clock.now()).await?;
        let counted = listed.iter().filter(|app| app.terms.counts_for_slis);
        let counted = counted.map(|app| app.id).collect();
        let apps = self.assemble(listed, &keys, before.as_deref());
        let known = Arc::new(Known {
            revision,
            apps,
            counted,
        });
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Some(known);
        Ok(())
    }

    fn assemble(
        &self,
        listed: Vec<apps::App>,
        credentials: &[Credential],
        before: Option<&Known>,
    ) -> HashMap<String, Arc<App>> {
        let mut keys: HashMap<i32, Vec<Key>> = HashMap::new();
        for credential in credentials {
            keys.entry(credential.app_id)
                .or_default()
                .extend(self.unseal(credential));
        }
        let app = |app: apps::App| {
            let name = format!("{}/{}", app.org, app.name);
            let was = before.and_then(|known| known.apps.get(&name));
            let app = App {
                id: app.id,
                is_disabled: app.disabled_at.is_some(),
                keys: keys.remove(&app.id).unwrap_or_default(),
                networks: networks(&app.terms.networks),
                allowance: allowance(app.terms.rate_events, was),
                origins: app.terms.origins,
                quota_events: app.terms.quota_events,
            };
            (name, Arc::new(app))
        };
        listed.into_iter().map(app).collect()
    }

    /// A secret that cannot be unsealed signs nothing.
    fn unseal(&self, credential: &Credential) -> Option<Key> {
        let hash = credential.token_hash.as_slice().try_into().ok()?;
        let secret = self.key.unseal(&purpose(hash), &credential.sealed_secret);
        match secret {
            Ok(secret) => Some(Key::new(*hash, &secret, credential.ends_at)),
            Err(error) => {
                tracing::error!(app.id = credential.app_id, %error, "an app's secret is lost");
                None
            }
        }
    }

    async fn sum_up(&self) -> Result<(), storage::Error> {
        let Some(known) = self.known() else {
            return Ok(());
        };
        let month = month::first_day(self.clock.now());
        let usage: HashMap<i32, u64> = apps::usage(&self.pool, month).await?.into_iter().collect();
        let is_spent = |app: &&Arc<App>| {
            let sent = usage.get(&app.id).copied().unwrap_or_default();
            app.quota_events.is_some_and(|quota| sent >= quota)
        };
        let spent = known.apps.values().filter(is_spent).map(|app| app.id);
        *self.spent.write().unwrap_or_else(PoisonError::into_inner) = spent.collect();
        Ok(())
    }

    fn known(&self) -> Option<Arc<Known>> {
        let known = self.known.read();
        known.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What a secret is sealed for: its token's hash, so that it cannot stand in for another's.
pub(crate) fn purpose(token_hash: &[u8; 32]) -> String {
    format!("app credential {}", hex::encode(token_hash))
}

/// What was checked when it was set.
fn networks(texts: &[String]) -> Vec<IpNet> {
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}

/// The same bucket as before, unless its rate changed.
fn allowance(rate: Option<u64>, was: Option<&Arc<App>>) -> Option<Arc<Allowance>> {
    let rate = rate?;
    let before = was.and_then(|app| app.allowance.clone());
    let same = before.filter(|before| before.rate() == rate);
    Some(same.unwrap_or_else(|| Arc::new(Allowance::new(rate, Instant::now()))))
}
