//! Tables with one row for each key: listed, page by page in the order of their keys, as CSV, in
//! SQL of views, and live.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use serde_json::Value;
use vitral_panes::view::{KeyedTableView, View};

use crate::live::{message, open};
use crate::world::{World, completeness, ms, table, topic_view, whole_catalog};

const PATH: &str = "/metricas/estoque_por_armazem";

/// Product, place, level, and in which second of the hour it changed.
type Level = (&'static str, &'static str, i64, i64);

fn view(levels: &[Level]) -> View {
    let times = || -> ArrayRef {
        let micros = levels.iter().map(|level| Some((ms("2025-05-14T22:00:00Z") + level.3 * 1_000) * 1_000));
        Arc::new(micros.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
    };
    let texts = |of: fn(&Level) -> &'static str| -> ArrayRef {
        Arc::new(levels.iter().map(|level| Some(of(level))).collect::<StringArray>())
    };
    let rows = RecordBatch::try_from_iter([
        ("id_produto", texts(|level| level.0)),
        ("id_armazem", texts(|level| level.1)),
        ("nivel_estoque", Arc::new(levels.iter().map(|level| level.2).collect::<Int64Array>()) as ArrayRef),
        ("ultima_atualizacao", times()),
        ("atualizado", times()),
    ]);
    let rows = rows.expect("rows");
    let shown = KeyedTableView {
        topic: "atualizacoes_estoque".to_owned(),
        keys: vec!["id_produto".to_owned(), "id_armazem".to_owned()],
        rows: table(rows.schema(), vec![rows]),
        through: Arc::default(),
        since_ms: Some(ms("2025-05-01T00:00:00Z")),
        failure: None,
    };
    let schema = whole_catalog(None).topic("atualizacoes_estoque").expect("the topic").archive_schema();
    let topic = topic_view(vec![RecordBatch::new_empty(schema)], Vec::new());
    View {
        ready: true,
        topics: [("atualizacoes_estoque".to_owned(), topic)].into(),
        keyed: [("estoque_por_armazem".to_owned(), shown)].into(),
        ..View::default()
    }
}

fn world(view: View) -> World {
    World::with(view, whole_catalog(None), |_| {})
}

fn levels(document: &Value) -> Vec<(&str, &str, i64)> {
    let rows = document["linhas"].as_array().expect("rows");
    assert!(rows.iter().all(|row| row["atualizado"].is_string() && row.get("provisoria").is_none()), "{document}");
    rows.iter()
        .map(|row| {
            let [product, place] = ["id_produto", "id_armazem"].map(|name| row[name].as_str().expect("a text"));
            (product, place, row["nivel_estoque"].as_i64().expect("a level"))
        })
        .collect()
}

#[tokio::test]
async fn pages_are_in_the_order_of_keys() {
    let world = world(view(&[("p2", "a", 5, 1), ("p1", "b", -1, 2), ("p1", "a", 7, 3), ("p10", "a", 0, 4)]));
    let first = world.get(&format!("{PATH}?limite=3")).await;
    let document: Value = serde_json::from_str(&first.body).expect("JSON");
    assert_eq!(levels(&document), [("p1", "a", 7), ("p1", "b", -1), ("p10", "a", 0)]);
    assert_eq!(
        (&document["completude"]["lidas"], document["nome"].as_str()),
        (&20.into(), Some("estoque_por_armazem"))
    );
    assert_eq!(document["completude"]["desde"], "2025-05-01T00:00:00Z");
    assert_eq!(completeness().read, 20);
    let link = first.headers["link"].to_str().expect("a link");
    let next = link.trim_start_matches('<').split('>').next().expect("an address");
    // A row before the cursor comes meanwhile, and one goes: neither moves the others.
    world.show(view(&[("p2", "a", 5, 1), ("p0", "a", 1, 5), ("p1", "b", -1, 2), ("p10", "a", 0, 4)]));
    let second = world.get(next).await;
    let document: Value = serde_json::from_str(&second.body).expect("JSON");
    assert_eq!(levels(&document), [("p2", "a", 5)]);
    assert!(!second.headers.contains_key("link"));
    let one: Value = serde_json::from_str(&world.body(&format!("{PATH}?id_produto=p1")).await).expect("JSON");
    assert_eq!(levels(&one), [("p1", "b", -1)]);
    for refused in ["de=2025-05-14T22:16:00Z", "cursor=nada", "nivel_estoque=1"] {
        assert_eq!(world.get(&format!("{PATH}?{refused}")).await.status, 400, "{refused}");
    }
}

#[tokio::test]
async fn it_is_listed_without_a_window() {
    let world = world(view(&[("p1", "a", 7, 3)]));
    let list: Value = serde_json::from_str(&world.body("/metricas").await).expect("JSON");
    let entry = list.as_array().expect("a list").iter().find(|entry| entry["nome"] == "estoque_por_armazem");
    let entry = entry.expect("it is listed");
    assert_eq!((entry["janela"].as_str(), entry["url"].as_str()), (Some("sem janela"), Some(PATH)));
    let columns: Vec<&str> =
        entry["colunas"].as_array().expect("columns").iter().filter_map(|c| c["nome"].as_str()).collect();
    assert_eq!(columns, ["id_produto", "id_armazem", "nivel_estoque", "ultima_atualizacao", "atualizado"]);
}

#[tokio::test]
async fn live_it_sends_all_at_once_and_then_what_has_changed() {
    let world = world(view(&[("p1", "a", 7, 1), ("p2", "a", 5, 2)]));
    let mut stream = open(&world, &format!("{PATH}/ao_vivo")).await;
    let first = message(&mut stream).await.expect("a message");
    assert_eq!(levels(&first), [("p1", "a", 7), ("p2", "a", 5)]);
    world.show(view(&[("p1", "a", 6, 3), ("p2", "a", 5, 2)]));
    assert_eq!(levels(&message(&mut stream).await.expect("a message")), [("p1", "a", 6)]);
    // A row goes while another comes.
    world.show(view(&[("p1", "a", 6, 3), ("p3", "a", 1, 4)]));
    let third = message(&mut stream).await.expect("a message");
    assert_eq!(levels(&third), [("p3", "a", 1)]);
    assert_eq!(third["removidas"], serde_json::json!([{ "id_produto": "p2", "id_armazem": "a" }]));
    // And one alone.
    world.show(view(&[("p1", "a", 6, 3)]));
    let fourth = message(&mut stream).await.expect("a message");
    assert!(levels(&fourth).is_empty());
    assert_eq!(fourth["removidas"], serde_json::json!([{ "id_produto": "p3", "id_armazem": "a" }]));
}

/// A level that is the second of its change.
fn numbered(number: i64, second: i64) -> Level {
    let product: &'static str = format!("p{number:04}").leak();
    (product, "a", second, second)
}

#[tokio::test]
async fn live_every_change_of_a_table_larger_than_a_message_is_sent_once() {
    let all =
        |second: &dyn Fn(i64) -> i64| (0..2_500).map(|number| numbered(number, second(number))).collect::<Vec<_>>();
    let world = world(view(&all(&|number| number % 7)));
    let mut stream = open(&world, &format!("{PATH}/ao_vivo")).await;
    assert_eq!(levels(&message(&mut stream).await.expect("a message")).len(), 1_000);
    // All change, most of them at the same time, and the first key among the last.
    let second = |number: i64| if number % 5 == 0 { 11 } else { 10 };
    let mut changed = all(&second);
    world.show(view(&changed));
    let (mut seen, mut sizes) = (Vec::new(), Vec::new());
    while seen.len() < 2_500 {
        let document = message(&mut stream).await.expect("a message");
        let rows = levels(&document);
        sizes.push(rows.len());
        seen.extend(rows.into_iter().map(|(product, _, level)| (level, product.to_owned())));
    }
    let mut expected: Vec<_> = changed.iter().map(|level| (level.2, level.0.to_owned())).collect();
    expected.sort();
    assert_eq!((sizes, seen), (vec![1_000, 1_000, 500], expected));
    changed[2_499] = numbered(2_499, 12);
    world.show(view(&changed));
    assert_eq!(levels(&message(&mut stream).await.expect("a message")), [("p2499", "a", 12)]);
}

#[tokio::test]
async fn live_what_makes_a_table_larger_than_a_message_is_sent() {
    let mut rows: Vec<Level> = (0..1_000).map(|number| numbered(number, 1)).collect();
    let world = world(view(&rows));
    let mut stream = open(&world, &format!("{PATH}/ao_vivo")).await;
    assert_eq!(levels(&message(&mut stream).await.expect("a message")).len(), 1_000);
    rows.push(numbered(1_000, 2));
    world.show(view(&rows));
    assert_eq!(levels(&message(&mut stream).await.expect("a message")), [("p1000", "a", 2)]);
}
