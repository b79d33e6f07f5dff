//! Pages of a metric by their Link headers, while windows come, close and change.

use arrow::array::RecordBatch;
use serde_json::Value;
use vitral_panes::view::View;

use crate::world::{World, views, windows_view};

fn minute(minute: usize) -> String {
    format!("2025-05-{:02}T{:02}:{:02}:00Z", 1 + minute / 1440, minute / 60 % 24, minute % 60)
}

/// A minute's products, `count` of them, most viewed first.
fn window(at: usize, count: usize) -> RecordBatch {
    let names: Vec<_> = (0..count).map(|product| format!("p{product:03}")).collect();
    let rows: Vec<_> =
        names.iter().enumerate().map(|(place, name)| (name.as_str(), (count - place / 2) as i64)).collect();
    views(&minute(at), &rows)
}

fn next(link: &str) -> String {
    let (url, rel) = link.split_once(">; ").expect("a link");
    assert_eq!(rel, r#"rel="next""#);
    url.trim_start_matches('<').to_owned()
}

/// Follows the links from `path`; `between` may change the view after each page.
async fn follow(world: &World, path: &str, mut between: impl FnMut(usize) -> Option<View>) -> Vec<Value> {
    let mut rows = Vec::new();
    let mut path = Some(path.to_owned());
    for number in 0.. {
        let Some(here) = path else { break };
        let answer = world.get(&here).await;
        let body: Value = serde_json::from_str(&answer.body).expect("JSON");
        let page = body["linhas"].as_array().unwrap_or_else(|| panic!("{here}: {body}"));
        assert!(!page.is_empty(), "{here} is empty");
        rows.extend(page.iter().cloned());
        path = answer.header("link").map(next);
        assert_eq!(answer.header("vitral-truncated"), path.as_ref().map(|_| "true"), "{here}");
        if let Some(view) = between(number) {
            world.show(view);
        }
    }
    rows
}

fn closed_rows(rows: &[Value]) -> Vec<(String, String)> {
    let closed = rows.iter().filter(|row| row["provisoria"] == false);
    closed
        .map(|row| {
            (
                row["janela_inicio"].as_str().expect("a time").to_owned(),
                row["id_produto"].as_str().expect("a product").to_owned(),
            )
        })
        .collect()
}

fn expected(windows: &[(usize, usize)]) -> Vec<(String, String)> {
    let mut all: Vec<_> = windows
        .iter()
        .flat_map(|(at, count)| (0..*count).map(|product| (minute(*at), format!("p{product:03}"))))
        .collect();
    all.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    all
}

#[tokio::test]
async fn every_closed_row_once_while_windows_come() {
    let counts: Vec<_> = (0..12).map(|at| (at, 1 + at * 3 % 8)).collect();
    let published: Vec<_> = counts.iter().map(|(at, count)| window(*at, *count)).collect();
    for limit in [1, 2, 3, 7, 8, 1000] {
        let world = World::new(windows_view(published.clone(), vec![window(20, 3)]));
        let rows = follow(&world, &format!("/metricas/produtos_mais_vistos?limite={limit}"), |number| {
            // With each page a further window opens and more rows come into the others.
            let open = (20..21 + number.min(9)).map(|at| window(at, 3 + number.min(4))).collect();
            Some(windows_view(published.clone(), open))
        })
        .await;
        assert_eq!(closed_rows(&rows), expected(&counts), "limit {limit}");
    }
}

#[tokio::test]
async fn a_window_that_closes_between_two_pages_is_begun_again() {
    let world = World::new(windows_view(vec![window(1, 2)], vec![window(2, 5), window(3, 2)]));
    let rows = follow(&world, "/metricas/produtos_mais_vistos?limite=4", |number| {
        // Page one ended after two rows of window 2, then still provisional.
        (number == 0).then(|| windows_view(vec![window(1, 2), window(2, 6)], vec![window(3, 2)]))
    })
    .await;
    assert_eq!(rows.iter().filter(|row| row["provisoria"] == true).count(), 4);
    assert_eq!(closed_rows(&rows), expected(&[(1, 2), (2, 6)]));
}

#[tokio::test]
async fn windows_that_publish_while_their_closed_rows_are_paged() {
    let world = World::new(windows_view(vec![window(1, 5), window(2, 5)], vec![window(3, 5)]));
    let path = format!("/metricas/produtos_mais_vistos?limite=2&ate={}", minute(3));
    let rows =
        follow(&world, &path, |_| Some(windows_view((1..4).map(|at| window(at, 5)).collect(), vec![window(4, 5)])))
            .await;
    assert_eq!(closed_rows(&rows), expected(&[(1, 5), (2, 5)]));
}

#[tokio::test]
async fn a_sparse_history_is_found_whole() {
    // The newest windows are dense, the others lie days apart.
    let counts: Vec<_> = [0, 1, 3_000, 9_000, 20_000, 20_001, 20_002].into_iter().map(|at| (at, 2)).collect();
    let (open, closed) = ([window(20_003, 2), window(20_004, 2)], &counts);
    let published: Vec<_> = closed.iter().map(|(at, count)| window(*at, *count)).collect();
    for limit in [1, 3, 5, 100] {
        let world = World::new(windows_view(published.clone(), open.to_vec()));
        let rows = follow(&world, &format!("/metricas/produtos_mais_vistos?limite={limit}"), |_| None).await;
        assert_eq!(closed_rows(&rows), expected(closed), "limit {limit}");
        assert_eq!(rows.len(), 18);
    }
}

#[tokio::test]
async fn links_keep_the_other_parameters() {
    let world = World::new(windows_view((0..4).map(|at| window(at, 3)).collect(), Vec::new()));
    let path = "/metricas/produtos_mais_vistos?id_produto=p001&limite=1&ate=2025-05-01T00:03:00%2B00:00";
    let rows = follow(&world, path, |_| None).await;
    let seen: Vec<_> = closed_rows(&rows);
    assert_eq!(seen, [2, 1, 0].map(|at| (minute(at), "p001".to_owned())));

    let link = next(world.get(path).await.header("link").expect("a link"));
    assert!(link.contains("id_produto=p001&limite=1&cursor="), "{link}");
    // A cursor counts the rows of one question; another question needs its own.
    let other = link.replace("p001", "p002");
    let answer = world.get(&other).await;
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains("invalid_cursor"), "{}", answer.body);
    assert_eq!(world.get(&link.replace("limite=1", "limite=2")).await.status, 200);
}
