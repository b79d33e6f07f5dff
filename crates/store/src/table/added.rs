//! What commits have added to stored rows that are known.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::source_as_provider;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::LogicalPlan;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use serde::Deserialize;

use super::Table;
use super::scan::TableScan;
use crate::error::StoreError;
use crate::session::read_session;

/// Commits that are looked through at most: after more, all rows are read again.
const COMMITS_MAX: u64 = 1000;

/// The stored rows that a plan reads.
#[derive(Debug, Clone)]
pub struct StoredRows(Arc<Table>);

/// What has become of rows since a commit.
#[derive(Debug)]
enum Since {
    /// All of them are there, and those of these files, which a merge may have replaced since.
    Added(BTreeSet<String>),
    /// Some may be missing.
    Rewritten,
}

/// A line of a commit, as far as it matters here.
#[derive(Deserialize)]
struct Action {
    add: Option<FileAction>,
    remove: Option<FileAction>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FileAction {
    path: String,
    /// False where the same rows are only stored in other files.
    #[serde(default)]
    data_change: bool,
}

impl StoredRows {
    /// Of the one table that the plan reads; none if that is not a stored one.
    pub fn of(rows: &LogicalPlan) -> Option<Self> {
        let mut table = None;
        // It refuses nothing.
        let _ = rows.apply(|node| {
            if let LogicalPlan::TableScan(scan) = node
                && let Ok(provider) = source_as_provider(&scan.source)
                && let Some(scan) = provider.downcast_ref::<TableScan>()
            {
                table = Some(Self(Arc::clone(&scan.table)));
            }
            Ok(TreeNodeRecursion::Continue)
        });
        table
    }

    /// Whether they are the same rows.
    pub fn is(&self, other: &Self) -> bool {
        let id = |rows: &Self| rows.0.id().map(str::to_owned).ok();
        self.0.version() == other.0.version() && id(self) == id(other)
    }

    /// All of them.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn all(&self) -> Result<SendableRecordBatchStream, StoreError> {
        let rows = self.0.files_where(|_| true).map_err(StoreError::read(&self.0.name))?;
        self.read(rows).await
    }

    /// Those that were added since `before`; none if others may be missing since then.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn added_since(&self, before: &Self) -> Result<Option<SendableRecordBatchStream>, StoreError> {
        if self.0.id()? != before.0.id()? {
            return Ok(None);
        }
        match self.since(before.0.version().unwrap_or_default()).await? {
            Since::Added(files) if self.are_kept(&files).await? => {
                let rows = self.0.rows_of(files.into_iter().map(Path::from));
                self.read(rows.map_err(StoreError::read(&self.0.name))?).await.map(Some)
            }
            Since::Added(_) | Since::Rewritten => Ok(None),
        }
    }

    /// Whether files that a merge has replaced are still there: they are deleted days later.
    async fn are_kept(&self, files: &BTreeSet<String>) -> Result<bool, StoreError> {
        let failed = StoreError::read(&self.0.name);
        let state = self.0.delta.snapshot().map_err(DataFusionError::from).map_err(&failed)?;
        let active: BTreeSet<String> =
            state.log_data().into_iter().map(|file| file.object_store_path().to_string()).collect();
        let store = self.0.delta.log_store().object_store(None);
        for file in files.difference(&active) {
            match store.head(&Path::from(file.as_str())).await {
                Ok(_) => {}
                Err(object_store::Error::NotFound { .. }) => return Ok(false),
                Err(error) => return Err(failed(error.into())),
            }
        }
        Ok(true)
    }

    async fn since(&self, commit: u64) -> Result<Since, StoreError> {
        let failed = StoreError::table(&self.0.name, "asked for its commits");
        let newest = self.0.version().unwrap_or_default();
        if newest < commit || newest - commit > COMMITS_MAX {
            return Ok(Since::Rewritten);
        }
        let log = self.0.delta.log_store();
        let mut added = BTreeSet::new();
        for commit in commit + 1..=newest {
            let Some(lines) = log.read_commit_entry(commit).await.map_err(&failed)? else {
                return Ok(Since::Rewritten);
            };
            for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                // What is not understood may be anything.
                let Ok(action) = serde_json::from_slice::<Action>(line) else { return Ok(Since::Rewritten) };
                match (action.add, action.remove) {
                    (Some(file), _) if file.data_change => drop(added.insert(file.path)),
                    (_, Some(file)) if file.data_change => return Ok(Since::Rewritten),
                    _ => {}
                }
            }
        }
        Ok(Since::Added(added))
    }

    async fn read(&self, rows: Arc<dyn TableProvider>) -> Result<SendableRecordBatchStream, StoreError> {
        let failed = StoreError::read(&self.0.name);
        let session = read_session(1);
        self.0.location.register(&session.runtime_env());
        session.read_table(rows).map_err(&failed)?.execute_stream().await.map_err(&failed)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array, RecordBatch};
    use datafusion::datasource::provider_as_source;
    use datafusion::logical_expr::{LogicalPlanBuilder, ident};
    use futures::TryStreamExt;

    use super::*;
    use crate::location::Location;

    async fn stored(table: &Table) -> StoredRows {
        let source = provider_as_source(table.provider().await.expect("a provider"));
        let plan =
            LogicalPlanBuilder::scan("n", source, None).and_then(|plan| plan.filter(ident("n").is_not_null())?.build());
        StoredRows::of(&plan.expect("a plan")).expect("stored")
    }

    async fn added(now: &StoredRows, before: &StoredRows) -> Option<usize> {
        let rows = now.added_since(before).await.expect("read")?;
        let batches: Vec<RecordBatch> = rows.try_collect().await.expect("rows");
        Some(batches.iter().map(RecordBatch::num_rows).sum())
    }

    #[tokio::test]
    async fn added_rows_are_told_from_rewritten_ones() {
        let folder = tempfile::tempdir().expect("a folder");
        let location = Location::folder(folder.path()).expect("a location").join("numbers");
        let batch = |numbers: Vec<i64>| {
            let numbers: ArrayRef = Arc::new(Int64Array::from(numbers));
            RecordBatch::try_from_iter([("n", numbers)]).expect("rows")
        };
        let mut table = Table::open("numbers", &location, batch(vec![]).schema()).await.expect("opened");
        table.append(vec![batch(vec![1])], &[]).await.expect("appended");
        let first = stored(&table).await;
        assert!(first.is(&stored(&table).await));
        assert_eq!(added(&first, &first).await, Some(0));
        table.append(vec![batch(vec![2, 3])], &[]).await.expect("appended");
        table.append(vec![batch(vec![4])], &[]).await.expect("appended");
        let third = stored(&table).await;
        assert!(!third.is(&first));
        assert_eq!(added(&third, &first).await, Some(3));
        let all: Vec<RecordBatch> = third.all().await.expect("read").try_collect().await.expect("rows");
        assert_eq!(all.iter().map(RecordBatch::num_rows).sum::<usize>(), 4);
        // A merge changes no rows; those that came since are read from the files that it replaced.
        table.compact_wholly().await.expect("merged");
        let merged = stored(&table).await;
        assert_eq!(added(&merged, &first).await, Some(3));
        assert_eq!(added(&merged, &third).await, Some(0));
        table.delete(ident("n").eq(datafusion::logical_expr::lit(1_i64))).await.expect("deleted");
        assert_eq!(added(&stored(&table).await, &first).await, None);
    }
}
