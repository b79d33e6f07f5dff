//! What goes round forever: a view that is computed from the Kafka topic into which its rows or
//! notifications are written, and an alert to which its own transitions are news.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::place::place_of;
use super::{EngineTable, Meaning, Name, Names, Needs, Scope};
use crate::{Catalog, Diagnostic, Position, View};

/// A stop on the way round.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Stop {
    /// A view, by its place among those of which something follows.
    View(usize),
    /// A topic of the cluster that topics are read from, as Kafka calls it.
    Topic(String),
    /// The table of what alerts have seen.
    Alerts,
}

/// A view of which something follows.
struct Reacting<'a> {
    view: &'a View,
    needs: Needs,
    writes: BTreeSet<String>,
}

impl Names {
    /// Alerts that read what alerts have seen, also through views.
    pub fn alerts_of_alerts(&self, catalog: &Catalog) -> Vec<Diagnostic> {
        let table = EngineTable::Alerts.name();
        let of_view = |view: &View| {
            let direct = Name::Table(table.to_owned());
            let named = self.named_by(&view.query, &view.source, &|_| true).0.unwrap_or_default();
            let first = named.into_iter().find(|name| *name == direct || self.reads(name, table))?;
            let through = match &first {
                Name::Table(first) if first != table => format!(" through {first}"),
                _ => String::new(),
            };
            Some(
                place_of(&view.query, &first, &view.source).error(
                    format!(
                        "alert {} reads {table}{through}: each of its own transitions would be news to it",
                        view.name
                    ),
                    "read what the other alerts read, or make it a report, which is sent once a day: report = '08:00'"
                        .to_owned(),
                ),
            )
        };
        catalog.alerts().filter_map(|(view, _)| of_view(view)).collect()
    }

    /// Alerts, reports, copies and targets of imports that read the warehouse, also through views:
    /// what follows from committed rows would follow from whenever a job has run.
    pub fn reacting_to_jobs(&self, catalog: &Catalog) -> Vec<Diagnostic> {
        let of_view = |view: &View| {
            let kind = match view {
                View { alert: Some(_), .. } => "alert",
                View { report: Some(_), .. } => "report",
                View { sink: Some(_), .. } => "copy",
                View { import: Some(_), .. } => "target of imports",
                _ => return None,
            };
            let is_of_job = |name: &Name| match name {
                Name::Table(id) => matches!(self.get(id), Some(Meaning::Warehouse { .. })),
                Name::Newest(_) | Name::Information(_) => false,
            };
            let needs = self.needs(&view.query, &view.source, Scope::Served).ok()?;
            let table = needs.names.iter().find(|name| is_of_job(name))?;
            let Name::Table(id) = table else { return None };
            Some(
                place_of(&view.query, table, &view.source).error(
                    format!(
                        "{kind} {} reads {id}, which a job writes: it follows from committed rows alone",
                        view.name
                    ),
                    "read topics, metrics, tables that are kept up to date, reference tables, and views of these"
                        .to_owned(),
                ),
            )
        };
        catalog.views.iter().filter_map(of_view).collect()
    }

    /// Views whose rows or notifications are written into a topic from which they are computed,
    /// also by way of other views and topics, one error for each circle; and views that write where
    /// refused messages go. `writes` gives the topics that a view writes in the cluster from which
    /// those of the catalog are read, as Kafka calls them.
    pub fn circles(&self, catalog: &Catalog, writes: &dyn Fn(&View) -> BTreeSet<String>) -> Vec<Diagnostic> {
        let reacting = catalog.reacting().filter_map(|view| {
            let needs = self.needs(&view.query, &view.source, Scope::Served).ok()?;
            Some(Reacting { view, needs, writes: writes(view) })
        });
        let reacting: Vec<Reacting<'_>> = reacting.collect();
        let mut errors: Vec<Diagnostic> = reacting.iter().flat_map(|view| into_dead_letters(catalog, view)).collect();
        let mut known = BTreeSet::new();
        let writes_what_is_read = |view: &Reacting<'_>| view.writes.iter().any(|name| is_read(catalog, name));
        for (index, Reacting { view, .. }) in reacting.iter().enumerate().filter(|(_, view)| writes_what_is_read(view))
        {
            let Some(circle) = shortest(catalog, &reacting, index) else { continue };
            if !known.insert(circle.iter().cloned().collect::<BTreeSet<_>>()) {
                continue;
            }
            let words = circle.iter().chain(&circle[..1]).map(|stop| match stop {
                Stop::View(view) => reacting[*view].view.name.clone(),
                Stop::Topic(topic) => format!("topic {topic}"),
                Stop::Alerts => EngineTable::Alerts.name().to_owned(),
            });
            errors.push(
                target_of(view).error(
                    format!(
                        "{} is computed from what it writes: {}",
                        view.name,
                        words.collect::<Vec<_>>().join(" -> ")
                    ),
                    "write into a topic from which it is not computed: what goes round here never comes to an end"
                        .to_owned(),
                ),
            );
        }
        errors
    }

    /// Whether a view reads a table.
    fn reads(&self, view: &Name, table: &str) -> bool {
        let Name::Table(view) = view else { return false };
        let Some(Meaning::View(view)) = self.get(view) else { return false };
        self.needs(&view.query, &view.position, Scope::Served).is_ok_and(|needs| needs.table(table))
    }
}

fn into_dead_letters<'a>(catalog: &'a Catalog, reacting: &'a Reacting<'_>) -> impl Iterator<Item = Diagnostic> + 'a {
    let Reacting { view, writes, .. } = reacting;
    catalog.topics.iter().filter(|topic| writes.contains(&topic.dead_letter_topic())).map(|topic| {
        target_of(view).error(
            format!(
                "{} writes into {}, where the refused messages of the topic {} go",
                view.name,
                topic.dead_letter_topic(),
                topic.kafka_topic
            ),
            "name another topic".to_owned(),
        )
    })
}

/// Whether a topic is one of the catalog.
fn is_read(catalog: &Catalog, topic: &str) -> bool {
    catalog.topics.iter().any(|known| known.kafka_topic == topic)
}

/// Where it is said what the view writes.
fn target_of(view: &View) -> &Position {
    let audience = view.alert.as_ref().map(|alert| &alert.audience);
    let audience = audience.or(view.report.as_ref().map(|report| &report.audience));
    audience.map_or(&view.source, |audience| &audience.position)
}

/// The shortest way from a view to itself, without its end.
fn shortest(catalog: &Catalog, reacting: &[Reacting<'_>], from: usize) -> Option<Vec<Stop>> {
    let mut came_from: BTreeMap<Stop, Stop> = BTreeMap::new();
    let mut waiting = VecDeque::from([Stop::View(from)]);
    while let Some(stop) = waiting.pop_front() {
        for next in after(catalog, reacting, &stop) {
            if next == Stop::View(from) {
                let mut way = vec![stop];
                while let Some(before) = way.last().and_then(|stop| came_from.get(stop)) {
                    way.push(before.clone());
                }
                way.reverse();
                return Some(way);
            }
            if let Entry::Vacant(place) = came_from.entry(next.clone()) {
                place.insert(stop.clone());
                waiting.push_back(next);
            }
        }
    }
    None
}

/// What changes by a change of this.
fn after(catalog: &Catalog, reacting: &[Reacting<'_>], stop: &Stop) -> Vec<Stop> {
    let those = |reads: &dyn Fn(&Reacting<'_>) -> bool| -> Vec<Stop> {
        reacting.iter().enumerate().filter(|(_, view)| reads(view)).map(|(index, _)| Stop::View(index)).collect()
    };
    match stop {
        Stop::View(index) => {
            let Reacting { view, writes, .. } = &reacting[*index];
            let topics = writes.iter().filter(|name| is_read(catalog, name)).cloned().map(Stop::Topic);
            topics.chain(view.alert.is_some().then_some(Stop::Alerts)).collect()
        }
        Stop::Topic(name) => {
            let of_topic = || catalog.topics.iter().filter(|topic| topic.kafka_topic == *name);
            let refused = of_topic()
                .map(|topic| topic.dead_letter_topic())
                .filter(|name| is_read(catalog, name))
                .map(Stop::Topic);
            let readers = those(&|view| of_topic().any(|topic| view.needs.topics.contains(&topic.name)));
            readers.into_iter().chain(refused).collect()
        }
        // An alert that reads them is an error by itself.
        Stop::Alerts => those(&|view| view.view.alert.is_none() && view.needs.table(EngineTable::Alerts.name())),
    }
}

#[cfg(test)]
mod tests {
    use crate::{DomainSettings, SourceFile};

    use super::*;

    /// Two topics, whose names in Kafka are others, and what is read of them.
    const TOPICS: &str = "CREATE TABLE um (p TEXT, n BIGINT, t TIMESTAMP NOT NULL) WITH (connector = 'kafka', topic = 't1', event_time = 't', lateness = 'never');
CREATE TABLE dois (p TEXT, n BIGINT, t TIMESTAMP NOT NULL) WITH (connector = 'kafka', topic = 't2', event_time = 't');
CREATE MATERIALIZED VIEW niveis AS SELECT p, latest(n) AS n FROM um GROUP BY p;
CREATE VIEW estoque AS SELECT p, sum(n) AS n FROM niveis GROUP BY p;
";

    fn sink(name: &str, topic: &str, from: &str) -> String {
        format!(
            "CREATE VIEW {name} WITH (connector = 'kafka', topic = '{topic}', key = 'p') AS SELECT p FROM {from};\n"
        )
    }

    fn alert(name: &str, topic: &str, from: &str) -> String {
        format!(
            "CREATE VIEW {name} WITH (alert = 'p', notify = 'barramento', topic = '{topic}') AS SELECT p FROM {from};\n"
        )
    }

    /// What is wrong, where everything is in one cluster.
    fn errors(views: &[String]) -> Vec<String> {
        let text = format!("{TOPICS}{}", views.concat());
        let file = SourceFile { path: "a.sql".to_owned(), text };
        let catalog = Catalog::parse(&[vec![file]], &DomainSettings::default()).expect("a catalog");
        let names = Names::new(&catalog, []);
        assert!(names.errors().is_empty(), "{:?}", names.errors());
        let writes = |view: &View| {
            let audience = view.alert.as_ref().map(|alert| alert.audience.topic.clone());
            audience.into_iter().chain(view.sink.as_ref().map(|sink| sink.target.clone())).collect()
        };
        let found = names.circles(&catalog, &writes).into_iter().chain(names.alerts_of_alerts(&catalog));
        found.map(|error| error.to_string()).collect()
    }

    fn one(views: &[String], words: &str) {
        let found = errors(views);
        let [error] = &found[..] else { panic!("{found:?}") };
        assert!(error.starts_with("a.sql:") && error.contains(words) && error.contains("remedy"), "{error}");
    }

    #[test]
    fn what_a_view_writes_must_not_come_back_to_it() {
        one(
            &[sink("volta", "t1", "um")],
            "a.sql:5:13: volta is computed from what it writes: volta -> topic t1 -> volta",
        );
        one(&[sink("volta", "t1", "estoque")], "volta -> topic t1 -> volta");
        one(
            &[alert("falta", "t1", "estoque")],
            "a.sql:5:38: falta is computed from what it writes: falta -> topic t1 -> falta",
        );
        one(&[sink("a", "t2", "um"), sink("b", "t1", "dois")], "a -> topic t2 -> b -> topic t1 -> a");
        one(&[sink("a", "t2", "um"), alert("b", "t1", "dois")], "a -> topic t2 -> b -> topic t1 -> a");
        one(
            &[alert("falta", "avisos", "um"), sink("copia", "t1", "alertas")]
                .map(|view| view.replace("SELECT p FROM alertas", "SELECT chave AS p FROM alertas")),
            "copia -> topic t1 -> falta -> alertas -> copia",
        );
    }

    #[test]
    fn chains_go_on() {
        let chains = [
            sink("a", "t2", "um"),
            sink("b", "t3", "dois"),
            alert("c", "alertas", "dois"),
            alert("d", "t2", "estoque"),
        ];
        assert!(errors(&chains).is_empty(), "{:?}", errors(&chains));
    }

    #[test]
    fn nothing_is_written_where_refused_messages_go() {
        one(
            &[sink("a", "t1.dlq", "dois")],
            "a.sql:5:13: a writes into t1.dlq, where the refused messages of the topic t1 go",
        );
        one(&[alert("a", "t2.dlq", "um")], "a writes into t2.dlq");
        // Read as a topic of its own, it goes round by way of what is refused.
        let refused = "CREATE TABLE recusadas (p TEXT, t TIMESTAMP NOT NULL) WITH (connector = 'kafka', topic = 't2.dlq', event_time = 't');\n";
        one(&[refused.to_owned(), sink("a", "t2", "recusadas")], "a -> topic t2 -> topic t2.dlq -> a");
    }

    #[test]
    fn an_alert_does_not_read_what_alerts_have_seen() {
        let direct =
            "CREATE VIEW muitos WITH (alert = 'estado') AS SELECT estado, count(*) AS n FROM alertas GROUP BY estado;";
        one(&[direct.to_owned()], "a.sql:5:81: alert muitos reads alertas: each of its own transitions");
        let through =
            "CREATE VIEW vistos AS SELECT chave AS p FROM alertas;\nCREATE VIEW outros AS SELECT p FROM vistos;\n";
        one(&[through.to_owned(), alert("muitos", "x", "outros")], "alert muitos reads alertas through outros");
        let report = "CREATE VIEW diario WITH (report = '08:00') AS SELECT chave FROM alertas;";
        assert!(errors(&[report.to_owned()]).is_empty(), "a report comes once a day");
    }
}
