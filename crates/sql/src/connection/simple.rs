//! Texts of statements, each answered as it comes.

use std::fmt::Debug;

use async_trait::async_trait;
use datafusion_postgres::pgwire::api::portal::Format;
use datafusion_postgres::pgwire::api::query::{SimpleQueryHandler, send_ready_for_query};
use datafusion_postgres::pgwire::api::results::Response;
use datafusion_postgres::pgwire::api::store::PortalStore;
use datafusion_postgres::pgwire::api::{ClientInfo, ClientPortalStore, PgWireConnectionState};
use datafusion_postgres::pgwire::error::PgWireError;
use datafusion_postgres::pgwire::messages::PgWireBackendMessage;
use datafusion_postgres::pgwire::messages::response::{EmptyQueryResponse, TransactionStatus};
use datafusion_postgres::pgwire::messages::simplequery::Query;
use futures::Sink;

use super::Queries;
use crate::answer::{Answer, Source, send_copy};
use crate::command::Command;
use crate::doing::shown;
use crate::error::failed_transaction;
use crate::prepared::not_here;
use crate::run::Run;
use crate::session::Session;
use crate::types::fields;
use crate::wire::Wire;

#[async_trait]
impl SimpleQueryHandler for Queries {
    async fn on_query<C>(&self, client: &mut C, query: Query) -> Result<(), PgWireError>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        if !matches!(client.state(), PgWireConnectionState::ReadyForQuery) {
            return Err(PgWireError::NotReadyForQuery);
        }
        client.set_state(PgWireConnectionState::QueryInProgress);
        let session = Session::of(client)?;
        session.runs(&shown(&query.query));
        self.texts(client, &query.query).await?;
        client.set_state(PgWireConnectionState::ReadyForQuery);
        let status = client.transaction_status();
        session.rests(status);
        send_ready_for_query(client, status).await
    }

    async fn do_query<C>(&self, _client: &mut C, _query: &str) -> Result<Vec<Response>, PgWireError>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        Err(not_here())
    }
}

impl Queries {
    async fn texts(&self, client: &mut dyn Wire, text: &str) -> Result<(), PgWireError> {
        let session = Session::of(client)?;
        let commands = self.server.commands.read(text)?;
        if commands.is_empty() {
            return client.put(vec![PgWireBackendMessage::EmptyQueryResponse(EmptyQueryResponse::new())]).await;
        }
        for command in commands {
            if client.transaction_status() == TransactionStatus::Error && !command.ends_transaction() {
                return Err(failed_transaction());
            }
            let timeout = session.settings().timeout();
            session.bounded(timeout, self.one(client, &session, &command)).await?;
        }
        Ok(())
    }

    async fn one(&self, client: &mut dyn Wire, session: &Session, command: &Command) -> Result<(), PgWireError> {
        // Held until the last row is sent.
        let _permit = if Run::reads(command) { Some(self.server.permit().await?) } else { None };
        let status = client.transaction_status();
        let run = Run { server: &self.server, session, status, values: Vec::new(), described: None };
        match run.answer(command).await? {
            Answer::Done(done) => done.send(client).await,
            Answer::Rows(rows) => {
                let is_binary = matches!(&rows.source, Source::Cursor { cursor, .. } if cursor.is_binary);
                let format = if is_binary { Format::UnifiedBinary } else { Format::UnifiedText };
                let fields = fields(rows.rows().schema(), &format);
                rows.send(&fields, client).await
            }
            Answer::Copy { rows, options } => {
                let fields = fields(rows.schema(), &Format::UnifiedText);
                send_copy(rows, &options, &fields, client).await
            }
        }
    }
}
