//! The demo's status line: rates and what did not count, refreshed in place.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use vitral_panes::view::{Completeness, ViewReceiver};

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
        let read = total(&view).read;
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
        let now = total(&self.view);
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

/// The sum over all topics, with the smallest watermark.
fn total(view: &ViewReceiver) -> Completeness {
    let view = view.borrow();
    view.topics.values().fold(Completeness::default(), |mut sum, topic| {
        let Completeness { watermark, read, counted, duplicate, late, refused, .. } = &topic.completeness;
        sum.read += read;
        sum.counted += counted;
        sum.duplicate += duplicate;
        sum.late += late;
        sum.refused += refused;
        sum.watermark = match (sum.watermark, *watermark) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        sum
    })
}
