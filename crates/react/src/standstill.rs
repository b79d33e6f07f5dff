//! The alert of the engine itself: a topic's committed watermark stands still though its partitions
//! have more to read.

use std::collections::{BTreeMap, BTreeSet};

use vitral_panes::view::View;
use vitral_schemas::health::TopicHealth;

use crate::found::Found;

/// How long it has to stand still: a restart of a broker or a large batch is shorter.
pub(crate) const STILL_MS: i64 = 120_000;

/// Since when each topic's watermark has stood still.
#[derive(Debug, Default)]
pub(crate) struct Standstill(BTreeMap<String, (Option<i64>, i64)>);

impl Standstill {
    /// The topics that stand still now; `steady_ms` never steps back. Of those that an earlier
    /// look, or an earlier process, has `found`, it must be known that they have moved.
    pub fn look(&mut self, view: &View, steady_ms: i64, found: &BTreeSet<String>) -> Found {
        let health = view.health.topics();
        let mut still = Vec::new();
        let unknown = found.iter().filter(|topic| !health.contains_key(*topic));
        still.extend(unknown.map(|topic| (topic.clone(), "{}".to_owned())));
        for (topic, health) in health {
            let watermark_ms = view.committed_watermarks.get(&topic).map(|watermark| watermark.ms());
            let behind = behind(&health);
            let since_ms = if found.contains(&topic) { steady_ms - STILL_MS } else { steady_ms };
            let known = self.0.entry(topic.clone()).or_insert((watermark_ms, since_ms));
            let has_moved = known.0 != watermark_ms || behind == Some(0);
            if has_moved {
                *known = (watermark_ms, steady_ms);
            }
            let stands = !has_moved && steady_ms - known.1 >= STILL_MS;
            if stands && (behind.is_some() || found.contains(&topic)) {
                let row =
                    serde_json::json!({ "topico": topic, "marca_dagua_ms": watermark_ms, "mensagens_por_ler": behind });
                still.push((topic, row.to_string()));
            }
        }
        Found::of_rows(still)
    }
}

/// How many messages a topic has that were not read; none if that is not known of all partitions.
fn behind(topic: &TopicHealth) -> Option<i64> {
    if topic.partitions.is_empty() {
        return None;
    }
    topic.partitions.values().map(|partition| Some((partition.end? - partition.position).max(0))).sum()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use vitral_schemas::event_time::Watermark;
    use vitral_schemas::health::PartitionHealth;
    use vitral_schemas::position::{Offset, PartitionId};

    use super::*;

    fn view(watermark_ms: i64, end: i64) -> View {
        let view = View::default();
        view.health.topic("eventos", |topic| {
            let partition = PartitionHealth::at(Offset(10), Some(Offset(end)), Instant::now());
            topic.partitions.insert(PartitionId(0), partition);
        });
        let committed_watermarks = [("eventos".to_owned(), Watermark::from_ms(watermark_ms))].into();
        View { committed_watermarks, ..view }
    }

    #[test]
    fn a_topic_stands_still_only_while_it_has_more_to_read() {
        let (mut standstill, none) = (Standstill::default(), BTreeSet::new());
        let keys = |found: Found| found.keys().map(str::to_owned).collect::<Vec<_>>();
        assert!(keys(standstill.look(&view(5, 20), 0, &none)).is_empty());
        assert!(keys(standstill.look(&view(5, 20), STILL_MS - 1, &none)).is_empty());
        let found = standstill.look(&view(5, 20), STILL_MS, &none);
        assert!(found.content("eventos").contains("\"mensagens_por_ler\":10"), "{}", found.content("eventos"));
        assert_eq!(keys(found), ["eventos"]);
        assert!(keys(standstill.look(&view(6, 20), STILL_MS + 1, &none)).is_empty(), "it has moved");
        assert!(keys(standstill.look(&view(6, 10), 9 * STILL_MS, &none)).is_empty(), "there is nothing to read");
        assert!(keys(standstill.look(&view(6, 20), 9 * STILL_MS + 1, &none)).is_empty(), "new messages have just come");
    }

    #[test]
    fn a_start_does_not_end_what_an_earlier_process_has_found() {
        let found = BTreeSet::from(["eventos".to_owned()]);
        let keys = |found: Found| found.keys().map(str::to_owned).collect::<Vec<_>>();
        let mut standstill = Standstill::default();
        assert_eq!(keys(standstill.look(&View::default(), 0, &found)), ["eventos"], "nothing is known of it yet");
        assert_eq!(keys(standstill.look(&view(5, 20), 1, &found)), ["eventos"], "it has more to read");
        assert!(keys(standstill.look(&view(6, 20), 2, &found)).is_empty(), "it has moved");
        let unread = view(6, 20);
        unread.health.topic("eventos", |topic| topic.partitions.clear());
        let mut standstill = Standstill::default();
        assert_eq!(keys(standstill.look(&unread, 0, &found)), ["eventos"], "its partitions are not known yet");
        assert!(keys(standstill.look(&view(6, 10), 1, &found)).is_empty(), "there is nothing to read");
    }
}
