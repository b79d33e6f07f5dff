//! Metrics and tables that are kept up to date, as jobs and checks read them: final windows, and
//! the rows of the last commit.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::DataType;
use chrono_tz::Tz;
use datafusion::catalog::TableProvider;
use datafusion::datasource::empty::EmptyTable;
use datafusion::datasource::{ViewTable, provider_as_source};
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, cast, ident, lit};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use vitral_catalog::{Catalog, Diagnostics, DomainSettings, KeyedView, Metric, WINDOW_END_COLUMN, WINDOW_START_COLUMN};
use vitral_engine::{EngineConfig, engine_session};
use vitral_panes::PanesError;
use vitral_panes::plan::MetricPlan;
use vitral_schemas::topic::Topic;
use vitral_schemas::window::{Window, Windows};
use vitral_store::{KeyedPlan, KeyedTable, Layout, Location, MetricProgress, MetricTable};

use super::{Span, instant};
use crate::error::BatchError;

/// In the API, whether a window can still change. No window that jobs see can.
const PROVISIONAL_COLUMN: &str = "provisoria";

/// How far something that is kept had come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Progress {
    /// A metric's final windows.
    Windows(MetricProgress),
    /// A table's version, and the number of its last commit.
    Rows { version: String, commit: Option<u64> },
}

/// Rows that are kept, and how far they had come when they were opened.
#[derive(Debug, Clone)]
pub(crate) struct KeptRows {
    pub rows: Arc<dyn TableProvider>,
    /// None if nothing is stored.
    pub progress: Option<Progress>,
    /// Of a metric: how its windows lie in time, and how long after its end one is final, in
    /// milliseconds.
    pub window: Option<(Window, i64)>,
    /// The topic that it is made of.
    pub topic: String,
}

/// What is different from an earlier time.
pub(crate) enum Changed {
    Nothing,
    /// Windows that this condition names.
    Windows(Expr),
    /// Any windows: also such that are not there any more.
    AllWindows,
    /// Any rows.
    Rows,
}

/// Of a metric, when its windows are final.
pub(crate) struct Published {
    pub windows: Windows,
    pub lateness_ms: i64,
}

impl KeptRows {
    pub(crate) fn published(&self, zone: Tz) -> Option<Published> {
        let (window, lateness_ms) = self.window?;
        Some(Published { windows: Windows::new(window, zone), lateness_ms })
    }

    /// Of a metric, the watermark through which windows are published.
    pub(crate) fn through_ms(&self) -> Option<i64> {
        match &self.progress {
            Some(Progress::Windows(progress)) => progress.through_ms,
            Some(Progress::Rows { .. }) | None => None,
        }
    }

    /// What has changed since; everything, if that is not known.
    pub(crate) fn changed_since(&self, earlier: Option<&Progress>) -> Changed {
        match (&self.progress, earlier) {
            (None, _) => Changed::Nothing,
            (now, earlier) if now.as_ref() == earlier => Changed::Nothing,
            (Some(Progress::Windows(now)), Some(Progress::Windows(earlier))) if now.only_adds_to(earlier) => {
                let lateness_ms = self.window.map_or(0, |(_, lateness_ms)| lateness_ms);
                Changed::Windows(match earlier.through_ms {
                    Some(through_ms) => ident(WINDOW_END_COLUMN).gt(instant(through_ms - lateness_ms)),
                    None => lit(true),
                })
            }
            (Some(Progress::Windows(_)), _) => Changed::AllWindows,
            (Some(Progress::Rows { .. }), _) => Changed::Rows,
        }
    }
}

/// Opens what is kept when a statement names it: a job that names none costs nothing.
#[derive(Debug)]
pub(super) struct Kept<'a> {
    catalog: &'a Catalog,
    settings: &'a DomainSettings,
    /// Nowhere, for planning alone.
    store: Option<Location>,
    opened: Mutex<BTreeMap<String, KeptRows>>,
}

impl<'a> Kept<'a> {
    pub(super) fn new(catalog: &'a Catalog, settings: &'a DomainSettings, store: Option<Location>) -> Self {
        Self { catalog, settings, store, opened: Mutex::default() }
    }

    /// The rows of a metric or table, the same ones each time; none if the catalog has no such
    /// thing.
    pub(super) async fn rows(&self, name: &str) -> Result<Option<KeptRows>, BatchError> {
        let mut opened = self.opened.lock().await;
        if let Some(known) = opened.get(name) {
            return Ok(Some(known.clone()));
        }
        let found = match (self.catalog.metric(name), self.catalog.keyed_view(name)) {
            (Some(metric), _) => self.catalog.topic(&metric.topic).map(|topic| (topic, Some(metric), None)),
            (None, Some(view)) => self.catalog.topic(&view.topic).map(|topic| (topic, None, Some(view))),
            (None, None) => None,
        };
        let rows = match found {
            Some((topic, Some(metric), _)) => self.windows(metric, topic).await?,
            Some((topic, _, Some(view))) => self.states(view, topic).await?,
            _ => return Ok(None),
        };
        opened.insert(name.to_owned(), rows.clone());
        Ok(Some(rows))
    }

    async fn windows(&self, metric: &Metric, topic: &Topic) -> Result<KeptRows, BatchError> {
        let failed = BatchError::engine(&metric.name, "planned");
        let session = engine_session(EngineConfig::default()).map_err(&failed)?;
        let plan = MetricPlan::new(metric, topic, self.settings, &session);
        let plan = plan.map_err(|error| match error {
            PanesError::Unsupported(error) => BatchError::Catalog(error),
            other => other.into(),
        })?;
        let schema = plan.rows_schema();
        let version = metric.version(self.settings, topic.lateness_ms);
        let (mut rows, mut progress) = (None, None);
        if let Some(store) = &self.store {
            let place = Layout::of(store).metrics();
            // How far before which rows: what is published in between is read again by the next
            // run.
            progress = MetricTable::progress(&metric.name, &version, &place).await?.map(Progress::Windows);
            rows = MetricTable::rows(&metric.name, &version, &place).await?.map(|(rows, _)| rows);
        }
        let rows = rows.unwrap_or_else(|| Arc::new(EmptyTable::new(Arc::clone(schema))));
        let columns = || {
            let found = rows.schema();
            let column = |name: &String, data_type: &DataType| match found.field_with_name(name) {
                Ok(field) if field.data_type() == data_type => ident(name),
                _ => cast(ident(name), data_type.clone()).alias(name),
            };
            let own = schema.fields().iter().map(|field| column(field.name(), field.data_type()));
            let columns: Vec<Expr> = own.chain([lit(false).alias(PROVISIONAL_COLUMN)]).collect();
            LogicalPlanBuilder::scan("linhas", provider_as_source(Arc::clone(&rows)), None)?.project(columns)?.build()
        };
        let plan = columns().map_err(&failed)?;
        let window = Some((metric.window, topic.lateness_ms));
        let rows = Arc::new(ViewTable::new(plan, None));
        Ok(KeptRows { rows, progress, window, topic: topic.name.clone() })
    }

    async fn states(&self, view: &KeyedView, topic: &Topic) -> Result<KeptRows, BatchError> {
        let plan = KeyedPlan::new(view, topic, self.settings);
        let plan = Arc::new(plan.map_err(|errors| BatchError::Unplanned(Diagnostics(errors)))?);
        let table = match &self.store {
            Some(store) => KeyedTable::read(&plan, store).await?,
            None => None,
        };
        let (rows, progress): (Arc<dyn TableProvider>, _) = match table {
            Some(table) => {
                if let Some((_, reason)) = table.failure().await? {
                    return Err(BatchError::SetAside { table: view.name.clone(), reason });
                }
                let progress = Progress::Rows { version: table.version().to_owned(), commit: table.commit() };
                (table.rows().await?, Some(progress))
            }
            None => (Arc::new(EmptyTable::new(Arc::clone(plan.rows_schema()))), None),
        };
        Ok(KeptRows { rows, progress, window: None, topic: topic.name.clone() })
    }
}

/// The windows that begin in this span.
pub(super) fn within(rows: &Arc<dyn TableProvider>, span: Span) -> PlanResult<Arc<dyn TableProvider>> {
    let begins = || ident(WINDOW_START_COLUMN);
    let wanted = begins().gt_eq(instant(span.from_ms)).and(begins().lt(instant(span.to_ms)));
    let plan = LogicalPlanBuilder::scan("linhas", provider_as_source(Arc::clone(rows)), None)?.filter(wanted)?;
    Ok(Arc::new(ViewTable::new(plan.build()?, None)))
}
