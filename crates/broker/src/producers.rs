//! What idempotent producers sent to a partition last: a repeated attempt is recognised, a gap is
//! refused.

use std::collections::{HashMap, VecDeque};

use kafka_protocol::ResponseError;

use crate::batch::{Head, Refused};

/// As many batches as a producer may have in flight.
const RECENT: usize = 5;
/// Producers of one partition; beyond it those that were silent longest are forgotten, a tenth at a
/// time.
const PRODUCERS: usize = 10_000;

#[derive(Debug, Default)]
pub struct Producers {
    by_id: HashMap<i64, Producer>,
    clock: u64,
}

#[derive(Debug)]
struct Producer {
    epoch: i16,
    recent: VecDeque<Sent>,
    used: u64,
}

#[derive(Debug, Clone, Copy)]
struct Sent {
    base_sequence: i32,
    last_sequence: i32,
    base_offset: i64,
}

impl Producers {
    /// The base offset of the batch if it is stored already; nothing if it is the next one.
    pub fn known(&self, head: &Head) -> Result<Option<i64>, Refused> {
        // A producer that is unknown or forgotten starts at any sequence.
        let Some(producer) = self.by_id.get(&head.producer_id) else { return Ok(None) };
        let (id, sequence) = (head.producer_id, head.base_sequence);
        if head.producer_epoch < producer.epoch {
            let reason = format!("producer {id} has epoch {}, its newest is {}", head.producer_epoch, producer.epoch);
            return Err(Refused::new(ResponseError::InvalidProducerEpoch, reason));
        }
        let expected = if head.producer_epoch > producer.epoch {
            0
        } else {
            let same = |sent: &&Sent| sent.base_sequence == sequence && sent.last_sequence == head.last_sequence();
            if let Some(sent) = producer.recent.iter().find(same) {
                return Ok(Some(sent.base_offset));
            }
            producer.recent.back().map_or(0, |sent| sent.last_sequence.wrapping_add(1) & i32::MAX)
        };
        if sequence != expected {
            let reason = format!("producer {id} sent sequence {sequence} where {expected} was next");
            return Err(Refused::new(ResponseError::OutOfOrderSequenceNumber, reason));
        }
        Ok(None)
    }

    /// Notes a batch that is stored.
    pub fn stored(&mut self, head: &Head) {
        self.clock += 1;
        let sent = Sent {
            base_sequence: head.base_sequence,
            last_sequence: head.last_sequence(),
            base_offset: head.base_offset,
        };
        let fresh = || Producer { epoch: head.producer_epoch, recent: VecDeque::with_capacity(RECENT), used: 0 };
        let producer = self.by_id.entry(head.producer_id).or_insert_with(fresh);
        if producer.epoch != head.producer_epoch {
            *producer = fresh();
        }
        if producer.recent.len() == RECENT {
            producer.recent.pop_front();
        }
        producer.recent.push_back(sent);
        producer.used = self.clock;
        if self.by_id.len() > PRODUCERS {
            self.forget();
        }
    }

    fn forget(&mut self) {
        let mut used: Vec<u64> = self.by_id.values().map(|producer| producer.used).collect();
        used.sort_unstable();
        let before = used[PRODUCERS / 10];
        self.by_id.retain(|_, producer| producer.used >= before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::tests::batch_of;

    fn head(id: i64, epoch: i16, sequence: i32, records: usize, base_offset: i64) -> Head {
        let mut bytes = batch_of(&vec!["x"; records], id, epoch, sequence);
        crate::batch::place(&mut bytes, base_offset);
        Head::read(&bytes).expect("a head")
    }

    #[test]
    fn an_attempt_made_again_is_known_by_its_first_offset() {
        let mut producers = Producers::default();
        for batch in 0..7 {
            let head = head(1, 0, batch * 2, 2, i64::from(batch) * 2);
            assert_eq!(producers.known(&head), Ok(None));
            producers.stored(&head);
        }
        assert_eq!(producers.known(&head(1, 0, 12, 2, -1)), Ok(Some(12)));
        assert_eq!(producers.known(&head(1, 0, 4, 2, -1)), Ok(Some(4)));
        // Older than what is kept, with another count, or with a gap.
        for (sequence, records) in [(0, 2), (12, 1), (16, 1)] {
            let refused = producers.known(&head(1, 0, sequence, records, -1)).expect_err("refused");
            assert_eq!(refused.error, ResponseError::OutOfOrderSequenceNumber, "{sequence}");
        }
        assert_eq!(producers.known(&head(1, 0, 14, 3, -1)), Ok(None));
    }

    #[test]
    fn a_new_epoch_begins_at_zero_and_ends_the_older() {
        let mut producers = Producers::default();
        producers.stored(&head(1, 3, 0, 1, 0));
        let error = |head: &Head| producers.known(head).expect_err("refused").error;
        assert_eq!(error(&head(1, 4, 5, 1, -1)), ResponseError::OutOfOrderSequenceNumber);
        assert_eq!(error(&head(1, 2, 1, 1, -1)), ResponseError::InvalidProducerEpoch);
        assert_eq!(producers.known(&head(1, 4, 0, 1, -1)), Ok(None));
    }

    #[test]
    fn sequences_begin_again_at_zero() {
        let mut producers = Producers::default();
        producers.stored(&head(1, 0, i32::MAX - 1, 4, 0));
        assert_eq!(producers.known(&head(1, 0, 2, 1, -1)), Ok(None));
    }

    #[test]
    fn the_quietest_are_forgotten() {
        let mut producers = Producers::default();
        for id in 0..=PRODUCERS {
            producers.stored(&head(i64::try_from(id).expect("an id"), 0, 0, 1, 0));
        }
        assert!(producers.by_id.len() <= PRODUCERS);
        assert!(!producers.by_id.contains_key(&0) && producers.by_id.contains_key(&10_000));
    }
}
