//! Any order in which no row is too late gives the same rows, with windows closing meanwhile; and a
//! metric that fails is alone.

use std::collections::BTreeMap;

use arrow::array::{ArrayRef, Int64Array, StringArray, TimestampMicrosecondArray, new_null_array};
use arrow::util::pretty::pretty_format_batches;
use proptest::prelude::*;
use vitral_catalog::{Catalog, DEFAULT_DOMAIN, DomainSettings, SourceFile, builtin_files};
use vitral_engine::{EngineConfig, engine_session};
use vitral_panes::split_by_window;
use vitral_panes::watermark::Watermarks;
use vitral_schemas::position::PartitionId;
use vitral_schemas::time::ManualClock;

use super::*;

const START_MS: i64 = 1_747_260_000_000;
const LATENESS_MS: i64 = 3_600_000;
const DELAY_MS: i64 = 10_000;

struct Engine {
    topic: Topic,
    panes: TopicPanes,
    watermarks: Watermarks,
    published: BTreeMap<MetricVersionId, BTreeMap<i64, RecordBatch>>,
    /// Published sessions, each of which is a window of its own, though several may begin together.
    sessions: Vec<RecordBatch>,
}

impl Engine {
    fn new() -> Self {
        Self::with("", 1 << 30)
    }

    /// With these metrics besides the built-in ones, and so much memory.
    fn with(metrics: &str, memory_bytes: usize) -> Self {
        let settings = DomainSettings::default();
        let file = SourceFile { path: "above.sql".to_owned(), text: metrics.to_owned() };
        let above = if metrics.is_empty() { Vec::new() } else { vec![file] };
        let catalog = Catalog::parse(&[builtin_files(&[DEFAULT_DOMAIN]), above], &settings).expect("a catalog");
        let topic = catalog.topics[0].clone();
        let session = engine_session(EngineConfig { memory_bytes }).expect("a session");
        let clock = Arc::new(ManualClock::new(START_MS));
        let panes = TopicPanes::new(&catalog, &topic, &settings, &session, memory_bytes, clock).expect("planned");
        let watermarks = Watermarks::new(DELAY_MS, 30_000, None);
        Self { watermarks, topic, panes, published: BTreeMap::new(), sessions: Vec::new() }
    }

    /// One batch: fold, advance the watermark, publish what closed.
    fn take(&mut self, partition: i32, events: &[(i64, u8)]) {
        let bound = self.watermarks.of_topic().map_or(EventTime::MIN, |watermark| watermark.late_before(LATENESS_MS));
        assert!(events.iter().all(|(ms, _)| EventTime::from_ms(*ms) >= bound), "the order allows no late row");
        let rows = rows(&self.topic, events);
        self.panes.fold(PartitionId(partition), &rows);
        for (ms, _) in events {
            self.watermarks.observe_event(PartitionId(partition), EventTime::from_ms(*ms));
        }
        // Live results in between must not disturb.
        self.look();
        if self.watermarks.advance(i64::MAX / 4, 0) {
            self.publish(self.watermarks.of_topic().expect("it moved"));
        }
    }

    /// Readers ask for every open window after a refresh; the next one knows what came of it.
    fn look(&mut self) {
        self.panes.refresh();
        for metric in &self.panes.metrics {
            metric.open.rows();
        }
        self.panes.refresh();
    }

    fn publish(&mut self, watermark: Watermark) {
        for (id, rows) in self.panes.closed(watermark) {
            if is_of_sessions(self.panes.get(&id).expect("a version")) {
                self.sessions.extend(rows);
                self.panes.published(&id, watermark);
                continue;
            }
            let published = self.published.entry(id.clone()).or_default();
            for (start_ms, rows) in rows.iter().flat_map(|rows| split_by_window(rows).expect("split")) {
                assert!(published.insert(start_ms, rows).is_none(), "a window is published once");
            }
            self.panes.published(&id, watermark);
        }
    }

    fn index(&self, name: &str) -> usize {
        self.panes.metrics.iter().position(|metric| metric.plan().metric.name == name).expect("a metric")
    }

    fn reason(&self, name: &str) -> Option<&str> {
        self.panes.failure_of(&self.panes.metrics[self.index(name)]).map(|failure| failure.reason.as_str())
    }

    /// Final and provisional rows of every metric, as text.
    fn result(mut self) -> Vec<String> {
        self.panes.refresh();
        let all = self.panes.metrics.iter().map(|metric| {
            if is_of_sessions(metric) {
                let rows = self.sessions.iter().chain(metric.open.rows().values()).cloned().collect::<Vec<_>>();
                let text = pretty_format_batches(&rows).expect("printable").to_string();
                // In the order of their texts: they were published as they ended.
                let mut lines: Vec<&str> = text.lines().filter(|line| line.contains("20")).collect();
                lines.sort_unstable();
                return lines.join("\n");
            }
            let mut windows = self.published.remove(&metric.id).unwrap_or_default();
            for (start_ms, rows) in metric.open.rows() {
                assert!(windows.insert(*start_ms, rows.clone()).is_none(), "a window is open or published");
            }
            let rows: Vec<RecordBatch> = windows.into_values().collect();
            pretty_format_batches(&rows).expect("printable").to_string()
        });
        all.collect()
    }
}

fn is_of_sessions(metric: &LiveMetric) -> bool {
    metric.plan().metric.window.session_gap_micros().is_some()
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
        "quantidade" => Arc::new(Int64Array::from_iter_values(events.iter().map(|(_, what)| i64::from(what % 4)))),
        "timestamp" => {
            let micros = events.iter().map(|(ms, _)| ms * 1_000);
            Arc::new(TimestampMicrosecondArray::from_iter_values(micros).with_timezone("UTC"))
        }
        _ => new_null_array(&column.kind.data_type(), events.len()),
    });
    RecordBatch::try_new(topic.schema(), columns.collect()).expect("the topic's columns")
}

/// Orders the events so that none is older than the newest before it less the watermark's delay and
/// the lateness: each is drawn from those that still may come.
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
            split.watermarks.add_partition(PartitionId(partition), None);
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

const RATIO: &str = "CREATE MATERIALIZED VIEW conversao AS SELECT tumble(INTERVAL '1 minute') AS janela,
    count(*) FILTER (WHERE tipo_evento = 'compra') * 100 / count(*) FILTER (WHERE tipo_evento = 'clique') AS por_cento
    FROM eventos_clientes GROUP BY janela;";
const CAST: &str = "CREATE MATERIALIZED VIEW por_numero AS SELECT tumble(INTERVAL '1 minute') AS janela,
    sum(CAST(id_produto AS BIGINT)) AS soma FROM eventos_clientes GROUP BY janela;";
/// Of the events' kinds.
const CLICK: u8 = 0;
const SALE: u8 = 1;
const MINUTE_MS: i64 = 60_000;

/// The results but that of the last metric, which is the one that was added.
fn all_but_last(engine: Engine) -> Vec<String> {
    let mut results = engine.result();
    results.pop();
    results
}

#[test]
fn an_open_window_that_cannot_be_finished_is_not_shown_until_it_can() {
    let mut engine = Engine::with(RATIO, 1 << 30);
    let index = engine.index("conversao");
    engine.take(0, &[(START_MS, CLICK), (START_MS, SALE)]);
    assert_eq!(engine.reason("conversao"), None);
    assert_eq!(engine.panes.take_news().count(), 0);
    engine.take(0, &[(START_MS + MINUTE_MS, SALE)]);
    let reason = engine.reason("conversao").expect("a failure");
    assert!(reason.contains("division by zero") && reason.contains("nullif"), "{reason}");
    assert_eq!(engine.panes.take_news().collect::<Vec<_>>(), [engine.panes.metrics[index].id.clone()]);
    assert_eq!(
        engine.panes.metrics[index].open.rows().keys().copied().collect::<Vec<_>>(),
        [START_MS],
        "the other window is"
    );
    engine.take(0, &[(START_MS + MINUTE_MS, CLICK)]);
    assert_eq!(engine.reason("conversao"), None);
    assert_eq!(
        engine.panes.take_news().collect::<Vec<_>>(),
        [engine.panes.metrics[index].id.clone()],
        "that it ended is news too"
    );
    assert_eq!(engine.panes.metrics[index].open.rows().len(), 2);
}

#[test]
fn a_metric_that_cannot_be_published_is_set_aside_alone() {
    let (mut with, mut without) = (Engine::with(RATIO, 1 << 30), Engine::new());
    let index = with.index("conversao");
    for minute in [0, 1, 2, 300] {
        // No view in the third minute.
        let what = if minute == 2 { SALE } else { CLICK };
        for engine in [&mut with, &mut without] {
            engine.take(0, &[(START_MS + minute * MINUTE_MS, what)]);
        }
    }
    let metric = &with.panes.metrics[index];
    assert_eq!((metric.state, metric.panes.memory_bytes(), metric.open.rows().len()), (VersionState::SetAside, 0, 0));
    assert!(with.panes.is_shown(&with.panes.metrics[index]) && with.reason("conversao").is_some());
    // What comes later changes nothing for it, and is taken by the others.
    for engine in [&mut with, &mut without] {
        engine.take(0, &[(START_MS + 301 * MINUTE_MS, SALE)]);
    }
    assert_eq!(with.panes.metrics[index].panes.group_count(), 0);
    assert_eq!(all_but_last(with), without.result());
}

#[test]
fn a_metric_that_cannot_be_folded_is_set_aside_alone() {
    for large in [false, true] {
        let (mut with, mut without) = (Engine::with(CAST, 1 << 30), Engine::new());
        for engine in [&mut with, &mut without] {
            let parts = [(PartitionId(0), rows(&engine.topic, &[(START_MS, CLICK), (START_MS, SALE)]))];
            if large {
                engine.panes.fold_large(|_| Some(&parts));
            } else {
                engine.panes.fold(PartitionId(0), &parts[0].1);
            }
        }
        let reason = with.reason("por_numero").expect("a failure");
        assert!(reason.contains("cannot be read as BIGINT") && reason.contains("try_cast"), "{reason}");
        assert_eq!(all_but_last(with), without.result());
    }
}

#[test]
fn the_metric_with_the_most_memory_is_set_aside_for_lack_of_it() {
    const MEMORY_BYTES: usize = 12 << 20;
    let wide =
        "CREATE MATERIALIZED VIEW por_sessao AS SELECT tumble(INTERVAL '1 minute') AS janela, id_sessao, count(*) AS n
        FROM eventos_clientes GROUP BY janela, id_sessao;";
    for large in [false, true] {
        let (mut with, mut without) = (Engine::with(wide, MEMORY_BYTES), Engine::new());
        let index = with.index("por_sessao");
        for batch in 0..12 {
            let events: Vec<(i64, u8)> = (0..1_000).map(|row| (START_MS + row * 100, row as u8)).collect();
            let rows = rows(&with.topic, &events);
            let session = rows.schema().index_of("id_sessao").expect("a column");
            let mut columns = rows.columns().to_vec();
            let texts = (0..1_000).map(|row| format!("{batch}-{row}-{}", "s".repeat(2_000)));
            columns[session] = Arc::new(StringArray::from_iter_values(texts));
            let parts = [(PartitionId(0), RecordBatch::try_new(rows.schema(), columns).expect("rows"))];
            for engine in [&mut with, &mut without] {
                if large {
                    engine.panes.fold_large(|_| Some(&parts));
                } else {
                    engine.panes.fold(PartitionId(0), &parts[0].1);
                    engine.look();
                }
            }
        }
        assert_eq!(with.panes.metrics[index].state, VersionState::SetAside);
        let reason = with.reason("por_sessao").expect("a failure");
        assert!(reason.contains("panes.memory_bytes") && reason.contains(&MEMORY_BYTES.to_string()), "{reason}");
        let failed = with.panes.metrics.iter().filter(|metric| metric.failure.is_some()).count();
        assert_eq!(failed, 1, "no other");
        assert_eq!(all_but_last(with), without.result());
    }
}

/// Rows that are made from the states take memory too.
#[test]
fn provisional_rows_are_accounted_for() {
    let mut engine = Engine::with(RATIO, 1 << 30);
    let index = engine.index("vendas_por_minuto");
    let rows = rows(&engine.topic, &[(START_MS, SALE), (START_MS + MINUTE_MS, SALE)]);
    engine.panes.fold(PartitionId(0), &rows);
    let before = engine.panes.metrics[index].panes.memory_bytes();
    engine.panes.refresh();
    assert_eq!(engine.panes.metrics[index].panes.memory_bytes(), before, "nobody has asked for them");
    engine.look();
    let open: usize = engine.panes.metrics[index].open.rows().values().map(RecordBatch::get_array_memory_size).sum();
    assert!(open > 0);
    assert_eq!(engine.panes.metrics[index].panes.memory_bytes(), before + open);
}

/// While its successor fails, the version before it serves, and readers learn why.
#[test]
fn a_successor_that_fails_leaves_its_predecessor_serving() {
    let mut engine = Engine::with(RATIO, 1 << 30);
    let index = engine.index("conversao");
    engine.panes.metrics[index].state = VersionState::Backfilling { through: Watermark::from_ms(START_MS) };
    let mut other = Engine::with(RATIO, 1 << 30);
    let mut superseded = other.panes.metrics.remove(index);
    superseded.state = VersionState::Superseded;
    superseded.id = MetricVersionId::new("conversao", "an earlier one");
    let [new, old] = [engine.panes.metrics[index].id.clone(), superseded.id.clone()];
    engine.panes.add(superseded);
    engine.panes.set_aside(&new, "broken".to_owned());
    let is_shown = |engine: &Engine, id| engine.panes.is_shown(engine.panes.get(id).expect("a version"));
    assert!(is_shown(&engine, &old) && !is_shown(&engine, &new));
    let failure = engine.panes.failure_of(engine.panes.get(&old).expect("a version"));
    assert_eq!(failure.map(|failure| failure.reason.as_str()), Some("broken"));
    assert!(!engine.panes.has_history(&new), "a history that comes too late changes nothing");
    engine.panes.set_aside(&old, "broken too".to_owned());
    let old = engine.panes.get(&old).expect("a version");
    assert!(is_shown(&engine, &new) && old.state == VersionState::Retired);
}
