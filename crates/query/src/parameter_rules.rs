//! What the text of a parameter may be: a value of a closed set, a currency, or what its cast can
//! read.

use std::collections::BTreeMap;

use arrow::array::StringArray;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::DataType;
use datafusion::common::DFSchema;
use datafusion::logical_expr::ExprSchemable;
use vitral_catalog::{Catalog, Endpoint, EngineTable, Needs, Severity, View, WATERMARK_ALERT};
use vitral_schemas::reconciliation;
use vitral_schemas::topic::history_columns::ROW_REASON;
use vitral_schemas::topic::{ColumnKind, Topic};
use vitral_schemas::verdict::{Reason, Unread, Verdict};
use vitral_store::{IMPORT_STATES, alerts};

use crate::reader::Reader;
use crate::{FROM, LIMIT, NOW, UNTIL};

/// What one parameter may be. Anything else would find nothing, or fail, without a word of why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ParameterRule {
    /// One of these.
    OneOf(Vec<String>),
    /// Three letters in any case; an empty text is the statement's to understand.
    Currency,
    /// What a cast to this type can read, and the type as the statement names it.
    Castable(DataType, String),
}

impl ParameterRule {
    /// Whether the text is as it should be.
    pub fn allows(&self, text: &str) -> bool {
        match self {
            Self::OneOf(values) => values.iter().any(|value| value == text),
            Self::Currency => {
                text.is_empty() || (text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_alphabetic()))
            }
            Self::Castable(data_type, _) => {
                let strict = CastOptions { safe: false, ..CastOptions::default() };
                cast_with_options(&StringArray::from_iter_values([text]), data_type, &strict).is_ok()
            }
        }
    }

    /// What it may be, in words.
    pub fn allowed(&self) -> String {
        match self {
            Self::OneOf(values) => format!("one of {}", values.join(", ")),
            Self::Currency => "a currency of three letters, such as USD".to_owned(),
            Self::Castable(data_type, _) if data_type.is_integer() => "a whole number within its bounds".to_owned(),
            Self::Castable(_, name) => format!("a value of type {name}"),
        }
    }
}

impl Reader {
    /// What an endpoint's parameters may be, as far as its statement says: those compared with a
    /// column whose values are known, and those that are cast.
    pub fn parameter_rules(
        &self,
        catalog: &Catalog,
        endpoint: &Endpoint,
        needs: &Needs,
    ) -> Vec<(String, ParameterRule)> {
        let mut rules = Vec::new();
        let closed = closed_columns(catalog, needs);
        for (name, column) in &endpoint.uses.compared {
            let of_topics = needs.topics.iter().filter_map(|topic| catalog.topic(topic));
            if let Some(values) = closed.get(column.as_str()) {
                rules.push((name.clone(), ParameterRule::OneOf(values.clone())));
            } else if of_topics.into_iter().any(|topic| is_currency(topic, column)) {
                rules.push((name.clone(), ParameterRule::Currency));
            }
        }
        for (name, type_name) in &endpoint.uses.casts {
            let nothing = DFSchema::empty();
            let cast = self.state().create_logical_expr(&format!("CAST(NULL AS {type_name})"), &nothing);
            if let Ok(data_type) = cast.and_then(|cast| cast.get_type(&nothing)) {
                rules.push((name.clone(), ParameterRule::Castable(data_type, type_name.clone())));
            }
        }
        rules.retain(|(name, _)| ![FROM, UNTIL, LIMIT, NOW].contains(&name.as_str()));
        rules
    }
}

/// What the filters of a metric or table over this topic may be.
pub fn filter_rules<'a>(topic: &Topic, columns: impl IntoIterator<Item = &'a str>) -> Vec<(String, ParameterRule)> {
    let currencies = columns.into_iter().filter(|column| is_currency(topic, column));
    currencies.map(|column| (column.to_owned(), ParameterRule::Currency)).collect()
}

fn is_currency(topic: &Topic, name: &str) -> bool {
    topic.columns.iter().any(|column| column.name == name && column.kind == ColumnKind::Currency)
}

/// The columns of the engine's own tables whose values are known.
fn closed_columns(catalog: &Catalog, needs: &Needs) -> BTreeMap<&'static str, Vec<String>> {
    let mut closed: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    if needs.table(EngineTable::Ledger.name()) {
        let reasons = Reason::ALL.map(Reason::name).into_iter().chain(Unread::ALL.map(Unread::name));
        let reasons: Vec<_> = reasons.chain([ROW_REASON]).collect();
        // What counts is not in it.
        let verdicts = Verdict::ALL.into_iter().filter(|verdict| *verdict != Verdict::Counted);
        closed.insert("veredito", verdicts.map(|verdict| verdict.name().to_owned()).collect());
        closed.insert("motivo", owned(&reasons));
        closed.insert("topico", catalog.topics.iter().map(|topic| topic.name.clone()).collect());
    }
    if needs.table(EngineTable::Reconciliation.name()) {
        let tables = catalog.metrics.iter().map(|metric| &metric.name);
        let tables = tables.chain(catalog.keyed.iter().map(|keyed| &keyed.name));
        let verdicts = [reconciliation::EQUAL, reconciliation::DIFFERENT, reconciliation::FAILED];
        let origins = [reconciliation::BY_COMMAND, reconciliation::BY_ITSELF, reconciliation::BY_KEYS];
        closed.entry("veredito").or_default().extend(owned(&verdicts));
        closed.insert("origem", owned(&origins));
        closed.insert("metrica", tables.cloned().collect());
    }
    if needs.table(EngineTable::Imports.name()) {
        closed.insert("estado", owned(&IMPORT_STATES));
        closed.insert("topico", catalog.topics.iter().map(|topic| topic.name.clone()).collect());
    }
    if needs.table(EngineTable::Alerts.name()) {
        let severities = [Severity::Info, Severity::Warning, Severity::Critical].map(Severity::name);
        let is_known = |view: &&View| view.alert.is_some() || view.report.is_some();
        let names = catalog.views.iter().filter(is_known).map(|view| view.name.clone());
        closed.insert("estado", owned(&alerts::STATES));
        closed.insert("severidade", owned(&severities));
        closed.insert("alerta", names.chain([WATERMARK_ALERT.to_owned()]).collect());
    }
    closed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_a_rule_allows() {
        let number = ParameterRule::Castable(DataType::Int32, "INTEGER".into());
        let day = ParameterRule::Castable(DataType::Date32, "DATE".into());
        let verdict = ParameterRule::OneOf(vec!["contada".into(), "atrasada".into()]);
        for (rule, text, allowed) in [
            (&number, "7", true),
            (&number, "-7", true),
            (&number, "7.5", false),
            (&number, "2147483648", false),
            (&number, "", false),
            (&day, "2025-05-14", true),
            (&day, "ontem", false),
            (&verdict, "atrasada", true),
            (&verdict, "Atrasada", false),
            (&ParameterRule::Currency, "usd", true),
            (&ParameterRule::Currency, "", true),
            (&ParameterRule::Currency, "BRLX", false),
            (&ParameterRule::Currency, "R$", false),
        ] {
            assert_eq!(rule.allows(text), allowed, "{rule:?}: '{text}'");
        }
        assert_eq!(verdict.allowed(), "one of contada, atrasada");
    }
}
