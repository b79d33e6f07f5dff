//! Tables of the warehouse as their jobs will make them, to plan what is served over them.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::datasource::empty::EmptyTable;
use vitral_catalog::names::warehouse_name;
use vitral_catalog::{Catalog, JobTable, Meaning, Name, Needs, Scope, reference};
use vitral_store::warehouse::{ReadFrom, warehouse_field};

use super::Planner;
use crate::error::QueryError;
use crate::limits::Limits;
use crate::read_point::ReadPoint;
use crate::reader::Reader;
use crate::reference::References;
use crate::tables::PROVISIONAL_COLUMN;
use crate::warehouse_rows::WarehouseRows;

/// Those that views and endpoints read, with the columns of their jobs' statements and no row. A
/// job that cannot be planned here, as it reads what only jobs have, is left out.
pub(super) fn without_rows(
    catalog: &Arc<Catalog>,
    reader: &Reader,
    point: &ReadPoint,
) -> Result<WarehouseRows, QueryError> {
    let views = catalog.views.iter().map(|view| (&view.query, &view.source));
    let endpoints = catalog.endpoints.iter().map(|endpoint| (&endpoint.query, &endpoint.position));
    let read = views.chain(endpoints).filter_map(|(query, position)| reader.needs(query, position).ok());
    let wanted: BTreeSet<String> = read.flat_map(|needs| of_warehouse(reader, &needs)).collect();
    let mut rows = WarehouseRows { from: Some(ReadFrom::Primary), ..WarehouseRows::default() };
    if wanted.is_empty() {
        return Ok(rows);
    }
    let jobs = Reader::new(Arc::clone(catalog), References::without_rows(), Limits::default(), Scope::Stored)?;
    let others = catalog.references.iter().filter(|declared| declared.lookup.is_some());
    let others = others.map(|declared| (declared.name.clone(), RecordBatch::new_empty(reference::schema(declared))));
    let point = point.clone().with_looked_up(others)?;
    for table in &catalog.job_tables {
        let id = warehouse_name(&table.table);
        if !wanted.contains(&id) {
            continue;
        }
        let columns = futures::executor::block_on(tokio::task::unconstrained(columns(&jobs, &point, table)));
        if let Some(columns) = columns {
            rows.tables.insert(id, Arc::new(EmptyTable::new(columns)));
        }
    }
    Ok(rows)
}

/// As the job writes them; none if it cannot be planned.
async fn columns(jobs: &Reader, point: &ReadPoint, table: &JobTable) -> Option<SchemaRef> {
    let needs = jobs.needs(&table.query, &table.position).ok()?;
    let planned = jobs.plan(point, &table.query, &needs).await.ok()?;
    let (state, plan) = planned.frame(planned.plan.clone()).into_parts();
    let plan = state.optimize(&plan).ok()?;
    // All windows are final for a job.
    let fields = plan.schema().fields().iter().filter(|field| field.name() != PROVISIONAL_COLUMN);
    Some(Arc::new(Schema::new(fields.map(|field| warehouse_field(field)).collect::<Vec<Field>>())))
}

fn of_warehouse(reader: &Reader, needs: &Needs) -> Vec<String> {
    let is_of_job = |id: &str| matches!(reader.names().get(id), Some(Meaning::Warehouse { .. }));
    let names = needs.names.iter().filter_map(|name| match name {
        Name::Table(id) if is_of_job(id) => Some(id.clone()),
        _ => None,
    });
    names.collect()
}

impl Planner {
    /// An error if a statement reads a table of a job whose columns are not known before the job
    /// has run.
    pub(super) fn check_columns_known(&self, needs: &Needs) -> Result<(), QueryError> {
        let unknown = of_warehouse(&self.reader, needs);
        match unknown.into_iter().find(|id| !self.point.warehouse.tables.contains_key(id)) {
            Some(id) => Err(QueryError::Unavailable(id)),
            None => Ok(()),
        }
    }
}
