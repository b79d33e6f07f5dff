//! Idempotent producers get an id. Transactional ones are refused.

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::{
    BrokerId, FindCoordinatorRequest, FindCoordinatorResponse, InitProducerIdRequest, InitProducerIdResponse,
    ProducerId,
};

use super::{Request, text};
use crate::NODE_ID;
use crate::batch::Refused;
use crate::connection::{Connection, End};

const OF_TRANSACTIONS: i8 = 1;
/// From this version on, several can be asked for at once.
const BATCHES: i16 = 4;

pub fn answer(connection: &Connection, mut request: Request) -> Result<Option<Bytes>, End> {
    let asked: InitProducerIdRequest = request.decode()?;
    let given = match asked.transactional_id {
        Some(_) => Err(no_transactions(request.version)),
        None => connection.shared.topics.producer_id().map(|id| (id, 0)),
    };
    let answer = match given {
        Ok((id, epoch)) => {
            InitProducerIdResponse::default().with_producer_id(ProducerId(id)).with_producer_epoch(epoch)
        }
        Err(refused) => InitProducerIdResponse::default()
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(-1)
            .with_error_code(refused.error.code()),
    };
    request.encode(&answer)
}

/// The first request of a transactional producer, so the refusal is sent here. Older clients give
/// up only on an authorization error, and show its message; newer ones show the message of any
/// error.
fn no_transactions(version: i16) -> Refused {
    let reason =
        "the demo's broker has no transactions: leave out transactional.id, or use Apache Kafka and vitral stream";
    tracing::warn!("a producer asks for transactions: {reason}");
    let error = if version < BATCHES {
        ResponseError::TransactionalIdAuthorizationFailed
    } else {
        ResponseError::InvalidRequest
    };
    Refused::new(error, reason)
}

pub fn find_coordinator(connection: &Connection, mut request: Request) -> Result<Option<Bytes>, End> {
    let asked: FindCoordinatorRequest = request.decode()?;
    let refused = (asked.key_type == OF_TRANSACTIONS).then(|| no_transactions(request.version));
    let (host, port) = connection.advertised();
    let (code, words) = refused.map_or((0, None), |refused| (refused.error.code(), Some(text(&refused.reason))));
    let (node, host, port) = if code == 0 { (BrokerId(NODE_ID), host, port) } else { (BrokerId(-1), text(""), -1) };
    let answer = if request.version >= BATCHES {
        let coordinators = asked
            .coordinator_keys
            .into_iter()
            .map(|key| {
                Coordinator::default()
                    .with_key(key)
                    .with_node_id(node)
                    .with_host(host.clone())
                    .with_port(port)
                    .with_error_code(code)
                    .with_error_message(words.clone())
            })
            .collect();
        FindCoordinatorResponse::default().with_coordinators(coordinators)
    } else {
        let answer =
            FindCoordinatorResponse::default().with_error_code(code).with_node_id(node).with_host(host).with_port(port);
        if request.version >= 1 { answer.with_error_message(words) } else { answer }
    };
    request.encode(&answer)
}
