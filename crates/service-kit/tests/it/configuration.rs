//! Defaults, then the file, then the environment; mistakes are one clear line.

use std::io::Write;

use streamhaul_service_kit::config::{environment_prefix, load};

use crate::Config;

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn refusal(text: &str) -> String {
    load::<Config>("config-test", Some(file(text).path()), &[])
        .unwrap_err()
        .to_string()
}

#[test]
fn a_file_overrides_the_defaults() {
    let file = file("workers = 9\n[kit.log]\nformat = \"json\"");
    let config: Config = load("config-test", Some(file.path()), &[]).unwrap();
    assert_eq!(config.workers, 9);
    assert_eq!(config.kit.shutdown_deadline_seconds, 20);
}

#[test]
fn a_flag_overrides_the_file() {
    let file = file("workers = 9\n[kit.log]\nfilter = \"info\"");
    let flags = [("kit.log.filter", "debug".to_owned())];
    let config: Config = load("config-test", Some(file.path()), &flags).unwrap();
    assert_eq!((config.workers, &*config.kit.log.filter), (9, "debug"));
}

#[test]
fn the_environment_prefix_names_the_service() {
    assert_eq!(environment_prefix("relay-node"), "STREAMHAUL_RELAY_NODE__");
}

#[test]
fn mistakes_name_the_setting_in_one_line() {
    for (text, named) in [
        ("wokers = 9", "wokers"),
        ("workers = \"many\"", "workers"),
        ("[kit.admin]\nlisten = \"nowhere\"", "listen"),
        ("workers = 0", "workers must be at least 1"),
    ] {
        let line = refusal(text);
        assert!(line.contains(named), "{line}");
        assert!(!line.contains('\n'), "{line}");
    }
    let missing =
        load::<Config>("config-test", Some("/nowhere/at/all.toml".as_ref()), &[]).unwrap_err();
    assert!(missing.to_string().contains("/nowhere/at/all.toml"));
}

#[test]
fn secrets_are_never_printed() {
    let file = file("token = \"hunter2\"");
    let config: Config = load("config-test", Some(file.path()), &[]).unwrap();
    let printed = serde_json::to_string(&config).unwrap();
    assert!(
        printed.contains("[redacted]") && !printed.contains("hunter2"),
        "{printed}"
    );
}
