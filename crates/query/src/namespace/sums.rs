//! A table's sums over one read point: what is stored of it, what came after that, and what is not
//! committed yet.

use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion::catalog::TableProvider;
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
use crate::rollup::{RollupTable, Rollups, Source};
use crate::shared::Shared;
use crate::tables::{provider_of, scan};

/// The table `soma.NAME` of a read point. `session` has the point's tables.
pub(super) async fn rollup_table(
    rollups: &Rollups,
    shared: &Arc<Shared>,
    view: &KeyedView,
    point: &ReadPoint,
    session: &SessionState,
) -> Result<Option<Arc<dyn TableProvider>>, QueryError> {
    let Some(rollup) = &view.rollup else { return Ok(None) };
    let shown = point.view.keyed.get(&view.name).filter(|table| table.failure.is_none() && table.since_ms.is_none());
    let shown = shown.zip(point.view.topics.get(&view.topic)).filter(|(table, _)| table.through.log.is_some());
    let columns = view.columns.iter().map(|column| column.name.clone()).collect();
    let table = |source, of: &Schema| RollupTable::new(&view.name, rollup, columns, source, of);
    // One who sees some rows only has sums of their own.
    let Some(shown) = shown.filter(|_| point.principal.filters().is_empty()) else {
        let rows = statement(session, shared, view).await?;
        let of = rows.schema().as_arrow().clone();
        return Ok(Some(Arc::new(table(Source::Rows(Box::new(rows)), &of)?)));
    };
    let of = shown.0.rows.schema();
    if let Some(known) = rollups.known(view, shown) {
        return Ok(Some(Arc::new(table(Source::Sums(known), &of)?)));
    }
    let (rest, rest_session) = rest(shared, view, point, session, shown).await?;
    let behind = async || Ok(frame(&rest_session, rest.clone()).collect().await?);
    if let Some(sums) = rollups.at(view, rollup, shown, behind).await? {
        return Ok(Some(Arc::new(table(Source::Sums(sums), &of)?)));
    }
    let own = view.keys.iter().map(ident).chain(view.columns.iter().map(|column| ident(&column.name)));
    let own: Vec<Expr> = own.collect();
    let rest = LogicalPlanBuilder::from(rest).project(own.clone())?.build()?;
    let rows = scan(Arc::clone(&shown.0.rows))?.project(own)?.union(rest)?.build()?;
    Ok(Some(Arc::new(table(Source::Rows(Box::new(rows)), &of)?)))
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

/// The table's rows of what the topic has and the table does not: committed after it, or not yet.
async fn rest(
    shared: &Arc<Shared>,
    view: &KeyedView,
    point: &ReadPoint,
    session: &SessionState,
    (table, topic): (&KeyedTableView, &TopicView),
) -> Result<(LogicalPlan, Arc<SessionState>), QueryError> {
    let rows = scan(Arc::clone(&topic.archive))?.filter(is_behind(&table.through))?.build()?;
    let topic = TopicView { archive: provider_of(rows), ..topic.clone() };
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
    let known = through.offsets.keys().map(|known| lit(known.0)).collect();
    let after = through
        .offsets
        .iter()
        .map(|(known, next)| partition().eq(lit(known.0)).and(ident(archive_columns::OFFSET).gt_eq(lit(next.0))));
    let other = partition().in_list(known, true);
    let rows = after.fold(other, Expr::or);
    match &through.log {
        Some(log) => ident(archive_columns::LOG).eq(lit(log.as_str())).and(rows),
        None => rows,
    }
}
