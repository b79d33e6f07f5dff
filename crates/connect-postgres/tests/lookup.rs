//! Look-ups in a real PostgreSQL: `scripts/services start postgres`, then `env $(scripts/services
//! env) cargo test`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{Decimal128Type, TimestampMicrosecondType};
use futures::TryStreamExt;
use vitral_connect::conformance::{lookup_conforms, whole_table_conforms};
use vitral_connect::{Connection, Lookup, RetryHint};
use vitral_connect_postgres::PostgresLookup;
use vitral_schemas::diagnostic::Position;
use vitral_schemas::lookup::{LookupOrigin, LookupTable, NamedConnection, OnFailure};
use vitral_schemas::topic::{Column, ColumnKind};

/// The server that `scripts/services` has started; in CI it must be there.
fn url() -> Option<String> {
    match std::env::var("VITRAL_TEST_POSTGRES") {
        Ok(url) => Some(url),
        Err(_) if std::env::var_os("CI").is_some() => panic!("VITRAL_TEST_POSTGRES is missing"),
        Err(_) => {
            eprintln!("left out: no PostgreSQL");
            None
        }
    }
}

fn table(columns: &[(&str, ColumnKind)]) -> LookupTable {
    let connection = NamedConnection { name: "clientes".to_owned(), position: Position::file("a.sql") };
    LookupTable {
        name: "perfis".to_owned(),
        columns: columns.iter().map(|(name, kind)| Column::new(*name, *kind)).collect(),
        key: columns[0].0.to_owned(),
        origin: LookupOrigin::Postgres { connection, table: "perfis".to_owned() },
        cache_ms: 0,
        timeout_ms: 10_000,
        retries: 0,
        on_failure: OnFailure::Null,
    }
}

async fn run(url: &str, sql: &str) {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.expect("connected");
    let connection = tokio::spawn(connection);
    client.batch_execute(sql).await.expect(sql);
    drop(client);
    connection.await.expect("joined").expect("closed");
}

const TEXTS: [(&str, ColumnKind); 2] = [("chave", ColumnKind::Text), ("valor", ColumnKind::Text)];

#[tokio::test]
async fn a_table_conforms() {
    let Some(url) = url() else { return };
    run(
        &url,
        "DROP SCHEMA IF EXISTS consultas CASCADE; CREATE SCHEMA consultas;
         CREATE TABLE consultas.perfis (chave text PRIMARY KEY, valor text, outra int);
         INSERT INTO consultas.perfis VALUES ('a', '1', 1), ('b', '2', 2), ('it''s \\ odd', '3', 3);
         CREATE VIEW consultas.duas AS SELECT chave, valor FROM consultas.perfis WHERE chave IN ('a', 'b');
         CREATE VIEW consultas.muitas AS SELECT n::text AS chave, 'x' AS valor FROM generate_series(1, 12000) AS n;
         CREATE TABLE consultas.dobrada (chave text, valor text);
         INSERT INTO consultas.dobrada VALUES ('a', '1'), ('a', '2');
         CREATE TABLE consultas.tipos (id int PRIMARY KEY, preco numeric, desde timestamptz, ativo boolean);
         INSERT INTO consultas.tipos VALUES (1, 12.5, '2025-05-14 09:00:00-03', true), (2, 1.005, NULL, NULL);",
    )
    .await;
    let connection = Connection::to(&url);
    let texts = PostgresLookup::new(&table(&TEXTS), "consultas.perfis", &connection).expect("a look-up");
    lookup_conforms(&texts, "valor").await;
    let two = PostgresLookup::new(&table(&TEXTS), "consultas.duas", &connection).expect("a look-up");
    whole_table_conforms(&two, "valor").await;
    let many = PostgresLookup::new(&table(&TEXTS), "consultas.muitas", &connection).expect("a look-up");
    let batches: Vec<_> = many.all().try_collect().await.expect("rows");
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    assert!(rows == 12_000 && batches.len() > 1, "{rows} rows in {} batches", batches.len());
    let odd: ArrayRef = Arc::new(StringArray::from(vec!["it's \\ odd", "'); DROP SCHEMA consultas CASCADE; --", "\0"]));
    let rows = texts.get(&odd).await.expect("rows");
    let values: Vec<_> = rows.column(1).as_string::<i32>().iter().collect();
    assert_eq!(values, [Some("3"), None, None]);

    let kinds = [
        ("id", ColumnKind::Integer),
        ("preco", ColumnKind::Decimal { precision: 18, scale: 2 }),
        ("desde", ColumnKind::Timestamp),
        ("ativo", ColumnKind::Boolean),
    ];
    let typed = PostgresLookup::new(&table(&kinds), "consultas.tipos", &connection).expect("a look-up");
    let one: ArrayRef = Arc::new(Int64Array::from(vec![Some(9), Some(1), None]));
    let rows = typed.get(&one).await.expect("rows");
    assert_eq!(rows.column(1).as_primitive::<Decimal128Type>().value(1), 1_250);
    assert_eq!(rows.column(2).as_primitive::<TimestampMicrosecondType>().value(1), 1_747_224_000_000_000);
    assert!(rows.column(3).as_boolean().value(1) && rows.column(0).is_null(0) && rows.column(0).is_null(2));
    // A value that its column cannot hold exactly, and a key with two rows.
    let both: ArrayRef = Arc::new(Int64Array::from(vec![2, 1]));
    let rows = typed.get(&both).await.expect("rows");
    assert!(rows.column(0).is_null(0) && rows.column(0).is_valid(1));
    let error = typed.all().try_next().await.expect_err("half a cent");
    assert!(error.to_string().contains("the row with the id 2"), "{error}");
    let twice = PostgresLookup::new(&table(&TEXTS), "consultas.dobrada", &connection).expect("a look-up");
    let a: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
    assert!(twice.get(&a).await.expect("rows").column(0).is_null(0));
    let missing = PostgresLookup::new(&table(&TEXTS), "consultas.outra", &connection).expect("a look-up");
    assert_eq!(missing.get(&a).await.expect_err("no such table").retry_hint(), RetryHint::Permanent);
    assert_eq!(missing.all().try_next().await.expect_err("no such table").retry_hint(), RetryHint::Permanent);
    let both: Vec<_> = twice.all().try_collect().await.expect("rows");
    assert_eq!(both.iter().map(RecordBatch::num_rows).sum::<usize>(), 2, "as they stand");
}

#[test]
fn other_connections_are_refused() {
    let error =
        PostgresLookup::new(&table(&TEXTS), "perfis", &Connection::to("mysql://u:hush@db/x")).expect_err("mysql");
    assert!(error.to_string().contains("postgresql://") && !error.to_string().contains("hush"), "{error}");
}
