//! The rows that tables are made of: those of the archive that counted, and those that were
//! imported.

use arrow::datatypes::DataType;
use datafusion::datasource::provider_as_source;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, case, cast, ident, lit};
use datafusion::prelude::{coalesce, concat};
use vitral_catalog::ROW_ORDER_COLUMN;
use vitral_catalog::names::ORIGIN_COLUMN;
use vitral_engine::{row_order, text_bucket};
use vitral_schemas::position::{Offset, PartitionId};
use vitral_schemas::topic::{Topic, archive_columns, history_columns};
use vitral_schemas::verdict::Verdict;

use super::changes;
use super::plan::leaf_schema;
use crate::archive::{ArchiveReader, Reached, this_log};
use crate::error::StoreError;
use crate::history::History;

/// Before the number of a partition, in the origin of a state.
pub(super) const STREAM: &str = "fluxo/";
/// Before the id of an import.
pub(super) const IMPORT: &str = "importacao/";
/// Imported rows come before those of every log that have the same time.
const GENERATION_OF_IMPORTS: i64 = -1;

/// Offsets of one partition of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) log: String,
    pub(super) partition: PartitionId,
    pub(super) from: Offset,
    pub(super) until: Offset,
}

impl Range {
    pub(super) fn new(reached: &Reached, from: Offset) -> Self {
        Self { log: reached.log.clone(), partition: reached.partition, from, until: reached.next }
    }

    fn expr(&self) -> Expr {
        let offset = || ident(archive_columns::OFFSET);
        this_log(&self.log)
            .and(ident(archive_columns::PARTITION).eq(lit(self.partition.0)))
            .and(offset().gt_eq(lit(self.from.0)))
            .and(offset().lt(lit(self.until.0)))
    }
}

/// What follows from the ranges of all partitions: as it is of one column, it is known of the pages
/// of a file whether they can be passed over.
fn between(ranges: &[Range]) -> Expr {
    let (from, until) = (ranges.iter().map(|range| range.from), ranges.iter().map(|range| range.until));
    let Some((from, until)) = from.min().zip(until.max()) else { return lit(false) };
    let offset = || ident(archive_columns::OFFSET);
    offset().gt_eq(lit(from.0)).and(offset().lt(lit(until.0)))
}

/// The counted rows of these offsets. `logs` are in the order of their generations.
pub(super) async fn stream_rows(
    topic: &Topic,
    archive: &ArchiveReader,
    ranges: &[Range],
    logs: &[String],
) -> Result<LogicalPlan, StoreError> {
    let provider = archive.provider().await?;
    let plan = || {
        let wanted = ranges.iter().map(Range::expr).reduce(Expr::or).unwrap_or(lit(false)).and(between(ranges));
        let counted = ident(archive_columns::VERDICT).eq(lit(Verdict::Counted.name()));
        let partition = || cast(ident(archive_columns::PARTITION), DataType::Int64);
        let origin = concat(vec![lit(STREAM), cast(partition(), DataType::Utf8)]);
        let place = [generation(logs)?, partition(), ident(archive_columns::OFFSET)];
        if let Some(of) = &topic.changes {
            let mut own = columns(topic, &origin, &lit(false));
            for (field, expr) in leaf_schema(topic).fields().iter().zip(&mut own) {
                if let Some(value) = changes::column(topic, of, field.name(), &place)? {
                    *expr = value.alias(field.name());
                }
            }
            return scan(provider)?.filter(changes::is_read().and(wanted))?.project(own)?.build();
        }
        let mut order = vec![ident(&topic.columns[topic.event_time].name)];
        order.extend(place);
        let order = row_order().call(order);
        scan(provider)?.filter(counted.and(wanted))?.project(columns(topic, &origin, &order))?.build()
    };
    plan().map_err(StoreError::read(&topic.name))
}

/// The counted rows of imports; of all of them, if none are named.
pub(super) async fn imported_rows(
    topic: &Topic,
    history: &History,
    imports: Option<&[String]>,
) -> Result<LogicalPlan, StoreError> {
    let provider = history.provider().await?;
    let plan = || {
        let mut wanted = ident(history_columns::VERDICT).eq(lit(Verdict::Counted.name()));
        if let Some(imports) = imports {
            let named = imports.iter().map(|import| lit(import.as_str())).collect();
            wanted = wanted.and(ident(history_columns::IMPORT).in_list(named, false));
        }
        let origin = concat(vec![lit(IMPORT), ident(history_columns::IMPORT)]);
        // Two sheets of a workbook have lines of the same number.
        let sheet = match provider.schema().field_with_name(history_columns::SHEET) {
            Ok(_) => text_bucket().call(vec![coalesce(vec![ident(history_columns::SHEET), lit("")])]),
            Err(_) => lit(0_i64),
        };
        let order = row_order().call(vec![
            ident(&topic.columns[topic.event_time].name),
            lit(GENERATION_OF_IMPORTS),
            ident(history_columns::SEQUENCE),
            ident(history_columns::LINE),
            sheet,
        ]);
        // Rows with a primary key are their source's alone: what files had before the topic gained
        // one is not among them.
        if topic.changes.is_some() {
            wanted = lit(false);
        }
        let (found, leaf) = (provider.schema(), leaf_schema(topic));
        let columns = columns(topic, &origin, &order).into_iter().map(|column| match &column {
            // A table of an older version lacks columns that its topic has gained since.
            Expr::Column(name) if found.field_with_name(&name.name).is_err() => {
                let data_type = leaf.field_with_name(&name.name).map(|field| field.data_type().clone());
                let null = cast(lit(datafusion::common::ScalarValue::Null), data_type.unwrap_or(DataType::Null));
                null.alias(&name.name)
            }
            _ => column,
        });
        scan(provider)?.filter(wanted)?.project(columns.collect::<Vec<_>>())?.build()
    };
    plan().map_err(StoreError::read(&topic.name))
}

fn columns(topic: &Topic, origin: &Expr, order: &Expr) -> Vec<Expr> {
    let leaf = leaf_schema(topic);
    let own = leaf.fields().iter().map(|field| match field.name().as_str() {
        ORIGIN_COLUMN => origin.clone().alias(ORIGIN_COLUMN),
        ROW_ORDER_COLUMN => order.clone().alias(ROW_ORDER_COLUMN),
        name => ident(name),
    });
    own.collect()
}

/// The number of a row's log, counted from the first.
fn generation(logs: &[String]) -> Result<Expr> {
    let mut numbers = (0_i64..).zip(logs);
    let Some((number, log)) = numbers.next() else { return Ok(lit(0_i64)) };
    let mut generation = case(ident(archive_columns::LOG)).when(lit(log.as_str()), lit(number));
    for (number, log) in numbers {
        generation = generation.when(lit(log.as_str()), lit(number));
    }
    generation.otherwise(lit(i64::try_from(logs.len()).unwrap_or(i64::MAX)))
}

fn scan(provider: std::sync::Arc<dyn datafusion::catalog::TableProvider>) -> Result<LogicalPlanBuilder> {
    LogicalPlanBuilder::scan("linhas", provider_as_source(provider), None)
}
