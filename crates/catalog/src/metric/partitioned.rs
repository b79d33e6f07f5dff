//! By which columns of its topic a metric's rows are apart from each other: a reader of some of the
//! topic's rows alone sees those of the metric that are made of them.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Expr, GroupByExpr, Ident, Select, SelectItem, SetExpr};

use super::Metric;
use crate::expressions;
use crate::syntax::ident_text;

impl Metric {
    /// Whether every row is made of those rows of the topic, and of no others, that have the row's
    /// own value in this column. In doubt it is not.
    pub fn is_partitioned_by(&self, column: &str) -> bool {
        let SetExpr::Select(select) = self.query.body.as_ref() else { return false };
        // Which rows a window keeps depends on all of them.
        self.limit.is_none()
            && !has_window_function(select)
            && shows_group(select, column)
            // Events of others would make a session longer.
            && (self.window.session_gap_micros().is_none() || self.session_keys.iter().any(|key| key == column))
    }
}

/// Whether a column is grouped by, and shown as it is under its own name, which no other has.
pub(in super::super) fn shows_group(select: &Select, column: &str) -> bool {
    let is_it = |expr: &Expr| matches!(expr, Expr::Identifier(ident) if ident_text(ident) == column);
    let GroupByExpr::Expressions(groups, modifiers) = &select.group_by else { return false };
    let called = |ident: &Ident| ident_text(ident) == column;
    let mut shown = select.projection.iter().filter(|item| match item {
        SelectItem::ExprWithAlias { alias, .. } => called(alias),
        SelectItem::UnnamedExpr(Expr::Identifier(ident)) => called(ident),
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(idents)) => idents.last().is_some_and(called),
        SelectItem::UnnamedExpr(_) => false,
        _ => true,
    });
    let is_shown = match (shown.next(), shown.next()) {
        (Some(SelectItem::ExprWithAlias { expr, .. } | SelectItem::UnnamedExpr(expr)), None) => is_it(expr),
        _ => false,
    };
    is_shown && modifiers.is_empty() && groups.iter().any(is_it)
}

fn has_window_function(select: &Select) -> bool {
    let mut found = select.qualify.is_some();
    expressions::look(select, &mut |expr| match expr {
        Expr::Function(function) if function.over.is_some() => {
            found = true;
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    });
    found
}

#[cfg(test)]
mod tests {
    use crate::{Catalog, DomainSettings, SourceFile};

    const TOPIC: &str = "CREATE TABLE e (inquilino TEXT, u TEXT, n BIGINT, t TIMESTAMP NOT NULL)
        WITH (connector = 'kafka', event_time = 't');";

    fn catalog(statement: &str) -> Catalog {
        let file = SourceFile { path: "a.sql".into(), text: format!("{TOPIC}\n{statement}") };
        Catalog::parse(&[vec![file]], &DomainSettings::default()).expect(statement)
    }

    fn metric(select: &str) -> bool {
        let select = select.replacen("janela,", "tumble(INTERVAL '1 minute') AS janela,", 1);
        catalog(&format!("CREATE MATERIALIZED VIEW m AS SELECT {select};")).metrics[0].is_partitioned_by("inquilino")
    }

    #[test]
    fn a_metric_is_apart_by_what_it_groups_by_and_shows() {
        for (why, select) in [
            ("alone", "janela, inquilino, count(*) AS n FROM e GROUP BY janela, inquilino"),
            (
                "with its own condition",
                "janela, inquilino, count(*) AS n FROM e GROUP BY janela, inquilino HAVING sum(n) > 3",
            ),
            ("with others", "janela, u, \"inquilino\", count(*) AS n FROM e GROUP BY janela, u, INQUILINO ORDER BY n"),
        ] {
            assert!(metric(select), "{why}");
        }
        for (why, select) in [
            ("not grouped", "janela, count(*) AS n FROM e GROUP BY janela"),
            ("not shown", "janela, u, count(*) AS n FROM e GROUP BY janela, inquilino, u"),
            ("an aggregate", "janela, max(inquilino) AS inquilino FROM e GROUP BY janela"),
            ("another column", "janela, u AS inquilino, count(*) AS n FROM e GROUP BY janela, u"),
            ("renamed", "janela, inquilino AS loja, count(*) AS n FROM e GROUP BY janela, inquilino"),
            (
                "swapped",
                "janela, u AS inquilino, inquilino AS u, count(*) AS n FROM e GROUP BY janela, e.u, e.inquilino",
            ),
            (
                "changed",
                "janela, upper(inquilino) AS inquilino, count(*) AS n FROM e GROUP BY janela, upper(inquilino)",
            ),
            ("limited", "janela, inquilino, count(*) AS n FROM e GROUP BY janela, inquilino ORDER BY n DESC LIMIT 3"),
        ] {
            assert!(!metric(select), "{why}");
        }
    }

    #[test]
    fn sessions_are_apart_by_their_keys() {
        let select = |keys: &str| {
            format!(
                "CREATE MATERIALIZED VIEW s AS SELECT session(INTERVAL '30 minutes', {keys}) AS janela, inquilino, u, count(*) AS n
                 FROM e GROUP BY janela, inquilino, u;"
            )
        };
        assert!(catalog(&select("inquilino, u")).metrics[0].is_partitioned_by("inquilino"));
        assert!(!catalog(&select("u")).metrics[0].is_partitioned_by("inquilino"));
    }

    #[test]
    fn a_table_that_is_kept_is_apart_by_its_keys() {
        let keyed = |select: &str| {
            catalog(&format!("CREATE MATERIALIZED VIEW k AS SELECT {select};")).keyed[0].is_partitioned_by("inquilino")
        };
        assert!(keyed("inquilino, u, count(*) AS n FROM e GROUP BY inquilino, u"));
        assert!(!keyed("u, latest(inquilino) AS inquilino FROM e GROUP BY u"));
        assert!(!keyed("u AS inquilino, count(*) AS n FROM e GROUP BY u"));
        assert!(!keyed("inquilino AS loja, count(*) AS n FROM e GROUP BY inquilino"));
        let text = "CREATE TABLE c (inquilino TEXT NOT NULL, id TEXT NOT NULL, t TIMESTAMP NOT NULL)
            WITH (connector = 'kafka', primary_key = 'id', event_time = 't');";
        let of_changes = catalog(text);
        assert!(!of_changes.keyed[0].is_partitioned_by("inquilino"), "a row may go from one to another");
        let with_key = catalog(&text.replace("'id'", "'inquilino, id'"));
        assert!(with_key.keyed[0].is_partitioned_by("inquilino"));
    }
}
