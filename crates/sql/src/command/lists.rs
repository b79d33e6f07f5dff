//! Lists that are written as texts, `'{a,"b c",NULL}'`: said by their items.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Array, DataType, Expr, Statement, Value, VisitMut, VisitorMut};

use crate::list_items::array_items;

/// Says the items of all lists that are cast to a type of lists, or compared with `ANY` or `ALL`.
pub(super) fn spell_out(statement: &mut Statement) {
    // It breaks off nowhere.
    let _ = VisitMut::visit(statement, &mut Lists);
}

struct Lists;

impl VisitorMut for Lists {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let list = match expr {
            Expr::Cast { expr: inner, data_type: DataType::Array(_), .. } => inner.as_mut(),
            Expr::AnyOp { right, .. } | Expr::AllOp { right, .. } => right.as_mut(),
            _ => return ControlFlow::Continue(()),
        };
        if let Some(items) = items(list) {
            *list = Expr::Array(Array { elem: items, named: true });
        }
        ControlFlow::Continue(())
    }
}

/// None unless it is the text of a list with items.
fn items(list: &Expr) -> Option<Vec<Expr>> {
    let Expr::Value(value) = list else { return None };
    let Value::SingleQuotedString(text) = &value.value else { return None };
    let items = array_items(text).filter(|items| !items.is_empty())?;
    let item = |item: Option<String>| Expr::value(item.map_or(Value::Null, Value::SingleQuotedString));
    Some(items.into_iter().map(item).collect())
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    use super::*;

    #[test]
    fn lists_are_said_by_their_items() {
        for (given, wanted) in [
            (r#"SELECT '{"a" , "b,c", NULL, d e}'::text[]"#, "SELECT ARRAY['a', 'b,c', NULL, 'd e']::TEXT[]"),
            (r#"SELECT a = ANY('{"p2", "p1"}')"#, "SELECT a = ANY(ARRAY['p2', 'p1'])"),
            ("SELECT a <> ALL('{1,2}')", "SELECT a <> ALL(ARRAY['1', '2'])"),
            ("SELECT '{}'::text[], '{1,2'::int[], '{a}'::text", "SELECT '{}'::TEXT[], '{1,2'::INT[], '{a}'::TEXT"),
        ] {
            let mut statement = Parser::parse_sql(&PostgreSqlDialect {}, given).expect(given).remove(0);
            spell_out(&mut statement);
            assert_eq!(statement.to_string(), wanted, "{given}");
        }
    }
}
