//! Under which names a table's states, and its opening balances, are stored.
//!
//! Earlier programs left the types of states out of their names, and took a topic with a primary
//! key for another table whenever it gained a column. What they have written is still used: states
//! where they are, and of such a topic its opening balances, from which, with the archive's rows
//! behind them, its states are made again.

use std::cmp::Reverse;
use std::sync::Arc;

use super::{DEFINITION_FILE, KeyedTable};
use crate::error::StoreError;
use crate::keyed::plan::KeyedPlan;
use crate::layout::Layout;
use crate::location::Location;
use crate::table::{Table, Undeclared};

/// Before the names of a version's transactions.
pub(super) fn application(plan: &KeyedPlan, version: &str) -> String {
    format!("{}@{version}", plan.view.name)
}

/// Where the states of a version are.
pub(super) fn place(plan: &KeyedPlan, store: &Location, version: &str) -> Location {
    Layout::of(store).keyed().join(&plan.view.name).join(version)
}

/// Where the opening balances of a definition are.
pub(super) fn balance_place(plan: &KeyedPlan, store: &Location, id: &str) -> Location {
    Layout::of(store).keyed().join(&plan.view.name).join(&format!("saldo_{id}"))
}

/// Before the names of their transactions.
pub(super) fn balance_application(plan: &KeyedPlan, id: &str) -> String {
    format!("saldo/{}@{id}", plan.view.name)
}

/// Where the part of a version is that is kept for the next comparison.
pub(super) fn part_place(plan: &KeyedPlan, store: &Location, version: &str) -> Location {
    Layout::of(store).keyed().join(&plan.view.name).join(&format!("parte_{version}"))
}

/// Before the names of its transactions.
pub(super) fn part_application(plan: &KeyedPlan, version: &str) -> String {
    format!("parte/{}@{version}", plan.view.name)
}

/// The states of the plan's version, and what they are called; none if there are none of its types.
pub(super) async fn stored(plan: &KeyedPlan, store: &Location) -> Result<Option<(Table, String)>, StoreError> {
    Ok(find(plan, store).await?.map(|(table, version, _)| (table, version)))
}

/// What the states are called that are to be written.
pub(super) async fn to_write(plan: &KeyedPlan, store: &Location) -> Result<String, StoreError> {
    let own = || plan.version.clone();
    // They are made again from opening balances: from here on a new column changes nothing.
    if plan.view.is_of_changes {
        return Ok(own());
    }
    Ok(match find(plan, store).await? {
        Some((_, version, true)) => version,
        _ => own(),
    })
}

/// The states, what they are called, and whether anything was ever added to them.
async fn find(plan: &KeyedPlan, store: &Location) -> Result<Option<(Table, String, bool)>, StoreError> {
    let mut first = None;
    for version in [&plan.version, &plan.earlier_version] {
        let Some(table) = Table::read(&plan.view.name, &place(plan, store, version)).await? else { continue };
        if !fits(plan, &table) {
            continue;
        }
        let application = application(plan, version);
        for what in ["replays", "importacoes"] {
            if table.transaction(&format!("{application}/{what}")).await?.is_some() {
                return Ok(Some((table, version.clone(), true)));
            }
        }
        first = first.or(Some((table, version.clone(), false)));
    }
    Ok(first)
}

/// By which definition the opening balances are called: the plan's own, or an earlier program's for
/// the same rows.
pub(super) async fn balanced(plan: &Arc<KeyedPlan>, store: &Location) -> Result<String, StoreError> {
    let own = || plan.definition_id.clone();
    if !plan.view.is_of_changes || begun(plan, store, &own()).await?.is_some() {
        return Ok(own());
    }
    let folder = Layout::of(store).keyed().join(&plan.view.name);
    let mut statements = vec![plan.view.definition()];
    for version in folder.folders().await? {
        statements.extend(folder.join(&version).read_text(DEFINITION_FILE).await?);
    }
    let mut found = Vec::new();
    for statement in statements {
        let Some(id) = plan.view.earlier_definition_id(&statement, &plan.settings) else { continue };
        if let Some(balance) = begun(plan, store, &id).await? {
            found.push((balance.since_ms().await?, Reverse(balance.commit()), id));
        }
    }
    // Of several the one that is of most rows.
    Ok(found.into_iter().min().map_or_else(own, |(_, _, id)| id))
}

/// Opening balances that anything was ever added to.
async fn begun(plan: &Arc<KeyedPlan>, store: &Location, id: &str) -> Result<Option<KeyedTable>, StoreError> {
    let Some(table) = Table::read(&plan.view.name, &balance_place(plan, store, id)).await? else { return Ok(None) };
    if !fits(plan, &table) {
        return Ok(None);
    }
    let balance = KeyedTable::of(plan, store, table, balance_application(plan, id));
    Ok(balance.transaction("desde").await?.map(|_| balance))
}

/// Whether the columns that a stored table has are those of the plan, as far as it has them.
fn fits(plan: &KeyedPlan, table: &Table) -> bool {
    plan.state_schema().fields().iter().all(|field| match table.schema().field_with_name(field.name()) {
        Ok(stored) => stored.data_type() == field.data_type(),
        Err(_) => plan.view.is_of_changes,
    })
}

/// The states' table. That of a topic's rows gains and loses columns with the topic: a column that
/// was lost is null in rows that are written from then on.
pub(super) async fn open_states(plan: &KeyedPlan, place: &Location) -> Result<Table, StoreError> {
    let undeclared = if plan.view.is_of_changes { Undeclared::Kept } else { Undeclared::Refused };
    Table::open_with(&plan.view.name, place, Arc::clone(plan.state_schema()), undeclared).await
}
