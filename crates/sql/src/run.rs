//! Statements, run.

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::ParamValues;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::scalar::ScalarValue;
use datafusion_postgres::pgwire::error::PgWireError;
use datafusion_postgres::pgwire::messages::response::TransactionStatus;
use futures::TryStreamExt;
use vitral_catalog::Position;
use vitral_query::{Planned, QueryError, Scopes};

use crate::answer::{Answer, Done, RowsAnswer, Source};
use crate::command::{Command, DISCARD_ALL, ReadQuery};
use crate::error::{code, fault, of_engine, of_query};
use crate::rows::Rows;
use crate::server::Server;
use crate::session::{Cursor, Session, busy_cursor, no_cursor};
use crate::settings::Change;

/// How `EXPLAIN` calls its column.
pub(crate) const PLAN_COLUMN: &str = "QUERY PLAN";
/// What `SHOW ALL` shows.
pub(crate) const SETTING_COLUMNS: [&str; 3] = ["name", "setting", "description"];

/// One statement of a connection.
pub(crate) struct Run<'a> {
    pub server: &'a Server,
    pub session: &'a Session,
    pub status: TransactionStatus,
    /// What its placeholders stand for.
    pub values: Vec<ScalarValue>,
    /// What the client has heard of its columns, if it has.
    pub described: Option<&'a Schema>,
}

impl Run<'_> {
    /// Whether it reads rows, for which it has to wait for its turn.
    pub(crate) fn reads(command: &Command) -> bool {
        matches!(
            command,
            Command::Query(_)
                | Command::Explain { .. }
                | Command::Copy { .. }
                | Command::Declare { .. }
                | Command::Fetch { .. }
        )
    }

    pub(crate) async fn answer(self, command: &Command) -> Result<Answer, PgWireError> {
        // What goes on is the statement that has begun.
        if Self::reads(command) && !matches!(command, Command::Fetch { .. }) {
            self.server.count(&self.session.principal).await?;
        }
        match command {
            Command::Query(read) => Ok(Answer::Rows(RowsAnswer::own(self.rows(read).await?, "SELECT", true))),
            Command::Explain { query, is_run, is_verbose } => {
                let lines = self.explain(query, *is_run, *is_verbose).await?;
                let lines = lines.into_iter().map(|line| vec![line]).collect();
                Ok(Answer::Rows(RowsAnswer::own(Rows::of_texts(&[PLAN_COLUMN], lines)?, "EXPLAIN", false)))
            }
            Command::Copy { query, options } => {
                Ok(Answer::Copy { rows: self.rows(query).await?, options: options.clone() })
            }
            Command::Declare { name, query, is_held, is_binary } => {
                if !is_held && self.status == TransactionStatus::Idle {
                    let message = "DECLARE CURSOR can only be used in transaction blocks";
                    return Err(fault(code::NO_TRANSACTION, message, "send BEGIN first, or declare it WITH HOLD"));
                }
                let session = self.session;
                let cursor = Cursor { rows: self.rows(query).await?, is_held: *is_held, is_binary: *is_binary };
                session.open_cursor(name.clone(), cursor).await?;
                Ok(Answer::Done(Done::tag("DECLARE CURSOR")))
            }
            Command::Fetch { cursor, count, is_move } => self.fetch(cursor, *count, *is_move).await,
            Command::Show(name) => {
                let value = self.session.settings().show(name)?;
                Ok(Answer::Rows(RowsAnswer::own(Rows::of_texts(&[name.as_str()], vec![vec![value]])?, "SHOW", false)))
            }
            Command::ShowAll => {
                let rows = self.session.settings().all();
                Ok(Answer::Rows(RowsAnswer::own(Rows::of_texts(&SETTING_COLUMNS, rows)?, "SHOW", false)))
            }
            other => self.of_session(other).await.map(Answer::Done),
        }
    }

    /// The rows of a query over what is newest now.
    async fn rows(self, read: &ReadQuery) -> Result<Rows, PgWireError> {
        let mut planned = self.server.plan(self.session, read).await?;
        if !self.values.is_empty() {
            let values = ParamValues::from(self.values);
            let plan = planned.plan.clone().replace_params_with_values(&values);
            planned.plan = plan.map_err(|error| of_engine(&error, &read.text))?;
        }
        let stream = run(&planned, read).await?;
        let mut rows = Rows::new(stream, self.described, self.server.config.result_bytes)?.named(&read.names);
        rows.notice = planned.note;
        Ok(rows)
    }

    async fn explain(self, read: &ReadQuery, is_run: bool, is_verbose: bool) -> Result<Vec<String>, PgWireError> {
        let principal = &self.session.principal;
        if !principal.scopes().has(Scopes::READ_ALL) || !principal.filters().is_empty() {
            return Err(fault(
                code::NOT_PERMITTED,
                "a plan shows what views are made of, and how many rows there are of others",
                "explain it with a key that has the scope *:read, and no row filter",
            ));
        }
        let mut planned = self.server.plan(self.session, read).await?;
        let explained = LogicalPlanBuilder::from(planned.plan.clone()).explain(is_verbose, is_run);
        let explained = explained.and_then(LogicalPlanBuilder::build);
        planned.plan = explained.map_err(|error| of_engine(&error, &read.text))?;
        let batches: Vec<_> = run(&planned, read).await?.try_collect().await.map_err(|error| of_engine(&error, ""))?;
        let mut lines = Vec::new();
        for batch in &batches {
            let (kinds, plans) = (batch.column(0).as_string::<i32>(), batch.column(1).as_string::<i32>());
            for (kind, plan) in kinds.iter().zip(plans.iter()) {
                lines.push(format!("{}:", kind.unwrap_or_default()));
                lines.extend(plan.unwrap_or_default().lines().map(|line| format!("  {line}")));
            }
        }
        Ok(lines)
    }

    async fn fetch(self, name: &str, count: Option<usize>, is_move: bool) -> Result<Answer, PgWireError> {
        let cursor = self.session.cursor(name).await.ok_or_else(|| no_cursor(name))?;
        let mut cursor = cursor.try_lock_owned().map_err(|_| busy_cursor(name))?;
        if !is_move {
            let source = Source::Cursor { cursor, left: count };
            return Ok(Answer::Rows(RowsAnswer { source, tag: "FETCH", is_counted: true }));
        }
        let mut moved = 0;
        while count.is_none_or(|count| moved < count) && cursor.rows.next().await?.is_some() {
            moved += 1;
        }
        Ok(Answer::Done(Done::tag(&format!("MOVE {moved}"))))
    }

    /// Statements that change what is kept of the connection alone.
    async fn of_session(&self, command: &Command) -> Result<Done, PgWireError> {
        let session = self.session;
        match command {
            Command::Set { name, value, is_local } => {
                let is_local = *is_local && self.status != TransactionStatus::Idle;
                let change = session.settings().set(name, value.as_deref(), is_local)?;
                Ok(Done { changes: vec![change], ..Done::tag("SET") })
            }
            Command::SetTransaction => Ok(Done::tag("SET")),
            Command::Reset(name) => {
                let changes = match name {
                    Some(name) => vec![session.settings().set(name, None, false)?],
                    None => session.settings().reset_all(),
                };
                Ok(Done { changes, ..Done::tag("RESET") })
            }
            Command::Discard(tag) => self.discard(tag).await,
            Command::Close(name) => {
                if !session.close_cursors(name.as_deref()).await {
                    return Err(no_cursor(name.as_deref().unwrap_or_default()));
                }
                Ok(Done::tag(if name.is_some() { "CLOSE CURSOR" } else { "CLOSE CURSOR ALL" }))
            }
            Command::Deallocate(Some(name)) => {
                if !session.forget(name) {
                    let message = format!("prepared statement \"{name}\" does not exist");
                    return Err(fault(code::NO_STATEMENT, message, ""));
                }
                Ok(Done { forgets: vec![name.clone()], ..Done::tag("DEALLOCATE") })
            }
            Command::Deallocate(None) => Ok(Done { forgets: session.forget_all(), ..Done::tag("DEALLOCATE ALL") }),
            Command::Unlisten => Ok(Done::tag("UNLISTEN")),
            other => self.of_transaction(other).await,
        }
    }

    async fn discard(&self, tag: &str) -> Result<Done, PgWireError> {
        if tag != DISCARD_ALL {
            return Ok(Done::tag(tag));
        }
        if self.status != TransactionStatus::Idle {
            return Err(fault("25001", "DISCARD ALL cannot run inside a transaction block", "end it first"));
        }
        self.session.close_cursors(None).await;
        let changes = self.session.settings().reset_all();
        let forgets = self.session.forget_all();
        Ok(Done { changes, forgets, forgets_portals: true, ..Done::tag(tag) })
    }

    async fn of_transaction(&self, command: &Command) -> Result<Done, PgWireError> {
        let (session, status) = (self.session, self.status);
        let is_idle = status == TransactionStatus::Idle;
        match command {
            Command::Begin(tag) if is_idle => {
                Ok(Done { status: Some(TransactionStatus::Transaction), ..Done::tag(tag) })
            }
            Command::Begin(tag) => {
                let warning = Some(("25001", "there is already a transaction in progress"));
                Ok(Done { warning, ..Done::tag(tag) })
            }
            Command::Commit | Command::Rollback => {
                let is_commit = matches!(command, Command::Commit) && status != TransactionStatus::Error;
                let warning = is_idle.then_some((code::NO_TRANSACTION, "there is no transaction in progress"));
                let changes: Vec<Change> = session.settings().end_transaction();
                session.end_transaction().await;
                let tag = if is_commit { "COMMIT" } else { "ROLLBACK" };
                let status = Some(TransactionStatus::Idle);
                Ok(Done { status, warning, changes, forgets_portals: true, ..Done::tag(tag) })
            }
            _ if is_idle => {
                let message = "savepoints can only be used in transaction blocks";
                Err(fault(code::NO_TRANSACTION, message, "send BEGIN first"))
            }
            Command::Savepoint(name) => {
                session.save(name.clone())?;
                Ok(Done::tag("SAVEPOINT"))
            }
            Command::Release(name) => {
                session.back_to(name, true)?;
                Ok(Done::tag("RELEASE"))
            }
            Command::RollbackTo(name) => {
                session.back_to(name, false)?;
                Ok(Done { status: Some(TransactionStatus::Transaction), ..Done::tag("ROLLBACK") })
            }
            _ => Err(fault(code::INTERNAL, "this statement is not of a session", "")),
        }
    }
}

async fn run(planned: &Planned, read: &ReadQuery) -> Result<vitral_query::RowStream, PgWireError> {
    let stream = planned.run(&Position::file("SQL")).await;
    stream.map_err(|error: QueryError| of_query(error, &read.text))
}

/// The columns of a query's rows, as they will be.
pub(crate) fn columns(planned: &Planned, plan: LogicalPlan) -> SchemaRef {
    let (state, plan) = planned.frame(plan).into_parts();
    let fallback = Arc::new(plan.schema().as_arrow().clone());
    // What is still open, such as the type of a parameter, may keep it from being said exactly.
    match state.analyzer().execute_and_check(plan, state.config_options(), |_, _| {}) {
        Ok(plan) => Arc::new(plan.schema().as_arrow().clone()),
        Err(_) => fallback,
    }
}
