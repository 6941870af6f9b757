//! Each service's admin listener shows that service, also in one process.

use std::time::Duration;

use streamhaul_service_kit::{Context, launch, telemetry};

use crate::{Config, exchange, get};

async fn counting(_: Config, context: Context) -> anyhow::Result<()> {
    metrics::counter!("streamhaul_test_started_total", "service" => context.name).increment(1);
    let name = context.name;
    // Other threads of the service count for it too.
    tokio::task::spawn_blocking(move || {
        metrics::counter!("streamhaul_test_blocking_total", "service" => name).increment(1);
    })
    .await?;
    let thread = context.spawn_thread("own", move || {
        metrics::histogram!("streamhaul_test_wait_seconds", "service" => name).record(0.003);
    })?;
    tokio::task::spawn_blocking(|| thread.join())
        .await?
        .unwrap();
    context.readiness.set("work", Ok(()));
    context.shutdown.cancelled().await;
    Ok(())
}

#[test]
fn two_services_in_one_process_show_only_their_own_metrics() {
    let one = launch("one", Config::default(), counting).unwrap();
    let two = launch("two", Config::default(), counting).unwrap();
    for running in [&one, &two] {
        running.wait_ready(Duration::from_secs(10)).unwrap();
    }
    for (running, own, other) in [(&one, "one", "two"), (&two, "two", "one")] {
        let (status, text) = get(running.admin_addr(), "/metrics");
        assert_eq!(status, 200);
        for family in ["build_info", "test_started_total", "test_blocking_total"] {
            assert!(
                text.contains(&format!("streamhaul_{family}{{service=\"{own}\"")),
                "{text}"
            );
        }
        let bucket =
            format!("streamhaul_test_wait_seconds_bucket{{service=\"{own}\",le=\"0.005\"}} 1");
        assert!(text.contains(&bucket), "{text}");
        assert!(text.contains("process_resident_memory_bytes"), "{text}");
        assert!(!text.contains(&format!("service=\"{other}\"")), "{text}");
    }
    for running in [one, two] {
        running.shutdown();
        running.join().unwrap();
    }
}

#[test]
fn readyz_gives_the_reason_until_every_part_is_well() {
    let running = launch(
        "parts",
        Config::default(),
        |_: Config, context: Context| async move {
            context.readiness.expect("database");
            context.readiness.set("queue", Ok(()));
            context.shutdown.cancelled().await;
            Ok(())
        },
    )
    .unwrap();
    let address = running.admin_addr();
    assert_eq!(get(address, "/healthz").0, 200);
    while !get(address, "/readyz").1.contains("queue") {
        std::thread::yield_now();
    }
    let (status, body) = get(address, "/readyz");
    assert_eq!(
        (status, body.as_str()),
        (
            503,
            r#"{"ready":false,"parts":{"database":"starting","queue":"ok"}}"#
        )
    );
    assert!(
        running
            .wait_ready(Duration::ZERO)
            .unwrap_err()
            .to_string()
            .contains("database: starting")
    );
    assert_eq!(get(address, "/anything").0, 404);
    running.shutdown();
    running.join().unwrap();
}

#[test]
fn the_log_filter_is_replaced_by_a_valid_one_only() {
    let config = Config::default();
    telemetry::init("test", &config.kit.log, &config.kit.trace).unwrap();
    let running = launch("filter", config, |_: Config, context: Context| async move {
        context.shutdown.cancelled().await;
        Ok(())
    })
    .unwrap();
    let put = |text: &str| exchange(running.admin_addr(), "PUT", "/log-filter", text);
    assert_eq!(put("warn,streamhaul_api=debug").0, 204);
    let (status, reason) = put("streamhaul=nonsense");
    assert_eq!(status, 400, "{reason}");
    assert_eq!(put(&"x".repeat(5000)).0, 413);
    running.shutdown();
    running.join().unwrap();
}
