//! Whether everything that is served can be planned: names, rules of rows, metrics, views, and
//! endpoints with their parameters.
//!
//! Plans are made over tables without rows, by the same namespace that answers requests: what is
//! wrong with a column is said before anything starts, with its place, and not at the first
//! request.

mod columns;
mod sinks;
mod warehouse;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::datasource::empty::EmptyTable;
use datafusion::sql::sqlparser::ast::Query;
use vitral_catalog::{
    Catalog, Diagnostic, Diagnostics, DomainSettings, Endpoint, EngineTable, Metric, Position, Scope,
    View as DeclaredView, names,
};
use vitral_engine::rules::RowRules;
use vitral_engine::{EngineConfig, engine_session};
use vitral_panes::PanesError;
use vitral_panes::open_windows::OpenWindows;
use vitral_panes::plan::MetricPlan;
use vitral_panes::view::{Completeness, KeyedTableView, MetricView, TopicView, View};
use vitral_schemas::topic::Topic;
use vitral_store::row_log::RowLogPlan;
use vitral_store::{KeyedPlan, imports_schema};

pub use self::columns::ServedColumns;
use crate::error::QueryError;
use crate::limits::Limits;
use crate::placeholders::{LIMIT_MAX, placeholder_values};
use crate::plan::statement_error;
use crate::principal::Principal;
use crate::read_point::ReadPoint;
use crate::reader::Reader;
use crate::reference::References;
use crate::tables::PROVISIONAL_COLUMN;
use crate::time_range::TimeRange;

/// First parts of paths that the API answers itself.
pub const ENGINE_PATHS: [&str; 10] =
    ["metricas", "assets", "healthz", "readyz", "metrics", "docs", "avisos", "entrar", "sair", "interno"];

/// Everything that is wrong with what the catalog serves, in the order of its files.
pub fn served_errors(catalog: &Arc<Catalog>, settings: &DomainSettings) -> Result<Vec<Diagnostic>, QueryError> {
    let mut errors = Vec::new();
    let schemas = table_schemas(catalog, settings, &mut errors)?;
    for log in &catalog.row_logs {
        let Some(topic) = catalog.topic(&log.topic) else { continue };
        errors.extend(RowLogPlan::new(log, topic).err().unwrap_or_default());
    }
    let planner = Planner::new(catalog, &schemas)?;
    errors.extend_from_slice(planner.reader.names().errors());
    errors.extend(planner.reader.names().alerts_of_alerts(catalog));
    errors.extend(planner.reader.names().reacting_to_jobs(catalog));
    // Within a task that has used up its budget, the runtime's parts would wait for a turn that
    // never comes while this thread is held.
    futures::executor::block_on(tokio::task::unconstrained(async {
        for view in &catalog.views {
            // Jobs and checks alone know where a row came from: such a view is planned where one of
            // them reads it.
            if !names::reads_origin(&view.query) {
                errors.extend(planner.errors(&view.query, &view.source, None).await?);
                errors.extend(planner.wrong_sums(view).await);
                errors.extend(planner.wrong_key(view).await);
                errors.extend(planner.wrong_sink(view).await);
            }
        }
        for endpoint in &catalog.endpoints {
            errors.extend(out_of_bounds(endpoint));
            errors.extend(planner.errors(&endpoint.query, &endpoint.position, Some(endpoint)).await?);
        }
        Ok::<_, QueryError>(())
    }))?;
    Ok(in_order(errors))
}

impl Reader {
    /// For the endpoints and metrics of a catalog. Everything that it serves is planned, so that a
    /// wrong name or column is an error now, and not at the first request.
    pub fn served(
        catalog: Arc<Catalog>,
        settings: &DomainSettings,
        references: References,
        limits: Limits,
    ) -> Result<Self, QueryError> {
        let errors = served_errors(&catalog, settings)?;
        if !errors.is_empty() {
            return Err(QueryError::Catalog(Diagnostics(errors)));
        }
        Self::new(catalog, references, limits, Scope::Served)
    }
}

/// Each error once, in the order of files and lines.
pub fn in_order(mut errors: Vec<Diagnostic>) -> Vec<Diagnostic> {
    errors.sort_by(|a, b| {
        let place = |error: &Diagnostic| (error.position.file.clone(), error.position.line, error.position.column);
        place(a).cmp(&place(b))
    });
    errors.dedup_by(|a, b| a.position == b.position && a.message == b.message);
    errors
}

struct Planner {
    reader: Reader,
    point: ReadPoint,
}

impl Planner {
    fn new(catalog: &Arc<Catalog>, schemas: &BTreeMap<String, SchemaRef>) -> Result<Self, QueryError> {
        let reader = Reader::new(Arc::clone(catalog), References::without_rows(), Limits::default(), Scope::Served)?;
        let point = empty_point(catalog, schemas);
        let warehouse = Arc::new(warehouse::without_rows(catalog, &reader, &point)?);
        Ok(Self { reader: reader.for_checking(), point: ReadPoint { warehouse, ..point } })
    }

    /// What keeps a query from being planned down to what would run.
    async fn errors(
        &self,
        query: &Query,
        position: &Position,
        endpoint: Option<&Endpoint>,
    ) -> Result<Vec<Diagnostic>, QueryError> {
        match self.plan(query, position, endpoint).await {
            Ok(()) => Ok(Vec::new()),
            Err(QueryError::Statement(Diagnostics(errors))) => Ok(errors),
            // The metric that it reads is wrong itself, or the columns of a job's table are not
            // known.
            Err(QueryError::Unavailable(_)) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// What is summed up after an import must be there, and a number.
    async fn wrong_sums(&self, view: &DeclaredView) -> Vec<Diagnostic> {
        let Some(target) = &view.import else { return Vec::new() };
        let Ok(needs) = self.reader.needs(&view.query, &view.source) else { return Vec::new() };
        let Ok(planned) = self.reader.plan(&self.point, &view.query, &needs).await else { return Vec::new() };
        let schema = planned.plan.schema().as_arrow();
        let named = target.sums.iter().map(|name| ("import_sums", name, true));
        let named = named.chain(target.sums_by.iter().map(|name| ("import_sums_by", name, false)));
        let named = named.chain(target.top.iter().map(|name| ("import_top", name, false)));
        let wrong = named.filter_map(|(option, name, is_sum)| match schema.field_with_name(name) {
            Err(_) => Some(view.source.error(
                format!("{option}: {} has no column {name}", view.name),
                "name columns that the view selects".into(),
            )),
            Ok(field) if is_sum && !field.data_type().is_numeric() => Some(view.source.error(
                format!("{option}: {name} is {}, which cannot be summed up", field.data_type()),
                "name columns of numbers".into(),
            )),
            Ok(_) => None,
        });
        wrong.collect()
    }

    /// The key of an alert must be among the rows, and be what a text can be made of.
    async fn wrong_key(&self, view: &DeclaredView) -> Vec<Diagnostic> {
        let Some(alert) = &view.alert else { return Vec::new() };
        let Ok(needs) = self.reader.needs(&view.query, &view.source) else { return Vec::new() };
        let Ok(planned) = self.reader.plan(&self.point, &view.query, &needs).await else { return Vec::new() };
        let schema = planned.plan.schema().as_arrow();
        let columns = || schema.fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>().join(", ");
        let wrong = alert.key.iter().filter_map(|name| match schema.field_with_name(name) {
            Err(_) => Some(alert.key_position.error(
                format!("alert {}: its rows have no column {name}", view.name),
                format!("name one of its columns: {}", columns()),
            )),
            Ok(field) if field.data_type().is_nested() || field.data_type().is_floating() => {
                Some(alert.key_position.error(
                    format!("alert {}: {name} is {}, which cannot tell rows apart", view.name, field.data_type()),
                    "name a column of strings, whole numbers, decimals, booleans, dates or times".into(),
                ))
            }
            Ok(_) => None,
        });
        wrong.collect()
    }

    async fn plan(&self, query: &Query, position: &Position, endpoint: Option<&Endpoint>) -> Result<(), QueryError> {
        let needs = self.reader.needs(query, position)?;
        self.check_columns_known(&needs)?;
        let planned = self.reader.plan_statement(&self.point, query, &needs, position).await?;
        let mut plan = planned.plan.clone();
        let physical = async {
            if let Some(endpoint) = endpoint {
                let rows = endpoint.limit_default;
                let values = placeholder_values(endpoint, self.point.now_ms, TimeRange::default(), rows, |_| None);
                plan = plan.with_param_values(values)?;
            }
            planned.frame(plan).create_physical_plan().await.map(|_| ())
        };
        physical.await.map_err(|source| statement_error(source, position))
    }
}

/// What keeps the rows of a metric that can be computed from being answered.
fn unservable(metric: &Metric, schema: &SchemaRef) -> Vec<Diagnostic> {
    let name = &metric.name;
    let unknown = metric.order.iter().filter(|column| schema.field_with_name(&column.name).is_err()).map(|column| {
        metric.position.error(
            format!("metric {name}: ORDER BY {}, which is not one of its columns", column.name),
            "order by columns that it selects".into(),
        )
    });
    let taken = schema.field_with_name(PROVISIONAL_COLUMN).is_ok().then(|| {
        metric.position.error(
            format!(
                "metric {name}: every metric has a column {PROVISIONAL_COLUMN}, which says whether its window can still change"
            ),
            "give this one another name".into(),
        )
    });
    unknown.chain(taken).collect()
}

/// The columns of every metric and of every table kept up to date that can be planned.
fn table_schemas(
    catalog: &Catalog,
    settings: &DomainSettings,
    errors: &mut Vec<Diagnostic>,
) -> Result<BTreeMap<String, SchemaRef>, QueryError> {
    let mut schemas = metric_schemas(catalog, settings, errors)?;
    for view in &catalog.keyed {
        let Some(topic) = catalog.topic(&view.topic) else { continue };
        match KeyedPlan::new(view, topic, settings) {
            Ok(plan) => drop(schemas.insert(view.name.clone(), Arc::clone(plan.rows_schema()))),
            Err(found) => errors.extend(found),
        }
    }
    Ok(schemas)
}

/// The columns of every metric that can be planned.
fn metric_schemas(
    catalog: &Catalog,
    settings: &DomainSettings,
    errors: &mut Vec<Diagnostic>,
) -> Result<BTreeMap<String, SchemaRef>, QueryError> {
    let session = engine_session(EngineConfig::default())?;
    let mut schemas = BTreeMap::new();
    for topic in &catalog.topics {
        if let Err(error) = RowRules::new(topic, &session) {
            errors.push(catalog.position_of(topic).error(error.message, error.remedy));
        }
        for metric in catalog.metrics_of(&topic.name) {
            match MetricPlan::new(metric, topic, settings, &session) {
                Ok(plan) => {
                    errors.extend(unservable(metric, plan.rows_schema()));
                    schemas.insert(metric.name.clone(), Arc::clone(plan.rows_schema()));
                }
                Err(PanesError::Unsupported(error)) => errors.push(*error),
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(schemas)
}

/// Tables that have their columns and no row.
fn empty_point(catalog: &Catalog, schemas: &BTreeMap<String, SchemaRef>) -> ReadPoint {
    let topic_view = |topic: &Topic| TopicView {
        archive: Arc::new(EmptyTable::new(topic.archive_schema())),
        tail: Arc::from([]),
        completeness: Completeness::default(),
    };
    let metric_view = |metric: &Metric, schema: &SchemaRef| MetricView {
        topic: metric.topic.clone(),
        window: metric.window,
        schema: Arc::clone(schema),
        published: Arc::new(EmptyTable::new(Arc::clone(schema))),
        published_through_ms: None,
        // With a window that has begun, nothing needs to run to know the newest.
        open: Arc::new(OpenWindows::of_rows(BTreeMap::from([(0, RecordBatch::new_empty(Arc::clone(schema)))]))),
        open_at_commit: None,
        completeness: Completeness::default(),
        failure: None,
    };
    let metrics = catalog.metrics.iter().filter_map(|metric| {
        let schema = schemas.get(&metric.name)?;
        Some((metric.name.clone(), metric_view(metric, schema)))
    });
    let keyed = catalog.keyed.iter().filter_map(|view| {
        let rows = Arc::new(EmptyTable::new(Arc::clone(schemas.get(&view.name)?)));
        let (topic, keys, through) = (view.topic.clone(), view.keys.clone(), Arc::default());
        Some((view.name.clone(), KeyedTableView { topic, keys, rows, through, since_ms: None, failure: None }))
    });
    let view = View {
        ready: true,
        keyed: keyed.collect(),
        topics: catalog.topics.iter().map(|topic| (topic.name.clone(), topic_view(topic))).collect(),
        metrics: metrics.collect(),
        ..View::default()
    };
    let imports: Arc<dyn TableProvider> = Arc::new(EmptyTable::new(imports_schema()));
    let engine_tables = Arc::new(BTreeMap::from([(EngineTable::Imports, imports)]));
    ReadPoint { engine_tables, ..ReadPoint::new(Principal::anonymous(), Arc::new(view), 0) }
}

/// What an endpoint says of itself that the API cannot do.
fn out_of_bounds(endpoint: &Endpoint) -> Vec<Diagnostic> {
    let mut errors = Vec::new();
    let first = endpoint.path.split('/').nth(1).unwrap_or_default();
    if ENGINE_PATHS.contains(&first) {
        errors.push(endpoint.position.error(
            format!("path '{}' is reserved for the API", endpoint.path),
            format!("begin the path with another word than {}", ENGINE_PATHS.join(", ")),
        ));
    }
    if !(1..=LIMIT_MAX).contains(&endpoint.limit_default) {
        errors.push(endpoint.position.error(
            format!("limite = {} is out of range", endpoint.limit_default),
            format!("give a default from 1 to {LIMIT_MAX}"),
        ));
    }
    errors
}

#[cfg(test)]
mod tests;
