//! Stock alerts: levels against the sales of seven days.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use vitral_catalog::{Catalog, DomainSettings, Setting};
use vitral_panes::view::{KeyedTableView, View};
use vitral_schemas::event_time::Watermark;

use crate::world::{NOW, World, ms, table, topic_view, whole_catalog};

const PATH: &str = "/estoque/alertas";
const HOUR_MS: i64 = 3_600_000;

fn texts<'a>(values: impl Iterator<Item = &'a str>) -> ArrayRef {
    Arc::new(values.map(Some).collect::<StringArray>())
}

fn numbers(values: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(values.collect::<Int64Array>())
}

fn times(values: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(values.map(|ms| Some(ms * 1_000)).collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
}

fn keyed(topic: &str, keys: &[&str], columns: Vec<(&str, ArrayRef)>) -> KeyedTableView {
    let rows = RecordBatch::try_from_iter(columns).expect("rows");
    KeyedTableView {
        topic: topic.to_owned(),
        keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        rows: table(rows.schema(), vec![rows]),
        through: Arc::default(),
        since_ms: None,
        failure: None,
    }
}

/// Product, place and level, as of ten o'clock.
type Level = (&'static str, &'static str, i64);
/// Product, units, and how many hours before the watermark the hour of their sale began.
type Sales = (&'static str, i64, i64);

fn shop(levels: &[Level], sales: &[Sales], watermark: &str) -> View {
    let at = || times(levels.iter().map(|_| ms("2025-05-14T22:00:00Z")));
    let stock = keyed(
        "atualizacoes_estoque",
        &["id_produto", "id_armazem"],
        vec![
            ("id_produto", texts(levels.iter().map(|level| level.0))),
            ("id_armazem", texts(levels.iter().map(|level| level.1))),
            ("nivel_estoque", numbers(levels.iter().map(|level| level.2))),
            ("ultima_atualizacao", at()),
            ("atualizado", at()),
        ],
    );
    let hours = || times(sales.iter().map(|sale| ms(watermark) - sale.2 * HOUR_MS));
    let sold = keyed(
        "eventos_clientes",
        &["hora", "id_produto"],
        vec![
            ("hora", hours()),
            ("id_produto", texts(sales.iter().map(|sale| sale.0))),
            ("unidades", numbers(sales.iter().map(|sale| sale.1))),
            ("atualizado", hours()),
        ],
    );
    let topic = |name: &str| {
        let schema = whole_catalog(None).topic(name).expect("the topic").archive_schema();
        (name.to_owned(), topic_view(vec![RecordBatch::new_empty(schema)], Vec::new()))
    };
    View {
        ready: true,
        topics: [topic("eventos_clientes"), topic("atualizacoes_estoque")].into(),
        keyed: [("estoque_por_armazem".to_owned(), stock), ("unidades_por_hora".to_owned(), sold)].into(),
        committed_watermarks: [
            ("eventos_clientes".to_owned(), Watermark::from_ms(ms(watermark))),
            // The warehouse has been silent for two days.
            ("atualizacoes_estoque".to_owned(), Watermark::from_ms(ms(watermark) - 48 * HOUR_MS)),
        ]
        .into(),
        ..View::default()
    }
}

fn world(view: View) -> World {
    let world = World::with(view, whole_catalog(None), |_| {});
    let file = world.files.path().join("produtos.csv");
    std::fs::write(file, "id_produto,nome,categoria\np1,Caneca,x\np2,Bule,x\np2,Bule azul,x\n").expect("written");
    world
}

#[tokio::test]
async fn what_runs_out_is_reported_with_its_days_of_cover() {
    let levels = [
        // 4 left over two places, 14 sold in seven days: two days.
        ("p1", "a", 3),
        ("p1", "b", 1),
        // Owed: as many days as it is behind, and nobody knows its name twice.
        ("p2", "a", -5),
        // Out of stock, and nobody wants it.
        ("p3", "a", 0),
        // Three days are enough; 2.95 are as good as three, 2.949 are not.
        ("p4", "a", 3),
        ("p5", "a", 295),
        ("p6", "a", 2_949),
        // Nobody wants it.
        ("p7", "a", 1),
        // The sale of more than seven days ago does not count.
        ("p8", "a", 1),
    ];
    let sales = [
        ("p1", 7, 1),
        ("p1", 7, 167),
        ("p2", 7, 0),
        ("p4", 7, 5),
        ("p5", 700, 5),
        ("p6", 7_000, 5),
        ("p8", 700, 168),
        ("p9", 7, 5),
    ];
    let world = world(shop(&levels, &sales, NOW));
    let expected = concat!(
        r#"[{"id_produto":"p2","nome":"Bule","nivel_estoque":-5,"velocidade_dia":1.00,"dias_cobertura":-5.0,"#,
        r#""estado":"pendente","desde":"2025-05-14T22:00:00Z"},"#,
        r#"{"id_produto":"p1","nome":"Caneca","nivel_estoque":4,"velocidade_dia":2.00,"dias_cobertura":2.0,"#,
        r#""estado":"pendente","desde":"2025-05-14T22:00:00Z"},"#,
        r#"{"id_produto":"p6","nome":null,"nivel_estoque":2949,"velocidade_dia":1000.00,"dias_cobertura":2.9,"#,
        r#""estado":"pendente","desde":"2025-05-14T22:00:00Z"},"#,
        r#"{"id_produto":"p3","nome":null,"nivel_estoque":0,"velocidade_dia":0.00,"dias_cobertura":null,"#,
        r#""estado":"pendente","desde":"2025-05-14T22:00:00Z"}]"#
    );
    assert_eq!(world.body(PATH).await, expected);
    let one = world.json(&format!("{PATH}?id_produto=p1")).await;
    assert_eq!(one.as_array().map(Vec::len), Some(1), "{one}");
    let page = world.get(&format!("{PATH}?limite=3")).await;
    let next =
        page.header("link").and_then(|link| link.trim_start_matches('<').split('>').next()).expect("a page more");
    let rest = world.json(next).await;
    assert_eq!((rest[0]["id_produto"].as_str(), rest.as_array().map(Vec::len)), (Some("p3"), Some(1)), "{rest}");
}

#[tokio::test]
async fn levels_beyond_all_sales_are_no_reason_to_fail() {
    let levels = [("p1", "a", 1_000_000_000), ("p1", "b", 1_000_000_000), ("p2", "a", -1_000_000_000)];
    let world = world(shop(&levels, &[("p1", 1, 1), ("p2", 1, 1)], NOW));
    let rows = world.json(PATH).await;
    assert_eq!(rows[0]["dias_cobertura"].as_f64(), Some(-99_999_999.9), "{rows}");
    assert_eq!(rows.as_array().map(Vec::len), Some(1), "{rows}");
}

#[tokio::test]
async fn the_days_to_cover_are_a_setting() {
    let mut settings = DomainSettings::default();
    settings.settings.insert("cover_days".to_owned(), Setting::Integer(1));
    let catalog = Catalog::load(&[], &settings).expect("a catalog");
    let world = World::with(shop(&[("p1", "a", 4)], &[("p1", 14, 1)], NOW), catalog, |_| {});
    assert_eq!(world.body(PATH).await, "[]");
}
