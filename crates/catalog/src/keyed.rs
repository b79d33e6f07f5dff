//! `CREATE MATERIALIZED VIEW name AS SELECT key, aggregate ... GROUP BY key`, without a window: a
//! table that is kept up to date forever, one row for each key.
//!
//! The statement is taken apart into keys and aggregates. [`KeyedView::partial`] puts them together
//! again as one that gives, for rows of any part of history, states of plain SQL values; states of
//! several parts merge into one.

mod changes;
mod one_row;
mod rollup;
mod statement;

pub use self::changes::{LAST_TOMBSTONE, PLACE_COLUMN, STATE_ORDER_COLUMN, TOMBSTONE_COLUMN};
pub use self::rollup::Rollup;
use std::collections::BTreeSet;
use std::fmt::Write as _;

use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, Query, Select, SelectItem, SetExpr,
    Spanned, Value,
};
use sha2::{Digest, Sha256};

use super::metric::{called_functions, head_comment, refuse_extras, shows_group, topic_of};
use super::options::{Options, Read};
use super::syntax::ident_text;
use super::{Diagnostic, DomainSettings, Position};
use crate::position::InFile;

/// The column that says when a key's last row came; the last of every such table.
pub const UPDATED_COLUMN: &str = "atualizado";
/// Before the name of a state's column: the place in order of the value in it.
pub const ORDER_PREFIX: &str = "_ordem_";
/// The place of a row in the order of all rows: event time, generation of the log, partition,
/// offset.
pub const ROW_ORDER_COLUMN: &str = "_ordem";

/// A materialised view without a window, its statement taken apart.
#[derive(Debug, Clone)]
pub struct KeyedView {
    /// Its table, its folder and its path in the API.
    pub name: String,
    /// The comment at the head of its file: what it means.
    pub description: String,
    /// The topic it reads, by its table name.
    pub topic: String,
    /// Where the topic is named.
    pub topic_position: Position,
    /// The columns that a row is known by, in the order of the SELECT.
    pub keys: Vec<String>,
    /// The other columns, in the order of the SELECT.
    pub columns: Vec<KeyedColumn>,
    /// Where it is declared.
    pub position: Position,
    /// Whether it is a topic with a primary key, whose messages replace and delete rows.
    pub is_of_changes: bool,
    /// Of such a topic, whether a message without a value makes its key new: rows before it do not
    /// count, whatever their order.
    pub is_new_after_tombstone: bool,
    /// How readers may sum it up over ranges of time, if they may.
    pub rollup: Option<Rollup>,
    /// The expressions of the keys, in their order.
    key_expressions: Vec<Expr>,
    select: Box<Select>,
    text: String,
    /// Of a topic with a primary key, what its rows are apart from its columns: its keys, and which
    /// message of a key is the newest.
    lineage: Option<String>,
}

/// A column that is not a key.
#[derive(Debug, Clone)]
pub struct KeyedColumn {
    /// Its name.
    pub name: String,
    /// How states of it merge.
    pub merge: Merge,
    call: Function,
}

/// What a SELECT consists of.
struct Columns {
    keys: Vec<String>,
    /// Of the keys, in their order.
    expressions: Vec<Expr>,
    others: Vec<KeyedColumn>,
}

/// How states of a column merge, and what becomes of the merged one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Merge {
    /// The value of the newest row that has one.
    Latest,
    /// The value of the oldest row that has one.
    Earliest,
    /// By an aggregate of this name, which takes its own results.
    By(&'static str),
    /// Counts, which are summed up.
    Counts,
    /// The values themselves, each once; they are counted when the table is read.
    Distinct,
    /// The value of the newest row, whether it has one or not.
    Newest,
    /// The rows since the newest one at which the sum begins again; they are summed up when the
    /// table is read.
    Since,
}

impl KeyedView {
    pub(super) fn read(
        name: String,
        query: Query,
        mut options: Options,
        file_text: &str,
        position: &Position,
    ) -> Read<Self> {
        let read = Self::read_query(name, query, file_text, position).and_then(|mut view| {
            view.rollup = view.read_rollup(&mut options)?;
            Ok(view)
        });
        options.finish(read)
    }

    fn read_query(name: String, query: Query, file_text: &str, position: &Position) -> Result<Self, Diagnostic> {
        let text = query.to_string();
        let in_view = "keep the rows as they are, and order and limit them in a view or an endpoint over the table";
        if query.order_by.is_some() || query.limit_clause.is_some() {
            return Err(position.error("ORDER BY and LIMIT cannot be used in a table that is kept", in_view.into()));
        }
        refuse_extras(&query, position)?;
        let SetExpr::Select(mut select) = *query.body else {
            let remedy = "write SELECT key, aggregate FROM topic GROUP BY key";
            return Err(position.error("a table that is kept is one SELECT", remedy.into()));
        };
        let (topic, topic_position) = topic_of(&mut select, position)?;
        if let Some(having) = select.having.take() {
            let remedy = "leave it out, and write WHERE in a view or an endpoint over the table";
            return Err(position
                .at(having.span())
                .error("HAVING cannot be used in a table that is kept", remedy.into()));
        }
        let Columns { keys, expressions, others } = take_columns(&select, position)?;
        let view = Self {
            name,
            description: head_comment(file_text),
            topic,
            topic_position,
            keys,
            columns: others,
            position: position.clone(),
            is_of_changes: false,
            is_new_after_tombstone: false,
            rollup: None,
            key_expressions: expressions,
            select,
            text,
            lineage: None,
        };
        view.check_names()?;
        Ok(view)
    }

    /// The name of the column of its states that holds the place in order of a column's value,
    /// where it has one.
    pub fn order_column(column: &KeyedColumn) -> Option<String> {
        matches!(column.merge, Merge::Latest | Merge::Earliest).then(|| format!("{ORDER_PREFIX}{}", column.name))
    }

    /// Whether every row is made of those rows of the topic, and of no others, that have the row's
    /// own value in this column.
    pub fn is_partitioned_by(&self, column: &str) -> bool {
        self.keys.iter().any(|key| key == column) && shows_group(&self.select, column)
    }

    /// Identifies what it means, whatever the version of our functions: states of the same
    /// definition are of the same rows. A topic with a primary key means the same when it gains a
    /// column.
    pub fn definition_id(&self, settings: &DomainSettings) -> String {
        let text = self.lineage.as_deref().unwrap_or(&self.text);
        hash([text, settings.time_zone.name()])
    }

    /// Identifies what it computes: its definition, the versions of our own functions which it
    /// calls, and the types of its states, as `types` spells them. Its states are plain values, so
    /// a new version of the engine changes nothing. Of a topic with a primary key a new column is
    /// not part of it: rows have null in it until they come again.
    pub fn version(&self, settings: &DomainSettings, types: &str) -> String {
        let zone = settings.time_zone.name();
        if let Some(lineage) = &self.lineage {
            return hash([lineage.as_str(), zone, "estados"]);
        }
        let functions = called_functions(&self.select);
        hash([self.text.as_str(), zone, functions.as_str(), types].into_iter().filter(|part| !part.is_empty()))
    }

    /// The same as programs named it that knew no types and took a new column for another table.
    pub fn untyped_version(&self, settings: &DomainSettings) -> String {
        let functions = called_functions(&self.select);
        let parts = [self.text.as_str(), settings.time_zone.name(), functions.as_str()];
        hash(parts.into_iter().filter(|part| !part.is_empty()))
    }

    /// What such programs called the meaning of a statement that has the same rows as this one,
    /// perhaps with fewer columns; none of another. Only topics with a primary key have such.
    pub fn earlier_definition_id(&self, definition: &str, settings: &DomainSettings) -> Option<String> {
        self.lineage.as_ref()?;
        let text = definition.strip_prefix(&self.declaration())?.trim_end().strip_suffix(';')?;
        let source = |text: &str| text.rfind(" FROM ").map(|at| text[at..].to_owned());
        (source(text) == source(&self.text)).then(|| hash([text, settings.time_zone.name()]))
    }

    /// The statement that declares it.
    pub fn definition(&self) -> String {
        format!("{}{};\n", self.declaration(), self.text)
    }

    fn declaration(&self) -> String {
        format!("CREATE MATERIALIZED VIEW {} AS ", self.name)
    }

    fn check_names(&self) -> Result<(), Diagnostic> {
        let mut known = BTreeSet::new();
        for name in self.keys.iter().chain(self.columns.iter().map(|column| &column.name)) {
            let wrong = if name.starts_with('_') {
                Some("starts with an underscore, as the engine's own columns do")
            } else if name == UPDATED_COLUMN {
                Some("is the column of every such table that says when a key's last row arrived")
            } else if !known.insert(name) {
                Some("occurs twice")
            } else {
                None
            };
            if let Some(wrong) = wrong {
                return Err(self.position.error(
                    format!("table {}: the column {name} {wrong}", self.name),
                    "give it another name, with AS".into(),
                ));
            }
        }
        Ok(())
    }
}

fn hash<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    hash.finalize().iter().take(6).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Names and expressions of the keys, and the aggregates.
fn take_columns(select: &Select, position: &Position) -> Result<Columns, Diagnostic> {
    let GroupByExpr::Expressions(groups, modifiers) = &select.group_by else {
        return Err(position.error("GROUP BY ALL is not supported", "name the columns to group by".into()));
    };
    let is_set = |group: &Expr| matches!(group, Expr::Rollup(_) | Expr::Cube(_) | Expr::GroupingSets(_));
    if !modifiers.is_empty() || groups.iter().any(is_set) {
        return Err(position.error("grouping sets cannot be used here", "write one table for each".into()));
    }
    if groups.is_empty() {
        return Err(position.error(
            "a materialised view needs a window or a key",
            "start the SELECT with tumble(INTERVAL '1 minute') AS janela and group by it; or, for a table with one row for each key, add \
             GROUP BY and the key"
                .into(),
        ));
    }
    let (mut keys, mut expressions, mut columns) = (Vec::new(), Vec::new(), Vec::new());
    for (index, item) in select.projection.iter().enumerate() {
        let (expr, alias) = match item {
            SelectItem::ExprWithAlias { expr, alias } => (expr, Some(ident_text(alias))),
            SelectItem::UnnamedExpr(expr @ Expr::Identifier(ident)) => (expr, Some(ident_text(ident))),
            SelectItem::UnnamedExpr(expr) => (expr, None),
            _ => {
                return Err(position
                    .at(item.span())
                    .error("a table that is kept names its columns", "list them".into()));
            }
        };
        let at = position.at(expr.span());
        let name = alias.ok_or_else(|| at.error(format!("{expr} has no name"), format!("write {expr} AS name")))?;
        if groups.iter().any(|group| is_same(group, expr, &name, index)) {
            keys.push(name);
            expressions.push(expr.clone());
        } else {
            columns.push(aggregate(name, expr, &at)?);
        }
    }
    if keys.len() != groups.len() {
        return Err(position.error(
            "the SELECT does not list each grouping column exactly once",
            "a row is identified by its key: select every column of GROUP BY".into(),
        ));
    }
    Ok(Columns { keys, expressions, others: columns })
}

/// Whether an item of GROUP BY means this one of the SELECT: by its number, its name or its
/// expression.
fn is_same(group: &Expr, expr: &Expr, name: &str, index: usize) -> bool {
    match group {
        Expr::Value(value) => matches!(&value.value, Value::Number(number, _) if *number == (index + 1).to_string()),
        Expr::Identifier(ident) if ident_text(ident) == name => true,
        other => other.to_string() == expr.to_string(),
    }
}

fn aggregate(name: String, expr: &Expr, at: &Position) -> Result<KeyedColumn, Diagnostic> {
    const KNOWN: &str = "latest, earliest, count, count(DISTINCT ...), sum, sum_since, min, max, bool_and, bool_or, bit_and, bit_or or bit_xor";
    let not_one = || {
        at.error(
            format!("{expr} is neither a column of GROUP BY nor one aggregate"),
            format!("write one of {KNOWN}; compute with them in a view over the table"),
        )
    };
    let Expr::Function(call) = expr else { return Err(not_one()) };
    let is_distinct = match &call.args {
        FunctionArguments::List(list) => {
            if !list.clauses.is_empty() {
                return Err(at.error(format!("{expr} depends on the order of rows"), "leave ORDER BY out".into()));
            }
            list.duplicate_treatment.is_some_and(|treatment| treatment.to_string() == "DISTINCT")
        }
        _ => return Err(not_one()),
    };
    if call.over.is_some() || !call.within_group.is_empty() || call.null_treatment.is_some() {
        return Err(not_one());
    }
    let function = call.name.to_string().to_lowercase();
    let merge = match (function.as_str(), is_distinct) {
        ("latest", false) => Merge::Latest,
        ("earliest", false) => Merge::Earliest,
        ("count", false) => Merge::Counts,
        ("count", true) => Merge::Distinct,
        ("sum", false) => Merge::By("sum"),
        ("sum_since", false) => Merge::Since,
        ("min", _) => Merge::By("min"),
        ("max", _) => Merge::By("max"),
        ("bool_and", _) => Merge::By("bool_and"),
        ("bool_or", _) => Merge::By("bool_or"),
        ("bit_and", _) => Merge::By("bit_and"),
        ("bit_or", _) => Merge::By("bit_or"),
        ("bit_xor", false) => Merge::By("bit_xor"),
        ("avg" | "mean", _) => {
            let remedy = "keep a sum and a count, and divide them in a view over the table";
            return Err(at.error(format!("{function} cannot be kept up to date"), remedy.into()));
        }
        ("tumble" | "hop" | "session", _) => {
            let remedy = "call the window janela, and group by it";
            return Err(at.error(format!("the window {expr} is not grouped by"), remedy.into()));
        }
        _ => return Err(not_one()),
    };
    if matches!(merge, Merge::Latest | Merge::Earliest | Merge::Distinct) && argument(call).is_none() {
        let remedy = format!("write {function}(value): event time says which row is the newest");
        return Err(at.error(format!("{expr} does not have exactly one argument"), remedy));
    }
    if merge == Merge::Since && arguments(call).len() != 2 {
        let remedy =
            "write sum_since(value, condition): the rows behind the newest one for which the condition is true";
        return Err(at.error(format!("{expr} does not have exactly two arguments"), remedy.into()));
    }
    Ok(KeyedColumn { name, merge, call: call.clone() })
}

fn arguments(call: &Function) -> &[FunctionArg] {
    match &call.args {
        FunctionArguments::List(list) => &list.args,
        _ => &[],
    }
}

/// The only argument of a call.
fn argument(call: &Function) -> Option<&Expr> {
    let FunctionArguments::List(list) = &call.args else { return None };
    match list.args.as_slice() {
        [FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))] => Some(expr),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
