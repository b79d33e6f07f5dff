//! A table of a database as the engine reads it: columns, simple conditions and a limit are left to
//! the database.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::TableType;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_expr::LexOrdering;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use vitral_store::StoreError;

use super::Database;
use super::columns::{DatabaseColumn, ReadColumn};
use super::conditions::Condition;
use super::cursor::Scan;
use crate::sql::quoted;

/// A table with the columns that it has now.
#[derive(Debug)]
pub(super) struct DatabaseTable {
    name: String,
    database: Arc<Database>,
    columns: Vec<ReadColumn>,
    schema: SchemaRef,
}

impl DatabaseTable {
    pub(super) fn new(name: &str, database: &Arc<Database>, columns: &[DatabaseColumn]) -> Result<Self, StoreError> {
        let columns = columns.iter().map(|column| column.read(name)).collect::<Result<Vec<_>, _>>()?;
        let fields = columns.iter().map(|column| Field::new(&column.name, column.data_type.clone(), true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        Ok(Self { name: name.to_owned(), database: Arc::clone(database), columns, schema })
    }

    /// What gives these columns of the rows that meet all conditions.
    fn statement(&self, wanted: &[usize], filters: &[Expr], limit: Option<usize>) -> String {
        let columns: Vec<&str> = wanted.iter().map(|index| self.columns[*index].select.as_str()).collect();
        // Rows alone are counted.
        let columns = if columns.is_empty() { "1".to_owned() } else { columns.join(", ") };
        let mut statement = format!("SELECT {columns} FROM {}", quoted(&self.name));
        let conditions = filters.iter().filter_map(|filter| Condition::of(filter, &self.columns));
        let conditions: Vec<String> = conditions.map(|condition| condition.sql).collect();
        if !conditions.is_empty() {
            statement = format!("{statement} WHERE {}", conditions.join(" AND "));
        }
        match limit {
            Some(limit) => format!("{statement} LIMIT {limit}"),
            None => statement,
        }
    }
}

#[async_trait]
impl TableProvider for DatabaseTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let supported = |filter: &&Expr| match Condition::of(filter, &self.columns) {
            Some(condition) if condition.is_exact => TableProviderFilterPushDown::Exact,
            Some(_) => TableProviderFilterPushDown::Inexact,
            None => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(supported).collect())
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let wanted = projection.cloned().unwrap_or_else(|| (0..self.columns.len()).collect());
        let scan = Arc::new(Scan {
            table: self.name.clone(),
            database: Arc::clone(&self.database),
            statement: self.statement(&wanted, filters, limit),
            schema: Arc::new(self.schema.project(&wanted)?),
        });
        let (schema, no_order) = (Arc::clone(&scan.schema), Vec::<LexOrdering>::new());
        Ok(Arc::new(StreamingTableExec::try_new(schema, vec![Arc::new(Rows(scan))], None, no_order, false, limit)?))
    }
}

/// The one partition.
struct Rows(Arc<Scan>);

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.statement)
    }
}

impl PartitionStream for Rows {
    fn schema(&self) -> &SchemaRef {
        &self.0.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        Arc::clone(&self.0).run()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use datafusion::logical_expr::{col, lit};

    use super::super::{NamedDatabase, SqlWarehouseReader};
    use super::*;
    use crate::database_url::DatabaseUrl;

    #[tokio::test]
    async fn a_statement_asks_for_what_is_wanted_alone() {
        let url = DatabaseUrl::new("postgresql://vitral@127.0.0.1:1/loja");
        let reader =
            SqlWarehouseReader::new(NamedDatabase { connection: "loja".into(), url }, None, 1, BTreeSet::new());
        let database = Arc::clone(&reader.expect("a reader").primary);
        let column = |name: &str, data_type: &str| DatabaseColumn { name: name.into(), data_type: data_type.into() };
        let columns = [column("dia", "date"), column("n", "bigint"), column("o\"b", "jsonb")];
        let table = DatabaseTable::new("vendas", &database, &columns).expect("a table");
        let filters = [col("n").gt(lit(1_i64)), col("n").lt(lit(9_i64))];
        assert_eq!(
            table.statement(&[2, 1], &filters, Some(3)),
            "SELECT \"o\"\"b\"::text, \"n\" FROM \"vendas\" WHERE \"n\" > 1 AND \"n\" < 9 LIMIT 3"
        );
        assert_eq!(table.statement(&[], &[], None), "SELECT 1 FROM \"vendas\"");
    }
}
