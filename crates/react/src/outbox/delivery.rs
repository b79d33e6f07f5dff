//! One round of attempts at one destination.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use chrono_tz::Tz;
use futures::FutureExt;
use tokio::sync::mpsc;
use vitral_connect::{ConnectError, Notification, Notifier, with_causes};
use vitral_store::alerts::Delivered;

use super::line::{Failure, IN_VAIN_MAX, Item, Round};
use crate::words::notification;

/// What is handed to one destination.
pub(super) struct Delivery {
    pub destination: String,
    /// None if the configuration does not have it any more.
    pub notifier: Option<Arc<dyn Notifier>>,
    pub zone: Tz,
    pub attempt_max: Duration,
    /// It ends with the first that is accepted: the receiver was away.
    pub is_probe: bool,
}

impl Delivery {
    /// Tries each once, in order. What follows a failure of its key is not tried, nor anything
    /// after several failures in a row.
    pub async fn run(self, handed: Vec<Item>, accepted: mpsc::Sender<Delivered>) -> (String, Round) {
        let (mut round, mut failed, mut in_vain) = (Round::default(), BTreeSet::new(), 0);
        for mut item in handed {
            let key = (item.transition.alert.clone(), item.transition.key.clone());
            let ends = in_vain >= IN_VAIN_MAX || self.is_probe && round.accepted > 0;
            if ends || failed.contains(&key) {
                round.left.push((item, None));
                continue;
            }
            item.attempts += 1;
            let refusal = match self.attempt(&notification(&item.transition, self.zone)).await {
                Ok(()) => {
                    (round.accepted, in_vain) = (round.accepted + 1, 0);
                    None
                }
                Err(error) if !error.is_worth_a_retry() => Some(with_causes(&error)),
                Err(error) => {
                    in_vain += 1;
                    failed.insert(key);
                    let failure = Failure { reason: with_causes(&error), is_outage: error.is_outage() };
                    round.left.push((item, Some(failure)));
                    continue;
                }
            };
            let delivered = delivered(&self.destination, &item, refusal);
            if accepted.send(delivered).await.is_err() {
                break;
            }
        }
        (self.destination, round)
    }

    async fn attempt(&self, notification: &Notification) -> Result<(), ConnectError> {
        let Some(notifier) = &self.notifier else {
            return Err(ConnectError::permanent("the configuration no longer has this connection"));
        };
        let limit = self.attempt_max;
        let attempt = AssertUnwindSafe(notifier.deliver(notification)).catch_unwind();
        match tokio::time::timeout(limit, attempt).await {
            Ok(Ok(outcome)) => outcome,
            // Of a mistake in a notifier the panic itself says more; the notification may be what
            // it cannot take.
            Ok(Err(_)) => Err(ConnectError::passing("the notifier panicked (a bug)")),
            Err(_) => Err(ConnectError::outage(format!("no answer within {limit:?}"))),
        }
    }
}

/// What became of a notification.
pub(super) fn delivered(destination: &str, item: &Item, refusal: Option<String>) -> Delivered {
    Delivered {
        id: item.transition.id.clone(),
        destination: destination.to_owned(),
        at_ms: Utc::now().timestamp_millis(),
        refusal,
        attempts: item.attempts,
    }
}
