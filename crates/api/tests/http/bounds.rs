//! Answers: bounded in bytes, cut lists that say so, pages that leave nothing out, and work that is
//! not done twice.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::{Request, StatusCode};
use datafusion::catalog::TableProvider;
use futures::StreamExt;
use tower::ServiceExt;

use crate::world::{Answer, Event, SALE, World, archived, catalog, events, topic_view, view_of, views, windows_view};

/// `rows` products; every seventh sells as much as others.
fn shop(rows: usize) -> vitral_panes::view::View {
    let catalog = catalog(None);
    let topic = catalog.topic("eventos_clientes").expect("the topic");
    let sales: Vec<Event> = (0..rows)
        .map(|number| Event {
            product: Some(Box::leak(format!("p{number:05}").into_boxed_str())),
            order: Some(Box::leak(format!("o{number}").into_boxed_str())),
            quantity: Some(i64::try_from(number % 7).expect("small") + 1),
            ..SALE
        })
        .collect();
    let batches = sales.chunks(500).map(|sales| archived(topic, sales, "contada")).collect();
    view_of(topic_view(batches, Vec::new()), Default::default())
}

fn next(answer: &Answer) -> Option<String> {
    let link = answer.header("link")?;
    Some(link.strip_prefix('<')?.split_once('>')?.0.to_owned())
}

#[tokio::test]
async fn a_list_that_was_cut_says_so_and_leads_on() {
    let world = World::new(shop(1500));
    for (first, pages) in [
        ("/vendas/resumo?limite=1000", 2),
        ("/vendas/resumo?limite=700", 3),
        ("/vendas/resumo?limite=1000&regiao=Sul", 2),
    ] {
        let (mut path, mut seen, mut asked) = (Some(first.to_owned()), Vec::new(), 0);
        while let Some(asking) = path {
            let answer = world.get(&asking).await;
            assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
            let rows: Vec<serde_json::Value> = serde_json::from_str(&answer.body).expect("rows");
            seen.extend(rows.iter().map(|row| row["id_produto"].as_str().expect("a product").to_owned()));
            asked += 1;
            path = next(&answer);
            assert_eq!(answer.header("vitral-truncated"), path.as_ref().map(|_| "true"), "{asking}");
        }
        assert_eq!((seen.len(), asked), (1500, pages), "{first}");
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 1500, "no product twice");
    }
    // Exactly as many as there are.
    let all = World::new(shop(1000)).get("/vendas/resumo?limite=1000").await;
    assert_eq!((all.header("link"), all.header("vitral-truncated")), (None, None));
}

#[tokio::test]
async fn rankings_and_the_ledger_have_pages_too() {
    let world = World::new(shop(25));
    let mut path = Some("/produtos/mais_vendidos".to_owned());
    let mut places = Vec::new();
    while let Some(asking) = path {
        let answer = world.get(&asking).await;
        let rows: Vec<serde_json::Value> = serde_json::from_str(&answer.body).expect("rows");
        places.extend(rows.iter().map(|row| row["posicao"].as_i64().expect("a place")));
        path = next(&answer);
    }
    assert_eq!(places, (1..=25).collect::<Vec<_>>());
    let cursor = next(&world.get("/produtos/mais_vendidos").await).expect("a next page");
    let foreign = cursor.replace("/produtos/mais_vendidos", "/vendas/resumo");
    assert_eq!(world.get(&foreign).await.status, 400, "a cursor of another address");
    assert_eq!(world.get(&format!("{cursor}&regiao=Sul")).await.status, 400, "a cursor of other parameters");
}

const MANY: &str =
    "CREATE VIEW muitas WITH (path = '/muitas') AS SELECT value AS n, repeat('x', 1000) AS x FROM range(1, 20000);";

fn with_many(configure: impl FnOnce(&mut vitral_api::ApiConfig)) -> World {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::write(dir.path().join("muitas.sql"), MANY).expect("written");
    World::with(windows_view(Vec::new(), Vec::new()), catalog(Some(dir.path())), configure)
}

async fn open(world: &World, path: &str) -> axum::response::Response {
    let request = Request::get(path).header("host", "localhost").body(Body::empty()).expect("a request");
    world.router.clone().oneshot(request).await.expect("an answer")
}

#[tokio::test]
async fn a_long_answer_comes_in_pieces_and_whole() {
    let world = with_many(|_| {});
    let response = open(&world, "/muitas").await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.body().size_hint().exact(), None, "its length is not known at its begin");
    let mut body = response.into_body().into_data_stream();
    let (mut bytes, mut pieces) = (Vec::new(), 0);
    while let Some(piece) = body.next().await {
        bytes.extend_from_slice(&piece.expect("a piece"));
        pieces += 1;
    }
    assert!(pieces > 10, "{pieces}");
    let rows: Vec<serde_json::Value> = serde_json::from_slice(&bytes).expect("JSON");
    assert_eq!(rows.len(), 19_999);
    assert!(rows.iter().zip(1..).all(|(row, number)| row["n"] == number));
}

#[tokio::test]
async fn an_answer_over_its_bound_is_broken_off() {
    let world = with_many(|config| config.answer_bytes = 4 << 20);
    let mut body = open(&world, "/muitas").await.into_body().into_data_stream();
    let (mut bytes, mut broken) = (0, false);
    while let Some(piece) = body.next().await {
        match piece {
            Ok(piece) => bytes += piece.len(),
            Err(_) => broken = true,
        }
    }
    assert!(broken, "its end must not look like a good one");
    assert!((3 << 20..5 << 20).contains(&bytes), "{bytes}");
}

#[tokio::test]
async fn a_metric_over_the_bound_is_refused_before_its_begin() {
    let products: Vec<(&str, i64)> = (0..900).map(|_| ("a product with a long name, again and again", 1)).collect();
    let view = windows_view(Vec::new(), vec![views("2025-05-14T22:30:00Z", &products)]);
    let world = World::with(view, catalog(None), |config| config.answer_bytes = 10_000);
    for accept in ["application/json", "text/csv"] {
        let request = Request::get("/metricas/produtos_mais_vistos?limite=1000").header("accept", accept);
        let answer = world.ask(request.body(Body::empty()).expect("a request")).await;
        assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE, "{accept}");
        assert!(
            answer.body.contains("answer_too_large") && answer.body.contains("api.answer_bytes"),
            "{}",
            answer.body
        );
    }
}

#[tokio::test]
async fn an_open_answer_holds_its_permit_until_it_is_read_or_left() {
    let world = with_many(|config| {
        config.limits.running_max = 1;
        config.limits.waiting_max = 0;
        config.limits.timeout = Duration::from_secs(5);
    });
    let unread = open(&world, "/muitas").await;
    let refused = world.get("/metricas/produtos_mais_vistos").await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.body.contains("\"busy\"") && refused.header("retry-after").is_some(), "{}", refused.body);
    drop(unread);
    assert_eq!(world.get("/metricas/produtos_mais_vistos").await.status, StatusCode::OK);
}

/// A table that counts how often it is read.
#[derive(Debug)]
struct Counting {
    table: Arc<dyn TableProvider>,
    scans: Arc<std::sync::atomic::AtomicUsize>,
}

#[async_trait::async_trait]
impl TableProvider for Counting {
    fn schema(&self) -> arrow::datatypes::SchemaRef {
        self.table.schema()
    }

    fn table_type(&self) -> datafusion::datasource::TableType {
        datafusion::datasource::TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn datafusion::catalog::Session,
        projection: Option<&Vec<usize>>,
        filters: &[datafusion::logical_expr::Expr],
        limit: Option<usize>,
    ) -> datafusion::error::Result<Arc<dyn datafusion::physical_plan::ExecutionPlan>> {
        self.scans.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        self.table.scan(state, projection, filters, limit).await
    }
}

#[tokio::test]
async fn what_has_not_changed_is_not_computed_again() {
    let scans = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let mut view = shop(3);
    let topic = view.topics.get_mut("eventos_clientes").expect("the topic");
    topic.archive = Arc::new(Counting { table: Arc::clone(&topic.archive), scans: Arc::clone(&scans) });
    let world = World::new(view.clone());
    let count = || scans.load(std::sync::atomic::Ordering::SeqCst);

    let asked: Vec<_> = (0..20).map(|_| world.get("/vendas/resumo")).collect();
    let answers = futures::future::join_all(asked).await;
    assert!(answers.iter().all(|answer| answer.body == answers[0].body && answer.status == StatusCode::OK));
    assert_eq!(count(), 1, "one computes for all");
    // The same tables in a new view, with other counts of what did not count.
    let topic = view.topics.get_mut("eventos_clientes").expect("the topic");
    topic.completeness.late += 5;
    world.show(view.clone());
    let again = world.get("/vendas/resumo").await;
    assert_eq!((again.body == answers[0].body, again.header("vitral-late"), count()), (true, Some("6"), 1));
    world.get("/vendas/resumo?regiao=Sul").await;
    assert_eq!(count(), 2, "another question");
    // One more sale.
    let catalog = catalog(None);
    let sale = events(catalog.topic("eventos_clientes").expect("the topic"), &[SALE]);
    view.topics.get_mut("eventos_clientes").expect("the topic").tail = vec![sale].into();
    world.show(view);
    assert_ne!(world.get("/vendas/resumo").await.body, answers[0].body);
    assert_eq!(count(), 3);
}
