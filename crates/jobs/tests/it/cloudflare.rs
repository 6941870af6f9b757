//! Records at Cloudflare.

use serde_json::json;
use streamhaul_jobs::dns::{Cloudflare, CloudflareSettings, Error, Provider};

use crate::cloudflare_api::{self, TOKEN, ZONE_ID, failed};
use crate::dns_record::{NAME, record};

const OURS: Option<&str> = Some("managed by streamhaul");

fn provider(fake: &cloudflare_api::Cloudflare, token: &str, zone_id: &str) -> Cloudflare {
    let settings = CloudflareSettings {
        api_url: fake.url(),
        zone_id: zone_id.to_owned(),
        token: token.into(),
    };
    Cloudflare::new(&settings).unwrap()
}

fn is(kind: &str, content: &str) -> Vec<(String, String, u64)> {
    vec![(kind.to_owned(), content.to_owned(), 60)]
}

#[tokio::test]
async fn a_name_is_made_overwritten_and_removed() {
    let fake = cloudflare_api::Cloudflare::start();
    let provider = provider(&fake, TOKEN, ZONE_ID);
    fake.put("www.example.com", "A", "192.0.2.1", OURS);
    for (host, kind, calls) in [
        ("192.0.2.7", "A", vec!["GET", "POST"]),
        ("192.0.2.7", "A", vec!["GET"]),
        ("192.0.2.8", "A", vec!["GET", "PUT"]),
        ("2001:db8::7", "AAAA", vec!["GET", "PUT"]),
        ("relay.example", "CNAME", vec!["GET", "PUT"]),
    ] {
        provider.apply(&record(host)).await.unwrap();
        assert_eq!(fake.records(NAME), is(kind, host));
        assert_eq!(fake.calls(), calls, "{host}");
    }
    for calls in [vec!["GET", "DELETE"], vec!["GET"]] {
        provider.apply(&record("")).await.unwrap();
        assert_eq!(fake.records(NAME), []);
        assert_eq!(fake.calls(), calls);
    }
    assert_eq!(fake.records("www.example.com").len(), 1);
}

#[tokio::test]
async fn spare_records_of_ours_go() {
    let fake = cloudflare_api::Cloudflare::start();
    for address in ["192.0.2.1", "192.0.2.2", "192.0.2.3"] {
        fake.put(NAME, "A", address, OURS);
    }
    let provider = provider(&fake, TOKEN, ZONE_ID);
    provider.apply(&record("192.0.2.2")).await.unwrap();
    assert_eq!(fake.records(NAME), is("A", "192.0.2.2"));
}

#[tokio::test]
async fn nobody_elses_record_is_touched() {
    let fake = cloudflare_api::Cloudflare::start();
    fake.put(NAME, "A", "192.0.2.1", Some("the operator's own"));
    let provider = provider(&fake, TOKEN, ZONE_ID);
    let error = provider.apply(&record("192.0.2.7")).await.unwrap_err();
    assert!(matches!(error, Error::Refused(_)), "{error}");
    provider.apply(&record("")).await.unwrap();
    assert_eq!(fake.records(NAME), is("A", "192.0.2.1"));
    assert_eq!(fake.calls(), ["GET", "GET"]);
}

#[tokio::test]
async fn trouble_is_told_apart() {
    let fake = cloudflare_api::Cloudflare::start();
    let good = provider(&fake, TOKEN, ZONE_ID);
    let fails = async |provider: &Cloudflare| {
        let error = provider.apply(&record("192.0.2.7")).await.unwrap_err();
        assert!(!error.to_string().contains(TOKEN), "{error}");
        error
    };
    let wrong_token = provider(&fake, "wrong", ZONE_ID);
    let wrong_zone = provider(&fake, TOKEN, &"0".repeat(32));
    for (provider, hint) in [
        (&wrong_token, "Zone / DNS / Edit"),
        (&wrong_zone, "zone_id"),
    ] {
        let error = fails(provider).await;
        assert_eq!(error.reason(), "unauthorized");
        assert!(error.to_string().contains(hint), "{error}");
    }

    let (status, body) = failed(429, 971, "Please wait and consider throttling.");
    fake.answer_once(status, "retry-after: 17\r\n", &body);
    let wait = std::time::Duration::from_secs(17);
    assert_eq!(fails(&good).await, Error::RateLimited(wait));
    fake.answer_once(status, "", &body);
    let wait = std::time::Duration::from_secs(60);
    assert_eq!(fails(&good).await, Error::RateLimited(wait));

    let (status, body) = failed(400, 9005, "Content for A record is invalid.");
    fake.answer_once(status, "", &body);
    let error = fails(&good).await;
    assert_eq!(error.reason(), "refused");
    assert!(error.to_string().contains("code 9005"), "{error}");
    for (status, body) in [(502, json!("bad gateway")), (200, json!("what?"))] {
        fake.answer_once(status, "", &body);
        assert_eq!(fails(&good).await.reason(), "unavailable", "{status}");
    }
    // Its secrets go to nobody else.
    fake.answer_once(302, "location: http://127.0.0.1:9/\r\n", &json!({}));
    assert_eq!(fails(&good).await.reason(), "unavailable");
    assert_eq!(fake.records(NAME), []);
}

#[tokio::test]
async fn a_record_that_somebody_else_removed_is_removed() {
    let fake = cloudflare_api::Cloudflare::start();
    fake.put(NAME, "A", "192.0.2.1", OURS);
    let provider = provider(&fake, TOKEN, ZONE_ID);
    let gone = failed(404, 81_044, "Record does not exist.");
    // Answers are given last in, first out.
    fake.answer_once(gone.0, "", &gone.1);
    let listed = json!({"success": true, "errors": [], "result": [{"id": "9", "name": NAME,
        "type": "A", "content": "192.0.2.1", "ttl": 60, "proxied": false, "comment": OURS}]});
    fake.answer_once(200, "", &listed);
    provider.apply(&record("")).await.unwrap();
    assert_eq!(fake.calls(), ["GET", "DELETE"]);
}
