//! Tables of topics with a primary key: where the messages of a key stand among each other, and
//! what becomes of the last.
//!
//! A row counts until one that is behind it in the topic's order takes its place. A message without
//! a value has no place in that order: it deletes what its log has before it, so a state keeps the
//! place of the last one next to that of its row. Where a column orders rows, what is before it
//! does not count any more: the newest row is among those behind it, as a row that is created again
//! may be numbered from the start.
//!
//! A state is of all offsets of some stretch, so its row is the newest behind its own tombstone,
//! and a tombstone of a later stretch is behind all of its rows: states merge into what the rows of
//! all stretches give.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::error::Result;
use datafusion::functions_aggregate::expr_fn::max;
use datafusion::functions_aggregate::first_last::last_value_udaf;
use datafusion::functions_aggregate::min_max::max_udaf;
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::{Expr, ExprFunctionExt, WindowFunctionDefinition, cast, ident, lit, when};
use datafusion::prelude::coalesce;
use vitral_catalog::{KeyedView, LAST_TOMBSTONE, PLACE_COLUMN, ROW_ORDER_COLUMN, STATE_ORDER_COLUMN, TOMBSTONE_COLUMN};
use vitral_engine::row_order;
use vitral_schemas::changes::{ChangeOrder, Changes, change_columns};
use vitral_schemas::topic::{Topic, archive_columns};
use vitral_schemas::verdict::Verdict;

/// What a table's statement reads of such a topic, besides what it reads of others.
pub(super) fn add_fields(fields: &mut Vec<FieldRef>) {
    let mut add = |name: &str, data_type: DataType| {
        if fields.iter().all(|field| field.name() != name) {
            fields.push(Arc::new(Field::new(name, data_type, true)));
        }
    };
    add(change_columns::DELETED, DataType::Boolean);
    add(PLACE_COLUMN, DataType::Binary);
    add(TOMBSTONE_COLUMN, DataType::Binary);
}

/// Which rows of the archive say something of a key: also those of messages without a value.
pub(super) fn is_read() -> Expr {
    let verdicts = [Verdict::Counted, Verdict::Empty].map(|verdict| lit(verdict.name()));
    ident(archive_columns::VERDICT).in_list(verdicts.to_vec(), false)
}

/// The value of a column that the archive does not have; none if it has it. `place` is what rows of
/// other topics are ordered by behind their event time: generation, partition and offset.
pub(super) fn column(topic: &Topic, changes: &Changes, name: &str, place: &[Expr]) -> Result<Option<Expr>> {
    let is_row = || ident(archive_columns::VERDICT).eq(lit(Verdict::Counted.name()));
    let all = || row_order().call(place.to_vec());
    Ok(match name {
        PLACE_COLUMN => Some(all()),
        TOMBSTONE_COLUMN => Some(when(is_row().is_false(), all()).end()?),
        ROW_ORDER_COLUMN => {
            let order = match changes.order {
                ChangeOrder::Offset => all(),
                ChangeOrder::Column(index) => {
                    let position = cast(ident(&topic.columns[index].name), DataType::Int64);
                    let mut order = vec![coalesce(vec![position, lit(0_i64)])];
                    order.extend_from_slice(place);
                    row_order().call(order)
                }
            };
            Some(when(is_row(), order).end()?)
        }
        change_columns::DELETED if changes.debezium.is_none() => Some(lit(false)),
        _ => None,
    })
}

/// The last tombstone of each group of states, next to each of them.
pub(super) fn last_tombstone(groups: &[Expr]) -> Result<Expr> {
    let function = WindowFunctionDefinition::AggregateUDF(max_udaf());
    let last = Expr::from(WindowFunction::new(function, vec![ident(TOMBSTONE_COLUMN)]));
    Ok(last.partition_by(groups.to_vec()).build()?.alias(LAST_TOMBSTONE))
}

/// The aggregates that merge states.
pub(super) fn merges(view: &KeyedView) -> Result<Vec<Expr>> {
    let counts = || {
        let has_row = ident(STATE_ORDER_COLUMN).is_not_null();
        if !view.is_new_after_tombstone {
            return has_row;
        }
        let is_behind = ident(LAST_TOMBSTONE).is_null().or(ident(PLACE_COLUMN).gt(ident(LAST_TOMBSTONE)));
        has_row.and(is_behind)
    };
    let columns = view.columns.iter().map(|column| column.name.as_str());
    let mut merges = Vec::new();
    for name in columns.chain([change_columns::DELETED, PLACE_COLUMN]) {
        let by_order = vec![ident(STATE_ORDER_COLUMN).sort(true, true)];
        let newest = last_value_udaf().call(vec![ident(name)]).order_by(by_order);
        merges.push(newest.filter(counts()).build()?.alias(name));
    }
    let order = max(ident(STATE_ORDER_COLUMN)).filter(counts()).build()?;
    merges.push(order.alias(STATE_ORDER_COLUMN));
    merges.push(max(ident(TOMBSTONE_COLUMN)).alias(TOMBSTONE_COLUMN));
    Ok(merges)
}

/// Whether a merged state is of a row that is there.
pub(super) fn is_there() -> Expr {
    let is_kept = coalesce(vec![ident(change_columns::DELETED), lit(false)]).is_false();
    let is_behind = ident(TOMBSTONE_COLUMN).is_null().or(ident(TOMBSTONE_COLUMN).lt(ident(PLACE_COLUMN)));
    ident(STATE_ORDER_COLUMN).is_not_null().and(is_kept).and(is_behind)
}

#[cfg(test)]
mod tests;
