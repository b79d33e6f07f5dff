//! What a client's text asks for, statement by statement.
//!
//! Statements of the session, such as `SET` and `FETCH`, are read from their words: clients write
//! them in more ways than a parser of queries knows.

mod column_aliases;
mod existing;
mod expressions;
mod fitted;
mod lists;
mod query;
mod wording;
mod words;

pub(crate) use self::query::{ReadQuery, is_of_catalog};
use self::words::Words;
use datafusion::sql::sqlparser::ast::Statement;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};
use datafusion_postgres::datafusion_pg_catalog::sql::PostgresCompatibilityParser;
use datafusion_postgres::pgwire::error::PgWireError;
use vitral_catalog::{LEVELS_MAX, Position, too_deep};

use crate::copy::CopyOptions;
use crate::error::{code, fault, read_only};

/// A statement, understood.
#[derive(Debug, Clone)]
pub(crate) enum Command {
    Query(ReadQuery),
    Explain {
        query: ReadQuery,
        is_run: bool,
        is_verbose: bool,
    },
    Copy {
        query: ReadQuery,
        options: CopyOptions,
    },
    Set {
        name: String,
        value: Option<String>,
        is_local: bool,
    },
    /// Of a transaction, or of those to come.
    SetTransaction,
    Show(String),
    ShowAll,
    Reset(Option<String>),
    /// With the answer's tag.
    Discard(&'static str),
    /// With the answer's tag.
    Begin(&'static str),
    Commit,
    Rollback,
    Savepoint(String),
    Release(String),
    RollbackTo(String),
    Declare {
        name: String,
        query: ReadQuery,
        is_held: bool,
        is_binary: bool,
    },
    Fetch {
        cursor: String,
        count: Option<usize>,
        is_move: bool,
    },
    Close(Option<String>),
    Deallocate(Option<String>),
    Unlisten,
}

impl Command {
    /// Whether it may be sent in a transaction that has failed.
    pub(crate) fn ends_transaction(&self) -> bool {
        matches!(self, Self::Commit | Self::Rollback | Self::RollbackTo(_))
    }
}

/// The tag of what forgets all that the connection has.
pub(crate) const DISCARD_ALL: &str = "DISCARD ALL";
/// Verbs of statements that change something.
const WRITES: [&str; 28] = [
    "alter",
    "analyze",
    "call",
    "checkpoint",
    "cluster",
    "comment",
    "create",
    "delete",
    "do",
    "drop",
    "grant",
    "import",
    "insert",
    "load",
    "lock",
    "merge",
    "notify",
    "reassign",
    "refresh",
    "reindex",
    "replace",
    "revoke",
    "security",
    "truncate",
    "update",
    "upsert",
    "use",
    "vacuum",
];

/// Reads texts with one parser for all connections.
#[derive(Debug)]
pub(crate) struct Commands {
    /// Knows what clients look for in `pg_catalog`, and how to say it in the engine's SQL.
    compatible: PostgresCompatibilityParser,
}

impl Commands {
    pub(crate) fn new() -> Self {
        Self { compatible: PostgresCompatibilityParser::new() }
    }

    /// The statements of a text, in their order; none if there are none.
    pub(crate) fn read(&self, text: &str) -> Result<Vec<Command>, PgWireError> {
        let tokens = Tokenizer::new(&PostgreSqlDialect {}, text).tokenize_with_location();
        let tokens = tokens.map_err(|error| {
            let place = Position::file("SQL").at_line(error.location.line, error.location.column);
            crate::error::placed(&place.error(error.message, String::new()), code::SYNTAX, text)
        })?;
        let statements = tokens.split(|token| token.token == Token::SemiColon);
        let has_words = |tokens: &&[TokenWithSpan]| {
            tokens.iter().any(|token| !matches!(token.token, Token::Whitespace(_) | Token::EOF))
        };
        let statements: Vec<_> = statements.filter(has_words).collect();
        if let Some(place) = too_deep(&tokens) {
            let place = Position::file("SQL").at_line(place.line, place.column);
            let message = format!("more than {LEVELS_MAX} operators in one expression");
            let remedy = "write x IN (a, b, ...) for x = a OR x = b".to_owned();
            return Err(crate::error::placed(&place.error(message, remedy), code::TOO_COMPLEX, text));
        }
        let is_alone = statements.len() == 1;
        statements.into_iter().map(|tokens| self.command(tokens, text, is_alone)).collect()
    }

    fn command(&self, tokens: &[TokenWithSpan], text: &str, is_alone: bool) -> Result<Command, PgWireError> {
        let mut words = Words::new(tokens);
        let source = Source { commands: self, tokens, text, is_alone };
        let Some(verb) = words.verb() else {
            // A parenthesis, with which queries may begin.
            return source.query(0).map(Command::Query);
        };
        match verb.as_str() {
            "select" | "with" | "values" | "table" => source.query(0).map(Command::Query),
            "explain" => explain(&mut words, &source),
            "copy" if words.has_outside("from") => Err(read_only("COPY FROM")),
            "copy" => copy(&source),
            "declare" => declare(&mut words, &source),
            "set" => set(&mut words),
            "show" => Ok(show(&mut words)),
            "reset" => Ok(Command::Reset(words.rest_name().filter(|name| name != "all"))),
            "discard" => discard(&mut words),
            "begin" => Ok(Command::Begin("BEGIN")),
            "start" => Ok(Command::Begin("START TRANSACTION")),
            "commit" | "end" => Ok(Command::Commit),
            "rollback" | "abort" => Ok(rollback(&mut words)),
            "savepoint" => words.name().map(Command::Savepoint),
            "release" => {
                words.takes("savepoint");
                words.name().map(Command::Release)
            }
            "fetch" => fetch(&mut words, false),
            "move" => fetch(&mut words, true),
            "close" => Ok(Command::Close(words.name().ok().filter(|name| name != "all"))),
            "deallocate" => {
                words.takes("prepare");
                Ok(Command::Deallocate(words.name().ok().filter(|name| name != "all")))
            }
            "unlisten" => Ok(Command::Unlisten),
            "listen" => {
                let remedy = "ask again now and then, or follow GET /metricas/{nome}/ao_vivo";
                Err(fault(code::NOT_SUPPORTED, "LISTEN is not supported", remedy))
            }
            "prepare" | "execute" => {
                let message = format!("{} is not supported", verb.to_uppercase());
                Err(fault(code::NOT_SUPPORTED, message, "let the driver prepare statements by the protocol"))
            }
            other if WRITES.contains(&other) => Err(read_only(other)),
            _ => source.statement(0).and_then(|_| Err(read_only(&verb))),
        }
    }
}

/// The tokens of one statement, and the text that they are of.
struct Source<'a> {
    commands: &'a Commands,
    tokens: &'a [TokenWithSpan],
    text: &'a str,
    is_alone: bool,
}

impl Source<'_> {
    /// The query that begins at a token.
    fn query(&self, first: usize) -> Result<ReadQuery, PgWireError> {
        match self.statement(first)? {
            Statement::Query(query) => {
                let text = if self.is_alone && first == 0 { Some(self.text.to_owned()) } else { None };
                let text = text.unwrap_or_else(|| {
                    self.tokens[first..].iter().map(|token| token.token.to_string()).collect::<String>()
                });
                ReadQuery::new(query, &text, &self.commands.compatible)
            }
            other => {
                let text = other.to_string();
                Err(read_only(text.split_whitespace().next().unwrap_or_default()))
            }
        }
    }

    fn statement(&self, first: usize) -> Result<Statement, PgWireError> {
        let tokens = self.tokens[first..].to_vec();
        let mut parser = Parser::new(&PostgreSqlDialect {}).with_tokens_with_locations(tokens);
        let parsed = parser.parse_statement();
        let next = parser.peek_token();
        let parsed = parsed.and_then(|statement| match next.token {
            Token::EOF | Token::SemiColon => Ok(statement),
            other => Err(ParserError::ParserError(format!(
                "Unexpected {other} at Line: {}, Column: {}",
                next.span.start.line, next.span.start.column
            ))),
        });
        parsed.map_err(|error| self.syntax_error(error))
    }

    /// The parser writes places into its messages: `... at Line: 3, Column: 7`.
    fn syntax_error(&self, error: ParserError) -> PgWireError {
        let said = match error {
            ParserError::TokenizerError(said) | ParserError::ParserError(said) => said,
            ParserError::RecursionLimitExceeded => "the statement is nested too deeply".to_owned(),
        };
        let place = said.rfind(" at Line: ").and_then(|at| {
            let (line, column) = said[at + " at Line: ".len()..].split_once(", Column: ")?;
            Some((at, line.parse().ok()?, column.trim().parse().ok()?))
        });
        let (message, line, column) = match place {
            Some((at, line, column)) => (said[..at].to_owned(), line, column),
            None => (said, 0, 0),
        };
        let at = Position::file("SQL").at_line(line, column);
        crate::error::placed(&at.error(message, String::new()), code::SYNTAX, self.text)
    }
}

fn explain(words: &mut Words<'_>, source: &Source<'_>) -> Result<Command, PgWireError> {
    let (mut is_run, mut is_verbose) = (false, false);
    for option in words.options() {
        match option.as_slice() {
            [_, value, ..] if matches!(value.as_str(), "false" | "off" | "0") => {}
            [name, ..] if name == "analyze" => is_run = true,
            [name, ..] if name == "verbose" => is_verbose = true,
            _ => {}
        }
    }
    loop {
        if words.takes("analyze") {
            is_run = true;
        } else if words.takes("verbose") {
            is_verbose = true;
        } else {
            break;
        }
    }
    Ok(Command::Explain { query: source.query(words.place())?, is_run, is_verbose })
}

fn copy(source: &Source<'_>) -> Result<Command, PgWireError> {
    let statement = source.statement(0)?;
    let (query, options) = CopyOptions::read(statement)?;
    let text = query.to_string();
    Ok(Command::Copy { query: ReadQuery::new(query, &text, &source.commands.compatible)?, options })
}

fn declare(words: &mut Words<'_>, source: &Source<'_>) -> Result<Command, PgWireError> {
    let name = words.name()?;
    let (mut is_held, mut is_binary, mut before) = (false, false, String::new());
    while let Some(word) = words.next_word() {
        match word.as_str() {
            "for" => {
                let query = source.query(words.place())?;
                return Ok(Command::Declare { name, query, is_held, is_binary });
            }
            "binary" => is_binary = true,
            "hold" => is_held = before == "with",
            _ => {}
        }
        before = word;
    }
    Err(fault(code::SYNTAX, "DECLARE has no FOR with a query", "write DECLARE name CURSOR FOR SELECT ..."))
}

fn set(words: &mut Words<'_>) -> Result<Command, PgWireError> {
    let is_local = words.takes("local");
    let is_session = !is_local && words.takes("session");
    if is_session && words.takes("characteristics") || words.takes("transaction") {
        return Ok(Command::SetTransaction);
    }
    if words.takes("time") {
        words.takes("zone");
        return Ok(Command::Set { name: "timezone".to_owned(), value: words.value(), is_local });
    }
    if words.takes("names") {
        return Ok(Command::Set { name: "client_encoding".to_owned(), value: words.value(), is_local });
    }
    if is_session && words.takes("authorization") {
        return Ok(Command::Set { name: "session_authorization".to_owned(), value: words.value(), is_local });
    }
    if words.takes("role") {
        return Ok(Command::Set { name: "role".to_owned(), value: words.value(), is_local });
    }
    let name = words.setting_name()?;
    if !words.takes_symbol(&Token::Eq) && !words.takes("to") {
        return Err(fault(code::SYNTAX, format!("SET {name} has neither TO nor ="), "write SET name = value"));
    }
    Ok(Command::Set { name, value: words.value(), is_local })
}

fn show(words: &mut Words<'_>) -> Command {
    let name = words.rest_name().unwrap_or_default();
    match name.as_str() {
        "all" => Command::ShowAll,
        "time zone" => Command::Show("timezone".to_owned()),
        "transaction isolation level" => Command::Show("transaction_isolation".to_owned()),
        "session authorization" => Command::Show("session_authorization".to_owned()),
        _ => Command::Show(name),
    }
}

fn discard(words: &mut Words<'_>) -> Result<Command, PgWireError> {
    let kinds = [
        ("all", DISCARD_ALL),
        ("plans", "DISCARD PLANS"),
        ("sequences", "DISCARD SEQUENCES"),
        ("temp", "DISCARD TEMP"),
        ("temporary", "DISCARD TEMP"),
    ];
    let found = kinds.into_iter().find(|(kind, _)| words.takes(kind));
    let wrong = || fault(code::SYNTAX, "DISCARD does not say what", "write DISCARD ALL, PLANS, SEQUENCES or TEMP");
    found.map(|(_, tag)| Command::Discard(tag)).ok_or_else(wrong)
}

fn rollback(words: &mut Words<'_>) -> Command {
    let _ = words.takes("transaction") || words.takes("work");
    if words.takes("to") {
        words.takes("savepoint");
        if let Ok(name) = words.name() {
            return Command::RollbackTo(name);
        }
    }
    Command::Rollback
}

fn fetch(words: &mut Words<'_>, is_move: bool) -> Result<Command, PgWireError> {
    let refuse = |what: &str| {
        let message = format!("cursor can only scan forward, not {what}");
        fault(code::CURSOR_FORWARD_ONLY, message, "write FETCH count FROM cursor, or FETCH ALL FROM cursor")
    };
    for direction in ["prior", "first", "last", "absolute", "relative", "backward"] {
        if words.takes(direction) {
            return Err(refuse(direction));
        }
    }
    let mut count = Some(1);
    if !words.takes("next") {
        words.takes("forward");
        if words.takes("all") {
            count = None;
        } else if let Some(number) = words.number() {
            count = Some(number);
        } else if words.takes_symbol(&Token::Minus) {
            return Err(refuse("backward"));
        }
    }
    let _ = words.takes("from") || words.takes("in");
    Ok(Command::Fetch { cursor: words.name()?, count, is_move })
}

#[cfg(test)]
mod tests;
