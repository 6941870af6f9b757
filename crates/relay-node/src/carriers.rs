//! Whose network each link comes from, and what the link most likely is.
//!
//! ```text
//! asn_database ─▶ watcher: every 5 s, changed? read it whole ─▶ the newest database
//!                                                                      │
//! data threads' samples, each second ─▶ links get their carriers ◀─────┘ ─▶ reports
//! ```
//!
//! All of it is on the runtime; the data threads know addresses only.

mod database;
mod link_type;

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use model::telemetry::{LinkSample, LinkType, SessionSample};
use tokio::sync::watch;

use crate::metrics;
use database::{Database, Error, Owner, Version};

/// Between two looks at the file.
const POLL_INTERVAL: Duration = Duration::from_secs(5);

type Newest = Option<Arc<Database>>;

/// Gives links their carriers.
pub(crate) struct Carriers {
    newest: watch::Receiver<Newest>,
    /// Of the addresses of the last sample: as many as the node has links, at most.
    known: HashMap<IpAddr, Carrier>,
}

#[derive(Clone)]
struct Carrier {
    owner: Owner,
    link_type: LinkType,
}

/// Reads the database, and again when its file changes.
pub(crate) struct Watcher {
    path: PathBuf,
    newest: watch::Sender<Newest>,
    /// What the last look found; a file that is not there has no version.
    seen: Option<Option<Version>>,
}

/// The carriers, and the task that keeps their database up to date: none without one.
pub(crate) fn channel(path: Option<PathBuf>) -> (Carriers, Option<Watcher>) {
    let (sender, newest) = watch::channel(None);
    let watcher = path.map(|path| Watcher {
        path,
        newest: sender,
        seen: None,
    });
    let known = HashMap::new();
    (Carriers { newest, known }, watcher)
}

impl Carriers {
    /// Names the carrier of every link.
    pub(crate) fn name(&mut self, samples: &mut [SessionSample]) {
        // Without a watcher nothing ever changes.
        if self.newest.has_changed().unwrap_or(false) {
            self.known.clear();
        }
        let newest = self.newest.borrow_and_update().clone();
        let mut known = HashMap::new();
        for link in samples.iter_mut().flat_map(|sample| &mut sample.links) {
            let address = link.address.ip().to_canonical();
            let before = &mut self.known;
            let carrier = known.entry(address).or_insert_with(|| {
                let before = before.remove(&address);
                before.unwrap_or_else(|| Carrier::of(newest.as_deref(), address))
            });
            carrier.give(link);
        }
        self.known = known;
    }
}

impl Carrier {
    fn of(database: Option<&Database>, address: IpAddr) -> Self {
        let owner = database.map(|database| database.look_up(address));
        let owner = owner.unwrap_or_default();
        let link_type = link_type::guess(address, owner.asn, owner.organisation.as_deref());
        Self { owner, link_type }
    }

    fn give(&self, link: &mut LinkSample) {
        link.carrier.clone_from(&self.owner.organisation);
        link.asn = self.owner.asn;
        link.link_type = self.link_type;
    }
}

impl Watcher {
    /// Looks at the file for as long as the node lives.
    pub(crate) async fn run(mut self) {
        loop {
            self.look().await;
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Reads the file if it changed. A broken or a vanished one leaves the database as
    /// it is, and is told once.
    async fn look(&mut self) {
        let (path, seen) = (self.path.clone(), self.seen);
        let look = tokio::task::spawn_blocking(move || {
            let version = database::version(&path).ok();
            (Some(version) != seen).then(|| (version, Database::read(&path)))
        });
        if let Ok(Some((version, read))) = look.await {
            self.seen = Some(version);
            self.take(read);
        }
    }

    fn take(&self, read: Result<Database, Error>) {
        metrics::asn_database_read(read.is_ok());
        match read {
            Ok(database) => {
                metrics::asn_database_built_at(database.built_at());
                let (path, kind) = (self.path.display(), database.kind());
                tracing::info!(%path, kind, "the ASN database was read");
                self.newest.send_replace(Some(Arc::new(database)));
            }
            Err(error) => {
                let path = self.path.display();
                let kept = self.newest.borrow().is_some();
                tracing::warn!(%path, %error, kept, "asn_database is of no use: links get their \
                    carriers from the one read before, if there is one; put a whole file there");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use model::SessionId;
    use model::telemetry::LinkWindow;
    use testkit::asn_database::{Dialect, carriers, write};

    use super::*;

    fn session(addresses: &[&str]) -> SessionSample {
        let links = addresses.iter().map(|address| LinkSample {
            number: 1,
            address: address.parse().unwrap(),
            carrier: None,
            asn: None,
            link_type: LinkType::Unknown,
            uptime_ms: 0,
            silent_ms: 0,
            total: model::telemetry::LinkTally::default(),
            last_second: LinkWindow::default(),
            last_ten_seconds: LinkWindow::default(),
            jitter_us: 0,
            relative_delay_us: None,
            sender: None,
        });
        SessionSample {
            session_id: SessionId::from_u128(1),
            publishing: true,
            publisher: None,
            players: Vec::new(),
            links: links.collect(),
        }
    }

    fn names(it: &mut Carriers, addresses: &[&str]) -> Vec<(Option<String>, LinkType)> {
        let mut samples = [session(addresses)];
        it.name(&mut samples);
        let [sample] = samples;
        let links = sample.links.into_iter();
        links.map(|link| (link.carrier, link.link_type)).collect()
    }

    fn named(name: &str, kind: LinkType) -> (Option<String>, LinkType) {
        (Some(name.to_owned()), kind)
    }

    #[test]
    fn without_a_database_only_addresses_speak() {
        let (mut it, watcher) = channel(None);
        assert!(watcher.is_none());
        assert_eq!(
            names(&mut it, &["127.0.1.1:9", "8.8.8.8:9"]),
            [(None, LinkType::Local), (None, LinkType::Unknown)]
        );
    }

    #[tokio::test]
    async fn a_file_is_read_when_it_comes_and_when_it_changes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("asn.mmdb");
        let (mut it, watcher) = channel(Some(path.clone()));
        let mut watcher = watcher.unwrap();
        watcher.look().await;
        let nobody = [(None, LinkType::Local)];
        assert_eq!(names(&mut it, &["127.0.1.1:9"]), nobody, "no file yet");

        let mut networks = carriers();
        std::fs::write(&path, write(Dialect::GeoLite2Asn, &networks)).unwrap();
        assert_eq!(names(&mut it, &["127.0.1.1:9"]), nobody, "nobody looked");
        watcher.look().await;
        assert_eq!(
            names(
                &mut it,
                &["127.0.1.1:9", "[::ffff:127.0.2.1]:9", "[fd00:0:3::1]:9"]
            ),
            [
                named("T-Mobile", LinkType::Cellular),
                named("Verizon", LinkType::Cellular),
                named("Cox", LinkType::Fixed),
            ]
        );

        networks[0].organisation = "Another Broadband".to_owned();
        networks[0].asn = 64_502;
        std::fs::write(&path, write(Dialect::IpinfoLite, &networks)).unwrap();
        watcher.look().await;
        let another = [named("Another Broadband", LinkType::Fixed)];
        assert_eq!(names(&mut it, &["127.0.1.1:9"]), another);

        std::fs::write(&path, "broken").unwrap();
        watcher.look().await;
        assert_eq!(
            names(&mut it, &["127.0.1.1:9"]),
            another,
            "the old one stays"
        );
        std::fs::remove_file(&path).unwrap();
        watcher.look().await;
        assert_eq!(names(&mut it, &["127.0.1.1:9"]), another);
    }

    #[test]
    fn only_the_addresses_of_the_last_sample_are_remembered() {
        let (mut it, _) = channel(None);
        names(&mut it, &["127.0.1.1:1", "127.0.1.1:2", "127.0.2.1:1"]);
        assert_eq!(it.known.len(), 2);
        names(&mut it, &["127.0.2.1:1"]);
        assert_eq!(it.known.len(), 1);
    }
}
