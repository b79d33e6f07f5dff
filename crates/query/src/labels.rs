//! Names next to ids: what reference tables call something that rows know by its id.
//!
//! They are added to the rows of an answer when these are there: a statement costs the same, and
//! its order and its pages are what they were.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, RecordBatchOptions, StringBuilder};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use arrow::error::ArrowError;
use datafusion::error::Result as EngineResult;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::StreamExt;
use vitral_catalog::{Catalog, Naming};

use crate::known_names::Known;
use crate::principal::Principal;
use crate::reader::Reader;

/// What adds names to rows; nothing to rows without ids that are named.
#[derive(Debug, Clone, Default)]
pub struct Labels(Vec<Label>);

#[derive(Debug, Clone)]
struct Label {
    id: String,
    name: String,
    known: Arc<Known>,
}

impl Reader {
    /// The names that this principal may see, of all tables that name something; the others are
    /// unknown to it.
    pub async fn labels(&self, principal: &Principal) -> Labels {
        let (catalog, references) = self.catalog_and_references();
        let mut labels = Labels::default();
        for (table, naming) in catalog.namings() {
            let is_first = !labels.0.iter().any(|label| label.id == naming.id);
            if is_first {
                // Who may not read the table, or sees some rows only, would see the names of all.
                let may_see = principal.filters().is_empty() && principal.scopes().may_read(&table.name);
                let known = if may_see { references.names(table, naming).await } else { Arc::default() };
                labels.0.push(Label { id: naming.id.clone(), name: naming.name.clone(), known });
            }
        }
        labels
    }
}

impl Labels {
    /// Differs when a name differs; none if nothing is named.
    pub fn version(&self) -> Option<String> {
        let versions = self.0.iter().map(|label| format!("{:x}", label.known.version()));
        let versions: Vec<_> = versions.collect();
        (!versions.is_empty()).then(|| versions.join("."))
    }

    /// The columns of rows with their names.
    pub fn schema(&self, schema: &SchemaRef) -> SchemaRef {
        let named = self.named(schema);
        if named.is_empty() {
            return Arc::clone(schema);
        }
        let mut fields: Vec<FieldRef> = Vec::with_capacity(schema.fields().len() + named.len());
        for (index, field) in schema.fields().iter().enumerate() {
            fields.push(Arc::clone(field));
            let of_field = named.iter().filter(|(id, _)| *id == index);
            fields.extend(of_field.map(|(_, label)| Arc::new(Field::new(&label.name, DataType::Utf8, true))));
        }
        Arc::new(Schema::new(fields))
    }

    /// The rows with each name behind its id: null where nobody knows one.
    pub fn added_to(&self, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let schema = batch.schema();
        let named = self.named(&schema);
        if named.is_empty() {
            return Ok(batch.clone());
        }
        let mut columns = Vec::with_capacity(batch.num_columns() + named.len());
        for (index, column) in batch.columns().iter().enumerate() {
            columns.push(Arc::clone(column));
            for (_, label) in named.iter().filter(|(id, _)| *id == index) {
                columns.push(label.names_of(column)?);
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(self.schema(&schema), columns, &options)
    }

    /// The same for rows that are still to come.
    pub fn added_to_all(self, batches: SendableRecordBatchStream) -> SendableRecordBatchStream {
        let schema = batches.schema();
        if self.named(&schema).is_empty() {
            return batches;
        }
        let named = self.schema(&schema);
        let batches = batches.map(move |batch| -> EngineResult<RecordBatch> { Ok(self.added_to(&batch?)?) });
        Box::pin(RecordBatchStreamAdapter::new(named, batches))
    }

    /// The place of each id, and what names it: rows that have a column of that name already keep
    /// it.
    fn named(&self, schema: &Schema) -> Vec<(usize, &Label)> {
        let place = |label: &Label| {
            let (index, field) = schema.column_with_name(&label.id)?;
            let is_text = matches!(field.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
            (is_text && schema.column_with_name(&label.name).is_none()).then_some(index)
        };
        self.0.iter().filter_map(|label| Some((place(label)?, label))).collect()
    }
}

impl Label {
    fn names_of(&self, ids: &ArrayRef) -> Result<ArrayRef, ArrowError> {
        let ids = cast(ids, &DataType::Utf8)?;
        let names = || ids.as_string::<i32>().iter().map(|id| self.known.name(id?));
        let bytes = names().flatten().map(str::len).sum();
        let mut column = StringBuilder::with_capacity(ids.len(), bytes);
        column.extend(names());
        Ok(Arc::new(column.finish()))
    }
}

/// What names the columns of rows that are described, and not there: every name is unknown.
pub(crate) fn of_catalog(catalog: &Catalog) -> Labels {
    let label = |naming: &Naming| Label { id: naming.id.clone(), name: naming.name.clone(), known: Arc::default() };
    Labels(catalog.namings().map(|(_, naming)| label(naming)).collect())
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, StringViewArray};

    use super::*;

    fn labels(names: &[(&str, &str)]) -> Labels {
        let mut known = Known::default();
        names.iter().for_each(|(id, name)| known.add(id, name));
        Labels(vec![Label { id: "id_produto".into(), name: "nome".into(), known: Arc::new(known) }])
    }

    fn rows() -> RecordBatch {
        let ids = StringViewArray::from(vec![Some("p2"), Some("nobody"), None, Some("p1")]);
        let counts = Int64Array::from(vec![1, 2, 3, 4]);
        RecordBatch::try_from_iter([("id_produto", Arc::new(ids) as ArrayRef), ("n", Arc::new(counts) as ArrayRef)])
            .expect("a batch")
    }

    #[test]
    fn a_name_stands_behind_its_id() {
        let labels = labels(&[("p1", "Caneca"), ("p2", "Bule"), ("p2", "Bule novo")]);
        let named = labels.added_to(&rows()).expect("named");
        assert_eq!(named.schema(), labels.schema(&rows().schema()));
        let columns: Vec<_> = named.schema().fields().iter().map(|field| field.name().clone()).collect();
        assert_eq!(columns, ["id_produto", "nome", "n"]);
        let names: Vec<_> = named.column(1).as_string::<i32>().iter().collect();
        assert_eq!(names, [Some("Bule"), None, None, Some("Caneca")]);
        // Rows that have a name keep it.
        assert_eq!(labels.added_to(&named).expect("as they are"), named);
        assert_eq!(Labels::default().added_to(&rows()).expect("as they are"), rows());
    }

    #[test]
    fn another_name_is_another_version() {
        let version = |names: &[(&str, &str)]| labels(names).version();
        assert_eq!(version(&[("a", "1"), ("b", "2")]), version(&[("b", "2"), ("a", "1")]));
        assert_ne!(version(&[("a", "1"), ("b", "2")]), version(&[("a", "2"), ("b", "1")]));
        assert_eq!(Labels::default().version(), None);
    }
}
