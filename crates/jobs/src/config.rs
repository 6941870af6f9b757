//! This service's configuration.

mod dns;
mod telemetry;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use jiff::tz::TimeZone;

pub use dns::{CloudflareConfig, DnsConfig, DnsProvider, Rfc2136Config};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use service_kit::config::{check_files, check_positive};
use service_kit::{KitConfig, ServiceConfig};
use storage::queue::{QUEUE_DEFAULT, Retention};
pub use telemetry::{RetentionMode, TelemetryConfig};

use crate::engine::Settings;
use crate::engine::cadence::Cadence;
use crate::engine::schedule::{CatchUp, Schedule};
use crate::jobs::{
    ArchiveLog, ArchiveTelemetry, BackupDatabase, BuyAdvice, ExpireBans, ExpireSessions,
    ExpireTokens, PlanMoves, ProbeNodes, ReapProvisioning, ReconcileOutage, RollUpUsage,
    RotateKeys, SettleBudgets, SweepNodes, SyncDns, TelemetryPartitions, TelemetryRetention,
    VerifyBackup,
};

/// Configuration of jobs.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Admin listener, logs, traces, shutdown.
    pub kit: KitConfig,
    /// Where gRPC `jobs.v1` listens.
    pub listen_grpc: SocketAddr,
    /// The database; this or `database_url_file`.
    #[serde(serialize_with = "service_kit::secret::redacted")]
    pub database_url: SecretString,
    /// A file that holds the database's URL.
    pub database_url_file: Option<PathBuf>,
    /// A file that holds the token which the services know each other by.
    pub service_token_file: PathBuf,
    /// The api's gRPC listener.
    pub api_grpc: String,
    /// The metrics-gateway's gRPC listener, if it takes events of apps.
    pub gateway_grpc: Option<String>,
    /// Whether that URL leads to a proxy that lends connections by the transaction, such as
    /// pgbouncer: nobody listens for work then, all poll.
    pub database_proxied: bool,
    /// Jobs at the same time in each queue, 1 to 256.
    pub workers: usize,
    /// The same of single queues, by name; 0 leaves a queue to other replicas.
    pub queues: BTreeMap<String, usize>,
    /// What runs by itself, and how often.
    pub schedules: Schedules,
    /// How long finished jobs are kept.
    pub retention: RetentionConfig,
    /// How tenants' endpoints are called.
    pub webhooks: WebhooksConfig,
    /// Where the names of streams are written.
    pub dns: DnsConfig,
    /// Where backups go; nowhere without destinations. Connects straight to the server, also
    /// where `database_proxied`.
    pub backups: backup::Config,
    /// How long events of apps are kept in the database, which is the gateway's too.
    pub telemetry: TelemetryConfig,
}

/// What runs by itself, and how often; 0 switches a schedule off.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Schedules {
    /// Between looks for sessions whose lease ran out.
    pub expire_sessions_seconds: u32,
    /// Between looks for silent nodes.
    pub sweep_nodes_seconds: u32,
    /// Between looks for names that point elsewhere than they should, besides being told;
    /// there are none without a provider.
    pub sync_dns_seconds: u32,
    /// A node without a heartbeat for this long is offline.
    pub offline_after_seconds: u32,
    /// Between looks for sessions that their nodes never confirmed.
    pub reap_provisioning_seconds: u32,
    /// Between two plans of moves for nodes' byte budgets.
    pub plan_moves_seconds: u32,
    /// Between two settlements of byte budgets.
    pub settle_budgets_seconds: u32,
    /// Between looks for bans whose time is over.
    pub expire_bans_seconds: u32,
    /// Between looks for tokens that open nothing any more.
    pub expire_tokens_seconds: u32,
    /// Between looks at how long the current key has signed leases.
    pub rotate_keys_seconds: u32,
    /// Between two calls of every node.
    pub probe_nodes_seconds: u32,
    /// Between two times that usage is taken into the history.
    pub roll_up_usage_seconds: u32,
    /// Between looks for times without word of sessions that are to be made good.
    pub reconcile_outage_seconds: u32,
    /// Between two looks at when regions' bytes run out.
    pub buy_advice_seconds: u32,
    /// Between looks at whether events of the next days have partitions; there is none without
    /// `gateway_grpc`.
    pub telemetry_partitions_seconds: u32,
    /// Between looks for telemetry whose time is over; none where all is kept.
    pub telemetry_retention_seconds: u32,
    /// Between looks for what of it is to be archived or dropped; likewise.
    pub archive_telemetry_seconds: u32,
    /// How long a key signs leases, 1 to 3650.
    pub rotate_keys_days: u32,
}

const DAY: Duration = Duration::from_secs(86_400);

impl Schedules {
    /// Nothing runs by itself.
    #[must_use]
    pub fn none() -> Self {
        Self {
            expire_sessions_seconds: 0,
            sweep_nodes_seconds: 0,
            sync_dns_seconds: 0,
            reap_provisioning_seconds: 0,
            plan_moves_seconds: 0,
            settle_budgets_seconds: 0,
            expire_bans_seconds: 0,
            expire_tokens_seconds: 0,
            rotate_keys_seconds: 0,
            probe_nodes_seconds: 0,
            roll_up_usage_seconds: 0,
            reconcile_outage_seconds: 0,
            buy_advice_seconds: 0,
            telemetry_partitions_seconds: 0,
            telemetry_retention_seconds: 0,
            archive_telemetry_seconds: 0,
            ..Self::default()
        }
    }

    pub(crate) fn key_signs_for(&self) -> Duration {
        DAY * self.rotate_keys_days
    }
}

/// How tenants' endpoints are called.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebhooksConfig {
    /// Whether endpoints may be at private addresses. Tenants choose them: only where you
    /// trust all of them with your network.
    pub private_allowed: bool,
}

/// How long finished jobs are kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetentionConfig {
    /// Completed and cancelled ones.
    pub completed_seconds: u64,
    /// Discarded ones.
    pub discarded_seconds: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            kit: KitConfig::with_admin_port(9102),
            listen_grpc: SocketAddr::from(([127, 0, 0, 1], 7002)),
            database_url: SecretString::default(),
            database_url_file: None,
            service_token_file: PathBuf::new(),
            api_grpc: "http://127.0.0.1:7001".to_owned(),
            gateway_grpc: None,
            database_proxied: false,
            workers: 4,
            queues: BTreeMap::new(),
            schedules: Schedules::default(),
            retention: RetentionConfig::default(),
            webhooks: WebhooksConfig::default(),
            dns: DnsConfig::default(),
            backups: backup::Config::default(),
            telemetry: TelemetryConfig::default(),
        }
    }
}

impl Default for Schedules {
    fn default() -> Self {
        Self {
            expire_sessions_seconds: 5,
            sweep_nodes_seconds: 5,
            sync_dns_seconds: 10,
            offline_after_seconds: 15,
            reap_provisioning_seconds: 15,
            plan_moves_seconds: 60,
            settle_budgets_seconds: 60,
            expire_bans_seconds: 5,
            expire_tokens_seconds: 300,
            rotate_keys_seconds: 3600,
            probe_nodes_seconds: 30,
            roll_up_usage_seconds: 60,
            reconcile_outage_seconds: 120,
            buy_advice_seconds: 3600,
            telemetry_partitions_seconds: 3600,
            telemetry_retention_seconds: 6 * 3600,
            archive_telemetry_seconds: 3600,
            rotate_keys_days: 30,
        }
    }
}

impl Default for RetentionConfig {
    fn default() -> Self {
        Self {
            completed_seconds: 3600,
            discarded_seconds: 7 * 24 * 3600,
        }
    }
}

impl ServiceConfig for Config {
    fn kit(&self) -> &KitConfig {
        &self.kit
    }

    fn descriptor_sets() -> &'static [&'static [u8]] {
        &[proto::FILE_DESCRIPTOR_SET]
    }

    fn validate(&self) -> Result<(), String> {
        let url = self.database_url.expose_secret();
        storage::check_settings(url, self.database_url_file.as_deref())?;
        check_files(&[("service_token_file", &self.service_token_file)])?;
        self.kit.grpc.check("api_grpc", &self.api_grpc)?;
        if let Some(uri) = &self.gateway_grpc {
            self.kit.grpc.check("gateway_grpc", uri)?;
        }
        if !(1..=256).contains(&self.workers) {
            return Err("workers: 1 to 256".to_owned());
        }
        for (queue, workers) in &self.queues {
            if queue == QUEUE_DEFAULT || *workers > 256 {
                return Err(format!(
                    "queues.{queue}: 0 to 256; that of `{QUEUE_DEFAULT}` is `workers`"
                ));
            }
        }
        let offline_after_seconds = self.schedules.offline_after_seconds;
        check_positive(&[("schedules.offline_after_seconds", offline_after_seconds)])?;
        if !(1..=3650).contains(&self.schedules.rotate_keys_days) {
            return Err("schedules.rotate_keys_days: 1 to 3650".to_owned());
        }
        self.backups.validate()?;
        self.telemetry.validate()?;
        self.dns.validate()
    }
}

impl Config {
    pub(crate) fn engine(&self) -> Settings {
        Settings {
            workers: self.workers,
            queues: self.queues(),
            listen: !self.database_proxied,
            retention: Retention {
                completed: Duration::from_secs(self.retention.completed_seconds),
                discarded: Duration::from_secs(self.retention.discarded_seconds),
            },
            schedules: self.schedules(),
            ..Settings::default()
        }
    }
}

impl Config {
    /// Backups, the log and telemetry have one worker each, unless somebody said otherwise.
    fn queues(&self) -> BTreeMap<String, usize> {
        let mut queues = self.queues.clone();
        if self.backups.is_on() {
            for queue in [BackupDatabase::QUEUE, ArchiveLog::QUEUE] {
                queues.entry(queue.to_owned()).or_insert(1);
            }
        }
        if self.telemetry.is_on() {
            let queue = TelemetryRetention::QUEUE.to_owned();
            queues.entry(queue).or_insert(1);
        }
        queues
    }

    fn schedules(&self) -> Vec<Schedule> {
        let sync_dns_seconds = match self.dns.provider {
            DnsProvider::None => 0,
            DnsProvider::Cloudflare | DnsProvider::Rfc2136 => self.schedules.sync_dns_seconds,
        };
        let its = &self.schedules;
        let telemetry_partitions_seconds = match self.gateway_grpc {
            None => 0,
            Some(_) => its.telemetry_partitions_seconds,
        };
        let of_telemetry = |seconds| if self.telemetry.is_on() { seconds } else { 0 };
        let retention_seconds = of_telemetry(its.telemetry_retention_seconds);
        let archive_seconds = of_telemetry(its.archive_telemetry_seconds);
        let all = [
            (ExpireSessions::KIND, its.expire_sessions_seconds),
            (SweepNodes::KIND, its.sweep_nodes_seconds),
            (SyncDns::KIND, sync_dns_seconds),
            (ReapProvisioning::KIND, its.reap_provisioning_seconds),
            (PlanMoves::KIND, its.plan_moves_seconds),
            (SettleBudgets::KIND, its.settle_budgets_seconds),
            (ExpireBans::KIND, its.expire_bans_seconds),
            (ExpireTokens::KIND, its.expire_tokens_seconds),
            (RotateKeys::KIND, its.rotate_keys_seconds),
            (ProbeNodes::KIND, its.probe_nodes_seconds),
            (RollUpUsage::KIND, its.roll_up_usage_seconds),
            (ReconcileOutage::KIND, its.reconcile_outage_seconds),
            (BuyAdvice::KIND, its.buy_advice_seconds),
            (TelemetryPartitions::KIND, telemetry_partitions_seconds),
            (TelemetryRetention::KIND, retention_seconds),
            (ArchiveTelemetry::KIND, archive_seconds),
        ];
        let on = all.into_iter().filter(|(_, seconds)| *seconds > 0);
        on.map(|(kind, seconds)| Schedule::every(kind, Duration::from_secs(seconds.into())))
            .chain(self.backup_schedules())
            .collect()
    }

    /// A day that was missed is made up for.
    fn backup_schedules(&self) -> Vec<Schedule> {
        let backups = &self.backups;
        if !backups.is_on() {
            return Vec::new();
        }
        let daily = |kind, at| Schedule {
            name: kind,
            kind,
            cadence: Cadence::daily(at, TimeZone::UTC),
            catch_up: CatchUp::Last,
        };
        let log = Duration::from_secs(backups.log_seconds.into());
        let log = (!log.is_zero()).then(|| Schedule::every(ArchiveLog::KIND, log));
        let made = backups.daily_at.map(|at| daily(BackupDatabase::KIND, at));
        let verified = backups.verify_at.map(|at| daily(VerifyBackup::KIND, at));
        [made, verified, log].into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn valid() -> Config {
        Config {
            database_url: "postgres://streamhaul@localhost/streamhaul".into(),
            service_token_file: "/run/secrets/service_token".into(),
            ..Config::default()
        }
    }

    #[test]
    fn a_config_needs_a_database_and_a_token() {
        assert_eq!(valid().validate(), Ok(()));
        assert!(Config::default().validate().is_err());
        let tokenless = Config {
            service_token_file: PathBuf::new(),
            ..valid()
        };
        assert!(tokenless.validate().is_err());
        let twice = Config {
            queues: BTreeMap::from([(QUEUE_DEFAULT.to_owned(), 3)]),
            ..valid()
        };
        assert!(twice.validate().is_err());
        let both = Config {
            database_url_file: Some("/x".into()),
            ..valid()
        };
        assert!(both.validate().is_err());
        assert!(
            Config {
                workers: 0,
                ..valid()
            }
            .validate()
            .is_err()
        );
    }

    #[test]
    fn a_printed_config_hides_the_database_url() {
        let printed = serde_json::to_string(&valid()).unwrap();
        assert!(!printed.contains("localhost/streamhaul"), "{printed}");
    }

    #[test]
    fn zero_switches_a_schedule_off() {
        let mut config = valid();
        config.schedules = Schedules {
            expire_sessions_seconds: 5,
            sync_dns_seconds: 10,
            ..Schedules::none()
        };
        let kinds = |config: &Config| -> Vec<_> {
            let schedules = config.schedules();
            schedules.iter().map(|schedule| schedule.kind).collect()
        };
        assert_eq!(kinds(&config), [ExpireSessions::KIND]);
        config.dns.provider = DnsProvider::Rfc2136;
        assert_eq!(kinds(&config), [ExpireSessions::KIND, SyncDns::KIND]);
        config.backups.destinations = vec![backup::DestinationConfig::default()];
        config.backups.daily_at = Some(jiff::civil::time(3, 15, 0, 0));
        assert_eq!(
            kinds(&config)[2..],
            [BackupDatabase::KIND, ArchiveLog::KIND]
        );
        assert_eq!(config.queues()[BackupDatabase::QUEUE], 1);
        config.backups.log_seconds = 0;
        assert_eq!(kinds(&config)[2..], [BackupDatabase::KIND]);
    }
}
