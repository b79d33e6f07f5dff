//! Shows those who try the demo which of their messages do not count, and why: on the terminal and,
//! by the API, on the page.
//!
//! The simulator sends some late and some malformed messages on purpose; only those of other
//! producers are reported. Which those are is known from where the broker put them.

mod kept;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type, TimestampMicrosecondType};
use chrono::{DateTime, SecondsFormat, Utc};
use vitral_batch::ledger::{self, LedgerFilter};
use vitral_catalog::Catalog;
use vitral_panes::view::ViewReceiver;
use vitral_schemas::notice::{Notice, NoticeSender};
use vitral_schemas::position::{Offset, PartitionId};
use vitral_schemas::topic::Topic;
use vitral_schemas::verdict::{Reason, Verdict};
use vitral_store::Location;

use crate::broker::DemoBroker;

const LOOK: Duration = Duration::from_secs(2);
/// Within this time after their arrival, messages have their verdict in the archive.
const FOLLOWED: Duration = Duration::from_secs(120);
/// A kind is reported on the terminal once in this time, however many arrive.
const AGAIN: Duration = Duration::from_secs(300);
/// The view knows of rows before the archive does: each change is looked into until a commit has
/// brought them.
const LOOKS: u32 = 4;
const ROWS: usize = 10_000;

/// Offsets of one partition, and since when they are followed.
type Followed = (PartitionId, Range<Offset>, Instant);

/// What has been seen of messages that do not count.
pub struct Notices {
    catalog: Arc<Catalog>,
    store: Location,
    data_dir: PathBuf,
    view: ViewReceiver,
    shown: NoticeSender,
    /// By topic: what others sent and that has no verdict yet, and since when.
    followed: BTreeMap<String, Vec<Followed>>,
    /// By topic: how many did not count at the last look, and how many more looks are due.
    not_counted: BTreeMap<String, (u64, u32)>,
    /// By topic, verdict and reason.
    kinds: BTreeMap<(String, String, Option<String>), Kind>,
}

struct Kind {
    notice: Notice,
    /// When this run last reported it on the terminal,
    reported: Option<Instant>,
    /// and how many of its messages have been reported.
    reported_messages: u64,
}

impl Notices {
    /// Begins with what earlier runs have reported.
    pub fn new(
        catalog: Arc<Catalog>,
        store: Location,
        data_dir: PathBuf,
        view: ViewReceiver,
        shown: NoticeSender,
    ) -> Self {
        let earlier = kept::load(&data_dir, Utc::now().timestamp_millis());
        let earlier = earlier.into_iter().map(|notice| {
            let reported_messages = notice.messages;
            (key(&notice), Kind { notice, reported: None, reported_messages })
        });
        let (followed, not_counted, kinds) = (BTreeMap::new(), BTreeMap::new(), earlier.collect());
        let notices = Self { catalog, store, data_dir, view, shown, followed, not_counted, kinds };
        notices.show();
        notices
    }

    fn show(&self) {
        self.shown.send_replace(self.kinds.values().map(|kind| kind.notice.clone()).collect());
    }

    /// Forever.
    pub async fn watch(&mut self, broker: &DemoBroker) {
        loop {
            tokio::time::sleep(LOOK).await;
            let now = Instant::now();
            for noted in broker.of_others() {
                let offsets = Offset(noted.offsets.start)..Offset(noted.offsets.end);
                self.followed.entry(noted.topic).or_default().push((PartitionId(noted.partition), offsets, now));
            }
            for topic in Arc::clone(&self.catalog).topics.iter() {
                self.look(topic).await;
            }
            self.followed.values_mut().for_each(|ranges| ranges.retain(|(.., at)| at.elapsed() < FOLLOWED));
            self.followed.retain(|_, ranges| !ranges.is_empty());
        }
    }

    async fn look(&mut self, topic: &Topic) {
        if !self.followed.contains_key(&topic.kafka_topic) {
            return;
        }
        let not_counted = self.view.borrow().topics.get(&topic.name).map_or(0, |topic| {
            let completeness = &topic.completeness;
            completeness.late + completeness.refused
        });
        let (seen, looks) = self.not_counted.entry(topic.name.clone()).or_default();
        if *seen != not_counted {
            (*seen, *looks) = (not_counted, LOOKS);
        }
        if *looks == 0 {
            return;
        }
        *looks -= 1;
        let from_ms = Utc::now().timestamp_millis() - 2 * FOLLOWED.as_millis() as i64;
        let wanted = LedgerFilter { cause: None, from_ms: Some(from_ms), to_ms: None }.condition();
        match ledger::refused_and_late(topic, &self.store, wanted, ROWS).await {
            Ok(rows) => rows.iter().for_each(|rows| self.take(topic, rows)),
            // The numbers are right all the same; the next look may succeed.
            Err(error) => tracing::debug!(%error, "messages that did not count cannot be looked for"),
        }
    }

    fn take(&mut self, topic: &Topic, rows: &RecordBatch) {
        let Some(followed) = self.followed.get_mut(&topic.kafka_topic) else { return };
        let partitions = rows.column(0).as_primitive::<Int32Type>();
        let offsets = rows.column(1).as_primitive::<Int64Type>();
        let (verdicts, reasons) = (rows.column(2).as_string::<i32>(), rows.column(3).as_string::<i32>());
        let arrivals = rows.column(4).as_primitive::<TimestampMicrosecondType>();
        let mut is_changed = false;
        let events = rows.column(5).as_primitive::<TimestampMicrosecondType>();
        for row in 0..rows.num_rows() {
            let (partition, offset) = (PartitionId(partitions.value(row)), Offset(offsets.value(row)));
            if !remove(followed, partition, offset) {
                continue;
            }
            let found = Notice {
                topic: topic.name.clone(),
                verdict: verdicts.value(row).to_owned(),
                reason: reasons.is_valid(row).then(|| reasons.value(row).to_owned()),
                messages: 1,
                partition,
                offset,
                arrival_ms: arrivals.value(row) / 1000,
                event_ms: events.is_valid(row).then(|| events.value(row) / 1000),
            };
            self.kinds
                .entry(key(&found))
                .and_modify(|kind| kind.notice = Notice { messages: kind.notice.messages + 1, ..found.clone() })
                .or_insert(Kind { notice: found, reported: None, reported_messages: 0 });
            is_changed = true;
        }
        for kind in self.kinds.values_mut().filter(|kind| kind.notice.topic == topic.name) {
            let is_due = kind.reported.is_none_or(|at| at.elapsed() > AGAIN);
            if is_due && kind.notice.messages > kind.reported_messages {
                (kind.reported, kind.reported_messages) = (Some(Instant::now()), kind.notice.messages);
                report(topic, &kind.notice);
            }
        }
        if is_changed {
            self.show();
            if let Err(error) = kept::store(&self.data_dir, self.kinds.values().map(|kind| &kind.notice)) {
                tracing::warn!(error = format!("{error:#}"), "notices cannot be kept for the next start");
            }
        }
    }
}

fn key(notice: &Notice) -> (String, String, Option<String>) {
    (notice.topic.clone(), notice.verdict.clone(), notice.reason.clone())
}

/// Takes one offset out of what is followed, if it is there.
fn remove(followed: &mut Vec<Followed>, partition: PartitionId, offset: Offset) -> bool {
    let is_in = |(of, range, _): &Followed| *of == partition && range.contains(&offset);
    let Some(index) = followed.iter().position(is_in) else { return false };
    let (_, range, at) = followed.swap_remove(index);
    let parts = [range.start..offset, offset + 1..range.end];
    followed.extend(parts.into_iter().filter(|part| !part.is_empty()).map(|part| (partition, part, at)));
    true
}

fn report(topic: &Topic, notice: &Notice) {
    vitral_process::output::answer_over_status(&words(topic, notice));
}

fn words(topic: &Topic, notice: &Notice) -> String {
    let Notice { messages, partition, offset, .. } = notice;
    // GET /livro and `vitral ledger` know it by its name in the catalog.
    let name = match topic.kafka_topic == topic.name {
        true => topic.name.clone(),
        false => format!("{} (topic {})", topic.name, topic.kafka_topic),
    };
    let place = format!("{name}, partition {partition}, offset {offset}");
    let many = if *messages == 1 { "1 message".to_owned() } else { format!("{messages} messages, the newest") };
    if notice.verdict == Verdict::Late.name() {
        let time =
            |ms| DateTime::<Utc>::from_timestamp_millis(ms).map(|time| time.to_rfc3339_opts(SecondsFormat::Secs, true));
        let time = notice.event_ms.and_then(time).unwrap_or_default();
        let minutes = topic.lateness_ms / 60_000;
        return format!(
            "NOT COUNTED, late (atrasada): {many} at {place}.\n  Its timestamp {time} is more than {minutes} minutes behind the newest \
             events, so its windows are closed.\n  Send current timestamps; for past events start `vitral demo --rate 0` with a new \
             --data-dir, or use `vitral import`."
        );
    }
    let reason = notice.reason.as_deref().unwrap_or_default();
    let why = match Reason::ALL.into_iter().find(|known| known.name() == reason) {
        Some(Reason::MissingField) => format!("a required field is absent ({})", needed_fields(topic)),
        Some(reason) => explained(reason).to_owned(),
        None => "it cannot be read".to_owned(),
    };
    format!(
        "NOT COUNTED, refused (recusada, {reason}): {many} at {place}.\n  Why: {why}.\n  `vitral ledger list` and GET /livro show it; \
         correct the producer and send it again."
    )
}

fn needed_fields(topic: &Topic) -> String {
    let names: Vec<_> =
        topic.columns.iter().filter(|column| column.needed).map(|column| column.name.as_str()).collect();
    names.join(", ")
}

fn explained(reason: Reason) -> &'static str {
    match reason {
        Reason::Json => "it is not one JSON object in UTF-8",
        Reason::MissingField => "a required field is absent",
        Reason::Type => "a field holds another JSON type than its column",
        Reason::Time => "its timestamp is not an RFC 3339 time such as 2025-05-14T12:34:56Z",
        Reason::Future => "its timestamp lies too far ahead of this machine's clock",
        Reason::Size => "it is larger than the topic allows",
        Reason::Value => "a field's value is outside its column's range, precision or check",
    }
}

#[cfg(test)]
mod tests {
    use vitral_catalog::{DomainSettings, SourceFile};

    use super::*;

    #[test]
    fn a_table_is_named_as_the_ledger_names_it() {
        let text = "CREATE TABLE eventos (t TIMESTAMP NOT NULL) WITH (connector = 'kafka', event_time = 't');
CREATE TABLE clientes (t TIMESTAMP NOT NULL) WITH (connector = 'kafka', event_time = 't', topic = 'loja.public.clientes');";
        let file = SourceFile { path: "a.sql".into(), text: text.into() };
        let catalog = Catalog::parse(&[vec![file]], &DomainSettings::default()).expect("a catalog");
        let reported = |name: &str| {
            let notice = Notice {
                topic: name.to_owned(),
                verdict: Verdict::Refused.name().to_owned(),
                reason: Some(Reason::Json.name().to_owned()),
                messages: 1,
                partition: PartitionId(2),
                offset: Offset(7),
                arrival_ms: 0,
                event_ms: None,
            };
            words(catalog.topic(name).expect("declared"), &notice)
        };
        let plain = reported("eventos");
        assert!(plain.contains("1 message at eventos, partition 2, offset 7."), "{plain}");
        let renamed = reported("clientes");
        assert!(renamed.contains("at clientes (topic loja.public.clientes), partition 2, offset 7."), "{renamed}");
    }

    #[test]
    fn an_offset_is_found_once() {
        let at = Instant::now();
        let of =
            |partition, offsets: Range<i64>| (PartitionId(partition), Offset(offsets.start)..Offset(offsets.end), at);
        let mut followed = vec![of(0, 10..13), of(1, 10..11)];
        let mut take = |partition, offset| remove(&mut followed, PartitionId(partition), Offset(offset));
        assert!(!take(0, 13));
        assert!(take(0, 11));
        assert!(!take(0, 11));
        for (partition, offset) in [(0, 10), (0, 12), (1, 10)] {
            assert!(take(partition, offset), "{partition} {offset}");
        }
        assert!(followed.is_empty());
    }
}
