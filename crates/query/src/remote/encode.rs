//! The stream's side: a view as bytes.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Instant;

use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use datafusion::error::DataFusionError;
use vitral_catalog::{Catalog, Diagnostics, DomainSettings};
use vitral_panes::open_windows::OpenWindows;
use vitral_panes::view::{KeyedTableView, MetricView, TopicView, View};
use vitral_schemas::health::Bounds;
use vitral_store::{KeyedPlan, stored_at};

use super::frame;
use super::part::{KeyedPart, LivePart, MetricPart, TopicPart, TroublePart};
use crate::error::QueryError;
use crate::open_rows::make_open_rows;

/// Makes bytes of a process's views, one after the other.
#[derive(Debug)]
pub struct Encoder {
    versions: BTreeMap<String, String>,
    topics: BTreeMap<String, SchemaRef>,
    bounds: Bounds,
    bytes_max: usize,
    /// Blocks of metrics whose open windows are those of the last view.
    open: BTreeMap<String, (Weak<OpenWindows>, Bytes)>,
}

/// The blocks of one part.
struct Blocks {
    blocks: Vec<Bytes>,
    bytes: usize,
    bytes_max: usize,
}

impl Encoder {
    /// Of a catalog; parts of more than so many bytes are refused.
    ///
    /// # Errors
    /// A table that is kept up to date cannot be planned.
    pub fn new(
        catalog: &Catalog,
        settings: &DomainSettings,
        bounds: Bounds,
        bytes_max: usize,
    ) -> Result<Self, QueryError> {
        let topics = catalog.topics.iter().map(|topic| (topic.name.clone(), topic.schema()));
        let versions = versions(catalog, settings)?;
        Ok(Self { versions, topics: topics.collect(), bounds, bytes_max, open: BTreeMap::new() })
    }

    /// The live part of a view, under this name.
    ///
    /// # Errors
    /// It would be larger than it may be.
    pub async fn encode(&mut self, view: &View, epoch: String) -> Result<Bytes, QueryError> {
        let mut blocks = Blocks { blocks: Vec::new(), bytes: 0, bytes_max: self.bytes_max };
        let mut part = LivePart {
            epoch,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            versions: self.versions.clone(),
            topics_waiting: view.topics_waiting.clone(),
            troubles: view.health.troubles(self.bounds, Instant::now()).into_iter().map(TroublePart::from).collect(),
            keyed: view.keyed.iter().map(|(name, shown)| (name.clone(), keyed_part(shown))).collect(),
            ..LivePart::default()
        };
        let watermarks = view.committed_watermarks.iter();
        part.committed_watermarks_ms = watermarks.map(|(name, watermark)| (name.clone(), watermark.ms())).collect();
        for (name, shown) in &view.topics {
            let Some(schema) = self.topics.get(name) else { continue };
            part.topics.insert(name.clone(), topic_part(schema, shown, &mut blocks)?);
        }
        for (name, shown) in &view.metrics {
            let metric = self.metric_part(name, shown, &mut blocks).await?;
            part.metrics.insert(name.clone(), metric);
        }
        let bytes = frame::write(&part, &blocks.blocks);
        bytes.map_err(|error| QueryError::Engine(DataFusionError::External(Box::new(error))))
    }

    async fn metric_part(
        &mut self,
        name: &str,
        shown: &MetricView,
        blocks: &mut Blocks,
    ) -> Result<MetricPart, QueryError> {
        make_open_rows(shown).await?;
        let known = self.open.get(name).filter(|(of, _)| Weak::as_ptr(of) == Arc::as_ptr(&shown.open));
        let block = match known {
            Some((_, block)) => block.clone(),
            None => {
                let (open, schema) = (Arc::clone(&shown.open), Arc::clone(&shown.schema));
                // Away from the threads that answer.
                let made = tokio::task::spawn_blocking(move || frame::block(&schema, open.rows().values())).await;
                let block = made.map_err(|error| QueryError::Engine(DataFusionError::External(Box::new(error))))??;
                self.open.insert(name.to_owned(), (Arc::downgrade(&shown.open), block.clone()));
                block
            }
        };
        Ok(MetricPart {
            stored: stored_at(&shown.published),
            published_through_ms: shown.published_through_ms,
            open: blocks.add(block)?,
            starts: shown.open.rows().keys().copied().collect(),
            completeness: (&shown.completeness).into(),
            failure: shown.known_failure().map(Into::into),
        })
    }
}

impl Blocks {
    fn add(&mut self, block: Bytes) -> Result<usize, QueryError> {
        self.bytes += block.len();
        if self.bytes > self.bytes_max {
            return Err(QueryError::TooLarge(self.bytes_max));
        }
        self.blocks.push(block);
        Ok(self.blocks.len() - 1)
    }
}

fn topic_part(schema: &SchemaRef, shown: &TopicView, blocks: &mut Blocks) -> Result<TopicPart, QueryError> {
    let tail = blocks.add(frame::block(schema, shown.tail.iter())?)?;
    Ok(TopicPart { stored: stored_at(&shown.archive), tail, completeness: (&shown.completeness).into() })
}

fn keyed_part(shown: &KeyedTableView) -> KeyedPart {
    KeyedPart {
        stored: stored_at(&shown.rows),
        log: shown.through.log.clone(),
        offsets: shown.through.offsets.clone(),
        since_ms: shown.since_ms,
        failure: shown.failure.clone().map(Into::into),
    }
}

/// What each metric and table computes, as its stored rows are called.
pub(super) fn versions(catalog: &Catalog, settings: &DomainSettings) -> Result<BTreeMap<String, String>, QueryError> {
    let mut versions = BTreeMap::new();
    for metric in &catalog.metrics {
        if let Some(topic) = catalog.topic(&metric.topic) {
            versions.insert(metric.name.clone(), metric.version(settings, topic.lateness_ms));
        }
    }
    for view in &catalog.keyed {
        if let Some(topic) = catalog.topic(&view.topic) {
            let plan = KeyedPlan::new(view, topic, settings);
            let plan = plan.map_err(|errors| QueryError::Catalog(Diagnostics(errors)))?;
            versions.insert(view.name.clone(), plan.version);
        }
    }
    Ok(versions)
}
