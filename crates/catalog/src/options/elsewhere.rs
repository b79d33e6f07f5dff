//! What to say of an option that a statement does not have: where it belongs, and what the
//! statement has.

use std::collections::BTreeSet;

use crate::{Diagnostic, Position};

const ALERTS: &str = "views with alert";
const EXPORTS: &str = "views with profile_for";
const IMPORTS: &str = "views with import";
const KAFKA: &str = "topics, tables with connector = 'kafka'";
const WAITING: &str = "look-ups in 'postgres', 'mongodb' and 'http'";

/// Each option, and where it belongs.
const OPTIONS: [(&str, &str); 60] = [
    ("after", ALERTS),
    ("ahead", KAFKA),
    ("alert", "views"),
    ("by", "tables with connector = 'file' and names"),
    ("cache", "look-ups in 'postgres', 'mongodb' and 'http', and views with path"),
    ("check", "views"),
    ("collection", "look-ups, copies and logs with connector = 'mongodb'"),
    ("connection", "look-ups, copies and logs in other systems"),
    ("connector", "tables, and to views that are copied"),
    ("cut", "metrics of sessions"),
    ("date", "tables with connector = 'warehouse'"),
    ("dates", EXPORTS),
    ("descricao", "views with path"),
    ("event_id", "topics of events, tables with connector = 'kafka' and without primary_key"),
    ("event_time", KAFKA),
    ("expires", "logs of rows, CREATE TABLE ... WITH (connector = 'mongodb') AS SELECT ..."),
    ("format", KAFKA),
    ("history", "views that are copied, logs of rows and checks"),
    ("identity", EXPORTS),
    ("idle", KAFKA),
    ("import", "views"),
    ("import_key", IMPORTS),
    ("import_optional", IMPORTS),
    ("import_sums", IMPORTS),
    ("import_sums_by", IMPORTS),
    ("import_top", IMPORTS),
    ("input_for", "views"),
    ("job", "tables with connector = 'warehouse'"),
    ("key", "look-ups, views that are copied and tables of the warehouse and topics with path"),
    ("key_field", "look-ups with connector = 'mongodb'"),
    ("lateness", KAFKA),
    ("limite", "views with path"),
    ("message_bytes_max", KAFKA),
    ("names", "tables with connector = 'file'"),
    ("notify", "views with alert or report"),
    ("numbers", EXPORTS),
    ("on_failure", WAITING),
    ("order", "topics with primary_key"),
    ("path", "files, look-ups over HTTP, endpoints and topics that the API sends to"),
    ("per", "tables with connector = 'warehouse'"),
    ("primary_key", KAFKA),
    ("profile", EXPORTS),
    ("profile_for", "views"),
    ("raw", KAFKA),
    ("repeat", ALERTS),
    ("report", "views"),
    ("retries", WAITING),
    ("scope", "views and topics with path"),
    ("rows", "views with input_for"),
    ("severity", ALERTS),
    ("status", EXPORTS),
    ("status_note", EXPORTS),
    ("status_noted", EXPORTS),
    ("table", "copies and look-ups in databases, and to tables of the warehouse"),
    ("timeout", WAITING),
    ("times", "topics with format = 'debezium'"),
    ("topic", "topics, alerts, reports and views that are copied into Kafka"),
    ("trace", KAFKA),
    ("trace_path", "topics with trace"),
    ("watermark", KAFKA),
];

/// The error on an option that nobody took.
pub(super) fn unknown(key: &str, known: &BTreeSet<String>, position: &Position) -> Diagnostic {
    let others = OPTIONS.iter().find(|(option, _)| *option == key).map(|(_, others)| others);
    let way_on = match others {
        Some(others) => format!("remove it: this option belongs to {others}; "),
        None => "correct its spelling or remove it; ".to_owned(),
    };
    let remedy = match listed(known) {
        Some(known) => format!("{way_on}allowed here: {known}"),
        None => format!("{way_on}no option is allowed here"),
    };
    position.error(format!("option {key} is not known here"), remedy)
}

/// `a, b and c`; none of none.
fn listed(known: &BTreeSet<String>) -> Option<String> {
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let (last, before) = known.split_last()?;
    Some(if before.is_empty() { (*last).to_owned() } else { format!("{} and {last}", before.join(", ")) })
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
            "remove it: this option belongs to metrics of sessions; allowed here: key and path"
        );
        assert_eq!(remedy("kut", &["path"]), "correct its spelling or remove it; allowed here: path");
        assert_eq!(remedy("kut", &[]), "correct its spelling or remove it; no option is allowed here");
    }
}
