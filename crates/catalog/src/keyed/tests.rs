//! Tables that are kept up to date: what may be said, and what becomes of it.

use crate::{Catalog, DomainSettings, KeyedView, Merge, SourceFile};

const TOPIC: &str = "CREATE TABLE estoques (id TEXT NOT NULL, lugar TEXT, nivel BIGINT, timestamp TIMESTAMP NOT NULL)
    WITH (connector = 'kafka', event_time = 'timestamp', lateness = 'never');\n";

fn catalog(view: &str) -> Result<Catalog, String> {
    let file = SourceFile { path: "t.sql".into(), text: format!("{TOPIC}{view}") };
    Catalog::parse(&[vec![file]], &DomainSettings::default()).map_err(|errors| errors.to_string())
}

fn keyed(view: &str) -> KeyedView {
    catalog(view).expect(view).keyed.pop().expect("a table")
}

#[test]
fn keys_and_aggregates_are_told_apart() {
    let view = keyed(
        "-- The level.\nCREATE MATERIALIZED VIEW nivel AS SELECT upper(id) AS id_maior, latest(nivel) AS nivel, lugar,
         count(DISTINCT nivel) FILTER (WHERE nivel > 0) AS niveis, count(*) AS vezes,
         sum_since(nivel, lugar = 'x') FILTER (WHERE nivel > 1) AS desde FROM estoques GROUP BY lugar, 1",
    );
    assert_eq!(view.keys, ["id_maior", "lugar"]);
    let merges: Vec<Merge> = view.columns.iter().map(|column| column.merge).collect();
    assert_eq!(merges, [Merge::Latest, Merge::Distinct, Merge::Counts, Merge::Since]);
    let partial = view.partial().expect("a query").to_string();
    for part in [
        "_origem AS \"_origem\", upper(id) AS \"id_maior\", lugar AS \"lugar\"",
        "latest(nivel, _ordem) FILTER (WHERE (nivel) IS NOT NULL) AS \"nivel\"",
        "max(_ordem) FILTER (WHERE (nivel) IS NOT NULL) AS \"_ordem_nivel\"",
        "array_agg(DISTINCT nivel) FILTER (WHERE ((nivel) IS NOT NULL) AND (nivel > 0)) AS \"niveis\"",
        "sum_since_state(nivel, lugar = 'x', _ordem) FILTER (WHERE nivel > 1) AS \"desde\"",
        "max(_chegada) AS \"atualizado\" FROM estoques GROUP BY 1, 2, 3",
    ] {
        assert!(partial.contains(part), "{part} in {partial}");
    }
}

#[test]
fn what_cannot_be_kept_is_refused_with_its_place() {
    let error = |select: &str| {
        let view = format!("CREATE MATERIALIZED VIEW v AS SELECT {select}");
        catalog(&view).expect_err(select)
    };
    for (select, reason) in [
        ("id, avg(nivel) AS a FROM estoques GROUP BY id", "keep a sum and a count"),
        ("id, latest(nivel) - 1 AS a FROM estoques GROUP BY id", "nor one aggregate"),
        ("id, latest(nivel, timestamp) AS a FROM estoques GROUP BY id", "exactly one argument"),
        ("id, sum_since(nivel) AS a FROM estoques GROUP BY id", "exactly two arguments"),
        ("id, nivel AS a FROM estoques GROUP BY id", "nor one aggregate"),
        ("id, count(*) FROM estoques GROUP BY id", "has no name"),
        ("count(*) AS n FROM estoques GROUP BY id", "does not list each grouping column"),
        ("count(*) AS n FROM estoques", "needs a window or a key"),
        ("id, count(*) AS atualizado FROM estoques GROUP BY id", "when a key's last row arrived"),
        ("id, count(*) AS n FROM estoques GROUP BY id HAVING count(*) > 1", "HAVING"),
        ("id, count(*) AS n FROM estoques GROUP BY id ORDER BY n", "ORDER BY and LIMIT"),
        ("id, count(*) AS n FROM outros GROUP BY id", "which is not a topic"),
        ("id, sum(nivel ORDER BY id) AS n FROM estoques GROUP BY id", "order of rows"),
    ] {
        let error = error(select);
        assert!(error.contains(reason), "{select}: {error}");
        assert!(error.contains("t.sql:3:") && error.contains("remedy: "), "{error}");
    }
}

#[test]
fn rows_that_are_never_late_have_no_windows_and_no_ids() {
    let window = "CREATE MATERIALIZED VIEW m AS SELECT tumble(INTERVAL '1 minute') AS janela, count(*) AS n FROM estoques GROUP BY janela";
    let error = catalog(window).expect_err("windows never close");
    assert!(error.contains("never close") && error.contains("lateness"), "{error}");
    let text = TOPIC.replace("lateness", "event_id = 'id', lateness");
    let file = SourceFile { path: "t.sql".into(), text };
    let error = Catalog::parse(&[vec![file]], &DomainSettings::default()).expect_err("ids would be kept forever");
    assert!(error.to_string().contains("event_id"), "{error}");
}

#[test]
fn a_version_is_of_what_is_computed() {
    let settings = DomainSettings::default();
    let view = "CREATE MATERIALIZED VIEW v AS SELECT id, sum(nivel) AS n FROM estoques GROUP BY id";
    let (one, other) = (keyed(view), keyed(&view.replace("sum", "max")));
    assert_eq!(one.version(&settings, ""), keyed(&format!("-- Said.\n{view}")).version(&settings, ""));
    assert_ne!(one.version(&settings, ""), other.version(&settings, ""));
    assert_ne!(one.version(&settings, "n Int64"), one.version(&settings, "n Int32"));
    assert_eq!(one.untyped_version(&settings), one.version(&settings, ""));
    assert_ne!(one.definition_id(&settings), other.definition_id(&settings));
}
