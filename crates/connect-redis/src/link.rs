//! The connection to Redis: made alongside, left alone while Redis is away, never waited for.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::{ErrorKind, FromRedisValue, RedisError, RedisResult, ServerErrorKind};
use tokio::sync::Semaphore;
use vitral_connect::RetryPolicy;

use crate::config::RedisConfig;
use crate::error::RedisConfigError;
use crate::route::{CONNECT_TIMEOUT, Command, Connection, Route};

/// How often a connection is tried while Redis is away.
const AGAIN: RetryPolicy = RetryPolicy::endless(Duration::from_millis(50), Duration::from_secs(2));
/// Commands under way; those who come beyond these do without.
const COMMANDS_MAX: usize = 256;
/// So many answers in a row that did not come in time make a new connection.
const TIMEOUTS_MAX: u32 = 5;
/// Asked for to see whether a new connection answers; nobody keeps anything there.
const PROBE: &str = "vitral:probe";

/// Redis, for kept answers and rates. Copies share the connection, which ends with the last.
#[derive(Clone)]
pub struct Redis(Arc<Link>);

struct Link {
    route: Route,
    shown: String,
    read_timeout: Duration,
    state: Mutex<State>,
    commands: Semaphore,
    timeouts: AtomicU32,
}

enum State {
    /// Nobody has asked yet.
    New,
    Here(Connection, u64),
    /// A connection is being made.
    Away,
}

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    #[error("Redis at {0} is away")]
    Away(String),
    #[error("too many commands are on their way to Redis")]
    Busy,
    #[error("Redis refused: {0}")]
    Refused(RedisError),
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Redis").field(&self.0.shown).finish()
    }
}

impl Redis {
    /// Knows where Redis is; the first command begins to connect.
    ///
    /// # Errors
    /// The address or its certificates cannot be used. That Redis does not answer is not an error.
    pub fn open(config: &RedisConfig) -> Result<Self, RedisConfigError> {
        Ok(Self(Arc::new(Link {
            route: Route::of(config)?,
            shown: config.shown(),
            read_timeout: config.read_timeout,
            state: Mutex::new(State::New),
            commands: Semaphore::new(COMMANDS_MAX),
            timeouts: AtomicU32::new(0),
        })))
    }

    /// Begins to connect, and waits until that has succeeded once or `patience` is over; whether it
    /// has.
    pub async fn connected(&self, patience: Duration) -> bool {
        let waiting = async {
            while self.connection().is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(patience, waiting).await.is_ok()
    }

    pub(crate) async fn run<T: FromRedisValue>(&self, command: Command<'_>) -> Result<T, LinkError> {
        let (mut connection, number) = self.connection()?;
        let Ok(_permit) = self.0.commands.try_acquire() else { return Err(LinkError::Busy) };
        let outcome = tokio::time::timeout(self.0.read_timeout, connection.run(command)).await;
        let error = match outcome {
            Ok(Ok(value)) => {
                self.0.timeouts.store(0, Ordering::Relaxed);
                return Ok(value);
            }
            Ok(Err(error)) => error,
            Err(_) => RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut)),
        };
        if error.is_timeout() {
            if self.0.timeouts.fetch_add(1, Ordering::Relaxed) + 1 >= TIMEOUTS_MAX {
                self.lost(number, &error);
            }
        } else if is_of_another(&error) {
            self.lost(number, &error);
        }
        Err(LinkError::Refused(error))
    }

    fn connection(&self) -> Result<(Connection, u64), LinkError> {
        let mut state = self.0.state();
        let is_first = match &*state {
            State::Here(connection, number) => return Ok((connection.clone(), *number)),
            State::Away => false,
            State::New => true,
        };
        if is_first {
            *state = State::Away;
            self.connect(0);
        }
        Err(LinkError::Away(self.0.shown.clone()))
    }

    /// The connection of this number does not serve any more.
    fn lost(&self, number: u64, error: &RedisError) {
        let mut state = self.0.state();
        if !matches!(&*state, State::Here(_, current) if *current == number) {
            return;
        }
        *state = State::Away;
        drop(state);
        let words = "Redis is away: answers are computed, and each process counts by itself";
        tracing::warn!(redis = self.0.shown, %error, "{words}");
        self.connect(number);
    }

    /// Makes the connection after this number, alongside, as long as somebody holds this.
    fn connect(&self, number: u64) {
        let link = Arc::downgrade(&self.0);
        tokio::spawn(async move {
            let mut attempts = AGAIN.attempts();
            while let Some(link) = link.upgrade() {
                match link.attempt().await {
                    Ok(connection) => {
                        link.timeouts.store(0, Ordering::Relaxed);
                        *link.state() = State::Here(connection, number + 1);
                        tracing::info!(redis = link.shown, "connected to Redis");
                        return;
                    }
                    Err(error) if attempts.have_failed() => {
                        tracing::debug!(redis = link.shown, %error, "not connected")
                    }
                    Err(error) => tracing::warn!(redis = link.shown, %error, "Redis cannot be reached; trying again"),
                }
                drop(link);
                let Some(wait) = attempts.failed() else { return };
                tokio::time::sleep(wait).await;
            }
        });
    }
}

impl Link {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // What a panic leaves behind is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection that answers.
    async fn attempt(&self) -> RedisResult<Connection> {
        let attempt = async {
            let mut connection = self.route.connect(self.read_timeout).await?;
            let _: Option<Vec<u8>> = connection.run(Command::Plain(redis::cmd("GET").arg(PROBE))).await?;
            Ok::<_, RedisError>(connection)
        };
        let patience = 2 * CONNECT_TIMEOUT;
        tokio::time::timeout(patience, attempt)
            .await
            .unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()))
    }
}

/// Whether a new connection may lead to another server: this one is lost, or is not the master any
/// more.
fn is_of_another(error: &RedisError) -> bool {
    use ServerErrorKind::{BusyLoading, ClusterDown, MasterDown, ReadOnly};
    match error.kind() {
        ErrorKind::Server(kind) => matches!(kind, BusyLoading | ClusterDown | MasterDown | ReadOnly),
        ErrorKind::Io | ErrorKind::ClusterConnectionNotFound | ErrorKind::AuthenticationFailed => true,
        _ => error.is_connection_dropped() || error.is_unrecoverable_error(),
    }
}
