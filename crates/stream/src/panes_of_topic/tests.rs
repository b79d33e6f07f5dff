//! Any order in which no row is too late gives the same rows, with windows closing meanwhile.

use std::collections::BTreeMap;

use arrow::array::{ArrayRef, StringArray, TimestampMicrosecondArray, new_null_array};
use arrow::util::pretty::pretty_format_batches;
use proptest::prelude::*;
use vitral_panes::watermark::Watermarks;
use vitral_panes::{EngineConfig, engine_session};
use vitral_schemas::catalog::{Catalog, ShopSettings};

use super::*;

const START_MS: i64 = 1_747_260_000_000;
const LATENESS_MS: i64 = 3_600_000;
const DELAY_MS: i64 = 10_000;

struct Engine {
    topic: Topic,
    panes: PanesOfTopic,
    watermarks: Watermarks,
    published: Vec<BTreeMap<i64, RecordBatch>>,
}

impl Engine {
    fn new() -> Self {
        let settings = ShopSettings::default();
        let catalog = Catalog::load(&[], &settings).expect("the built-in catalog");
        let topic = catalog.topics[0].clone();
        let session = engine_session(EngineConfig::default()).expect("a session");
        let panes = PanesOfTopic::new(&catalog, &topic, &settings, &session, 1 << 30).expect("planned");
        let published = panes.metrics.iter().map(|_| BTreeMap::new()).collect();
        Self { watermarks: Watermarks::new(DELAY_MS, 30_000, None), topic, panes, published }
    }

    /// One batch: fold, advance M, publish what closed.
    fn take(&mut self, partition: i32, events: &[(i64, u8)]) {
        let bound = self.watermarks.effective_ms().map_or(i64::MIN, |ms| ms - LATENESS_MS);
        assert!(events.iter().all(|(ms, _)| *ms >= bound), "the order allows no late row");
        let rows = rows(&self.topic, events);
        self.panes.fold(partition, &rows).expect("folded");
        for (ms, _) in events {
            self.watermarks.observe_event(partition, *ms);
        }
        // Live results in between must not disturb.
        self.panes.refresh().expect("refreshed");
        if self.watermarks.advance(i64::MAX / 4) {
            let effective_ms = self.watermarks.effective_ms().expect("it moved");
            self.publish(effective_ms);
        }
    }

    fn publish(&mut self, effective_ms: i64) {
        for (index, rows) in self.panes.closed(effective_ms).expect("closed") {
            for (start_ms, rows) in rows.iter().flat_map(|rows| split_by_window(rows).expect("split")) {
                assert!(self.published[index].insert(start_ms, rows).is_none(), "a window is published once");
            }
            self.panes.published(index, effective_ms).expect("published");
        }
    }

    /// Final and provisional rows of every metric, as text.
    fn result(mut self) -> Vec<String> {
        self.panes.refresh().expect("refreshed");
        let all = self.panes.metrics.iter().zip(self.published).map(|(metric, mut windows)| {
            for (start_ms, rows) in metric.open.iter() {
                assert!(windows.insert(*start_ms, rows.clone()).is_none(), "a window is open or published");
            }
            let rows: Vec<RecordBatch> = windows.into_values().collect();
            pretty_format_batches(&rows).expect("printable").to_string()
        });
        all.collect()
    }
}

/// Events of a few users and products; `what` picks the rest.
fn rows(topic: &Topic, events: &[(i64, u8)]) -> RecordBatch {
    let text = |f: &dyn Fn(u8) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(events.iter().map(|(_, what)| f(*what))))
    };
    let columns = topic.columns.iter().map(|column| match column.name.as_str() {
        "id_usuario" => text(&|what| format!("u{}", what % 5)),
        "tipo_evento" => {
            text(&|what| ["clique", "compra", "reembolso", "inicio_checkout"][usize::from(what % 4)].into())
        }
        "id_produto" => text(&|what| format!("p{}", what % 3)),
        "id_pedido" => text(&|what| format!("o{}", what % 7)),
        "moeda" => text(&|_| "BRL".into()),
        "timestamp" => {
            let micros = events.iter().map(|(ms, _)| ms * 1_000);
            Arc::new(TimestampMicrosecondArray::from_iter_values(micros).with_timezone("UTC"))
        }
        _ => new_null_array(&column.kind.data_type(), events.len()),
    });
    RecordBatch::try_new(topic.schema(), columns.collect()).expect("the topic's columns")
}

/// Orders the events so that none is older than the newest before it less the watermark's delay and the lateness: each is drawn
/// from those that still may come.
fn shuffle(mut events: Vec<(i64, u8)>, choices: &[usize]) -> Vec<(i64, u8)> {
    events.sort_unstable();
    let mut order = Vec::new();
    for choice in choices.iter().cycle().take(events.len()) {
        // Whatever waits must still be allowed after the one that is drawn.
        let latest = events[0].0 + DELAY_MS + LATENESS_MS;
        let allowed = events.iter().take_while(|(ms, _)| *ms <= latest).count();
        order.push(events.remove(choice % allowed));
    }
    order
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_order_within_the_lateness_gives_the_same_rows(
        // Eight hours, so that windows close on the way.
        events in prop::collection::vec((0i64..8 * 3_600, any::<u8>()), 1..60),
        choices in prop::collection::vec(any::<usize>(), 20),
        cuts in prop::collection::vec(1usize..6, 20),
    ) {
        let events: Vec<(i64, u8)> = events.into_iter().map(|(second, what)| (START_MS + second * 1_000, what)).collect();
        let mut whole = Engine::new();
        whole.take(0, &events);
        let mut split = Engine::new();
        for partition in [0, 1] {
            split.watermarks.add_partition(partition);
        }
        let mut order = shuffle(events, &choices).into_iter().peekable();
        let mut size = cuts.iter().cycle();
        let mut partition = 0;
        while order.peek().is_some() {
            let batch: Vec<_> = order.by_ref().take(*size.next().unwrap_or(&1)).collect();
            split.take(partition, &batch);
            partition = 1 - partition;
        }
        prop_assert_eq!(whole.result(), split.result());
    }
}
