//! `latest(x)`, `earliest(x)` and `sum_since(x, y)` in a statement over one topic: by its event
//! time, as in a table that is kept up to date.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Query, Select, SetExpr, TableFactor,
};

use crate::domains::plain;
use crate::syntax::ident_text;
use crate::{Catalog, expressions};

impl Catalog {
    /// The query with the event time for what rows are ordered by, where `latest(x)`, `earliest(x)`
    /// or `sum_since(x, y)` of a topic's rows says nothing else; none if it has none of them.
    pub fn with_event_time(&self, query: &Query) -> Option<Query> {
        let mut is_called = false;
        expressions::look(query, &mut |expr| {
            is_called |= matches!(expr, Expr::Function(call) if is_unordered(call));
            if is_called { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        if !is_called {
            return None;
        }
        let mut query = query.clone();
        self.order_query(&mut query);
        Some(query)
    }

    fn order_query(&self, query: &mut Query) {
        if let Some(with) = &mut query.with {
            with.cte_tables.iter_mut().for_each(|table| self.order_query(&mut table.query));
        }
        self.order_body(&mut query.body);
    }

    fn order_body(&self, body: &mut SetExpr) {
        match body {
            SetExpr::Select(select) => self.order_select(select),
            SetExpr::Query(query) => self.order_query(query),
            SetExpr::SetOperation { left, right, .. } => {
                self.order_body(left);
                self.order_body(right);
            }
            _ => {}
        }
    }

    fn order_select(&self, select: &mut Select) {
        for from in &mut select.from {
            let joined = from.joins.iter_mut().map(|join| &mut join.relation);
            for relation in std::iter::once(&mut from.relation).chain(joined) {
                if let TableFactor::Derived { subquery, .. } = relation {
                    self.order_query(subquery);
                }
            }
        }
        let [from] = select.from.as_slice() else { return };
        let TableFactor::Table { name, .. } = &from.relation else { return };
        let Some(name) = name.0.last().and_then(|part| part.as_ident()).map(ident_text) else { return };
        // Rows of a topic with a primary key have no event time.
        let mut events = self.topics.iter().filter(|topic| topic.changes.is_none());
        let Some(topic) = events.find(|topic| from.joins.is_empty() && plain(&topic.name) == name) else {
            return;
        };
        let time = Expr::Identifier(Ident::with_quote('"', &topic.columns[topic.event_time].name));
        // It never fails, so it never ends early.
        let _ = expressions::change(&mut select.projection, &mut |expr| {
            if let Expr::Function(call) = expr
                && is_unordered(call)
                && let FunctionArguments::List(list) = &mut call.args
            {
                list.args.push(FunctionArg::Unnamed(FunctionArgExpr::Expr(time.clone())));
            }
            Ok(())
        });
    }
}

/// Whether it is one of them, without what rows are ordered by.
fn is_unordered(call: &Function) -> bool {
    const ARGUMENTS: [(&str, usize); 3] = [("latest", 1), ("earliest", 1), ("sum_since", 2)];
    let name = call.name.to_string();
    let arguments = ARGUMENTS.iter().find(|(known, _)| name.eq_ignore_ascii_case(known)).map(|(_, count)| *count);
    matches!(&call.args, FunctionArguments::List(list) if Some(list.args.len()) == arguments)
}

#[cfg(test)]
mod tests {
    use crate::{Catalog, DomainSettings, ReadStatement};

    #[test]
    fn rows_of_a_topic_are_ordered_by_its_event_time() {
        let catalog = Catalog::load(&[], &DomainSettings::default()).expect("the built-in catalog");
        let changed = |text: &str| {
            let statement = ReadStatement::parse(text, &DomainSettings::default()).expect(text);
            catalog.with_event_time(&statement.query).map(|query| query.to_string())
        };
        let topic =
            "SELECT latest(preco) AS a, earliest(preco) FILTER (WHERE preco > 0) AS b FROM eventos_clientes AS e";
        let expected = topic.replace("(preco)", "(preco, \"timestamp\")");
        assert_eq!(changed(topic).as_deref(), Some(expected.as_str()));
        let inner = format!("WITH x AS ({topic}) SELECT * FROM x UNION ALL SELECT * FROM ({topic}) AS y");
        assert_eq!(changed(&inner).expect("changed").matches("(preco, \"timestamp\")").count(), 4);
        assert_eq!(changed("SELECT latest(preco, valor_total) AS a FROM eventos_clientes"), None);
        let since = "SELECT sum_since(quantidade, tipo_evento = 'compra') AS a FROM eventos_clientes";
        let expected = since.replace("'compra')", "'compra', \"timestamp\")");
        assert_eq!(changed(since).as_deref(), Some(expected.as_str()));
        let other = "SELECT latest(nome) AS a FROM produtos";
        assert_eq!(changed(other).as_deref(), Some(other), "the engine says what is missing");
    }
}
