//! What keeps a view from being copied: its key, and the types of its columns.

use arrow::datatypes::DataType;
use vitral_catalog::{Diagnostic, View};
use vitral_schemas::written::{DELETED_COLUMN, EPOCH_COLUMN, written_type};

use super::Planner;

impl Planner {
    /// The key of a sink must be among the rows and tell them apart, and each column must have a
    /// form in targets.
    pub(super) async fn wrong_sink(&self, view: &View) -> Vec<Diagnostic> {
        let Some(sink) = &view.sink else { return Vec::new() };
        let Ok(needs) = self.reader.needs(&view.query, &view.source) else { return Vec::new() };
        let Ok(planned) = self.reader.plan(&self.point, &view.query, &needs).await else { return Vec::new() };
        let schema = planned.plan.schema().as_arrow();
        let name = &view.name;
        let of_key = sink.key.iter().filter_map(|column| match schema.field_with_name(column) {
            Err(_) => {
                let columns = schema.fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>().join(", ");
                Some(sink.key_position.error(
                    format!("sink {name}: its rows have no column {column}"),
                    format!("name one of its columns: {columns}"),
                ))
            }
            Ok(field) if *field.data_type() == DataType::Null => Some(sink.key_position.error(
                format!("sink {name}: {column} is always null, which cannot be a key"),
                "name columns that have values, or give null a value with coalesce".into(),
            )),
            Ok(field) if field.data_type().is_nested() || field.data_type().is_floating() => {
                Some(sink.key_position.error(
                    format!("sink {name}: {column} is {}, which cannot tell rows apart", field.data_type()),
                    "name columns of strings, whole numbers, decimals, booleans, dates or times".into(),
                ))
            }
            Ok(_) => None,
        });
        let of_rows = schema.fields().iter().filter_map(|field| {
            let column = field.name();
            if column == EPOCH_COLUMN || column == DELETED_COLUMN {
                return Some(view.source.error(
                    format!("sink {name}: {column} is a column of every copy"),
                    "give this one another name".into(),
                ));
            }
            written_type(field.data_type()).is_none().then(|| {
                view.source.error(
                    format!("sink {name}: column {column} is {}, which a copy has no form for", field.data_type()),
                    "leave it out, or cast it to a string, a number, a date or a time".into(),
                )
            })
        });
        of_key.chain(of_rows).collect()
    }
}
