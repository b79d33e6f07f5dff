//! Live results, renewed now and then; seldom while there is much to read.

use std::time::{Duration, Instant};

use vitral_schemas::event_time::Watermark;

use super::reader::TopicReader;
use super::{Pipeline, Timing};
use crate::config::StreamConfig;

/// While there is more to read than is read at once, live results are renewed this seldom, and take
/// one part in so many of the pipeline's time.
const INTERVAL_BEHIND: Duration = Duration::from_secs(2);
const SHARE_BEHIND: u32 = 20;

pub(super) struct RefreshSchedule {
    last: Instant,
    took: Duration,
}

impl RefreshSchedule {
    pub(super) fn new() -> Self {
        Self { last: Instant::now(), took: Duration::ZERO }
    }

    fn is_due(&self, config: &StreamConfig, reader: &TopicReader) -> bool {
        let pause = match reader.is_caught_up {
            true => config.live_refresh.max(self.took),
            false => INTERVAL_BEHIND.max(self.took * SHARE_BEHIND),
        };
        self.last.elapsed() >= pause
    }
}

impl Pipeline {
    pub(super) fn refresh(&mut self, timing: Timing) {
        if timing == Timing::WhenDue && !self.refresh.is_due(&self.context.config, &self.reader) {
            return;
        }
        let started = Instant::now();
        self.state.panes.refresh();
        self.report_failures();
        self.publisher.live = Some(self.completeness());
        self.publish_view();
        self.refresh = RefreshSchedule { last: Instant::now(), took: started.elapsed() };
        self.report_gauges();
    }

    fn report_gauges(&self) {
        let (telemetry, label, state) = (&self.context.telemetry, &self.context.label, &self.state);
        let gauge = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
        telemetry.refresh_seconds.observe(self.refresh.took.as_secs_f64());
        let gauges = &telemetry.gauges;
        gauges.pane_bytes.get_or_create(label).set(gauge(state.panes.memory_bytes()));
        gauges.pane_groups.get_or_create(label).set(gauge(state.panes.group_count()));
        gauges.known_ids.get_or_create(label).set(gauge(state.classifier.known_id_count()));
        gauges.uncommitted_bytes.get_or_create(label).set(gauge(self.buffer.bytes()));
        gauges.watermark_ms.get_or_create(label).set(self.folded_watermarks().of_topic().map_or(0, Watermark::ms));
    }
}
