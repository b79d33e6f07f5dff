//! How a table's states are made of rows, merged, and turned into what is read.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::dataframe::DataFrame;
use datafusion::datasource::empty::EmptyTable;
use datafusion::datasource::{ViewTable, provider_as_source};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::context::SessionContext;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::functions_aggregate::expr_fn::{array_agg, max, min};
use datafusion::functions_nested::expr_fn::{array_distinct, cardinality, flatten};
use datafusion::logical_expr::{
    Expr, ExprFunctionExt, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Volatility, cast, ident, lit,
};
use datafusion::prelude::coalesce;
use datafusion::sql::sqlparser::ast::Query;
use datafusion::sql::sqlparser::parser::ParserError;
use vitral_catalog::names::{ORIGIN_COLUMN, statement};
use vitral_catalog::{
    Diagnostic, DomainSettings, KeyedColumn, KeyedView, Merge, ROW_ORDER_COLUMN, UPDATED_COLUMN, planning_errors,
};
use vitral_engine::{
    EARLIEST, LATEST, SUM_SINCE, SUM_SINCE_MERGE, SUM_SINCE_STATE, add_functions, filter_fault, sum_since_value,
};
use vitral_schemas::topic::{Topic, archive_columns, timestamp_type};

use super::changes;
use crate::session::read_session;

/// What merging may use; more is spilled to disk.
const MEMORY_BYTES: usize = 512 << 20;
const REMEDY: &str = "correct the expression; the topic's file lists its columns";

/// A table's statement, planned.
#[derive(Debug)]
pub struct KeyedPlan {
    /// What the catalog declares.
    pub view: KeyedView,
    /// The topic that it reads.
    pub topic: Topic,
    /// What it computes: its table has this name.
    pub version: String,
    /// The name that earlier programs gave it.
    pub(crate) earlier_version: String,
    /// What it means.
    pub definition_id: String,
    pub(crate) settings: DomainSettings,
    session: SessionState,
    /// Over a table without rows, in whose place the rows are put.
    partial: LogicalPlan,
    state_schema: SchemaRef,
    /// What sums are in the end, by column, where a state does not tell.
    sum_types: BTreeMap<String, DataType>,
    rows_schema: SchemaRef,
}

/// A column of a state that is added up.
#[derive(Debug)]
pub(crate) struct Summed {
    pub(crate) index: usize,
    /// Whether it is rows that are added up when they are read.
    pub(crate) is_since: bool,
    pub(crate) largest: f64,
    pub(crate) data_type: DataType,
}

impl KeyedPlan {
    /// Plans a table over its topic. Errors name the place in its file.
    pub fn new(view: &KeyedView, topic: &Topic, settings: &DomainSettings) -> Result<Self, Vec<Diagnostic>> {
        let failed = |source: DataFusionError| planning_errors(&source, &view.position, REMEDY);
        let session = session().map_err(failed)?;
        let leaf = Arc::new(EmptyTable::new(leaf_schema(topic)));
        session.register_table(view.topic.as_str(), leaf).map_err(failed)?;
        let unreadable = |error: ParserError| vec![view.position.error(error.to_string(), REMEDY.into())];
        let state = session.state();
        let planned = |query: &Query| futures::executor::block_on(state.statement_to_plan(statement(query)));
        let partial = planned(&view.partial().map_err(unreadable)?).map_err(failed)?;
        refuse(view, &partial).map_err(|error| vec![error])?;
        let fields = partial.schema().fields().iter();
        let fields = fields.map(|field| Field::new(field.name(), stored_type(field.data_type()), true));
        let state_schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let mut sum_types = BTreeMap::new();
        if view.columns.iter().any(|column| column.merge == Merge::Since) {
            let whole = planned(&view.whole().map_err(unreadable)?).map_err(failed)?;
            let types = whole.schema().fields().iter().map(|field| (field.name().clone(), field.data_type().clone()));
            sum_types.extend(types);
        }
        let types = state_schema.fields().iter().map(|field| format!("{} {}", field.name(), field.data_type()));
        let mut plan = Self {
            view: view.clone(),
            topic: topic.clone(),
            settings: settings.clone(),
            version: view.version(settings, &types.collect::<Vec<_>>().join(", ")),
            earlier_version: view.untyped_version(settings),
            definition_id: view.definition_id(settings),
            session: state,
            partial,
            state_schema,
            sum_types,
            rows_schema: Arc::new(Schema::empty()),
        };
        let nothing = provider_as_source(Arc::new(EmptyTable::new(Arc::clone(&plan.state_schema))));
        let rows = LogicalPlanBuilder::scan("estados", nothing, None).and_then(|states| plan.rows(states.build()?));
        plan.rows_schema = Arc::new(rows.map_err(failed)?.schema().as_arrow().clone());
        Ok(plan)
    }

    /// The columns that are read: the keys, the others, and when the key's last row came.
    pub fn rows_schema(&self) -> &SchemaRef {
        &self.rows_schema
    }

    /// The columns of a state.
    pub(crate) fn state_schema(&self) -> &SchemaRef {
        &self.state_schema
    }

    pub(crate) fn frame(&self, plan: LogicalPlan) -> DataFrame {
        DataFrame::new(self.session.clone(), plan)
    }

    /// The states of rows, one for each origin and key; of no key if there are no rows.
    pub(crate) fn partial(&self, rows: LogicalPlan) -> Result<LogicalPlan> {
        let view = Arc::new(ViewTable::new(rows, None));
        let whole = self.partial.clone().transform_up(|node| {
            if let LogicalPlan::TableScan(scan) = &node {
                let source = provider_as_source(Arc::clone(&view) as _);
                let rows = LogicalPlanBuilder::scan(scan.table_name.clone(), source, None)?.build()?;
                return Ok(Transformed::yes(rows));
            }
            Ok(Transformed::yes(node.recompute_schema()?))
        })?;
        LogicalPlanBuilder::from(whole.data).project(self.stored(&self.state_schema)?)?.build()
    }

    /// States merged: one for each origin and key.
    pub(crate) fn merge(&self, states: LogicalPlan) -> Result<LogicalPlan> {
        self.merged(states, true)
    }

    /// What is read of states: one row for each key.
    pub(crate) fn rows(&self, states: LogicalPlan) -> Result<LogicalPlan> {
        let mut merged = LogicalPlanBuilder::from(self.merged(states, false)?);
        if self.view.is_of_changes {
            merged = merged.filter(changes::is_there())?;
        }
        let mut columns: Vec<Expr> = self.view.keys.iter().map(ident).collect();
        for column in &self.view.columns {
            columns.push(match (column.merge, self.sum_types.get(&column.name)) {
                (Merge::Distinct, _) => {
                    let count = coalesce(vec![cast(cardinality(ident(&column.name)), DataType::Int64), lit(0_i64)]);
                    count.alias(&column.name)
                }
                (Merge::Since, Some(of_type)) => {
                    let of_type = lit(ScalarValue::try_from(of_type)?);
                    sum_since_value().call(vec![ident(&column.name), of_type]).alias(&column.name)
                }
                _ => ident(&column.name),
            });
        }
        columns.push(ident(UPDATED_COLUMN));
        merged.project(columns)?.build()
    }

    /// States merged: one for each key.
    pub(crate) fn merge_keys(&self, states: LogicalPlan) -> Result<LogicalPlan> {
        self.merged(states, false)
    }

    /// The sums of a state, by their column's number: the largest that their type holds, as a
    /// number of its last digit, and the types.
    pub(crate) fn sums(&self) -> Vec<Summed> {
        let columns = self.view.columns.iter().filter(|column| matches!(column.merge, Merge::By("sum") | Merge::Since));
        let sums = columns.filter_map(|column| {
            let index = self.state_schema.index_of(&column.name).ok()?;
            let data_type = match column.merge {
                Merge::Since => self.sum_types.get(&column.name)?,
                _ => self.state_schema.field(index).data_type(),
            };
            let largest = match data_type {
                DataType::Int64 => 2_f64.powi(63),
                DataType::Decimal128(digits, _) => 10_f64.powi(i32::from(*digits)),
                _ => return None,
            };
            Some(Summed { index, is_since: column.merge == Merge::Since, largest, data_type: data_type.clone() })
        });
        sums.collect()
    }

    /// The keys of rows, without their origin: what can still be known where their states cannot be
    /// made.
    pub(crate) fn keys_of(&self, rows: LogicalPlan) -> Result<LogicalPlan> {
        let states = self.partial(rows)?;
        let mut keys = None;
        states.apply(|node| {
            if let LogicalPlan::Aggregate(aggregate) = node {
                let own = aggregate.group_expr.iter().skip(1).zip(&self.view.keys);
                let own = own.map(|(key, name)| key.clone().alias(name)).collect::<Vec<_>>();
                keys = Some(LogicalPlanBuilder::from(Arc::clone(&aggregate.input)).project(own)?.build()?);
                return Ok(TreeNodeRecursion::Stop);
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        keys.ok_or_else(|| DataFusionError::Internal("a table's states are not grouped".to_owned()))
    }

    fn merged(&self, states: LogicalPlan, by_origin: bool) -> Result<LogicalPlan> {
        let origin = by_origin.then(|| ORIGIN_COLUMN.to_owned());
        let groups: Vec<Expr> = origin.iter().chain(&self.view.keys).map(ident).collect();
        let mut states = LogicalPlanBuilder::from(states);
        if self.view.is_new_after_tombstone {
            states = states.window(vec![changes::last_tombstone(&groups)?])?;
        }
        let mut merges = Vec::new();
        if self.view.is_of_changes {
            merges.extend(changes::merges(&self.view)?);
        }
        for column in self.view.columns.iter().filter(|column| column.merge != Merge::Newest) {
            merges.extend(self.merges(column)?);
        }
        merges.push(max(ident(UPDATED_COLUMN)).alias(UPDATED_COLUMN));
        let fields = self.state_schema.fields().iter();
        let fields = fields.filter(|field| by_origin || field.name() != ORIGIN_COLUMN).cloned();
        let schema = Arc::new(Schema::new(fields.collect::<Vec<FieldRef>>()));
        states.aggregate(groups, merges)?.project(self.stored(&schema)?)?.build()
    }

    /// The aggregates that merge states of a column, under the names that these have.
    fn merges(&self, column: &KeyedColumn) -> Result<Vec<Expr>> {
        let aggregate = |name: &str, arguments: Vec<Expr>| match self.session.aggregate_functions().get(name) {
            Some(function) => Ok(function.call(arguments)),
            None => Err(DataFusionError::Internal(format!("there is no aggregate {name}"))),
        };
        let value = || ident(&column.name);
        let mut merges = Vec::new();
        match (column.merge, KeyedView::order_column(column)) {
            (Merge::Latest, Some(order)) => {
                merges.push(aggregate(LATEST, vec![value(), ident(&order)])?.alias(&column.name));
                merges.push(max(ident(&order)).alias(order));
            }
            (Merge::Earliest, Some(order)) => {
                merges.push(aggregate(EARLIEST, vec![value(), ident(&order)])?.alias(&column.name));
                merges.push(min(ident(&order)).alias(order));
            }
            (Merge::By(function), _) => merges.push(aggregate(function, vec![value()])?.alias(&column.name)),
            (Merge::Distinct, _) => {
                let all = array_agg(value()).filter(value().is_not_null()).build()?;
                merges.push(all.alias(&column.name));
            }
            (Merge::Since, _) => merges.push(aggregate(SUM_SINCE_MERGE, vec![value()])?.alias(&column.name)),
            _ => merges.push(aggregate("sum", vec![value()])?.alias(&column.name)),
        }
        Ok(merges)
    }

    /// The columns of a schema in its types. A list that was made of lists is one list of different
    /// values.
    fn stored(&self, schema: &SchemaRef) -> Result<Vec<Expr>> {
        let is_distinct =
            |name: &str| self.view.columns.iter().any(|column| column.name == name && column.merge == Merge::Distinct);
        let columns = schema.fields().iter().map(|field| {
            let column = ident(field.name());
            let column = if is_distinct(field.name()) { array_distinct(flatten(column)) } else { column };
            cast(column, field.data_type().clone()).alias(field.name())
        });
        Ok(columns.collect())
    }
}

/// A session that spills what does not fit in its memory.
fn session() -> Result<SessionContext> {
    let runtime = RuntimeEnvBuilder::new().with_memory_pool(Arc::new(FairSpillPool::new(MEMORY_BYTES))).build_arc()?;
    let mut state = SessionStateBuilder::new_from_existing(read_session(1).state()).with_runtime_env(runtime).build();
    state.config_mut().options_mut().sql_parser.collect_spans = true;
    let mut context = SessionContext::new_with_state(state);
    add_functions(&mut context)?;
    Ok(context)
}

/// What a table's statement reads: the topic's columns, and where each row comes from and stands.
pub(super) fn leaf_schema(topic: &Topic) -> SchemaRef {
    let mut fields: Vec<FieldRef> = topic.schema().fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new(ORIGIN_COLUMN, DataType::Utf8, true)));
    fields.push(Arc::new(Field::new(archive_columns::ARRIVAL, timestamp_type(), true)));
    fields.push(Arc::new(Field::new(ROW_ORDER_COLUMN, DataType::Binary, true)));
    if topic.changes.is_some() {
        changes::add_fields(&mut fields);
    }
    Arc::new(Schema::new(fields))
}

/// Delta tables know no unsigned integers, views or nanoseconds, and give the values of lists a
/// name of their own.
fn stored_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => DataType::Int64,
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
        DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
        DataType::List(item) => DataType::List(Arc::new(Field::new("element", stored_type(item.data_type()), true))),
        other => other.clone(),
    }
}

/// What a table must not compute: it must give the same rows whenever it does, and in any order and
/// split.
fn refuse(view: &KeyedView, plan: &LogicalPlan) -> Result<(), Diagnostic> {
    let error = |name: &str, message: String, remedy: &str| {
        view.function_position(name).error(format!("table {}: {message}", view.name), remedy.to_owned())
    };
    let mut found = None;
    let walked = plan.apply(|node| {
        let input = node.inputs().first().map(|input| Arc::clone(input.schema()));
        if let LogicalPlan::Aggregate(aggregate) = node
            && let Some(wrong) = filter_fault(aggregate, &format!("table {}", view.name), &view.position)?
        {
            found = Some(wrong);
        }
        for expr in node.expressions() {
            expr.apply(|inner| {
                match inner {
                    Expr::ScalarFunction(call) if call.func.signature().volatility != Volatility::Immutable => {
                        let name = call.func.name();
                        let message = format!("{name} returns a different value on every call");
                        found = Some(error(name, message, "compute from the event's own columns only"));
                    }
                    Expr::AggregateFunction(call) if call.func.name() == "sum" => {
                        let types = call.params.args.iter().zip(input.iter().cycle());
                        let mut types = types.filter_map(|(arg, schema)| arg.get_type(schema.as_ref()).ok());
                        if types.any(|data_type| data_type.is_floating()) {
                            let message = "sum of floating-point numbers depends on the order of the rows".to_owned();
                            found = Some(error("sum", message, "cast to DECIMAL first"));
                        }
                    }
                    Expr::AggregateFunction(call) if call.func.name() == SUM_SINCE_STATE => {
                        let condition = call.params.args.get(1).zip(input.as_ref());
                        let of_type = condition.and_then(|(arg, schema)| arg.get_type(schema.as_ref()).ok());
                        if let Some(of_type) = of_type.filter(|of_type| *of_type != DataType::Boolean) {
                            // Numbers would pass for conditions: 0 is false, and anything else
                            // true.
                            let message = format!("the sum begins again where {of_type} is true, which is not BOOLEAN");
                            found = Some(error(SUM_SINCE, message, "write a condition, such as kind = 'prize'"));
                        }
                    }
                    Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_) => {
                        found = Some(view.position.error(
                            format!("table {}: a subquery cannot be used here", view.name),
                            "filter by plain expressions".into(),
                        ));
                    }
                    _ => {}
                }
                Ok(TreeNodeRecursion::Continue)
            })?;
        }
        Ok(TreeNodeRecursion::Continue)
    });
    match (found, walked) {
        (Some(error), _) => Err(error),
        (None, Err(source)) => Err(view.position.error(vitral_engine::words(&source), REMEDY.into())),
        (None, Ok(_)) => Ok(()),
    }
}
