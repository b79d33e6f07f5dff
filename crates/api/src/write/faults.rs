//! What is wrong with the items of a request, and how it is said.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::problem::{ItemsProblem, Problem};

/// Why an item is refused that the stream would take: the sender may not write it.
pub(super) const OF_OTHERS: &str = "fora_do_filtro";

pub(super) struct Fault {
    /// A column's name, or a path in what another program sends.
    pub field: Option<String>,
    pub code: &'static str,
    pub detail: String,
}

/// What is wrong with items, by their place.
#[derive(Default)]
pub(super) struct Faults(BTreeMap<usize, Vec<Fault>>);

impl Faults {
    pub(super) fn add(&mut self, index: usize, fault: Fault) {
        self.0.entry(index).or_default().push(fault);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn of(&self, index: usize) -> &[Fault] {
        self.0.get(&index).map(Vec::as_slice).unwrap_or_default()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &[Fault])> {
        self.0.iter().map(|(index, faults)| (*index, faults.as_slice()))
    }

    pub(super) fn problem(self) -> ItemsProblem {
        let all = self.iter().flat_map(|(index, faults)| faults.iter().map(move |fault| (index, fault)));
        let items = all.map(|(index, Fault { field, code, detail })| {
            json!({ "indice": index, "campo": field, "codigo": code, "detalhe": detail })
        });
        let items: Value = items.collect();
        let are_of_others = self.0.values().flatten().all(|fault| fault.code == OF_OTHERS);
        let problem = match self.0.len() {
            count if are_of_others => Problem::items_of_others(count),
            count => Problem::invalid_items(count),
        };
        ItemsProblem::new(problem, "erros", items)
    }
}

impl FromIterator<(usize, Fault)> for Faults {
    fn from_iter<I: IntoIterator<Item = (usize, Fault)>>(all: I) -> Self {
        let mut faults = Self::default();
        all.into_iter().for_each(|(index, fault)| faults.add(index, fault));
        faults
    }
}
