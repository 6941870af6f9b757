//! Events are added in two ways that end in the same rows and sums.

use model::UnixMillis;
use storage::telemetry::intake::{self, Context, Event, Flush, Outcome, Way};
use storage::{Error, Pool};
use streamhaul_storage as storage;
use testkit::database::TestDb;
use uuid::Uuid;

const NOW: UnixMillis = UnixMillis(1_760_000_000_000);
const MINUTE_US: i64 = 60_000_000;

const KEPT: &str = "SELECT count(*) FROM telemetry.events";
const SUMS: &str = "SELECT coalesce(sum(events), 0)::bigint FROM telemetry.rollups";
const COUNTED: &str = "SELECT coalesce(sum(events), 0)::bigint FROM telemetry.app_usage";

fn context(id: i64, version: &str) -> Context {
    Context {
        app_id: 1,
        id,
        service: "cam".to_owned(),
        service_version: version.to_owned(),
        language: "rust".to_owned(),
        language_version: None,
        sdk_version: None,
        os: "linux".to_owned(),
        os_version: None,
        arch: None,
        ci: Some(false),
        shell: None,
        user_id: "client_1".to_owned(),
        session_id: None,
    }
}

/// Two in each minute, of different contexts, in as many forms as there are.
fn event(number: i64) -> Event {
    let is_even = number % 2 == 0;
    Event {
        app_id: 1,
        id: Uuid::from_u128(0x1_0000 - number as u128),
        ts_us: NOW.0 * 1000 + number / 2 * MINUTE_US,
        context_id: number % 2,
        event_type: "command_execution".to_owned(),
        category: is_even.then(|| "usage \"é\"".to_owned()),
        data: is_even.then(|| format!("{{\"number\": {number}, \"é\": [null, 1e3]}}")),
    }
}

async fn keep<'a>(
    pool: &Pool,
    events: &'a [Event],
    contexts: &'a [Context],
    way: Way,
) -> Result<Outcome<'a>, Error> {
    intake::keep(pool, &flush(events, contexts, NOW), way).await
}

fn flush<'a>(events: &'a [Event], contexts: &'a [Context], now: UnixMillis) -> Flush<'a> {
    Flush {
        shard: 0,
        now,
        events: events.iter().collect(),
        contexts: contexts.iter().collect(),
        new_contexts: contexts.iter().collect(),
        refused: Vec::new(),
    }
}

#[tokio::test]
async fn a_context_says_on_which_day_it_came_last() {
    let database = TestDb::new().await;
    let pool = storage::connect("test", database.url(), 2).unwrap();
    let contexts = [context(0, "1.0"), context(1, "1.1")];
    let day = i64::from(NOW.day());
    for (days, came, last) in [
        (0, &contexts[..], day),
        (2, &contexts[1..], day + 2),
        (1, &contexts[1..], day + 2),
    ] {
        let now = UnixMillis(NOW.0 + days * 86_400_000);
        intake::keep(&pool, &flush(&[], came, now), Way::Append)
            .await
            .unwrap();
        let of =
            |id: i64| format!("SELECT last_day::bigint FROM telemetry.contexts WHERE id = {id}");
        assert_eq!(database.number(&of(0)).await, day);
        assert_eq!(database.number(&of(1)).await, last);
    }
}

#[tokio::test]
async fn what_is_appended_is_what_is_merged() {
    // More than fits one message.
    let events: Vec<Event> = (0..5000).map(event).collect();
    let contexts = [context(0, "1.0"), context(1, "1.1")];
    let mut found = Vec::new();
    for way in [Way::Append, Way::Merge] {
        let database = TestDb::new().await;
        let pool = storage::connect("test", database.url(), 2).unwrap();
        let outcome = keep(&pool, &events, &contexts, way).await.unwrap();
        assert_eq!(outcome.fresh.len(), 5000, "{way:?}");
        assert_eq!(outcome.kept[0].events, 5000);
        assert_eq!(outcome.kept[0].duplicates, 0);
        let digest = |of: &str, from: &str| {
            format!(
                "SELECT hashtext(string_agg({of}::text, ';' ORDER BY {of}::text))::bigint FROM {from}"
            )
        };
        found.push((
            database.number(&digest("e", "telemetry.events AS e")).await,
            database
                .number(&digest("r", "telemetry.rollups AS r"))
                .await,
            database
                .number("SELECT count(*) FROM telemetry.rollups")
                .await,
        ));
    }
    assert_eq!(found[0], found[1]);
    assert_eq!(found[0].2, 5000, "two versions in each of 2500 minutes");
}

#[tokio::test]
async fn one_that_is_there_stops_an_append_and_is_passed_over_by_a_merge() {
    let database = TestDb::new().await;
    let pool = storage::connect("test", database.url(), 2).unwrap();
    let contexts = [context(0, "1.0"), context(1, "1.1")];
    let first: Vec<Event> = (0..10).map(event).collect();
    keep(&pool, &first, &contexts, Way::Append).await.unwrap();

    // One is there already, and one comes twice.
    let mut second: Vec<Event> = (9..20).map(event).collect();
    second.push(event(19));
    let refused = keep(&pool, &second, &contexts, Way::Append).await;
    assert!(
        matches!(refused, Err(Error::Conflict { .. })),
        "{refused:?}"
    );
    for (query, kept) in [(KEPT, 10), (SUMS, 10), (COUNTED, 10)] {
        assert_eq!(database.number(query).await, kept, "{query}");
    }

    let outcome = keep(&pool, &second, &contexts, Way::Merge).await.unwrap();
    let fresh: Vec<_> = outcome.fresh.iter().map(|event| event.key()).collect();
    let expected: Vec<_> = (10..20).map(|number| event(number).key()).collect();
    assert_eq!(fresh, expected);
    assert_eq!(
        (outcome.kept[0].events, outcome.kept[0].duplicates),
        (10, 2)
    );
    for (query, kept) in [(KEPT, 20), (SUMS, 20), (COUNTED, 20)] {
        assert_eq!(database.number(query).await, kept, "{query}");
    }
}

#[tokio::test]
async fn data_that_postgresql_refuses_are_to_blame_in_either_way() {
    let database = TestDb::new().await;
    let pool = storage::connect("test", database.url(), 2).unwrap();
    let contexts = [context(0, "1.0")];
    let mut event = event(0);
    event.data = Some("\"\\u0000\"".to_owned());
    let events = [event];
    for way in [Way::Append, Way::Merge] {
        let refused = keep(&pool, &events, &contexts, way).await.unwrap_err();
        assert!(refused.blames_data(), "{way:?}: {refused:?}");
    }
    // The connection goes on.
    assert_eq!(database.number(KEPT).await, 0);
    storage::ping(&pool).await.unwrap();
}
