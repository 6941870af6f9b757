//! Apps that send events are made and looked after by the command.

use crate::instance::{Instance, streamhaul};

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
