//! `vitral check --try 1d`: what the catalog makes of the last stored events, and what each event
//! costs.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use arrow::util::pretty::pretty_format_batches;
use chrono::{DateTime, SecondsFormat, Utc};
use vitral_batch::import::wording::counted;
use vitral_catalog::{Catalog, DomainSettings};
use vitral_config::{Config, REFERENCE_DIR};
use vitral_connect::with_causes;
use vitral_process::output::answer;
use vitral_process::thread_cpu_time;
use vitral_query::{Limits, Reader, References, Store, TimeRange};

use crate::args::Common;
use crate::length::length_ms;
use crate::warehouse;

/// Rows that are shown of each.
const SHOWN: usize = 5;

const LONGEST: Duration = Duration::from_secs(366 * 86_400);

/// How far back from the newest event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let ms = length_ms(text).and_then(|ms| u64::try_from(ms).ok()).map(Duration::from_millis);
        ms.filter(|length| *length <= LONGEST).map(Self).ok_or_else(|| {
            format!("{text} is not a duration of up to a year: write for example 1d, 6h or '30 minutes'")
        })
    }
}

pub(super) async fn run(
    catalog: &Arc<Catalog>,
    settings: &DomainSettings,
    (config, common): (&Config, &Common),
    span: Span,
) -> anyhow::Result<()> {
    let references = References::new(common.data_dir.join(REFERENCE_DIR));
    let limits = Limits { timeout: Duration::MAX, ..config.query.limits() };
    let reader = Reader::stored(Arc::clone(catalog), references, limits)?;
    let location = config.location(&common.data_dir)?;
    let warehouse = warehouse::reader(config, catalog, &location)?;
    let store = Store::new(Arc::clone(catalog), settings.clone(), location);
    let needs = reader.everything();
    let point = store.read_point(&needs, Utc::now().timestamp_millis()).await?;
    let point = warehouse.added_to(point, &needs, reader.names()).await?;
    let mut widest: Option<TimeRange> = None;
    for topic in &catalog.topics {
        let Some(range) = reader.last_events(&point, topic, span.0).await? else {
            answer(&format!("{}: nothing is stored of it yet", topic.name));
            continue;
        };
        widest = Some(widest.map_or(range, |widest| spanning(widest, range)));
        answer(&format!("{}: events from {} to {}", topic.name, time(range.from), time(range.until)));
        let tried = reader.try_metrics(&point, (catalog, topic), settings, range, SHOWN, thread_cpu_time).await?;
        for metric in tried {
            let nanos = metric.folding.as_nanos() / (metric.events.max(1) as u128);
            let windows = match metric.outcome {
                Ok(windows) => windows,
                Err(error) => {
                    answer(&format!("\n{}: fails on these events: {}", metric.metric, with_causes(&error)));
                    continue;
                }
            };
            answer(&format!(
                "\n{}: {}, {}, {nanos} ns of CPU time for each event",
                metric.metric,
                counted(metric.events as u64, "event"),
                counted(windows.count as u64, "window")
            ));
            answer(&pretty_format_batches(&[windows.rows]).context("the rows cannot be shown")?.to_string());
        }
    }
    let range = widest.unwrap_or_default();
    for endpoint in &catalog.endpoints {
        match reader.try_endpoint(&point, endpoint, range, SHOWN).await {
            Ok(tried) => {
                answer(&format!("\n{}: answered in {} ms", endpoint.path, tried.took.as_millis()));
                answer(&pretty_format_batches(&[tried.rows]).context("the rows cannot be shown")?.to_string());
            }
            // One that fails on the data says nothing about the others.
            Err(error) => answer(&format!("\n{}: fails on these rows: {}", endpoint.path, with_causes(&error))),
        }
    }
    Ok(())
}

/// From the earlier start to the later end.
fn spanning(one: TimeRange, other: TimeRange) -> TimeRange {
    TimeRange {
        from: one.from.zip(other.from).map(|(one, other)| one.min(other)),
        until: one.until.zip(other.until).map(|(one, other)| one.max(other)),
    }
}

fn time(micros: Option<i64>) -> String {
    micros
        .and_then(DateTime::from_timestamp_micros)
        .map_or_else(|| "the beginning".to_owned(), |time| time.to_rfc3339_opts(SecondsFormat::Millis, true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_tried_on_the_events_of_all_topics() {
        let range = |from, until| TimeRange { from: Some(from), until: Some(until) };
        assert_eq!(spanning(range(1, 5), range(3, 4)), range(1, 5));
        assert_eq!(spanning(range(3, 4), range(1, 9)), range(1, 9));
        assert_eq!(spanning(range(3, 4), TimeRange::default()), TimeRange::default(), "without bounds");
    }

    #[test]
    fn it_looks_back_a_year_at_most() {
        let seconds = |text: &str| text.parse::<Span>().map(|span| span.0.as_secs());
        assert_eq!((seconds("1d"), seconds("366d"), seconds("2 hours")), (Ok(86_400), Ok(366 * 86_400), Ok(7_200)));
        for wrong in ["367d", "0h", "soon"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
