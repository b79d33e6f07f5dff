//! What PostgreSQL calls the columns of a query's rows, which the engine calls otherwise.

use std::sync::Arc;

use arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use datafusion::sql::sqlparser::ast::{
    AccessExpr, DataType, Expr, Ident, ObjectNamePart, Query, Select, SelectItem, SetExpr, TrimWhereField,
};

/// Of what has no name.
const NAMELESS: &str = "?column?";
/// Types that PostgreSQL calls otherwise than queries may.
const TYPES: [(&str, &str); 14] = [
    ("bigint", "int8"),
    ("boolean", "bool"),
    ("char", "bpchar"),
    ("character", "bpchar"),
    ("character varying", "varchar"),
    ("decimal", "numeric"),
    ("double precision", "float8"),
    ("float", "float8"),
    ("int", "int4"),
    ("integer", "int4"),
    ("real", "float4"),
    ("smallint", "int2"),
    ("timestamp with time zone", "timestamptz"),
    ("timestamp without time zone", "timestamp"),
];

/// The names of a query's columns, as far as the query itself tells them.
#[derive(Debug, Clone, Default)]
pub(crate) struct ColumnNames {
    /// Of all columns, or of those before the first `*`.
    first: Vec<String>,
    /// Of those after the last `*`, if there is one.
    last: Option<Vec<String>>,
}

impl ColumnNames {
    pub(crate) fn of(query: &Query) -> Self {
        let mut names = Self::default();
        for item in select(&query.body).into_iter().flat_map(|select| &select.projection) {
            match item {
                SelectItem::UnnamedExpr(expr) => names.push(name(expr)),
                SelectItem::ExprWithAlias { alias, .. } => names.push(text(alias)),
                SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..) => names.last = Some(Vec::new()),
                SelectItem::ExprWithAliases { .. } => return Self::default(),
            }
        }
        names
    }

    fn push(&mut self, name: String) {
        self.last.as_mut().unwrap_or(&mut self.first).push(name);
    }

    /// The same columns under these names.
    pub(crate) fn applied(&self, schema: &SchemaRef) -> SchemaRef {
        let (count, last) = (schema.fields().len(), self.last.as_deref().unwrap_or_default());
        let fits = match self.last {
            None => self.first.len() == count,
            Some(_) => self.first.len() + last.len() <= count,
        };
        if !fits {
            return Arc::clone(schema);
        }
        let renamed = |(place, field): (usize, &FieldRef)| -> FieldRef {
            let of_last = (place + last.len()).checked_sub(count).and_then(|place| last.get(place));
            match self.first.get(place).or(of_last) {
                Some(name) if name != field.name() => Arc::new(Field::clone(field).with_name(name)),
                _ => Arc::clone(field),
            }
        };
        let fields = schema.fields().iter().enumerate().map(renamed).collect::<Vec<_>>();
        Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
    }
}

/// The select whose columns name those of a query.
fn select(body: &SetExpr) -> Option<&Select> {
    match body {
        SetExpr::Select(found) => Some(found),
        SetExpr::Query(query) => select(&query.body),
        SetExpr::SetOperation { left, .. } => select(left),
        _ => None,
    }
}

fn text(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

/// What PostgreSQL calls a column that has no other name.
pub(crate) fn name(expr: &Expr) -> String {
    figured(expr).map_or_else(|| NAMELESS.to_owned(), |(name, _)| name)
}

/// A name, and whether it is stronger than that of a type to which the value is cast.
fn figured(expr: &Expr) -> Option<(String, bool)> {
    let strong = |name: &str| Some((name.to_owned(), true));
    match expr {
        Expr::Identifier(ident) => Some((text(ident), true)),
        Expr::CompoundIdentifier(parts) => parts.last().map(|ident| (text(ident), true)),
        Expr::CompoundFieldAccess { root, access_chain } => match access_chain.last() {
            Some(AccessExpr::Dot(Expr::Identifier(ident))) => Some((text(ident), true)),
            _ => figured(root),
        },
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => figured(inner),
        Expr::Cast { expr: inner, data_type, .. } => {
            figured(inner).filter(|(_, is_strong)| *is_strong).or_else(|| Some((type_name(data_type), false)))
        }
        Expr::TypedString(typed) => Some((type_name(&typed.data_type), false)),
        Expr::Interval(_) => Some(("interval".to_owned(), false)),
        Expr::Function(function) => {
            function.name.0.last().and_then(ObjectNamePart::as_ident).map(|ident| (text(ident), true))
        }
        Expr::Case { else_result, .. } => {
            let found = else_result.as_deref().and_then(figured).filter(|(_, is_strong)| *is_strong);
            found.or_else(|| Some(("case".to_owned(), false)))
        }
        Expr::Subquery(query) => match select(&query.body)?.projection.first()? {
            SelectItem::UnnamedExpr(expr) => figured(expr),
            SelectItem::ExprWithAlias { alias, .. } => Some((text(alias), true)),
            _ => None,
        },
        Expr::AtTimeZone { .. } => strong("timezone"),
        Expr::Extract { .. } => strong("extract"),
        Expr::Substring { shorthand: true, .. } => strong("substr"),
        Expr::Substring { .. } => strong("substring"),
        Expr::Position { .. } => strong("position"),
        Expr::Overlay { .. } => strong("overlay"),
        Expr::Ceil { .. } => strong("ceil"),
        Expr::Floor { .. } => strong("floor"),
        Expr::Exists { .. } => strong("exists"),
        Expr::Array(_) => strong("array"),
        Expr::Trim { trim_where, .. } => strong(match trim_where {
            Some(TrimWhereField::Leading) => "ltrim",
            Some(TrimWhereField::Trailing) => "rtrim",
            _ => "btrim",
        }),
        _ => None,
    }
}

fn type_name(data_type: &DataType) -> String {
    let said = data_type.to_string().to_lowercase();
    let said = said.split('(').next().unwrap_or_default().trim();
    let said = said.rsplit('.').next().unwrap_or_default();
    TYPES.iter().find(|(other, _)| *other == said).map_or(said, |(_, name)| *name).to_owned()
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::DataType as Type;
    use datafusion::sql::sqlparser::ast::Statement;
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    use super::*;

    fn names(sql: &str, count: usize) -> String {
        let Statement::Query(query) = Parser::parse_sql(&PostgreSqlDialect {}, sql).expect(sql).remove(0) else {
            panic!("{sql} is not a query")
        };
        let fields = (0..count).map(|place| Field::new(format!("#{place}"), Type::Int64, true)).collect::<Vec<_>>();
        let schema = ColumnNames::of(&query).applied(&Arc::new(Schema::new(fields)));
        schema.fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn columns_are_called_as_in_postgresql() {
        for (sql, count, wanted) in [
            ("SELECT min(t.a), SUM(b), count(*) FROM t", 3, "min sum count"),
            ("SELECT valor::int, valor::float8, v.Valor, \"V\" FROM v", 4, "valor valor valor V"),
            ("SELECT 1, 'a', NULL, 1 + 1, -x FROM t", 5, "?column? ?column? ?column? ?column? ?column?"),
            ("SELECT '1'::int, 1::numeric(3, 1), DATE '2026-01-01'", 3, "int4 numeric date"),
            (
                "SELECT EXTRACT(hour FROM t), floor(x), trim(y), t AT TIME ZONE 'UTC' FROM z",
                4,
                "extract floor btrim timezone",
            ),
            ("SELECT CASE WHEN a THEN 1 END, (SELECT max(b) FROM c), b AS \"C d\" FROM t", 3, "case max C d"),
            ("SELECT a, *, count(*) OVER () FROM t", 4, "a #1 #2 count"),
            ("SELECT a FROM t UNION SELECT b FROM t", 1, "a"),
            ("SELECT a, b FROM t", 3, "#0 #1 #2"),
        ] {
            assert_eq!(names(sql, count), wanted, "{sql}");
        }
    }
}
