//! What clients hear when something cannot be done: a code of PostgreSQL, a sentence, a remedy.

use std::fmt::Display;
use std::time::Duration;

use arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use datafusion_postgres::pgwire::error::{ErrorInfo, PgWireError};
use vitral_catalog::{Diagnostic, Diagnostics};
use vitral_query::QueryError;

/// Codes of PostgreSQL, by what they mean.
pub(crate) mod code {
    pub(crate) const WARNING: &str = "01000";
    pub(crate) const AWAY: &str = "08006";
    pub(crate) const PROTOCOL: &str = "08P01";
    pub(crate) const NOT_SUPPORTED: &str = "0A000";
    pub(crate) const DIVISION: &str = "22012";
    pub(crate) const OUT_OF_RANGE: &str = "22003";
    pub(crate) const WRONG_VALUE: &str = "22023";
    pub(crate) const UNREADABLE: &str = "22P02";
    pub(crate) const PATTERN: &str = "2201B";
    pub(crate) const READ_ONLY: &str = "25006";
    pub(crate) const NO_TRANSACTION: &str = "25P01";
    pub(crate) const FAILED_TRANSACTION: &str = "25P02";
    pub(crate) const NOT_ALLOWED: &str = "28000";
    pub(crate) const WRONG_PASSWORD: &str = "28P01";
    pub(crate) const NO_CURSOR: &str = "34000";
    pub(crate) const NO_SAVEPOINT: &str = "3B001";
    pub(crate) const NO_STATEMENT: &str = "26000";
    pub(crate) const STATEMENT_EXISTS: &str = "42P05";
    pub(crate) const CURSOR_EXISTS: &str = "42P03";
    pub(crate) const SYNTAX: &str = "42601";
    pub(crate) const NOT_PERMITTED: &str = "42501";
    pub(crate) const NO_COLUMN: &str = "42703";
    pub(crate) const NO_SETTING: &str = "42704";
    pub(crate) const AMBIGUOUS: &str = "42702";
    pub(crate) const GROUPING: &str = "42803";
    pub(crate) const WRONG_TYPE: &str = "42804";
    pub(crate) const NO_FUNCTION: &str = "42883";
    pub(crate) const NO_TABLE: &str = "42P01";
    pub(crate) const PLANNING: &str = "42000";
    pub(crate) const MEMORY: &str = "53200";
    pub(crate) const CONNECTIONS: &str = "53300";
    pub(crate) const TOO_OFTEN: &str = "53400";
    pub(crate) const TOO_LARGE: &str = "54000";
    pub(crate) const TOO_COMPLEX: &str = "54001";
    pub(crate) const CURSOR_FORWARD_ONLY: &str = "55000";
    pub(crate) const CANCELLED: &str = "57014";
    pub(crate) const IDLE: &str = "57P05";
    pub(crate) const NOT_YET: &str = "57P03";
    pub(crate) const FILES: &str = "58000";
    pub(crate) const INTERNAL: &str = "XX000";
}

/// What to do about a table that is not there: which ones others may read is not said.
const TABLES_REMEDY: &str = "\\d, or SELECT * FROM information_schema.tables, lists all that you may read";
/// In place of one that names a command of the server's machine.
const COLUMNS_REMEDY: &str =
    "correct the statement; SELECT * FROM information_schema.columns lists all that you may read";

/// An error of one statement.
pub(crate) fn fault(code: &str, message: impl Into<String>, remedy: &str) -> PgWireError {
    info("ERROR", code, message.into(), remedy)
}

/// An error that ends the connection.
pub(crate) fn fatal(code: &str, message: impl Into<String>, remedy: &str) -> PgWireError {
    info("FATAL", code, message.into(), remedy)
}

fn info(severity: &str, code: &str, message: String, remedy: &str) -> PgWireError {
    let mut info = ErrorInfo::new(severity.to_owned(), code.to_owned(), message);
    info.severity_nonlocalized = Some(severity.to_owned());
    info.hint = (!remedy.is_empty()).then(|| remedy.to_owned());
    PgWireError::UserError(Box::new(info))
}

/// Nothing can be changed here.
pub(crate) fn read_only(verb: &str) -> PgWireError {
    let message = format!("cannot execute {} in a read-only transaction", verb.to_uppercase());
    let remedy =
        "this endpoint only reads: events are sent to POST /eventos, and what is computed is declared in the catalog";
    fault(code::READ_ONLY, message, remedy)
}

/// Somebody asks more often than they may.
pub(crate) fn too_often(limit: u32, wait: Duration) -> PgWireError {
    let message = format!("more than {limit} statements are too many at once; try again in {} s", whole_seconds(wait));
    fault(code::TOO_OFTEN, message, "ask less often, or raise access.rate.requests in the server's configuration")
}

/// Wrong secrets have come from this address too often.
pub(crate) fn too_many_failures(wait: Duration) -> PgWireError {
    let message = format!("too many sign-ins have failed from this address; try again in {} s", whole_seconds(wait));
    fatal(code::TOO_OFTEN, message, "user and password are the id and the secret of a key: `vitral keys create`")
}

/// A message is larger than it may be.
pub(crate) fn too_large(bytes: usize) -> PgWireError {
    fatal(code::TOO_LARGE, format!("a message may have {bytes} bytes"), "send less at once; sign in first")
}

/// What a client has sent is not a message of the protocol.
pub(crate) fn unreadable(error: &dyn Display, is_first: bool) -> PgWireError {
    let (what, remedy) = if is_first {
        ("the startup packet", "connect by a client of PostgreSQL: version 3 of its protocol is spoken here, not HTTP")
    } else {
        ("a message", "nothing more is read of this connection: connect again, by another version of the client")
    };
    fatal(code::PROTOCOL, format!("{what} cannot be read: {error}"), remedy)
}

/// Who has signed in may not ask any more.
pub(crate) fn no_longer(reason: &str) -> PgWireError {
    fatal(code::NOT_ALLOWED, format!("this connection may not ask any more: {reason}"), "sign in again")
}

/// Nothing was heard of a client for too long.
pub(crate) fn idle() -> PgWireError {
    let remedy = "connect again, or raise sql.idle_seconds in the server's configuration";
    fatal(code::IDLE, "terminating connection due to idle-session timeout", remedy)
}

fn whole_seconds(wait: Duration) -> u64 {
    wait.as_millis().div_ceil(1000).max(1).try_into().unwrap_or(u64::MAX)
}

/// The statement was cancelled by its user.
pub(crate) fn cancelled() -> PgWireError {
    fault(code::CANCELLED, "canceling statement due to user request", "")
}

/// The statement took too long.
pub(crate) fn timed_out() -> PgWireError {
    let remedy = "ask for less, or raise sql.statement_timeout_seconds in the server's configuration; a client's own \
                  statement_timeout is at most that";
    fault(code::CANCELLED, "canceling statement due to statement timeout", remedy)
}

/// A transaction has failed and was not ended.
pub(crate) fn failed_transaction() -> PgWireError {
    let message = "current transaction is aborted, commands ignored until end of transaction block";
    fault(code::FAILED_TRANSACTION, message, "send ROLLBACK")
}

/// What reading says, for the text of a statement.
pub(crate) fn of_query(error: QueryError, text: &str) -> PgWireError {
    let said = error.to_string();
    match error {
        QueryError::Statement(errors) => of_statement(&errors, text),
        QueryError::Catalog(errors) => fault(code::INTERNAL, format!("{said}: {errors}"), "run `vitral check`"),
        QueryError::Forbidden(name) => fault(code::NO_TABLE, format!("there is no table {name}"), TABLES_REMEDY),
        QueryError::Unavailable(_) => fault(code::NO_TABLE, said, TABLES_REMEDY),
        // Where it would be is not said.
        QueryError::NothingStored { names, .. } => {
            fault(code::NO_TABLE, format!("nothing is stored of {names} yet"), TABLES_REMEDY)
        }
        QueryError::Starting
        | QueryError::TopicWaiting { .. }
        | QueryError::ImportsUnread(_)
        | QueryError::ImportsUnreadable { .. }
        | QueryError::NotPublished { .. } => fault(code::NOT_YET, said, "try again later"),
        QueryError::NotMade { .. } => fault(code::NO_TABLE, said, ""),
        QueryError::WarehouseAway { .. } => fault(code::AWAY, said, "start its database; all else can be read"),
        QueryError::SetAside { .. } => fault(code::FILES, said, ""),
        QueryError::Timeout => timed_out(),
        QueryError::Busy => fault(code::CONNECTIONS, said, "try again, with fewer statements at once"),
        QueryError::TooLarge(_) => {
            fault(code::TOO_LARGE, said, "ask for fewer rows or columns, or raise sql.result_bytes")
        }
        QueryError::Engine(source) => of_engine(&source, text),
        QueryError::Rows(source) => of_arrow(&source),
        other => fault(code::FILES, causes(&other), "the server's log and `vitral doctor` say more"),
    }
}

/// What the engine says while rows are made.
pub(crate) fn of_engine(error: &DataFusionError, text: &str) -> PgWireError {
    let root = error.find_root();
    let said = plain_words(root);
    match root {
        DataFusionError::ResourcesExhausted(_) => {
            let remedy = "ask for less, or raise query.memory_bytes in the server's configuration";
            fault(code::MEMORY, "the statement needs more memory than there is", remedy)
        }
        DataFusionError::ArrowError(source, _) => of_arrow(source),
        DataFusionError::NotImplemented(_) => fault(code::NOT_SUPPORTED, said, ""),
        _ if said.contains("regex parse error") => fault(code::PATTERN, said, "correct the pattern"),
        DataFusionError::External(_) | DataFusionError::IoError(_) | DataFusionError::ObjectStore(_) => {
            fault(code::FILES, said, "the server's log and `vitral doctor` say more")
        }
        _ => {
            let kind = kind_of(&said);
            let position = vitral_catalog::Position::file("SQL");
            placed(&position.error(said, String::new()), kind, text)
        }
    }
}

/// What a conversion of values says.
pub(crate) fn of_arrow(error: &ArrowError) -> PgWireError {
    match error {
        ArrowError::CastError(said) | ArrowError::ParseError(said) => fault(code::UNREADABLE, said.clone(), ""),
        ArrowError::DivideByZero => fault(code::DIVISION, "division by zero", ""),
        ArrowError::ArithmeticOverflow(said) => fault(code::OUT_OF_RANGE, said.clone(), ""),
        ArrowError::ExternalError(source) => match source.downcast_ref::<DataFusionError>() {
            Some(inner) => of_engine(inner, ""),
            None => fault(code::FILES, source.to_string(), ""),
        },
        other => fault(code::OUT_OF_RANGE, other.to_string(), ""),
    }
}

/// The first of a statement's errors, with its place in the text.
fn of_statement(errors: &Diagnostics, text: &str) -> PgWireError {
    match errors.0.first() {
        Some(first) => placed(first, kind_of(&first.message), text),
        None => fault(code::PLANNING, "the statement cannot be planned", ""),
    }
}

/// An error at its place in the text.
pub(crate) fn placed(error: &Diagnostic, kind: &str, text: &str) -> PgWireError {
    // Which tables there are besides is not said.
    let is_unknown = error.message.starts_with("there is no");
    let remedy = if kind == code::NO_TABLE && is_unknown {
        TABLES_REMEDY
    } else if error.remedy.contains("`vitral query") {
        let is_of_columns = [code::NO_COLUMN, code::GROUPING, code::AMBIGUOUS, code::NO_TABLE].contains(&kind);
        if is_of_columns { COLUMNS_REMEDY } else { "correct the statement" }
    } else {
        error.remedy.as_str()
    };
    let mut info = ErrorInfo::new("ERROR".to_owned(), kind.to_owned(), error.message.clone());
    info.severity_nonlocalized = Some("ERROR".to_owned());
    info.hint = (!remedy.is_empty()).then(|| remedy.to_owned());
    info.position = place_in(text, error.position.line, error.position.column).map(|place| place.to_string());
    PgWireError::UserError(Box::new(info))
}

/// The number of a character, from 1, as the protocol counts places.
fn place_in(text: &str, line: u64, column: u64) -> Option<usize> {
    let before = usize::try_from(line.checked_sub(1)?).ok()?;
    let column = usize::try_from(column).ok()?;
    let lines: usize = text.split('\n').take(before).map(|line| line.chars().count() + 1).sum();
    let place = lines + column;
    (place <= text.chars().count()).then_some(place)
}

/// The engine and the catalog say the kind of an error in words alone.
fn kind_of(message: &str) -> &'static str {
    let starts = |words: &[&str]| words.iter().any(|word| message.starts_with(word));
    let has = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if has(&["Divide by zero", "division by zero"]) {
        code::DIVISION
    } else if starts(&["there is no table", "there is no metric", "table '"]) && !has(&["ambiguous"])
        || has(&["is a table of the warehouse"])
    {
        code::NO_TABLE
    } else if starts(&["No field named", "there is no column", "Column "]) && !has(&["GROUP BY"]) {
        code::NO_COLUMN
    } else if has(&["is neither in GROUP BY", "GROUP BY"]) {
        code::GROUPING
    } else if has(&["Ambiguous", "ambiguous"]) {
        code::AMBIGUOUS
    } else if starts(&["Error parsing", "Cannot cast string"]) {
        code::UNREADABLE
    } else if has(&["Invalid function", "No function matches", "Failed to coerce"]) {
        code::NO_FUNCTION
    } else if has(&["Cannot coerce", "cannot be coerced", "incompatible", "Cannot infer"]) {
        code::WRONG_TYPE
    } else if has(&["DDL not supported", "DML not supported", "Statement not supported"]) {
        code::READ_ONLY
    } else if has(&["not supported", "Unsupported", "not implemented", "unsupported"]) {
        code::NOT_SUPPORTED
    } else if starts(&["sql parser error", "ParserError", "Expected"]) {
        code::SYNTAX
    } else {
        code::PLANNING
    }
}

fn plain_words(error: &DataFusionError) -> String {
    let text = error.strip_backtrace();
    let known = [
        "Error during planning: ",
        "Schema error: ",
        "This feature is not implemented: ",
        "Execution error: ",
        "External error: ",
    ];
    known.iter().find_map(|prefix| text.strip_prefix(prefix)).unwrap_or(&text).trim().to_owned()
}

/// An error with what it comes from.
fn causes(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_said = cause.to_string();
        if !said.contains(&cause_said) {
            said = format!("{said}: {cause_said}");
        }
        source = cause.source();
    }
    said
}

#[cfg(test)]
mod tests {
    use vitral_catalog::Position;

    use super::*;

    fn described(error: PgWireError) -> ErrorInfo {
        ErrorInfo::from(error)
    }

    #[test]
    fn an_unknown_table_has_its_place_and_tells_no_other_names() {
        let text = "SELECT *\nFROM nada";
        let at = Position::file("SQL").at_line(2, 6);
        let errors = Diagnostics(vec![at.error("there is no table nada", "read one of vendas, segredo".into())]);
        let described = described(of_query(QueryError::Statement(errors), text));
        assert_eq!((described.code.as_str(), described.position.as_deref()), ("42P01", Some("15")));
        assert!(described.hint.is_some_and(|hint| !hint.contains("segredo")));
    }

    #[test]
    fn a_remedy_is_a_statement_and_no_command_of_the_server() {
        let remedy = "correct the query; `vitral query \"SELECT 1\"` lists all there is to read".to_owned();
        let errors = Diagnostics(vec![Position::file("SQL").error("No field named x.", remedy)]);
        let hint = described(of_query(QueryError::Statement(errors), "SELECT x")).hint.expect("a remedy");
        assert!(hint.contains("information_schema.columns") && !hint.contains("vitral query"), "{hint}");
    }

    #[test]
    fn what_is_forbidden_is_not_there() {
        let described = described(of_query(QueryError::Forbidden("auditoria".into()), ""));
        assert_eq!((described.code.as_str(), described.message.as_str()), ("42P01", "there is no table auditoria"));
    }

    #[test]
    fn kinds_have_the_codes_that_clients_know() {
        let exhausted = DataFusionError::ResourcesExhausted("no more".into()).context("sorting");
        for (error, code) in [
            (QueryError::Engine(exhausted), code::MEMORY),
            (QueryError::Timeout, code::CANCELLED),
            (QueryError::Busy, code::CONNECTIONS),
            (QueryError::TooLarge(9), code::TOO_LARGE),
            (QueryError::Starting, code::NOT_YET),
            (QueryError::Engine(DataFusionError::Plan("No field named x.".into())), code::NO_COLUMN),
            (QueryError::Engine(DataFusionError::Plan("Invalid function 'f'".into())), code::NO_FUNCTION),
        ] {
            assert_eq!(described(of_query(error, "")).code, code);
        }
    }
}
