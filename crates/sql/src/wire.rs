//! A client as statements see it: what it has said, and what it is sent.

use async_trait::async_trait;
use datafusion_postgres::pgwire::api::store::PortalStore;
use datafusion_postgres::pgwire::api::{ClientInfo, ClientPortalStore};
use datafusion_postgres::pgwire::error::{ErrorInfo, PgWireError};
use datafusion_postgres::pgwire::messages::PgWireBackendMessage;
use datafusion_postgres::pgwire::messages::response::NoticeResponse;
use futures::{Sink, SinkExt};

/// The other end of a connection.
#[async_trait]
pub(crate) trait Wire: ClientInfo + Send + Sync {
    /// Sends messages in their order, as fast as the client reads; the last ones may wait for more.
    async fn put(&mut self, messages: Vec<PgWireBackendMessage>) -> Result<(), PgWireError>;

    /// Forgets what it has bound.
    fn forget_portals(&self);

    /// Forgets a statement that it has prepared.
    fn forget_statement(&self, name: &str);
}

#[async_trait]
impl<C> Wire for C
where
    C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
    C::PortalStore: PortalStore,
    PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
{
    async fn put(&mut self, messages: Vec<PgWireBackendMessage>) -> Result<(), PgWireError> {
        for message in messages {
            self.feed(message).await.map_err(PgWireError::from)?;
        }
        Ok(())
    }

    fn forget_portals(&self) {
        self.portal_store().clear_portals();
    }

    fn forget_statement(&self, name: &str) {
        self.portal_store().rm_statement(name);
    }
}

/// What a client hears without an error.
pub(crate) fn notice(severity: &str, code: &str, message: &str) -> PgWireBackendMessage {
    let info = ErrorInfo::new(severity.to_owned(), code.to_owned(), message.to_owned());
    PgWireBackendMessage::NoticeResponse(NoticeResponse::from(info))
}
