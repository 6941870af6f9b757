//! One metrics recorder per service, so that several services in one process
//! each show their own.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use metrics_exporter_prometheus::{
    BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

use crate::exposition::Exposition;

/// The buckets of every histogram that ends in `_seconds`: 50 µs to 30 s.
pub const SECONDS_BUCKETS: &[f64] = &[
    0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
    1.0, 2.5, 5.0, 10.0, 30.0,
];

/// How often histograms are folded; without it they grow until scraped.
pub(crate) const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// A service's recorder. Lives as long as the process.
#[derive(Clone)]
pub struct Recorder {
    recorder: &'static PrometheusRecorder,
    handle: PrometheusHandle,
    pages: Arc<Mutex<Vec<Page>>>,
}

/// Writes metrics that the recorder does not have, at each scrape.
type Page = Arc<dyn Fn(&mut Exposition) + Send + Sync>;

impl Recorder {
    /// Makes a recorder for one service.
    ///
    /// # Errors
    /// When the buckets are refused.
    pub fn new() -> Result<Self, BuildError> {
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS_BUCKETS)?
            .build_recorder();
        let handle = recorder.handle();
        Ok(Self {
            recorder: Box::leak(Box::new(recorder)),
            handle,
            pages: Arc::default(),
        })
    }

    pub(crate) fn add_page(&self, page: Page) {
        let pages = self.pages.lock();
        pages.unwrap_or_else(PoisonError::into_inner).push(page);
    }

    /// Makes this the recorder of the calling thread, until the thread ends.
    pub fn install_on_thread(&self) {
        // The guard would restore the former recorder; a service's thread has none.
        std::mem::forget(metrics::set_default_local_recorder(self.recorder));
    }

    /// What a scrape shows.
    #[must_use]
    pub fn render(&self) -> String {
        let pages = self.pages.lock();
        let pages = pages.unwrap_or_else(PoisonError::into_inner).clone();
        let mut exposition = Exposition::default();
        pages.iter().for_each(|page| page(&mut exposition));
        self.handle.render() + &exposition.into_text()
    }

    pub(crate) async fn keep_up(self) {
        loop {
            tokio::time::sleep(UPKEEP_INTERVAL).await;
            self.handle.run_upkeep();
        }
    }
}
