//! Apps that send events are made and looked after by the command.

use std::net::TcpListener;
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::instance::{Instance, eventually, streamhaul};
use crate::refusals::assert_refused;

#[test]
fn an_app_is_made_shown_rotated_and_disabled() {
    let mut instance = Instance::new();
    instance.start();
    let made = instance.json(&["apps", "create", "acme/cam", "--tier", "pro", "--rate", "0"]);
    assert_eq!(made["app"]["tier"], "pro", "{made}");
    assert!(made["app"]["rate_events"].is_null(), "{made}");
    let secret = made["secret"].as_str().unwrap();
    assert!(made["token"].as_str().unwrap().starts_with("tk_"), "{made}");
    let rotated = instance.json(&["apps", "rotate", "acme/cam", "--grace", "24h"]);
    assert_ne!(rotated["secret"], secret);
    assert!(rotated["previous_ends_at"].is_string(), "{rotated}");
    let listed = instance.json(&["apps", "list"]);
    assert_eq!(listed["apps"][0]["app"], "acme/cam", "{listed}");
    assert_eq!(
        instance.json(&["apps", "disable", "acme/cam"])["changed"],
        true
    );
    let shown = instance.ask(&["apps", "show", "acme/cam"]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(!shown.contains(secret), "secrets are shown once: {shown}");
    for word in ["disable", "rotate", "create", "disabled_at"] {
        assert!(shown.contains(word), "{shown}");
    }
    assert_eq!(
        instance.json(&["apps", "enable", "acme/cam"])["changed"],
        true
    );
    let changed = instance.json(&[
        "apps", "change", "acme/cam", "--tier", "business", "--quota", "500",
    ]);
    assert_eq!(changed["app"]["retention_days"], 365, "{changed}");
    assert_eq!(changed["app"]["quota_events"], 500, "{changed}");
    let counted = instance.json(&["apps", "stats", "acme/cam", "--from", "-2h", "--step", "1h"]);
    assert_eq!(counted["series"][0]["total"], 0, "{counted}");
    let used = instance.json(&["apps", "usage", "acme/cam", "--days", "2"]);
    assert_eq!(used["month"]["events_left"], 500, "{used}");
    let used = instance.ask(&["apps", "usage", "acme/cam"]);
    let used = String::from_utf8(used.stdout).unwrap();
    assert!(used.contains("0 events of 500"), "{used}");
    let exported = instance.ask(&["apps", "export", "acme/cam", "--format", "csv"]);
    let exported = String::from_utf8(exported.stdout).unwrap();
    assert!(
        exported.starts_with("event_id,") && exported.lines().count() == 1,
        "{exported}"
    );
    let refused = instance.ask(&["apps", "stats", "acme/cam", "--from", "yesterday"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("from: RFC 3339"), "{said}");
    let again = instance.ask(&["apps", "create", "acme/cam"]);
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(said.contains("there is an app acme/cam"), "{said}");
    assert_eq!(instance.stop(), Some(0));
}

#[test]
fn an_app_has_two_names() {
    let refused = streamhaul().args(["apps", "show", "cam"]).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("expected org/name"), "{said}");
}

#[test]
fn a_change_says_what_changes() {
    let refused = streamhaul()
        .args(["apps", "change", "acme/cam"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("required"), "{said}");
}

#[test]
fn an_export_that_is_called_off_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("token");
    std::fs::write(&token, "a token that nobody asks for").unwrap();
    let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    silent.set_nonblocking(true).unwrap();
    let gateway = format!("http://{}", silent.local_addr().unwrap());
    let into = dir.path().join("events.ndjson");
    let export = streamhaul()
        .args(["apps", "export", "acme/cam", "--gateway", &gateway])
        .arg("--service-token-file")
        .arg(&token)
        .arg("--output")
        .arg(&into)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut asked = None;
    eventually("it asks", || {
        asked = silent.accept().ok();
        asked.is_some()
    });
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    kill(Pid::from_raw(export.id().cast_signed()), Signal::SIGINT).unwrap();
    assert_refused(&export.wait_with_output().unwrap(), "called off");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}
