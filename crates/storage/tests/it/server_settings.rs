//! The settings for PostgreSQL that we ship are ones that it knows and that fit their machines.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use streamhaul_storage::cluster::{Cluster, ClusterConfig};
use testkit::database::number_in;

const SIZES_GB: [u64; 3] = [2, 8, 32];
/// What a private server is told otherwise when it starts.
const OVERRULED: [&str; 4] = [
    "shared_buffers",
    "wal_buffers",
    "max_connections",
    "autovacuum_max_workers",
];

fn shipped(gigabytes: u64) -> String {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/postgres");
    std::fs::read_to_string(directory.join(format!("{gigabytes}gb.conf"))).unwrap()
}

/// Names and values, without comments.
fn settings(text: &str) -> BTreeMap<&str, &str> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let settings = lines.filter_map(|line| line.split_once(" = "));
    settings.collect()
}

/// A value with a unit, in MiB; a plain number as it is.
fn number(value: &str) -> u64 {
    let digits = value.trim_end_matches(|letter: char| !letter.is_ascii_digit());
    let number: u64 = digits.parse().unwrap();
    match &value[digits.len()..] {
        "GB" => number * 1024,
        "MB" | "" => number,
        unit => panic!("{unit}"),
    }
}

#[tokio::test]
async fn a_server_starts_with_each_and_knows_every_setting() {
    let binaries = Cluster::find_binaries().unwrap();
    for gigabytes in SIZES_GB {
        let dir = tempfile::Builder::new()
            .prefix("sh-settings")
            .tempdir_in("/tmp")
            .unwrap();
        std::fs::set_permissions(
            dir.path(),
            std::os::unix::fs::PermissionsExt::from_mode(0o755),
        )
        .unwrap();
        let config = ClusterConfig::in_state_dir(dir.path());
        Cluster::start(&config, &binaries).unwrap().stop().unwrap();
        let text = shipped(gigabytes);
        std::fs::OpenOptions::new()
            .append(true)
            .open(config.data_dir.join("postgresql.conf"))
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
        for name in OVERRULED {
            let mut postgres = binaries.client("postgres");
            let said = postgres
                .args(["-C", name, "-D"])
                .arg(&config.data_dir)
                .output();
            let said = String::from_utf8(said.unwrap().stdout).unwrap();
            let shipped = number(settings(&text)[name]);
            // Sizes are in pages of 8 kB.
            let pages = if name.ends_with("buffers") { 128 } else { 1 };
            assert_eq!(said.trim(), (shipped * pages).to_string(), "{name}");
        }
        // What takes memory at once is less on its command line.
        let cluster = Cluster::start(&config, &binaries).unwrap();
        let url = cluster.url();
        let wrong = format!(
            "SELECT count(*) FROM pg_file_settings WHERE error IS NOT NULL AND name NOT IN ('{}')",
            OVERRULED.join("','")
        );
        assert_eq!(number_in(&url, &wrong).await, 0, "{gigabytes} GB");
        let names = settings(&text).into_keys().map(|name| format!("'{name}'"));
        let names = names.collect::<Vec<_>>();
        let known = format!(
            "SELECT count(DISTINCT name) FROM pg_file_settings WHERE name IN ({})",
            names.join(",")
        );
        assert_eq!(number_in(&url, &known).await, names.len() as i64);
        let locks = "SELECT current_setting('max_locks_per_transaction')::bigint";
        assert_eq!(number_in(&url, locks).await, 512, "it is in force");
        cluster.stop().unwrap();
    }
}

#[test]
fn each_fits_its_machine() {
    for gigabytes in SIZES_GB {
        let (text, machine) = (shipped(gigabytes), gigabytes * 1024);
        let settings = settings(&text);
        let of = |name: &str| number(settings[name]);
        assert_eq!(of("shared_buffers"), machine / 4, "{gigabytes} GB");
        assert!(
            of("effective_cache_size") <= machine * 3 / 4,
            "{gigabytes} GB"
        );
        let vacuums = of("autovacuum_work_mem") * of("autovacuum_max_workers");
        // Half of the connections in the middle of a sort.
        let sorts = of("work_mem") * of("max_connections") / 2;
        let most = of("shared_buffers") + vacuums + of("maintenance_work_mem") + sorts;
        assert!(most <= machine * 3 / 4, "{gigabytes} GB: {most} MiB");
        assert!(of("max_slot_wal_keep_size") > of("max_wal_size"));
        assert_eq!(settings["synchronous_commit"], "on");
    }
}
