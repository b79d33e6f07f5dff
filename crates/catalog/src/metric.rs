//! `CREATE MATERIALIZED VIEW name AS SELECT tumble(...) AS janela, ...`: a windowed metric.
//!
//! The window call is taken out of the SQL: what remains groups by the plain column
//! [`PANE_COLUMN`], so the same statement can be folded pane by pane, merged per window, or run as
//! one plain aggregate over history.

mod clauses;
mod length;
mod one_row;
mod partitioned;
mod session;
mod window;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::{
    ast::{Expr, GroupByExpr, Ident, ObjectNamePart, Query, Select, SelectItem, SetExpr, Spanned, TableFactor, Visit},
    tokenizer::Span,
};
use sha2::{Digest, Sha256};

pub(super) use self::clauses::refuse_extras;
use self::clauses::{take_limit, take_order};
pub(super) use self::partitioned::shows_group;
use self::session::Cut;
pub use self::session::SESSION_LAST_COLUMN;
use self::window::window_of;
pub(super) use self::window::windows_per_event;
use super::options::{Options, Read};
use super::syntax::{ident_text, simple_name};
use super::{Diagnostic, DomainSettings, Position, expressions};
use crate::position::InFile;
use vitral_schemas::window::Window;

/// The column that stands for the window in a metric's rewritten SQL: the start of the row's pane.
pub const PANE_COLUMN: &str = "_pane";
/// The column with the first moment of a row's window.
pub const WINDOW_START_COLUMN: &str = "janela_inicio";
/// The column with the end of a row's window, which is not in it any more.
pub const WINDOW_END_COLUMN: &str = "janela_fim";
const WINDOW_ALIAS: &str = "janela";
/// Functions of ours by all their names, and their versions. A new version belongs here when it
/// gives other rows, or columns of another type, for rows that the last one had an answer to: then
/// the metrics that call it, and no others, are recomputed.
static CHANGED_FUNCTIONS: [(&[&str], u32); 1] = [
    // The average of integers is a decimal.
    (&["avg", "mean"], 2),
];

/// A windowed metric, its statement taken apart.
#[derive(Debug, Clone)]
pub struct Metric {
    /// Its table, its folder and its path in the API.
    pub name: String,
    /// The comment at the head of its file: what it means and by which formula.
    pub description: String,
    /// The topic it reads, by its table name.
    pub topic: String,
    /// Where the topic is named.
    pub topic_position: Position,
    /// How its windows lie in time.
    pub window: Window,
    /// Of sessions, the topic's columns that tell whose they are.
    pub session_keys: Vec<String>,
    /// The SQL with the window call replaced by [`PANE_COLUMN`], without ORDER BY and LIMIT.
    pub query: Box<Query>,
    /// ORDER BY: the order of the rows within each window.
    pub order: Vec<OrderColumn>,
    /// LIMIT: how many rows of each window are kept, in that order.
    pub limit: Option<usize>,
    /// Where it is declared.
    pub position: Position,
    text: String,
}

/// A column of ORDER BY.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderColumn {
    /// The column.
    pub name: String,
    /// Whether the largest come first.
    pub descending: bool,
}

impl Metric {
    pub(super) fn read(
        name: String,
        query: Query,
        mut options: Options,
        file_text: &str,
        position: &Position,
    ) -> Read<Self> {
        let cut = options.gather(Cut::take);
        let metric = Self::read_query(name, query, file_text, position, &mut options);
        if let Ok(metric) = &metric {
            options.gather(|_| cut.check(metric.window));
        }
        options.finish(metric)
    }

    /// Errors that leave the rest of the statement readable go to those of its options.
    fn read_query(
        name: String,
        mut query: Query,
        file_text: &str,
        position: &Position,
        errors: &mut Options,
    ) -> Result<Self, Diagnostic> {
        let text = query.to_string();
        let order = errors.gather(|_| take_order(&mut query, position).map(Some));
        let limit = errors.gather(|_| take_limit(&mut query, position));
        errors.gather(|_| refuse_extras(&query, position));
        let SetExpr::Select(select) = query.body.as_mut() else {
            return Err(position.error("a metric is one SELECT", "write SELECT ... FROM topic GROUP BY janela".into()));
        };
        let (topic, topic_position) = topic_of(select, position)?;
        if limit.is_some() && session::is_called(select) {
            errors.refuse(position.error(
                "LIMIT cannot be used in a metric of sessions: each of them is a window of its own",
                "limit the rows when reading, in a view or an endpoint".into(),
            ));
        } else if limit.is_some() && order.as_ref().is_some_and(Vec::is_empty) {
            errors.refuse(position.error(
                "LIMIT without ORDER BY keeps arbitrary rows",
                "add ORDER BY; both apply within each window".into(),
            ));
        }
        let (window, session_keys) = take_window(select, position, errors)?;
        Ok(Self {
            name,
            description: head_comment(file_text),
            topic,
            topic_position,
            window,
            session_keys,
            query: Box::new(query),
            order: order.unwrap_or_default(),
            limit,
            position: position.clone(),
            text,
        })
    }

    /// Of sessions, each key and the name under which the metric shows it as it is; none if it does
    /// not show them all.
    pub fn shown_session_keys(&self) -> Option<Vec<(&str, String)>> {
        let SetExpr::Select(select) = self.query.body.as_ref() else { return None };
        let keys = self.session_keys.iter().map(|key| Some((key.as_str(), session::shown_as(select, key)?)));
        keys.collect::<Option<Vec<_>>>().filter(|keys| !keys.is_empty())
    }

    /// Identifies what the metric computes: its SQL, the zone, when its windows close, the engine's
    /// version, and that of our own functions which it calls. Another version's rows are another
    /// table.
    pub fn version(&self, settings: &DomainSettings, lateness_ms: i64) -> String {
        let mut hash = Sha256::new();
        let lateness = lateness_ms.to_string();
        let functions = self.changed_functions();
        let parts = [&self.text, settings.time_zone.name(), &lateness, datafusion::DATAFUSION_VERSION];
        // What calls none of them has the version that it always had.
        for part in parts.into_iter().chain(Some(functions.as_str()).filter(|functions| !functions.is_empty())) {
            hash.update(part.len().to_le_bytes());
            hash.update(part);
        }
        hash.finalize().iter().take(6).fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    /// The functions that it calls and that give other rows than their first version did, each with
    /// its version.
    pub(super) fn changed_functions(&self) -> String {
        called_functions(self.query.as_ref())
    }

    /// The statement that declares it, as [`super::Catalog::older_metric`] reads it again.
    pub fn definition(&self) -> String {
        format!("CREATE MATERIALIZED VIEW {} AS {};\n", self.name, self.text)
    }

    /// Where a function is called by this name, for errors that planning finds.
    pub fn function_position(&self, name: &str) -> Position {
        let mut found = self.position.clone();
        expressions::look(self.query.as_ref(), &mut |expr| match expr {
            Expr::Function(function) if function.name.to_string().eq_ignore_ascii_case(name) => {
                found = self.position.at(expr.span());
                ControlFlow::Break(())
            }
            _ => ControlFlow::Continue(()),
        });
        found
    }
}

/// The functions of ours that a statement calls and that give other rows than their first version
/// did, each with its version.
pub(super) fn called_functions<T: Visit>(statement: &T) -> String {
    let mut called = BTreeSet::new();
    expressions::look(statement, &mut |expr| {
        if let Expr::Function(function) = expr {
            let name = function.name.to_string().to_lowercase();
            called.extend(CHANGED_FUNCTIONS.iter().filter(|(names, _)| names.contains(&name.as_str())));
        }
        ControlFlow::Continue(())
    });
    called.into_iter().map(|(names, version)| format!("{} {version};", names[0])).collect()
}

/// Whether a statement has a window: one that has none is a table with one row for each key.
pub(super) fn has_window(query: &Query) -> bool {
    let SetExpr::Select(select) = query.body.as_ref() else { return true };
    let is_janela = |expr: &Expr| matches!(expr, Expr::Identifier(ident) if is_window_alias(ident));
    let is_grouped = matches!(&select.group_by, GroupByExpr::Expressions(groups, _) if groups.iter().any(is_janela));
    let is_selected = select.projection.iter().any(|item| match item {
        SelectItem::ExprWithAlias { alias, .. } => is_window_alias(alias),
        _ => false,
    });
    let mut is_called = false;
    expressions::look(select.as_ref(), &mut |expr| match expr {
        Expr::Function(function) if !matches!(window_of(function, &Position::file("")), Ok(None)) => {
            is_called = true;
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    });
    is_grouped || is_selected || is_called
}

/// The comment lines at the head of a file, without their dashes.
pub(super) fn head_comment(text: &str) -> String {
    let lines = text.lines().map(str::trim).take_while(|line| line.starts_with("--"));
    lines.map(|line| line.trim_start_matches('-').trim()).collect::<Vec<_>>().join(" ")
}

/// What was joined would be another value at each run, which nobody could prove.
const JOIN_REMEDY: &str = "look the other table's column up in the topic's table, where it is archived with each row: column TYPE \
    GENERATED ALWAYS AS (lookup('table', key, 'column')) STORED; or join when reading, in a view or an endpoint";

/// The topic, as it is written; from here on the query names it without its domain.
pub(super) fn topic_of(select: &mut Select, position: &Position) -> Result<(String, Position), Diagnostic> {
    let remedy = "read one topic; join its rows with other tables when reading, in a view or an endpoint";
    if select.distinct.is_some() {
        return Err(position.error("SELECT DISTINCT cannot be used in a metric", "group by the columns instead".into()));
    }
    let [from] = select.from.as_mut_slice() else {
        let at = select.from.get(1).map_or_else(|| position.clone(), |second| position.at(second.span()));
        return Err(at.error("a metric reads exactly one topic", remedy.into()));
    };
    if let Some(join) = from.joins.first() {
        return Err(position.at(join.relation.span()).error("a metric cannot join", JOIN_REMEDY.into()));
    }
    let TableFactor::Table { name, .. } = &mut from.relation else {
        return Err(position.at(from.relation.span()).error("a metric reads a topic, not a subquery", remedy.into()));
    };
    let at = position.at(name.span());
    let domain = match name.0.as_slice() {
        [ObjectNamePart::Identifier(domain), _] => Some(ident_text(domain)),
        _ => None,
    };
    if domain.is_some() {
        name.0.remove(0);
    }
    let topic = simple_name(name, &at)?;
    Ok((domain.map_or_else(|| topic.clone(), |domain| format!("{domain}.{topic}")), at))
}

/// Replaces `tumble(...) AS janela` and the grouping by it with the pane column; of sessions, the
/// keys come with the window.
fn take_window(
    select: &mut Select,
    position: &Position,
    errors: &mut Options,
) -> Result<(Window, Vec<String>), Diagnostic> {
    let missing = || {
        position.error(
            "a metric needs exactly one window",
            "start the SELECT with tumble(INTERVAL '1 minute') AS janela, hop(INTERVAL '1 minute', INTERVAL '5 minutes') AS janela, or session(INTERVAL '30 minutes', key) AS janela".into(),
        )
    };
    let (mut window, mut keys) = (None, Vec::new());
    for item in &mut select.projection {
        refuse_own_ends(item, position)?;
        let (expr, alias) = match item {
            SelectItem::ExprWithAlias { expr, alias } => (expr, Some(alias)),
            SelectItem::UnnamedExpr(expr) => (expr, None),
            SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..) | SelectItem::ExprWithAliases { .. } => {
                return Err(position.at(item.span()).error("a metric names its columns", "list them".into()));
            }
        };
        let Expr::Function(function) = &*expr else { continue };
        let at = position.at(expr.span());
        let found = match window_of(function, &at) {
            Ok(Some(found)) => found,
            Ok(None) => continue,
            Err(error) => {
                if session::is(function) {
                    errors.gather(|_| session::keys(function, &at));
                }
                return Err(error);
            }
        };
        if !alias.is_some_and(|alias| is_window_alias(alias)) {
            return Err(at.error("the window is not called janela", format!("write {expr} AS janela")));
        }
        if found.session_gap_micros().is_some() {
            keys = session::keys(function, &at)?;
        }
        if window.replace((found, expr.to_string())).is_some() {
            return Err(at.error("a metric has one window", "remove this one".into()));
        }
        *item = SelectItem::ExprWithAlias { expr: pane(), alias: Ident::new(WINDOW_START_COLUMN) };
    }
    let (window, call) = window.ok_or_else(missing)?;
    group_by_pane(select, &call, &keys, position)?;
    refuse_leftovers(select, position)?;
    Ok((window, keys))
}

/// Both ends of the window have columns, which no other column may be called like.
fn refuse_own_ends(item: &SelectItem, position: &Position) -> Result<(), Diagnostic> {
    let name = match item {
        SelectItem::ExprWithAlias { alias, .. } => ident_text(alias),
        SelectItem::UnnamedExpr(Expr::Identifier(ident)) => ident_text(ident),
        _ => return Ok(()),
    };
    if ![WINDOW_START_COLUMN, WINDOW_END_COLUMN].contains(&name.as_str()) {
        return Ok(());
    }
    Err(position.at(item.span()).error(
        format!("a metric has a column {name} already: {WINDOW_ALIAS} stands for both ends of the window"),
        "give this column another name, or leave it out".into(),
    ))
}

/// Groups by the pane column where the statement groups by `janela` or by the call itself.
fn group_by_pane(select: &mut Select, call: &str, keys: &[String], position: &Position) -> Result<(), Diagnostic> {
    let GroupByExpr::Expressions(groups, modifiers) = &mut select.group_by else {
        return Err(position.error("GROUP BY ALL is not supported", "name the columns to group by".into()));
    };
    if !modifiers.is_empty() {
        return Err(position.error("grouping sets cannot be used in a metric", "write one metric for each".into()));
    }
    let mut groups = std::mem::take(groups);
    let mut grouped = false;
    for group in groups.iter_mut() {
        let is_window = match &*group {
            Expr::Identifier(ident) => is_window_alias(ident),
            other => other.to_string() == call,
        };
        if let Expr::Rollup(_) | Expr::Cube(_) | Expr::GroupingSets(_) = group {
            return Err(position.error("grouping sets cannot be used in a metric", "write one metric for each".into()));
        }
        if is_window {
            *group = pane();
            grouped = true;
        }
    }
    if !grouped {
        return Err(position.error("the metric is not grouped by its window", "add GROUP BY janela".into()));
    }
    if !keys.is_empty() {
        session::add_last(select, &mut groups, keys, position)?;
    }
    select.group_by = GroupByExpr::Expressions(groups, Vec::new());
    Ok(())
}

/// After the rewriting, no window call and no `janela` may be left anywhere.
fn refuse_leftovers(select: &mut Select, position: &Position) -> Result<(), Diagnostic> {
    expressions::change(select, &mut |expr| {
        let at = position.at(expr.span());
        match expr {
            Expr::Function(function) if matches!(window_of(function, &at), Ok(Some(_)) | Err(_)) => {
                Err(at.error("the window is used elsewhere", "use it in the SELECT only".into()))
            }
            Expr::Identifier(ident) if is_window_alias(ident) => Err(at.error(
                "janela is not a column of the topic",
                "use it in the SELECT's head, in GROUP BY and in ORDER BY only".into(),
            )),
            Expr::Subquery(_) | Expr::InSubquery { .. } | Expr::Exists { .. } => {
                Err(at.error("a metric cannot hold a subquery", "filter by plain expressions".into()))
            }
            _ => Ok(()),
        }
    })
}

fn is_window_alias(ident: &Ident) -> bool {
    ident.value.eq_ignore_ascii_case(WINDOW_ALIAS)
}

fn pane() -> Expr {
    Expr::Identifier(Ident::with_span(Span::empty(), PANE_COLUMN))
}
