//! Which statements may read what a name stands for, and in which words that is said.

use super::{Meaning, Scope, WAREHOUSE_SCHEMA};

/// Why statements of this scope cannot read it; none if they can.
pub(super) fn refusal(meaning: &Meaning, scope: Scope) -> Option<&'static str> {
    match (scope, meaning) {
        (_, Meaning::Lookup { is_whole: false }) => Some("is a look-up table, whose rows are found only by key"),
        (Scope::Served, Meaning::Lookup { .. }) => Some(
            "is a look-up table of another system, which jobs, checks and `vitral query` read, and nothing that is served",
        ),
        (Scope::Served, Meaning::Engine(table)) if !table.is_served() => {
            Some("is a table of the engine that is not served")
        }
        (Scope::History, Meaning::Engine(_)) => Some("is a table of the engine, which jobs and checks cannot read"),
        (Scope::History, Meaning::Warehouse { .. }) => Some(
            "is a table of the warehouse, which jobs write: they and checks are computed from what is committed alone",
        ),
        _ => None,
    }
}

pub(super) fn kind(meaning: &Meaning) -> &'static str {
    match meaning {
        Meaning::Topic => "a topic",
        Meaning::Reference => "a reference table",
        Meaning::Lookup { .. } => "a look-up table",
        Meaning::Metric { .. } => "a metric",
        Meaning::Keyed { .. } => "a table that is kept up to date",
        Meaning::View(_) => "a view",
        Meaning::Engine(_) => "a table of the engine",
        Meaning::Warehouse { .. } => "a table of the warehouse",
    }
}

/// What the catalog calls a table of the warehouse.
pub fn warehouse_name(table: &str) -> String {
    format!("{WAREHOUSE_SCHEMA}.{table}")
}

/// Whether what the catalog calls so is, or would be, a table of the warehouse.
pub(super) fn is_warehouse_name(name: &str) -> bool {
    name.split_once('.').is_some_and(|(schema, _)| schema == WAREHOUSE_SCHEMA)
}
