//! Which groups of a metric a row of its topic counts in.

use datafusion::sql::sqlparser::ast::{Expr, GroupByExpr, Query, SelectItem, SetExpr, Value};
use datafusion::sql::sqlparser::parser::ParserError;

use super::{Metric, PANE_COLUMN, SESSION_LAST_COLUMN};
use crate::one_row::rows_of;
use crate::syntax::ident_text;

impl Metric {
    /// The statement that gives, for each row of the topic that the metric counts, its number (a
    /// column of this name besides the topic's) and the values of the columns that the metric
    /// groups by, under the names that its rows have. Its windows are not among them.
    ///
    /// # Errors
    /// The parser's.
    pub fn groups_of_rows(&self, number: &str) -> Result<Query, ParserError> {
        let SetExpr::Select(select) = self.query.body.as_ref() else {
            return Err(ParserError::ParserError(format!("metric {} is not one SELECT", self.name)));
        };
        let GroupByExpr::Expressions(groups, _) = &select.group_by else {
            return Err(ParserError::ParserError(format!("metric {} names no groups", self.name)));
        };
        let mut shown: Vec<(&Expr, String)> = Vec::new();
        for (place, item) in (1..).zip(&select.projection) {
            let (expr, name) = match item {
                SelectItem::ExprWithAlias { expr, alias } => (expr, ident_text(alias)),
                SelectItem::UnnamedExpr(expr @ Expr::Identifier(ident)) => (expr, ident_text(ident)),
                _ => continue,
            };
            if !is_of_window(expr) && groups.iter().any(|group| is_group(group, place, expr, &name)) {
                shown.push((expr, name));
            }
        }
        let shown = shown.iter().map(|(expr, name)| (*expr, name.as_str()));
        rows_of(select, shown, number)
    }
}

/// Whether what is grouped by is this column of the SELECT: its number, its expression or its name.
fn is_group(group: &Expr, number: i32, expr: &Expr, name: &str) -> bool {
    match group {
        Expr::Value(value) => matches!(&value.value, Value::Number(text, _) if *text == number.to_string()),
        Expr::Identifier(ident) if ident_text(ident) == name => true,
        other => other == expr,
    }
}

fn is_of_window(expr: &Expr) -> bool {
    matches!(expr, Expr::Identifier(ident) if [PANE_COLUMN, SESSION_LAST_COLUMN].contains(&ident.value.as_str()))
}

#[cfg(test)]
mod tests {
    use crate::{Catalog, DomainSettings};

    #[test]
    fn rows_are_told_their_groups() {
        let catalog = Catalog::load(&[], &DomainSettings::default()).expect("the built-in catalog");
        let text = |name: &str| catalog.metric(name).expect("a metric").groups_of_rows("_n").expect("SQL").to_string();
        assert_eq!(
            text("produtos_mais_vistos"),
            "SELECT _n, id_produto AS \"id_produto\" FROM eventos_clientes \
             WHERE tipo_evento IN ('clique', 'visualizacao') AND id_produto IS NOT NULL"
        );
        assert_eq!(text("usuarios_ativos"), "SELECT _n FROM eventos_clientes");
        let funnel = text("funil_conversao");
        assert!(funnel.contains("AS \"ordem\", CASE") && funnel.contains("AS \"etapa\" FROM"), "{funnel}");
        assert!(text("sessoes").starts_with("SELECT _n, id_usuario AS \"id_usuario\", moeda AS \"moeda\" FROM"));
        let keyed = catalog.keyed_view("estoque_por_armazem").expect("a table").keys_of_rows("_n").expect("SQL");
        assert!(keyed.to_string().starts_with("SELECT _n, id_produto AS \"id_produto\""), "{keyed}");
    }
}
