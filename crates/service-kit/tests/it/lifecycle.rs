//! How a service ends: as asked, too late, or by its own fault.

use streamhaul_service_kit::{Context, launch};

use crate::Config;

fn config(deadline_seconds: u64) -> Config {
    let mut config = Config::default();
    config.kit.shutdown_deadline_seconds = deadline_seconds;
    config
}

#[test]
fn a_service_that_ignores_the_stop_is_given_up() {
    let running = launch("deaf", config(0), |_: Config, _: Context| {
        std::future::pending()
    })
    .unwrap();
    running.shutdown();
    let error = running.join().unwrap_err().to_string();
    assert!(error.contains("deaf did not stop"), "{error}");
}

#[test]
fn errors_and_panics_reach_whoever_joins() {
    let failing = launch("failing", config(1), |_: Config, _: Context| async {
        anyhow::bail!("no database")
    });
    assert_eq!(
        failing.unwrap().join().unwrap_err().to_string(),
        "no database"
    );
    let panicking = launch("panicking", config(1), |_: Config, _: Context| async {
        panic!("on purpose")
    });
    assert!(
        panicking
            .unwrap()
            .join()
            .unwrap_err()
            .to_string()
            .contains("panicked")
    );
}

#[test]
fn a_taken_admin_address_and_a_bad_configuration_stop_the_start() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut occupied = config(1);
    occupied.kit.admin.listen = taken.local_addr().unwrap();
    let service = |_: Config, _: Context| async { Ok(()) };
    let error = launch("late", occupied, service).err().unwrap().to_string();
    assert!(
        error.contains(&taken.local_addr().unwrap().to_string()),
        "{error}"
    );
    let lazy = Config {
        workers: 0,
        ..Config::default()
    };
    let error = launch("lazy", lazy, service).err().unwrap().to_string();
    assert!(error.contains("workers"), "{error}");
}
