//! The demo's status line: rates and what did not count, refreshed in place.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use vitral_panes::view::{Completeness, ViewReceiver};

use crate::broker::PARTITIONS;

const REFRESH: Duration = Duration::from_secs(1);
/// Where nobody watches a line change.
const REFRESH_LOG: Duration = Duration::from_secs(30);

/// The line, with what it has shown last.
pub struct Status {
    view: ViewReceiver,
    last: (Instant, u64),
}

impl Status {
    /// Of the topics that the view has.
    pub fn new(view: ViewReceiver) -> Self {
        let read = shown(&view).read;
        Self { view, last: (Instant::now(), read) }
    }

    /// Shows the line forever.
    pub async fn show(&mut self) {
        let terminal = std::io::stdout().is_terminal();
        loop {
            tokio::time::sleep(if terminal { REFRESH } else { REFRESH_LOG }).await;
            let line = self.line();
            let mut out = std::io::stdout().lock();
            let shown = if terminal { write!(out, "\r\x1b[2K{line}") } else { writeln!(out, "{line}") };
            // Nobody reads it: no reason to stop.
            let _ = shown.and_then(|()| out.flush());
        }
    }

    fn line(&mut self) -> String {
        let now = shown(&self.view);
        let (since, read) = std::mem::replace(&mut self.last, (Instant::now(), now.read));
        let rate = (now.read - read) as f64 / since.elapsed().as_secs_f64();
        let behind = now.watermark.map_or_else(
            || "no watermark yet".to_owned(),
            |watermark| {
                format!("watermark {} s behind", (chrono::Utc::now().timestamp_millis() - watermark.ms()) / 1000)
            },
        );
        format!(
            "{rate:.0} events/s · {} counted · {} duplicate · {} late · {} refused · {behind}",
            now.counted, now.duplicate, now.late, now.refused
        )
    }
}

fn shown(view: &ViewReceiver) -> Completeness {
    total(view.borrow().topics.values().map(|topic| &topic.completeness))
}

/// The sum over all topics, with the smallest watermark of those that somebody sends to: the demo
/// is not behind where nothing comes. If all are quiet, it is the newest.
fn total<'a>(topics: impl Iterator<Item = &'a Completeness>) -> Completeness {
    let (mut sum, mut of_quiet) = (Completeness::default(), None);
    for topic in topics {
        let Completeness { watermark, read, counted, duplicate, late, refused, idle_partitions, .. } = topic;
        sum.read += read;
        sum.counted += counted;
        sum.duplicate += duplicate;
        sum.late += late;
        sum.refused += refused;
        if idle_partitions.len() >= PARTITIONS as usize {
            of_quiet = of_quiet.max(*watermark);
        } else {
            sum.watermark = match (sum.watermark, *watermark) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
        }
    }
    sum.watermark = sum.watermark.or(of_quiet);
    sum
}

#[cfg(test)]
mod tests {
    use vitral_schemas::event_time::Watermark;
    use vitral_schemas::position::PartitionId;

    use super::*;

    fn topic(watermark_ms: i64, idle: i32) -> Completeness {
        let idle_partitions = (0..idle).map(PartitionId).collect();
        Completeness {
            watermark: Some(Watermark::from_ms(watermark_ms)),
            read: 1,
            idle_partitions,
            ..Completeness::default()
        }
    }

    #[test]
    fn a_topic_to_which_nobody_sends_holds_nothing_back() {
        let of = |topics: &[Completeness]| total(topics.iter()).watermark.map(Watermark::ms);
        assert_eq!(of(&[topic(90, 1), topic(80, 3), topic(10, PARTITIONS)]), Some(80));
        assert_eq!(of(&[topic(10, PARTITIONS), topic(20, PARTITIONS)]), Some(20), "all are quiet");
        assert_eq!(of(&[topic(10, PARTITIONS), Completeness::default()]), Some(10), "the other has none yet");
        assert_eq!(of(&[]), None);
        assert_eq!(total([topic(90, 0), topic(10, PARTITIONS)].iter()).read, 2, "it is counted all the same");
    }
}
