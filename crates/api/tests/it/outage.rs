//! The database goes away and comes back.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use streamhaul_api::{Access, table};
use testkit::database::TestDb;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;

use crate::accounts;
use crate::house::{ADMIN, House, eventually};
use crate::node;

const SOCKET: &str = ".s.PGSQL.5432";

/// The way to a test's database, which can be cut.
struct Way {
    url: String,
    open: watch::Sender<bool>,
    _dir: tempfile::TempDir,
}

impl Way {
    fn to(database: &TestDb) -> Self {
        let (rest, socket_dir) = database.url().split_once("?host=").unwrap();
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join(SOCKET)).unwrap();
        let socket = Arc::new(Path::new(socket_dir).join(SOCKET));
        let (open, is_open) = watch::channel(true);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, socket.clone(), is_open.clone()));
            }
        });
        Self {
            url: format!("{rest}?host={}", dir.path().display()),
            open,
            _dir: dir,
        }
    }
}

async fn carry(mut client: UnixStream, socket: Arc<PathBuf>, mut is_open: watch::Receiver<bool>) {
    if !*is_open.borrow() {
        return;
    }
    let mut server = UnixStream::connect(&*socket).await.unwrap();
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
        _ = is_open.wait_for(|open| !open) => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_stay_up_while_the_database_is_away_and_nobody_expires() {
    let database = TestDb::new().await;
    let way = Way::to(&database);
    let url = way.url.clone();
    let house = House::on(database, &url, |config| config.sessions.lease_seconds = 1).await;
    let (_, mut node) = node::joined(&house, "one", 10).await;
    house.start(ADMIN, "cam1").await;
    let id = node.assigned().await.session_id;

    way.open.send(false).unwrap();
    eventually("unready", async || !house.readiness.is_ready()).await;
    assert!(house.readiness.reasons().contains("database"));
    node.beat(&[&id], &[&id]).await;
    let refused = house.start(ADMIN, "cam2").await;
    assert_eq!(
        (refused.status, &refused.body["error"]["code"]),
        (503, &"unavailable".into())
    );
    // No sign of trouble is younger when the database is back.
    house.advance(std::time::Duration::from_secs(600));
    way.open.send(true).unwrap();
    eventually("ready", async || house.readiness.is_ready()).await;
    let request = proto::fleet::ExpireSessionsRequest { limit: 0 };
    let expired = house
        .control()
        .await
        .expire_sessions(request)
        .await
        .unwrap()
        .into_inner();
    assert!(
        expired.session_ids.is_empty(),
        "an outage of ours expires nobody"
    );

    // The same stream goes on: heartbeats are written, wakes arrive.
    node.beat(&[&id], &[&id]).await;
    eventually("placed again", async || {
        house.start(ADMIN, "cam2").await.status < 300
    })
    .await;
    assert_eq!(node.assigned().await.session_id.len(), id.len());
    let listed = house.get(ADMIN, "/api/v1/relay/sessions").await;
    assert_eq!(listed.body["sessions"].as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_opens_while_the_database_is_away() {
    let database = TestDb::new().await;
    let way = Way::to(&database);
    let url = way.url.clone();
    let house = House::on(database, &url, |_| {}).await;
    let user = house.user("someone").await;
    let cookie = accounts::person(&house, "someone@example.com").await;
    assert_eq!(house.get(&user, "/api/v1/streams").await.status, 200);
    way.open.send(false).unwrap();
    eventually("unready", async || !house.readiness.is_ready()).await;

    let (bearer, origin) = (format!("Bearer {user}"), format!("http://{}", house.http));
    let asked = table().filter_map(|(method, template, access)| {
        let shown = match access {
            Access::User | Access::Ops(_) | Access::Viewer => ("authorization", &bearer),
            Access::Browser | Access::Account => ("cookie", &cookie),
            Access::Public | Access::Page | Access::Dock | Access::Service => return None,
        };
        let parts = template.split('/');
        let parts = parts.map(|part| if part.starts_with('{') { "1" } else { part });
        Some((method, parts.collect::<Vec<_>>().join("/"), shown))
    });
    let (house, origin) = (&house, &origin);
    let answers = asked.map(async |(method, path, (name, shown))| {
        let headers = [(name, shown.as_str()), ("origin", origin.as_str())];
        let body = Some("{}".to_owned());
        let answer = house.call(method.as_str(), &path, &headers, body).await;
        (method, path, answer.status)
    });
    let answers = futures_util::future::join_all(answers).await;
    assert!(answers.len() > 60, "only {} were asked", answers.len());
    for (method, path, status) in answers {
        assert_eq!(status, 503, "{method} {path}");
    }
}
