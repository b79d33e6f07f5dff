//! Of which commit of which table the rows are that a reader was given.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::LogicalPlan;

use crate::table::{StoredAt, TableScan};

/// Where rows are from; of several tables that are read as one, the first: an archive's rows that
/// are not cold, a metric's own windows, a table's states. None if they are not stored.
pub fn stored_at(rows: &Arc<dyn TableProvider>) -> Option<StoredAt> {
    if let Some(scan) = rows.downcast_ref::<TableScan>() {
        return scan.of.clone();
    }
    let plan = rows.get_logical_plan()?;
    let mut found = None;
    let walked = plan.apply(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Ok(rows) = source_as_provider(&scan.source)
        {
            found = stored_at(&rows);
        }
        Ok(if found.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    walked.ok().and(found)
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array, RecordBatch};
    use datafusion::datasource::{ViewTable, provider_as_source};
    use datafusion::logical_expr::{LogicalPlanBuilder, ident, lit};

    use super::*;
    use crate::location::Location;
    use crate::session::read_session;

    fn rows(of: i64) -> RecordBatch {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..of));
        RecordBatch::try_from_iter([("n", numbers)]).expect("rows")
    }

    async fn count(rows: Arc<dyn TableProvider>) -> usize {
        read_session(1).read_table(rows).expect("a table").count().await.expect("counted")
    }

    #[tokio::test]
    async fn rows_of_a_commit_are_found_again_whatever_came_since() {
        let dir = tempfile::tempdir().expect("a folder");
        let place = Location::folder(dir.path()).expect("a store").join("numbers");
        let mut table = crate::table::Table::open("numbers", &place, rows(1).schema()).await.expect("made");
        let mut shown = vec![(table.provider().await.expect("rows"), 0)];
        for total in 1..=4 {
            table.append(vec![rows(1)], &[]).await.expect("appended");
            shown.push((table.provider().await.expect("rows"), total));
        }
        let mut reader = crate::table::Table::read("numbers", &place).await.expect("read").expect("there");
        // Forwards, backwards, and to the newest.
        for (theirs, total) in shown.iter().chain(shown.iter().rev()) {
            let StoredAt { folder, commit } = stored_at(theirs).expect("stored");
            assert_eq!(folder, "numbers");
            reader.move_to(Some(commit)).await.expect("moved");
            let mine = reader.provider().await.expect("rows");
            assert_eq!((stored_at(&mine), count(mine).await), (stored_at(theirs), *total));
        }
        assert!(!reader.move_to(Some(0)).await.expect("there already"));
        assert!(reader.move_to(None).await.expect("moved"));
        assert_eq!(count(reader.provider().await.expect("rows")).await, 4);
        assert!(reader.move_to(Some(9)).await.is_err(), "there is no such commit");

        // Through what is read over it, as an archive with cold rows is.
        let scan = LogicalPlanBuilder::scan("hot", provider_as_source(Arc::clone(&shown[2].0)), None);
        let plan = scan.and_then(|plan| plan.filter(ident("n").gt_eq(lit(0_i64)))?.build()).expect("a plan");
        let view: Arc<dyn TableProvider> = Arc::new(ViewTable::new(plan, None));
        assert_eq!(stored_at(&view), stored_at(&shown[2].0));
    }
}
