//! A copy in PostgreSQL does what every sink does: `scripts/services start postgres`, then `env
//! $(scripts/services env) cargo test`.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use tokio_postgres::{NoTls, SimpleQueryMessage};
use vitral_connect::conformance::keyed_sink_conforms;
use vitral_connect::{Epoch, Sink};
use vitral_connect_postgres::{DatabaseConfig, DatabaseUrl, PostgresSink, PostgresWarehouse};

/// The server that `scripts/services` has started; in CI it must be there.
fn server() -> Option<String> {
    match std::env::var("VITRAL_TEST_POSTGRES") {
        Ok(url) => Some(url),
        Err(_) if std::env::var_os("CI").is_some() => panic!("VITRAL_TEST_POSTGRES is missing"),
        Err(_) => {
            eprintln!(
                "left out: no PostgreSQL; scripts/services start postgres, then env $(scripts/services env) cargo test"
            );
            None
        }
    }
}

/// What a statement gives, as texts.
async fn query(url: &str, statement: &str) -> Vec<Vec<String>> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("a server");
    let connection = tokio::spawn(connection);
    let found = client.simple_query(statement).await.expect("an answer");
    drop(client);
    connection.await.expect("no panic").expect("closed");
    let row = |message: SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => {
            Some((0..row.len()).map(|column| row.get(column).unwrap_or("null").to_owned()).collect())
        }
        _ => None,
    };
    found.into_iter().filter_map(row).collect()
}

fn new_table() -> String {
    format!("copia_{}", uuid::Uuid::new_v4().simple())
}

fn sink(url: &str, table: &str, key: &str) -> PostgresSink {
    PostgresSink::new(&DatabaseUrl::new(url), table, &[key.to_owned()]).expect("a URL that can be used")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_in_postgresql_conforms() {
    let Some(url) = server() else { return };
    let table = new_table();
    let found = async || {
        let rows = query(&url, &format!("SELECT chave, numero FROM {table} ORDER BY chave COLLATE \"C\"")).await;
        rows.into_iter().map(|row| (row[0].clone(), row[1].parse().expect("a number"))).collect()
    };
    keyed_sink_conforms(&sink(&url, &table, "chave"), found).await;
}

fn everything(key: &str) -> RecordBatch {
    let price = Decimal128Array::from(vec![-1250]).with_precision_and_scale(18, 2).expect("a decimal");
    let time = TimestampMicrosecondArray::from(vec![1_747_264_560_123_456]);
    RecordBatch::try_from_iter([
        ("chave", Arc::new(StringArray::from(vec![key])) as ArrayRef),
        ("preco", Arc::new(price) as ArrayRef),
        ("quando", Arc::new(time.clone().with_timezone("UTC")) as ArrayRef),
        ("local", Arc::new(time) as ArrayRef),
        ("dia", Arc::new(Date32Array::from(vec![20_222])) as ArrayRef),
        ("taxa", Arc::new(Float64Array::from(vec![0.1])) as ArrayRef),
        ("aberta", Arc::new(BooleanArray::from(vec![true])) as ArrayRef),
        ("Nome \"x\"", Arc::new(StringArray::from(vec!["tab\t, 'aspas' \\N\nlinha"])) as ArrayRef),
        ("nada", Arc::new(Int64Array::from(vec![None::<i64>])) as ArrayRef),
    ])
    .expect("rows")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_arrives_and_what_the_database_cannot_take_is_left_out_alone() {
    let Some(url) = server() else { return };
    let table = new_table();
    let sink = sink(&url, &table, "chave");
    sink.write(Epoch(1), &[everything("a"), everything("b\0")]).await.expect("written");
    let rows = query(&url, &format!("SET timezone TO 'UTC'; SELECT * FROM {table}")).await;
    let row = [
        "a",
        "-12.50",
        "2025-05-14 23:16:00.123456+00",
        "2025-05-14 23:16:00.123456",
        "2025-05-14",
        "0.1",
        "t",
        "tab\t, 'aspas' \\N\nlinha",
        "null",
        "1",
    ];
    assert_eq!(rows, [row.map(str::to_owned).to_vec()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_may_gain_columns_and_keeps_those_of_others() {
    let Some(url) = server() else { return };
    let table = new_table();
    query(
        &url,
        &format!("CREATE TABLE {table} (chave text PRIMARY KEY, dono text DEFAULT 'loja', taxa double precision)"),
    )
    .await;
    sink(&url, &table, "chave").write(Epoch(1), &[everything("a")]).await.expect("written");
    let rows = query(&url, &format!("SELECT chave, dono, taxa, preco, _epoch FROM {table}")).await;
    assert_eq!(rows, [["a", "loja", "0.1", "-12.50", "1"].map(str::to_owned).to_vec()]);
    query(&url, &format!("ALTER TABLE {table} ALTER COLUMN taxa TYPE text")).await;
    let error = sink(&url, &table, "chave").write(Epoch(2), &[everything("a")]).await.expect_err("another type");
    assert!(error.to_string().contains("taxa") && !error.is_worth_a_retry(), "{error}");
    assert!(error.to_string().contains("give the copy another table"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_needs_no_right_to_make_it() {
    let Some(url) = server() else { return };
    let warehouse = async |url: &str| {
        let config = DatabaseConfig { url: DatabaseUrl::new(url), replica_url: None, pool_size: 1 };
        PostgresWarehouse::open(&config).await.map(drop)
    };
    warehouse(&url).await.expect("a database");
    sink(&url, &new_table(), "chave").write(Epoch(1), &[everything("a")]).await.expect("written");
    let user = format!("copiador_{}", uuid::Uuid::new_v4().simple());
    let make = format!(
        "CREATE ROLE {user} LOGIN; CREATE SCHEMA {user} AUTHORIZATION {user}; GRANT USAGE ON SCHEMA vitral TO {user}; \
         GRANT SELECT ON vitral.versao TO {user}; \
         GRANT SELECT, INSERT, DELETE ON vitral.destinos, vitral.destinos_incompletos TO {user}"
    );
    query(&url, &make).await;
    let may = format!(
        "SELECT has_database_privilege('{user}', current_database(), 'CREATE'), has_schema_privilege('{user}', 'vitral', 'CREATE')"
    );
    assert_eq!(query(&url, &may).await, [["f", "f"].map(str::to_owned).to_vec()]);
    let as_user = url.replacen("vitral@", &format!("{user}@"), 1);
    assert_ne!(as_user, url);
    warehouse(&as_user).await.expect("it is up to date");
    let own = sink(&as_user, &new_table(), "chave");
    own.write(Epoch(1), &[everything("a")]).await.expect("written");
    assert_eq!(own.last_epoch().await.expect("an answer"), Some(Epoch(1)));
    query(&url, &format!("DROP OWNED BY {user}; DROP ROLE {user}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_table_that_was_dropped_nothing_is_known() {
    let Some(url) = server() else { return };
    let table = new_table();
    let sink = sink(&url, &table, "chave");
    sink.write(Epoch(4), &[everything("a")]).await.expect("written");
    assert_eq!(sink.last_epoch().await.expect("an answer"), Some(Epoch(4)));
    query(&url, &format!("DROP TABLE {table}")).await;
    sink.write(Epoch(5), &[everything("b")]).await.expect_err("the earlier rows are missing");
    assert_eq!(sink.last_epoch().await.expect("an answer"), None);
    sink.write(Epoch(5), &[everything("a"), everything("b")]).await.expect("written");
    assert_eq!(query(&url, &format!("SELECT count(*) FROM {table}")).await, [vec!["2".to_owned()]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_column_that_was_dropped_it_is_known_that_its_values_are_missing() {
    let Some(url) = server() else { return };
    let table = new_table();
    let first = sink(&url, &table, "chave");
    first.write(Epoch(1), &[everything("a"), everything("b")]).await.expect("written");
    assert!(!first.lacks_values().await.expect("an answer"));
    query(&url, &format!("ALTER TABLE {table} DROP COLUMN taxa")).await;
    // A process that has used the column finds out by failing.
    first.write(Epoch(2), &[everything("b")]).await.expect_err("the column is not there");
    first.write(Epoch(2), &[everything("b")]).await.expect("it is added again");
    assert!(first.lacks_values().await.expect("an answer"));
    drop(first);
    let second = sink(&url, &table, "chave");
    assert!(second.lacks_values().await.expect("an answer"), "the next process knows it, too");
    let values = async || query(&url, &format!("SELECT chave, taxa FROM {table} ORDER BY chave")).await;
    assert_eq!(values().await, [["a", "null"].map(str::to_owned).to_vec(), ["b", "0.1"].map(str::to_owned).to_vec()]);
    second.write(Epoch(3), &[everything("a"), everything("b")]).await.expect("all rows");
    assert!(!second.lacks_values().await.expect("an answer"));
    assert!(!sink(&url, &table, "chave").lacks_values().await.expect("an answer"));
    assert_eq!(values().await, [["a", "0.1"].map(str::to_owned).to_vec(), ["b", "0.1"].map(str::to_owned).to_vec()]);
}
