//! Where each partition is cut: its oldest offsets, day by day of their arrival.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Int32Type, Int64Type};
use datafusion::catalog::TableProvider;
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::functions_aggregate::expr_fn::{max, min};
use datafusion::logical_expr::{Expr, cast, ident, lit, when};
use vitral_schemas::position::{Offset, PartitionId};
use vitral_schemas::topic::archive_columns;

use super::DAY_MICROS;
use crate::archive::cold::Through;
use crate::session::read_session;

/// A partition's offsets that arrived on one day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Arrivals {
    pub(super) log: String,
    pub(super) partition: PartitionId,
    pub(super) day: i64,
    pub(super) first: Offset,
    pub(super) last: Offset,
    /// The first of them that arrived at or after the limit.
    pub(super) recent: Option<Offset>,
}

pub(super) async fn arrivals(
    rows: Arc<dyn TableProvider>,
    wanted: Expr,
    limit_ms: i64,
    now_ms: i64,
) -> Result<Vec<Arrivals>> {
    use archive_columns::*;
    let instant = |micros| lit(ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into())));
    let limit = instant(limit_ms.saturating_mul(1_000));
    let believed = ident(ARRIVAL).lt(instant(now_ms.saturating_mul(1_000).saturating_add(DAY_MICROS)));
    let recent = when(ident(ARRIVAL).gt_eq(limit), ident(OFFSET)).end()?;
    let day = cast(ident(ARRIVAL), DataType::Int64) / lit(DAY_MICROS);
    let batches = read_session(1)
        .read_table(rows)?
        .filter(wanted.and(believed))?
        .aggregate(
            vec![ident(LOG), ident(PARTITION), day.alias("day")],
            vec![min(ident(OFFSET)).alias("first"), max(ident(OFFSET)).alias("last"), min(recent).alias("recent")],
        )?
        .collect()
        .await?;
    let mut found = Vec::new();
    for batch in &batches {
        let logs = batch.column(0).as_string::<i32>();
        let partitions = batch.column(1).as_primitive::<Int32Type>();
        let [day, first, last, recent] = [2, 3, 4, 5].map(|column| batch.column(column).as_primitive::<Int64Type>());
        found.extend((0..batch.num_rows()).map(|row| Arrivals {
            log: logs.value(row).to_owned(),
            partition: PartitionId(partitions.value(row)),
            day: day.value(row),
            first: Offset(first.value(row)),
            last: Offset(last.value(row)),
            recent: recent.is_valid(row).then(|| Offset(recent.value(row))),
        }));
    }
    Ok(found)
}

/// For each partition the offsets before the first row that arrived at or after the limit, or
/// through the last that arrived before it, cut where days end: each part includes the one before
/// it.
pub(super) fn parts(found: &[Arrivals]) -> Vec<Through> {
    let mut partitions = BTreeMap::<(&str, PartitionId), BTreeMap<i64, &Arrivals>>::new();
    for arrivals in found {
        partitions.entry((&arrivals.log, arrivals.partition)).or_default().insert(arrivals.day, arrivals);
    }
    let days: BTreeSet<i64> = found.iter().map(|arrivals| arrivals.day).collect();
    let mut parts: Vec<Through> = Vec::new();
    for day in days {
        let mut part = parts.last().cloned().unwrap_or_default();
        for ((log, partition), by_day) in &partitions {
            let first = by_day.values().map(|on| on.first).min().unwrap_or_default();
            let recent = by_day.values().filter_map(|on| on.recent).min();
            // A day's last offset may lie behind the next day's first, where clocks were set.
            let later = by_day.range(day + 1..).map(|(_, on)| on.first).min();
            let last = by_day.values().map(|on| on.last).max().unwrap_or_default();
            let end = [recent, later].into_iter().flatten().map(|offset| offset - 1).min().unwrap_or(last);
            if end >= first {
                let known = part.entry((*log).to_owned()).or_default().entry(*partition).or_insert(end);
                *known = end.max(*known);
            }
        }
        if !part.is_empty() && parts.last() != Some(&part) {
            parts.push(part);
        }
    }
    parts
}
