//! What batch SQL can name: topics, what was imported into them, metrics, tables that are kept up
//! to date, reference tables, and the catalog's views.

mod kept;
mod presence;
mod whole;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::catalog::{MemorySchemaProvider, TableProvider};
use datafusion::common::{ScalarValue, TableReference};
use datafusion::datasource::empty::EmptyTable;
use datafusion::datasource::{MemTable, ViewTable, provider_as_source};
use datafusion::error::{DataFusionError, Result as PlanResult};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, ident, lit};
use datafusion::prelude::{DataFrame, SessionContext};
use datafusion::sql::resolve::resolve_table_references;
use datafusion::sql::sqlparser::ast::Query;
use vitral_catalog::names::{self, ORIGIN_COLUMN, statement};
use vitral_catalog::{
    Catalog, Diagnostics, DomainSettings, Meaning, Name, Names, Needs, Position, Scope, planning_errors, reference,
};
use vitral_connect::WholeTables;
use vitral_engine::{CivilDates, DistinctTexts, TruncatedDates, committed_watermark};
use vitral_schemas::event_time::{EventTime, Watermark};
use vitral_schemas::time::MICROS_PER_MS;
use vitral_schemas::topic::{Column, Topic, archive_columns, history_columns};
use vitral_schemas::verdict::Verdict;
use vitral_store::archive::Spans;
use vitral_store::{Archive, ArchiveReader, History, Layout, Location};

use self::kept::Kept;
pub(crate) use self::kept::{Changed, KeptRows, Progress, Published};
pub(crate) use self::presence::NoRows;
use self::whole::Whole;
use crate::engine::Engine;
use crate::error::BatchError;

/// Events at or after the first time and before the second, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    /// The first time.
    pub from_ms: i64,
    /// After the last time.
    pub to_ms: i64,
}

/// One moment of everything that is stored.
#[derive(Debug)]
pub struct Tables<'a> {
    names: Names,
    engine: Engine,
    topics: Vec<(&'a Topic, Stored)>,
    references: Vec<(String, Arc<dyn TableProvider>)>,
    /// Reference tables without a row, and why they have none.
    unfilled: BTreeMap<String, String>,
    kept: Kept<'a>,
    whole: Whole,
}

/// What is stored of a topic; none if nothing is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stored {
    /// The archive's rows.
    pub archive: Option<Arc<dyn TableProvider>>,
    /// The rows of files.
    pub history: Option<Arc<dyn TableProvider>>,
    /// How often verdicts of the archive were changed.
    pub replays: i64,
    /// The number of the history's last commit.
    pub sequence: i64,
    /// The committed watermark.
    pub watermark: Option<Watermark>,
    /// What else is known of the archive.
    pub reader: Option<Arc<ArchiveReader>>,
    /// The event times of rows of the archive that have expired.
    pub expired: Spans,
}

impl<'a> Tables<'a> {
    /// Takes the moment, to be computed with by `engine`.
    pub async fn open(
        catalog: &'a Catalog,
        settings: &'a DomainSettings,
        store: &Location,
        reference_dir: &Path,
        engine: Engine,
    ) -> Result<Self, BatchError> {
        let store = &engine.prepare_location(&store.bulk_scan());
        let mut topics = Vec::new();
        for topic in &catalog.topics {
            let mut stored = Stored::default();
            if let Some(archive) = Archive::read(topic, store).await? {
                stored.replays = archive.replays().await?;
                stored.expired = archive.purged_times();
                stored.watermark = archive.watermark().await?;
                stored.archive = Some(archive.provider().await?);
                stored.reader = Some(Arc::new(archive));
            }
            if let Some(history) = History::read(topic, &Layout::of(store).history(topic)).await? {
                stored.sequence = history.sequence().await?;
                stored.history = Some(history.provider().await?);
            }
            topics.push((topic, stored));
        }
        let (mut references, mut unfilled) = (Vec::new(), BTreeMap::new());
        for declared in &catalog.references {
            let failed = BatchError::engine(&declared.name, "read");
            let rows = reference::read(reference_dir, declared).map_err(|source| failed(source.into()))?;
            let rows = concat_batches(&reference::schema(declared), &rows).map_err(|source| failed(source.into()))?;
            let Some(path) = &declared.path else { continue };
            if rows.num_rows() == 0 {
                let file = reference_dir.join(path);
                let words = if file.exists() { "has no rows" } else { "is not there" };
                let reason = format!("its reference table {} is empty, as {} {words}", declared.name, file.display());
                unfilled.insert(declared.name.clone(), reason);
            }
            references.push((declared.name.clone(), engine.table(rows).map_err(&failed)?));
        }
        let kept = Kept::new(catalog, settings, Some(store.clone()));
        let whole = Whole::default();
        Ok(Self { names: names(catalog)?, engine, topics, references, unfilled, kept, whole })
    }

    /// The same with tables of other systems, each of which is read when a query names it.
    #[must_use]
    pub fn with_whole(self, tables: WholeTables) -> Self {
        Self { whole: Whole::new(tables), ..self }
    }

    /// Tables without a row, for planning alone.
    pub fn empty(catalog: &'a Catalog, settings: &'a DomainSettings) -> Result<Self, BatchError> {
        let topics = catalog.topics.iter().map(|topic| (topic, Stored::default())).collect();
        let references = catalog.references.iter().map(|declared| {
            let table = MemTable::try_new(reference::schema(declared), vec![Vec::new()]);
            let table = table.map_err(BatchError::engine(&declared.name, "planned"))?;
            Ok((declared.name.clone(), Arc::new(table) as _))
        });
        let references = references.collect::<Result<_, BatchError>>()?;
        Ok(Self {
            names: names(catalog)?,
            engine: Engine::Local,
            topics,
            references,
            unfilled: BTreeMap::new(),
            kept: Kept::new(catalog, settings, None),
            whole: Whole::default(),
        })
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn topics(&self) -> impl Iterator<Item = (&'a Topic, &Stored)> {
        self.topics.iter().map(|(topic, stored)| (*topic, stored))
    }

    /// The first and last event time of rows that a query would read in this span and that have
    /// expired; none if all are there.
    pub(crate) fn expired_within(
        &self,
        query: &Query,
        position: &Position,
        span: Span,
    ) -> Option<(EventTime, EventTime)> {
        let (from, to) = (EventTime::from_ms(span.from_ms), EventTime::from_ms(span.to_ms));
        let expired = self.read_by(query, position).filter_map(|(_, stored)| stored.expired.within(from, to));
        expired.reduce(|(first, last), (from, to)| (first.min(from), last.max(to)))
    }

    /// The topics whose rows a query reads, by itself and by its views.
    pub(crate) fn read_by(&self, query: &Query, position: &Position) -> impl Iterator<Item = (&'a Topic, &Stored)> {
        let named = self.named_by(query, position);
        self.topics().filter(move |(topic, _)| named.contains(&topic.name))
    }

    /// The metrics and tables that are kept up to date which a query reads, by itself and by its
    /// views.
    pub(crate) async fn kept_by(
        &self,
        query: &Query,
        position: &Position,
    ) -> Result<BTreeMap<String, KeptRows>, BatchError> {
        let mut found = BTreeMap::new();
        for name in self.named_by(query, position) {
            if let Some(rows) = self.kept.rows(&name).await? {
                found.insert(name, rows);
            }
        }
        Ok(found)
    }

    /// Why a reference table that a query reads has no rows; none if all have some.
    pub(crate) fn unfilled_reference(&self, query: &Query, position: &Position) -> Option<String> {
        let without_rows = |name: &String| {
            self.whole.is_empty(name).then(|| format!("its look-up table {name} is empty in its system"))
        };
        let named = self.named_by(query, position);
        named.iter().find_map(|name| self.unfilled.get(name).cloned().or_else(|| without_rows(name)))
    }

    /// What a query names, by itself and by its views.
    fn named_by(&self, query: &Query, position: &Position) -> BTreeSet<String> {
        // Names that it cannot read are reported where it is planned.
        let needs = self.names.needs(query, position, Scope::History).unwrap_or_default();
        let tables = needs.names.into_iter().filter_map(|name| match name {
            Name::Table(table) => Some(table),
            _ => None,
        });
        tables.collect()
    }

    /// The committed watermark of each topic that is read.
    fn watermarks(&self, needs: &Needs) -> BTreeMap<String, Option<Watermark>> {
        let read = self.topics().filter(|(topic, _)| needs.topics.contains(&topic.name));
        read.map(|(topic, stored)| (topic.name.clone(), stored.watermark)).collect()
    }

    /// Plans a query of the catalog over the counted events of `span` alone, and the windows that
    /// begin in it, with what it reads and nothing else.
    pub async fn plan(&self, query: &Query, position: &Position, span: Option<Span>) -> Result<DataFrame, BatchError> {
        let failed = |source| unplanned(position, &source);
        let needs = self.names.needs(query, position, Scope::History);
        let needs = needs.map_err(|errors| BatchError::Unplanned(Diagnostics(errors)))?;
        let context = self.engine.session().map_err(failed)?;
        if matches!(self.engine, Engine::Local) {
            context.state_ref().write().config_mut().options_mut().sql_parser.collect_spans = true;
        }
        context.register_udf(committed_watermark(self.watermarks(&needs)));
        context.add_analyzer_rule(Arc::new(DistinctTexts::default()));
        context.add_analyzer_rule(Arc::new(CivilDates));
        context.add_analyzer_rule(Arc::new(TruncatedDates));
        for name in &needs.names {
            let Name::Table(name) = name else { continue };
            let table: Arc<dyn TableProvider> = match self.names.get(name) {
                Some(Meaning::View(view)) => {
                    let schema = self.names.schema_of(&view.position);
                    let plan = plan_in(&context, &view.query, schema).await;
                    Arc::new(ViewTable::new(plan.map_err(|source| unplanned(&view.position, &source))?, None))
                }
                Some(Meaning::Topic) => {
                    let Some((topic, stored)) = self.topics().find(|(topic, _)| topic.name == *name) else { continue };
                    Arc::new(ViewTable::new(counted(topic, stored, span).map_err(failed)?, None))
                }
                Some(Meaning::Metric { .. }) => {
                    let Some(kept) = self.kept.rows(name).await? else { continue };
                    match span {
                        Some(span) => kept::within(&kept.rows, span).map_err(failed)?,
                        None => kept.rows,
                    }
                }
                Some(Meaning::Keyed { .. }) => {
                    let Some(kept) = self.kept.rows(name).await? else { continue };
                    kept.rows
                }
                Some(Meaning::Lookup { .. }) if !self.references.iter().any(|(known, _)| known == name) => {
                    self.engine.table(self.whole.rows(name).await?).map_err(BatchError::engine(name, "read"))?
                }
                _ => {
                    let Some((_, table)) = self.references.iter().find(|(known, _)| known == name) else { continue };
                    Arc::clone(table)
                }
            };
            for schema in self.names.schemas_with(name) {
                register(&context, schema, names::plain(name), Arc::clone(&table)).map_err(failed)?;
            }
        }
        let plan = plan_in(&context, query, needs.schema()).await.map_err(failed)?;
        Ok(DataFrame::new(context.state(), plan))
    }
}

fn names(catalog: &Catalog) -> Result<Names, BatchError> {
    let session = Engine::Local.session().map_err(BatchError::engine("the catalog", "planned"))?;
    let functions: Vec<String> = session.state().table_functions().keys().cloned().collect();
    Ok(Names::new(catalog, functions))
}

/// Puts a table into a schema, which is made if it is not there.
pub(crate) fn register(
    context: &SessionContext,
    schema: &str,
    name: &str,
    table: Arc<dyn TableProvider>,
) -> PlanResult<()> {
    let state = context.state();
    let catalog = state.catalog_list().catalog(&state.config_options().catalog.default_catalog);
    if let Some(catalog) = catalog.filter(|catalog| catalog.schema(schema).is_none()) {
        catalog.register_schema(schema, Arc::new(MemorySchemaProvider::new()))?;
    }
    context.register_table(TableReference::partial(schema, name), table)?;
    Ok(())
}

/// Puts a table where a query expects it, with its domain or without.
pub(crate) fn register_as_written(
    context: &SessionContext,
    query: &Query,
    name: &str,
    table: Arc<dyn TableProvider>,
) -> PlanResult<()> {
    let (written, _) = resolve_table_references(&statement(query), true)?;
    for written in written.iter().filter(|written| written.table() == name) {
        register(context, written.schema().unwrap_or(names::SCHEMA), name, Arc::clone(&table))?;
    }
    Ok(())
}

/// Plans a query whose plain names are looked up in a schema.
async fn plan_in(context: &SessionContext, query: &Query, schema: &str) -> PlanResult<LogicalPlan> {
    let mut state = context.state();
    schema.clone_into(&mut state.config_mut().options_mut().catalog.default_schema);
    state.statement_to_plan(statement(query)).await
}

pub(crate) async fn plan_query(context: &SessionContext, query: &Query) -> PlanResult<LogicalPlan> {
    context.state().statement_to_plan(statement(query)).await
}

/// What [`ORIGIN_COLUMN`] says of a row that no import brought.
const STREAM: &str = "fluxo";

/// The topic's counted rows, from messages and from files, each with its origin.
fn counted(topic: &Topic, stored: &Stored, span: Option<Span>) -> PlanResult<LogicalPlan> {
    let time = &topic.columns[topic.event_time].name;
    let rows = |provider: &Arc<dyn TableProvider>, origin: Expr| {
        let mut wanted = ident(archive_columns::VERDICT).eq(lit(Verdict::Counted.name()));
        if let Some(Span { from_ms, to_ms }) = span {
            wanted = wanted.and(ident(time).gt_eq(instant(from_ms))).and(ident(time).lt(instant(to_ms)));
        }
        let mut columns = declared(topic, &provider.schema())?;
        columns.push(origin.alias(ORIGIN_COLUMN));
        LogicalPlanBuilder::scan("linhas", provider_as_source(Arc::clone(provider)), None)?
            .filter(wanted)?
            .project(columns)?
            .build()
    };
    let streamed = |archive| rows(archive, lit(STREAM));
    let imported = |history| rows(history, ident(history_columns::IMPORT));
    match (&stored.archive, &stored.history) {
        (Some(archive), Some(history)) => {
            LogicalPlanBuilder::from(streamed(archive)?).union(imported(history)?)?.build()
        }
        (Some(archive), None) => streamed(archive),
        (None, Some(history)) => imported(history),
        (None, None) => {
            let fields = topic.schema().fields().iter().cloned().collect::<Vec<_>>();
            let origin = Arc::new(Field::new(ORIGIN_COLUMN, DataType::Utf8, false));
            let nothing = EmptyTable::new(Arc::new(Schema::new([fields, vec![origin]].concat())));
            LogicalPlanBuilder::scan("linhas", provider_as_source(Arc::new(nothing)), None)?.build()
        }
    }
}

/// The topic's columns; null for one that was declared since somebody last wrote to the table.
fn declared(topic: &Topic, found: &Schema) -> PlanResult<Vec<Expr>> {
    let column = |column: &Column| match found.field_with_name(&column.name) {
        Ok(_) => Ok(ident(&column.name)),
        Err(_) => Ok(lit(ScalarValue::try_from(&column.kind.data_type())?).alias(&column.name)),
    };
    topic.columns.iter().map(column).collect()
}

pub(crate) fn instant(ms: i64) -> Expr {
    lit(ScalarValue::TimestampMicrosecond(Some(ms.saturating_mul(MICROS_PER_MS)), Some("UTC".into())))
}

/// The errors of planning a statement, with their places.
pub(crate) fn unplanned(position: &Position, source: &DataFusionError) -> BatchError {
    let remedy = "correct the query; it can name topics, metrics, tables that are kept up to date, reference tables, and views of these";
    BatchError::Unplanned(Diagnostics(planning_errors(source, position, remedy)))
}
