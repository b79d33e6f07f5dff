//! What was logged of a cluster lately, by whatever client of this process: clients come and go
//! with each attempt, and each says the same.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The library repeats itself several times a second.
const SAID_AGAIN_AFTER: Duration = Duration::from_secs(60);
/// More texts than this come from many clusters at once; the oldest are forgotten.
const KEPT_MAX: usize = 256;
/// Lines of a cluster in that time: one cause has several texts by turns, and each broker its own.
const LINES_MAX: usize = 16;

static SAID: Mutex<Said> = Mutex::new(Said(VecDeque::new()));

/// Cluster, text, and when it was logged; the oldest first.
#[derive(Debug, Default)]
struct Said(VecDeque<(String, String, Instant)>);

/// Whether this was not logged of the cluster recently; it is from here on.
pub(crate) fn is_news(brokers: &str, text: &str) -> bool {
    SAID.lock().unwrap_or_else(PoisonError::into_inner).is_news(brokers, text, Instant::now())
}

impl Said {
    fn is_news(&mut self, brokers: &str, text: &str, now: Instant) -> bool {
        while self.0.front().is_some_and(|(.., at)| now.duration_since(*at) >= SAID_AGAIN_AFTER) {
            self.0.pop_front();
        }
        // Digits count attempts and tell brokers and threads apart.
        let text: String = text.chars().filter(|sign| !sign.is_ascii_digit()).collect();
        let mut lines = 0;
        for (_, said, _) in self.0.iter().filter(|(of, ..)| of == brokers) {
            lines += 1;
            if *said == text || lines == LINES_MAX {
                return false;
            }
        }
        if self.0.len() == KEPT_MAX {
            self.0.pop_front();
        }
        self.0.push_back((brokers.to_owned(), text, now));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_take_turns_are_each_said_once_in_a_while() {
        let (mut said, begin) = (Said::default(), Instant::now());
        let mut lines = 0;
        for second in 0..180 {
            let now = begin + Duration::from_secs(second);
            for text in ["refused", "timed out", "1/1 brokers are down"] {
                lines += u64::from(said.is_news("a:9092", text, now));
            }
        }
        assert_eq!(lines, 9);
        assert!(said.is_news("b:9092", "refused", begin + Duration::from_secs(180)), "of another cluster");
        let letters = ('a'..='z').map(String::from);
        let lines = letters.filter(|text| said.is_news("c:9092", text, begin)).count();
        assert_eq!(lines, LINES_MAX, "however many texts there are");
        for number in 0..1_000 {
            said.is_news(&format!("{number}:9092"), "refused", begin);
        }
        assert!(said.0.len() <= KEPT_MAX);
    }
}
