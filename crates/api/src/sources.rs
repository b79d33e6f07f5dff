//! What the catalog's names stand for, and what a statement needs registered before it can be planned.

use std::collections::{BTreeMap, BTreeSet};

use datafusion::sql::parser::Statement;
use datafusion::sql::resolve::resolve_table_references;
use datafusion::sql::sqlparser::ast::{self, Query};
use vitral_catalog::{Catalog, Diagnostic, Diagnostics, Position};

/// Where topics, metrics, reference tables and views are.
pub(crate) const SCHEMA: &str = "public";
/// `agora.metric` is the newest window of a metric that has begun. Asking the metric itself for it would mean reading
/// the whole history for its last start, at each request.
pub(crate) const NOW_SCHEMA: &str = "agora";

/// The ledger: every row of every topic that did not count.
pub(crate) const LEDGER: &str = "livro";
/// What reconciliations have found.
const RECONCILIATION: &str = vitral_schemas::reconciliation::TABLE;

pub(crate) enum Source {
    Topic,
    Ledger,
    Reconciliation,
    Metric { topic: String },
    Reference,
    View { query: Box<Query>, mentions: Vec<Name> },
}

/// Topics, metrics, reference tables and views, by name: they share one namespace.
pub(crate) struct Sources {
    by_name: BTreeMap<String, Source>,
    /// Table functions, which look like tables.
    functions: BTreeSet<String>,
}

/// What a statement may name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Name {
    Table(String),
    /// The newest window of a metric.
    Newest(String),
}

/// Everything that a statement reads, views seen through.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Needs {
    /// Each after those that it is made of.
    pub names: Vec<Name>,
    pub topics: BTreeSet<String>,
}

impl Sources {
    pub(crate) fn new(catalog: &Catalog, functions: BTreeSet<String>) -> Result<Self, Diagnostics> {
        let mut sources = Self { by_name: BTreeMap::new(), functions };
        let mut errors = Vec::new();
        let nowhere = Position::file("catalog");
        for topic in &catalog.topics {
            errors.extend(sources.add(&topic.name, Source::Topic, &nowhere));
        }
        errors.extend(sources.add(LEDGER, Source::Ledger, &nowhere));
        errors.extend(sources.add(RECONCILIATION, Source::Reconciliation, &nowhere));
        for reference in &catalog.references {
            errors.extend(sources.add(&reference.name, Source::Reference, &nowhere));
        }
        for metric in &catalog.metrics {
            errors.extend(sources.add(&metric.name, Source::Metric { topic: metric.topic.clone() }, &metric.position));
        }
        for view in &catalog.views {
            match sources.mentioned(&view.query, &view.source) {
                Ok(mentions) => {
                    let source = Source::View { query: view.query.clone(), mentions };
                    errors.extend(sources.add(&view.name, source, &view.source));
                }
                Err(error) => errors.push(error),
            }
        }
        // Only now is every name known.
        for view in &catalog.views {
            if sources.by_name.contains_key(&view.name) {
                let name = Name::Table(view.name.clone());
                errors.extend(sources.add_needs(&name, &mut Vec::new(), &view.source, &mut Needs::default()).err());
            }
        }
        if errors.is_empty() { Ok(sources) } else { Err(Diagnostics(errors)) }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Source> {
        self.by_name.get(name)
    }

    pub(crate) fn needs(&self, query: &Query, position: &Position) -> Result<Needs, Diagnostic> {
        let mut needs = Needs::default();
        for name in &self.mentioned(query, position)? {
            self.add_needs(name, &mut Vec::new(), position, &mut needs)?;
        }
        Ok(needs)
    }

    fn add(&mut self, name: &str, source: Source, position: &Position) -> Option<Diagnostic> {
        self.by_name.insert(name.to_owned(), source).map(|_| {
            position.error(
                format!("{name} is declared as two different things"),
                format!(
                    "topics, reference tables, views, metrics, {LEDGER} and {RECONCILIATION} share their names: rename one"
                ),
            )
        })
    }

    /// The tables that a query names, common table expressions and table functions left out.
    fn mentioned(&self, query: &Query, position: &Position) -> Result<Vec<Name>, Diagnostic> {
        let wrong = |message: String| {
            position.error(message, format!("write a table's name alone, or {NOW_SCHEMA}.metric for its newest window"))
        };
        let (tables, _) =
            resolve_table_references(&statement(query), true).map_err(|error| wrong(error.strip_backtrace()))?;
        let tables = tables.iter().filter(|table| !self.functions.contains(table.table()));
        tables
            .map(|table| match (table.catalog(), table.schema()) {
                (None, None | Some(SCHEMA)) => Ok(Name::Table(table.table().to_owned())),
                (None, Some(NOW_SCHEMA)) => Ok(Name::Newest(table.table().to_owned())),
                _ => Err(wrong(format!("there is no table {table}"))),
            })
            .collect()
    }

    /// Depth first; `path` holds the views that are being looked into.
    fn add_needs<'a>(
        &'a self,
        name: &'a Name,
        path: &mut Vec<&'a str>,
        position: &Position,
        needs: &mut Needs,
    ) -> Result<(), Diagnostic> {
        if needs.names.contains(name) {
            return Ok(());
        }
        match name {
            Name::Newest(metric) => match self.by_name.get(metric) {
                Some(Source::Metric { topic }) => {
                    needs.topics.insert(topic.clone());
                }
                _ => return Err(self.stranger(metric, "metric", position)),
            },
            Name::Table(table) => match self.by_name.get(table) {
                None => return Err(self.stranger(table, "table", position)),
                Some(Source::Topic) => {
                    needs.topics.insert(table.clone());
                }
                Some(Source::Metric { topic }) => {
                    needs.topics.insert(topic.clone());
                }
                Some(Source::Ledger) => {
                    let topics = self.by_name.iter().filter(|(_, source)| matches!(source, Source::Topic));
                    needs.topics.extend(topics.map(|(topic, _)| topic.clone()));
                }
                Some(Source::Reference | Source::Reconciliation) => {}
                Some(Source::View { .. }) if path.contains(&table.as_str()) => {
                    return Err(position.error(
                        format!("the view {table} is made of itself: {} -> {table}", path.join(" -> ")),
                        "take one of these views out of the circle".into(),
                    ));
                }
                Some(Source::View { mentions, .. }) => {
                    path.push(table);
                    for inner in mentions {
                        self.add_needs(inner, path, position, needs)?;
                    }
                    path.pop();
                }
            },
        }
        needs.names.push(name.clone());
        Ok(())
    }

    fn stranger(&self, name: &str, kind: &str, position: &Position) -> Diagnostic {
        let fits = |source: &Source| kind != "metric" || matches!(source, Source::Metric { .. });
        let known = self.by_name.iter().filter(|(_, source)| fits(source)).map(|(name, _)| name.as_str());
        position.error(
            format!("there is no {kind} {name}"),
            format!("read one of {}, or declare it", known.collect::<Vec<_>>().join(", ")),
        )
    }
}

pub(crate) fn statement(query: &Query) -> Statement {
    Statement::Statement(Box::new(ast::Statement::Query(Box::new(query.clone()))))
}

#[cfg(test)]
mod tests {
    use vitral_catalog::{DomainSettings, SourceFile};

    use super::*;

    const TOPIC: &str = "CREATE TABLE eventos (quando TIMESTAMP NOT NULL) WITH (connector = 'kafka', event_time = 'quando');
        CREATE MATERIALIZED VIEW m AS SELECT tumble(INTERVAL '1 minute') AS janela, count(*) AS n FROM eventos GROUP BY janela;";

    fn catalog(text: &str) -> Catalog {
        let file = SourceFile { path: "a.sql".into(), text: format!("{TOPIC}\n{text}") };
        Catalog::parse(&[vec![file]], &DomainSettings::default()).expect("a catalog")
    }

    fn needs(text: &str) -> Result<Needs, String> {
        let catalog = catalog(text);
        let sources =
            Sources::new(&catalog, BTreeSet::from(["range".to_owned()])).map_err(|errors| errors.to_string())?;
        let last = catalog.views.last().expect("a view");
        sources.needs(&last.query, &last.source).map_err(|error| error.to_string())
    }

    #[test]
    fn views_are_seen_through() {
        let found = needs(
            "CREATE VIEW a AS SELECT * FROM b; CREATE VIEW b AS SELECT n FROM m UNION ALL SELECT 1 FROM eventos;
             CREATE VIEW c AS WITH x AS (SELECT * FROM a)
                SELECT * FROM x, public.b, range(3) WHERE n IN (SELECT n FROM agora.m);",
        )
        .expect("needs");
        assert_eq!(found.topics, BTreeSet::from(["eventos".to_owned()]));
        let place =
            |name: &str| found.names.iter().position(|known| *known == Name::Table(name.into())).expect("needed");
        assert_eq!(found.names.len(), 5);
        assert!(found.names.contains(&Name::Newest("m".into())));
        assert!(place("m") < place("b") && place("eventos") < place("b") && place("b") < place("a"));
    }

    #[test]
    fn circles_strangers_and_namesakes_are_refused() {
        let circle =
            needs("CREATE VIEW a AS SELECT * FROM b; CREATE VIEW b AS SELECT * FROM a;").expect_err("a circle");
        assert!(circle.contains("a.sql:3") && circle.contains("made of itself"), "{circle}");
        let stranger = needs("CREATE VIEW a AS SELECT * FROM nada;").expect_err("a stranger");
        assert!(stranger.contains("there is no table nada"), "{stranger}");
        let no_metric = needs("CREATE VIEW a AS SELECT * FROM agora.eventos;").expect_err("no metric");
        assert!(
            no_metric.contains("there is no metric eventos") && no_metric.contains("read one of m,"),
            "{no_metric}"
        );
        let elsewhere = needs("CREATE VIEW a AS SELECT * FROM pg_catalog.pg_class;").expect_err("elsewhere");
        assert!(elsewhere.contains("there is no table pg_catalog.pg_class"), "{elsewhere}");
        let namesake = needs("CREATE VIEW m AS SELECT * FROM eventos;").expect_err("a namesake");
        assert!(namesake.contains("m is declared as two different things"), "{namesake}");
        let taken = needs("CREATE VIEW reconciliacao AS SELECT * FROM eventos;").expect_err("the engine's own");
        assert!(taken.contains("reconciliacao is declared as two different things"), "{taken}");
    }
}
