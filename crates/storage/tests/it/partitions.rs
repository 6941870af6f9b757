//! Partitions are made before they are needed, by whoever comes first.

use std::time::Duration;

use testkit::database::TestDb;

const PATIENCE: Duration = Duration::from_secs(30);
const WAITING: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'";

/// Two services that start at the same moment.
#[tokio::test]
async fn of_two_who_make_the_same_the_second_finds_it() {
    let database = TestDb::new().await;
    for made in [
        "telemetry.make_event_days(20000, 20000)",
        "telemetry.make_session_days(20000, 20000)",
        "queue.make_history(now() + interval '90 days')",
    ] {
        let make = format!("SELECT {made}::bigint");
        let first = database.hold(&make).await;
        let waiting = async {
            while database.number(WAITING).await == 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let (second, ()) = tokio::join!(database.number(&make), async {
            tokio::time::timeout(PATIENCE, waiting).await.unwrap();
            first.commit().await;
        });
        assert_eq!(second, 0, "{made}");
    }
}
