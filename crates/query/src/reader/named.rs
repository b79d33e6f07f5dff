//! What paths name: rows without SQL.

use std::sync::Arc;

use arrow::array::RecordBatch;
use vitral_catalog::Metric;
use vitral_panes::view::{KeyedTableView, MetricView};

use super::Reader;
use crate::error::QueryError;
use crate::keyed_rows::{self, SeenTable};
use crate::metric_rows::{self, SeenMetric};
use crate::open_rows::make_open_rows;
use crate::principal::Principal;
use crate::visibility::condition;

impl Reader {
    /// Has the open rows of a metric made. While another request is at that, what the one before
    /// has shown can be answered instead: nobody waits for what somebody else is at, and those who
    /// ask alone get the newest.
    pub async fn earlier_metric(&self, name: &str, view: &MetricView) -> Result<Option<Arc<MetricView>>, QueryError> {
        if view.open.is_made() {
            return Ok(None);
        }
        let made = self.namespace.made.of(name);
        let making = made.making.try_lock();
        if making.is_err()
            && let Some(earlier) = made.earlier(view)
        {
            return Ok(Some(earlier));
        }
        make_open_rows(view).await?;
        if making.is_ok() {
            made.keep(view);
        }
        Ok(None)
    }

    /// The rows of a metric that are wanted and that the principal sees, in its order.
    pub async fn metric_rows(
        &self,
        principal: &Principal,
        metric: &Metric,
        view: &MetricView,
        wanted: &metric_rows::RowFilter<'_>,
    ) -> Result<RecordBatch, QueryError> {
        self.seen_metric(principal, metric, view)?.read(self.state(), wanted).await
    }

    /// The newest open window that has begun and of which the principal sees rows, in the metric's
    /// order. Of sessions, all that are open and have begun, those with the newest events first.
    pub async fn newest_open_window(
        &self,
        principal: &Principal,
        metric: &Metric,
        view: &MetricView,
        now_ms: i64,
        count: Option<usize>,
    ) -> Result<Option<RecordBatch>, QueryError> {
        self.seen_metric(principal, metric, view)?.newest_open(now_ms, count).await
    }

    /// The newest published window that has begun and of which the principal sees rows; without
    /// rows if there is none.
    pub async fn newest_published_window(
        &self,
        principal: &Principal,
        metric: &Metric,
        view: &MetricView,
        now_ms: i64,
        count: Option<usize>,
    ) -> Result<RecordBatch, QueryError> {
        self.seen_metric(principal, metric, view)?.newest_published(self.state(), now_ms, count).await
    }

    /// The rows of a table with one row for each key that are wanted and that the principal sees,
    /// in the order of their keys or of their changes.
    pub async fn keyed_rows(
        &self,
        principal: &Principal,
        name: &str,
        view: &KeyedTableView,
        wanted: &keyed_rows::KeyedFilter<'_>,
    ) -> Result<RecordBatch, QueryError> {
        keyed_rows::read(self.state(), &self.seen_table(principal, name, view)?, wanted).await
    }

    /// Behind every change that the rows of such a table which the principal sees have had.
    pub async fn newest_change(
        &self,
        principal: &Principal,
        name: &str,
        view: &KeyedTableView,
    ) -> Result<keyed_rows::ChangedAfter, QueryError> {
        keyed_rows::newest_change(self.state(), &self.seen_table(principal, name, view)?).await
    }

    fn seen_metric<'a>(
        &'a self,
        principal: &'a Principal,
        metric: &'a Metric,
        view: &'a MetricView,
    ) -> Result<SeenMetric<'a>, QueryError> {
        self.check(principal, &metric.name)?;
        Ok(SeenMetric { metric, view, filters: principal.filters(), recent: &self.namespace.recent })
    }

    fn seen_table<'a>(
        &self,
        principal: &Principal,
        name: &str,
        view: &'a KeyedTableView,
    ) -> Result<SeenTable<'a>, QueryError> {
        self.check(principal, name)?;
        Ok(SeenTable { view, seen: condition(name, principal.filters(), &view.rows.schema())? })
    }
}
