//! Statements over sums whose plans are made once. All that differs from one request to the next is
//! which range and values are asked for, how many rows, and the sums themselves: these are handed
//! to the plan when it runs.

mod given;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::catalog::streaming::StreamingTable;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchemaRef, ParamValues, ScalarValue};
use datafusion::datasource::{DefaultTableSource, provider_as_source, source_as_provider};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, SessionState, TaskContext};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::utils::split_conjunction_owned;
use datafusion::logical_expr::{Expr, Filter, LogicalPlan, LogicalPlanBuilder, TableScan};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_plan::execution_plan::reset_plan_states;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use vitral_catalog::names::SUMS_SCHEMA;
use vitral_catalog::{KeyedView, Rollup};

use self::given::{Condition, Given};
use super::conditions::{Conditions, is_condition};
use super::now::SumsVersion;
use super::table::RollupTable;
use crate::cache::State;
use crate::placeholders::LIMIT;

/// So many numbers of rows are planned for; those who ask for others wait for a plan.
const PLANS_MAX: u64 = 64;

/// A statement that reads one table of sums and nothing else.
#[derive(Debug)]
pub struct SumsPlan {
    /// The table whose sums it reads.
    pub(crate) view: String,
    rollup: Rollup,
    /// What its WHERE says.
    conditions: Vec<Condition>,
    /// The columns that conditions are of.
    columns: DFSchemaRef,
    /// All but the conditions. It has a placeholder for the number of rows alone.
    rows: LogicalPlan,
    state: SessionState,
    /// By the number of rows.
    plans: moka::future::Cache<usize, Arc<dyn ExecutionPlan>>,
}

/// The sums that a plan is run for.
struct Handed(RecordBatch);

/// Where a plan takes them from.
#[derive(Debug)]
struct Slot(SchemaRef);

impl PartitionStream for Slot {
    fn schema(&self) -> &SchemaRef {
        &self.0
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let handed = context.session_config().get_extension::<Handed>();
        let rows = handed.ok_or_else(|| DataFusionError::Internal("a plan runs without its sums".to_owned()));
        let rows = futures::stream::iter([rows.map(|handed| handed.0.clone())]);
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.0), rows))
    }
}

impl SumsPlan {
    /// None unless the statement reads sums alone, and its other parts are the same for all who
    /// ask.
    pub(crate) async fn of(plan: &LogicalPlan, view: &KeyedView, state: &SessionState) -> Result<Option<Self>> {
        let Some(rollup) = &view.rollup else { return Ok(None) };
        let Some((scan, table)) = only_scan(plan, view)? else { return Ok(None) };
        let slot = StreamingTable::try_new(table.clone(), vec![Arc::new(Slot(table))])?;
        let slot =
            LogicalPlanBuilder::scan(scan.table_name.clone(), provider_as_source(Arc::new(slot)), None)?.build()?;
        let mut conditions = Vec::new();
        let rows = plan.clone().transform_down(|node| {
            let predicate = match &node {
                LogicalPlan::Filter(Filter { predicate, input, .. })
                    if matches!(input.as_ref(), LogicalPlan::TableScan(_)) =>
                {
                    predicate
                }
                LogicalPlan::TableScan(_) => return Ok(Transformed::new(slot.clone(), true, TreeNodeRecursion::Jump)),
                _ => return Ok(Transformed::no(node)),
            };
            conditions = split_conjunction_owned(predicate.clone());
            Ok(Transformed::new(slot.clone(), true, TreeNodeRecursion::Jump))
        })?;
        let rows = rows.data;
        let others: HashSet<String> =
            rows.get_parameter_names()?.into_iter().filter(|name| name != &format!("${LIMIT}")).collect();
        if !others.is_empty() {
            return Ok(None);
        }
        let mut state = state.clone();
        state.config_mut().options_mut().execution.target_partitions = 1;
        let plans = moka::future::Cache::new(PLANS_MAX);
        let columns = Arc::clone(&scan.projected_schema);
        let conditions = conditions.into_iter().map(Condition::new).collect();
        let planned = Self { view: view.name.clone(), rollup: rollup.clone(), conditions, columns, rows, state, plans };
        // What cannot be planned so names columns that are for conditions alone.
        Ok(planned.plan(1).await.is_ok().then_some(planned))
    }

    /// What these values ask for; none if that is something that sums cannot say.
    pub(crate) fn conditions(&self, values: &HashMap<String, ScalarValue>) -> Result<Option<Conditions>> {
        let mut all = Vec::with_capacity(self.conditions.len());
        for condition in &self.conditions {
            match condition.with(values, |given| self.is_simple(given), |given| self.simplified(given))? {
                Given::All(conditions) if conditions.iter().all(|one| is_condition(&self.rollup, one)) => {
                    all.extend(conditions);
                }
                Given::All(_) => return Ok(None),
                Given::Never => return Ok(Some(Conditions::never())),
            }
        }
        Ok(Some(Conditions::read(&self.rollup, &all)))
    }

    /// Most are what they have to be.
    fn is_simple(&self, given: &Expr) -> bool {
        is_condition(&self.rollup, given) && given.column_refs().iter().all(|column| self.is_plain(&column.name))
    }

    fn simplified(&self, given: Expr) -> Result<Expr> {
        let context = SimplifyContext::builder()
            .with_schema(Arc::clone(&self.columns))
            .with_config_options(Arc::clone(self.state.config_options()))
            .with_current_time()
            .build();
        let simplifier = ExprSimplifier::new(context);
        simplifier.simplify(simplifier.coerce(given, &self.columns)?)
    }

    /// Whether a value of the column is compared as it is.
    fn is_plain(&self, column: &str) -> bool {
        let field = self.columns.field_with_unqualified_name(column);
        field.is_ok_and(|field| {
            use DataType::{LargeUtf8, Timestamp, Utf8, Utf8View};
            matches!(field.data_type(), Utf8 | LargeUtf8 | Utf8View | Timestamp(..))
        })
    }

    /// The statement's rows, so many of them at most, from these sums.
    pub(crate) async fn run(&self, sums: RecordBatch, limit: usize) -> Result<SendableRecordBatchStream> {
        // A plan that has run knows of that.
        let plan = reset_plan_states(self.plan(limit).await?)?;
        let config = self.state.config().clone().with_extension(Arc::new(Handed(sums)));
        let none = (HashMap::new(), HashMap::new(), HashMap::new(), HashMap::new());
        // Its functions are in the plan.
        let context = TaskContext::new(
            None,
            String::new(),
            config,
            none.0,
            none.1,
            none.2,
            none.3,
            Arc::clone(self.state.runtime_env()),
        );
        execute_stream(plan, Arc::new(context))
    }

    async fn plan(&self, limit: usize) -> Result<Arc<dyn ExecutionPlan>> {
        if let Some(plan) = self.plans.get(&limit).await {
            return Ok(plan);
        }
        let rows = ScalarValue::Int64(i64::try_from(limit).ok());
        let values = ParamValues::from(HashMap::from([(LIMIT.to_owned(), rows)]));
        let plan = self.state.create_physical_plan(&self.rows.clone().with_param_values(values)?).await?;
        self.plans.insert(limit, Arc::clone(&plan)).await;
        Ok(plan)
    }
}

/// What one request asks a plan for.
#[derive(Debug)]
pub struct SumsQuestion {
    table: RollupTable,
    conditions: Conditions,
    version: SumsVersion,
}

impl SumsQuestion {
    /// None if the sums are not in memory.
    pub(crate) fn new(table: RollupTable, conditions: Conditions) -> Option<Self> {
        let version = table.version(&conditions)?;
        Some(Self { table, conditions, version })
    }

    /// Of what its answer is made.
    pub fn state(&self) -> State {
        State::of_sums(self.version)
    }

    pub(crate) fn rows(&self) -> Result<RecordBatch> {
        let rows = self.table.shown_rows(&self.conditions)?;
        rows.ok_or_else(|| DataFusionError::Internal("sums in memory are not there".to_owned()))
    }
}

/// The only table that a statement reads, if it is the sums of this one, and the columns of its
/// rows.
fn only_scan(plan: &LogicalPlan, view: &KeyedView) -> Result<Option<(TableScan, SchemaRef)>> {
    let mut scans = Vec::new();
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            scans.push(scan.clone());
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    let Ok([scan]) = <[TableScan; 1]>::try_from(scans) else { return Ok(None) };
    let is_own = scan.table_name.schema() == Some(SUMS_SCHEMA) && scan.table_name.table() == view.name;
    if !is_own || scan.source.downcast_ref::<DefaultTableSource>().is_none() {
        return Ok(None);
    }
    let provider = source_as_provider(&scan.source)?;
    let shown = provider.downcast_ref::<RollupTable>().map(RollupTable::shown_columns);
    Ok(shown.map(|shown| (scan, shown)))
}

#[cfg(test)]
mod tests;
