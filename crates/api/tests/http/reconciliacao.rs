//! What reconciliations have found: newest first, by metric, verdict and time, and open to further
//! catalogs.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use vitral_schemas::reconciliation::{BY_COMMAND, BY_ITSELF, DIFFERENT, EQUAL, schema};

use crate::world::{World, catalog, ms, nothing_reconciled, times, windows_view};

/// One metric's row of a run over 20:00 to 21:00.
#[derive(Clone, Copy)]
struct Found {
    at: &'static str,
    by: &'static str,
    metric: &'static str,
    published_through: Option<&'static str>,
    windows: i64,
    differences: i64,
    repaired: bool,
}

const SALES: Found = Found {
    at: "2025-05-14T22:20:00Z",
    by: BY_ITSELF,
    metric: "vendas_por_minuto",
    published_through: Some("2025-05-14T21:05:00Z"),
    windows: 60,
    differences: 0,
    repaired: false,
};

fn results(found: &[Found]) -> Arc<RecordBatch> {
    let text = |value: fn(&Found) -> &'static str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(found.iter().map(value)))
    };
    let number = |value: fn(&Found) -> i64| -> ArrayRef { Arc::new(found.iter().map(value).collect::<Int64Array>()) };
    let time = |value: fn(&Found) -> &'static str| times(found.iter().map(|row| ms(value(row))));
    let through = found.iter().map(|row| row.published_through.map(|through| ms(through) * 1000));
    let columns: Vec<ArrayRef> = vec![
        time(|row| row.at),
        text(|row| row.by),
        text(|row| row.metric),
        time(|_| "2025-05-14T20:00:00Z"),
        time(|_| "2025-05-14T21:00:00Z"),
        Arc::new(through.collect::<TimestampMicrosecondArray>().with_timezone("UTC")),
        number(|row| row.windows),
        number(|row| row.windows * 2),
        number(|row| row.differences),
        number(|_| 0),
        text(|row| if row.differences == 0 { EQUAL } else { DIFFERENT }),
        Arc::new(BooleanArray::from(found.iter().map(|row| row.repaired).collect::<Vec<_>>())),
        number(|_| 120),
    ];
    Arc::new(RecordBatch::try_new(schema(), columns).expect("results"))
}

/// A run that finds a difference in one of two metrics, and its repair an hour later.
fn world() -> World {
    let users = Found { metric: "usuarios_ativos", published_through: None, windows: 0, ..SALES };
    let repair = Found { at: "2025-05-14T23:20:00Z", by: BY_COMMAND, ..SALES };
    let world = World::new(windows_view(Vec::new(), Vec::new()));
    world.reconciliations.send_replace(results(&[
        Found { differences: 3, ..SALES },
        users,
        Found { differences: 3, ..repair },
        Found { repaired: true, ..repair },
    ]));
    world
}

/// Metric, verdict and whether it was repaired, in the order of the answer.
async fn rows(world: &World, query: &str) -> Vec<(String, String, bool)> {
    let answer = world.json(&format!("/reconciliacao{query}")).await;
    let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
    let rows = answer.as_array().expect("rows").iter();
    rows.map(|row| (text(&row["metrica"]), text(&row["veredito"]), row["reparada"] == true)).collect()
}

fn row(metric: &str, verdict: &str, repaired: bool) -> (String, String, bool) {
    (metric.to_owned(), verdict.to_owned(), repaired)
}

#[tokio::test]
async fn nothing_before_the_first() {
    let world = World::new(windows_view(Vec::new(), Vec::new()));
    let answer = world.get("/reconciliacao").await;
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, "[]"));
    assert_eq!(answer.header("vitral-read"), None);
}

#[tokio::test]
async fn every_column() {
    let world = world();
    let users = concat!(
        r#"[{"instante":"2025-05-14T22:20:00Z","origem":"continua","metrica":"usuarios_ativos","#,
        r#""de":"2025-05-14T20:00:00Z","ate":"2025-05-14T21:00:00Z","publicada_ate":null,"janelas":0,"linhas":0,"#,
        r#""diferencas":0,"quebras":0,"veredito":"igual","reparada":false,"duracao_ms":120}]"#
    );
    assert_eq!(world.body("/reconciliacao?metrica=usuarios_ativos").await, users);
    let repair = concat!(
        r#"[{"instante":"2025-05-14T23:20:00Z","origem":"comando","metrica":"vendas_por_minuto","#,
        r#""de":"2025-05-14T20:00:00Z","ate":"2025-05-14T21:00:00Z","publicada_ate":"2025-05-14T21:05:00Z","#,
        r#""janelas":60,"linhas":120,"diferencas":0,"quebras":0,"veredito":"igual","reparada":true,"duracao_ms":120}]"#
    );
    assert_eq!(world.body("/reconciliacao?limite=1").await, repair);
}

#[tokio::test]
async fn newest_first_and_filtered() {
    let world = world();
    let repaired = row("vendas_por_minuto", EQUAL, true);
    let different = row("vendas_por_minuto", DIFFERENT, false);
    let users = row("usuarios_ativos", EQUAL, false);
    let all = [repaired.clone(), different.clone(), users.clone(), different.clone()];
    assert_eq!(rows(&world, "").await, all);
    assert_eq!(rows(&world, "?limite=2").await, all[..2]);
    assert_eq!(rows(&world, "?veredito=diferente").await, [different.clone(), different.clone()]);
    assert_eq!(rows(&world, "?metrica=usuarios_ativos").await, [users]);
    assert_eq!(world.get("/reconciliacao?metrica=nada").await.status, 400, "there is no such metric");
    assert_eq!(rows(&world, "?de=2025-05-14T23:20:00Z").await, all[..2]);
    assert_eq!(rows(&world, "?ate=2025-05-14T20:20:00-03:00").await, all[2..]);
    world.reconciliations.send_replace(nothing_reconciled());
    assert!(rows(&world, "").await.is_empty());
}

#[tokio::test]
async fn no_other_parameter() {
    let answer = world().get("/reconciliacao?motivo=json").await;
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains("unknown_parameter"), "{}", answer.body);
    assert!(answer.body.contains("takes ate, de, limite, metrica, veredito"), "{}", answer.body);
}

/// The table is there for every query, like topics and metrics.
#[tokio::test]
async fn a_further_catalog_reads_them() {
    let dir = tempfile::tempdir().expect("a folder");
    let sql = "CREATE VIEW x WITH (path = '/provas') AS
        SELECT metrica, sum(diferencas) AS diferencas FROM reconciliacao GROUP BY metrica ORDER BY metrica;";
    std::fs::write(dir.path().join("x.sql"), sql).expect("written");
    let world = World::with(windows_view(Vec::new(), Vec::new()), catalog(Some(dir.path())), |_| {});
    assert_eq!(world.body("/provas").await, "[]");
    world.reconciliations.send_replace(results(&[Found { differences: 2, ..SALES }, SALES]));
    assert_eq!(world.body("/provas").await, r#"[{"metrica":"vendas_por_minuto","diferencas":2}]"#);
}
