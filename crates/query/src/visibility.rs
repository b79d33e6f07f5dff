//! What a principal sees: which names are there for it, and which rows these have.
//!
//! Scopes are asked for what a statement, or the path of a request, names itself; row filters hold
//! wherever something is read, and through every view. A filter names columns: what does not carry
//! all of them is closed as a whole, and so is every view that reads it. A topic's rows are
//! filtered before anything else is done with them, so that a view is the same statement over the
//! principal's own rows. Metrics, and tables that are kept up to date, were computed over the rows
//! of all: they are open if each of their rows is made of rows of one value of the column alone.

use std::collections::BTreeSet;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::{and, cast as to_type, filter_record_batch};
use arrow::datatypes::{DataType, Schema};
use datafusion::logical_expr::{Expr, cast, ident, lit};
use vitral_catalog::{EngineTable, Meaning, Name, reference};
use vitral_schemas::topic::Topic;

use crate::error::QueryError;
use crate::principal::{Principal, RowFilters, Scopes};
use crate::shared::Shared;

/// What a catalog is for one principal.
#[derive(Clone, Copy)]
pub(crate) struct Sight<'a> {
    pub shared: &'a Shared,
    pub principal: &'a Principal,
}

impl Sight<'_> {
    /// Whether nothing is closed.
    pub(crate) fn is_of_everything(&self) -> bool {
        self.principal.scopes().has(Scopes::ADMIN) && self.principal.filters().is_empty()
    }

    /// Whether a statement of the principal, or the path of its request, may name it.
    pub(crate) fn may_name(&self, name: &str) -> bool {
        self.principal.scopes().may_read(name) && self.sees(name)
    }

    /// Whether something that the principal may ask for may read it.
    pub(crate) fn sees(&self, name: &str) -> bool {
        let (filters, meaning) = (self.principal.filters(), self.shared.names.get(name));
        if let Some(Meaning::Engine(EngineTable::Audit)) = meaning
            && !self.principal.scopes().has(Scopes::ADMIN)
        {
            return false;
        }
        filters.is_empty() || meaning.is_some_and(|meaning| self.sees_rows(name, meaning))
    }

    /// Whether a principal with filters sees some of its rows.
    fn sees_rows(&self, name: &str, meaning: &Meaning) -> bool {
        let Shared { catalog, names, scope, .. } = self.shared;
        let all = |carries: &dyn Fn(&str) -> bool| self.principal.filters().iter().all(|(column, _)| carries(column));
        match meaning {
            Meaning::Topic => catalog.topic(name).is_some_and(|topic| all(&|column| has(topic, column))),
            Meaning::Metric { topic } => catalog
                .metric(name)
                .zip(catalog.topic(topic))
                .is_some_and(|(metric, topic)| all(&|column| metric.is_partitioned_by(column) && has(topic, column))),
            Meaning::Keyed { topic } => {
                catalog.keyed_view(name).zip(catalog.topic(topic)).is_some_and(|(view, topic)| {
                    // Sums can be computed from the rows that are seen.
                    let carries = |column: &str| view.rollup.is_some() || view.is_partitioned_by(column);
                    all(&|column| carries(column) && has(topic, column))
                })
            }
            Meaning::View(view) => names.needs(&view.query, &view.position, *scope).is_ok_and(|needs| {
                needs.names.iter().all(|read| match read {
                    // What it reads is among the names too.
                    Name::Table(read) if matches!(names.get(read), Some(Meaning::View(_))) => true,
                    Name::Table(read) | Name::Newest(read) => self.sees(read),
                    Name::Information(_) => false,
                })
            }),
            Meaning::Reference | Meaning::Lookup { .. } => {
                let declared = catalog.references.iter().find(|known| known.name == name);
                declared.is_some_and(|declared| {
                    let schema = reference::schema(declared);
                    all(&|column| is_column(&schema, column))
                })
            }
            // They tell of all rows.
            Meaning::Engine(_) => false,
            // They are computed over the rows of all.
            Meaning::Warehouse { .. } => false,
        }
    }

    /// An error unless something that the principal may ask for may read it.
    pub(crate) fn check(&self, name: &str) -> Result<(), QueryError> {
        if self.sees(name) { Ok(()) } else { Err(QueryError::Forbidden(name.to_owned())) }
    }
}

/// Whether a principal may know how many messages were read, counted and refused, what is wrong
/// with them and how far they have come: such counts are of all rows.
pub fn sees_completeness(principal: &Principal) -> bool {
    principal.filters().is_empty()
}

fn has(topic: &Topic, column: &str) -> bool {
    is_column(&topic.schema(), column)
}

fn is_column(schema: &Schema, column: &str) -> bool {
    schema.field_with_name(column).is_ok_and(|field| is_comparable(field.data_type()))
}

/// Whether each of its values has a text of its own.
fn is_comparable(data_type: &DataType) -> bool {
    is_text(data_type)
        || data_type.is_numeric()
        || matches!(data_type, DataType::Boolean | DataType::Date32 | DataType::Date64 | DataType::Timestamp(..))
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// What rows with these columns must meet to be seen; none if all are. Values are compared as
/// texts, and a row without a value is nobody's.
///
/// # Errors
/// A column is missing: none of the rows of `name` may be seen.
pub(crate) fn condition(name: &str, filters: &RowFilters, schema: &Schema) -> Result<Option<Expr>, QueryError> {
    let of_column = |(column, values): (&str, &BTreeSet<String>)| {
        let field = schema.field_with_name(column).ok().filter(|field| is_comparable(field.data_type()));
        let field = field.ok_or_else(|| QueryError::Forbidden(name.to_owned()))?;
        let text = if is_text(field.data_type()) { ident(column) } else { cast(ident(column), DataType::Utf8) };
        let mut values = values.iter().map(|value| lit(value.as_str()));
        Ok(match (values.next(), values.len()) {
            (None, _) => lit(false),
            (Some(only), 0) => text.eq(only),
            (Some(first), _) => text.in_list(std::iter::once(first).chain(values).collect(), false),
        })
    };
    let conditions = filters.iter().map(of_column).collect::<Result<Vec<Expr>, QueryError>>()?;
    Ok(conditions.into_iter().reduce(Expr::and))
}

/// The rows among these that are seen.
///
/// # Errors
/// As [`condition`].
pub(crate) fn seen(name: &str, filters: &RowFilters, rows: &RecordBatch) -> Result<RecordBatch, QueryError> {
    let mut are_seen = BooleanArray::from(vec![true; rows.num_rows()]);
    for (column, values) in filters.iter() {
        let column = rows.column_by_name(column).filter(|column| is_comparable(column.data_type()));
        let texts = to_type(column.ok_or_else(|| QueryError::Forbidden(name.to_owned()))?, &DataType::Utf8)?;
        let texts = texts.as_string::<i32>().iter();
        let are_of_these = texts.map(|text| Some(text.is_some_and(|text| values.contains(text)))).collect();
        are_seen = and(&are_seen, &are_of_these)?;
    }
    Ok(filter_record_batch(rows, &are_seen)?)
}
