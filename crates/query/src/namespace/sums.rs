//! A table's sums over one read point: what is stored of it, what came after that, and what is not
//! committed yet.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use datafusion::catalog::{MemTable, TableProvider};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, ident, lit};
use vitral_catalog::{KeyedView, Names};
use vitral_panes::view::{KeyedTableView, KeyedThrough, TopicView, View};
use vitral_schemas::topic::archive_columns;
use vitral_store::Histories;

use super::Namespace;
use crate::error::QueryError;
use crate::plan::{frame, plan_query};
use crate::read_point::ReadPoint;
use crate::rollup::{Closed, LACKING_MAX, Lacking, Moment, RollupTable, Rollups, Source};
use crate::shared::Shared;
use crate::tables::{in_memory_table, provider_of, scan};

/// The table `soma.NAME` of a read point. `session` has the point's tables.
pub(crate) async fn rollup_table(
    rollups: &Rollups,
    shared: &Arc<Shared>,
    view: &KeyedView,
    point: &ReadPoint,
    session: &SessionState,
) -> Result<Option<RollupTable>, QueryError> {
    if let Some(table) = known_table(rollups, view, point)? {
        return Ok(Some(table));
    }
    let Some(shown) = summed(view, point) else {
        // One who sees some rows only has sums of their own.
        let rows = statement(session, shared, view).await?;
        let of = rows.schema().as_arrow().clone();
        return table(view, Source::Rows(Box::new(rows)), &of);
    };
    let Some(rollup) = &view.rollup else { return Ok(None) };
    let of = shown.0.rows.schema();
    let behind = |of: Arc<dyn TableProvider>| Ok::<_, QueryError>(scan(of)?.filter(is_behind(&shown.0.through))?);
    let none = || Ok::<_, QueryError>(in_memory_table(RecordBatch::new_empty(shown.1.archive.schema()))?);
    let states = async |archive: Arc<dyn TableProvider>, tail: Arc<[RecordBatch]>| {
        let (rest, session) = rest(shared, view, point, session, shown.1, (archive, tail)).await?;
        Ok::<_, QueryError>(frame(&session, rest).collect().await?)
    };
    let committed = async |known: Option<Vec<RecordBatch>>| {
        let archive = || Arc::clone(&shown.1.archive);
        let among = match known {
            Some(rows) => Arc::new(MemTable::try_new(shown.1.archive.schema(), vec![rows])?),
            None => archive(),
        };
        let lacking = behind(among)?.limit(0, Some(LACKING_MAX + 1))?.build()?;
        let rows = frame(session, lacking).collect().await?;
        if rows.iter().map(RecordBatch::num_rows).sum::<usize>() > LACKING_MAX {
            let states = states(provider_of(behind(archive())?.build()?), Arc::default()).await?;
            return Ok(Lacking { rows: None, states });
        }
        let table = MemTable::try_new(shown.1.archive.schema(), vec![rows.clone()])?;
        Ok(Lacking { rows: Some(rows), states: states(Arc::new(table), Arc::default()).await? })
    };
    let provisional = async || states(none()?, Arc::clone(&shown.1.tail)).await;
    if let Some(now) =
        rollups.at(view, rollup, (shown.0, shown.1, closed(view, point)), (committed, provisional)).await?
    {
        return table(view, Source::Sums(now), &of);
    }
    let lacking = (provider_of(behind(Arc::clone(&shown.1.archive))?.build()?), Arc::clone(&shown.1.tail));
    let (rest, _session) = rest(shared, view, point, session, shown.1, lacking).await?;
    let own = view.keys.iter().map(ident).chain(view.columns.iter().map(|column| ident(&column.name)));
    let own: Vec<Expr> = own.collect();
    let rest = LogicalPlanBuilder::from(rest).project(own.clone())?.build()?;
    let rows = scan(Arc::clone(&shown.0.rows))?.project(own)?.union(rest)?.build()?;
    table(view, Source::Rows(Box::new(rows)), &of)
}

/// The same if somebody has asked for this moment before.
pub(crate) fn known_table(
    rollups: &Rollups,
    view: &KeyedView,
    point: &ReadPoint,
) -> Result<Option<RollupTable>, QueryError> {
    let Some(shown) = summed(view, point) else { return Ok(None) };
    match rollups.known(view, shown) {
        Some(now) => table(view, Source::Sums(now), &shown.0.rows.schema()),
        None => Ok(None),
    }
}

/// What may be answered while others make the sums of this moment: the sums of the moment before,
/// what the view showed of their topic then, and whether it is for this request to have the new
/// ones made.
pub(crate) fn earlier_table(
    rollups: &Rollups,
    view: &KeyedView,
    point: &ReadPoint,
) -> Result<Option<(RollupTable, View, bool)>, QueryError> {
    if summed(view, point).is_none() {
        return Ok(None);
    }
    let Some((Moment { now, table: shown, topic, .. }, is_due)) = rollups.earlier(view, &closed(view, point)) else {
        return Ok(None);
    };
    let found = table(view, Source::Sums(now), &shown.rows.schema())?;
    let (topics, keyed) = ([(view.topic.clone(), topic)].into(), [(view.name.clone(), shown)].into());
    Ok(found.map(|found| (found, View { topics, keyed, ready: true, ..View::default() }, is_due)))
}

fn closed(view: &KeyedView, point: &ReadPoint) -> Closed {
    let of_topic = point.view.metrics.values().filter(|metric| metric.topic == view.topic);
    of_topic.map(|metric| metric.published_through_ms).collect()
}

/// What sums in memory are of; none if there are none for this principal or this table.
fn summed<'a>(view: &KeyedView, point: &'a ReadPoint) -> Option<(&'a KeyedTableView, &'a TopicView)> {
    let shown = point.view.keyed.get(&view.name).filter(|table| table.failure.is_none() && table.since_ms.is_none());
    let shown = shown.zip(point.view.topics.get(&view.topic)).filter(|(table, _)| table.through.log.is_some());
    shown.filter(|_| point.principal.filters().is_empty())
}

fn table(view: &KeyedView, source: Source, of: &Schema) -> Result<Option<RollupTable>, QueryError> {
    let Some(rollup) = &view.rollup else { return Ok(None) };
    let columns = view.columns.iter().map(|column| column.name.clone()).collect();
    Ok(Some(RollupTable::new(&view.name, rollup, columns, source, of)?))
}

/// The table's statement over the tables of the session.
pub(super) async fn statement(
    session: &SessionState,
    shared: &Shared,
    view: &KeyedView,
) -> Result<LogicalPlan, QueryError> {
    let statement = view.statement().map_err(|error| QueryError::Engine(error.into()))?;
    let schema = Names::schema_of(&shared.names, &view.position);
    Ok(plan_query(session, &shared.catalog, &statement, schema).await?)
}

/// The table's rows of what the topic has and the table does not: committed rows, and others.
async fn rest(
    shared: &Arc<Shared>,
    view: &KeyedView,
    point: &ReadPoint,
    session: &SessionState,
    topic: &TopicView,
    (archive, tail): (Arc<dyn TableProvider>, Arc<[RecordBatch]>),
) -> Result<(LogicalPlan, Arc<SessionState>), QueryError> {
    let topic = TopicView { archive, tail, ..topic.clone() };
    let topics = [(view.topic.clone(), topic)].into();
    let only = View { topics, ready: true, ..View::default() };
    let mut histories = Histories::default();
    // What was imported is in the table, or will be.
    histories.set(&view.topic, None);
    let point = ReadPoint {
        histories: Arc::new(histories),
        ..ReadPoint::new(point.principal.clone(), Arc::new(only), point.now_ms)
    };
    let session = Namespace::over(shared, point, session.clone());
    Ok((statement(&session, shared, view).await?, session))
}

fn is_behind(through: &KeyedThrough) -> Expr {
    let partition = || ident(archive_columns::PARTITION);
    let after = through
        .offsets
        .iter()
        .map(|(known, next)| partition().eq(lit(known.0)).and(ident(archive_columns::OFFSET).gt_eq(lit(next.0))));
    let rows = after.chain([is_other(through.offsets.keys().map(|known| known.0))]).reduce(Expr::or);
    let rows = rows.unwrap_or(lit(true));
    match &through.log {
        Some(log) => ident(archive_columns::LOG).eq(lit(log.as_str())).and(rows),
        None => rows,
    }
}

/// Whether a partition is none of these, which are in order: by the gaps between them, as it is
/// known of files whether they have partitions of a gap.
fn is_other(known: impl Iterator<Item = i32>) -> Expr {
    let partition = || ident(archive_columns::PARTITION);
    let (mut next, mut others) = (0, Vec::new());
    for known in known {
        if known > next {
            others.push(partition().gt_eq(lit(next)).and(partition().lt(lit(known))));
        }
        next = known.saturating_add(1);
    }
    others.into_iter().fold(partition().gt_eq(lit(next)), Expr::or)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_partitions_are_those_of_the_gaps() {
        let text = |known: &[i32]| is_other(known.iter().copied()).to_string();
        assert_eq!(text(&[]), "_particao >= Int32(0)");
        assert_eq!(text(&[0, 1, 2]), "_particao >= Int32(3)");
        assert_eq!(
            text(&[1, 4]),
            "_particao >= Int32(5) OR _particao >= Int32(0) AND _particao < Int32(1) OR _particao >= Int32(2) AND _particao < Int32(4)"
        );
    }
}
