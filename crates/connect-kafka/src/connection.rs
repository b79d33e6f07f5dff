//! What all clients share: checked settings, what the client library reports, and why the broker cannot be reached.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::config::KafkaConfig;
use crate::error::ClientError;
use crate::problem::{Problem, ProblemKind};
use crate::settings;

/// The library repeats itself several times a second.
const SAID_AGAIN_AFTER: Duration = Duration::from_secs(60);
/// Lines in that time: one cause has several texts by turns, and each broker its own.
const SAID_MAX: usize = 16;

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
    /// What was logged lately, and when: without digits, which count attempts and tell threads apart.
    said: Vec<(String, Instant)>,
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
            let is_known = state.examined.is_some_and(|examined| examined.elapsed() < SAID_AGAIN_AFTER);
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
        let now = Instant::now();
        let text = text.rsplit_once(" (after ").map_or(text, |(text, _)| text);
        let text: String = text.chars().filter(|sign| !sign.is_ascii_digit()).collect();
        let mut state = self.state();
        let said = &mut state.said;
        said.retain(|(_, when)| now.duration_since(*when) < SAID_AGAIN_AFTER);
        if said.iter().any(|(known, _)| *known == text) || said.len() >= SAID_MAX {
            return false;
        }
        said.push((text, now));
        true
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_repeats_by_turns_is_logged_once() {
        let connection = Connection::new(&KafkaConfig::default()).expect("a client");
        let said = |text: &str| connection.is_news(text);
        assert!(said("ssl://b:9092/1: handshake failed (after 2ms)") && said("ssl://b:9092/1: wrong version number"));
        assert!(
            !said("ssl://b:9092/1: handshake failed (after 11ms)") && !said("ssl://b:9092/2: wrong version number")
        );
        let lines = (b'a'..=b'z').filter(|letter| said(&char::from(*letter).to_string())).count();
        assert_eq!(lines, SAID_MAX - 2, "however many texts there are");
    }
}
