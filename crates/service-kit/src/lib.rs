//! One start-up for every service: configuration, telemetry, admin listener, shutdown.
