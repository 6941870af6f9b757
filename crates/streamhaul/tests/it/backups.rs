//! The database is backed up, proven, and comes back under another instance.

use std::process::{Command, Output};

use serde_json::Value;

use crate::instance::{Instance, eventually, streamhaul};

#[test]
fn an_instance_goes_on_from_its_backup() {
    let mut instance = Instance::new();
    instance.start();
    let session = instance.json(&["relay", "start", "--name", "cam1"]);
    let made = instance.json(&["backup"]);
    assert_eq!(made["stored"][0], "disk", "{made}");
    let verified = instance.json(&["verify-backup"]);
    assert_eq!(verified["backup"]["id"], made["backup"]["id"], "{verified}");
    assert_eq!(verified["rows"], made["backup"]["rows"], "{verified}");
    assert_eq!(verified["remembered"], true, "{verified}");
    let full = limited(&instance, &["backup"]);
    let said = String::from_utf8_lossy(&full.stderr).into_owned();
    assert!(!full.status.success() && said.contains("is full"), "{said}");
    let listed = instance.json(&["backups", "list"]);
    assert_eq!(listed["backups"].as_array().unwrap().len(), 1, "{listed}");
    assert!(
        listed["backups"][0]["proof"]["verified_at"].is_string(),
        "{listed}"
    );

    let mut second = Instance::new();
    let into = second.state_dir().join("postgres");
    let restored = instance.json(&["restore", "--into", into.to_str().unwrap()]);
    assert_eq!(restored["rows"], made["backup"]["rows"], "{restored}");
    let taken = instance.ask(&["restore", "--into", into.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&taken.stderr).into_owned();
    assert!(
        !taken.status.success() && said.contains("not empty"),
        "{said}"
    );
    assert_eq!(instance.stop(), Some(0));
    let secrets = instance.state_dir().join("secrets");
    let copied = Command::new("cp")
        .arg("-a")
        .arg(secrets)
        .arg(second.state_dir())
        .status();
    assert!(copied.unwrap().success());
    second.start();
    let listed = second.json(&["relay", "list"]);
    assert_eq!(
        listed["sessions"][0]["session_id"], session["session_id"],
        "{listed}"
    );
    assert_eq!(second.stop(), Some(0));
}

#[test]
fn backups_are_made_and_proven_by_themselves() {
    let mut instance = Instance::new();
    let destination = instance.dir.path().join("backups");
    let file = instance.dir.path().join("backups.toml");
    let text = format!(
        "unencrypted = true\nlog_seconds = 3600\n[[destinations]]\nname = \"disk\"\npath = \"{}\"\n",
        destination.display()
    );
    std::fs::write(&file, text).unwrap();
    instance.backups_file = Some(file);
    instance.start();
    for (kind, metric) in [
        (
            "backup_database",
            "streamhaul_jobs_backup_last_timestamp_seconds",
        ),
        (
            "verify_backup",
            "streamhaul_jobs_backup_verified_timestamp_seconds",
        ),
    ] {
        assert!(gauge(&instance, metric) < 1.0, "{kind}");
        let id = instance.json(&["jobs", "enqueue", kind])["job"]["job"].to_string();
        eventually(kind, || {
            instance.json(&["jobs", "show", &id])["state"] == "completed"
        });
        eventually(metric, || gauge(&instance, metric) > 1.0);
    }
    assert!(gauge(&instance, "streamhaul_jobs_backup_bytes") > 1e6);
    assert_eq!(instance.stop(), Some(0));
}

/// A command that may write files of 64 KiB only, as on a disk that is about to be full.
fn limited(instance: &Instance, arguments: &[&str]) -> Output {
    let program = streamhaul();
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; ulimit -f 128; exec \"$@\"", "sh"]);
    command.arg(program.get_program()).args(arguments);
    command.arg("--state-dir").arg(instance.state_dir());
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.output().unwrap()
}

fn gauge(instance: &Instance, name: &str) -> f64 {
    let told: Value = serde_json::from_slice(&std::fs::read(instance.run_file()).unwrap()).unwrap();
    let admin = told["admin"]["jobs"].as_str().unwrap().to_owned();
    let mut response = ureq::get(format!("{admin}/metrics")).call().unwrap();
    let text = response.body_mut().read_to_string().unwrap();
    let line = text
        .lines()
        .find(|line| line.starts_with(&format!("{name}{{")));
    let value = line.and_then(|line| line.rsplit(' ').next());
    value.unwrap_or("0").parse().unwrap()
}
