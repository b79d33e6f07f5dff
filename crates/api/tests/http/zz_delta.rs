use std::time::Instant;
use std::sync::Arc;
use vitral_store::MetricTable;
use crate::world::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn delta() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut table = MetricTable::open("produtos_mais_vistos", "v1", views_schema(), dir.path()).await.expect("table");
    let names: Vec<String> = (0..100).map(|i| format!("p{i:04}")).collect();
    let base = ms("2025-04-01T00:00:00Z");
    let minutes = 5000i64;
    let t = Instant::now();
    for commit in 0..50 {
        let mut batches = Vec::new();
        for m in commit * 100..(commit + 1) * 100 {
            let start = chrono::DateTime::from_timestamp_millis(base + m * 60_000).expect("t").to_rfc3339();
            let rows: Vec<_> = names.iter().enumerate().map(|(i, n)| (n.as_str(), 1000 - i as i64)).collect();
            batches.push(views(&start, &rows));
        }
        table.publish(batches, base + (commit + 1) * 100 * 60_000).await.expect("publish");
    }
    println!("published {} rows in {:?}", minutes * 100, t.elapsed());
    let provider = table.provider().await.expect("provider");
    println!("schema {:?}", provider.schema());
    let mut view = windows_view(Vec::new(), Vec::new());
    let mv = view.metrics.get_mut("produtos_mais_vistos").expect("m");
    mv.published = provider;
    mv.published_through_ms = table.published_through_ms();
    let start = chrono::DateTime::from_timestamp_millis(base + minutes * 60_000).expect("t").to_rfc3339();
    let open = views(&start, &[("a", 1), ("b", 1)]);
    mv.open = Arc::new([(base + minutes * 60_000, open)].into());
    let world = World::new(view);
    for path in ["/metricas/produtos_mais_vistos", "/metricas/produtos_mais_vistos?limite=1000", "/metricas/produtos_mais_vistos?limite=1", "/produtos/mais_vistos",
        "/metricas/produtos_mais_vistos?limite=1000&id_produto=p0001", "/metricas/produtos_mais_vistos?limite=1000&de=2025-04-02T00:00:00Z&ate=2025-04-02T01:00:00Z", "/metricas/produtos_mais_vistos?limite=1000&id_produto=nada"] {
        for _ in 0..3 {
            let t = Instant::now();
            let body = world.body(path).await;
            println!("{path} {} bytes {:?}", body.len(), t.elapsed());
        }
    }
    // walk all pages
    let t = Instant::now();
    let mut next = Some("/metricas/produtos_mais_vistos?limite=1000".to_owned());
    let (mut pages, mut rows) = (0, 0);
    while let Some(path) = next {
        let answer = world.get(&path).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        rows += answer.body.matches("janela_inicio").count();
        pages += 1;
        next = answer.header("link").map(|l| l.split_once(">; ").expect("l").0.trim_start_matches('<').to_owned());
    }
    println!("{pages} pages {rows} rows {:?}", t.elapsed());
}
