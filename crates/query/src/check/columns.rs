//! The columns of everything that is served, for those who describe it.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use vitral_catalog::{Catalog, DomainSettings, Endpoint};

use super::{Planner, table_schemas};
use crate::error::QueryError;
use crate::labels;
use crate::placeholders::placeholder_values;
use crate::tables::PROVISIONAL_COLUMN;
use crate::time_range::TimeRange;

/// The columns of answers, names next to their ids included.
#[derive(Debug, Default)]
pub struct ServedColumns {
    /// Of metrics and of tables that are kept up to date, by name.
    pub tables: BTreeMap<String, SchemaRef>,
    /// Of endpoints, by path.
    pub endpoints: BTreeMap<String, SchemaRef>,
}

impl ServedColumns {
    /// Those of a catalog. Plans everything, which takes a while: blocks.
    ///
    /// # Errors
    /// Something cannot be planned.
    pub fn of(catalog: &Arc<Catalog>, settings: &DomainSettings) -> Result<Self, QueryError> {
        let labels = labels::of_catalog(catalog);
        let schemas = table_schemas(catalog, settings, &mut Vec::new())?;
        let tables = schemas.iter().map(|(name, schema)| {
            let is_metric = catalog.metric(name).is_some();
            let shown = if is_metric { with_provisional(schema) } else { Arc::clone(schema) };
            (name.clone(), labels.schema(&shown))
        });
        let tables = tables.collect();
        let planner = Planner::new(catalog, &schemas)?;
        let endpoints = futures::executor::block_on(tokio::task::unconstrained(async {
            let mut endpoints = BTreeMap::new();
            for endpoint in &catalog.endpoints {
                match planner.columns(endpoint).await {
                    Ok(columns) => drop(endpoints.insert(endpoint.path.clone(), labels.schema(&columns))),
                    // What it reads is of a topic that is not in the catalog, or of a job whose
                    // columns are not known.
                    Err(QueryError::Unavailable(_)) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok::<_, QueryError>(endpoints)
        }))?;
        Ok(Self { tables, endpoints })
    }
}

impl Planner {
    async fn columns(&self, endpoint: &Endpoint) -> Result<SchemaRef, QueryError> {
        let needs = self.reader.needs(&endpoint.query, &endpoint.position)?;
        self.check_columns_known(&needs)?;
        let planned = self.reader.plan(&self.point, &endpoint.query, &needs).await?;
        let range = TimeRange::default();
        let values = placeholder_values(endpoint, self.point.now_ms, range, endpoint.limit_default, |_| None);
        // Types of some columns are known only with those of the parameters.
        let frame = planned.frame(planned.plan.clone().with_param_values(values)?);
        Ok(frame.create_physical_plan().await?.schema())
    }
}

fn with_provisional(schema: &SchemaRef) -> SchemaRef {
    let mut fields = schema.fields().to_vec();
    fields.push(Arc::new(Field::new(PROVISIONAL_COLUMN, DataType::Boolean, false)));
    Arc::new(Schema::new(fields))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_of_the_built_in_catalog() {
        let settings = DomainSettings::default();
        let catalog = Arc::new(Catalog::load(&[], &settings).expect("a catalog"));
        let served = ServedColumns::of(&catalog, &settings).expect("columns");
        let names =
            |schema: &SchemaRef| schema.fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>().join(" ");
        let metric = &served.tables["produtos_mais_vistos"];
        assert_eq!(names(metric), "janela_inicio janela_fim id_produto nome visualizacoes provisoria");
        let sales = &served.endpoints["/vendas/resumo"];
        assert_eq!(names(sales), "id_produto nome total_vendido receita pedidos");
        assert!(matches!(sales.field(3).data_type(), DataType::Decimal128(_, 2)), "{sales}");
        assert_eq!(served.endpoints.len(), catalog.endpoints.len());
    }
}
