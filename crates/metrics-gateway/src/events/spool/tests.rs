use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use model::UnixMillis;
use service_kit::SystemClock;
use storage::telemetry::intake::Event;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::*;

const BYTES_MAX: u64 = 4096;

/// A store that comes and goes.
#[derive(Default)]
struct Store {
    is_there: AtomicBool,
    /// It takes batches and says nothing more.
    hangs: AtomicBool,
    kept: Mutex<Vec<Batch>>,
}

impl Sink for Arc<Store> {
    fn keep(&self, batch: Arc<Batch>) -> BoxFuture<'static, Result<(), Failure>> {
        let store = self.clone();
        async move {
            if store.hangs.load(Ordering::SeqCst) {
                std::future::pending::<()>().await;
            }
            if !store.is_there.load(Ordering::SeqCst) {
                return Err(Failure::Unavailable);
            }
            store.kept.lock().unwrap().push(Batch::clone(&batch));
            Ok(())
        }
        .boxed()
    }
}

struct Fixture {
    store: Arc<Store>,
    spool: Spool,
    stopping: CancellationToken,
    work: JoinHandle<()>,
}

impl Fixture {
    fn open(directory: &Path, store: &Arc<Store>) -> Self {
        let sink = Arc::new(store.clone());
        let clock = Arc::new(SystemClock);
        let (spool, work) = Spool::open(directory, BYTES_MAX, sink, clock).unwrap();
        let stopping = CancellationToken::new();
        let stop = stopping.clone();
        Self {
            store: store.clone(),
            spool,
            stopping,
            work: tokio::spawn(async move { work.run(&stop).await }),
        }
    }

    async fn keep(&self, number: u64) -> Result<(), Failure> {
        self.spool.keep(Arc::new(batch(number))).await
    }

    fn kept(&self) -> Vec<Batch> {
        self.store.kept.lock().unwrap().clone()
    }

    async fn until_replayed(&self) {
        while self.spool.keeper.shared().holds_any() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn stop(self) {
        self.stopping.cancel();
        drop(self.spool);
        self.work.await.unwrap();
    }
}

fn batch(number: u64) -> Batch {
    let event = Event {
        app_id: 1,
        id: Uuid::from_u128(number.into()),
        ts_us: 0,
        context_id: 1,
        event_type: "test".to_owned(),
        category: None,
        data: None,
    };
    Batch {
        events: vec![event],
        ..Batch::default()
    }
}

fn segments(directory: &TempDir) -> usize {
    let files = std::fs::read_dir(directory.path()).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(".segment")).count()
}

#[tokio::test]
async fn a_store_that_is_well_is_all_there_is() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::default());
    store.is_there.store(true, Ordering::SeqCst);
    let fixture = Fixture::open(directory.path(), &store);
    assert_eq!(fixture.keep(1).await, Ok(()));
    assert_eq!(fixture.kept(), [batch(1)]);
    assert_eq!(segments(&directory), 0);
    fixture.stop().await;
}

#[tokio::test]
async fn what_comes_while_the_store_is_away_is_there_when_it_is_back_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::default());
    let fixture = Fixture::open(directory.path(), &store);
    for number in 0..9 {
        assert_eq!(fixture.keep(number).await, Ok(()));
    }
    assert_eq!(fixture.kept(), []);
    assert!(segments(&directory) > 0);
    store.is_there.store(true, Ordering::SeqCst);
    // What comes now goes behind the others.
    assert_eq!(fixture.keep(9).await, Ok(()));
    fixture.until_replayed().await;
    assert_eq!(fixture.kept(), (0..10).map(batch).collect::<Vec<_>>());
    assert_eq!(segments(&directory), 0);
    fixture.stop().await;
}

#[tokio::test]
async fn a_store_that_hangs_is_not_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::default());
    store.hangs.store(true, Ordering::SeqCst);
    let fixture = Fixture::open(directory.path(), &store);
    assert_eq!(fixture.keep(1).await, Ok(()));
    assert!(segments(&directory) > 0);
    fixture.stop().await;
}

#[tokio::test]
async fn what_a_process_left_is_replayed_by_the_next() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::default());
    let fixture = Fixture::open(directory.path(), &store);
    for number in 0..3 {
        assert_eq!(fixture.keep(number).await, Ok(()));
    }
    fixture.stop().await;
    store.is_there.store(true, Ordering::SeqCst);
    let fixture = Fixture::open(directory.path(), &store);
    fixture.until_replayed().await;
    assert_eq!(fixture.kept(), (0..3).map(batch).collect::<Vec<_>>());
    fixture.stop().await;
}

#[tokio::test]
async fn a_full_spool_says_so_and_has_room_again_when_it_is_replayed() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::default());
    let fixture = Fixture::open(directory.path(), &store);
    let mut kept = 0;
    while fixture.keep(kept).await.is_ok() {
        kept += 1;
    }
    assert!(kept > 10, "{kept}");
    assert_eq!(fixture.keep(kept).await, Err(Failure::Full));
    store.is_there.store(true, Ordering::SeqCst);
    fixture.until_replayed().await;
    assert_eq!(fixture.keep(kept).await, Ok(()));
    assert_eq!(fixture.kept(), (0..=kept).map(batch).collect::<Vec<_>>());
    fixture.stop().await;
}

#[tokio::test]
async fn what_cannot_be_understood_holds_nothing_up() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::default());
    let fixture = Fixture::open(directory.path(), &store);
    let keeper = fixture.spool.keeper.clone();
    assert_eq!(
        keeper.append(UnixMillis(1), b"of another world").await,
        Ok(())
    );
    assert_eq!(fixture.keep(2).await, Ok(()));
    drop(keeper);
    store.is_there.store(true, Ordering::SeqCst);
    fixture.until_replayed().await;
    assert_eq!(fixture.kept(), [batch(2)]);
    let aside = std::fs::read_dir(directory.path()).unwrap();
    let aside = aside.filter(|it| {
        it.as_ref()
            .unwrap()
            .path()
            .extension()
            .is_some_and(|it| it == "damaged")
    });
    assert_eq!(aside.count(), 1, "for people to look into");
    fixture.stop().await;
}
