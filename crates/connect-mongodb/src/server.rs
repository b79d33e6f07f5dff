//! A connected client, and operations that nobody drops half-way.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mongodb::options::{ClientOptions, ConnectionString};
use mongodb::{Client, Database};
use tokio::sync::{OnceCell, Semaphore};
use vitral_connect::{ConnectError, Connection, ConnectionError};

use crate::error::MongoError;
use crate::settings::Settings;

/// A server that is not there is given up so soon at the earliest: shorter, and a slow handshake
/// would count as an outage.
const PATIENCE_MIN: Duration = Duration::from_millis(500);

/// The database that a connection names, opened when it is first asked.
pub(crate) struct Server {
    url: ConnectionString,
    name: String,
    /// How long an operation waits for a server at most.
    patience: Duration,
    client: OnceCell<Client>,
    /// One permit for each operation that may run; those that nobody waits for any more keep theirs
    /// until they end.
    in_flight: Arc<Semaphore>,
}

impl Server {
    /// At most `operations` run at once.
    pub(crate) fn new(connection: &Connection, patience: Duration, operations: usize) -> Result<Self, ConnectionError> {
        let Settings { url, database } = Settings::try_from(connection)?;
        let in_flight = Arc::new(Semaphore::new(operations));
        Ok(Self { url, name: database, patience: patience.max(PATIENCE_MIN), client: OnceCell::new(), in_flight })
    }

    /// Runs an operation in a task of its own, to its end, whether or not this future is.
    pub(crate) async fn run<T, F>(
        &self,
        collection: &str,
        operation: impl FnOnce(Database) -> F + Send,
    ) -> Result<T, ConnectError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, MongoError>> + Send + 'static,
    {
        let permit = Arc::clone(&self.in_flight).acquire_owned().await.map_err(ConnectError::permanent)?;
        let client = self.client.get_or_try_init(|| self.connect()).await.map_err(|source| {
            ConnectError::from(MongoError::Driver { collection: collection.to_owned(), what: "reached", source })
        })?;
        let operation = operation(client.database(&self.name));
        let task = tokio::spawn(async move {
            let outcome = operation.await;
            drop(permit);
            outcome
        });
        let outcome = task.await.map_err(|source| MongoError::Ended { collection: collection.to_owned(), source });
        Ok(outcome.flatten()?)
    }

    /// Makes a client; it connects by itself.
    async fn connect(&self) -> Result<Client, mongodb::error::Error> {
        let mut options = ClientOptions::parse(self.url.clone()).await?;
        options.app_name.get_or_insert_with(|| "vitral".to_owned());
        options.server_selection_timeout.get_or_insert(self.patience);
        options.connect_timeout.get_or_insert(self.patience.max(Duration::from_secs(2)));
        Client::with_options(options)
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("database", &self.name).finish_non_exhaustive()
    }
}
