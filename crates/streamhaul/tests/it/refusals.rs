//! What cannot be done is said in one line that tells what to do.

use std::net::TcpListener;
use std::process::Output;

use crate::instance::{Instance, streamhaul};

#[test]
fn a_second_instance_on_one_directory_is_refused() {
    let mut instance = Instance::new();
    instance.start();
    let second = instance.up().output().unwrap();
    assert_refused(&second, "another instance already runs on");
    assert!(instance.ask(&["status"]).status.success());
    for format in [["--json"].as_slice(), &["--html", "-"]] {
        let report = [["sessions", "report", "ses_1"].as_slice(), format].concat();
        assert_refused(&instance.ask(&report), "nothing was kept of it");
    }
    assert_eq!(instance.stop(), Some(0));
}

#[test]
fn a_taken_port_is_refused_before_anything_is_made() {
    let instance = Instance::new();
    let _taken = TcpListener::bind(("127.0.0.1", instance.port_base + 3)).unwrap();
    let refused = instance.up().output().unwrap();
    assert_refused(&refused, "the live view) is taken");
    assert_refused(&refused, "--port-base");
    assert!(!instance.state_dir().join("postgres").exists());
}

#[test]
fn a_database_that_is_away_ends_the_start() {
    let instance = Instance::new();
    let mut up = instance.up();
    up.args(["--database-url", "postgres://nobody@127.0.0.1:1/nothing"]);
    assert_refused(
        &up.output().unwrap(),
        "cannot bring the database's schema up to date",
    );
}

#[test]
fn letters_that_could_not_go_out_or_lead_back_end_the_start() {
    let instance = Instance::new();
    let mut up = instance.up();
    up.args(["--public-url", "streamhaul.example"]);
    assert_refused(&up.output().unwrap(), "public_url: such as https://");
    let smtp_url = instance.dir.path().join("smtp_url");
    std::fs::write(&smtp_url, "http://me:secret-of-mine@mail.example\n").unwrap();
    let mut up = instance.up();
    let refused = up.arg("--smtp-url-file").arg(&smtp_url).output().unwrap();
    assert_refused(&refused, "mail.smtp_url: not an SMTP URL");
    assert!(!String::from_utf8_lossy(&refused.stderr).contains("secret-of-mine"));
}

#[test]
fn commands_say_when_nothing_runs() {
    let instance = Instance::new();
    for command in [
        ["relay", "list"].as_slice(),
        &["nodes", "list"],
        &["jobs", "list"],
        &["status"],
    ] {
        assert_refused(&instance.ask(command), "no instance runs on");
    }
}

#[test]
fn another_machines_api_needs_a_token() {
    let output = streamhaul()
        .args(["relay", "list", "--api", "http://127.0.0.1:1"])
        .output()
        .unwrap();
    assert_refused(&output, "--token");
}

pub(crate) fn assert_refused(output: &Output, reason: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains(reason), "{said}");
    assert!(!said.contains("panicked"), "{said}");
}
