//! What an endpoint's statement says of its parameters: what they are compared with, and what they
//! are cast to.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{BinaryOperator, CastKind, Expr, Query, Value, Visit};

use crate::expressions;

/// How a statement uses its parameters. Each text of a request can be held against it before
/// anything is computed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ParameterUses {
    /// `column = $name`, the parameter inside functions perhaps: the parameter and the column.
    pub compared: Vec<(String, String)>,
    /// `CAST($name AS type)`: the parameter and the type. Not those that a `CASE` may guard, and
    /// not `TRY_CAST`.
    pub casts: Vec<(String, String)>,
}

impl ParameterUses {
    pub(super) fn of(query: &Query) -> Self {
        let mut uses = Self::default();
        let mut guarded = Vec::new();
        expressions::look(query, &mut |expr| {
            match expr {
                Expr::BinaryOp { left, op: BinaryOperator::Eq, right } => {
                    let sides = [(left, right), (right, left)];
                    let found = sides.into_iter().find_map(|(column, value)| {
                        let names = placeholders(value.as_ref());
                        let [name] = names.as_slice() else { return None };
                        Some((name.clone(), column_name(column)?)).filter(|_| !names_columns(value))
                    });
                    uses.compared.extend(found);
                }
                Expr::Case { .. } => guarded.extend(casts_within(expr)),
                other => uses.casts.extend(cast_of(other)),
            }
            ControlFlow::Continue(())
        });
        uses.casts.retain(|cast| !guarded.contains(cast));
        for found in [&mut uses.compared, &mut uses.casts] {
            found.sort();
            found.dedup();
        }
        uses
    }
}

/// The names of all placeholders within.
pub(super) fn placeholders<T: Visit>(node: &T) -> Vec<String> {
    let mut found = Vec::new();
    expressions::look(node, &mut |expr| {
        found.extend(placeholder(expr));
        ControlFlow::Continue(())
    });
    found
}

fn placeholder(expr: &Expr) -> Option<String> {
    let Expr::Value(value) = expr else { return None };
    let Value::Placeholder(name) = &value.value else { return None };
    Some(name.trim_start_matches('$').to_owned())
}

fn cast_of(expr: &Expr) -> Option<(String, String)> {
    let Expr::Cast { kind: CastKind::Cast | CastKind::DoubleColon, expr, data_type, .. } = expr else { return None };
    Some((placeholder(expr)?, data_type.to_string()))
}

fn casts_within(expr: &Expr) -> Vec<(String, String)> {
    let mut found = Vec::new();
    expressions::look(expr, &mut |expr| {
        found.extend(cast_of(expr));
        ControlFlow::Continue(())
    });
    found
}

fn column_name(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Identifier(name) => Some(name.value.clone()),
        Expr::CompoundIdentifier(parts) => parts.last().map(|name| name.value.clone()),
        _ => None,
    }
}

fn names_columns(expr: &Expr) -> bool {
    let mut found = false;
    expressions::look(expr, &mut |expr| {
        found |= column_name(expr).is_some();
        ControlFlow::Continue(())
    });
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Catalog, DomainSettings, SourceFile};

    fn uses(condition: &str) -> ParameterUses {
        let text = format!("CREATE VIEW x WITH (path = '/x') AS SELECT * FROM t WHERE {condition};");
        let catalog = Catalog::parse(&[vec![SourceFile { path: "a.sql".into(), text }]], &DomainSettings::default());
        catalog.expect("a catalog").endpoints[0].uses.clone()
    }

    fn pairs(of: &[(&str, &str)]) -> Vec<(String, String)> {
        of.iter().map(|(name, other)| ((*name).to_owned(), (*other).to_owned())).collect()
    }

    #[test]
    fn columns_that_parameters_are_compared_with() {
        let found = uses("($v IS NULL OR t.veredito = $v) AND upper(nullif($moeda, '')) = moeda AND a = b AND c > $n");
        assert_eq!(found.compared, pairs(&[("moeda", "moeda"), ("v", "veredito")]));
        assert_eq!(uses("a = coalesce($a, b)").compared, [], "it may be another column's value");
        assert_eq!(uses("a = $b || $c").compared, []);
    }

    #[test]
    fn types_that_parameters_are_cast_to() {
        let found =
            uses("a = CAST($a AS INTEGER) AND b = $b::DATE AND c = TRY_CAST($c AS BIGINT) AND d = CAST(e AS INT)");
        assert_eq!(found.casts, pairs(&[("a", "INTEGER"), ("b", "DATE")]));
        assert_eq!(uses("a = CASE WHEN $a > '0' THEN CAST($a AS INTEGER) END").casts, [], "it may be guarded");
    }
}
