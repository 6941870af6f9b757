//! Apps are made and changed by gRPC, and follow at once.

use proto::telemetry as pb;
use tonic::Code;

use crate::app::{App, Gateway, fresh};

fn rotate(grace_seconds: u64) -> pb::RotateAppRequest {
    pb::RotateAppRequest {
        org: "acme".into(),
        name: "cam".into(),
        grace_seconds,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_changes_without_a_moment_in_which_none_is_right() {
    let gateway = Gateway::new().await;
    let first = gateway.app("acme", "cam").await;
    let taken = |app: &App| gateway.post(&app.signed(fresh(1))).status;
    let made = gateway.admin().rotate_app(rotate(3600)).await.unwrap();
    let made = made.into_inner();
    assert!(made.previous_ends_at_unix_ms.is_some());
    let second = App::of(made);
    assert_eq!((taken(&first), taken(&second)), (200, 200));
    let mixed = first
        .signed(fresh(1))
        .with("authorization", &format!("Bearer {}", second.token));
    assert_eq!(gateway.post(&mixed).status, 200, "either of the two");
    let third = App::of(
        gateway
            .admin()
            .rotate_app(rotate(3600))
            .await
            .unwrap()
            .into_inner(),
    );
    assert_eq!(
        (taken(&first), taken(&second), taken(&third)),
        (401, 200, 200)
    );
    let fourth = App::of(
        gateway
            .admin()
            .rotate_app(rotate(0))
            .await
            .unwrap()
            .into_inner(),
    );
    assert_eq!(
        (taken(&second), taken(&third), taken(&fourth)),
        (401, 401, 200)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_app_sends_nothing_until_it_may_again() {
    let gateway = Gateway::new().await;
    let app = gateway.app("acme", "cam").await;
    let set = async |disabled: bool| {
        let request = pb::DisableAppRequest {
            org: "acme".into(),
            name: "cam".into(),
            disabled,
        };
        let answer = gateway.admin().disable_app(request).await.unwrap();
        answer.into_inner().changed
    };
    assert!(set(true).await);
    assert!(!set(true).await);
    let refused = gateway.post(&app.signed(fresh(1)));
    assert_eq!((refused.status, refused.code()), (403, "app_disabled"));
    assert!(set(false).await);
    assert_eq!(gateway.post(&app.signed(fresh(1))).status, 200);
    let request = pb::GetAppRequest {
        org: "acme".into(),
        name: "cam".into(),
    };
    let told = gateway.admin().get_app(request).await.unwrap().into_inner();
    assert_eq!(told.month_events, 1);
    assert_eq!(told.credentials.len(), 1);
    let actions: Vec<&str> = told.changes.iter().map(|it| it.action.as_str()).collect();
    assert_eq!(actions, ["enable", "disable", "create"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_sends_from_its_networks_only() {
    let gateway = Gateway::new().await;
    let mut request = pb::CreateAppRequest {
        org: "acme".into(),
        name: "cam".into(),
        networks: vec!["192.0.2.7/24".into()],
        ..Default::default()
    };
    let app = gateway.make(request.clone()).await;
    let direct = gateway.post(&app.signed(fresh(1)));
    assert_eq!((direct.status, direct.code()), (403, "address_not_allowed"));
    // This machine is a proxy of ours: what it says of who came is believed.
    let through = app.signed(fresh(1)).with("x-forwarded-for", "192.0.2.200");
    assert_eq!(gateway.post(&through).status, 200);
    request.name = "other".into();
    request.networks = vec!["anywhere".into()];
    let refused = gateway.admin().create_app(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn apps_are_listed_and_named_once() {
    let gateway = Gateway::new().await;
    for name in ["a", "b", "c"] {
        gateway.app("acme", name).await;
    }
    let again = pb::CreateAppRequest {
        org: "acme".into(),
        name: "b".into(),
        ..Default::default()
    };
    let refused = gateway.admin().create_app(again).await.unwrap_err();
    assert_eq!(refused.code(), Code::AlreadyExists);
    let request = pb::ListAppsRequest {
        limit: 0,
        after: "acme/a".into(),
    };
    let listed = gateway.admin().list_apps(request).await.unwrap();
    let names: Vec<String> = listed
        .into_inner()
        .apps
        .into_iter()
        .map(|it| it.name)
        .collect();
    assert_eq!(names, ["b", "c"]);
    for bad in ["", "a/b", "a b", "ä", ".."] {
        let request = pb::CreateAppRequest {
            org: bad.into(),
            name: "a".into(),
            ..Default::default()
        };
        let refused = gateway.admin().create_app(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{bad}");
    }
}

/// Secrets are not in the database, and nobody without the service's token makes apps.
#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_sealed_and_the_door_is_shut() {
    let gateway = Gateway::new().await;
    let app = gateway.app("acme", "cam").await;
    let open = format!(
        "SELECT count(*) FROM telemetry.credentials
         WHERE position('{}'::bytea IN sealed_secret) > 0 OR position('{}'::bytea IN token_hash) > 0",
        app.secret, app.token
    );
    assert_eq!(gateway.database.number(&open).await, 0);
    let endpoint = format!("http://{}", gateway.world.grpc);
    let endpoint = tonic::transport::Endpoint::from_shared(endpoint).unwrap();
    let mut stranger = pb::apps_client::AppsClient::new(endpoint.connect_lazy());
    let refused = stranger.list_apps(pb::ListAppsRequest::default()).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unauthenticated);
}

#[tokio::test(flavor = "multi_thread")]
async fn bounds_change_at_once_and_it_is_written_down() {
    let gateway = Gateway::new().await;
    let app = gateway
        .make(pb::CreateAppRequest {
            org: "acme".into(),
            name: "cam".into(),
            rate_events: Some(1),
            networks: vec!["192.0.2.0/24".into()],
            ..Default::default()
        })
        .await;
    let change = |tier: &str| pb::ChangeAppRequest {
        org: "acme".into(),
        name: "cam".into(),
        tier: Some(tier.into()),
        networks: Some(pb::Texts::default()),
        ..Default::default()
    };
    assert_eq!(gateway.post(&app.signed(fresh(1))).status, 403);
    let refused = gateway
        .admin()
        .change_app(change("gold"))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let changed = gateway.admin().change_app(change("pro")).await.unwrap();
    let changed = changed.into_inner();
    assert!(changed.changed);
    let told = changed.app.unwrap();
    assert_eq!(
        (told.rate_events, told.retention_days),
        (Some(1), 90),
        "the rate was not the tier's"
    );
    assert_eq!(gateway.post(&app.signed(fresh(900))).status, 200);
    assert_eq!(gateway.post(&app.signed(fresh(200))).code(), "rate_limited");
    let unbound = pb::ChangeAppRequest {
        rate_events: Some(0),
        ..change("pro")
    };
    let changed = gateway.admin().change_app(unbound.clone()).await.unwrap();
    assert!(changed.into_inner().changed);
    assert_eq!(gateway.post(&app.signed(fresh(200))).status, 200);
    let again = gateway.admin().change_app(unbound).await.unwrap();
    assert!(!again.into_inner().changed);
    let request = pb::GetAppRequest {
        org: "acme".into(),
        name: "cam".into(),
    };
    let told = gateway.admin().get_app(request).await.unwrap().into_inner();
    let actions: Vec<&str> = told.changes.iter().map(|it| it.action.as_str()).collect();
    assert_eq!(actions, ["change", "change", "create"]);
    assert_eq!(
        told.changes[0].details_json,
        r#"{"rate_events":{"from":1,"to":null}}"#
    );
    let nobody = pb::ChangeAppRequest {
        name: "none".into(),
        ..change("pro")
    };
    let refused = gateway.admin().change_app(nobody).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
}

/// A month's events are counted every few seconds.
#[tokio::test(flavor = "multi_thread")]
async fn an_app_has_its_quota() {
    let gateway = Gateway::new().await;
    let app = gateway
        .make(pb::CreateAppRequest {
            org: "acme".into(),
            name: "cam".into(),
            quota_events: Some(10),
            ..Default::default()
        })
        .await;
    assert_eq!(gateway.post(&app.signed(fresh(10))).status, 200);
    crate::world::until(async || {
        let answer = gateway.post(&app.signed(fresh(1)));
        (answer.code() == "quota_exceeded").then_some(())
    })
    .await;
}
