//! The check that runs beside the stream: each hour is reconciled once all metrics have published it for good, and what was found,
//! by this or by command, is shown.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use chrono::Utc;
use tokio::sync::watch;
use vitral_batch::BatchError;
use vitral_batch::reconcile::offsets::{self, Seen};
use vitral_batch::reconcile::results::{self, Results, Run};
use vitral_batch::reconcile::{Range, reconcile};
use vitral_schemas::catalog::{Catalog, ShopSettings};
use vitral_schemas::reconciliation::{BY_ITSELF, ReconciliationReceiver, schema};
use vitral_schemas::view::{View, ViewReceiver};
use vitral_store::Location;

const HOUR_MS: i64 = 3_600_000;
/// How often it is looked for hours that became final, and for results of commands.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Results that are shown; a week of hours of six metrics.
const SHOWN: usize = 1_008;

pub struct Proof {
    catalog: Arc<Catalog>,
    settings: ShopSettings,
    store: Location,
    view: ViewReceiver,
    hourly: bool,
    results: Results,
    shown: watch::Sender<Arc<RecordBatch>>,
    /// Hours before this are proved; none before the first.
    proved_until_ms: Option<i64>,
    seen: Seen,
}

impl Proof {
    /// The check, to be run, and what it shows.
    pub fn new(
        catalog: Arc<Catalog>,
        settings: ShopSettings,
        store: Location,
        view: ViewReceiver,
        hourly: bool,
    ) -> (Self, ReconciliationReceiver) {
        let (shown, receiver) = watch::channel(Arc::new(RecordBatch::new_empty(schema())));
        let results = Results::new(store.clone());
        let proof =
            Self { catalog, settings, store, view, hourly, results, shown, proved_until_ms: None, seen: Seen::new() };
        (proof, receiver)
    }

    /// Runs until it is dropped. What fails is told and tried again.
    pub async fn run(mut self) {
        if self.view.wait_for(|view| view.ready).await.is_err() {
            return;
        }
        loop {
            if let Err(error) = self.look().await {
                let error = anyhow::Error::new(error);
                tracing::warn!(error = format!("{error:#}"), "the hourly check could not be made; trying again");
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn look(&mut self) -> Result<(), BatchError> {
        self.show().await?;
        let view = Arc::clone(&self.view.borrow());
        if let Some(range) = self.due(&view) {
            let started = Instant::now();
            let compared = reconcile(&self.catalog, &self.settings, &self.store, range, None).await?;
            let mut breaks = 0;
            for topic in &self.catalog.topics {
                let (partitions, found) = offsets::check(topic, &self.store, &self.seen).await?;
                for found in &found {
                    tracing::error!(topic = topic.name, ?found, "the archive's offsets do not go on as they should");
                }
                // What is wrong is looked at again, so that it is said until it is mended.
                if found.is_empty() {
                    self.seen.extend(partitions.into_iter().map(|known| ((known.log, known.partition), known.next)));
                }
                breaks += found.len();
            }
            for metric in compared.iter().filter(|metric| metric.differs()) {
                tracing::error!(
                    metric = metric.metric,
                    differences = metric.differences.num_rows(),
                    "published rows differ from the archive: run vitral reconcile"
                );
            }
            let run = Run {
                origin: BY_ITSELF,
                range,
                ended_ms: Utc::now().timestamp_millis(),
                took_ms: i64::try_from(started.elapsed().as_millis()).unwrap_or(i64::MAX),
                breaks,
                is_after_repair: false,
            };
            results::record(&self.store, results::rows(&run, &compared)?).await?;
            self.proved_until_ms = Some(range.to_ms);
            self.show().await?;
        }
        Ok(())
    }

    /// The hours that became final since the last check.
    fn due(&self, view: &View) -> Option<Range> {
        if !self.hourly {
            return None;
        }
        // An hour is final for a metric once its last window that starts in it is published.
        let final_until = self.catalog.metrics.iter().map(|metric| {
            let topic = self.catalog.topic(&metric.topic)?;
            let shown = view.metrics.get(&metric.name)?;
            let longest_ms = vitral_schemas::window::Windows::new(metric.window, self.settings.time_zone).longest_ms();
            // Days and months are proved when they are asked for: their hours would wait for a month.
            let waits = longest_ms <= HOUR_MS;
            waits.then_some(shown.published_through_ms? - topic.lateness_ms - longest_ms)
        });
        let to_ms = final_until.flatten().min()?.div_euclid(HOUR_MS) * HOUR_MS;
        let from_ms = self.proved_until_ms.unwrap_or(to_ms - HOUR_MS);
        (from_ms < to_ms).then_some(Range { from_ms, to_ms })
    }

    async fn show(&mut self) -> Result<(), BatchError> {
        if let Some(rows) = self.results.changed(SHOWN).await? {
            self.shown.send_replace(Arc::new(rows));
        }
        Ok(())
    }
}
