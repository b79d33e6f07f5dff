//! A view's topics and metrics as plans: what is committed, and after it what is not yet.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, FieldRef, Schema, SchemaRef};
use datafusion::catalog::{MemTable, TableProvider};
use datafusion::datasource::{ViewTable, provider_as_source};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast, ident, lit};
use datafusion::scalar::ScalarValue;
use vitral_panes::view::{MetricView, TopicView};
use vitral_schemas::topic::{Topic, archive_columns};
use vitral_schemas::verdict::Verdict;
use vitral_store::Histories;

use crate::error::QueryError;

/// False once a window is published; the last column of every metric.
pub const PROVISIONAL_COLUMN: &str = "provisoria";

/// A literal instant, in the type of every stored time.
pub fn utc(micros: Option<i64>) -> ScalarValue {
    ScalarValue::TimestampMicrosecond(micros, Some("UTC".into()))
}

/// What was imported into a topic; an error before that is known.
pub(crate) fn imported<'a>(
    histories: &'a Histories,
    topic: &str,
) -> Result<Option<&'a Arc<dyn TableProvider>>, QueryError> {
    if histories.is_read(topic) {
        return Ok(histories.get(topic));
    }
    Err(match histories.failure(topic) {
        Some(reason) => QueryError::ImportsUnreadable { topic: topic.to_owned(), reason: reason.to_owned() },
        None => QueryError::ImportsUnread(topic.to_owned()),
    })
}

/// The counted rows of a topic, and those that were imported alongside its messages.
pub(crate) fn topic_plan(
    topic: &Topic,
    view: &TopicView,
    history: Option<&Arc<dyn TableProvider>>,
) -> Result<LogicalPlan> {
    let schema = topic.schema();
    let counted = |table: &Arc<dyn TableProvider>| {
        scan(Arc::clone(table))?
            .filter(ident(archive_columns::VERDICT).eq(lit(Verdict::Counted.name())))?
            .project(columns(&schema, &table.schema())?)
    };
    let mut rows = counted(&view.archive)?;
    if let Some(history) = history {
        rows = rows.union(counted(history)?.build()?)?;
    }
    if !view.tail.is_empty() {
        let tail = in_memory(&schema, view.tail.to_vec())?.project(columns(&schema, &schema)?)?;
        rows = rows.union(tail.build()?)?;
    }
    rows.build()
}

/// The rows of a metric, those of open windows marked as provisional; these should have been made.
pub(crate) fn metric_plan(view: &MetricView) -> Result<LogicalPlan> {
    let published = published_plan(view)?;
    let open = view.open.rows();
    if open.is_empty() {
        return Ok(published);
    }
    let open = in_memory(&view.schema, open.values().cloned().collect())?;
    let open = of_metric(view, open, &view.schema, true)?;
    LogicalPlanBuilder::from(published).union(open.build()?)?.build()
}

/// The same without open windows.
pub(crate) fn published_plan(view: &MetricView) -> Result<LogicalPlan> {
    of_metric(view, scan(Arc::clone(&view.published))?, &view.published.schema(), false)?.build()
}

fn of_metric(
    view: &MetricView,
    rows: LogicalPlanBuilder,
    found: &Schema,
    is_provisional: bool,
) -> Result<LogicalPlanBuilder> {
    let mut columns = columns(&view.schema, found)?;
    columns.push(lit(is_provisional).alias(PROVISIONAL_COLUMN));
    rows.project(columns)
}

/// A table of rows in memory.
pub(crate) fn in_memory_table(rows: RecordBatch) -> Result<Arc<dyn TableProvider>> {
    Ok(Arc::new(MemTable::try_new(rows.schema(), vec![vec![rows]])?))
}

/// A plan as a table.
pub(crate) fn provider_of(plan: LogicalPlan) -> Arc<dyn TableProvider> {
    Arc::new(ViewTable::new(plan, None))
}

pub(crate) fn scan(provider: Arc<dyn TableProvider>) -> Result<LogicalPlanBuilder> {
    LogicalPlanBuilder::scan("linhas", provider_as_source(provider), None)
}

fn in_memory(schema: &SchemaRef, batches: Vec<RecordBatch>) -> Result<LogicalPlanBuilder> {
    scan(Arc::new(MemTable::try_new(Arc::clone(schema), vec![batches])?))
}

/// The columns of `wanted`, in its order and types. A cast only where one is needed: filters pass
/// plain columns.
fn columns(wanted: &Schema, found: &Schema) -> Result<Vec<Expr>> {
    let column = |field: &FieldRef| {
        let found = found.field_with_name(field.name())?.data_type();
        Ok(match as_type(ident(field.name()), field.data_type(), found) {
            plain @ Expr::Column(_) => plain,
            cast => cast.alias(field.name()),
        })
    };
    wanted.fields().iter().map(column).collect()
}

/// A cast only where one is needed.
pub(crate) fn as_type(column: Expr, wanted: &DataType, found: &DataType) -> Expr {
    if found == wanted { column } else { cast(column, wanted.clone()) }
}
