//! The rows that come after an answer that was cut off, by the values of the query's own order.
//!
//! A cursor holds the last row's values of the columns in `ORDER BY`; the next page is every row
//! behind them. No row is counted off, so rows that come or go meanwhile shift nothing. A row whose
//! values change while somebody reads stands where its new values put it: a period that is over
//! reads the same however often.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::expr::Sort as SortKey;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, ExprSchemable, Limit, LogicalPlan, LogicalPlanBuilder, Sort, is_null, lit};
use datafusion::physical_expr::create_physical_expr;
use datafusion::sql::sqlparser::ast::{self, LimitClause, Query};

use vitral_query::LIMIT;

use crate::problem::Problem;

/// Whether the query ends in `LIMIT $limite` and names that nowhere else: then one row more only
/// shows whether there is one.
pub(super) fn is_limited(query: &Query) -> bool {
    let placeholder = format!("${LIMIT}");
    let is_placeholder = |limit: &ast::Expr| limit.to_string() == placeholder;
    let at_the_end = match &query.limit_clause {
        Some(LimitClause::LimitOffset { limit: Some(limit), offset: None, limit_by }) => {
            limit_by.is_empty() && is_placeholder(limit)
        }
        _ => false,
    };
    at_the_end && query.to_string().matches(&placeholder).count() == 1
}

/// The order of a query's rows, as far as its answer shows it.
pub(super) struct Order {
    limit: Limit,
    keys: Vec<SortKey>,
    rows: LogicalPlan,
}

impl Order {
    /// None if the rows have no order, or one by something that is not in the answer.
    pub(super) fn of(plan: &LogicalPlan) -> Option<Self> {
        let LogicalPlan::Limit(limit) = plan else { return None };
        let LogicalPlan::Sort(Sort { expr: keys, input, .. }) = limit.input.as_ref() else { return None };
        let schema = input.schema();
        let is_shown = |key: &SortKey| key.expr.column_refs().iter().all(|column| schema.has_column(column));
        if !keys.iter().all(is_shown) {
            return None;
        }
        Some(Self { limit: limit.clone(), keys: keys.clone(), rows: input.as_ref().clone() })
    }

    /// The same query for the rows behind the cursor.
    pub(super) fn after(self, cursor: &Cursor) -> Result<LogicalPlan, AfterError> {
        let types = self.keys.iter().map(|key| key.expr.get_type(self.rows.schema()));
        let types = types.collect::<Result<Vec<_>>>()?;
        if types.len() != cursor.0.len() {
            return Err(AfterError::Cursor);
        }
        let values = cursor.0.iter().zip(&types).map(|(text, data_type)| match text {
            Some(text) => ScalarValue::try_from_string(text.clone(), data_type),
            None => ScalarValue::try_from(data_type),
        });
        let values = values.collect::<Result<Vec<_>>>().map_err(|_| AfterError::Cursor)?;
        let sorted =
            LogicalPlanBuilder::from(self.rows).filter(behind(&self.keys, &values))?.sort(self.keys)?.build()?;
        Ok(LogicalPlan::Limit(Limit { input: sorted.into(), ..self.limit }))
    }

    /// Where the page that ends with `last` ends; none if the order does not tell that row from the
    /// next one.
    pub(super) fn cursor(&self, last: &RecordBatch, next: &RecordBatch) -> Option<Cursor> {
        let values = |row: &RecordBatch| self.keys.iter().map(|key| text(self.value(key, row)?.as_ref())).collect();
        let (last, next): (Option<Vec<_>>, Option<Vec<_>>) = (values(last), values(next));
        let (last, next) = (last?, next?);
        (last != next).then_some(Cursor(last))
    }

    /// What a row is ordered by: a column of the answer, or something that is computed from some.
    fn value(&self, key: &SortKey, row: &RecordBatch) -> Option<ArrayRef> {
        let schema = self.rows.schema();
        // By name: names of ids stand between the columns of an answer.
        let columns = schema.fields().iter().map(|field| row.column_by_name(field.name()).cloned());
        let columns = columns.collect::<Option<Vec<_>>>()?;
        if let Expr::Column(column) = &key.expr {
            return columns.get(schema.maybe_index_of_column(column)?).cloned();
        }
        let fields = schema.fields().iter().zip(&columns);
        let fields = fields.map(|(field, column)| Field::new(field.name(), column.data_type().clone(), true));
        let row = RecordBatch::try_new(Arc::new(Schema::new(fields.collect::<Vec<_>>())), columns).ok()?;
        let expression =
            create_physical_expr(&key.expr, schema, &ExecutionProps::new(), &PhysicalPlanningContext::default());
        let expression = expression.ok()?;
        expression.evaluate(&row).ok()?.into_array(1).ok()
    }
}

pub(super) enum AfterError {
    /// It is not of this query.
    Cursor,
    Engine(datafusion::error::DataFusionError),
}

impl From<datafusion::error::DataFusionError> for AfterError {
    fn from(error: datafusion::error::DataFusionError) -> Self {
        Self::Engine(error)
    }
}

/// A row that has the first keys and a later value of the next one, for any of them.
fn behind(keys: &[SortKey], values: &[ScalarValue]) -> Expr {
    let mut same: Option<Expr> = None;
    let mut any: Option<Expr> = None;
    for (key, value) in keys.iter().zip(values) {
        if let Some(later) = later(key, value) {
            let found = same.clone().map_or(later.clone(), |same| same.and(later));
            any = Some(any.map_or(found.clone(), |any| any.or(found)));
        }
        let equal = if value.is_null() { is_null(key.expr.clone()) } else { key.expr.clone().eq(lit(value.clone())) };
        same = Some(same.map_or(equal.clone(), |same| same.and(equal)));
    }
    any.unwrap_or_else(|| lit(false))
}

/// None if nothing is later.
fn later(key: &SortKey, value: &ScalarValue) -> Option<Expr> {
    let column = || key.expr.clone();
    match (value.is_null(), key.nulls_first) {
        (true, true) => Some(column().is_not_null()),
        (true, false) => None,
        (false, nulls_first) => {
            let value = lit(value.clone());
            let beyond = if key.asc { column().gt(value) } else { column().lt(value) };
            Some(if nulls_first { beyond } else { beyond.or(is_null(column())) })
        }
    }
}

/// One row's value as text that reads back as the same value.
fn text(column: &dyn Array) -> Option<Option<String>> {
    let is_plain = |data_type: &DataType| {
        data_type.is_numeric()
            || matches!(
                data_type,
                DataType::Boolean
                    | DataType::Utf8
                    | DataType::LargeUtf8
                    | DataType::Utf8View
                    | DataType::Timestamp(..)
                    | DataType::Date32
            )
    };
    if !is_plain(column.data_type()) {
        return None;
    }
    if column.is_null(0) {
        return Some(None);
    }
    let texts = cast(column, &DataType::Utf8).ok()?;
    Some(Some(texts.as_string::<i32>().value(0).to_owned()))
}

/// The last row's values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cursor(Vec<Option<String>>);

impl Cursor {
    /// `fingerprint` binds it to what was asked.
    pub(super) fn write(&self, fingerprint: &str) -> String {
        let text = serde_json::to_vec(&(fingerprint, &self.0)).unwrap_or_default();
        URL_SAFE_NO_PAD.encode(text)
    }

    pub(super) fn read(text: &str, fingerprint: &str) -> Result<Self, Problem> {
        let parsed = URL_SAFE_NO_PAD.decode(text).ok();
        let parsed = parsed.and_then(|bytes| serde_json::from_slice::<(String, Vec<Option<String>>)>(&bytes).ok());
        let (asked, values) =
            parsed.ok_or_else(|| Problem::invalid_cursor("the cursor was not made by this server"))?;
        if asked != fingerprint {
            return Err(Problem::invalid_cursor("cursor belongs to a request with other parameters"));
        }
        Ok(Self(values))
    }
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::SessionContext;
    use vitral_catalog::{Catalog, DomainSettings, SourceFile};

    use super::*;

    fn limited(sql: &str) -> bool {
        let text = format!("CREATE VIEW x WITH (path = '/x') AS {sql};");
        let file = SourceFile { path: "a.sql".into(), text };
        let catalog = Catalog::parse(&[vec![file]], &DomainSettings::default()).expect("a catalog");
        is_limited(&catalog.endpoints[0].query)
    }

    #[test]
    fn only_a_plain_limit_at_the_end_may_be_raised_by_one() {
        assert!(limited("SELECT 1 AS n LIMIT $limite"));
        assert!(!limited("SELECT 1 AS n"));
        assert!(!limited("SELECT 1 AS n LIMIT 5"));
        assert!(!limited("SELECT 1 AS n LIMIT $limite + 1"));
        assert!(!limited("SELECT 1 AS n LIMIT $limite OFFSET 3"));
        assert!(!limited("SELECT * FROM (SELECT 1 AS n LIMIT $limite) LIMIT $limite"));
    }

    /// All rows of a query, three at a time.
    async fn paged(order: &str) -> Vec<String> {
        let context = SessionContext::new();
        let rows = "(VALUES (1, 'a', 1.50), (1, 'b', NULL), (2, NULL, 0.10), (NULL, 'c', 7.00), (NULL, NULL, NULL), (2, 'a', -1.00))";
        let sql = format!("SELECT * FROM {rows} AS t (n, s, d) ORDER BY {order} LIMIT 2");
        let plan = context.state().create_logical_plan(&sql).await.expect("planned");
        let (mut seen, mut cursor): (Vec<String>, Option<Cursor>) = (Vec::new(), None);
        loop {
            let order = Order::of(&plan).expect("an order");
            let page = match &cursor {
                Some(cursor) => match order.after(cursor) {
                    Ok(page) => page,
                    Err(_) => panic!("the cursor is right"),
                },
                None => plan.clone(),
            };
            let batches = context.execute_logical_plan(page).await.expect("planned").collect().await.expect("rows");
            let Some(batch) = batches.iter().find(|batch| batch.num_rows() > 0) else { return seen };
            for row in 0..batch.num_rows() {
                let row = batch.slice(row, 1);
                let values = row.columns().iter().map(|column| text(column).flatten().unwrap_or_else(|| "-".into()));
                seen.push(values.collect::<Vec<_>>().join(" "));
            }
            let order = Order::of(&plan).expect("an order");
            let last = batch.slice(batch.num_rows() - 1, 1);
            cursor = order.cursor(&last, &batch.slice(0, 1));
            let written = cursor.as_ref().map(|cursor| cursor.write("q"));
            let Some(written) = written else { return seen };
            cursor = Some(Cursor::read(&written, "q").expect("ours"));
        }
    }

    #[tokio::test]
    async fn pages_follow_each_other_in_every_order() {
        for (order, expected) in [
            ("n, s, d", "1 a 1.5|1 b -|2 a -1.0|2 - 0.1|- c 7.0|- - -"),
            ("n DESC, s DESC, d", "- - -|- c 7.0|2 - 0.1|2 a -1.0|1 b -|1 a 1.5"),
            ("n NULLS FIRST, s DESC NULLS LAST, d", "- c 7.0|- - -|1 b -|1 a 1.5|2 a -1.0|2 - 0.1"),
            ("CASE s WHEN 'c' THEN 0 WHEN 'b' THEN 1 ELSE 2 END, d", "- c 7.0|1 b -|2 a -1.0|2 - 0.1|1 a 1.5|- - -"),
            ("d DESC NULLS LAST, n DESC NULLS LAST", "- c 7.0|1 a 1.5|2 - 0.1|2 a -1.0|1 b -|- - -"),
        ] {
            assert_eq!(paged(order).await.join("|"), expected, "{order}");
        }
    }

    #[test]
    fn cursors_of_others_are_refused() {
        let cursor = Cursor(vec![Some("1".into()), None]);
        let text = cursor.write("q");
        assert_eq!(Cursor::read(&text, "q"), Ok(cursor));
        assert!(Cursor::read(&text, "other").is_err());
        assert!(Cursor::read("abc", "q").is_err() && Cursor::read("", "q").is_err());
    }
}
