//! The options of a `WITH (key = value, ...)`, and everything that is wrong with them.

mod elsewhere;

use std::collections::BTreeSet;

use datafusion::sql::sqlparser::ast::{Expr, SqlOption};

use super::syntax::{is_topic_name, push_new, text_literal};
use super::{Diagnostic, Position};
use crate::position::InFile;

/// What could be read of a statement, and what is wrong with it. What is there is checked further
/// all the same, so that one run names every error.
pub(super) type Read<T> = (Option<T>, Vec<Diagnostic>);

/// Each must be taken, so that an unknown one is an error. Errors are kept, and the options after
/// them read all the same.
#[derive(Default)]
pub(super) struct Options {
    untaken: Vec<(String, Expr, Position)>,
    /// Options that were asked for: what is known here.
    known: BTreeSet<String>,
    errors: Vec<Diagnostic>,
}

impl Options {
    pub(super) fn read(options: &[SqlOption], position: &Position) -> Self {
        let mut read = Self::default();
        for option in options {
            let SqlOption::KeyValue { key, value } = option else {
                read.refuse(position.error(format!("option {option} has no value"), "write key = value".into()));
                continue;
            };
            let (name, at) = (key.value.to_lowercase(), position.at(key.span));
            if read.contains(&name) {
                read.refuse(at.error(format!("option {name} is given twice"), "keep one of the two".into()));
                continue;
            }
            read.untaken.push((name, value.clone(), at));
        }
        read
    }

    pub(super) fn contains(&self, key: &str) -> bool {
        self.untaken.iter().any(|(name, ..)| name == key)
    }

    fn take(&mut self, key: &str) -> Option<(Expr, Position)> {
        self.known.insert(key.to_owned());
        let index = self.untaken.iter().position(|(name, ..)| name == key)?;
        let (_, value, position) = self.untaken.remove(index);
        Some((value, position))
    }

    pub(super) fn take_text(&mut self, key: &str) -> Result<Option<(String, Position)>, Diagnostic> {
        let Some((value, position)) = self.take(key) else { return Ok(None) };
        match text_literal(&value) {
            Some(text) => Ok(Some((text, position))),
            None => {
                Err(position.error(format!("option {key} is {value}, not a string"), format!("write {key} = '...'")))
            }
        }
    }

    /// The topic of Kafka that the option `topic` names; without it the default, of the statement
    /// at this place.
    pub(super) fn take_topic(&mut self, default: &str, position: &Position, bytes_max: usize) -> String {
        self.gather_or(default.to_owned(), |options| {
            let given = options.take_text("topic")?;
            let (name, at) = given.unwrap_or_else(|| (default.to_owned(), position.clone()));
            if is_topic_name(&name, bytes_max) {
                return Ok(name);
            }
            Err(at.error(
                format!("topic = '{name}' is not a name that a topic can have"),
                format!(
                    "give topic = '...' 1 to {bytes_max} letters without accents, digits, dots, underscores or hyphens"
                ),
            ))
        })
    }

    pub(super) fn take_count(&mut self, key: &str) -> Result<Option<usize>, Diagnostic> {
        Ok(self.take_count_at(key)?.map(|(count, _)| count))
    }

    /// The same with its place.
    pub(super) fn take_count_at(&mut self, key: &str) -> Result<Option<(usize, Position)>, Diagnostic> {
        let Some((value, position)) = self.take(key) else { return Ok(None) };
        match value.to_string().parse() {
            Ok(count) => Ok(Some((count, position))),
            Err(_) => {
                Err(position.error(format!("option {key} is {value}, not a count"), format!("write {key} = 100")))
            }
        }
    }

    /// Further options that would be known here.
    pub(super) fn know(&mut self, keys: &[&str]) {
        self.known.extend(keys.iter().map(|&key| key.to_owned()));
    }

    /// Keeps an error.
    pub(super) fn refuse(&mut self, error: Diagnostic) {
        self.errors.push(error);
    }

    /// What this reads, or the default after an error, which is kept.
    pub(super) fn gather<T: Default>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Diagnostic>) -> T {
        self.gather_or(T::default(), read)
    }

    /// The same with another default.
    pub(super) fn gather_or<T>(&mut self, default: T, read: impl FnOnce(&mut Self) -> Result<T, Diagnostic>) -> T {
        read(self).unwrap_or_else(|error| {
            self.errors.push(error);
            default
        })
    }

    /// An error after which nobody can say which options there may be: those that are left are not
    /// judged.
    pub(super) fn stop(&mut self, error: Diagnostic) -> Diagnostic {
        self.untaken.clear();
        error
    }

    /// The statement, with every error of its options, and one on each option that nobody took.
    pub(super) fn finish<T>(mut self, read: Result<T, Diagnostic>) -> Read<T> {
        for (key, _, position) in std::mem::take(&mut self.untaken) {
            self.refuse(elsewhere::unknown(&key, &self.known, &position));
        }
        match read {
            Ok(read) => (Some(read), self.errors),
            Err(error) => {
                self.errors.push(error);
                (None, self.errors)
            }
        }
    }
}

/// Adds what could be read; errors if anything is wrong with it.
pub(super) fn push_read<T>(
    items: &mut Vec<T>,
    (item, mut errors): Read<T>,
    name: impl Fn(&T) -> &String,
    position: &Position,
) -> Result<(), Vec<Diagnostic>> {
    if let Some(item) = item {
        errors.extend(push_new(items, item, name, position).err().into_iter().flatten());
    }
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

#[cfg(test)]
mod tests {
    use crate::{Catalog, DomainSettings, SourceFile, layers};

    /// Where each error is, with its words.
    fn errors(text: &str) -> Vec<String> {
        let file = SourceFile { path: "a.sql".to_owned(), text: text.to_owned() };
        let (_, errors) = Catalog::read_layers(&layers::of_files(&[vec![file]]), &DomainSettings::default());
        errors.iter().map(ToString::to_string).collect()
    }

    fn are(text: &str, expected: &[&str]) {
        let found = errors(text);
        assert_eq!(found.len(), expected.len(), "{text}: {found:#?}");
        for words in expected {
            assert!(found.iter().any(|error| error.contains(words)), "{words} is not in {found:#?}");
        }
    }

    const TOPIC: &str =
        "CREATE TABLE e (u TEXT, n BIGINT, t TIMESTAMP NOT NULL) WITH (connector = 'kafka', event_time = 't');\n";

    #[test]
    fn every_wrong_option_of_a_statement_is_named_in_one_run() {
        are(
            &format!(
                "{TOPIC}CREATE VIEW a WITH (alert = 'u, u', after = '-1 minutes', repeat = 'x', severity = 'grave', notify = ' ', colour = 'red')
                 AS SELECT u FROM e;"
            ),
            &[
                "names u twice",
                "after = '-1 minutes' is not a duration",
                "repeat = 'x' is not a duration",
                "severity = 'grave' is not known",
                "notify names nobody",
                "option colour is not known here",
            ],
        );
        are(
            "CREATE TABLE r (u TEXT NOT NULL) WITH (connector = 'http', connection = 'c', path = 'x', key = 'u', timeout = '2 minutes', \
             retries = 50, cache = 'soon', on_failure = 'talvez', banana = 'x');",
            &["path 'x'", "timeout = '2 minutes'", "retries = 50", "cache = 'soon'", "on_failure = 'talvez'", "banana"],
        );
        are(
            "CREATE TABLE k (u TEXT, t TIMESTAMP NOT NULL) WITH (connector = 'kafka', event_time = 'u', event_id = 'x', watermark = 'a', \
             lateness = 'b', raw = 'c', message_bytes_max = 'd', colour = 1);",
            &[
                "event_time = 'u'",
                "event_id = 'x'",
                "watermark = 'a'",
                "lateness = 'b'",
                "raw = 'c'",
                "bytes_max",
                "colour",
            ],
        );
        are(
            &format!(
                "{TOPIC}CREATE VIEW s WITH (connector = 'postgres', table = 'a b', history = 'some', colour = 'red') AS SELECT u FROM e;"
            ),
            &["has no connection", "table = 'a b' is not a name", "has no key", "history = 'some'", "option colour"],
        );
        are(
            &format!(
                "{TOPIC}CREATE TABLE w WITH (connector = 'warehouse', per = 'week', colour = 'red') AS SELECT u FROM e;"
            ),
            &["per = 'week'", "has no date", "option colour"],
        );
        are(
            &format!("{TOPIC}CREATE VIEW p WITH (path = 'x y', limite = 'many', descricao = 3) AS SELECT u FROM e;"),
            &["path 'x y'", "limite is 'many'", "descricao is 3"],
        );
        are(
            &format!(
                "{TOPIC}CREATE MATERIALIZED VIEW m WITH (cut = 'hour', colour = 'red') AS
                 SELECT session(INTERVAL '25 hours', n + 1) AS janela, count(*) AS n FROM e GROUP BY janela LIMIT 3;"
            ),
            &[
                "cut at 'hour'",
                "option colour",
                "is not a gap between sessions",
                "n + 1 is not a column",
                "LIMIT cannot be used",
            ],
        );
    }

    #[test]
    fn columns_and_options_of_a_table_are_named_together() {
        are(
            "CREATE TABLE k (u REAL, t TIMESTAMP NOT NULL, v FLOAT) WITH (connector = 'kafka', event_time = 'u', raw = 'c');",
            &["column u has the type", "column v has the type", "raw = 'c'"],
        );
    }

    #[test]
    fn a_topic_has_a_name_that_kafka_takes() {
        let table = |name: &str, topic: &str| {
            format!("CREATE TABLE {name} (t TIMESTAMP NOT NULL) WITH (connector = 'kafka', event_time = 't'{topic});")
        };
        let of = |topic: &str| table("k", &format!(", topic = '{topic}'"));
        for topic in ["bad topic", "a/ç", "", ".", "x".repeat(246).as_str()] {
            let [error] = errors(&of(topic)).try_into().expect("one error");
            let words = format!("topic = '{topic}' is not a name that a topic can have");
            assert!(error.starts_with("a.sql:1:") && error.contains(&words), "{error}");
            assert!(error.contains("1 to 245 letters"), "{error}");
        }
        are(&of(&"x".repeat(245)), &[]);
        // Without the option it is the table's own.
        are(&table("preço", ""), &["topic = 'preço' is not a name that a topic can have"]);
        are(&table("preço", ", topic = 'precos'"), &[]);
    }

    #[test]
    fn what_could_be_read_is_checked_further() {
        // The log names the topic, which is there in spite of its wrong option.
        are(
            "CREATE TABLE k (u TEXT, t TIMESTAMP NOT NULL) WITH (connector = 'kafka', event_time = 't', raw = 'c');
             CREATE VIEW v WITH (import = 'x = nada', colour = 'red') AS SELECT u FROM k;",
            &["raw = 'c'", "option colour", "topic k has no column nada"],
        );
    }

    #[test]
    fn an_option_of_other_statements_says_which_take_it() {
        let table = |options: &str| format!("CREATE TABLE r (u TEXT) WITH (connector = 'file', key = 'u', {options});");
        let [error] = errors(&table("cache = '1 minute'")).try_into().expect("one error");
        assert!(error.contains("option cache is not known here"), "{error}");
        assert!(
            error.contains("remove it: this option belongs to look-ups in 'postgres', 'mongodb' and 'http', and views"),
            "{error}"
        );
        assert!(error.contains("allowed here: by, connector, key, names and path"), "{error}");
        let [error] = errors(&table("farbe = 'red'")).try_into().expect("one error");
        assert!(
            error.contains("correct its spelling or remove it; allowed here: by, connector, key, names and path"),
            "{error}"
        );
        let [error] = errors(&table("path = 'a.csv', path = 'b.csv'")).try_into().expect("one error");
        assert!(error.contains("option path is given twice"), "{error}");
    }
}
