//! Each table planned once, for its columns.

use std::collections::BTreeMap;

use arrow::datatypes::SchemaRef;
use datafusion::datasource::TableType;
use vitral_catalog::names::NOW_SCHEMA;
use vitral_catalog::{Catalog, Meaning, Names, Scope, WINDOW_END_COLUMN, WINDOW_START_COLUMN};
use vitral_query::{PROVISIONAL_COLUMN, QueryError};

use super::{Listed, Tables, schemas};

/// Plans tables for everybody.
pub(crate) trait Planner: Sync {
    /// What declares them.
    fn catalog(&self) -> &Catalog;

    /// What they are called.
    fn names(&self) -> &Names;

    /// The columns of a table; an error if it cannot be read now.
    fn columns(&self, schema: &str, name: &str) -> impl Future<Output = Result<SchemaRef, QueryError>> + Send;
}

/// Adds the tables that are not known yet; whether all are known then.
pub(super) async fn complete(known: &mut Tables, planner: &impl Planner) -> bool {
    let mut is_complete = true;
    for (schema, name, id) in all(planner.names()) {
        let tables = known.entry(schema.clone()).or_default();
        if tables.contains_key(&name) {
            continue;
        }
        match planner.columns(&schema, &name).await {
            Ok(columns) => {
                let listed = listed(planner, &schema, id, columns);
                tables.insert(name, listed);
            }
            Err(error) => {
                tracing::debug!(schema, table = name, error = &error as &dyn std::error::Error, "it is not listed yet");
                is_complete = false;
            }
        }
    }
    is_complete
}

/// Schema and name of each table, and what the catalog calls it.
fn all(names: &Names) -> Vec<(String, String, String)> {
    let mut all = Vec::new();
    for schema in schemas(names) {
        let listed = names.listed(&schema, Scope::Stored);
        let readable = listed.into_iter().filter(|(_, id)| !matches!(names.get(id), Some(Meaning::Lookup { .. })));
        all.extend(readable.map(|(name, id)| (schema.clone(), name.to_owned(), id.to_owned())));
    }
    let metrics = names.of(Scope::Stored).filter(|(_, meaning)| matches!(meaning, Meaning::Metric { .. }));
    all.extend(metrics.map(|(id, _)| (NOW_SCHEMA.to_owned(), id.to_owned(), id.to_owned())));
    all
}

fn listed(planner: &impl Planner, schema: &str, id: String, columns: SchemaRef) -> Listed {
    let catalog = planner.catalog();
    let is_metric = matches!(planner.names().get(&id), Some(Meaning::Metric { .. }));
    let is_view = schema == NOW_SCHEMA || matches!(planner.names().get(&id), Some(Meaning::View(_)));
    let mut column_comments = BTreeMap::new();
    if is_metric {
        for (column, comment) in [
            (WINDOW_START_COLUMN, "The start of the window, which is in it."),
            (WINDOW_END_COLUMN, "The end of the window, which is not in it."),
            (PROVISIONAL_COLUMN, "True while the window is open: the row may still change."),
        ] {
            if columns.field_with_name(column).is_ok() {
                column_comments.insert(column.to_owned(), comment.to_owned());
            }
        }
    }
    let metric = catalog.metric(&id).map(|metric| metric.description.clone());
    let comment = metric.or_else(|| catalog.keyed_view(&id).map(|view| view.description.clone()));
    let comment = comment.or_else(|| {
        let view = catalog.views.iter().find(|view| view.name == id);
        view.map(|view| view.description.clone())
    });
    let kind = if is_view { TableType::View } else { TableType::Base };
    Listed { id, kind, columns, comment: comment.filter(|comment| !comment.is_empty()), column_comments }
}
