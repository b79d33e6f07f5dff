//! Over the tables that the stream really writes: many files, rows found by time, and the same
//! answers.

use std::sync::Arc;

use serde_json::Value;
use vitral_panes::view::View;
use vitral_store::{Location, MetricTable};

use crate::world::{World, ms, views, views_schema, windows_view};

fn minute(at: i64) -> String {
    chrono::DateTime::from_timestamp_millis(ms("2025-04-01T00:00:00Z") + at * 60_000).expect("a time").to_rfc3339()
}

/// 400 minutes of five products in 40 commits, and one minute that is still open.
async fn view(folder: &std::path::Path) -> View {
    let location = Location::folder(folder).expect("a location");
    let mut table = MetricTable::open("produtos_mais_vistos", "v1", views_schema(), &location).await.expect("a table");
    let rows = [("p1", 9), ("p2", 7), ("p3", 5), ("p4", 3), ("p5", 1)];
    for commit in 0..40 {
        let windows = (commit * 10..(commit + 1) * 10).map(|at| views(&minute(at), &rows)).collect();
        table.publish(windows, ms(&minute((commit + 1) * 10))).await.expect("published");
    }
    let mut view = windows_view(Vec::new(), vec![views(&minute(400), &[("p6", 1)])]);
    let metric = view.metrics.get_mut("produtos_mais_vistos").expect("the metric");
    metric.published = table.provider().await.expect("a provider");
    metric.published_through_ms = table.published_through_ms();
    view
}

#[tokio::test]
async fn pages_and_endpoints_over_stored_tables() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut view = view(folder.path()).await;
    let world = World::new(view.clone());
    let mut path = Some("/metricas/produtos_mais_vistos?limite=333".to_owned());
    let mut rows: Vec<Value> = Vec::new();
    while let Some(here) = path {
        let answer = world.get(&here).await;
        let body: Value = serde_json::from_str(&answer.body).expect("JSON");
        rows.extend(body["linhas"].as_array().expect("rows").iter().cloned());
        path = answer.header("link").map(|link| link[1..].split_once(">; ").expect("a link").0.to_owned());
    }
    assert_eq!(rows.len(), 2_001);
    assert_eq!(rows[0]["id_produto"], "p6");
    for (place, row) in rows[1..].iter().enumerate() {
        let place = i64::try_from(place).expect("few");
        assert_eq!(row["janela_inicio"], minute(399 - place / 5).replace("+00:00", "Z"));
        assert_eq!(row["visualizacoes"], 9 - place % 5 * 2);
        assert_eq!(row["provisoria"], false);
    }
    let one = world.json("/metricas/produtos_mais_vistos?id_produto=p3&ate=2025-04-01T00:02:00Z").await;
    assert_eq!(one["linhas"].as_array().map(Vec::len), Some(2));

    assert_eq!(
        world.body("/produtos/mais_vistos").await,
        r#"[{"posicao":1,"id_produto":"p6","nome":null,"visualizacoes":1}]"#
    );
    view.metrics.get_mut("produtos_mais_vistos").expect("the metric").open = Arc::default();
    world.show(view);
    let body = world.body("/produtos/mais_vistos?limite=1").await;
    assert_eq!(body, r#"[{"posicao":1,"id_produto":"p1","nome":null,"visualizacoes":9}]"#);
}
