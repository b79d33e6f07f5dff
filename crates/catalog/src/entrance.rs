//! What the API does with a topic's messages one by one: `path`, `scope` and `key` say how they are
//! sent to it, `trace` and `trace_path` by what they are found again.

use vitral_schemas::topic::{Column, ColumnKind, Topic};

use super::names::is_word_of;
use super::options::Options;
use super::{Catalog, Diagnostic, Position};

/// Stands for the id in a path under which messages are found again.
pub const TRACED_ID: &str = "{id}";
/// First parts of the engine's own paths that have a parameter in them.
const TAKEN: [&str; 4] = ["alertas", "assets", "docs", "metricas"];

/// A path to which messages are sent: `WITH (path = '/events', scope = 'events:write', ...)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entrance {
    /// The path of the API, `/events`.
    pub path: String,
    /// What a principal needs to send there.
    pub scope: String,
    /// The column whose text is the key of a message; none if messages have no key.
    pub key: Option<usize>,
    /// Where it is declared.
    pub position: Position,
}

/// By what a topic's messages are found: `WITH (trace = 'id, order', trace_path = '/orders/{id}')`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traced {
    /// The columns that hold ids.
    pub columns: Vec<usize>,
    /// The path of the API, with [`TRACED_ID`] in it, if there is one.
    pub path: Option<String>,
    /// Where it is declared.
    pub position: Position,
}

/// Both, of one topic.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ByMessage {
    pub(super) entrance: Option<Entrance>,
    pub(super) traced: Option<Traced>,
}

fn entrance(columns: &[Column], takes_messages: bool, options: &mut Options) -> Result<Option<Entrance>, Diagnostic> {
    let (path, scope, key) = (options.take_text("path")?, options.take_text("scope")?, options.take_text("key")?);
    let Some((path, at)) = path else {
        let Some((_, at)) = scope.or(key) else { return Ok(None) };
        return Err(
            at.error("scope and key are of use only with path", "add path = '/events', or leave them out".into())
        );
    };
    if !takes_messages {
        return Err(at.error(
            "path: messages that change rows come from the system that has the rows",
            "leave path out, or declare the topic without primary_key".into(),
        ));
    }
    if !path.strip_prefix('/').is_some_and(|path| path.split('/').all(is_word)) {
        return Err(at.error(
            format!("path '{path}' is not usable"),
            "write lower-case words separated by slashes, such as '/events'".into(),
        ));
    }
    let Some((scope, scope_at)) = scope else {
        let name = path.trim_start_matches('/').replace('/', "_");
        return Err(
            at.error(format!("path '{path}' has no scope: who may send there?"), format!("add scope = '{name}:write'"))
        );
    };
    if !scope.split_once(':').is_some_and(|(name, right)| is_word(name) && right == "write") {
        return Err(
            scope_at.error(format!("scope = '{scope}' is not usable"), "write for example 'events:write'".into())
        );
    }
    let key = key.map(|(name, at)| text_column(columns, &name, "key", &at)).transpose()?;
    Ok(Some(Entrance { path, scope, key, position: at }))
}

fn traced(columns: &[Column], options: &mut Options) -> Result<Option<Traced>, Diagnostic> {
    let (names, path) = (options.take_text("trace")?, options.take_text("trace_path")?);
    let Some((names, at)) = names else {
        let Some((_, at)) = path else { return Ok(None) };
        return Err(
            at.error("trace_path is of use only with trace", "add trace = 'column, ...', or leave it out".into())
        );
    };
    let columns = names.split(',').map(|name| text_column(columns, name.trim(), "trace", &at));
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    let path = match path {
        None => None,
        Some((path, _)) if is_traced_path(&path) => Some(path),
        Some((path, at)) => {
            return Err(at.error(
                format!("trace_path '{path}' is not usable"),
                format!("write lower-case words and one {TRACED_ID}, such as '/orders/{TRACED_ID}/trace'"),
            ));
        }
    };
    Ok(Some(Traced { columns, path, position: at }))
}

fn is_word(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b))
}

fn is_traced_path(path: &str) -> bool {
    let Some(parts) = path.strip_prefix('/').map(|path| path.split('/').collect::<Vec<_>>()) else { return false };
    let ids = parts.iter().filter(|part| **part == TRACED_ID).count();
    let are_words = parts.iter().all(|part| *part == TRACED_ID || is_word(part));
    let is_free = parts.first().is_some_and(|first| is_word(first) && !TAKEN.contains(first));
    ids == 1 && are_words && is_free
}

/// The index of a column of texts that the message has.
fn text_column(columns: &[Column], name: &str, option: &str, at: &Position) -> Result<usize, Diagnostic> {
    let is_it = |column: &Column| {
        let is_text = matches!(column.kind, ColumnKind::Text | ColumnKind::TextOrNumber);
        column.name == name && is_text && column.lookup.is_none()
    };
    columns.iter().position(is_it).ok_or_else(|| {
        at.error(
            format!("{option}: {name} is not a column of texts that messages have"),
            "name a column with the type TEXT or TEXT_OR_NUMBER".into(),
        )
    })
}

impl Catalog {
    /// Reads what the options of a topic say of its messages one by one.
    pub(super) fn add_by_message(&mut self, topic: &Topic, options: &mut Options) {
        let columns = topic.columns.as_slice();
        let entrance = options.gather(|options| entrance(columns, topic.changes.is_none(), options));
        let traced = options.gather(|options| traced(columns, options));
        self.by_message.insert(topic.name.clone(), ByMessage { entrance, traced });
    }

    /// The topics to which the API sends, each with how.
    pub fn entrances(&self) -> impl Iterator<Item = (&Topic, &Entrance)> {
        self.topics.iter().filter_map(|topic| Some((topic, self.by_message.get(&topic.name)?.entrance.as_ref()?)))
    }

    /// The topics whose messages are found by an id, each with how.
    pub fn traced(&self) -> impl Iterator<Item = (&Topic, &Traced)> {
        self.topics.iter().filter_map(|topic| Some((topic, self.by_message.get(&topic.name)?.traced.as_ref()?)))
    }

    /// Two topics cannot take the same path, and inputs go to topics that have one.
    pub(super) fn check_entrances(&self, errors: &mut Vec<Diagnostic>) {
        let mut paths = std::collections::BTreeMap::new();
        for (topic, entrance) in self.entrances() {
            if let Some(other) = paths.insert(entrance.path.as_str(), &topic.name) {
                errors.push(entrance.position.error(
                    format!("topics {other} and {} have the same path {}", topic.name, entrance.path),
                    "give one of them another path".into(),
                ));
            }
        }
        for endpoint in &self.endpoints {
            if let Some(topic) = paths.get(endpoint.path.as_str()) {
                errors.push(endpoint.position.error(
                    format!("path '{}' is the one to which messages of {topic} are sent", endpoint.path),
                    "choose another path".into(),
                ));
            }
        }
        for input in &self.inputs {
            let has_path = self.entrances().any(|(topic, _)| topic.name == input.table);
            if !has_path && !is_word_of(&input.table, &self.unread) {
                errors.push(input.source.error(
                    format!("input_for = '{}': nothing can be sent to that", input.table),
                    "name a topic with the option path".into(),
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Catalog, DomainSettings, SourceFile};

    fn read(options: &str) -> Result<Catalog, String> {
        let text = format!(
            "CREATE TABLE e (u TEXT, p TEXT_OR_NUMBER, n BIGINT, t TIMESTAMP NOT NULL)
             WITH (connector = 'kafka', event_time = 't', {options});"
        );
        let file = SourceFile { path: "a.sql".to_owned(), text };
        Catalog::parse(&[vec![file]], &DomainSettings::default()).map_err(|errors| errors.to_string())
    }

    #[test]
    fn a_topic_says_how_messages_come_and_are_found() {
        let options = "path = '/e', scope = 'e:write', key = 'u', trace = 'p, u', trace_path = '/p/{id}/rastro'";
        let catalog = read(options).expect("a catalog");
        let (_, entrance) = catalog.entrances().next().expect("an entrance");
        assert_eq!((entrance.path.as_str(), entrance.scope.as_str(), entrance.key), ("/e", "e:write", Some(0)));
        let (_, traced) = catalog.traced().next().expect("traced");
        assert_eq!((traced.columns.as_slice(), traced.path.as_deref()), (&[1, 0][..], Some("/p/{id}/rastro")));
    }

    #[test]
    fn what_cannot_be_is_named_with_the_way_on() {
        for (options, words) in [
            ("path = '/e'", "add scope = 'e:write'"),
            ("scope = 'e:write'", "only with path"),
            ("path = 'e f', scope = 'e:write'", "path 'e f' is not usable"),
            ("path = '/e', scope = 'all'", "scope = 'all' is not usable"),
            ("path = '/e', scope = 'e:write', key = 'n'", "key: n is not a column of texts"),
            ("trace = 'x'", "trace: x is not a column of texts"),
            ("trace = 'u', trace_path = '/p'", "trace_path '/p' is not usable"),
            ("trace = 'u', trace_path = '/metricas/{id}'", "is not usable"),
            ("path = '/e', scope = 'e:write', primary_key = 'u'", "messages that change rows"),
        ] {
            let error = read(options).expect_err(options);
            assert!(error.contains(words), "{options}: {error}");
        }
    }
}
