//! Creates topics.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::admin::{AdminOptions, NewTopic, TopicReplication};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::attended;
use crate::config::KafkaConfig;
use crate::error::ClientError;
use crate::problem::{Problem, ProblemKind};

const TIMEOUT: Duration = Duration::from_secs(10);

/// Creates the topic with the broker's default replication, unless it exists.
///
/// # Errors
/// The broker is away, or the user may not create topics.
pub async fn create_topic(
    config: &KafkaConfig,
    name: &str,
    partitions: i32,
    settings: &[(&str, &str)],
) -> Result<(), ClientError> {
    let admin = Arc::new(attended::admin(config)?);
    let failed = |source| admin.connection().failed("making a topic", source);
    // Asking for all topics creates none, and users who may not create topics may still use those
    // that exist.
    let asked = Arc::clone(&admin);
    let known = tokio::task::spawn_blocking(move || asked.inner().fetch_metadata(None, TIMEOUT)).await;
    let known = known.map_err(|_| ClientError::Ended("the request for topics"))?.map_err(failed)?;
    if known.topics().iter().any(|topic| topic.name() == name) {
        return Ok(());
    }
    let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(-1));
    for (key, value) in settings {
        topic = topic.set(key, value);
    }
    let options = AdminOptions::new().operation_timeout(Some(TIMEOUT)).request_timeout(Some(TIMEOUT));
    for outcome in admin.create_topics(&[topic], &options).await.map_err(failed)? {
        match outcome {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((
                name,
                code @ (RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::ClusterAuthorizationFailed),
            )) => {
                let detail = format!("topic {name} cannot be created: {code}");
                admin.connection().observe(Problem::new(ProblemKind::TopicAuthorization, detail));
                return Err(failed(KafkaError::AdminOp(code)));
            }
            Err((_, code)) => return Err(failed(KafkaError::AdminOp(code))),
        }
    }
    Ok(())
}
