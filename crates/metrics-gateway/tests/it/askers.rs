//! Who may ask of events, and how much.

use std::net::TcpStream;

use jiff::Timestamp;
use proto::telemetry as pb;
use serde_json::{Value, json};
use streamhaul_metrics_gateway::{EventsConfig, QueriesConfig};

use crate::app::{Gateway, batch, event_at, fresh};
use crate::fake_api::OPERATOR;
use crate::queries::{ask, begin, stats};
use crate::world::until;

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_not_ask_is_told_so() {
    let gateway = Gateway::new().await;
    let app = gateway.app("acme", "cam").await;
    let other = gateway.app("acme", "other").await;
    let told = |path: &str, token: &str, headers: &str| {
        let answer = ask(&gateway, path, token, headers);
        assert!(answer.status == 200 || answer.body["error"]["request_id"].is_string());
        (answer.status, answer.code().to_owned())
    };
    let path = "/v1/stats/acme/cam";
    let refused = |status: u16, code: &str| (status, code.to_owned());
    assert_eq!(told(path, &app.token, "").0, 200);
    assert_eq!(told(path, OPERATOR, "").0, 200);
    for token in [&other.token, "tk_guess", "sh_guess", ""] {
        assert_eq!(
            told(path, token, ""),
            refused(401, "unauthorized"),
            "{token}"
        );
    }
    for path in [
        "/v1/stats/acme/none",
        "/v1/export/acme/none",
        "/v1/usage/acme/none",
    ] {
        assert_eq!(told(path, &app.token, ""), refused(401, "unauthorized"));
        assert_eq!(told(path, OPERATOR, ""), refused(404, "not_found"));
    }
    let bad = ask(&gateway, "/v1/stats/acme/cam?colour=red", &app.token, "");
    assert_eq!((bad.status, bad.code()), (400, "invalid_parameter"));
    assert_eq!(
        bad.body["error"]["message"],
        "colour: no such parameter here"
    );
    let page = "origin: https://evil.example\r\n";
    assert_eq!(
        told(path, &app.token, page),
        refused(403, "origin_not_allowed")
    );
    let request = pb::DisableAppRequest {
        org: "acme".into(),
        name: "cam".into(),
        disabled: true,
    };
    gateway.admin().disable_app(request).await.unwrap();
    assert_eq!(told(path, &app.token, ""), refused(403, "app_disabled"));
    assert_eq!(told(path, OPERATOR, "").0, 200, "it can be looked at");
    gateway.world.api.asked.go_away();
    assert_eq!(told(path, "sh_other", ""), refused(503, "unavailable"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_asks_from_where_it_sends() {
    let gateway = Gateway::new().await;
    let app = gateway
        .make(pb::CreateAppRequest {
            org: "acme".into(),
            name: "cam".into(),
            networks: vec!["192.0.2.0/24".into()],
            origins: vec!["https://app.example".into()],
            ..Default::default()
        })
        .await;
    let path = "/v1/usage/acme/cam";
    let direct = ask(&gateway, path, &app.token, "");
    assert_eq!((direct.status, direct.code()), (403, "address_not_allowed"));
    let through = "x-forwarded-for: 192.0.2.1\r\norigin: https://app.example\r\n";
    let answer = ask(&gateway, path, &app.token, through);
    assert_eq!(answer.status, 200);
    let allowed = "access-control-allow-origin: https://app.example\r\n";
    assert!(answer.head.contains(allowed), "{}", answer.head);
}

/// Twenty ask the same at once: PostgreSQL is asked once.
#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_ask_the_same_one_asks_the_database() {
    let gateway = Gateway::new().await;
    let app = gateway.app("acme", "cam").await;
    assert_eq!(gateway.post(&app.signed(fresh(10))).status, 200);
    let (from, to) = ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z");
    let query = format!("measure=uniques&from={from}&to={to}");
    let held = "LOCK TABLE telemetry.contexts IN ACCESS EXCLUSIVE MODE";
    let held = gateway.database.hold(held).await;
    std::thread::scope(|scope| {
        let asking: Vec<_> = (0..20)
            .map(|_| scope.spawn(|| stats(&gateway, &app, &query)))
            .collect();
        drop(held);
        let answers: Vec<Value> = asking.into_iter().map(|it| it.join().unwrap()).collect();
        assert!(answers.iter().all(|answer| *answer == answers[0]));
    });
    for (outcome, number) in [("computed", 1), ("remembered", 19)] {
        let line = format!("streamhaul_gateway_queries_total{{outcome=\"{outcome}\"}} {number}");
        gateway.world.shows(&line).await;
    }
}

/// Questions that hang are ended, take no connection of ingestion's, and say nothing of inside.
#[tokio::test(flavor = "multi_thread")]
async fn events_come_in_whatever_is_asked() {
    let limits = QueriesConfig {
        connections: 1,
        seconds_max: 1,
        ..QueriesConfig::default()
    };
    let gateway = Gateway::limited(EventsConfig::default(), limits).await;
    let app = gateway.app("acme", "cam").await;
    let body = || {
        let event = event_at(&Timestamp::now().to_string());
        batch(&[event])
    };
    assert_eq!(gateway.post(&app.signed(body())).status, 200);
    let held = "LOCK TABLE telemetry.contexts IN ACCESS EXCLUSIVE MODE";
    let held = gateway.database.hold(held).await;
    std::thread::scope(|scope| {
        let query = |of: &'static str| {
            let path = format!("/v1/stats/acme/cam?measure=uniques&of={of}");
            let (gateway, app) = (&gateway, &app);
            scope.spawn(move || ask(gateway, &path, &app.token, ""))
        };
        let asking = [query("user"), query("session")];
        assert_eq!(
            gateway.post(&app.signed(body())).status,
            200,
            "its context is known"
        );
        for answer in asking.map(|it| it.join().unwrap()) {
            assert_eq!((answer.status, answer.code()), (503, "query_too_slow"));
            assert!(answer.head.contains("retry-after: 2"), "{}", answer.head);
        }
    });
    drop(held);
    gateway
        .database
        .execute("DROP TABLE telemetry.rollups")
        .await;
    let answer = ask(&gateway, "/v1/stats/acme/cam", &app.token, "");
    assert_eq!((answer.status, answer.code()), (503, "unavailable"));
    assert!(
        !answer.body.to_string().contains("rollups"),
        "{}",
        answer.body
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_is_by_the_day_and_counts_against_the_quota() {
    let gateway = Gateway::new().await;
    let app = gateway
        .make(pb::CreateAppRequest {
            org: "acme".into(),
            name: "staging".into(),
            quota_events: Some(1000),
            retention_days: 30,
            ..Default::default()
        })
        .await;
    let body = fresh(7);
    for body in [body.clone(), body, batch(&[json!(1), json!(2)])] {
        assert_eq!(gateway.post(&app.signed(body)).status, 200);
    }
    let before = "INSERT INTO telemetry.app_usage VALUES
        (1, extract(epoch FROM now())::bigint / 86400 - 60, 0, 5, 0, 0)";
    gateway.database.execute(before).await;
    let usage = ask(&gateway, "/v1/usage/acme/staging?days=90", &app.token, "").body;
    let month = &usage["month"];
    assert_eq!(
        (&month["events"], &month["duplicates"]),
        (&json!(7), &json!(7))
    );
    assert_eq!(
        (&month["quarantined"], &month["events_left"]),
        (&json!(2), &json!(993))
    );
    assert_eq!(
        (&usage["retention_days"], &usage["tier"]),
        (&json!(30), &json!("free"))
    );
    let days: Vec<&Value> = usage["days"].as_array().unwrap().iter().collect();
    assert_eq!(days.len(), 2, "{usage}");
    assert_eq!(
        (&days[0]["events"], &days[1]["events"]),
        (&json!(5), &json!(7))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_ask_by_grpc_as_well() {
    let gateway = Gateway::new().await;
    let app = gateway.app("acme", "cam").await;
    assert_eq!(gateway.post(&app.signed(fresh(3))).status, 200);
    let request = |name: &str, query: &str| pb::AskAppRequest {
        org: "acme".into(),
        name: name.into(),
        query: query.into(),
    };
    let answer = gateway.admin().ask_app(request("cam", "by=os")).await;
    let answer: Value = serde_json::from_str(&answer.unwrap().into_inner().json).unwrap();
    assert_eq!(answer["series"][0]["total"], 3);
    for (name, query, code) in [
        ("none", "", tonic::Code::NotFound),
        ("cam", "by=x", tonic::Code::InvalidArgument),
    ] {
        let refused = gateway.admin().ask_app(request(name, query)).await;
        assert_eq!(refused.unwrap_err().code(), code);
    }
    let request = |query: &str| pb::GetAppUsageRequest {
        org: "acme".into(),
        name: "cam".into(),
        query: query.into(),
    };
    let answer = gateway.admin().get_app_usage(request("days=1")).await;
    let answer: Value = serde_json::from_str(&answer.unwrap().into_inner().json).unwrap();
    assert_eq!(answer["month"]["events"], 3, "{answer}");
    let refused = gateway.admin().get_app_usage(request("days=0")).await;
    assert_eq!(refused.unwrap_err().code(), tonic::Code::InvalidArgument);
}

/// An app's questions hang, and whoever asked them has hung up: another's are answered meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn one_app_does_not_keep_the_others_from_asking() {
    let gateway = Gateway::new().await;
    let (app, other) = (
        gateway.app("acme", "cam").await,
        gateway.app("acme", "other").await,
    );
    for app in [&app, &other] {
        assert_eq!(gateway.post(&app.signed(fresh(3))).status, 200);
    }
    let held = "LOCK TABLE telemetry.contexts IN ACCESS EXCLUSIVE MODE";
    let held = gateway.database.hold(held).await;
    let ask = |hours: u32| {
        let path = format!("/v1/stats/acme/cam?measure=uniques&from=-{hours}h");
        begin(&gateway, &path, &app.token, "")
    };
    let asking: Vec<TcpStream> = (1..=8).map(ask).collect();
    let waiting = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'";
    until(async || (gateway.database.number(waiting).await == 2).then_some(())).await;
    drop(asking);
    assert_eq!(stats(&gateway, &other, "")["series"][0]["total"], 3);
    drop(held);
}
