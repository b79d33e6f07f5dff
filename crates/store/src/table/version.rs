//! Which rows these are, said so that every process that reads them says the same.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::empty::EmptyTable;
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::LogicalPlan;

use super::scan::TableScan;

/// What tells stored rows from those of any other table or commit, in every process that reads
/// them: the tables and commits that they are read from, and how. None if some of them are not
/// stored.
pub fn rows_version(rows: &Arc<dyn TableProvider>) -> Option<String> {
    let mut version = String::new();
    add(rows, &mut version).then_some(version)
}

fn add(rows: &Arc<dyn TableProvider>, version: &mut String) -> bool {
    if let Some(scan) = rows.downcast_ref::<TableScan>() {
        version.push_str(&scan.version);
        version.push('\n');
        return true;
    }
    if rows.is::<EmptyTable>() {
        version.push_str("empty\n");
        return true;
    }
    let Some(plan) = rows.get_logical_plan() else { return false };
    version.push_str(&plan.display_indent().to_string());
    version.push('\n');
    let mut is_stored = true;
    let seen = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            is_stored &= source_as_provider(&scan.source).is_ok_and(|rows| add(&rows, version));
        }
        Ok(if is_stored { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    });
    seen.is_ok() && is_stored
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array, RecordBatch};
    use datafusion::catalog::MemTable;
    use datafusion::datasource::{ViewTable, provider_as_source};
    use datafusion::logical_expr::{Expr, LogicalPlanBuilder, ident, lit};

    use super::*;
    use crate::location::Location;
    use crate::table::Table;

    #[tokio::test]
    async fn rows_of_another_table_or_commit_have_another_version_in_every_process() {
        let folder = tempfile::tempdir().expect("a folder");
        let location = Location::folder(folder.path()).expect("a location");
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        let rows = RecordBatch::try_from_iter([("n", numbers)]).expect("rows");
        // As another process reads them.
        let read = async |name: &str| {
            let table = Table::read(name, &location.join(name)).await.expect("read").expect("a table");
            table.provider().await.expect("a provider")
        };
        let version = async |name: &str| rows_version(&read(name).await).expect("stored");
        let mut table = Table::open("a", &location.join("a"), rows.schema()).await.expect("opened");
        Table::open("b", &location.join("b"), rows.schema()).await.expect("opened");
        let before = version("a").await;
        assert_eq!(before, version("a").await);
        assert_ne!(before, version("b").await);
        table.append(vec![rows.clone()], &[]).await.expect("appended");
        assert_ne!(before, version("a").await);

        // What is made of stored rows has their versions, and how it is made.
        let view = async |condition: Expr| {
            let source = provider_as_source(read("a").await);
            let plan = LogicalPlanBuilder::scan("a", source, None).and_then(|plan| plan.filter(condition)?.build());
            let view: Arc<dyn TableProvider> = Arc::new(ViewTable::new(plan.expect("a plan"), None));
            rows_version(&view).expect("stored")
        };
        let made = view(ident("n").gt(lit(1))).await;
        assert_eq!(made, view(ident("n").gt(lit(1))).await);
        assert_ne!(made, view(ident("n").gt(lit(2))).await);
        assert!(made.contains(&version("a").await));
        let in_memory: Arc<dyn TableProvider> =
            Arc::new(MemTable::try_new(rows.schema(), vec![vec![rows]]).expect("a table"));
        assert_eq!(rows_version(&in_memory), None);
    }
}
