//! One catalog file: statements told apart, settings put in, duplicates refused.

use datafusion::sql::sqlparser::{
    ast::{
        CreateTableOptions, CreateView, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Query, Spanned,
        Statement, Value,
    },
    dialect::GenericDialect,
    parser::{Parser, ParserError},
    tokenizer::{Location, Token, TokenWithSpan, Tokenizer},
};

use super::options::{Options, Read, push_read};
use super::syntax::{simple_name, text_literal};
use super::{
    Catalog, Check, Diagnostic, DomainSettings, Endpoint, ImportTarget, Input, KeyedView, Metric, Position, Profile,
    Setting, Sink, SourceFile, View, alert, depth, expressions, metric, table, warnings,
};
use crate::position::InFile;

/// Adds the statements of `file` to `catalog`.
pub(super) fn read(file: &SourceFile, settings: &DomainSettings, catalog: &mut Catalog) -> Result<(), Vec<Diagnostic>> {
    let whole = Position::file(&file.path);
    let tokens = tokens(&file.text, &whole).map_err(|error| {
        catalog.unread.push_str(&file.text);
        vec![error]
    })?;
    let mut errors = Vec::new();
    let mut is_empty = true;
    // Statement by statement: after one that cannot be read the next one is.
    for tokens in tokens.split_inclusive(|token| token.token == Token::SemiColon) {
        let first = tokens.iter().find(|token| !matches!(token.token, Token::Whitespace(_)));
        // Statements that no catalog holds have no place of their own.
        let start = first.map_or_else(|| whole.clone(), |first| whole.at(first.span));
        let text = || tokens.iter().map(|token| token.token.to_string()).collect::<String>() + "\n";
        match parse(tokens, &whole) {
            Ok(statements) => {
                for statement in statements {
                    is_empty = false;
                    if let Err(found) = declare(statement, file, settings, &start, catalog) {
                        catalog.unread.push_str(&text());
                        errors.extend(found);
                    }
                }
            }
            Err(error) => {
                is_empty = false;
                catalog.unread.push_str(&text());
                errors.push(error);
            }
        }
    }
    if is_empty {
        return Err(vec![whole.error("holds no statement", "declare something in it or remove the file".into())]);
    }
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

/// The statements of a text.
pub(super) fn statements(text: &str, whole: &Position) -> Result<Vec<Statement>, Diagnostic> {
    parse(&tokens(text, whole)?, whole)
}

fn tokens(text: &str, whole: &Position) -> Result<Vec<TokenWithSpan>, Diagnostic> {
    let tokens = Tokenizer::new(&GenericDialect {}, text).tokenize_with_location();
    tokens.map_err(|error| {
        let place = whole.at_location(error.location);
        place.error(error.message, "close the quote or comment, or remove the character".into())
    })
}

fn declare(
    mut statement: Statement,
    file: &SourceFile,
    settings: &DomainSettings,
    start: &Position,
    catalog: &mut Catalog,
) -> Result<(), Vec<Diagnostic>> {
    // Of what no catalog holds, the parser's place may be that of a table in it.
    let is_declared = matches!(statement, Statement::CreateTable(_) | Statement::CreateView(_));
    let position = if is_declared { start.at(statement.span()) } else { start.clone() };
    put_settings_in(&mut statement, settings, &position).map_err(|error| vec![error])?;
    catalog.suspects.extend(warnings::suspects(&statement, &position));
    add(statement, file, &position, catalog)
}

fn parse(tokens: &[TokenWithSpan], whole: &Position) -> Result<Vec<Statement>, Diagnostic> {
    if let Some(place) = depth::too_deep(tokens) {
        return Err(whole.at_location(place).error(
            format!("more than {} operators in one expression", depth::LEVELS_MAX),
            "write x IN (a, b, ...) for x = a OR x = b, or keep the values in a reference table and join it".into(),
        ));
    }
    let parsed = Parser::new(&GenericDialect {}).with_tokens_with_locations(tokens.to_vec()).parse_statements();
    parsed.map_err(|error| {
        let text = match error {
            ParserError::TokenizerError(text) | ParserError::ParserError(text) => text,
            ParserError::RecursionLimitExceeded => "nested too deeply".into(),
        };
        // What ends too early has no place of its own: that of its last word.
        let last = tokens.iter().rev().find(|token| !matches!(token.token, Token::Whitespace(_)));
        let whole = last.map_or_else(|| whole.clone(), |last| whole.at(last.span));
        let (message, location) = split_location(&text);
        whole
            .at_location(location)
            .error(message, "correct the SQL at this place; catalog/README.md has examples".into())
    })
}

/// The parser writes places into its messages: `... at Line: 3, Column: 7`.
fn split_location(text: &str) -> (String, Location) {
    let found = text.rfind(" at Line: ").and_then(|at| {
        let (line, column) = text[at + " at Line: ".len()..].split_once(", Column: ")?;
        Some((text[..at].to_owned(), Location { line: line.parse().ok()?, column: column.trim().parse().ok()? }))
    });
    found.unwrap_or_else(|| (text.to_owned(), Location { line: 0, column: 0 }))
}

fn add(
    statement: Statement,
    file: &SourceFile,
    position: &Position,
    catalog: &mut Catalog,
) -> Result<(), Vec<Diagnostic>> {
    match statement {
        Statement::CreateTable(create) => table::add(create, position, catalog),
        Statement::CreateView(view) => add_view(view, file, position, catalog),
        other => {
            let text = other.to_string();
            let start: String = text.split_whitespace().take(3).collect::<Vec<_>>().join(" ");
            Err(vec![position.error(
                format!("{start} ... is not a statement that a catalog can have"),
                "use CREATE TABLE, CREATE VIEW or CREATE MATERIALIZED VIEW".into(),
            )])
        }
    }
}

fn add_view(
    view: CreateView,
    file: &SourceFile,
    position: &Position,
    catalog: &mut Catalog,
) -> Result<(), Vec<Diagnostic>> {
    let position = &position.at(view.name.span());
    let name = simple_name(&view.name, position).map_err(|error| vec![error])?;
    let options = match &view.options {
        CreateTableOptions::With(options) => Options::read(options, position),
        _ => Options::default(),
    };
    let query = view.query;
    if view.materialized && !metric::has_window(&query) {
        let keyed = KeyedView::read(name, *query, options, &file.text, position);
        return push_read(&mut catalog.keyed, keyed, |keyed| &keyed.name, position);
    }
    if view.materialized {
        let metric = Metric::read(name, *query, options, &file.text, position);
        return push_read(&mut catalog.metrics, metric, |metric| &metric.name, position);
    }
    if options.contains("path") {
        let endpoint = Endpoint::read(name, *query, options, position);
        return push_read(&mut catalog.endpoints, endpoint, |endpoint| &endpoint.path, position);
    }
    if options.contains("check") {
        let check = Check::read(name, query, options, position);
        return push_read(&mut catalog.checks, check, |check| &check.name, position);
    }
    if options.contains("profile_for") {
        let profile = Profile::read(name, query, options, position);
        return push_read(&mut catalog.profiles, profile, |profile| &profile.name, position);
    }
    if options.contains("input_for") {
        let input = Input::read(name, query, options, position);
        return push_read(&mut catalog.inputs, input, |input| &input.name, position);
    }
    push_read(&mut catalog.views, plain_view(name, query, options, &file.text, position), |view| &view.name, position)
}

/// A view that is evaluated when it is read, and what else may be done with its rows.
fn plain_view(
    name: String,
    query: Box<Query>,
    mut options: Options,
    file_text: &str,
    position: &Position,
) -> Read<View> {
    let description = metric::head_comment(file_text);
    let import = options.gather(|options| match options.take_text("import")? {
        None => Ok(None),
        Some((names, at)) => ImportTarget::read(&names, &query, position, &at).map(Some),
    });
    let import = import.map(|target| target.with_options(&mut options));
    let is_told = options.contains("alert") || options.contains("report");
    let sink = options.gather(|options| Sink::read(&name, options, position));
    if sink.is_some() && is_told {
        options.refuse(position.error(
            format!("{name} is copied, and people are notified of it"),
            "declare two views, one of which selects from the other".into(),
        ));
    }
    let (alert, report) = alert::read(&name, &mut options, position);
    if sink.is_none() && !is_told {
        options.know(&["alert", "check", "input_for", "path", "profile_for", "report"]);
    }
    options.finish(Ok(View { name, description, query, import, alert, report, sink, source: position.clone() }))
}

/// Replaces `current_setting('domain...')` by the setting's value. `shop.` is their earlier name.
pub(super) fn put_settings_in(
    statement: &mut Statement,
    settings: &DomainSettings,
    position: &Position,
) -> Result<(), Diagnostic> {
    expressions::change(statement, &mut |expr| {
        let Expr::Function(function) = &*expr else { return Ok(()) };
        if !function.name.to_string().eq_ignore_ascii_case("current_setting") {
            return Ok(());
        }
        let name = text_argument(&function.args);
        let name = name.as_deref().and_then(|name| name.strip_prefix("domain.").or(name.strip_prefix("shop.")));
        let text = |text: &str| Expr::Value(Value::SingleQuotedString(text.to_owned()).into());
        let value = match name {
            Some("time_zone") => Some(text(settings.time_zone.name())),
            Some("currency") => Some(text(&settings.currency)),
            name => name.and_then(|name| settings.settings.get(name)).map(Setting::expression),
        };
        let Some(value) = value else {
            // It may be in a domain.toml that cannot be read, whose error says so.
            if name.is_some() && !settings.is_whole {
                *expr = Expr::Value(Value::Null.into());
                return Ok(());
            }
            let own = settings.settings.keys().map(|name| format!(", 'domain.{name}'")).collect::<String>();
            let remedy = format!("read one of 'domain.time_zone', 'domain.currency'{own}");
            return Err(position.at(expr.span()).error(format!("{expr} is not a setting"), remedy));
        };
        *expr = value;
        Ok(())
    })
}

fn text_argument(args: &FunctionArguments) -> Option<String> {
    let FunctionArguments::List(list) = args else { return None };
    match list.args.as_slice() {
        [FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))] => text_literal(expr),
        _ => None,
    }
}
