//! A query of a client, in the SQL of the engine, and the tables that it names.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::common::TableReference;
use datafusion::sql::parser::Statement as EngineStatement;
use datafusion::sql::resolve::resolve_table_references;
use datafusion::sql::sqlparser::ast::{
    Expr, Ident, ObjectName, ObjectNamePart, Query, SetExpr, Statement, TableFactor, Visit, VisitMut, Visitor,
    VisitorMut,
};
use datafusion_postgres::datafusion_pg_catalog::pg_catalog::PG_CATALOG_TABLES;
use datafusion_postgres::datafusion_pg_catalog::sql::PostgresCompatibilityParser;
use datafusion_postgres::datafusion_pg_catalog::sql::rules::{
    CurrentUserVariableToSessionUserFunctionCall, FixArrayLiteral, FixVersionColumnName, PrependUnqualifiedPgTableName,
    RewriteArrayAnyAllOperation, RewritePgCatalogOperator, RewriteRegCastToSubquery, SqlStatementRewriteRule,
    StripCallableQualifier, StripCollate,
};
use datafusion_postgres::pgwire::error::PgWireError;
use vitral_catalog::names::INFORMATION_SCHEMA;

use super::fitted::{expression, fit, plain_escapes};
use super::lists::spell_out;
use super::wording::reword;
use crate::column_names::ColumnNames;
use crate::error::{code, fault, read_only};
use crate::listing::{DATABASE, PG_CATALOG, added_tables};

/// Functions whose answers are of who asks, besides tables.
const OF_A_PRINCIPAL: [&str; 11] = [
    "col_description",
    "current_role",
    "current_user",
    "obj_description",
    "pg_cancel_backend",
    "regclass",
    "regtype",
    "session_user",
    "to_regclass",
    "to_regtype",
    "user",
];
/// The number of the connection that asks.
const OWN_PID: &str = "pg_backend_pid";
/// It makes rows of a list, and looks like a table.
const UNNEST: &str = "unnest";

/// A query that is ready to be planned.
#[derive(Debug, Clone)]
pub(crate) struct ReadQuery {
    pub query: Box<Query>,
    /// As the client has sent it, for the places of errors.
    pub text: String,
    /// All tables and table functions that it names.
    pub tables: Vec<TableReference>,
    /// What its columns are called.
    pub names: ColumnNames,
}

impl ReadQuery {
    /// Says a query in the engine's SQL. What only looks at `pg_catalog` and `information_schema`
    /// is made to fit by all means. Of what reads rows nothing is changed but how it is written:
    /// some of those means leave out what the engine does not know.
    pub(super) fn new(
        query: Box<Query>,
        text: &str,
        compatible: &PostgresCompatibilityParser,
    ) -> Result<Self, PgWireError> {
        let names = ColumnNames::of(&query);
        let mut statement = Statement::Query(query);
        if let ControlFlow::Break(error) = Visit::visit(&statement, &mut Refusals) {
            return Err(error);
        }
        // It breaks off nowhere.
        let _ = VisitMut::visit(&mut statement, &mut WithoutDatabase);
        plain_escapes(&mut statement);
        spell_out(&mut statement);
        statement = PrependUnqualifiedPgTableName.rewrite(statement);
        let (tables, mut functions) = (tables(&statement)?, Functions::default());
        // It breaks off nowhere.
        let _ = Visit::visit(&statement, &mut functions);
        let is_around = |table: &TableReference| is_of_catalog(table) || functions.0.contains(table.table());
        if tables.iter().any(is_of_catalog) && tables.iter().all(is_around) {
            let parsed = compatible.parse(&with_schemas(text)).ok().filter(|statements| statements.len() == 1);
            if let Some(Statement::Query(fitted)) = parsed.and_then(|mut statements| statements.pop()) {
                statement = Statement::Query(fitted);
                let _ = VisitMut::visit(&mut statement, &mut WithoutDatabase);
                plain_escapes(&mut statement);
                spell_out(&mut statement);
                reword(&mut statement);
                fit(&mut statement);
                return Self::of(statement, text, names);
            }
        }
        let rules: [&dyn SqlStatementRewriteRule; 8] = [
            &RewriteArrayAnyAllOperation,
            &StripCallableQualifier,
            &FixArrayLiteral,
            &CurrentUserVariableToSessionUserFunctionCall,
            &StripCollate,
            &RewritePgCatalogOperator,
            &RewriteRegCastToSubquery::new(),
            &FixVersionColumnName,
        ];
        statement = rules.iter().fold(statement, |statement, rule| rule.rewrite(statement));
        reword(&mut statement);
        Self::of(statement, text, names)
    }

    fn of(statement: Statement, text: &str, names: ColumnNames) -> Result<Self, PgWireError> {
        let mut functions = Functions::default();
        // It breaks off nowhere.
        let _ = Visit::visit(&statement, &mut functions);
        let mut tables = tables(&statement)?;
        tables.retain(|table| table.table() != UNNEST || !functions.0.contains(UNNEST));
        match statement {
            Statement::Query(query) => Ok(Self { query, text: text.to_owned(), tables, names }),
            other => Err(fault(code::NOT_SUPPORTED, format!("{other} is not a query"), "")),
        }
    }
}

impl ReadQuery {
    /// Whether it looks at the catalogs, by a table or by a function.
    pub(crate) fn looks_around(&self) -> bool {
        let text = self.text.to_lowercase();
        let mut words = text.split(|sign: char| !sign.is_alphanumeric() && sign != '_');
        self.tables.iter().any(is_of_catalog) || words.any(|word| OF_A_PRINCIPAL.contains(&word))
    }

    /// The query as one connection asks it.
    pub(crate) fn of_connection(&self, pid: i32) -> Cow<'_, Query> {
        if !self.text.to_lowercase().contains(OWN_PID) {
            return Cow::Borrowed(self.query.as_ref());
        }
        let mut query = self.query.as_ref().clone();
        // It breaks off nowhere.
        let _ = VisitMut::visit(&mut query, &mut OwnPid(pid));
        Cow::Owned(query)
    }
}

/// Whether a table tells of others, and has no rows of its own.
pub(crate) fn is_of_catalog(table: &TableReference) -> bool {
    match table.schema() {
        Some(schema) => matches!(schema, PG_CATALOG | INFORMATION_SCHEMA),
        None => {
            let name = table.table();
            let is_added = added_tables().any(|known| known == name);
            PG_CATALOG_TABLES.contains(&name) || is_added || name == "pg_get_keywords"
        }
    }
}

fn tables(statement: &Statement) -> Result<Vec<TableReference>, PgWireError> {
    let statement = EngineStatement::Statement(Box::new(statement.clone()));
    let found = resolve_table_references(&statement, true);
    Ok(found.map_err(|error| crate::error::of_engine(&error, ""))?.0)
}

/// Finds statements within a query that change something, and what the engine would pass over.
struct Refusals;

impl Visitor for Refusals {
    type Break = PgWireError;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<PgWireError> {
        let verb = match query.body.as_ref() {
            SetExpr::Insert(_) => "INSERT",
            SetExpr::Update(_) => "UPDATE",
            SetExpr::Delete(_) => "DELETE",
            SetExpr::Merge(_) => "MERGE",
            SetExpr::Select(select) if select.into.is_some() => "SELECT INTO",
            _ => return ControlFlow::Continue(()),
        };
        ControlFlow::Break(read_only(verb))
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<PgWireError> {
        if !matches!(factor, TableFactor::Table { sample: Some(_), .. }) {
            return ControlFlow::Continue(());
        }
        let remedy = "choose rows by a condition: WHERE random() < 0.01";
        ControlFlow::Break(fault(code::NOT_SUPPORTED, "TABLESAMPLE is not supported", remedy))
    }
}

/// `'pg_class'::regclass` with its schema, as names without one are looked for in `public` alone;
/// functions are found without theirs.
fn with_schemas(text: &str) -> String {
    let mut text = text.replace("'pg_catalog.array_in'::regproc", "'array_in'::regproc");
    for table in PG_CATALOG_TABLES {
        for cast in ["::regclass", "::REGCLASS", "::pg_catalog.regclass"] {
            text = text.replace(&format!("'{table}'{cast}"), &format!("'{PG_CATALOG}.{table}'{cast}"));
        }
    }
    text
}

/// The names of functions that are read as tables.
#[derive(Default)]
struct Functions(HashSet<String>);

impl Visitor for Functions {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { name, args: Some(_), .. } | TableFactor::Function { name, .. } = factor {
            let name = name.0.last().and_then(ObjectNamePart::as_ident);
            self.0.extend(name.map(|name| name.value.to_lowercase()));
        }
        ControlFlow::Continue(())
    }
}

fn is_own_pid(name: &Ident) -> bool {
    name.value.eq_ignore_ascii_case(OWN_PID)
}

/// Puts a connection's number where it is asked for.
struct OwnPid(i32);

impl VisitorMut for OwnPid {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Function(function) = expr
            && function.name.0.last().and_then(ObjectNamePart::as_ident).is_some_and(is_own_pid)
            && let Some(number) = expression(&format!("CAST({} AS INT)", self.0))
        {
            *expr = number;
        }
        ControlFlow::Continue(())
    }
}

/// Takes the name of this database from the names of tables.
struct WithoutDatabase;

impl VisitorMut for WithoutDatabase {
    type Break = ();

    fn pre_visit_relation(&mut self, relation: &mut ObjectName) -> ControlFlow<()> {
        let is_ours = |part: &ObjectNamePart| part.as_ident().is_some_and(|ident: &Ident| ident.value == DATABASE);
        if relation.0.len() == 3 && is_ours(&relation.0[0]) {
            relation.0.remove(0);
        }
        ControlFlow::Continue(())
    }
}
