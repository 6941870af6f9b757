//! Reports of sessions, as they come from the gateway.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::house::{ADMIN, House};

const PATH: &str = "/v1/sessions/ses_1/report";

/// A house, and the gateway that it asks.
async fn house() -> (House, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let house = House::with(|config| config.gateway_http = format!("http://{address}")).await;
    (house, listener)
}

/// Answers once; what was asked.
async fn serve(gateway: &TcpListener, status: &str, head: &str, body: &str) -> String {
    let (mut stream, _) = gateway.accept().await.unwrap();
    let mut asked = Vec::new();
    while !asked.ends_with(b"\r\n\r\n") {
        asked.push(stream.read_u8().await.unwrap());
    }
    let length = body.len();
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{head}\r\n{body}");
    stream.write_all(answer.as_bytes()).await.unwrap();
    String::from_utf8(asked).unwrap()
}

/// One request, and all of its answer.
async fn ask(house: &House, path: &str, token: &str) -> String {
    let mut stream = TcpStream::connect(house.http).await.unwrap();
    let request =
        format!("GET {path} HTTP/1.0\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let read = stream.read_to_string(&mut answer);
    tokio::time::timeout(Duration::from_secs(60), read)
        .await
        .unwrap()
        .unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_comes_as_the_gateway_made_it() {
    let (house, gateway) = house().await;
    let head = "content-type: text/html; charset=utf-8\r\n\
        content-security-policy: default-src 'none'\r\nx-secret: inner\r\n";
    let drawn = format!("{PATH}?format=html");
    let (answer, asked) = tokio::join!(
        ask(&house, &drawn, ADMIN),
        serve(&gateway, "200 OK", head, "<p>drawn"),
    );
    let asked = asked.to_lowercase();
    assert!(
        asked.starts_with("get /v1/sessions/ses_1/report?format=html "),
        "{asked}"
    );
    assert!(
        asked.contains(&format!("authorization: bearer {ADMIN}").to_lowercase()),
        "{asked}"
    );
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(
        head.contains(" 200 ") && head.contains("default-src 'none'"),
        "{head}"
    );
    assert!(!head.contains("x-secret"), "{head}");
    assert_eq!(body, "<p>drawn");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_says_what_the_gateway_means() {
    let (house, gateway) = house().await;
    for (gateways, ours) in [
        ("403 Forbidden", "404"),
        ("404 Not Found", "404"),
        ("501 Not Implemented", "503"),
        ("429 Too Many Requests", "503"),
        ("500 Internal Server Error", "503"),
    ] {
        let (answer, _) = tokio::join!(
            ask(&house, PATH, ADMIN),
            serve(&gateway, gateways, "", "inner words"),
        );
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(
            head.starts_with(&format!("HTTP/1.0 {ours} ")),
            "{gateways}: {head}"
        );
        let body: Value = serde_json::from_str(body).unwrap();
        assert!(body["error"]["message"].is_string(), "{body}");
        assert!(!answer.contains("inner words"), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_asked_for_what_cannot_be() {
    let (house, _gateway) = house().await;
    for (path, token, status) in [
        (format!("{PATH}?format=pdf"), ADMIN, "400"),
        ("/v1/sessions/not-an-id/report".to_owned(), ADMIN, "404"),
        (PATH.to_owned(), "sh_user_nobody", "401"),
    ] {
        let answer = ask(&house, &path, token).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.0 {status} ")),
            "{path}: {answer}"
        );
    }
}
