//! The windows that a version of a metric cannot have, from the versions that were there before it.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::common::ScalarValue;
use datafusion::datasource::provider_as_source;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, ident, lit};
use vitral_catalog::WINDOW_START_COLUMN;
use vitral_schemas::time::MICROS_PER_MS;

use super::{MetricTable, PublishedWindows, application};
use crate::error::StoreError;
use crate::location::Location;
use crate::table::Table;

#[derive(Debug)]
pub(super) struct Earlier {
    /// The first window that the version itself has.
    from_ms: i64,
    /// The latest first.
    parts: Vec<Part>,
    /// Windows that start before this are in none of them.
    since_ms: Option<i64>,
}

/// The windows of an earlier version that start at or after the first time, if there is one, and
/// before the second.
#[derive(Debug)]
struct Part {
    table: Table,
    from_ms: Option<i64>,
    until_ms: i64,
}

impl Earlier {
    /// Goes back from version to version, as long as their columns are those of `schema`.
    pub(super) async fn find(
        metric: &str,
        version: &str,
        location: &Location,
        schema: &SchemaRef,
        from_ms: i64,
    ) -> Result<Self, StoreError> {
        let mut parts: Vec<Part> = Vec::new();
        let mut until_ms = from_ms;
        let mut since_ms = Some(until_ms);
        for piece in pieces(metric, version, location).await? {
            if piece.from_ms.is_some_and(|from_ms| from_ms >= until_ms) {
                continue;
            }
            if let Some(column) = lacking(schema, piece.table.schema()) {
                tracing::warn!(
                    metric,
                    until = %shown(until_ms),
                    version = piece.version,
                    column,
                    "windows before this time are not shown: their events are purged, and the version that published them lacks this column; \
                     it is still stored"
                );
                return Ok(Self { from_ms, parts, since_ms });
            }
            tracing::info!(metric, until = %shown(until_ms), version = piece.version, "earlier windows are those of this version");
            parts.push(Part { table: piece.table, from_ms: piece.from_ms, until_ms });
            since_ms = piece.from_ms;
            match piece.from_ms {
                Some(from_ms) => until_ms = from_ms,
                None => break,
            }
        }
        if let Some(since_ms) = since_ms {
            tracing::warn!(metric, until = %shown(since_ms), "windows before this time cannot be computed: their events are purged");
        }
        Ok(Self { from_ms, parts, since_ms })
    }

    /// Their rows behind those of the version itself.
    pub(super) async fn with(&self, own: Arc<dyn TableProvider>) -> Result<Arc<dyn TableProvider>, StoreError> {
        let schema = own.schema();
        let mut all = vec![(own, Some(self.from_ms), None)];
        for part in &self.parts {
            all.push((part.table.provider().await?, part.from_ms, Some(part.until_ms)));
        }
        let mut rows: Option<LogicalPlanBuilder> = None;
        let plan = (|| {
            for (provider, from_ms, until_ms) in all {
                let windows = windows(provider, &schema, from_ms, until_ms)?;
                rows = Some(match rows.take() {
                    None => windows,
                    Some(later) => later.union(windows.build()?)?,
                });
            }
            rows.take().map(LogicalPlanBuilder::build).transpose()
        })();
        let failed = StoreError::read("the windows of a metric's earlier versions");
        let plan = plan.map_err(&failed)?.ok_or_else(|| failed(datafusion::common::exec_datafusion_err!("no rows")))?;
        let earlier_until_ms = (!self.parts.is_empty()).then_some(self.from_ms);
        Ok(PublishedWindows { earlier_until_ms, since_ms: self.since_ms }.table(plan))
    }

    /// Finds out where their rows are now; true if they have moved.
    pub(super) async fn refresh(&mut self) -> Result<bool, StoreError> {
        let mut changed = false;
        for part in &mut self.parts {
            let before = part.table.version();
            part.table.refresh().await?;
            changed |= part.table.version() != before;
        }
        Ok(changed)
    }
}

/// What a version has published in one go.
struct Piece {
    version: String,
    table: Table,
    /// Its first window; none if it had all events.
    from_ms: Option<i64>,
    /// Where it ended.
    through_ms: i64,
}

/// What the versions of a metric have published, the latest first, without what `version` is
/// publishing now.
async fn pieces(metric: &str, version: &str, location: &Location) -> Result<Vec<Piece>, StoreError> {
    let mut pieces = Vec::new();
    for known in MetricTable::versions(metric, location).await? {
        let Some(table) = Table::read(metric, &location.join(metric).join(&known.version)).await? else { continue };
        let application = application(metric, &known.version);
        if let Some(through_ms) = table.transaction(&left_at(&application)).await? {
            let from_ms = table.transaction(&first_from(&application)).await?;
            pieces.push(Piece { version: known.version.clone(), table: table.clone(), from_ms, through_ms });
        }
        if known.version != version {
            let from_ms = table.transaction(&from(&application)).await?;
            pieces.push(Piece { version: known.version, table, from_ms, through_ms: known.published_through_ms });
        }
    }
    pieces.sort_by_key(|piece| std::cmp::Reverse(piece.through_ms));
    Ok(pieces)
}

/// The application whose version is the first window, in milliseconds, that a version's rows have,
/// if events were purged when it began.
pub(super) fn from(application: &str) -> String {
    format!("from/{application}")
}

/// Of a version that was left and is declared again: where its windows ended then.
pub(super) fn left_at(application: &str) -> String {
    format!("left-at/{application}")
}

/// The same version's first window at that time, if events were purged by then.
pub(super) fn first_from(application: &str) -> String {
    format!("first-from/{application}")
}

fn windows(
    provider: Arc<dyn TableProvider>,
    schema: &SchemaRef,
    from_ms: Option<i64>,
    until_ms: Option<i64>,
) -> Result<LogicalPlanBuilder> {
    let time =
        |ms: i64| lit(ScalarValue::TimestampMicrosecond(Some(ms.saturating_mul(MICROS_PER_MS)), Some("UTC".into())));
    let start = || ident(WINDOW_START_COLUMN);
    let from = from_ms.map(|ms| start().gt_eq(time(ms)));
    let until = until_ms.map(|ms| start().lt(time(ms)));
    let mut rows = LogicalPlanBuilder::scan("janelas", provider_as_source(provider), None)?;
    if let Some(wanted) = from.into_iter().chain(until).reduce(Expr::and) {
        rows = rows.filter(wanted)?;
    }
    rows.project(schema.fields().iter().map(|field| ident(field.name())).collect::<Vec<_>>())
}

/// The first column that a version lacks, or has with another type.
fn lacking(wanted: &SchemaRef, found: &SchemaRef) -> Option<String> {
    let is_there = |field: &&arrow::datatypes::FieldRef| {
        found.field_with_name(field.name()).is_ok_and(|found| found.data_type() == field.data_type())
    };
    wanted.fields().iter().find(|field| !is_there(field)).map(|field| field.name().clone())
}

fn shown(ms: i64) -> String {
    chrono::DateTime::from_timestamp_millis(ms).map_or_else(|| ms.to_string(), |time| time.to_rfc3339())
}
