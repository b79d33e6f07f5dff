//! The rows of a table with one row for each key, in the order of their keys or of their last
//! changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::{concat_batches, max, partition};
use arrow::datatypes::TimestampMicrosecondType;
use datafusion::execution::SessionState;
use datafusion::functions_aggregate::expr_fn::max as aggregate_max;
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
    /// Only rows whose last change came after this, in the order of their changes.
    pub changed_after: Option<ChangedAfter>,
    /// How many at most; all of them if there is none.
    pub count: Option<usize>,
}

/// A table, and which of its rows are seen: a condition on its keys.
pub(crate) struct SeenTable<'a> {
    pub view: &'a KeyedTableView,
    pub seen: Option<Expr>,
}

/// A place among the rows of a table in the order of their last changes. Any number of them may
/// have changed at the same time: those are in the order of their keys.
#[derive(Debug, Clone)]
pub struct ChangedAfter {
    micros: i64,
    /// None behind all rows that changed at that time.
    key: Option<Vec<ScalarValue>>,
}

impl ChangedAfter {
    /// Behind every change of these rows, which are all of their table.
    pub fn all_of(rows: &RecordBatch) -> Self {
        let times = rows.column_by_name(UPDATED_COLUMN);
        let times = times.and_then(|times| times.as_primitive_opt::<TimestampMicrosecondType>());
        Self { micros: times.and_then(max).unwrap_or_default(), key: None }
    }

    /// Behind the last of these rows, which are in the order of their changes and begin with a key
    /// of so many columns; none if there are no rows.
    ///
    /// # Errors
    /// They have values that the engine does not know.
    pub fn last_of(rows: &RecordBatch, keys: usize) -> Result<Option<Self>, QueryError> {
        let Some(last) = rows.num_rows().checked_sub(1) else { return Ok(None) };
        let key = rows.columns().iter().take(keys).map(|column| ScalarValue::try_from_array(column, last));
        let key = key.collect::<Result<Vec<_>, _>>()?;
        Ok(Some(Self { key: Some(key), ..Self::all_of(&rows.slice(last, 1)) }))
    }

    fn filter(&self, keys: &[String]) -> Expr {
        let time = || lit(utc(Some(self.micros)));
        let later = ident(UPDATED_COLUMN).gt(time());
        match &self.key {
            Some(key) => later.or(ident(UPDATED_COLUMN).eq(time()).and(behind(keys, key))),
            None => later,
        }
    }
}

/// Behind every change that the rows which are seen have had.
pub(crate) async fn newest_change(state: &SessionState, table: &SeenTable<'_>) -> Result<ChangedAfter, QueryError> {
    // The states know it too, and need not be merged for it.
    let mut rows = match KeyedRows::of(&table.view.rows) {
        Some(known) => LogicalPlanBuilder::from(known.states.clone()),
        None => scan(Arc::clone(&table.view.rows))?,
    };
    if let Some(seen) = &table.seen {
        rows = rows.filter(seen.clone())?;
    }
    let newest = aggregate_max(ident(UPDATED_COLUMN)).alias(UPDATED_COLUMN);
    let frame = frame(state, rows.aggregate(Vec::<Expr>::new(), vec![newest])?.build()?);
    let schema = frame.schema().inner().clone();
    Ok(ChangedAfter::all_of(&concat_batches(&schema, &frame.collect().await?)?))
}

pub(crate) async fn read(
    state: &SessionState,
    table: &SeenTable<'_>,
    wanted: &KeyedFilter<'_>,
) -> Result<RecordBatch, QueryError> {
    let Some(count) = wanted.count else { return read_until(state, table, wanted, None).await };
    // A topic's rows that were deleted have states and no row: a page takes more keys until it is
    // full.
    let mut keys = count;
    loop {
        let last = last_key(state, table, wanted, keys).await?;
        let is_all = last.is_none();
        let rows = read_until(state, table, wanted, last).await?;
        if is_all || rows.num_rows() >= count {
            return Ok(rows);
        }
        keys = keys.saturating_mul(4);
    }
}

/// The rows as far as this key.
async fn read_until(
    state: &SessionState,
    table: &SeenTable<'_>,
    wanted: &KeyedFilter<'_>,
    last: Option<Vec<ScalarValue>>,
) -> Result<RecordBatch, QueryError> {
    let changed = wanted.changed_after.as_ref().map(|after| after.filter(&table.view.keys));
    let first = changed.is_some().then_some(UPDATED_COLUMN);
    let until = last.map(|last| !behind(&table.view.keys, &last));
    let mut builder = scan(Arc::clone(&table.view.rows))?;
    if let Some(filter) = conditions(table, wanted).chain(changed).chain(until).reduce(Expr::and) {
        builder = builder.filter(filter)?;
    }
    let order = first.into_iter().chain(table.view.keys.iter().map(String::as_str));
    let order: Vec<_> = order.map(|column| ident(column).sort(true, false)).collect();
    let plan = builder.sort(order)?.limit(0, wanted.count)?.build()?;
    let frame = frame(state, plan);
    let schema = frame.schema().inner().clone();
    Ok(concat_batches(&schema, &frame.collect().await?)?)
}

/// What is asked of the columns, and from which key on.
fn conditions<'a>(table: &'a SeenTable<'_>, wanted: &'a KeyedFilter<'_>) -> impl Iterator<Item = Expr> + 'a {
    let filters = wanted.filters.iter().map(|(column, value)| ident(*column).eq(lit(*value)));
    filters.chain(wanted.after.as_ref().map(|after| behind(&table.view.keys, after))).chain(table.seen.clone())
}

/// The key number `count` of those that are wanted, so that states of no other keys need be merged,
/// whatever their number. None if all rows from the first on are wanted, or if the states do not
/// tell which are.
async fn last_key(
    state: &SessionState,
    table: &SeenTable<'_>,
    wanted: &KeyedFilter<'_>,
    count: usize,
) -> Result<Option<Vec<ScalarValue>>, QueryError> {
    let Some(rows) = KeyedRows::of(&table.view.rows) else { return Ok(None) };
    let is_of_keys = wanted.filters.keys().all(|column| table.view.keys.iter().any(|key| key == column));
    if !is_of_keys || wanted.changed_after.is_some() {
        return Ok(None);
    }
    // Most keys have few states.
    let mut taken = count.saturating_mul(2);
    loop {
        let mut states = LogicalPlanBuilder::from(rows.states.clone());
        if let Some(filter) = conditions(table, wanted).reduce(Expr::and) {
            states = states.filter(filter)?;
        }
        let order: Vec<_> = table.view.keys.iter().map(|key| ident(key).sort(true, false)).collect();
        let keys = states.project(table.view.keys.iter().map(ident).collect::<Vec<_>>())?;
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
    use arrow::array::{ArrayRef, Int64Array, StringArray};
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
            let rows = read(&state, &SeenTable { view: &view, seen: None }, &wanted).await.expect("a page");
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
