//! Views that are copied to other systems, row by row under a key.
//!
//! `CREATE VIEW name WITH (connector = 'postgres', connection = 'name', table = 'name', key =
//! 'janela_inicio, region') AS SELECT ...`. Such a view is a view like others, too.

use super::options::Options;
use super::syntax::{TOPIC_BYTES_MAX, is_topic_name};
use super::{Catalog, Diagnostic, Position};

/// PostgreSQL cuts longer names.
const TABLE_BYTES_MAX: usize = 63;

/// What a view is copied to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SinkConnector {
    /// Messages of a topic.
    Kafka,
    /// Documents of a collection.
    MongoDb,
    /// Rows of a table.
    Postgres,
    /// Rows of a table, which come by way of S3.
    Redshift,
}

/// A view whose rows are copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sink {
    /// To what.
    pub connector: SinkConnector,
    /// The connection's name; none for the cluster that topics are read from.
    pub connection: Option<String>,
    /// Where the connection is named, or the view is declared.
    pub connection_position: Position,
    /// The topic, collection or table.
    pub target: String,
    /// The columns that a row is known by.
    pub key: Vec<String>,
    /// Where the key is named.
    pub key_position: Position,
    /// Whether rows that were there before the sink are copied too.
    pub has_history: bool,
}

impl SinkConnector {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Kafka, Self::MongoDb, Self::Postgres, Self::Redshift];

    /// As SQL writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kafka => "kafka",
            Self::MongoDb => "mongodb",
            Self::Postgres => "postgres",
            Self::Redshift => "redshift",
        }
    }

    /// The option that names the target.
    pub fn target_option(self) -> &'static str {
        match self {
            Self::Kafka => "topic",
            Self::MongoDb => "collection",
            Self::Postgres | Self::Redshift => "table",
        }
    }

    fn takes_name(self, name: &str) -> bool {
        match self {
            Self::Kafka => is_topic_name(name, TOPIC_BYTES_MAX),
            Self::MongoDb | Self::Postgres | Self::Redshift => {
                let is_sign = |sign: char| sign.is_ascii_alphanumeric() || sign == '_';
                (1..=TABLE_BYTES_MAX).contains(&name.len()) && name.chars().all(is_sign)
            }
        }
    }
}

impl Sink {
    /// None if the view is not copied.
    pub(super) fn read(name: &str, options: &mut Options, position: &Position) -> Result<Option<Self>, Diagnostic> {
        let Some((text, at)) = options.take_text("connector")? else { return Ok(None) };
        let key = options.gather(|options| Self::read_key(name, options, position).map(Some));
        let (key, key_position) = key.unwrap_or_else(|| (Vec::new(), position.clone()));
        let has_history = options.gather(Self::read_history);
        let Some(connector) = SinkConnector::ALL.into_iter().find(|connector| connector.name() == text) else {
            let names = SinkConnector::ALL.map(|connector| format!("'{}'", connector.name())).join(", ");
            let message = format!("{name} cannot be copied to connector = '{text}'");
            return Err(options.stop(at.error(message, format!("use one of {names}"))));
        };
        let connection = options.gather(|options| match options.take_text("connection")? {
            None if connector != SinkConnector::Kafka => Err(position.error(
                format!("sink {name} has no connection"),
                "name one of the configuration, such as connection = 'reports'".into(),
            )),
            connection => Ok(connection),
        });
        let connection_position = connection.as_ref().map_or(position, |(_, at)| at).clone();
        let connection = connection.map(|(connection, _)| connection);
        let target =
            options.gather_or(name.to_owned(), |options| Self::read_target(name, connector, options, position));
        Ok(Some(Self { connector, connection, connection_position, target, key, key_position, has_history }))
    }

    fn read_target(
        name: &str,
        connector: SinkConnector,
        options: &mut Options,
        position: &Position,
    ) -> Result<String, Diagnostic> {
        let option = connector.target_option();
        let (target, at) = options.take_text(option)?.unwrap_or_else(|| (name.to_owned(), position.clone()));
        if connector.takes_name(&target) {
            return Ok(target);
        }
        Err(at.error(
            format!("{option} = '{target}' is not a name that {} accepts here", connector.name()),
            "use letters, digits and _; a topic may have . and - too".into(),
        ))
    }

    fn read_history(options: &mut Options) -> Result<bool, Diagnostic> {
        match options.take_text("history")? {
            None => Ok(false),
            Some((text, _)) if text == "all" => Ok(true),
            Some((text, at)) => Err(at.error(
                format!("history = '{text}' is not known"),
                "write history = 'all' to copy what is there already, or leave it out".into(),
            )),
        }
    }

    fn read_key(name: &str, options: &mut Options, position: &Position) -> Result<(Vec<String>, Position), Diagnostic> {
        let given = options.take_text("key")?;
        let at = given.as_ref().map_or(position, |(_, at)| at).clone();
        let text = given.map(|(text, _)| text).unwrap_or_default();
        let key: Vec<String> =
            text.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect();
        if key.is_empty() {
            return Err(at.error(
                format!("sink {name} has no key"),
                "name the columns that tell its rows apart, such as key = 'janela_inicio, moeda'".into(),
            ));
        }
        if let Some((_, twice)) = key.iter().enumerate().find(|(index, column)| key[..*index].contains(column)) {
            return Err(at.error(format!("sink {name} names {twice} twice"), "name it once".into()));
        }
        Ok((key, at))
    }
}

impl Catalog {
    /// The views that are copied to other systems.
    pub fn sinks(&self) -> impl Iterator<Item = (&super::View, &Sink)> {
        self.views.iter().filter_map(|view| Some((view, view.sink.as_ref()?)))
    }

    /// Two sinks would take each other's rows for their own.
    pub(super) fn check_sinks(&self, errors: &mut Vec<Diagnostic>) {
        let sinks: Vec<_> = self.sinks().collect();
        for (index, (view, sink)) in sinks.iter().enumerate() {
            let place = |sink: &Sink| (sink.connector, sink.connection.clone(), sink.target.clone());
            if let Some((first, _)) = sinks[..index].iter().find(|(_, other)| place(other) == place(sink)) {
                errors.push(view.source.error(
                    format!("sink {}: {} is copied to {} already", view.name, first.name, sink.target),
                    format!(
                        "name another {}, or copy one view that has the rows of both",
                        sink.connector.target_option()
                    ),
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{DomainSettings, SourceFile};

    use super::*;

    const TOPIC: &str =
        "CREATE TABLE eventos (p TEXT, t TIMESTAMP NOT NULL) WITH (connector = 'kafka', event_time = 't');\n";

    fn parse(options: &str) -> Result<Catalog, String> {
        parse_all(&format!("CREATE VIEW copia WITH ({options}) AS SELECT p FROM eventos;"))
    }

    fn parse_all(views: &str) -> Result<Catalog, String> {
        let file = SourceFile { path: "a.sql".to_owned(), text: format!("{TOPIC}{views}") };
        Catalog::parse(&[vec![file]], &DomainSettings::default()).map_err(|errors| errors.to_string())
    }

    #[test]
    fn a_sink_is_a_view_with_a_target_and_a_key() {
        let catalog =
            parse("connector = 'postgres', connection = 'loja', table = 'copias', key = 'p, t', history = 'all'");
        let catalog = catalog.expect("sound");
        let (view, sink) = catalog.sinks().next().expect("a sink");
        assert_eq!((view.name.as_str(), sink.connector), ("copia", SinkConnector::Postgres));
        assert_eq!((sink.connection.as_deref(), sink.target.as_str()), (Some("loja"), "copias"));
        assert_eq!((sink.key.join(","), sink.has_history), ("p,t".to_owned(), true));
        let catalog = parse("connector = 'kafka', key = 'p'").expect("sound");
        let (_, sink) = catalog.sinks().next().expect("a sink");
        assert_eq!((sink.connection.as_ref(), sink.target.as_str(), sink.has_history), (None, "copia", false));
    }

    #[test]
    fn what_is_wrong_has_its_place_and_a_remedy() {
        for (options, words) in [
            ("connector = 'mysql', key = 'p'", "cannot be copied to connector = 'mysql'"),
            ("connector = 'postgres', key = 'p'", "has no connection"),
            ("connector = 'postgres', connection = 'a'", "has no key"),
            ("connector = 'postgres', connection = 'a', key = ' , '", "has no key"),
            ("connector = 'kafka', key = 'p, p'", "names p twice"),
            ("connector = 'kafka', key = 'p', topic = 'a b'", "topic = 'a b' is not a name"),
            ("connector = 'redshift', connection = 'a', key = 'p', table = 'a.b'", "table = 'a.b' is not a name"),
            ("connector = 'kafka', key = 'p', history = 'some'", "history = 'some' is not known"),
            ("connector = 'kafka', key = 'p', table = 'x'", "option table is not known here"),
            ("connector = 'kafka', key = 'p', alert = 'p'", "is copied, and people are notified of it"),
            ("key = 'p'", "option key is not known here"),
        ] {
            let error = parse(options).expect_err(options);
            assert!(
                error.starts_with("a.sql:2:") && error.contains(words) && error.contains("remedy"),
                "{options}: {error}"
            );
        }
    }

    #[test]
    fn two_sinks_cannot_have_one_target() {
        let view = |name: &str, topic: &str| {
            format!(
                "CREATE VIEW {name} WITH (connector = 'kafka', topic = '{topic}', key = 'p') AS SELECT p FROM eventos;\n"
            )
        };
        parse_all(&(view("a", "x") + &view("b", "y"))).expect("two targets");
        let error = parse_all(&(view("a", "x") + &view("b", "x"))).expect_err("one target");
        assert!(error.contains("a.sql:3:13: sink b: a is copied to x already"), "{error}");
    }
}
