//! Removes duplicate conditions from Parquet scans. Delta's scan hands a filter to the files
//! itself, and DataFusion pushes it down once more; every condition would be evaluated twice, and
//! every column in it read twice.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::datasource::physical_plan::{FileScanConfigBuilder, FileSource, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::utils::{conjunction, split_conjunction};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;

/// Keeps each condition of a Parquet scan once.
#[derive(Debug)]
pub(crate) struct ConditionsOnce;

impl PhysicalOptimizerRule for ConditionsOnce {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let rewritten = plan.transform_up(|node| {
            let Some(scan) = node.downcast_ref::<DataSourceExec>() else { return Ok(Transformed::no(node)) };
            let Some((config, source)) = scan.downcast_to_file_source::<ParquetSource>() else {
                return Ok(Transformed::no(node));
            };
            let Some(predicate) = source.filter() else { return Ok(Transformed::no(node)) };
            let all = split_conjunction(&predicate);
            let mut once: Vec<Arc<dyn PhysicalExpr>> = Vec::with_capacity(all.len());
            for condition in &all {
                if !once.contains(condition) {
                    once.push(Arc::clone(condition));
                }
            }
            if once.len() == all.len() {
                return Ok(Transformed::no(node));
            }
            let source = Arc::new(source.with_predicate(conjunction(once)));
            let config = FileScanConfigBuilder::from(config.clone()).with_source(source).build();
            Ok(Transformed::yes(DataSourceExec::from_data_source(config)))
        })?;
        Ok(rewritten.data)
    }

    fn name(&self) -> &'static str {
        "conditions_once"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array, RecordBatch};
    use arrow::datatypes::{DataType, Field, Schema};
    use datafusion::logical_expr::{ident, lit};
    use datafusion::physical_plan::displayable;

    use super::*;
    use crate::location::Location;
    use crate::session::read_session;
    use crate::table::Table;

    #[tokio::test]
    async fn a_condition_is_evaluated_once() {
        let dir = tempfile::tempdir().expect("a folder");
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
        let location = Location::folder(dir.path()).expect("a place");
        let mut table = Table::open("numbers", &location, Arc::clone(&schema)).await.expect("opened");
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..1_000));
        let rows = RecordBatch::try_new(schema, vec![numbers]).expect("rows");
        table.append(vec![rows], &[]).await.expect("appended");
        for location in [location.clone(), location.plain_parquet()] {
            let table = Table::read("numbers", &location).await.expect("read").expect("a table");
            let frame = read_session(1).read_table(table.provider().await.expect("rows")).expect("a frame");
            let wanted = ident("n").gt_eq(lit(990_i64)).and(ident("n").lt(lit(997_i64)));
            let frame = frame.filter(wanted).expect("filtered");
            let plan = frame.clone().create_physical_plan().await.expect("planned");
            let plan = displayable(plan.as_ref()).indent(false).to_string();
            let predicate = plan.split("predicate=").nth(1).expect("a predicate of the files");
            let predicate = predicate.split(", pruning_predicate").next().expect("its conditions");
            assert_eq!((predicate.matches(">= 990").count(), predicate.matches("< 997").count()), (1, 1), "{plan}");
            assert_eq!(frame.count().await.expect("counted"), 7);
        }
    }
}
