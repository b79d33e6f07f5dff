//! Delta's scan, except for conditions that name no column.
//!
//! Delta takes those for conditions on partitions alone, and so for its own to judge:
//! `WHERE valor > 0 AND NULL` had every row with such a value. Here they stay with the engine.
//!
//! A scan also knows of which commit it is, so that processes can tell whether they read the same
//! rows.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Statistics;
use datafusion::datasource::TableType;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use serde::{Deserialize, Serialize};

use super::Table;

#[derive(Debug)]
pub(crate) struct TableScan {
    pub(super) scan: Arc<dyn TableProvider>,
    /// What is scanned, for processes that read the same.
    pub(crate) of: Option<StoredAt>,
    /// The table's identity, and the commit.
    pub(super) version: String,
    /// As it was at that commit.
    pub(super) table: Arc<Table>,
}

/// Where stored rows are from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredAt {
    /// The last folder of the table's place: a metric's or a table's version, a topic's name.
    pub folder: String,
    /// The table's commit.
    pub commit: u64,
}

#[async_trait]
impl TableProvider for TableScan {
    fn schema(&self) -> SchemaRef {
        self.scan.schema()
    }

    fn table_type(&self) -> TableType {
        self.scan.table_type()
    }

    fn statistics(&self) -> Option<Statistics> {
        self.scan.statistics()
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let mut supported = self.scan.supports_filters_pushdown(filters)?;
        for (filter, supported) in filters.iter().zip(&mut supported) {
            if !filter.any_column_refs() {
                *supported = TableProviderFilterPushDown::Unsupported;
            }
        }
        Ok(supported)
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.scan.scan(state, projection, filters, limit).await
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
    use arrow::datatypes::Int64Type;
    use datafusion::error::Result;
    use datafusion::prelude::SessionContext;

    use crate::location::Location;
    use crate::session::{bulk_session, read_session};
    use crate::table::Table;

    async fn count(session: &SessionContext, condition: &str) -> Result<i64> {
        let rows = session.sql(&format!("SELECT count(*) FROM numbers WHERE {condition}")).await?.collect().await?;
        Ok(rows[0].column(0).as_primitive::<Int64Type>().value(0))
    }

    #[tokio::test]
    async fn a_condition_that_is_never_true_has_no_rows_beside_one_that_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let location = Location::folder(folder.path()).expect("a location").join("numbers");
        let numbers: ArrayRef = std::sync::Arc::new(Int64Array::from(vec![Some(1), Some(2), None]));
        let rows = RecordBatch::try_from_iter([("n", numbers)]).expect("rows");
        let mut table = Table::open("numbers", &location, rows.schema()).await.expect("opened");
        table.append(vec![rows], &[]).await.expect("appended");
        for (session, location) in [(read_session(1), location.clone()), (bulk_session(1), location.bulk_scan())] {
            let table = Table::read("numbers", &location).await.expect("read").expect("a table");
            session.register_table("numbers", table.provider().await.expect("a provider")).expect("registered");
            let all = [
                ("n > 0", 2),
                ("n > 0 AND NULL", 0),
                ("NULL", 0),
                ("n > 0 AND 1 = 2", 0),
                ("n > 0 OR NULL", 2),
                ("n > 1 AND 1 < 2", 1),
                ("n IS NULL AND NOT NULL", 0),
                ("n = (SELECT NULL)", 0),
            ];
            for (condition, expected) in all {
                assert_eq!(count(&session, condition).await.expect("counted"), expected, "{condition}");
            }
        }
    }
}
