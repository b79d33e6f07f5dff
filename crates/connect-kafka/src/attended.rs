//! Clients that do not serve their own events, each with what serves them.

use std::ops::Deref;

use rdkafka::admin::AdminClient;
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::attendant::Attendant;
use crate::config::KafkaConfig;
use crate::connection::Connection;
use crate::error::ClientError;
use crate::settings;
use crate::tokens::TokenKeeper;

/// A client that does not serve its own events, with the attendant that does.
pub(crate) struct Attended<T> {
    // Both are dropped before the client, which they use.
    _tokens: Option<TokenKeeper>,
    _attendant: Attendant,
    client: T,
    connection: Connection,
}

impl<T> Attended<T> {
    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }
}

impl<T> Deref for Attended<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.client
    }
}

pub(crate) fn consumer(config: &KafkaConfig, settings: &[(&str, &str)]) -> Result<Attended<BaseConsumer>, ClientError> {
    let connection = Connection::new(config)?;
    let mut client = settings::client(config);
    for (key, value) in settings {
        client.set(*key, *value);
    }
    let client: BaseConsumer = client.create().map_err(|source| connection.failed("connecting", source))?;
    let handle = client.client().native_ptr();
    let tokens = TokenKeeper::start(&connection, handle)?;
    Ok(Attended { _tokens: tokens, _attendant: Attendant::start(&connection, handle)?, client, connection })
}

pub(crate) fn admin(config: &KafkaConfig) -> Result<Attended<AdminClient<DefaultClientContext>>, ClientError> {
    let connection = Connection::new(config)?;
    let client: AdminClient<_> =
        settings::client(config).create().map_err(|source| connection.failed("connecting", source))?;
    let handle = client.inner().native_ptr();
    let tokens = TokenKeeper::start(&connection, handle)?;
    Ok(Attended { _tokens: tokens, _attendant: Attendant::start(&connection, handle)?, client, connection })
}
