//! Answers that are kept: given again while nothing has changed, and not a moment longer.

use futures::future::join_all;
use vitral_query::Cache;

use crate::world::{World, catalog, views, windows_view};

const SQL: &str = "CREATE VIEW vistas WITH (path = '/vistas', cache = '5 minutes') AS
        SELECT sum(visualizacoes) AS n, max($canal) AS canal FROM produtos_mais_vistos;
    CREATE VIEW nunca WITH (path = '/nunca', cache = '0 seconds') AS
        SELECT sum(visualizacoes) AS n FROM produtos_mais_vistos;";

fn world(cache: &Cache, count: i64) -> World {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::write(dir.path().join("vistas.sql"), SQL).expect("written");
    World::with(published(count), catalog(Some(dir.path())), |config| config.cache = cache.clone())
}

fn published(count: i64) -> vitral_panes::view::View {
    windows_view(vec![views("2025-05-14T22:29:00Z", &[("p1", count)])], Vec::new())
}

#[tokio::test]
async fn an_answer_is_given_again_until_something_is_committed() {
    let cache = Cache::new(1 << 20);
    let world = world(&cache, 1);
    let hits = || cache.counts().memory.hits();
    let first = world.get("/vistas").await;
    assert_eq!((first.body.as_str(), hits()), (r#"[{"n":1,"canal":null}]"#, 0));
    let again = world.get("/vistas").await;
    assert_eq!((again.body.as_str(), hits()), (first.body.as_str(), 1));
    assert_eq!(again.header("vitral-counted"), first.header("vitral-counted"));
    assert_eq!(again.header("age"), None, "it is of now");
    assert_eq!(world.body("/vistas?canal=app").await, r#"[{"n":1,"canal":"app"}]"#);
    assert_eq!(hits(), 1);
    world.show(published(2));
    assert_eq!(world.body("/vistas").await, r#"[{"n":2,"canal":null}]"#);
    let provisional = vec![views("2025-05-14T22:30:00Z", &[("p1", 40)])];
    world.show(windows_view(vec![views("2025-05-14T22:29:00Z", &[("p1", 2)])], provisional));
    assert_eq!(world.body("/vistas").await, r#"[{"n":42,"canal":null}]"#);
    assert_eq!(hits(), 1);
}

#[tokio::test]
async fn what_its_endpoint_does_not_keep_is_computed_each_time() {
    let (cache, off) = (Cache::new(1 << 20), Cache::new(0));
    let (keeping, without) = (world(&cache, 1), world(&off, 1));
    for _ in 0..3 {
        assert_eq!(keeping.body("/nunca").await, r#"[{"n":1}]"#);
        assert_eq!(without.body("/vistas").await, r#"[{"n":1,"canal":null}]"#);
    }
    for counts in [cache.counts(), off.counts()] {
        assert_eq!(counts.memory.hits() + counts.memory.misses(), 0, "{counts:?}");
    }
}

#[tokio::test]
async fn those_who_ask_the_same_at_once_are_answered_by_one_query() {
    let cache = Cache::new(1 << 20);
    let world = world(&cache, 7);
    let asked = join_all((0..100).map(|_| world.get("/vistas"))).await;
    assert!(asked.iter().all(|answer| answer.status == 200 && answer.body == r#"[{"n":7,"canal":null}]"#));
    let counts = cache.counts();
    assert_eq!(counts.memory.misses() - counts.joined(), 1, "one has computed: {counts:?}");
}
