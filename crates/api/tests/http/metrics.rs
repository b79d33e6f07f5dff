//! The list of metrics and a metric's rows: form, order and filters.

use std::sync::Arc;

use arrow::array::{ArrayRef, Decimal128Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use vitral_panes::view::{MetricFailure, View};
use vitral_schemas::topic::timestamp_type;

use crate::world::{Windows, World, metric_view, ms, topic_view, view_of, views, windows_view};

fn sales_schema() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    Arc::new(Schema::new(vec![
        Field::new("janela_inicio", timestamp_type(), false),
        Field::new("janela_fim", timestamp_type(), false),
        text("id_produto"),
        text("regiao"),
        text("moeda"),
        Field::new("unidades", DataType::Int64, true),
        Field::new("receita", DataType::Decimal128(38, 2), true),
    ]))
}

type Sale = (Option<&'static str>, Option<&'static str>, &'static str, i64, Option<i128>);

/// One minute of `vendas_por_produto`, some of its columns left out.
fn sales(start: &str, rows: &[Sale]) -> RecordBatch {
    let times = |shift_ms: i64| -> ArrayRef {
        let micros = (ms(start) + shift_ms) * 1000;
        Arc::new(TimestampMicrosecondArray::from(vec![micros; rows.len()]).with_timezone("UTC"))
    };
    let money = rows.iter().map(|row| row.4).collect::<Decimal128Array>();
    let columns: Vec<ArrayRef> = vec![
        times(0),
        times(60_000),
        Arc::new(rows.iter().map(|row| row.0).collect::<StringArray>()),
        Arc::new(rows.iter().map(|row| row.1).collect::<StringArray>()),
        Arc::new(rows.iter().map(|row| Some(row.2)).collect::<StringArray>()),
        Arc::new(rows.iter().map(|row| row.3).collect::<Int64Array>()),
        Arc::new(money.with_precision_and_scale(38, 2).expect("money")),
    ];
    RecordBatch::try_new(sales_schema(), columns).expect("rows")
}

fn sales_view(windows: Windows) -> View {
    let mut view = view_of(topic_view(Vec::new(), Vec::new()), Windows::default());
    view.metrics.insert("vendas_por_produto".into(), metric_view("vendas_por_produto", sales_schema(), windows));
    view
}

#[tokio::test]
async fn the_list() {
    let world = World::new(windows_view(Vec::new(), Vec::new()));
    let answer = world.get("/metricas").await;
    assert_eq!(answer.header("vitral-time-zone"), Some("America/Sao_Paulo"));
    assert_eq!(answer.header("vitral-currency"), Some("BRL"));
    let list: serde_json::Value = serde_json::from_str(&answer.body).expect("JSON");
    let expected = serde_json::json!([{
        "nome": "produtos_mais_vistos",
        "descricao": "Views of each product: events `clique` and `visualizacao` that name it, per minute.",
        "janela": "1 min",
        "colunas": [
            {"nome": "janela_inicio", "tipo": "timestamp"},
            {"nome": "janela_fim", "tipo": "timestamp"},
            {"nome": "id_produto", "tipo": "text"},
            {"nome": "visualizacoes", "tipo": "bigint"},
            {"nome": "provisoria", "tipo": "boolean"},
        ],
        "url": "/metricas/produtos_mais_vistos",
    }]);
    assert_eq!(list, expected);
}

#[tokio::test]
async fn one_metric() {
    let closed = views("2025-05-14T21:00:00Z", &[("p1", 7)]);
    let open = views("2025-05-14T22:30:00Z", &[("p2", 1)]);
    let world = World::new(windows_view(vec![closed], vec![open]));
    let expected = concat!(
        r#"{"nome":"produtos_mais_vistos","linhas":["#,
        r#"{"janela_inicio":"2025-05-14T22:30:00Z","janela_fim":"2025-05-14T22:31:00Z","id_produto":"p2","nome":null,"visualizacoes":1,"provisoria":true},"#,
        r#"{"janela_inicio":"2025-05-14T21:00:00Z","janela_fim":"2025-05-14T21:01:00Z","id_produto":"p1","nome":null,"visualizacoes":7,"provisoria":false}],"#,
        r#""completude":{"marca_dagua":"2025-05-14T22:30:05.500Z","lidas":20,"contadas":15,"duplicadas":2,"atrasadas":1,"recusadas":2,"puladas":4,"particoes_ociosas":[1,3],"consultas":{"segmento":{"desde":"2025-05-14T12:00:00.500Z","nao_encontradas":3,"falhas":2,"desatualizadas":1}},"ao_vivo":"atual"}}"#,
    );
    let answer = world.get("/metricas/produtos_mais_vistos").await;
    assert_eq!(answer.body, expected);
    assert_eq!(answer.header("link"), None);
    world.show(windows_view(Vec::new(), Vec::new()));
    assert!(
        world
            .body("/metricas/produtos_mais_vistos")
            .await
            .starts_with(r#"{"nome":"produtos_mais_vistos","linhas":[],"#)
    );
}

/// What was published stays, and readers learn why there is no more.
#[tokio::test]
async fn a_metric_that_fails_says_so() {
    let mut view = windows_view(vec![views("2025-05-14T21:00:00Z", &[("p1", 7)])], Vec::new());
    let failure = MetricFailure {
        reason: "it cannot be finished".to_owned(),
        since_ms: ms("2025-05-14T22:00:00.250Z"),
        is_set_aside: true,
    };
    view.metrics.get_mut("produtos_mais_vistos").expect("the metric").failure = Some(failure);
    let world = World::new(view);
    let expected = serde_json::json!({"motivo": "it cannot be finished", "desde": "2025-05-14T22:00:00.250Z"});
    assert_eq!(world.json("/metricas").await[0]["falha"], expected);
    let metric = world.json("/metricas/produtos_mais_vistos").await;
    assert_eq!((&metric["falha"], metric["linhas"].as_array().map(Vec::len)), (&expected, Some(1)));
    world.show(windows_view(Vec::new(), Vec::new()));
    assert!(!world.body("/metricas").await.contains("falha"));
}

#[tokio::test]
async fn rows_in_the_order_of_the_metric() {
    // By receita DESC with nulls first, id_produto, then every other column with nulls first.
    let stored = sales(
        "2025-05-14T22:00:00Z",
        &[
            (Some("p9"), Some("Sul"), "BRL", 1, Some(100)),
            (Some("p1"), Some("Sul"), "USD", 1, Some(5000)),
            (Some("p1"), Some("Sul"), "BRL", 2, Some(5000)),
            (Some("p1"), None, "BRL", 3, Some(5000)),
            (None, Some("Sul"), "BRL", 4, Some(5000)),
            (Some("p0"), Some("Sul"), "BRL", 5, None),
            (Some("p2"), Some("Sul"), "BRL", 6, Some(-100)),
        ],
    );
    let newer = sales("2025-05-14T22:01:00Z", &[(Some("p5"), None, "BRL", 7, Some(1))]);
    let world = World::new(sales_view(Windows { published: vec![stored, newer], open: Vec::new() }));
    let answer = world.json("/metricas/vendas_por_produto").await;
    let units: Vec<_> = answer["linhas"].as_array().expect("rows").iter().map(|row| row["unidades"].as_i64()).collect();
    assert_eq!(units, [7, 5, 3, 2, 1, 4, 1, 6].map(Some));
    let body = world.body("/metricas/vendas_por_produto?moeda=USD").await;
    assert!(body.contains(r#""moeda":"USD","unidades":1,"receita":50.00,"provisoria":false}]"#), "{body}");
}

#[tokio::test]
async fn periods_and_filters() {
    let minutes: Vec<_> = (10..20)
        .map(|minute| {
            sales(
                &format!("2025-05-14T22:{minute}:00Z"),
                &[
                    (Some("p1"), Some("Sul"), "BRL", minute, Some(1)),
                    (Some("p2"), Some("Norte"), "USD", minute, Some(1)),
                ],
            )
        })
        .collect();
    let (published, open) = minutes.split_at(5);
    let world = World::new(sales_view(Windows { published: published.to_vec(), open: open.to_vec() }));
    let units = async |query: &str| -> Vec<i64> {
        let answer = world.json(&format!("/metricas/vendas_por_produto?{query}")).await;
        answer["linhas"].as_array().expect("rows").iter().filter_map(|row| row["unidades"].as_i64()).collect()
    };
    assert_eq!(units("regiao=Sul&limite=3").await, [19, 18, 17]);
    assert_eq!(units("regiao=Sul&moeda=USD").await, [0_i64; 0]);
    assert_eq!(units("moeda=USD&de=2025-05-14T22:13:00Z&ate=2025-05-14T22:16:00Z").await, [15, 14, 13]);
    assert_eq!(units("id_produto=p2&ate=2025-05-14T19:11:00-03:00").await, [10]);
    assert_eq!(units("de=2025-05-14T22:20:00Z").await, [0_i64; 0]);
    assert_eq!(units("limite=1").await, [19]);
    assert_eq!(units("moeda=usd&limite=1").await, [19], "in capitals, as everywhere");
    let wrong = world.get("/metricas/vendas_por_produto?moeda=BRLX").await;
    assert!(wrong.status == 400 && wrong.body.contains("a currency of three letters"), "{}", wrong.body);
}
