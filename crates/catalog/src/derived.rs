//! Names for tables that a statement derives in its FROM and leaves without one.
//!
//! The engine takes a projection over one that is written alike for the same: of two times
//! `SELECT n + 1 AS n`, one in the other, it would compute one (apache/datafusion#24686). Where a
//! name stands between them they are not alike.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Ident, Query, TableAlias, TableFactor, VisitMut, VisitorMut};

/// Names them all.
pub(crate) fn name(query: &mut Query) {
    // It never ends early.
    let _ = VisitMut::visit(query, &mut Unnamed(0));
}

/// How many there were.
struct Unnamed(usize);

impl VisitorMut for Unnamed {
    type Break = ();

    fn pre_visit_table_factor(&mut self, table: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::Derived { alias: alias @ None, .. } = table {
            self.0 += 1;
            let name = Ident::new(format!("__derived_{}", self.0));
            *alias = Some(TableAlias { explicit: true, name, columns: Vec::new(), at: None });
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use crate::{DomainSettings, ReadStatement};

    #[test]
    fn every_derived_table_has_a_name() {
        let sql = "WITH c AS (SELECT n FROM (SELECT 1 AS n)) \
                   SELECT n FROM (SELECT n FROM c JOIN (SELECT 2 AS m) ON true) AS own WHERE n IN (SELECT n FROM (SELECT 1 AS n))";
        let mut query = ReadStatement::parse(sql, &DomainSettings::default()).expect("a statement").query;
        super::name(&mut query);
        let named = query.to_string();
        assert_eq!(named.matches("AS __derived_").count(), 3, "{named}");
        assert!(named.contains("AS own"), "{named}");
    }
}
