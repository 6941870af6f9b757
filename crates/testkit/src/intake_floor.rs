//! What the least that an intake of events must do costs on this machine: rows of the same form
//! go into a bare table of the same form, many in a statement.

use std::time::{Duration, Instant};

use sqlx::{Connection, Executor, PgConnection};
use storage::telemetry::days::DAY_US;
use uuid::Uuid;

/// What an event carries besides what it shares with others.
const DATA: &str =
    r#"{"command":"relay","subcommand":"start","success":true,"duration_ms":1243,"exit_code":0}"#;

/// Rows a second by so many connections, so many rows in a statement, for so long.
///
/// # Errors
/// When the database refuses.
pub async fn measure(
    url: &str,
    length: Duration,
    (connections, batch): (usize, usize),
) -> Result<f64, storage::Error> {
    let mut connection = PgConnection::connect(url).await?;
    let table = "CREATE TABLE bare_events (LIKE telemetry.events INCLUDING ALL)";
    connection.execute(table).await?;
    let started = Instant::now();
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..connections {
        writers.spawn(write(url.to_owned(), started, length, batch));
    }
    let mut rows = 0;
    while let Some(written) = writers.join_next().await {
        rows += written.map_err(|error| sqlx::Error::Io(std::io::Error::other(error)))??;
    }
    let took = started.elapsed();
    connection.execute("DROP TABLE bare_events").await?;
    Ok(rows as f64 / took.as_secs_f64())
}

async fn write(
    url: String,
    started: Instant,
    length: Duration,
    batch: usize,
) -> Result<usize, storage::Error> {
    let mut connection = PgConnection::connect(&url).await?;
    let mut rows = 0;
    while started.elapsed() < length {
        let now_us = DAY_US + started.elapsed().as_micros() as i64;
        let times: Vec<i64> = (0..batch).map(|row| now_us + row as i64).collect();
        let ids: Vec<Uuid> = (0..batch).map(|_| Uuid::new_v4()).collect();
        sqlx::query(
            "INSERT INTO bare_events
                 (ts_us, app_id, event_id, context_id, event_type, category, data, received_at)
             SELECT e.ts_us, 1, e.event_id, e.context_id, e.event_type, e.category, e.data::jsonb, 0
             FROM UNNEST($1::bigint[], $2::uuid[], $3::bigint[], $4::text[], $5::text[], $6::text[])
                  AS e (ts_us, event_id, context_id, event_type, category, data)
             ON CONFLICT DO NOTHING",
        )
        .bind(&times)
        .bind(&ids)
        .bind(vec![1_i64; batch])
        .bind(vec!["command_execution"; batch])
        .bind(vec!["usage"; batch])
        .bind(vec![DATA; batch])
        .execute(&mut connection)
        .await?;
        rows += batch;
    }
    Ok(rows)
}
