//! When each message is sent.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::Message;

/// Short waits would only add up to lateness.
const WAIT_MIN: Duration = Duration::from_millis(2);
/// How soon a stop is noticed while waiting.
const WAIT_MAX: Duration = Duration::from_millis(50);

/// When messages are sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// As fast as they are taken.
    Unlimited,
    /// As far apart as their times are.
    EventTime {
        /// The time of a message that is sent at once, in milliseconds since the Unix epoch.
        start_ms: i64,
    },
    /// This many per second, evenly spaced.
    PerSecond(f64),
}

impl Pace {
    /// When the message at `index` is due, counted from the first moment.
    fn due(self, index: u64, event_ms: i64) -> Duration {
        match self {
            Self::Unlimited => Duration::ZERO,
            Self::EventTime { start_ms } => {
                Duration::from_millis(u64::try_from(event_ms.saturating_sub(start_ms)).unwrap_or_default())
            }
            Self::PerSecond(rate) => Duration::try_from_secs_f64(index as f64 / rate).unwrap_or(Duration::MAX),
        }
    }
}

/// Gives `messages` to `send` at their pace until they end, `stop` is set, or one cannot be sent.
/// Blocks.
///
/// # Errors
/// The error of `send`, after which nothing more is sent.
pub fn play<E>(
    messages: impl IntoIterator<Item = Message>,
    pace: Pace,
    stop: &AtomicBool,
    mut send: impl FnMut(&Message) -> Result<(), E>,
) -> Result<(), E> {
    let began = Instant::now();
    for (index, message) in (0..).zip(messages) {
        let due = pace.due(index, message.event_ms);
        loop {
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            let wait = due.saturating_sub(began.elapsed());
            if wait < WAIT_MIN {
                break;
            }
            std::thread::sleep(wait.min(WAIT_MAX));
        }
        send(&message)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MessageKind;

    fn message(event_ms: i64) -> Message {
        Message { topic: "", key: String::new(), payload: Vec::new(), event_ms, kind: MessageKind::Prompt }
    }

    #[test]
    fn messages_are_due_by_their_time_or_by_their_number() {
        let seconds = |pace: Pace, index, event_ms| pace.due(index, event_ms).as_secs_f64();
        assert_eq!(seconds(Pace::Unlimited, 7, 9_000), 0.0);
        assert_eq!(seconds(Pace::EventTime { start_ms: 1_000 }, 7, 9_000), 8.0);
        assert_eq!(seconds(Pace::EventTime { start_ms: 1_000 }, 7, 500), 0.0);
        assert_eq!(seconds(Pace::PerSecond(2.0), 7, 9_000), 3.5);
    }

    #[test]
    fn what_cannot_be_sent_ends_it() {
        let mut sent = 0;
        let send = |_: &Message| {
            sent += 1;
            if sent == 3 { Err("full") } else { Ok(()) }
        };
        let ended = play((0..).map(message), Pace::Unlimited, &AtomicBool::new(false), send);
        assert_eq!((ended, sent), (Err("full"), 3));
    }

    #[test]
    fn a_stop_ends_even_a_long_wait() {
        let stop = AtomicBool::new(false);
        let ended = std::thread::scope(|scope| {
            let playing =
                scope.spawn(|| play([message(i64::MAX)], Pace::EventTime { start_ms: 0 }, &stop, |_| Err(())));
            stop.store(true, Ordering::Relaxed);
            playing.join().expect("no panic")
        });
        assert_eq!(ended, Ok(()));
    }
}
