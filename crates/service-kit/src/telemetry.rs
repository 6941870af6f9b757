//! Logs and traces of the process.

use std::sync::OnceLock;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

use crate::config::{LogConfig, LogFormat, TraceConfig};

static FILTER: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// Why logs or traces cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log filter is not one.
    #[error("log filter `{filter}`: {reason}")]
    Filter {
        /// The text given.
        filter: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The trace exporter refused its settings.
    #[error("trace exporter: {0}")]
    Exporter(String),
    /// Logs were never set up in this process.
    #[error("logs are not set up in this process")]
    NotSetUp,
}

type BoxedLayer = Box<dyn Layer<Layered> + Send + Sync>;
type Layered = tracing_subscriber::layer::Layered<reload::Layer<EnvFilter, Registry>, Registry>;

/// Sets the process's logs and traces up; the first call wins, later ones only
/// check their filter.
///
/// # Errors
/// When the filter or the trace endpoint is not usable.
pub fn init(process: &'static str, log: &LogConfig, trace: &TraceConfig) -> Result<(), Error> {
    let filter = parse_filter(&log.filter)?;
    if FILTER.get().is_some() {
        return Ok(());
    }
    let (filter, handle) = reload::Layer::new(filter);
    let mut layers: Vec<BoxedLayer> = vec![format_layer(log.format)];
    if let Some(endpoint) = &trace.otlp_endpoint {
        let tracer = trace_provider(process, endpoint)?.tracer(process);
        layers.push(tracing_opentelemetry::layer().with_tracer(tracer).boxed());
    }
    // Tests may have set a subscriber of their own up; theirs stays.
    if tracing_subscriber::registry()
        .with(filter)
        .with(layers)
        .try_init()
        .is_ok()
    {
        let _ = FILTER.set(handle);
    }
    Ok(())
}

/// Replaces the process's log filter.
///
/// # Errors
/// When the text is not a filter or logs were never set up.
pub fn set_filter(text: &str) -> Result<(), Error> {
    let filter = parse_filter(text)?;
    let handle = FILTER.get().ok_or(Error::NotSetUp)?;
    handle.reload(filter).map_err(|_| Error::NotSetUp)
}

fn parse_filter(text: &str) -> Result<EnvFilter, Error> {
    EnvFilter::builder()
        .parse(text)
        .map_err(|error| Error::Filter {
            filter: text.to_owned(),
            reason: error.to_string(),
        })
}

fn format_layer(format: LogFormat) -> BoxedLayer {
    let layer = fmt::layer().with_writer(std::io::stderr);
    match format {
        LogFormat::Text => layer
            .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
            .boxed(),
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
    }
}

fn trace_provider(process: &'static str, endpoint: &str) -> Result<SdkTracerProvider, Error> {
    let refused = |error: &dyn std::fmt::Display| Error::Exporter(error.to_string());
    // The exporter's connection lives on a runtime of its own, so that it
    // outlasts every service's.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("traces")
        .enable_all()
        .build()
        .map_err(|error| refused(&error))?;
    let runtime = Box::leak(Box::new(runtime));
    let _inside = runtime.enter();
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .build()
        .map_err(|error| refused(&error))?;
    let resource = opentelemetry_sdk::Resource::builder()
        .with_service_name(format!("streamhaul-{process}"))
        .build();
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(resource)
        .build())
}
