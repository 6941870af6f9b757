//! Traces that go on elsewhere and later: W3C Trace Context as text, for what is put into a
//! queue, or comes with a call.

use std::collections::HashMap;

use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::TraceContextExt as _;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// The header and the field that carry it.
pub const TRACEPARENT: &str = "traceparent";

/// The longest `traceparent` that is taken: version 00 has 55 characters.
pub const TRACEPARENT_LENGTH_MAX: usize = 128;

/// The `traceparent` of the span that we are in; none while nothing is traced.
#[must_use]
pub fn current() -> Option<String> {
    let context = Span::current().context();
    if !context.span().span_context().is_valid() {
        return None;
    }
    let mut carrier = HashMap::new();
    TraceContextPropagator::new().inject_context(&context, &mut carrier);
    carrier.remove(TRACEPARENT)
}

/// Whether a text is a `traceparent` (W3C Trace Context, section 3.2.2). The propagator
/// would also take parts of other lengths.
#[must_use]
pub fn is_valid(traceparent: &str) -> bool {
    let lengths: Vec<usize> = traceparent.split('-').map(str::len).collect();
    let context = extract(traceparent);
    lengths.starts_with(&[2, 32, 16, 2]) && context.span().span_context().is_valid()
}

/// Makes a span that nobody has entered yet the child of a `traceparent`; one that is not
/// valid is left out.
pub fn continue_from(span: &Span, traceparent: &str) {
    if is_valid(traceparent) {
        // Refused only while nothing is traced.
        let _ = span.set_parent(extract(traceparent));
    }
}

fn extract(traceparent: &str) -> opentelemetry::Context {
    let carrier = HashMap::from([(TRACEPARENT.to_owned(), traceparent.to_owned())]);
    let nothing = opentelemetry::Context::new();
    TraceContextPropagator::new().extract_with_context(&nothing, &carrier)
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::TracerProvider as _;
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_span_goes_on_from_where_it_was_told() {
        let tracer = SdkTracerProvider::builder().build().tracer("test");
        let layer = tracing_opentelemetry::layer().with_tracer(tracer);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            let span = tracing::info_span!("job");
            continue_from(&span, PARENT);
            let inside = span.in_scope(current).unwrap();
            assert_eq!(inside[..36], PARENT[..36], "the same trace");
            assert_ne!(inside, PARENT, "another span");
        });
    }

    #[test]
    fn nonsense_is_no_trace() {
        assert!(is_valid(PARENT));
        for bad in ["", "00-0-0-00", &"0".repeat(55), &PARENT[1..]] {
            assert!(!is_valid(bad), "{bad}");
        }
        assert_eq!(current(), None, "nothing is traced here");
    }
}
