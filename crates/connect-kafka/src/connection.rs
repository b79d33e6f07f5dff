//! What all clients share: checked settings, what the client library reports, and why the broker
//! cannot be reached.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::config::KafkaConfig;
use crate::error::ClientError;
use crate::problem::{Problem, ProblemKind, without_state};
use crate::{said, settings};

/// A certificate is not examined more often.
const EXAMINED_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// Receives a client's events.
#[derive(Clone)]
pub(crate) struct Connection(Arc<Shared>);

struct Shared {
    config: KafkaConfig,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    problem: Option<Problem>,
    /// When the broker's certificate was last examined.
    examined: Option<Instant>,
}

impl Connection {
    pub(crate) fn new(config: &KafkaConfig) -> Result<Self, ClientError> {
        settings::check(config)?;
        Ok(Self(Arc::new(Shared { config: config.clone(), state: Mutex::default() })))
    }

    pub(crate) fn config(&self) -> &KafkaConfig {
        &self.0.config
    }

    /// The last problem since the broker answered.
    pub(crate) fn problem(&self) -> Option<Problem> {
        self.state().problem.clone()
    }

    /// The broker has answered a question that needs fewer rights than reading.
    pub(super) fn let_in(&self) {
        let mut state = self.state();
        if state.problem.as_ref().is_some_and(|problem| problem.kind != ProblemKind::TopicAuthorization) {
            state.problem = None;
        }
    }

    /// The broker has answered.
    pub(crate) fn answered(&self) {
        self.state().problem = None;
    }

    pub(crate) fn failed(&self, action: &'static str, source: KafkaError) -> ClientError {
        let brokers = self.0.config.brokers.clone();
        match self.problem().filter(|_| is_of_the_way(&source)) {
            Some(problem) => ClientError::Connection { brokers, action, problem },
            None => ClientError::Kafka { brokers, action, source },
        }
    }

    pub(crate) fn observe(&self, problem: Problem) {
        let mut state = self.state();
        if problem.kind == ProblemKind::Certificate {
            let is_known = state.examined.is_some_and(|examined| examined.elapsed() < EXAMINED_AGAIN_AFTER);
            if is_known && state.problem.is_some() {
                return;
            }
            state.examined = Some(Instant::now());
            state.problem = Some(problem.clone());
            drop(state);
            return self.examine(problem);
        }
        // "Not reached" often follows a problem that says more.
        if !problem.is_refusal() && state.problem.as_ref().is_some_and(Problem::is_refusal) {
            return;
        }
        state.problem = Some(problem.clone());
        drop(state);
        self.warn(&problem);
    }

    fn warn(&self, problem: &Problem) {
        if self.is_news(&problem.detail) {
            tracing::warn!(brokers = self.0.config.brokers, "kafka: {problem}");
        }
    }

    /// Finds out which check of the broker's certificate fails, on a thread of its own.
    fn examine(&self, problem: Problem) {
        let connection = self.clone();
        let examine = move || {
            #[cfg(feature = "kafka-tls")]
            let problem = crate::certificate::examine(&connection.0.config.options, problem);
            connection.state().problem = Some(problem.clone());
            connection.warn(&problem);
        };
        if let Err(error) = std::thread::Builder::new().name("kafka certificate".to_owned()).spawn(examine) {
            tracing::warn!(%error, "the broker's certificate cannot be looked at");
        }
    }

    /// Whether this was not logged recently.
    fn is_news(&self, text: &str) -> bool {
        said::is_news(&self.0.config.brokers, without_state(text))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a problem with reaching the broker can be the cause of an error.
fn is_of_the_way(error: &KafkaError) -> bool {
    let code = match error {
        KafkaError::AdminOp(code) => Some(*code),
        _ => error.rdkafka_error_code(),
    };
    matches!(
        code,
        Some(
            RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::Authentication
                | RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::ClusterAuthorizationFailed
                | RDKafkaErrorCode::MessageTimedOut
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::RequestTimedOut
                | RDKafkaErrorCode::Resolve
                | RDKafkaErrorCode::SSL
                | RDKafkaErrorCode::TopicAuthorizationFailed
        )
    )
}

impl ClientContext for Connection {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        if let Some(problem) = Problem::of(None, text) {
            return self.observe(problem);
        }
        match level {
            RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug | RDKafkaLogLevel::Notice => {
                tracing::debug!(facility, "kafka: {text}");
            }
            _ if self.is_news(text) => tracing::warn!(facility, "kafka: {text}"),
            _ => {}
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::PartitionEOF) => {}
            code => match Problem::of(code, reason) {
                Some(problem) => self.observe(problem),
                None if self.is_news(reason) => tracing::warn!(%error, reason, "kafka reports a problem"),
                None => {}
            },
        }
    }
}
