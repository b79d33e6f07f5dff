use std::fs;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::datasource::MemTable;
use futures::TryStreamExt;
use vitral_catalog::{Catalog, DomainOptions, DomainSettings, ReadStatement, SourceFile};
use vitral_panes::view::{KeyedTableView, MetricFailure, View};

use super::*;
use crate::limits::Limits;
use crate::principal::Principal;
use crate::reader::Reader;
use crate::reference::References;

/// Two domains without events, each with a view of the same name; in the second, one over its own.
fn two_domains() -> (tempfile::TempDir, Reader, DomainSettings) {
    let dir = tempfile::tempdir().expect("a folder");
    let folders = [
        ("pagamentos", "CREATE VIEW limites AS SELECT 1 AS x; CREATE VIEW taxas AS SELECT 7 AS x;"),
        ("credito", "CREATE VIEW limites AS SELECT 2 AS x; CREATE VIEW dobro AS SELECT 2 * x AS x FROM limites;"),
    ];
    let dirs = folders.map(|(name, text)| {
        let folder = dir.path().join(name);
        fs::create_dir(&folder).expect("made");
        fs::write(folder.join("domain.toml"), format!("name = '{name}'")).expect("written");
        fs::write(folder.join("a.sql"), text).expect("written");
        folder
    });
    let settings = DomainSettings::load(&[], &dirs, &DomainOptions::default()).expect("settings");
    let catalog = Arc::new(Catalog::load(&dirs, &settings).expect("a catalog"));
    let reader = Reader::stored(catalog, References::without_rows(), Limits::default()).expect("a reader");
    (dir, reader, settings)
}

async fn rows(reader: &Reader, settings: &DomainSettings, sql: &str) -> Result<String, QueryError> {
    let ReadStatement { query, position } = ReadStatement::parse(sql, settings).expect("a statement");
    let needs = reader.needs(&query, &position)?;
    let point = ReadPoint::new(Principal::operator(), Arc::new(View::default()), 0);
    let planned = reader.plan_statement(&point, &query, &needs, &position).await?;
    let batches: Vec<_> = planned.run(&position).await?.try_collect().await?;
    Ok(pretty_format_batches(&batches)?.to_string())
}

#[tokio::test]
async fn levels_that_are_written_alike_are_computed_each() {
    let (_dir, reader, settings) = two_domains();
    for sql in [
        "SELECT n + 1 AS n FROM (SELECT n + 1 AS n FROM (SELECT n + 1 AS n FROM (SELECT 1 AS n)))",
        "SELECT n + 1 AS n FROM (SELECT n + 1 AS n FROM (SELECT n + 1 AS n FROM (SELECT 1 AS n)) WHERE n > 0) WHERE n > 0",
        "WITH a AS (SELECT 1 AS n), b AS (SELECT n + 1 AS n FROM a), c AS (SELECT n + 1 AS n FROM b) SELECT n + 1 AS n FROM c",
        "SELECT x AS n FROM (SELECT 2 * x AS x FROM (SELECT 2 * x AS x FROM limites))",
    ] {
        let found = rows(&reader, &settings, sql).await.expect(sql);
        assert!(found.contains("| 4 |"), "{sql}\n{found}");
    }
    let found = rows(&reader, &settings, "SELECT 2 * x AS x FROM credito.dobro").await.expect("a view over a view");
    assert!(found.contains("| 8 |"), "{found}");
}

#[tokio::test]
async fn each_domain_is_a_schema_and_its_statements_mean_its_own_tables() {
    let (_dir, reader, settings) = two_domains();
    for (sql, wanted) in [
        ("SELECT x FROM limites", "| 1 |"),
        ("SELECT x FROM pagamentos.limites", "| 1 |"),
        ("SELECT credito.limites.x FROM credito.limites", "| 2 |"),
        ("SELECT a.x + b.x AS x FROM limites AS a, credito.limites AS b", "| 3 |"),
        // The view's own `limites` is that of its domain, from wherever it is read.
        ("SELECT x FROM dobro", "| 4 |"),
        ("SELECT x FROM credito.dobro", "| 4 |"),
        ("WITH limites AS (SELECT 9 AS x) SELECT x FROM limites", "| 9 |"),
    ] {
        let found = rows(&reader, &settings, sql).await.expect(sql);
        assert!(found.contains(wanted), "{sql}\n{found}");
    }
    let error = rows(&reader, &settings, "SELECT x FROM credito.taxas").await.expect_err("not its own").to_string();
    assert!(error.contains("SQL:1:15: there is no table credito.taxas"), "{error}");
}

#[tokio::test]
async fn each_table_is_listed_once_where_it_can_be_read() {
    let (_dir, reader, settings) = two_domains();
    let sql = "SELECT table_schema || '.' || table_name AS t FROM information_schema.tables \
               WHERE table_schema <> 'information_schema' AND table_name IN ('limites', 'taxas', 'dobro', 'livro') ORDER BY t";
    let found = rows(&reader, &settings, sql).await.expect("a list");
    let listed: Vec<&str> =
        found.lines().filter(|line| line.contains('.')).map(|line| line.trim_matches(['|', ' '])).collect();
    assert_eq!(
        listed,
        ["credito.limites", "public.dobro", "public.limites", "public.livro", "public.taxas"],
        "{found}"
    );
}

#[tokio::test]
async fn a_table_that_is_set_aside_is_refused_by_whatever_reads_it() {
    let file = SourceFile {
        path: "t.sql".into(),
        text: "CREATE TABLE ex (a TEXT NOT NULL, n BIGINT, ts TIMESTAMP NOT NULL)
            WITH (connector = 'kafka', event_time = 'ts', lateness = 'never');
            CREATE MATERIALIZED VIEW kn AS SELECT a, sum(n) AS s FROM ex GROUP BY a;
            CREATE VIEW acima AS SELECT a FROM kn WHERE s > 1;"
            .into(),
    };
    let settings = DomainSettings::default();
    let catalog = Arc::new(Catalog::parse(&[vec![file]], &settings).expect("a catalog"));
    let reader = Reader::stored(Arc::clone(&catalog), References::without_rows(), Limits::default()).expect("a reader");
    let columns = [("a", DataType::Utf8), ("s", DataType::Int64)];
    let schema = Schema::new(columns.map(|(name, data_type)| Field::new(name, data_type, true)).to_vec());
    let nothing = MemTable::try_new(Arc::new(schema.clone()), vec![vec![RecordBatch::new_empty(Arc::new(schema))]]);
    let mut shown = KeyedTableView {
        topic: "ex".to_owned(),
        keys: vec!["a".to_owned()],
        rows: Arc::new(nothing.expect("a table")),
        through: Arc::default(),
        since_ms: None,
        failure: None,
    };
    let ask = async |shown: &KeyedTableView, sql: &str| {
        let ReadStatement { query, position } = ReadStatement::parse(sql, &settings).expect("a statement");
        let needs = reader.needs(&query, &position)?;
        let view = View { keyed: [("kn".to_owned(), shown.clone())].into(), ..View::default() };
        let point = ReadPoint::new(Principal::operator(), Arc::new(view), 0);
        let planned = reader.plan_statement(&point, &query, &needs, &position).await?;
        Ok::<Vec<RecordBatch>, QueryError>(planned.run(&position).await?.try_collect().await?)
    };
    let statements = ["SELECT * FROM kn", "SELECT count(*) FROM acima", "SELECT 1 WHERE EXISTS (SELECT 1 FROM kn)"];
    for sql in statements {
        ask(&shown, sql).await.expect(sql);
    }
    let reason = "it does not fit".to_owned();
    shown.failure = Some(MetricFailure { reason, since_ms: 0, is_set_aside: true });
    for sql in statements {
        let refused = ask(&shown, sql).await.expect_err(sql);
        let said = refused.to_string();
        assert!(matches!(refused, QueryError::SetAside { table, reason } if table == "kn" && said.contains(&reason)));
    }
}
