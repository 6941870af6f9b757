//! Who may do what.

use serde_json::json;
use streamhaul_api::{Access, table};

use crate::house::{ADMIN, House};

#[tokio::test(flavor = "multi_thread")]
async fn every_route_refuses_who_it_is_not_for() {
    let house = House::new().await;
    let user = house.user("someone").await;
    let digits = "0".repeat(64);
    let (wrong_user, wrong_node) = (format!("sh_user_{digits}"), format!("sh_node_{digits}"));
    for (method, path, access) in table() {
        let path = path
            .replace("{id}", "nod_1")
            .replace("{kid}", "0123456789ab")
            .replace("{name}", "cam1")
            .replace("{session}", "aut_1")
            .replace("{token}", "tok_1")
            .replace("{number}", "1")
            .replace("{provider}", "twitch")
            .replace("{*file}", "missing.js");
        let ask = async |token: Option<&str>| {
            let bearer = token.map(|token| format!("Bearer {token}"));
            let headers: Vec<_> = bearer
                .iter()
                .map(|bearer| ("authorization", bearer.as_str()))
                .collect();
            house
                .call(method.as_str(), &path, &headers, None)
                .await
                .status
        };
        if access == Access::Service {
            for token in [None, Some(ADMIN), Some(&*user)] {
                assert_eq!(ask(token).await, 401, "{method} {path} with {token:?}");
            }
            continue;
        }
        if access == Access::Page {
            assert_eq!(ask(None).await, 403, "{method} {path} from another page");
            continue;
        }
        if access == Access::Public {
            // 404 is a file of the dock's page that this build does not have, and billing that
            // nobody set up; 400 a sign-in without a body, 303 a visit to a provider that
            // nobody began.
            let expected: &[u16] = if path == "/dock/missing.js" || path.contains("/billing/") {
                &[404]
            } else if path.ends_with("/callback") {
                &[303]
            } else if path.starts_with("/api/") && method != "GET" {
                &[400]
            } else {
                &[200]
            };
            let status = ask(None).await;
            assert!(expected.contains(&status), "{method} {path}: {status}");
            continue;
        }
        for token in [
            None,
            Some(""),
            Some("x"),
            Some(&*wrong_user),
            Some(&*wrong_node),
        ] {
            assert_eq!(ask(token).await, 401, "{method} {path} with {token:?}");
        }
        if matches!(access, Access::Dock | Access::Browser) {
            for token in [ADMIN, &*user] {
                assert_eq!(ask(Some(token)).await, 401, "{method} {path}");
            }
            continue;
        }
        assert_ne!(ask(Some(ADMIN)).await, 401, "{method} {path}");
        let for_users = ask(Some(&user)).await;
        assert_eq!(
            for_users == 403,
            matches!(access, Access::Ops(_)),
            "{method} {path}: {for_users}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn services_need_their_token() {
    let house = House::new().await;
    let mut client = proto::fleet::control_client::ControlClient::new(house.channel().await);
    let refused = client
        .expire_sessions(proto::fleet::ExpireSessionsRequest { limit: 1 })
        .await;
    assert_eq!(refused.unwrap_err().code(), tonic::Code::Unauthenticated);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_users_session_is_as_unknown_as_none() {
    let house = House::new().await;
    let (_, _node) = crate::node::joined(&house, "one", 10).await;
    let (mine, other) = (house.user("me").await, house.user("other").await);
    let started = house.start(&mine, "cam1").await;
    let id = started.body["session"]["session_id"].as_str().unwrap();
    let stop = json!({"session_id": id});
    assert_eq!(
        house
            .post(&other, "/api/v1/relay/stop", stop.clone())
            .await
            .status,
        404
    );
    assert_eq!(house.get(&other, "/api/v1/relay/active").await.status, 204);
    let active = "/api/v1/relay/active?connection_id=cam1";
    assert_eq!(house.get(&other, active).await.status, 204);
    assert_eq!(
        house.get(&other, "/api/v1/relay/sessions").await.body,
        json!({"sessions": []})
    );
    assert_eq!(house.get(&mine, active).await.status, 200);
    assert_eq!(
        house.post(&mine, "/api/v1/relay/stop", stop).await.status,
        200
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_are_known_to_other_services() {
    let house = House::new().await;
    let user = house.user("me").await;
    let mut control = house.control().await;
    let mut is_operator = async |token: &str| {
        let token = token.to_owned();
        let request = proto::fleet::AuthorizeOperatorRequest { token };
        let answer = control.authorize_operator(request).await;
        answer.unwrap().into_inner().allowed
    };
    assert!(is_operator(ADMIN).await);
    for token in [user.as_str(), "", "nonsense"] {
        assert!(!is_operator(token).await, "{token}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_see_their_own_sessions_only() {
    let house = House::new().await;
    let (enrolled, _node) = crate::node::joined(&house, "one", 10).await;
    let (mine, other) = (house.user("me").await, house.user("other").await);
    let started = house.start(&mine, "cam1").await;
    let session_id = started.body["session"]["session_id"].as_str().unwrap();
    let mut control = house.control().await;
    let mut may = async |token: &str, session_id: &str| {
        let (token, session_id) = (token.to_owned(), session_id.to_owned());
        let request = proto::fleet::AuthorizeViewerRequest { token, session_id };
        control
            .authorize_viewer(request)
            .await
            .unwrap()
            .into_inner()
            .allowed
    };
    assert!(may(&mine, session_id).await);
    assert!(may(ADMIN, session_id).await);
    assert!(!may(&other, session_id).await);
    assert!(!may("", session_id).await);
    assert!(!may(&mine, "ses_unknown").await);
    assert!(!may(&mine, "nonsense").await);

    let mut whose = async |credential: &str| {
        let request = proto::fleet::AuthorizeNodeRequest {
            credential: credential.to_owned(),
        };
        control
            .authorize_node(request)
            .await
            .unwrap()
            .into_inner()
            .node_id
    };
    assert_eq!(whose(&enrolled.credential).await, enrolled.node_id);
    assert_eq!(whose("sh_node_0").await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_the_nodes_that_it_was_given_to() {
    let house = House::new().await;
    let (one, _node) = crate::node::joined(&house, "one", 10).await;
    let started = house.start(ADMIN, "cam1").await;
    let session = started.body["session"]["session_id"].as_str().unwrap();
    let (two, _other) = crate::node::joined(&house, "two", 10).await;
    let mut control = house.control().await;
    let mut given = async |node_id: &str, sessions: &[&str]| {
        let request = proto::fleet::AuthorizeSessionsRequest {
            node_id: node_id.to_owned(),
            session_ids: sessions.iter().map(ToString::to_string).collect(),
        };
        let answer = control.authorize_sessions(request).await;
        answer.map(|answer| answer.into_inner().session_ids)
    };
    let asked = ["ses_unknown", session];
    assert_eq!(given(&one.node_id, &asked).await.unwrap(), [session]);
    assert!(given(&two.node_id, &asked).await.unwrap().is_empty());
    assert!(given(&one.node_id, &[]).await.unwrap().is_empty());

    // What it says of the last second comes after the end.
    let stop = serde_json::json!({"session_id": session});
    house.post(ADMIN, "/api/v1/relay/stop", stop).await;
    assert_eq!(given(&one.node_id, &[session]).await.unwrap(), [session]);

    // What a node makes up does not make the question too large to be answered.
    let longest = format!("ses_{}", "x".repeat(60));
    let made_up = vec![longest.as_str(); 1000];
    assert!(given(&one.node_id, &made_up).await.unwrap().is_empty());

    for (node, sessions) in [("nonsense", vec![session]), (&one.node_id, vec!["x"; 1])] {
        let refused = given(node, &sessions).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::InvalidArgument);
    }
    let many = given(&one.node_id, &vec![session; 1001]).await.unwrap_err();
    assert_eq!(many.code(), tonic::Code::InvalidArgument);
}
