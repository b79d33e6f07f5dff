//! What a metric cannot be, said with its place and a remedy.

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::{DataFusionError, Result as EngineResult};
use datafusion::logical_expr::{Aggregate, Expr, ExprSchemable, LogicalPlan};
use vitral_catalog::{Metric, Position, ungrouped};
use vitral_engine::{filter_fault, volatile_function};

use crate::error::PanesError;

/// Aggregates whose result does not depend on the order of the rows.
const ORDERLESS: [&str; 11] =
    ["count", "sum", "avg", "min", "max", "bool_and", "bool_or", "bit_and", "bit_or", "bit_xor", "approx_distinct"];

pub(super) fn error(metric: &Metric, message: &str, remedy: &str) -> PanesError {
    at(&metric.position, format!("metric {}: {message}", metric.name), remedy)
}

fn at(position: &Position, message: String, remedy: &str) -> PanesError {
    PanesError::Unsupported(Box::new(position.error(message, remedy.to_owned())))
}

/// DataFusion's own complaint, at the place it names if it names one.
pub(super) fn planning_error(metric: &Metric, source: &DataFusionError) -> PanesError {
    let place = source.diagnostic().and_then(|diagnostic| diagnostic.span);
    let mut position = metric.position.clone();
    if let Some(span) = place {
        position.line = span.start.line;
        position.column = span.start.column;
    }
    let message = source.find_root().strip_backtrace();
    let message = vitral_engine::plain(message.lines().next().unwrap_or_default());
    let said = |message: &str, remedy: &str| at(&position, format!("metric {}: {message}", metric.name), remedy);
    match ungrouped(&message) {
        Some((message, remedy)) => said(&message, &remedy),
        None => said(&message, "correct the expression; the topic's file lists its columns"),
    }
}

/// Errors unless the plan is one order-independent aggregate over one topic.
pub(super) fn unsupported(metric: &Metric, plan: &LogicalPlan) -> Result<(), PanesError> {
    let mut aggregates = 0;
    let mut found = None;
    plan.apply(|node| {
        let verdict = match node {
            LogicalPlan::Projection(_) | LogicalPlan::Filter(_) | LogicalPlan::SubqueryAlias(_) => Ok(()),
            LogicalPlan::TableScan(_) => Ok(()),
            LogicalPlan::Aggregate(aggregate) => {
                aggregates += 1;
                check_aggregate(metric, aggregate).and_then(|()| check_conditions(metric, aggregate))
            }
            other => Err(error(
                metric,
                &format!("{} cannot be folded pane by pane", other.display()),
                "write one SELECT with one GROUP BY",
            )),
        };
        let verdict = verdict.and_then(|()| check_functions(metric, node));
        Ok(match verdict {
            Ok(()) => TreeNodeRecursion::Continue,
            Err(error) => {
                found = Some(error);
                TreeNodeRecursion::Stop
            }
        })
    })
    .map_err(|source| planning_error(metric, &source))?;
    match found {
        Some(error) => Err(error),
        None if aggregates == 1 => Ok(()),
        None => Err(error(metric, "it is not exactly one aggregate", "write one SELECT with one GROUP BY")),
    }
}

fn check_aggregate(metric: &Metric, aggregate: &Aggregate) -> Result<(), PanesError> {
    for expr in &aggregate.aggr_expr {
        let mut inner = expr;
        while let Expr::Alias(alias) = inner {
            inner = &alias.expr;
        }
        let Expr::AggregateFunction(function) = inner else {
            return Err(error(metric, &format!("{expr} is not a plain aggregate"), "use one of the plain aggregates"));
        };
        let name = function.func.name();
        let position = metric.function_position(name);
        if !ORDERLESS.contains(&name) {
            return Err(at(
                &position,
                format!("metric {}: {name} is not an aggregate of metrics", metric.name),
                "use count, sum, avg, min, max, bool_and, bool_or, bit_and, bit_or, bit_xor or approx_distinct: they give the same \
                 answer for the rows in any order and any split",
            ));
        }
        if !function.params.order_by.is_empty() {
            return Err(at(
                &position,
                format!("metric {}: {name} depends on the order of the rows", metric.name),
                "leave ORDER BY out of the aggregate",
            ));
        }
        if function.params.distinct && name != "count" {
            return Err(at(
                &position,
                format!("metric {}: {name}(DISTINCT ...) is not supported", metric.name),
                "only count takes DISTINCT",
            ));
        }
        let floats = || -> EngineResult<bool> {
            for arg in &function.params.args {
                let (_, field) = arg.to_field(aggregate.input.schema())?;
                if field.data_type().is_floating() {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        if matches!(name, "sum" | "avg") && floats().map_err(|source| planning_error(metric, &source))? {
            return Err(at(
                &position,
                format!("metric {}: {name} of floating-point numbers depends on the order of the rows", metric.name),
                "cast to DECIMAL first",
            ));
        }
    }
    Ok(())
}

fn check_conditions(metric: &Metric, aggregate: &Aggregate) -> Result<(), PanesError> {
    let found = filter_fault(aggregate, &format!("metric {}", metric.name), &metric.position);
    match found.map_err(|source| planning_error(metric, &source))? {
        Some(error) => Err(PanesError::Unsupported(Box::new(error))),
        None => Ok(()),
    }
}

/// A metric must give the same rows whenever it runs: no clock, no chance.
fn check_functions(metric: &Metric, node: &LogicalPlan) -> Result<(), PanesError> {
    for expr in node.expressions() {
        if let Some(name) = volatile_function(&expr).map_err(|source| planning_error(metric, &source))? {
            return Err(at(
                &metric.function_position(&name),
                format!("metric {}: {name} returns a different value on every call", metric.name),
                "compute from the event's own columns only",
            ));
        }
    }
    Ok(())
}
