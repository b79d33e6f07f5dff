//! What an import has brought, to be compared with a report of one's own.

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::datasource::{ViewTable, provider_as_source};
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, ident, lit};
use vitral_catalog::Catalog;
use vitral_schemas::topic::{Topic, history_columns};
use vitral_schemas::verdict::Verdict;
use vitral_store::{History, Layout, Location};

use crate::engine::Engine;
use crate::error::BatchError;
use crate::tables::{plan_query, register_as_written};

/// Rows of a list.
const TOP: usize = 5;

/// Sums as the table's view declares them: of all rows, and the largest.
#[derive(Debug, Clone)]
pub struct Summary {
    /// One row: the sums of all rows.
    pub all: Vec<RecordBatch>,
    /// The rows of the groups with the largest sums, the largest first.
    pub top: Vec<RecordBatch>,
}

/// What the rows of an import amount to; none for tables that declare no sums.
pub async fn of_import(
    catalog: &Catalog,
    topic: &Topic,
    table: &str,
    store: &Location,
    import: &str,
) -> Result<Option<Summary>, BatchError> {
    let Some(view) = catalog.views.iter().find(|view| view.name == table) else { return Ok(None) };
    let Some(target) = view.import.as_ref().filter(|target| !target.sums.is_empty()) else { return Ok(None) };
    let Some(history) = History::read(topic, &Layout::of(store).history(topic)).await? else { return Ok(None) };
    let provider = history.provider().await?;
    let run = async {
        let context = Engine::Local.session()?;
        let wanted = ident(history_columns::IMPORT)
            .eq(lit(import))
            .and(ident(history_columns::VERDICT).eq(lit(Verdict::Counted.name())));
        let columns: Vec<Expr> = topic.columns.iter().map(|column| ident(&column.name)).collect();
        let rows = LogicalPlanBuilder::scan("linhas", provider_as_source(provider), None)?;
        let rows = rows.filter(wanted)?.project(columns)?.build()?;
        register_as_written(&context, &view.query, &topic.name, Arc::new(ViewTable::new(rows, None)))?;
        let plan = plan_query(&context, &view.query).await?;
        context.register_table("importadas", Arc::new(ViewTable::new(plan, None)))?;
        let sums = |by: &[String]| {
            let by: Vec<_> = by.iter().map(|column| quoted(column)).collect();
            let sums = target.sums.iter().map(|column| format!("sum({0}) AS {0}", quoted(column)));
            let columns = by.iter().cloned().chain(["count(*) AS linhas".to_owned()]).chain(sums);
            let columns = columns.collect::<Vec<_>>().join(", ");
            let group = if by.is_empty() { String::new() } else { format!(" GROUP BY {}", by.join(", ")) };
            format!("SELECT {columns} FROM importadas{group}")
        };
        let by = target.sums_by.iter().map(|column| quoted(column)).collect::<Vec<_>>().join(", ");
        let order = if by.is_empty() { by } else { format!(" ORDER BY {by}") };
        let all = context.sql(&(sums(&target.sums_by) + &order)).await?.collect().await?;
        let top = match (&target.top, target.sums.first()) {
            (Some(top), Some(sum)) => {
                let by = [std::slice::from_ref(top), &target.sums_by].concat();
                let order = format!(" ORDER BY {} DESC, {} LIMIT {TOP}", quoted(sum), quoted(top));
                context.sql(&(sums(&by) + &order)).await?.collect().await?
            }
            _ => Vec::new(),
        };
        Ok(Some(Summary { all, top }))
    };
    run.await.map_err(BatchError::engine(table, "summed up"))
}

fn quoted(column: &str) -> String {
    format!("\"{}\"", column.replace('"', "\"\""))
}
