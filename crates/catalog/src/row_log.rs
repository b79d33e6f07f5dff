//! `CREATE TABLE name WITH (connector = 'mongodb', ...) AS SELECT ... FROM topic WHERE ...`: a log
//! in another system, into which each counted row of a topic is written, once.
//!
//! A row is known there by its place in the topic's log, so that writing it again changes nothing.

use std::collections::BTreeSet;

use datafusion::sql::sqlparser::ast::{
    Expr, Function, GroupByExpr, Ident, Query, Select, SelectItem, SetExpr, Spanned,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use std::ops::ControlFlow;
use vitral_schemas::lookup::NamedConnection;
use vitral_schemas::topic::{Topic, archive_columns};

use super::domains::plain;
use super::metric::{refuse_extras, topic_of};
use super::options::{Options, Read};
use super::syntax::{duration_like, duration_ms, ident_text};
use super::{Catalog, Diagnostic, Position, expressions};
use crate::position::InFile;

/// The columns that a row is known by: its topic, the topic's log, partition and offset.
pub const ROW_LOG_KEY: [&str; 4] = ["topico", "log", "particao", "deslocamento"];
/// The time after which a row may go.
pub const EXPIRES_COLUMN: &str = "expira_em";

const DAY_MS: i64 = 86_400_000;
const REMEDY: &str = "write SELECT columns FROM topic WHERE condition";

/// A log in another system.
#[derive(Debug, Clone)]
pub struct RowLog {
    /// As the catalog calls it.
    pub name: String,
    /// The topic it reads, by its table name.
    pub topic: String,
    /// Where the topic is named.
    pub topic_position: Position,
    /// How the system is reached.
    pub connection: NamedConnection,
    /// The collection.
    pub collection: String,
    /// How long after its event time a row is kept; none for as long as the other system keeps it.
    pub expires_ms: Option<i64>,
    /// Whether rows that were there before the log are written too.
    pub has_history: bool,
    /// Where it is declared.
    pub position: Position,
    select: Box<Select>,
}

impl RowLog {
    pub(super) fn read(name: String, query: Query, mut options: Options, position: &Position) -> Read<Self> {
        let connection = options.gather(|options| match options.take_text("connection")? {
            Some((name, position)) => Ok(Some(NamedConnection { name, position })),
            None => Err(position.error(
                format!("log {name} does not say where its rows go"),
                "add connection = 'NAME', and [connections.NAME] to the configuration".into(),
            )),
        });
        let collection = options.gather(|options| options.take_text("collection"));
        let collection = collection.map_or_else(|| plain(&name).to_owned(), |(found, _)| found);
        let expires_ms = options.gather(|options| match options.take_text("expires")? {
            None => Ok(None),
            Some((text, at)) => duration_ms(&text)
                .filter(|ms| *ms > 0)
                .map(Some)
                .ok_or_else(|| at.error(format!("expires = '{text}' is not a duration"), duration_like("90 days"))),
        });
        let has_history = options.gather(|options| match options.take_text("history")? {
            None => Ok(false),
            Some((text, _)) if text == "all" => Ok(true),
            Some((text, at)) => Err(at.error(
                format!("history = '{text}' is not known"),
                "write history = 'all' to write what is there already, or leave it out".into(),
            )),
        });
        let read = Self::read_query(query, position).and_then(|(select, topic, topic_position)| {
            let Some(connection) = connection else { return Ok(None) };
            let position = position.clone();
            let log =
                Self { name, topic, topic_position, connection, collection, expires_ms, has_history, position, select };
            log.check_names().map(|()| Some(log))
        });
        let (log, errors) = options.finish(read);
        (log.flatten(), errors)
    }

    /// The SELECT, its topic, and where that is named.
    fn read_query(query: Query, position: &Position) -> Result<(Box<Select>, String, Position), Diagnostic> {
        refuse_extras(&query, position)?;
        if query.order_by.is_some() || query.limit_clause.is_some() {
            return Err(position.error("ORDER BY and LIMIT cannot be used in a log of rows", REMEDY.into()));
        }
        let SetExpr::Select(mut select) = *query.body else {
            return Err(position.error("a log of rows is one SELECT", REMEDY.into()));
        };
        let is_grouped = !matches!(&select.group_by, GroupByExpr::Expressions(groups, modifiers) if groups.is_empty() && modifiers.is_empty());
        if is_grouped || select.having.is_some() || select.distinct.is_some() || select.qualify.is_some() {
            return Err(position.error("a log holds each row on its own", REMEDY.into()));
        }
        let (topic, topic_position) = topic_of(&mut select, position)?;
        Ok((select, topic, topic_position))
    }

    /// The columns of the SELECT have names that nothing else has.
    fn check_names(&self) -> Result<(), Diagnostic> {
        let mut taken: BTreeSet<String> = ROW_LOG_KEY.into_iter().chain([EXPIRES_COLUMN]).map(str::to_owned).collect();
        for item in &self.select.projection {
            let at = self.position.at(item.span());
            let name = match item {
                SelectItem::ExprWithAlias { alias, .. } => ident_text(alias),
                SelectItem::UnnamedExpr(Expr::Identifier(ident)) => ident_text(ident),
                SelectItem::UnnamedExpr(expr) => {
                    return Err(at.error(format!("{expr} has no name"), format!("write {expr} AS name")));
                }
                _ => return Err(at.error("a log of rows names its columns", "list them".into())),
            };
            if name.starts_with('_') || name.starts_with('$') || name.contains('.') || !taken.insert(name.clone()) {
                return Err(at.error(
                    format!("log {}: the column {name} cannot have this name", self.name),
                    format!(
                        "give it another name, with AS; {} and {EXPIRES_COLUMN} are columns of every log",
                        ROW_LOG_KEY.join(", ")
                    ),
                ));
            }
        }
        Ok(())
    }

    /// The query that gives the log's rows, of a table of the topic's name with the topic's columns
    /// and those of the archive that say where a row stands.
    pub fn query(&self, topic: &Topic) -> Result<Query, ParserError> {
        let mut select = Select::clone(&self.select);
        let columns = [archive_columns::LOG, archive_columns::PARTITION, archive_columns::OFFSET];
        let name = topic.name.replace('\'', "''");
        let mut items = vec![format!("'{name}'")];
        items.extend(columns.iter().map(|column| format!("\"{column}\"")));
        for (text, name) in items.iter().zip(ROW_LOG_KEY) {
            select.projection.push(named(text, name)?);
        }
        if let Some(ms) = self.expires_ms {
            let time = topic.columns[topic.event_time].name.replace('"', "\"\"");
            // Days by themselves: the milliseconds of a year are more than an interval holds.
            let (days, rest) = (ms / DAY_MS, ms % DAY_MS);
            let interval = format!("\"{time}\" + INTERVAL '{days} days' + INTERVAL '{rest} milliseconds'");
            select.projection.push(named(&interval, EXPIRES_COLUMN)?);
        }
        // Everything else of a plain query is as a parser leaves it.
        let mut query = *Parser::new(&GenericDialect {}).try_with_sql("SELECT 1")?.parse_query()?;
        *query.body = SetExpr::Select(Box::new(select));
        Ok(query)
    }

    /// Where a function is called by this name, for errors that planning finds.
    pub fn function_position(&self, name: &str) -> Position {
        let mut found = self.position.clone();
        expressions::look(self.select.as_ref(), &mut |expr| match expr {
            Expr::Function(Function { name: called, .. }) if called.to_string().eq_ignore_ascii_case(name) => {
                found = self.position.at(expr.span());
                ControlFlow::Break(())
            }
            _ => ControlFlow::Continue(()),
        });
        found
    }
}

impl Catalog {
    /// The logs that a topic's rows are written into.
    pub fn row_logs_of<'a>(&'a self, topic: &'a str) -> impl Iterator<Item = &'a RowLog> {
        self.row_logs.iter().filter(move |log| log.topic == topic)
    }

    /// Logs are of events.
    pub(super) fn check_row_logs(&self, errors: &mut Vec<Diagnostic>) {
        for log in &self.row_logs {
            if self.topic(&log.topic).is_some_and(|topic| topic.changes.is_some()) {
                errors.push(log.topic_position.error(
                    format!("log {}: rows of {} change, and a log holds each row once", log.name, log.topic),
                    "write events into it, of a topic without a primary key".into(),
                ));
            }
        }
    }
}

fn named(text: &str, name: &str) -> Result<SelectItem, ParserError> {
    let expr = Parser::new(&GenericDialect {}).try_with_sql(text)?.parse_expr()?;
    Ok(SelectItem::ExprWithAlias { expr, alias: Ident::with_quote('"', name) })
}

#[cfg(test)]
mod tests {
    use crate::{DomainSettings, SourceFile};

    use super::*;

    const TOPIC: &str =
        "CREATE TABLE eventos (p TEXT, t TIMESTAMP NOT NULL) WITH (connector = 'kafka', event_time = 't');\n";

    fn parse(options: &str, query: &str) -> Result<Catalog, String> {
        let text = format!("{TOPIC}CREATE TABLE cliques WITH (connector = 'mongodb'{options}) AS {query};");
        let file = SourceFile { path: "a.sql".to_owned(), text };
        Catalog::parse(&[vec![file]], &DomainSettings::default()).map_err(|errors| errors.to_string())
    }

    const CONNECTION: &str = ", connection = 'loja'";

    #[test]
    fn a_log_has_its_columns_and_the_place_of_each_row() {
        let options = ", connection = 'loja', collection = 'registros', expires = '90 days', history = 'all'";
        let catalog = parse(options, "SELECT p AS produto, t FROM eventos WHERE p <> ''").expect("a catalog");
        let log = catalog.row_logs_of("eventos").next().expect("a log");
        assert_eq!((log.name.as_str(), log.collection.as_str(), log.has_history), ("cliques", "registros", true));
        let query = log.query(&catalog.topics[0]).expect("a query").to_string();
        assert_eq!(
            query,
            "SELECT p AS produto, t, 'eventos' AS \"topico\", \"_log\" AS \"log\", \"_particao\" AS \"particao\", \"_deslocamento\" AS \
             \"deslocamento\", \"t\" + INTERVAL '90 days' + INTERVAL '0 milliseconds' AS \"expira_em\" FROM eventos WHERE p <> ''"
        );
        let catalog = parse(CONNECTION, "SELECT t FROM eventos").expect("a catalog");
        assert_eq!((catalog.row_logs[0].collection.as_str(), catalog.row_logs[0].expires_ms), ("cliques", None));
    }

    #[test]
    fn what_is_wrong_has_its_place_and_a_remedy() {
        for (options, query, words) in [
            ("", "SELECT t FROM eventos", "log cliques does not say where its rows go"),
            (", connection = 'a', expires = 'soon'", "SELECT t FROM eventos", "expires = 'soon' is not a duration"),
            (", connection = 'a', history = 'some'", "SELECT t FROM eventos", "history = 'some' is not known"),
            (", connection = 'a', key = 't'", "SELECT t FROM eventos", "option key is not known here"),
            (CONNECTION, "SELECT * FROM eventos", "names its columns"),
            (CONNECTION, "SELECT upper(p) FROM eventos", "has no name"),
            (CONNECTION, "SELECT p AS topico FROM eventos", "the column topico cannot have this name"),
            (CONNECTION, "SELECT p, t AS p FROM eventos", "the column p cannot have this name"),
            (CONNECTION, "SELECT p AS _id FROM eventos", "the column _id cannot have this name"),
            (CONNECTION, "SELECT p FROM eventos GROUP BY p", "each row on its own"),
            (CONNECTION, "SELECT DISTINCT p FROM eventos", "each row on its own"),
            (CONNECTION, "SELECT p FROM eventos ORDER BY p", "ORDER BY and LIMIT"),
            (CONNECTION, "SELECT p FROM outro", "log cliques reads outro, which is not a topic"),
        ] {
            let error = parse(options, query).expect_err(query);
            assert!(
                error.starts_with("a.sql:2:") && error.contains(words) && error.contains("remedy"),
                "{query}: {error}"
            );
        }
    }
}
