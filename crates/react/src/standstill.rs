//! The alert of the engine itself: a topic's committed watermark stands still though its partitions have more to read.

use std::collections::BTreeMap;

use vitral_panes::view::View;
use vitral_schemas::health::PartitionHealth;

use crate::found::Found;

/// How long it has to stand still: a restart of a broker or a large batch is shorter.
pub(crate) const STILL_MS: i64 = 120_000;

/// Since when each topic's watermark has stood still.
#[derive(Debug, Default)]
pub(crate) struct Standstill(BTreeMap<String, (Option<i64>, i64)>);

impl Standstill {
    /// The topics that stand still now; `steady_ms` never steps back.
    pub fn look(&mut self, view: &View, steady_ms: i64) -> Found {
        let mut found = Vec::new();
        for (topic, health) in view.health.topics() {
            let watermark_ms = view.committed_watermarks.get(&topic).map(|watermark| watermark.ms());
            let behind: i64 = health.partitions.values().map(behind).sum();
            let known = self.0.entry(topic.clone()).or_insert((watermark_ms, steady_ms));
            if known.0 != watermark_ms || behind == 0 {
                *known = (watermark_ms, steady_ms);
            } else if steady_ms - known.1 >= STILL_MS {
                let row =
                    serde_json::json!({ "topico": topic, "marca_dagua_ms": watermark_ms, "mensagens_por_ler": behind });
                found.push((topic, row.to_string()));
            }
        }
        Found::of_rows(found)
    }
}

/// How many messages a partition has that were not read.
fn behind(partition: &PartitionHealth) -> i64 {
    partition.end.map_or(0, |end| (end - partition.position).max(0))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use vitral_schemas::event_time::Watermark;

    use super::*;

    fn view(watermark_ms: i64, end: i64) -> View {
        let view = View::default();
        view.health.topic("eventos", |topic| {
            let partition = PartitionHealth { position: 10, end: Some(end), moved: Instant::now(), held: false };
            topic.partitions.insert(0, partition);
        });
        let committed_watermarks = [("eventos".to_owned(), Watermark::from_ms(watermark_ms))].into();
        View { committed_watermarks, ..view }
    }

    #[test]
    fn a_topic_stands_still_only_while_it_has_more_to_read() {
        let mut standstill = Standstill::default();
        let keys = |found: Found| found.keys().map(str::to_owned).collect::<Vec<_>>();
        assert!(keys(standstill.look(&view(5, 20), 0)).is_empty());
        assert!(keys(standstill.look(&view(5, 20), STILL_MS - 1)).is_empty());
        let found = standstill.look(&view(5, 20), STILL_MS);
        assert!(found.content("eventos").contains("\"mensagens_por_ler\":10"), "{}", found.content("eventos"));
        assert_eq!(keys(found), ["eventos"]);
        assert!(keys(standstill.look(&view(6, 20), STILL_MS + 1)).is_empty(), "it has moved");
        assert!(keys(standstill.look(&view(6, 10), 9 * STILL_MS)).is_empty(), "there is nothing to read");
        assert!(keys(standstill.look(&view(6, 20), 9 * STILL_MS + 1)).is_empty(), "new messages have just come");
    }
}
