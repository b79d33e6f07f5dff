//! The view: of what the stream shows, over the commits that it names, or of what is stored alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::datasource::empty::EmptyTable;
use futures::future::try_join_all;
use vitral_catalog::{Catalog, Diagnostics, DomainSettings, Metric};
use vitral_engine::{EngineConfig, engine_session};
use vitral_panes::open_windows::OpenWindows;
use vitral_panes::plan::MetricPlan;
use vitral_panes::view::{
    Completeness, KeyedTableView, KeyedThrough, Live, MetricFailure, MetricView, TopicView, View,
};
use vitral_query::QueryError;
use vitral_query::remote::{FrameError, LivePart};
use vitral_schemas::health::Health;
use vitral_store::{KeyedPlan, KeyedTable, Layout, Location, MetricTable, stored_at};

use crate::error::FollowError;
use crate::followed::{Followed, Rows};
use crate::topics::{FollowedTopic, ShownTopic};

/// Everything that is stored of a catalog, as it is shown.
pub(crate) struct Tables {
    topics: Vec<FollowedTopic>,
    metrics: Vec<FollowedMetric>,
    keyed: Vec<FollowedKeyed>,
}

struct FollowedMetric {
    metric: Metric,
    /// What the catalog declares: another process may show another one under this name.
    version: String,
    schema: SchemaRef,
    store: Location,
    published: Followed<MetricTable>,
}

struct FollowedKeyed {
    plan: Arc<KeyedPlan>,
    store: Location,
    rows: Followed<KeyedTable>,
    /// When it was first seen that the stream keeps another version.
    other_since_ms: Option<i64>,
}

impl Tables {
    pub(crate) fn new(catalog: &Catalog, settings: &DomainSettings, store: &Location) -> Result<Self, QueryError> {
        let session = engine_session(EngineConfig::default())?;
        let (mut metrics, mut keyed) = (Vec::new(), Vec::new());
        for metric in &catalog.metrics {
            let Some(topic) = catalog.topic(&metric.topic) else { continue };
            let plan = MetricPlan::new(metric, topic, settings, &session)?;
            metrics.push(FollowedMetric {
                metric: metric.clone(),
                version: metric.version(settings, topic.lateness_ms),
                schema: Arc::clone(plan.rows_schema()),
                store: store.clone(),
                published: Followed::default(),
            });
        }
        for view in &catalog.keyed {
            let Some(topic) = catalog.topic(&view.topic) else { continue };
            let plan = KeyedPlan::new(view, topic, settings);
            let plan = Arc::new(plan.map_err(|errors| QueryError::Catalog(Diagnostics(errors)))?);
            keyed.push(FollowedKeyed { plan, store: store.clone(), rows: Followed::default(), other_since_ms: None });
        }
        let topics = catalog.topics.iter().map(|topic| FollowedTopic::new(topic.clone(), store.clone()));
        Ok(Self { topics: topics.collect(), metrics, keyed })
    }

    /// What the stream showed: of each table the commit that it names, and what it has not stored.
    pub(crate) async fn as_shown(
        &mut self,
        part: &LivePart,
        now_ms: i64,
        health: &Arc<Health>,
    ) -> Result<View, FollowError> {
        let topics = try_join_all(self.topics.iter_mut().map(|topic| async move {
            let name = topic.topic.name.clone();
            Ok::<_, FollowError>(topic.as_shown(part).await?.map(|shown| (name, shown)))
        }));
        let metrics = try_join_all(self.metrics.iter_mut().map(|metric| async move {
            let name = metric.metric.name.clone();
            Ok::<_, FollowError>(metric.as_shown(part).await?.map(|shown| (name, shown)))
        }));
        let keyed = try_join_all(self.keyed.iter_mut().map(|keyed| async move {
            let name = keyed.plan.view.name.clone();
            Ok::<_, FollowError>(keyed.as_shown(part, now_ms).await?.map(|shown| (name, shown)))
        }));
        let (topics, metrics, keyed) = futures::try_join!(topics, metrics, keyed)?;
        let metrics = metrics.into_iter().flatten().collect();
        let view = view_of(topics.into_iter().flatten(), metrics, keyed.into_iter().flatten().collect(), health);
        Ok(View { topics_waiting: part.topics_waiting.clone(), ..view })
    }

    /// What is stored, and nothing else.
    pub(crate) async fn as_stored(
        &mut self,
        live: Live,
        now_ms: i64,
        health: &Arc<Health>,
    ) -> Result<View, FollowError> {
        let topics = try_join_all(self.topics.iter_mut().map(|topic| async move {
            let name = topic.topic.name.clone();
            Ok::<_, FollowError>((name, topic.as_stored(live).await?))
        }));
        let metrics = try_join_all(self.metrics.iter_mut().map(|metric| async move {
            let name = metric.metric.name.clone();
            Ok::<_, FollowError>((name, metric.as_stored().await?))
        }));
        let keyed = try_join_all(self.keyed.iter_mut().map(|keyed| async move {
            let name = keyed.plan.view.name.clone();
            Ok::<_, FollowError>(keyed.as_stored(live, now_ms).await?.map(|shown| (name, shown)))
        }));
        let (topics, metrics, keyed) = futures::try_join!(topics, metrics, keyed)?;
        let mut metrics: BTreeMap<String, MetricView> = metrics.into_iter().collect();
        for (name, topic) in &topics {
            for metric in metrics.values_mut().filter(|metric| metric.topic == *name) {
                metric.completeness = topic.view.completeness.clone();
            }
        }
        Ok(view_of(topics.into_iter(), metrics, keyed.into_iter().flatten().collect(), health))
    }
}

fn view_of(
    topics: impl Iterator<Item = (String, ShownTopic)>,
    metrics: BTreeMap<String, MetricView>,
    keyed: BTreeMap<String, KeyedTableView>,
    health: &Arc<Health>,
) -> View {
    let mut view = View { ready: true, metrics, keyed, health: Arc::clone(health), ..View::default() };
    for (name, ShownTopic { view: TopicView { archive, tail, completeness }, watermark }) in topics {
        view.committed_watermarks.extend(watermark.map(|watermark| (name.clone(), watermark)));
        view.topics.insert(name, TopicView { archive, tail, completeness });
    }
    view
}

impl FollowedMetric {
    /// As the stream shows it; none if it does not.
    async fn as_shown(&mut self, part: &LivePart) -> Result<Option<MetricView>, FollowError> {
        let Some(shown) = part.metrics.get(&self.metric.name) else {
            // Declared alike, it waits for its topic.
            let is_declared = part.versions.get(&self.metric.name) == Some(&self.version);
            return if is_declared { Ok(None) } else { self.as_other_version(part).await.map(Some) };
        };
        if part.versions.get(&self.metric.name) != Some(&self.version) {
            return self.as_other_version(part).await.map(Some);
        }
        // What is shown while a new version's history is computed may have other columns.
        let open = part.rows(shown.open)?;
        let published = match &shown.stored {
            None => Arc::new(EmptyTable::new(Arc::clone(&open.schema))) as Rows,
            Some(stored) => {
                let places = Layout::of(&self.store).metrics();
                let table = MetricTable::follow(&self.metric.name, &stored.folder, &places);
                let found = self.published.at(stored, table).await?;
                found
                    .ok_or_else(|| FollowError::NotStored { name: self.metric.name.clone(), stored: stored.clone() })?
            }
        };
        if open.batches.len() != shown.starts.len() {
            return Err(FrameError::Damaged("it has other windows than it names").into());
        }
        let windows = shown.starts.iter().copied().zip(open.batches.iter().cloned()).collect();
        Ok(Some(MetricView {
            schema: Arc::clone(&open.schema),
            published,
            published_through_ms: shown.published_through_ms,
            open: Arc::new(OpenWindows::of_rows(windows)),
            completeness: (&shown.completeness).into(),
            failure: shown.failure.as_ref().map(Into::into),
            ..self.nothing()
        }))
    }

    /// Its own published windows, next to a stream that computes something else under this name.
    async fn as_other_version(&mut self, part: &LivePart) -> Result<MetricView, FollowError> {
        let of_topic = part.topics.get(&self.metric.topic).map(|topic| Completeness::from(&topic.completeness));
        let completeness = Completeness { live: Live::OtherVersion, ..of_topic.unwrap_or_default() };
        Ok(MetricView { completeness, ..self.as_stored().await? })
    }

    /// Its own published windows; how complete its topic is is not known here.
    async fn as_stored(&mut self) -> Result<MetricView, FollowError> {
        let places = Layout::of(&self.store).metrics();
        let table = MetricTable::follow(&self.metric.name, &self.version, &places);
        let Some(published) = self.published.newest(&self.version, table).await? else { return Ok(self.nothing()) };
        let published_through_ms = self.published.table().and_then(MetricTable::published_through_ms);
        let failure = MetricTable::failure(&self.metric.name, &self.version, &places).await?;
        let failure = failure.map(|(since_ms, reason)| MetricFailure { reason, since_ms, is_set_aside: true });
        Ok(MetricView { published, published_through_ms, failure, ..self.nothing() })
    }

    fn nothing(&self) -> MetricView {
        MetricView {
            topic: self.metric.topic.clone(),
            window: self.metric.window,
            schema: Arc::clone(&self.schema),
            published: Arc::new(EmptyTable::new(Arc::clone(&self.schema))),
            published_through_ms: None,
            open: Arc::default(),
            open_at_commit: None,
            completeness: Completeness::default(),
            failure: None,
        }
    }
}

impl FollowedKeyed {
    /// As the stream shows it; none if it does not.
    async fn as_shown(&mut self, part: &LivePart, now_ms: i64) -> Result<Option<KeyedTableView>, FollowError> {
        let name = &self.plan.view.name;
        if part.versions.get(name) != Some(&self.plan.version) {
            return self.as_stored(Live::OtherVersion, now_ms).await;
        }
        self.other_since_ms = None;
        let Some(shown) = part.keyed.get(name) else { return Ok(None) };
        let rows = match &shown.stored {
            None => Arc::new(EmptyTable::new(Arc::clone(self.plan.rows_schema()))) as Rows,
            Some(stored) => {
                let table = KeyedTable::follow(&self.plan, &stored.folder, &self.store);
                let found = self.rows.at(stored, table).await?;
                found.ok_or_else(|| FollowError::NotStored { name: name.clone(), stored: stored.clone() })?
            }
        };
        let commit = shown.stored.as_ref().map(|stored| stored.commit);
        let through = Arc::new(KeyedThrough { commit, log: shown.log.clone(), offsets: shown.offsets.clone() });
        let failure = shown.failure.as_ref().map(Into::into);
        Ok(Some(KeyedTableView { through, since_ms: shown.since_ms, failure, ..self.view(rows) }))
    }

    /// What is stored; none if nothing is. Of another version than the stream's it does not go on.
    async fn as_stored(&mut self, live: Live, now_ms: i64) -> Result<Option<KeyedTableView>, FollowError> {
        // Which folder its states are in is found out once.
        let known = self.rows.table().map(|table| table.version().to_owned());
        let folder = match known {
            Some(folder) => folder,
            None => match KeyedTable::read(&self.plan, &self.store).await? {
                Some(table) => table.version().to_owned(),
                None => return Ok(None),
            },
        };
        let table = KeyedTable::follow(&self.plan, &folder, &self.store);
        let Some(rows) = self.rows.newest(&folder, table).await? else { return Ok(None) };
        let (mut since_ms, mut failure) = (None, None);
        if let Some(table) = self.rows.table() {
            since_ms = table.since_ms().await?;
            failure = table.failure().await?;
        }
        let failure = failure.map(|(since_ms, reason)| MetricFailure { reason, since_ms, is_set_aside: true });
        let other_since_ms = *self.other_since_ms.get_or_insert(now_ms);
        let other = || {
            let reason = "the stream keeps another version of it: these rows are as they were stored; start both with the same catalog";
            MetricFailure { reason: reason.to_owned(), since_ms: other_since_ms, is_set_aside: true }
        };
        let failure = failure.or_else(|| (live == Live::OtherVersion).then(other));
        let commit = stored_at(&rows).map(|stored| stored.commit);
        let through = Arc::new(KeyedThrough { commit, ..KeyedThrough::default() });
        Ok(Some(KeyedTableView { through, since_ms, failure, ..self.view(rows) }))
    }

    fn view(&self, rows: Rows) -> KeyedTableView {
        KeyedTableView {
            topic: self.plan.topic.name.clone(),
            keys: self.plan.view.keys.clone(),
            rows,
            through: Arc::default(),
            since_ms: None,
            failure: None,
        }
    }
}
