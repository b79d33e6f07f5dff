//! What to say of an option that a statement does not have: who has it, and what the statement has.

use std::collections::BTreeSet;

use crate::{Diagnostic, Position};

const ALERTS: &str = "views with alert have it";
const EXPORTS: &str = "views with profile_for have it";
const IMPORTS: &str = "views with import have it";
const KAFKA: &str = "topics have it: tables with connector = 'kafka'";
const WAITING: &str = "look-ups in 'postgres', 'mongodb' and 'http' have it";

/// Each option, and which statements have it.
const OPTIONS: [(&str, &str); 50] = [
    ("after", ALERTS),
    ("ahead", KAFKA),
    ("alert", "views have it"),
    ("cache", WAITING),
    ("check", "views have it"),
    ("collection", "look-ups, copies and logs with connector = 'mongodb' have it"),
    ("connection", "look-ups, copies and logs in other systems have it"),
    ("connector", "tables, and views that are copied, have it"),
    ("cut", "metrics of sessions have it"),
    ("date", "tables with connector = 'warehouse' have it"),
    ("dates", EXPORTS),
    ("descricao", "views with path have it"),
    ("event_id", "topics of events have it: tables with connector = 'kafka' and without primary_key"),
    ("event_time", KAFKA),
    ("expires", "logs of rows have it: CREATE TABLE ... WITH (connector = 'mongodb') AS SELECT ..."),
    ("format", KAFKA),
    ("history", "views that are copied, logs of rows and checks have it"),
    ("identity", EXPORTS),
    ("idle", KAFKA),
    ("import", "views have it"),
    ("import_key", IMPORTS),
    ("import_optional", IMPORTS),
    ("import_sums", IMPORTS),
    ("import_sums_by", IMPORTS),
    ("import_top", IMPORTS),
    ("job", "tables with connector = 'warehouse' have it"),
    ("key", "look-ups, views that are copied and tables of the warehouse have it"),
    ("key_field", "look-ups with connector = 'mongodb' have it"),
    ("lateness", KAFKA),
    ("limite", "views with path have it"),
    ("message_bytes_max", KAFKA),
    ("notify", "views with alert or report have it"),
    ("numbers", EXPORTS),
    ("on_failure", WAITING),
    ("order", "topics with primary_key have it"),
    ("path", "files, look-ups over HTTP and endpoints have it"),
    ("per", "tables with connector = 'warehouse' have it"),
    ("primary_key", KAFKA),
    ("profile", EXPORTS),
    ("profile_for", "views have it"),
    ("raw", KAFKA),
    ("repeat", ALERTS),
    ("report", "views have it"),
    ("retries", WAITING),
    ("severity", ALERTS),
    ("table", "copies and look-ups in databases, and tables of the warehouse, have it"),
    ("timeout", WAITING),
    ("times", "topics with format = 'debezium' have it"),
    ("topic", "topics, alerts, reports and views that are copied into Kafka have it"),
    ("watermark", KAFKA),
];

/// The error on an option that nobody took.
pub(super) fn unknown(key: &str, known: &BTreeSet<String>, position: &Position) -> Diagnostic {
    let others = OPTIONS.iter().find(|(option, _)| *option == key).map(|(_, others)| others);
    let way_on = match others {
        Some(others) => format!("take it out: {others}; "),
        None => "correct its spelling or take it out: ".to_owned(),
    };
    let remedy = match listed(known) {
        Some(known) => format!("{way_on}{known} known here"),
        None => format!("{}; no option is known here", way_on.trim_end_matches([':', ';', ' '])),
    };
    position.error(format!("option {key} is not known here"), remedy)
}

/// `a, b and c are`; none of none.
fn listed(known: &BTreeSet<String>) -> Option<String> {
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let (last, before) = known.split_last()?;
    Some(if before.is_empty() { format!("{last} alone is") } else { format!("{} and {last} are", before.join(", ")) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_who_has_the_option_and_what_there_is() {
        let known = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        let remedy = |key: &str, names: &[&str]| unknown(key, &known(names), &Position::file("a.sql")).remedy;
        assert_eq!(
            remedy("cut", &["path", "key"]),
            "take it out: metrics of sessions have it; key and path are known here"
        );
        assert_eq!(remedy("kut", &["path"]), "correct its spelling or take it out: path alone is known here");
        assert_eq!(remedy("kut", &[]), "correct its spelling or take it out; no option is known here");
    }
}
