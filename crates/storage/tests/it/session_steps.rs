//! What is kept of sessions.

use std::time::Duration;

use model::{NodeId, SessionId, UnixMillis};
use storage::telemetry::session_steps::{
    Figures, Identity, Kept, Step, Width, of_session, turn_days, write,
};
use streamhaul_storage as storage;
use testkit::database::TestDb;

const NOW: UnixMillis = UnixMillis(1_763_700_000_000);
const DAY: Duration = Duration::from_secs(86_400);
const KEPT: Kept = Kept {
    ten_seconds: Duration::from_secs(2 * 86_400),
    minutes: Duration::from_secs(5 * 86_400),
};

fn step(link: Option<u64>, at: UnixMillis, bytes: u64) -> Step {
    Step {
        session_id: SessionId::from_u128(1),
        link,
        at,
        node_id: NodeId::from_u128(1),
        figures: Figures {
            samples: 10,
            live_samples: 9,
            bytes,
            rtt_us: link.map(|_| 40_000),
            ..Figures::default()
        },
        identity: link.map(|_| Identity {
            carrier: Some("Example Mobile".to_owned()),
            link_type: "cellular".to_owned(),
        }),
    }
}

async fn pool(database: &TestDb) -> storage::Pool {
    storage::connect("test", database.url(), 3).unwrap()
}

#[tokio::test]
async fn steps_come_back_as_they_went_and_once() {
    let database = TestDb::new().await;
    let pool = pool(&database).await;
    turn_days(&pool, KEPT, NOW).await.unwrap();
    let steps = [step(None, NOW, 100), step(Some(7), NOW, 60)];
    let batch: Vec<&Step> = steps.iter().collect();
    for width in Width::ALL {
        for _ in 0..2 {
            write(&pool, width, 1, &batch).await.unwrap();
        }
        let session = SessionId::from_u128(1);
        let read = of_session(&pool, width, &session, 10).await.unwrap();
        assert_eq!(read, steps, "{width:?}");
        // Another process had a part in the same step.
        write(&pool, width, 2, &batch).await.unwrap();
        let read = of_session(&pool, width, &session, 10).await.unwrap();
        assert_eq!(read.len(), 4);
        assert_eq!(
            of_session(&pool, width, &session, 3).await.unwrap().len(),
            3
        );
        let other = SessionId::from_u128(2);
        assert!(
            of_session(&pool, width, &other, 10)
                .await
                .unwrap()
                .is_empty()
        );
    }
}

#[tokio::test]
async fn days_are_made_ahead_and_dropped_each_at_its_time() {
    let database = TestDb::new().await;
    let pool = pool(&database).await;
    for _ in 0..2 {
        assert_eq!(
            turn_days(&pool, KEPT, NOW).await.unwrap(),
            0,
            "as often as one likes"
        );
    }
    let session = SessionId::from_u128(1);
    let old = step(None, NOW, 1);
    for width in Width::ALL {
        write(&pool, width, 1, &[&old]).await.unwrap();
        let far = step(None, NOW.plus(3 * DAY), 1);
        let refused = write(&pool, width, 1, &[&far]).await.unwrap_err();
        assert!(
            !refused.is_retryable(),
            "a day without a partition: {refused}"
        );
    }
    // Three days of each were made; of the finer steps two are over by now.
    let dropped = turn_days(&pool, KEPT, NOW.plus(3 * DAY)).await.unwrap();
    assert_eq!(dropped, 2);
    let left = async |width| of_session(&pool, width, &session, 10).await.unwrap().len();
    assert_eq!(
        (left(Width::TenSeconds).await, left(Width::Minute).await),
        (0, 1)
    );
}
