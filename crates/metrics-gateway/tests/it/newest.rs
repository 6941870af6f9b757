//! What the other services are told of now.

use testkit::control_plane::SERVICE_TOKEN;
use tonic::Code;

use crate::fake_api::NODE;
use crate::world::{World, link, now_ms, report};

const SESSION: &str = "ses_mine1";

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_links_are_those_of_the_last_report() {
    let world = World::new().await;
    let nothing = world.newest_links(SERVICE_TOKEN, SESSION).await.unwrap();
    assert_eq!(nothing, Default::default());

    let (node, start) = (world.node(NODE), now_ms());
    for (second, links) in [(0, 1..=3), (1, 2..=3)] {
        let mut report = report(SESSION, start + second * 1000, 0);
        report.sessions[0].links = links.map(link).collect();
        node.send(report).await;
    }
    world
        .shows("streamhaul_gateway_reports_accepted_total 2")
        .await;
    let newest = world.newest_links(SERVICE_TOKEN, SESSION).await.unwrap();
    assert_eq!(newest.observed_at_unix_ms, Some(start + 1000));
    assert_eq!(
        newest.links,
        [link(2), link(3)].map(|mut link| {
            // What was left out comes back as zeros.
            link.total = Some(Default::default());
            link.last_second.as_mut().unwrap().tally = Some(Default::default());
            link.last_ten_seconds = Some(proto::telemetry::LinkWindow {
                tally: Some(Default::default()),
                ..Default::default()
            });
            link
        })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn only_services_are_told() {
    let world = World::new().await;
    for token in [NODE, "sh_svc_wrong", "x"] {
        let refused = world.newest_links(token, SESSION).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated, "{token}");
    }
    let invalid = world
        .newest_links(SERVICE_TOKEN, "../etc")
        .await
        .unwrap_err();
    assert_eq!(invalid.code(), Code::InvalidArgument);
}
