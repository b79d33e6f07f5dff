//! `CREATE VIEW name WITH (profile_for = 'table') AS SELECT ... FROM arquivo`: how the files of one
//! program become rows of a table.
//!
//! `arquivo` is the file as it stands: a column of text for each of its headings, blank cells null,
//! with the line (`linha`) and the sheet (`planilha`) of each row. A quoted name is a heading of
//! the file; a file is recognised by having all of them, but for those that stand within
//! `optional("...")`, which is null where the file has no such column. Several views may make one
//! profile (`profile = 'name'`), one for each table that its files have rows of.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    CastKind, DataType, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, Ident, Query, Select,
    SelectItem, SetExpr, TableFactor, Value,
};

use super::options::{Options, Read};
use super::{Diagnostic, Position, expressions};

/// The file, in a profile's query.
pub const FILE_TABLE: &str = "arquivo";
/// The file's line, and its sheet if it has any, among that table's columns.
pub const LINE_COLUMN: &str = "linha";
/// The sheet of a row, if its file has any.
pub const SHEET_COLUMN: &str = "planilha";

/// Its name in SQL, for a heading that a file need not have.
const OPTIONAL: &str = "optional";

/// One view of a profile: the rows that the files of a program have for one table.
#[derive(Debug, Clone)]
pub struct Profile {
    /// The view's own name.
    pub name: String,
    /// What `--profile` calls it, and the views that belong to it.
    pub profile: String,
    /// What its rows are imported into.
    pub table: String,
    /// Headings that a file must have, as the query writes them.
    pub headings: Vec<String>,
    /// Headings that a file may lack.
    pub optional: Vec<String>,
    /// Whether a line of an order is the same whatever its amounts: the program's later exports
    /// change them.
    pub is_by_item: bool,
    /// How the program writes dates and numbers, if it says nothing of it itself: values of
    /// `--dates` and `--numbers`.
    pub dates: Option<String>,
    /// The same of its numbers.
    pub numbers: Option<String>,
    /// Headings of the states of rows, by which those that are left out are counted for people.
    pub status: Vec<String>,
    /// States of rows that count though something is to be known of them.
    pub status_noted: Vec<String>,
    /// What that is, in words.
    pub status_note: Option<String>,
    /// What makes rows of the table out of those of the file.
    pub query: Box<Query>,
    /// Where it is declared.
    pub source: Position,
}

impl Profile {
    pub(super) fn read(name: String, mut query: Box<Query>, mut options: Options, position: &Position) -> Read<Self> {
        let mut text = |key: &str, known: &[&str]| {
            options.gather(|options| match options.take_text(key)? {
                Some((text, at)) if !known.is_empty() && !known.contains(&text.as_str()) => {
                    Err(at.error(format!("{key} = '{text}' is not known"), format!("use one of {}", known.join(", "))))
                }
                found => Ok(found.map(|(text, _)| text)),
            })
        };
        let table = text("profile_for", &[]).unwrap_or_default();
        let profile = text("profile", &[]).unwrap_or_else(|| name.clone());
        let dates = text("dates", &["dmy", "mdy", "ymd"]);
        let numbers = text("numbers", &["plain", "brazilian"]);
        let is_by_item = text("identity", &["item", "amounts"]).as_deref() == Some("item");
        let mut list = |key: &str| -> Vec<String> {
            let texts = text(key, &[]).unwrap_or_default();
            texts.split(',').map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
        };
        let (status, status_noted) = (list("status"), list("status_noted"));
        let status_note = text("status_note", &[]);
        let rows = Self::rows(&name, &mut query, position);
        let source = position.clone();
        options.finish(rows.map(|(headings, optional)| Self {
            name,
            profile,
            table,
            headings,
            optional,
            is_by_item,
            dates,
            numbers,
            status,
            status_noted,
            status_note,
            query,
            source,
        }))
    }

    /// The headings that its query names; each of its rows keeps the line that it is of.
    fn rows(name: &str, query: &mut Query, position: &Position) -> Result<(Vec<String>, Vec<String>), Diagnostic> {
        let (headings, optional) = headings(query);
        if headings.is_empty() {
            return Err(position.error(
                format!("profile {name} names no heading of a file"),
                "write the file's headings in double quotes, such as \"Order Number\"".into(),
            ));
        }
        if !keep_rows(query) {
            return Err(position.error(
                format!("profile {name} merges rows of the file, so none can be traced to its line"),
                format!("select from {FILE_TABLE} without GROUP BY, DISTINCT or joins; window functions keep the rows"),
            ));
        }
        Ok((headings, optional))
    }

    /// The query over a file with these headings: each quoted name becomes the heading that is
    /// alike by `alike`, and a missing optional one null. An error names the first that is missing.
    pub fn over(&self, headings: &[String], alike: impl Fn(&str) -> String) -> Result<Query, MissingHeading> {
        let mut query = (*self.query).clone();
        rename(&mut query, headings, &alike, false)?;
        Ok(query)
    }

    /// The same without any condition: what it would give of the rows that it leaves out.
    pub fn over_all(&self, headings: &[String], alike: impl Fn(&str) -> String) -> Result<Query, MissingHeading> {
        let mut query = self.over(headings, alike)?;
        for table in query.with.iter_mut().flat_map(|with| &mut with.cte_tables) {
            drop_conditions(&mut table.query.body);
        }
        drop_conditions(&mut query.body);
        Ok(query)
    }
}

fn drop_conditions(body: &mut SetExpr) {
    match body {
        SetExpr::Select(select) => {
            (select.selection, select.qualify) = (None, None);
            for from in &mut select.from {
                if let TableFactor::Derived { subquery, .. } = &mut from.relation {
                    drop_conditions(&mut subquery.body);
                }
            }
        }
        SetExpr::Query(query) => drop_conditions(&mut query.body),
        SetExpr::SetOperation { left, right, .. } => {
            drop_conditions(left);
            drop_conditions(right);
        }
        _ => {}
    }
}

/// A file has no column of this name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingHeading(pub String);

/// `SELECT * FROM arquivo WHERE condition`, the condition naming the file's headings in quotes or,
/// where that can be, without.
pub fn rows_where(query: &Query, headings: &[String], alike: impl Fn(&str) -> String) -> Result<Query, MissingHeading> {
    let mut query = query.clone();
    rename(&mut query, headings, &alike, true)?;
    Ok(query)
}

fn rename(
    query: &mut Query,
    headings: &[String],
    alike: &dyn Fn(&str) -> String,
    also_unquoted: bool,
) -> Result<(), MissingHeading> {
    let known: BTreeMap<String, &String> = headings.iter().rev().map(|heading| (alike(heading), heading)).collect();
    let named = |ident: &mut Ident| {
        let is_quoted = ident.quote_style == Some('"');
        let own = [LINE_COLUMN, SHEET_COLUMN].contains(&ident.value.as_str());
        if !is_quoted && (!also_unquoted || own) {
            return;
        }
        let same = headings.iter().find(|heading| **heading == ident.value);
        match same.or_else(|| known.get(&alike(&ident.value)).copied()) {
            Some(heading) => *ident = Ident::with_quote('"', heading.clone()),
            None if is_quoted => ident.quote_style = Some(MISSING),
            None => {}
        }
    };
    // An argument is changed before the call that it is in.
    let changed = expressions::change(query, &mut |expr| {
        match expr {
            Expr::Identifier(ident) => named(ident),
            Expr::CompoundIdentifier(parts) => parts.last_mut().into_iter().for_each(named),
            call => {
                if let Some(argument) = optional_argument(call).cloned() {
                    *call = if missing(&argument).is_some() { null_text() } else { argument };
                }
            }
        }
        Ok(())
    });
    debug_assert!(changed.is_ok(), "no change of a name fails");
    let mut absent = None;
    expressions::look(query, &mut |expr| match missing(expr) {
        Some(name) => {
            absent = Some(MissingHeading(name.to_owned()));
            ControlFlow::Break(())
        }
        None => ControlFlow::Continue(()),
    });
    absent.map_or(Ok(()), Err)
}

/// Marks an identifier whose heading the file does not have. No dialect quotes by it.
const MISSING: char = '\u{1}';

fn missing(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Identifier(ident) if ident.quote_style == Some(MISSING) => Some(&ident.value),
        Expr::CompoundIdentifier(parts) => {
            parts.last().filter(|ident| ident.quote_style == Some(MISSING)).map(|ident| ident.value.as_str())
        }
        _ => None,
    }
}

fn null_text() -> Expr {
    Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(Expr::Value(Value::Null.into())),
        data_type: DataType::Varchar(None),
        array: false,
        format: None,
    }
}

fn optional_argument(expr: &Expr) -> Option<&Expr> {
    let Expr::Function(function) = expr else { return None };
    if !function.name.to_string().eq_ignore_ascii_case(OPTIONAL) {
        return None;
    }
    let FunctionArguments::List(list) = &function.args else { return None };
    match list.args.as_slice() {
        [FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))] => Some(argument),
        _ => None,
    }
}

fn heading(expr: &Expr) -> Option<&str> {
    let ident = match expr {
        Expr::Identifier(ident) => ident,
        Expr::CompoundIdentifier(parts) => parts.last()?,
        _ => return None,
    };
    (ident.quote_style == Some('"')).then_some(ident.value.as_str())
}

/// Quoted names that stand outside of `optional`, each once, and those that stand only within.
fn headings(query: &Query) -> (Vec<String>, Vec<String>) {
    let mut count = BTreeMap::<String, i64>::new();
    let mut order = Vec::new();
    expressions::look(query, &mut |expr| {
        if let Some(name) = heading(expr) {
            *count.entry(name.to_owned()).or_default() += 1;
            order.push(name.to_owned());
        }
        if let Some(name) = optional_argument(expr).and_then(heading) {
            *count.entry(name.to_owned()).or_default() -= 1;
        }
        ControlFlow::Continue(())
    });
    let (mut needed, mut optional) = (Vec::new(), Vec::new());
    for name in order {
        let names = if count[&name] > 0 { &mut needed } else { &mut optional };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    (needed, optional)
}

/// Adds the row's line and sheet to what is selected, everywhere between the file and the query's
/// end; false where that cannot be.
fn keep_rows(query: &mut Query) -> bool {
    let mut carrying = vec![FILE_TABLE.to_owned()];
    if let Some(with) = &mut query.with {
        for table in &mut with.cte_tables {
            if keep_rows_in(&mut table.query.body, &carrying) {
                carrying.push(table.alias.name.value.clone());
            }
        }
    }
    keep_rows_in(&mut query.body, &carrying)
}

fn keep_rows_in(body: &mut SetExpr, carrying: &[String]) -> bool {
    match body {
        SetExpr::Select(select) => keep_rows_of(select, carrying),
        SetExpr::Query(query) => keep_rows_in(&mut query.body, carrying),
        SetExpr::SetOperation { left, right, .. } => keep_rows_in(left, carrying) && keep_rows_in(right, carrying),
        _ => false,
    }
}

fn keep_rows_of(select: &mut Select, carrying: &[String]) -> bool {
    let grouped = !matches!(&select.group_by, GroupByExpr::Expressions(by, _) if by.is_empty());
    let [from] = select.from.as_mut_slice() else { return false };
    if grouped || select.distinct.is_some() || select.having.is_some() || !from.joins.is_empty() {
        return false;
    }
    let carries = match &mut from.relation {
        TableFactor::Table { name, .. } => carrying.iter().any(|table| name.to_string().eq_ignore_ascii_case(table)),
        TableFactor::Derived { subquery, .. } => keep_rows_in(&mut subquery.body, carrying),
        _ => false,
    };
    let all = |item: &SelectItem| matches!(item, SelectItem::Wildcard(_));
    if carries && !select.projection.iter().any(all) {
        for column in [LINE_COLUMN, SHEET_COLUMN] {
            let item = SelectItem::UnnamedExpr(Expr::Identifier(Ident::new(column)));
            if !select.projection.contains(&item) {
                select.projection.push(item);
            }
        }
    }
    carries
}

#[cfg(test)]
mod tests;
