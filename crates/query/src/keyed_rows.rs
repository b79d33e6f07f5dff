//! The rows of a table with one row for each key, in the order of their keys.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use arrow::compute::{concat_batches, partition};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, ident, lit};
use datafusion::scalar::ScalarValue;
use vitral_catalog::UPDATED_COLUMN;
use vitral_panes::view::KeyedTableView;
use vitral_store::KeyedRows;

use crate::error::QueryError;
use crate::plan::frame;
use crate::tables::{scan, utc};

/// Which rows of a table are wanted.
#[derive(Debug, Default)]
pub struct KeyedFilter<'a> {
    /// Text columns and the values that they must have.
    pub filters: BTreeMap<&'a str, &'a str>,
    /// Only rows behind this key: one value for each of its columns.
    pub after: Option<Vec<ScalarValue>>,
    /// Only rows whose last change came after this, in microseconds.
    pub updated_after: Option<i64>,
    /// How many at most; all of them if there is none.
    pub count: Option<usize>,
}

pub(crate) async fn read(
    state: &SessionState,
    view: &KeyedTableView,
    wanted: &KeyedFilter<'_>,
) -> Result<RecordBatch, QueryError> {
    let Some(count) = wanted.count else { return read_until(state, view, wanted, None).await };
    // A topic's rows that were deleted have states and no row: a page takes more keys until it is
    // full.
    let mut keys = count;
    loop {
        let last = last_key(state, view, wanted, keys).await?;
        let is_all = last.is_none();
        let rows = read_until(state, view, wanted, last).await?;
        if is_all || rows.num_rows() >= count {
            return Ok(rows);
        }
        keys = keys.saturating_mul(4);
    }
}

/// The rows as far as this key.
async fn read_until(
    state: &SessionState,
    view: &KeyedTableView,
    wanted: &KeyedFilter<'_>,
    last: Option<Vec<ScalarValue>>,
) -> Result<RecordBatch, QueryError> {
    let updated = wanted.updated_after.map(|micros| ident(UPDATED_COLUMN).gt(lit(utc(Some(micros)))));
    let until = last.map(|last| !behind(&view.keys, &last));
    let mut builder = scan(std::sync::Arc::clone(&view.rows))?;
    if let Some(filter) = conditions(view, wanted).chain(updated).chain(until).reduce(Expr::and) {
        builder = builder.filter(filter)?;
    }
    let order: Vec<_> = view.keys.iter().map(|key| ident(key).sort(true, false)).collect();
    let plan = builder.sort(order)?.limit(0, wanted.count)?.build()?;
    let frame = frame(state, plan);
    let schema = frame.schema().inner().clone();
    Ok(concat_batches(&schema, &frame.collect().await?)?)
}

/// What is asked of the columns, and from which key on.
fn conditions<'a>(view: &'a KeyedTableView, wanted: &'a KeyedFilter<'_>) -> impl Iterator<Item = Expr> + 'a {
    let filters = wanted.filters.iter().map(|(column, value)| ident(*column).eq(lit(*value)));
    filters.chain(wanted.after.as_ref().map(|after| behind(&view.keys, after)))
}

/// The key number `count` of those that are wanted, so that states of no other keys need be merged,
/// whatever their number. None if all rows from the first on are wanted, or if the states do not
/// tell which are.
async fn last_key(
    state: &SessionState,
    view: &KeyedTableView,
    wanted: &KeyedFilter<'_>,
    count: usize,
) -> Result<Option<Vec<ScalarValue>>, QueryError> {
    let Some(rows) = KeyedRows::of(&view.rows) else { return Ok(None) };
    let is_of_keys = wanted.filters.keys().all(|column| view.keys.iter().any(|key| key == column));
    if !is_of_keys || wanted.updated_after.is_some() {
        return Ok(None);
    }
    // Most keys have few states.
    let mut taken = count.saturating_mul(2);
    loop {
        let mut states = LogicalPlanBuilder::from(rows.states.clone());
        if let Some(filter) = conditions(view, wanted).reduce(Expr::and) {
            states = states.filter(filter)?;
        }
        let order: Vec<_> = view.keys.iter().map(|key| ident(key).sort(true, false)).collect();
        let keys = states.project(view.keys.iter().map(ident).collect::<Vec<_>>())?;
        let keys = frame(state, keys.sort(order)?.limit(0, Some(taken))?.build()?);
        let schema = keys.schema().inner().clone();
        let keys = concat_batches(&schema, &keys.collect().await?)?;
        let partitions = partition(keys.columns())?.ranges();
        if let Some(last) = count.checked_sub(1).and_then(|last| partitions.get(last)) {
            let values = keys.columns().iter().map(|column| ScalarValue::try_from_array(column, last.start));
            return Ok(Some(values.collect::<Result<_, _>>()?));
        }
        if keys.num_rows() < taken {
            return Ok(None);
        }
        taken = taken.saturating_mul(4);
    }
}

/// Whether a key comes after this one, nulls last.
fn behind(keys: &[String], after: &[ScalarValue]) -> Expr {
    let mut behind = lit(false);
    for (key, value) in keys.iter().zip(after).rev() {
        let (key, literal) = (|| ident(key), || lit(value.clone()));
        behind = if value.is_null() {
            key().is_null().and(behind)
        } else {
            key().is_null().or(key().gt(literal())).or(key().eq(literal()).and(behind))
        };
    }
    behind
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, AsArray, Int64Array, StringArray};
    use arrow::datatypes::Int64Type;
    use datafusion::catalog::TableProvider;
    use datafusion::prelude::SessionContext;

    use super::*;
    use crate::tables::in_memory_table;

    #[tokio::test]
    async fn pages_by_key_leave_no_row_out_and_none_twice() {
        let keys = [(None, Some(1)), (Some("a"), None), (Some("a"), Some(2)), (Some("b"), Some(-1)), (None, None)];
        let texts: ArrayRef = Arc::new(keys.iter().map(|(text, _)| *text).collect::<StringArray>());
        let numbers: ArrayRef = Arc::new(keys.iter().map(|(_, number)| *number).collect::<Int64Array>());
        let rows = RecordBatch::try_from_iter([("k", texts), ("n", numbers)]).expect("rows");
        // Each key with three states.
        let states = concat_batches(&rows.schema(), [&rows, &rows, &rows]).expect("states");
        let states = scan(in_memory_table(states).expect("a table")).expect("scanned");
        let states = states.build().expect("states");
        let merged = LogicalPlanBuilder::from(states.clone()).distinct().and_then(LogicalPlanBuilder::build);
        let merged = KeyedRows { states, since_ms: None }.table(merged.expect("merged"));
        for rows in [in_memory_table(rows).expect("a table"), merged] {
            pages(rows).await;
        }
    }

    async fn pages(rows: Arc<dyn TableProvider>) {
        let view = KeyedTableView {
            topic: "t".to_owned(),
            keys: vec!["k".to_owned(), "n".to_owned()],
            rows,
            through: Arc::default(),
            since_ms: None,
            failure: None,
        };
        let (state, mut after, mut seen) = (SessionContext::new().state(), None, Vec::new());
        loop {
            let wanted = KeyedFilter { after, count: Some(1), ..KeyedFilter::default() };
            let rows = read(&state, &view, &wanted).await.expect("a page");
            if rows.num_rows() == 0 {
                break;
            }
            let (text, number) = (rows.column(0).as_string::<i32>(), rows.column(1).as_primitive::<Int64Type>());
            seen.push((text.iter().next().flatten().map(str::to_owned), number.iter().next().flatten()));
            let value = |column: usize| ScalarValue::try_from_array(rows.column(column), 0).expect("a value");
            after = Some(vec![value(0), value(1)]);
        }
        let text = |text: &str| Some(text.to_owned());
        let expected = [(text("a"), Some(2)), (text("a"), None), (text("b"), Some(-1)), (None, Some(1)), (None, None)];
        assert_eq!(seen, expected);
    }
}
