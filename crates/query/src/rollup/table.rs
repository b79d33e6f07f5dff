//! `soma.NAME`: one row for each group, of what the statement's WHERE selects.
//!
//! Time and filters are columns for conditions alone: a row is of many times. What cannot be
//! answered exactly is refused rather than filtered afterwards.

use std::sync::Arc;

use arrow::array::{ArrayRef, Decimal128Array, Int64Array, RecordBatch, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{MemTable, Session, TableProvider};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::datasource::TableType;
use datafusion::error::{DataFusionError, Result};
use datafusion::functions_aggregate::expr_fn::{count_distinct, sum};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, TableProviderFilterPushDown, ident};
use datafusion::physical_plan::ExecutionPlan;
use vitral_catalog::Rollup;

use super::conditions::{Conditions, is_condition};
use super::now::{Now, SumsVersion};
use super::sums::Groups;

/// Sums as a table.
#[derive(Debug)]
pub(crate) struct RollupTable {
    name: String,
    rollup: Rollup,
    /// The names of the columns that are summed up.
    columns: Vec<String>,
    schema: SchemaRef,
    source: Source,
}

/// Where the sums are from.
#[derive(Debug)]
pub(crate) enum Source {
    /// They are in memory.
    Sums(Arc<Now>),
    /// They are to be computed from the table's rows.
    Rows(Box<LogicalPlan>),
}

impl RollupTable {
    /// `of` are the columns of the table that it sums up.
    pub(crate) fn new(name: &str, rollup: &Rollup, columns: Vec<String>, source: Source, of: &Schema) -> Result<Self> {
        let field = |name: &String| -> Result<Field> {
            let found = of.field_with_name(name)?;
            Ok(Field::new(name, found.data_type().clone(), true))
        };
        let once = rollup.once.as_ref().map(|(_, name)| Field::new(name, DataType::Int64, false));
        let mut fields = vec![field(&rollup.by)?];
        fields.extend(columns.iter().map(field).collect::<Result<Vec<_>>>()?);
        fields.extend(once);
        fields.push(field(&rollup.time)?);
        fields.extend(rollup.filters.iter().map(field).collect::<Result<Vec<_>>>()?);
        let schema = Arc::new(Schema::new(fields));
        Ok(Self { name: name.to_owned(), rollup: rollup.clone(), columns, schema, source })
    }

    /// How many columns have values; those after them are for conditions.
    fn shown(&self) -> usize {
        1 + self.columns.len() + usize::from(self.rollup.once.is_some())
    }

    fn check(&self, projection: Option<&Vec<usize>>) -> Result<()> {
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        let hidden = projection.unwrap_or(&all).iter().find(|column| **column >= self.shown());
        let Some(column) = hidden.map(|column| self.schema.field(*column).name()) else { return Ok(()) };
        let Rollup { time, filters, .. } = &self.rollup;
        Err(DataFusionError::Plan(format!(
            "{column} of soma.{0} is for conditions alone, and these are joined by AND: {time} >= or < a time; one of {1} = a value. Read \
             {0} for anything else",
            self.name,
            std::iter::once(&self.rollup.by).chain(filters).cloned().collect::<Vec<_>>().join(", "),
        )))
    }

    /// The columns that have values.
    pub(super) fn shown_columns(&self) -> SchemaRef {
        let fields: Vec<_> = self.schema.fields().iter().take(self.shown()).cloned().collect();
        Arc::new(Schema::new(fields))
    }

    /// The columns that have values.
    fn rows_of(&self, now: &Now, conditions: &Conditions) -> Result<RecordBatch> {
        let groups = if conditions.is_never {
            Groups::none(self.columns.len())
        } else {
            now.sums.of(conditions.range, &conditions.filters)
        };
        self.batch(groups)
    }

    /// The values that meet these conditions, and what tells whether they are the same as before;
    /// none if they are not in memory.
    pub(super) fn shown_rows(&self, conditions: &Conditions) -> Result<Option<RecordBatch>> {
        let Source::Sums(now) = &self.source else { return Ok(None) };
        Ok(Some(self.rows_of(now, conditions)?))
    }

    /// Which sums it gives over a range; none if they are not in memory.
    pub(super) fn version(&self, conditions: &Conditions) -> Option<SumsVersion> {
        match &self.source {
            Source::Sums(now) => Some(now.version(conditions)),
            Source::Rows(_) => None,
        }
    }

    fn batch(&self, groups: Groups) -> Result<RecordBatch> {
        let mut columns: Vec<ArrayRef> = vec![cast(&groups.values, self.schema.field(0).data_type())?];
        for (sums, field) in groups.sums.into_iter().zip(&self.schema.fields()[1..]) {
            columns.push(sums_as(sums, field.data_type())?);
        }
        if self.rollup.once.is_some() {
            columns.push(Arc::new(Int64Array::from(groups.once)));
        }
        Ok(RecordBatch::try_new(self.shown_columns(), columns)?)
    }

    /// With the columns that are for conditions alone.
    fn with_hidden(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let hidden = self.schema.fields()[self.shown()..].iter();
        let hidden = hidden.map(|field| new_null_array(field.data_type(), rows.num_rows()));
        let columns = rows.columns().iter().cloned().chain(hidden).collect();
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }

    /// The same rows from those of the table.
    fn plan(&self, rows: &LogicalPlan, filters: &[Expr]) -> Result<LogicalPlan> {
        let mut rows = LogicalPlanBuilder::from(rows.clone());
        for filter in filters {
            // The column is one of this table's in the statement, and of the rows' here.
            let own = filter.clone().transform(|expr| {
                Ok(match expr {
                    Expr::Column(column) => Transformed::yes(ident(column.name)),
                    other => Transformed::no(other),
                })
            });
            rows = rows.filter(own?.data)?;
        }
        let mut aggregates: Vec<Expr> = self.columns.iter().map(|name| sum(ident(name)).alias(name)).collect();
        if let Some((key, name)) = &self.rollup.once {
            aggregates.push(count_distinct(ident(key)).alias(name));
        }
        let columns = self.schema.fields().iter().take(self.shown()).zip(
            std::iter::once(&self.rollup.by)
                .chain(self.columns.iter().chain(self.rollup.once.as_ref().map(|(_, name)| name))),
        );
        let columns: Vec<Expr> = columns
            .map(|(field, name)| datafusion::logical_expr::cast(ident(name), field.data_type().clone()).alias(name))
            .collect();
        rows.aggregate(vec![ident(&self.rollup.by)], aggregates)?.project(columns)?.build()
    }
}

impl RollupTable {
    async fn compute(
        &self,
        rows: &LogicalPlan,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut plan = LogicalPlanBuilder::from(self.plan(rows, filters)?);
        if let Some(projection) = projection {
            let columns = plan.schema().columns();
            plan = plan.project(projection.iter().map(|column| Expr::Column(columns[*column].clone())))?;
        }
        state.create_physical_plan(&plan.limit(0, limit)?.build()?).await
    }
}

/// Whole numbers, in the column's type. A sum too large for it is an error, as it is in SQL.
fn sums_as(values: Vec<i128>, data_type: &DataType) -> Result<ArrayRef> {
    if let DataType::Decimal128(precision, scale) = data_type {
        let values = Decimal128Array::from(values).with_precision_and_scale(*precision, *scale)?;
        values.validate_decimal_precision(*precision)?;
        return Ok(Arc::new(values));
    }
    let whole = values.into_iter().map(i64::try_from).collect::<std::result::Result<Vec<_>, _>>();
    let whole = whole.map_err(|_| DataFusionError::Execution("a sum is larger than 64 bits".to_owned()))?;
    Ok(cast(&Int64Array::from(whole), data_type)?)
}

#[async_trait]
impl TableProvider for RollupTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let supported = |filter: &&Expr| match is_condition(&self.rollup, filter) {
            true => TableProviderFilterPushDown::Exact,
            false => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(supported).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.check(projection)?;
        let now = match &self.source {
            Source::Sums(now) => now,
            Source::Rows(rows) => return self.compute(rows, state, projection, filters, limit).await,
        };
        let rows = self.with_hidden(&self.rows_of(now, &Conditions::read(&self.rollup, filters))?)?;
        let rows = MemTable::try_new(self.schema(), vec![vec![rows]])?;
        rows.scan(state, projection, &[], limit).await
    }
}
