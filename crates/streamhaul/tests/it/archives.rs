//! Days of telemetry leave the database by themselves, and are read back by the command.

use testkit::database::execute_in;

use crate::instance::{Instance, eventually, streamhaul};

/// Long over, whenever this runs; the app keeps a day.
const DAY: &str = "2020-02-29";

#[test]
fn a_day_is_archived_and_fetched() {
    let mut instance = Instance::new();
    let archive = instance.dir.path().join("archive");
    std::fs::create_dir(instance.state_dir()).unwrap();
    std::fs::write(
        instance.state_dir().join("telemetry.toml"),
        format!(
            "retention = \"archive\"\n[archive]\nunencrypted = true\npath = \"{}\"\n",
            archive.display()
        ),
    )
    .unwrap();
    instance.start();
    instance.json(&["apps", "create", "acme/cam", "--retention-days", "1"]);
    insert_events(&instance);
    for kind in ["telemetry_retention", "archive_telemetry"] {
        let id = instance.json(&["jobs", "enqueue", kind])["job"]["job"].to_string();
        eventually(kind, || {
            instance.json(&["jobs", "show", &id])["state"] == "completed"
        });
    }
    let listed = instance.json(&["archives", "list", "--from", DAY, "--to", DAY]);
    assert_eq!(listed["parts"][0]["rows"], 3, "{listed}");
    let nothing = instance.json(&["archives", "list", "--from", "2020-03-01"]);
    assert_eq!(nothing["parts"].as_array().unwrap().len(), 0, "{nothing}");
    assert_eq!(instance.stop(), Some(0));

    let into = instance.dir.path().join("events.ndjson");
    let fetch = ["archives", "fetch", DAY, "--into", into.to_str().unwrap()];
    let fetched = instance.json(&fetch);
    assert_eq!(fetched["rows"], 3, "{fetched}");
    let lines = std::fs::read_to_string(&into).unwrap();
    assert_eq!(lines.matches(r#""app" : "acme/cam""#).count(), 3, "{lines}");
    let again = instance.ask(&fetch);
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(said.contains("is there already"), "{said}");

    std::fs::remove_file(&into).unwrap();
    flip(&archive.join(format!("telemetry/events/{DAY}")));
    let refused = instance.ask(&fetch);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("is damaged"), "{said}");
    let left = std::fs::read_dir(instance.dir.path()).unwrap();
    let is_left = |entry: std::io::Result<std::fs::DirEntry>| {
        let name = entry.unwrap().file_name();
        name.to_string_lossy().contains("ndjson")
    };
    assert!(!left.into_iter().any(is_left), "no part of it is left");
}

#[test]
fn without_an_archive_it_is_said_how_to_have_one() {
    let instance = Instance::new();
    let refused = instance.ask(&["archives", "list"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("telemetry.toml"), "{said}");
    let refused = streamhaul()
        .args(["archives", "fetch", "yesterday", "--into", "/tmp/x"])
        .output()
        .unwrap();
    assert!(!refused.status.success());
}

fn insert_events(instance: &Instance) {
    let run: serde_json::Value =
        serde_json::from_slice(&std::fs::read(instance.run_file()).unwrap()).unwrap();
    let url = run["database_url"].as_str().unwrap();
    let sql = format!(
        "INSERT INTO telemetry.events
         SELECT extract(epoch FROM timestamptz '{DAY} 12:00Z')::bigint * 1000000 + n, a.id,
             gen_random_uuid(), 1, 'usage', NULL, NULL, 0
         FROM telemetry.apps AS a, generate_series(1, 3) AS n"
    );
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(execute_in(url, &sql));
}

fn flip(directory: &std::path::Path) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|it| it == "zst") {
            let mut bytes = std::fs::read(&path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            std::fs::write(path, bytes).unwrap();
        }
    }
}
