//! Statements that are prepared, bound and executed, in messages of their own.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion_postgres::pgwire::api::portal::{Format, Portal, PortalExecutionState};
use datafusion_postgres::pgwire::api::query::{ExtendedQueryHandler, send_describe_response};
use datafusion_postgres::pgwire::api::results::{
    DescribePortalResponse, DescribeStatementResponse, QueryResponse, Response, Tag,
};
use datafusion_postgres::pgwire::api::stmt::StoredStatement;
use datafusion_postgres::pgwire::api::store::{Entry, PortalStore};
use datafusion_postgres::pgwire::api::{ClientInfo, ClientPortalStore, DEFAULT_NAME, PgWireConnectionState, Type};
use datafusion_postgres::pgwire::error::PgWireError;
use datafusion_postgres::pgwire::messages::PgWireBackendMessage;
use datafusion_postgres::pgwire::messages::extendedquery::{
    Bind, BindComplete, Close, CloseComplete, Describe, Execute, Parse, ParseComplete, PortalSuspended, Sync as PgSync,
    TARGET_TYPE_BYTE_PORTAL, TARGET_TYPE_BYTE_STATEMENT,
};
use datafusion_postgres::pgwire::messages::response::{EmptyQueryResponse, ReadyForQuery, TransactionStatus};
use futures::{Sink, SinkExt, StreamExt};

use super::Queries;
use crate::answer::{Answer, RowsAnswer, complete, send_copy};
use crate::error::{code, failed_transaction, fault};
use crate::parameters;
use crate::prepared::{NoParser, Prepared, not_here};
use crate::run::Run;
use crate::session::{Session, busy_cursor};
use crate::types::fields;
use crate::wire::Wire;

/// Rows that are sent together.
const ROWS: usize = 128;

type BoundPortal = Portal<Arc<Prepared>>;

#[async_trait]
impl ExtendedQueryHandler for Queries {
    type Statement = Arc<Prepared>;
    type QueryParser = NoParser;

    fn query_parser(&self) -> Arc<Self::QueryParser> {
        Arc::new(NoParser)
    }

    async fn on_parse<C>(&self, client: &mut C, message: Parse) -> Result<(), PgWireError>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let session = Session::of(client)?;
        let name = message.name.unwrap_or_else(|| DEFAULT_NAME.to_owned());
        let mut commands = self.server.commands.read(&message.query)?;
        if commands.len() > 1 {
            let remedy = "prepare each by itself, or send them as a simple query";
            return Err(fault(code::SYNTAX, "cannot insert multiple commands into a prepared statement", remedy));
        }
        let declared: Vec<_> = message.type_oids.iter().map(|oid| Type::from_oid(*oid)).collect();
        let prepared = match commands.pop() {
            None => None,
            Some(command) => {
                if client.transaction_status() == TransactionStatus::Error && !command.ends_transaction() {
                    return Err(failed_transaction());
                }
                let timeout = session.settings().timeout();
                let prepared = Prepared::of(&self.server, &session, command, &message.query, &declared);
                Some(session.bounded(timeout, prepared).await?)
            }
        };
        if name != DEFAULT_NAME {
            session.prepare(&name)?;
        }
        match prepared {
            None => client.portal_store().put_empty_statement(&name),
            Some(prepared) => {
                let statement = StoredStatement::new(name, Arc::new(prepared), declared);
                client.portal_store().put_statement(Arc::new(statement));
            }
        }
        client.feed(PgWireBackendMessage::ParseComplete(ParseComplete::new())).await?;
        Ok(())
    }

    async fn on_bind<C>(&self, client: &mut C, message: Bind) -> Result<(), PgWireError>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let session = Session::of(client)?;
        let name = message.statement_name.as_deref().unwrap_or(DEFAULT_NAME);
        let portal_name = message.portal_name.as_deref().unwrap_or(DEFAULT_NAME);
        match client.portal_store().get_statement(name) {
            None => return Err(no_statement(name)),
            Some(Entry::Empty) => client.portal_store().put_empty_portal(portal_name),
            Some(Entry::Value(statement)) => {
                check(&message, &statement)?;
                session.bind(portal_name)?;
                let portal = Portal::try_new(&message, statement)?;
                client.portal_store().put_portal(Arc::new(portal));
            }
        }
        client.feed(PgWireBackendMessage::BindComplete(BindComplete::new())).await?;
        Ok(())
    }

    async fn on_execute<C>(&self, client: &mut C, message: Execute) -> Result<(), PgWireError>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        if !matches!(client.state(), PgWireConnectionState::ReadyForQuery) {
            return Err(PgWireError::NotReadyForQuery);
        }
        let session = Session::of(client)?;
        let name = message.name.as_deref().unwrap_or(DEFAULT_NAME);
        let portal = match client.portal_store().get_portal(name) {
            None => return Err(no_portal(name)),
            Some(Entry::Empty) => {
                client.feed(PgWireBackendMessage::EmptyQueryResponse(EmptyQueryResponse::new())).await?;
                return Ok(());
            }
            Some(Entry::Value(portal)) => portal,
        };
        let command = &portal.statement.statement.command;
        if client.transaction_status() == TransactionStatus::Error && !command.ends_transaction() {
            return Err(failed_transaction());
        }
        client.set_state(PgWireConnectionState::QueryInProgress);
        session.runs(&portal.statement.statement.text);
        let rows_max = usize::try_from(message.max_rows).unwrap_or(0);
        let timeout = session.settings().timeout();
        session.bounded(timeout, self.execute(client, &session, &portal, rows_max)).await?;
        client.set_state(PgWireConnectionState::ReadyForQuery);
        Ok(())
    }

    async fn on_sync<C>(&self, client: &mut C, _message: PgSync) -> Result<(), PgWireError>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let (session, status) = (Session::of(client)?, client.transaction_status());
        // Outside of a transaction block, a transaction ends here, and with it all that is bound.
        if status == TransactionStatus::Idle {
            client.portal_store().clear_portals();
            session.unbind(None);
        }
        session.rests(status);
        let ready = ReadyForQuery::new(status);
        client.send(PgWireBackendMessage::ReadyForQuery(ready)).await?;
        Ok(())
    }

    async fn on_close<C>(&self, client: &mut C, message: Close) -> Result<(), PgWireError>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let session = Session::of(client)?;
        let name = message.name.as_deref().unwrap_or(DEFAULT_NAME);
        match message.target_type {
            TARGET_TYPE_BYTE_STATEMENT => {
                session.forget(name);
                client.portal_store().rm_statement(name);
            }
            TARGET_TYPE_BYTE_PORTAL => {
                session.unbind(Some(name));
                client.portal_store().rm_portal(name);
                session.close_cursors(Some(name)).await;
            }
            other => return Err(PgWireError::InvalidTargetType(other)),
        }
        client.feed(PgWireBackendMessage::CloseComplete(CloseComplete::new())).await?;
        Ok(())
    }

    async fn on_describe<C>(&self, client: &mut C, message: Describe) -> Result<(), PgWireError>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let name = message.name.as_deref().unwrap_or(DEFAULT_NAME);
        let is_portal = message.target_type == TARGET_TYPE_BYTE_PORTAL;
        if !is_portal || client.portal_store().get_portal(name).is_some() {
            return self._on_describe(client, message).await;
        }
        // A cursor that was declared is a portal of its name.
        let cursor = Session::of(client)?.cursor(name).await.ok_or_else(|| no_portal(name))?;
        let columns = {
            let cursor = cursor.try_lock().map_err(|_| busy_cursor(name))?;
            let format = if cursor.is_binary { Format::UnifiedBinary } else { Format::UnifiedText };
            fields(cursor.rows.schema(), &format).as_ref().clone()
        };
        send_describe_response(client, &DescribePortalResponse::new(columns)).await
    }

    async fn do_describe_statement<C>(
        &self,
        client: &mut C,
        statement: &StoredStatement<Self::Statement>,
    ) -> Result<DescribeStatementResponse, PgWireError>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let session = Session::of(client)?;
        let prepared = &statement.statement;
        let schema = prepared.schema(&session).await;
        let columns = schema.map(|schema| fields(&schema, &Format::UnifiedText).as_ref().clone());
        let parameters = prepared.parameter_types(&statement.parameter_types);
        Ok(DescribeStatementResponse::new(parameters, columns.unwrap_or_default()))
    }

    async fn do_describe_portal<C>(
        &self,
        client: &mut C,
        portal: &BoundPortal,
    ) -> Result<DescribePortalResponse, PgWireError>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let session = Session::of(client)?;
        let schema = portal.statement.statement.schema(&session).await;
        let columns = schema.map(|schema| fields(&schema, &portal.result_column_format).as_ref().clone());
        Ok(DescribePortalResponse::new(columns.unwrap_or_default()))
    }

    async fn do_query<C>(
        &self,
        _client: &mut C,
        _portal: &BoundPortal,
        _max_rows: usize,
    ) -> Result<Response, PgWireError>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        Err(not_here())
    }
}

impl Queries {
    /// Runs a portal, or goes on with it.
    async fn execute(
        &self,
        client: &mut dyn Wire,
        session: &Session,
        portal: &BoundPortal,
        rows_max: usize,
    ) -> Result<(), PgWireError> {
        let prepared = &portal.statement.statement;
        // A portal that waits for its client holds none.
        let _permit = if Run::reads(&prepared.command) { Some(self.server.permit().await?) } else { None };
        let is_new = matches!(*portal.state().lock().await, PortalExecutionState::Initial);
        if is_new {
            let run = Run {
                server: &self.server,
                session,
                status: client.transaction_status(),
                values: values(portal)?,
                described: prepared.described.as_deref(),
            };
            match run.answer(&prepared.command).await? {
                Answer::Done(done) => return done.send(client).await,
                Answer::Copy { rows, options } => {
                    let fields = fields(rows.schema(), &Format::UnifiedText);
                    return send_copy(rows, &options, &fields, client).await;
                }
                Answer::Rows(mut rows) => {
                    rows.tell(client).await?;
                    portal.start(response(rows, portal)).await;
                }
            }
        }
        send_portal(client, portal, rows_max).await
    }
}

/// Rows as the portal keeps them: made when they are asked for.
fn response(rows: RowsAnswer, portal: &BoundPortal) -> QueryResponse {
    let fields = fields(rows.rows().schema(), &portal.result_column_format);
    let tag = if rows.is_counted { rows.tag.to_owned() } else { format!("{} ", rows.tag) };
    let of_rows = Arc::clone(&fields);
    let rows = futures::stream::try_unfold(rows, move |mut rows| {
        let fields = Arc::clone(&of_rows);
        async move { Ok(rows.next(&fields).await?.map(|row| (row, rows))) }
    });
    let mut response = QueryResponse::new(fields, rows);
    response.set_command_tag(&tag);
    response
}

/// Sends so many rows at most; all of them for 0.
async fn send_portal(client: &mut dyn Wire, portal: &BoundPortal, rows_max: usize) -> Result<(), PgWireError> {
    let state = portal.state();
    let mut state = state.lock().await;
    let PortalExecutionState::Suspended(response) = &mut *state else {
        return client.put(vec![complete(Tag::new("SELECT").with_rows(0))]).await;
    };
    let (mut sent, mut is_ended) = (0, false);
    let mut waiting = Vec::with_capacity(ROWS);
    while rows_max == 0 || sent < rows_max {
        let Some(row) = response.data_rows().next().await else {
            is_ended = true;
            break;
        };
        waiting.push(PgWireBackendMessage::DataRow(row?));
        sent += 1;
        if waiting.len() == ROWS {
            client.put(std::mem::replace(&mut waiting, Vec::with_capacity(ROWS))).await?;
        }
    }
    if is_ended {
        let tag = response.command_tag().to_owned();
        // Those that are not counted end with a space.
        let tag = match tag.strip_suffix(' ') {
            Some(tag) => Tag::new(tag),
            None => Tag::new(&tag).with_rows(sent),
        };
        waiting.push(complete(tag));
        *state = PortalExecutionState::Finished;
    } else {
        waiting.push(PgWireBackendMessage::PortalSuspended(PortalSuspended::new()));
    }
    client.put(waiting).await
}

/// What is bound, in the types that the statement wants.
fn values(portal: &BoundPortal) -> Result<Vec<datafusion::scalar::ScalarValue>, PgWireError> {
    let (prepared, declared) = (&portal.statement.statement, &portal.statement.parameter_types);
    let value = |(index, bytes): (usize, &Option<bytes::Bytes>)| {
        let declared = declared.get(index).and_then(Option::as_ref);
        let wanted = prepared.parameters.get(index).and_then(Option::as_ref);
        let is_binary = portal.parameter_format.is_binary(index);
        parameters::value(index + 1, bytes.as_deref(), is_binary, declared, wanted)
    };
    portal.parameters.iter().enumerate().map(value).collect()
}

/// Refuses what would not fit the statement.
fn check(bind: &Bind, statement: &StoredStatement<Arc<Prepared>>) -> Result<(), PgWireError> {
    let (given, wanted) = (bind.parameters.len(), statement.statement.parameters.len());
    if given < wanted {
        let message = format!("bind message supplies {given} parameters, but prepared statement requires {wanted}");
        return Err(fault(code::PROTOCOL, message, "bind a value for each"));
    }
    let formats = bind.parameter_format_codes.len();
    if formats > 1 && formats != given {
        let message = format!("bind message has {formats} parameter formats but {given} parameters");
        return Err(fault(code::PROTOCOL, message, "send one format, or one for each parameter"));
    }
    Ok(())
}

fn no_statement(name: &str) -> PgWireError {
    let name = if name == DEFAULT_NAME { "" } else { name };
    fault(code::NO_STATEMENT, format!("prepared statement \"{name}\" does not exist"), "prepare it first")
}

fn no_portal(name: &str) -> PgWireError {
    let name = if name == DEFAULT_NAME { "" } else { name };
    let remedy = "bind it first; portals end with their transaction";
    fault(code::NO_CURSOR, format!("portal \"{name}\" does not exist"), remedy)
}
