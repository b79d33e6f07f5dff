//! Tables of the warehouse as they are read from a database, from its replica first.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::util::pretty::pretty_format_batches;
use chrono::NaiveDate;
use datafusion::catalog::TableProvider;
use datafusion::prelude::SessionContext;
use tokio_postgres::NoTls;
use vitral_connect_postgres::{DatabaseConfig, DatabaseUrl, NamedDatabase, PostgresWarehouse, SqlWarehouseReader};
use vitral_store::StoreError;
use vitral_store::read_session;
use vitral_store::warehouse::{Days, ReadFrom, Warehouse, WarehouseReader, WarehouseTable, WarehouseTables};

/// More rows than one batch has.
const ROWS: i64 = 20_000;

/// The server that `scripts/services` has started; in CI it must be there.
fn server() -> Option<DatabaseUrl> {
    match std::env::var("VITRAL_TEST_POSTGRES") {
        Ok(url) => Some(DatabaseUrl::new(url)),
        Err(_) if std::env::var_os("CI").is_some() => panic!("VITRAL_TEST_POSTGRES is missing"),
        Err(_) => {
            eprintln!("left out: no PostgreSQL; scripts/services start postgres");
            None
        }
    }
}

fn named(connection: &str, url: DatabaseUrl) -> NamedDatabase {
    NamedDatabase { connection: connection.to_owned(), url }
}

/// Nobody listens there.
fn nobody() -> DatabaseUrl {
    DatabaseUrl::new("postgresql://vitral@127.0.0.1:1/loja")
}

fn table() -> WarehouseTable {
    let fields = [
        ("dia", DataType::Date32),
        ("n", DataType::Int64),
        ("receita", DataType::Decimal128(38, 2)),
        ("quando", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
        ("aberta", DataType::Boolean),
        ("nota", DataType::Utf8),
        ("media", DataType::Float64),
    ];
    let fields = fields.map(|(name, data_type)| Field::new(name, data_type, true));
    let name = format!("t_{}", uuid::Uuid::new_v4().simple());
    WarehouseTable { name, schema: Arc::new(Schema::new(fields.to_vec())), date: "dia".to_owned(), key: Vec::new() }
}

/// Row `n` of the table, some of its values missing or hard to write.
fn rows(schema: &SchemaRef) -> RecordBatch {
    let numbers = || 0..ROWS;
    let note = |n: i64| match n % 4 {
        0 => None,
        1 => Some("d'água\\t\u{1F30A}".to_owned()),
        2 => Some(String::new()),
        _ => Some(format!("nota {n}")),
    };
    let decimals = Decimal128Array::from_iter_values(numbers().map(|n| i128::from(n) * 1_000_003 - 5));
    let times = numbers().map(|n| (n % 7 != 0).then_some(1_746_057_600_000_001 + n * 1_000_003));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Date32Array::from_iter_values(numbers().map(|n| 20_209 + i32::try_from(n % 28).expect("a day")))),
        Arc::new(Int64Array::from_iter_values(numbers().map(|n| n - 5))),
        Arc::new(decimals.with_precision_and_scale(38, 2).expect("a precision")),
        Arc::new(times.collect::<TimestampMicrosecondArray>().with_timezone("UTC")),
        Arc::new(numbers().map(|n| (n % 3 != 0).then_some(n % 2 == 0)).collect::<BooleanArray>()),
        Arc::new(numbers().map(note).collect::<StringArray>()),
        Arc::new(Float64Array::from_iter_values(numbers().map(|n| n as f64 / 7.0))),
    ];
    RecordBatch::try_new(Arc::clone(schema), columns).expect("rows")
}

/// Writes the table as a job does.
async fn written(url: &DatabaseUrl) -> (WarehouseTable, RecordBatch) {
    let config = DatabaseConfig { url: url.clone(), replica_url: None, pool_size: 2 };
    let (warehouse, table) = (PostgresWarehouse::open(&config).await.expect("a database"), table());
    let rows = rows(&table.schema);
    warehouse.prepare(&table).await.expect("prepared");
    let frame = read_session(1).read_batch(rows.clone()).expect("a frame");
    let day = |text: &str| text.parse::<NaiveDate>().expect("a day");
    let days = Days { from: day("2025-05-01"), to: day("2025-06-01") };
    warehouse.replace(&table, days, frame).await.expect("replaced");
    (table, rows)
}

fn reader(primary: DatabaseUrl, replica: Option<DatabaseUrl>, table: &str) -> SqlWarehouseReader {
    let replica = replica.map(|url| named("replica", url));
    SqlWarehouseReader::new(named("loja", primary), replica, 2, [table.to_owned()]).expect("a reader")
}

async fn read(reader: &SqlWarehouseReader, table: &str) -> Result<WarehouseTables, StoreError> {
    reader.tables(&BTreeSet::from([table.to_owned()])).await
}

async fn provider(reader: &SqlWarehouseReader, table: &str) -> (Arc<dyn TableProvider>, ReadFrom) {
    let mut found = read(reader, table).await.expect("it answers");
    (found.tables.remove(table).expect("it is there").expect("its columns"), found.from)
}

/// What a statement gives over these rows of `t`, sorted as texts.
async fn answer(rows: Arc<dyn TableProvider>, sql: &str) -> Vec<String> {
    let context = SessionContext::new();
    context.register_table("t", rows).expect("a table");
    let batches = context.sql(sql).await.expect(sql).collect().await.expect(sql);
    let text = pretty_format_batches(&batches).expect("a text").to_string();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[tokio::test(flavor = "multi_thread")]
async fn every_statement_gives_what_it_gives_over_the_rows_themselves() {
    let Some(url) = server() else { return };
    let (table, rows) = written(&url).await;
    let reader = reader(url, None, &table.name);
    let (found, from) = provider(&reader, &table.name).await;
    assert_eq!((from, found.schema()), (ReadFrom::Primary, Arc::clone(&table.schema)));
    let memory = datafusion::catalog::MemTable::try_new(rows.schema(), vec![vec![rows]]).expect("a table");
    let memory: Arc<dyn TableProvider> = Arc::new(memory);
    for sql in [
        "SELECT count(*) FROM t",
        "SELECT * FROM t WHERE n < 40",
        "SELECT sum(receita), sum(n), min(quando), max(quando), count(nota), sum(media) > 0 FROM t",
        "SELECT nota, n FROM t WHERE n IN (1, 2, 3, 4, 5, 99) AND aberta IS NOT NULL",
        "SELECT n FROM t WHERE receita = 50000.10 OR receita > 199990000.00",
        "SELECT count(*), min(n) FROM t WHERE nota = 'd''água\\t\u{1F30A}'",
        "SELECT count(*) FROM t WHERE nota = '' AND quando IS NULL",
        "SELECT count(*) FROM t WHERE nota >= 'nota 5' AND dia = DATE '2025-05-09'",
        "SELECT count(*) FROM t WHERE NOT aberta",
        "SELECT count(*) FROM t WHERE aberta AND media > 100.5",
        "SELECT n FROM t WHERE quando < TIMESTAMP '2025-05-01T00:00:09.000028Z'",
        "SELECT dia, count(*) FROM t GROUP BY dia",
        "SELECT count(*) FROM (SELECT n FROM t WHERE n >= 0 LIMIT 13)",
        "SELECT count(*) FROM t AS a JOIN t AS b ON a.n = b.n + 1 WHERE a.n BETWEEN 1 AND 900",
    ] {
        assert_eq!(answer(Arc::clone(&found), sql).await, answer(Arc::clone(&memory), sql).await, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_gets_columns_conditions_and_limits() {
    let Some(url) = server() else { return };
    let (table, _) = written(&url).await;
    let (found, _) = provider(&reader(url, None, &table.name), &table.name).await;
    let sql = "EXPLAIN SELECT n FROM t WHERE n > 3 AND nota IS NULL AND media > 1 LIMIT 7";
    let plan = answer(Arc::clone(&found), sql).await.join("\n");
    assert!(plan.contains("FilterExec: media"), "the rest stays with the engine: {plan}");
    assert!(!plan.contains("nota@"), "{plan}");
    let limited = answer(found, "EXPLAIN SELECT n FROM t WHERE n > 3 LIMIT 7").await.join("\n");
    assert!(limited.contains("fetch=7") && !limited.contains("FilterExec"), "{limited}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_answers_while_it_can_and_is_left_alone_when_it_cannot() {
    let Some(url) = server() else { return };
    let (table, _) = written(&url).await;
    // It is not a replica of another: it is not behind.
    let both = reader(url.clone(), Some(url.clone()), &table.name);
    assert_eq!(provider(&both, &table.name).await.1, ReadFrom::Replica { lag_ms: Some(0) });
    let dead = reader(url.clone(), Some(nobody()), &table.name);
    for _ in 0..3 {
        let (rows, from) = provider(&dead, &table.name).await;
        assert_eq!(from, ReadFrom::InsteadOfReplica);
        let count = answer(rows, "SELECT count(*) FROM t").await.join("\n");
        assert!(count.contains(&ROWS.to_string()), "{count}");
    }
    // Rows come from the replica itself.
    let other = reader(nobody(), Some(url), &table.name);
    let (rows, _) = provider(&other, &table.name).await;
    assert!(answer(rows, "SELECT count(*) FROM t").await.join("\n").contains(&ROWS.to_string()));
}

/// Who accepts and says nothing costs the patience of one question, and then nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_says_nothing_is_asked_once() {
    let Some(url) = server() else { return };
    let (table, _) = written(&url).await;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = silent.local_addr().expect("an address").port();
    let (count, mut counted) = tokio::sync::watch::channel(0);
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = silent.accept().await {
            held.push(stream);
            count.send_replace(held.len());
        }
    });
    let replica = DatabaseUrl::new(format!("postgresql://vitral@127.0.0.1:{port}/loja"));
    let reader = reader(url, Some(replica), &table.name);
    for _ in 0..5 {
        assert_eq!(provider(&reader, &table.name).await.1, ReadFrom::InsteadOfReplica);
    }
    assert_eq!(*counted.borrow_and_update(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_either_the_error_names_the_connection() {
    let both = reader(nobody(), Some(nobody()), "vendas");
    for _ in 0..2 {
        match read(&both, "vendas").await.expect_err("away") {
            StoreError::WarehouseAway { connection, .. } => assert_eq!(connection, "loja"),
            other => panic!("{other}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_appears_and_what_cannot_be_read_is_named() {
    let Some(url) = server() else { return };
    let name = format!("t_{}", uuid::Uuid::new_v4().simple());
    let reader = reader(url.clone(), None, &name);
    assert!(read(&reader, &name).await.expect("it answers").tables.is_empty());
    let (client, connection) = tokio_postgres::connect(url.expose(), NoTls).await.expect("a database");
    tokio::spawn(connection);
    let create = format!("CREATE TABLE {name} (dia date, valor numeric, quem uuid)");
    client.batch_execute(&create).await.expect("created");
    let found = loop {
        let mut found = read(&reader, &name).await.expect("it answers");
        if let Some(found) = found.tables.remove(&name) {
            break found;
        }
        tokio::task::yield_now().await;
    };
    let error = found.expect_err("a number without digits").to_string();
    assert!(error.contains(&format!("column valor of {name}")), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_go_back_and_abandoned_ones_are_closed() {
    let Some(url) = server() else { return };
    let (table, _) = written(&url).await;
    let reader = reader(url, None, &table.name);
    let (rows, _) = provider(&reader, &table.name).await;
    // More often than there are connections, half of the time without reading to the end.
    for _ in 0..6 {
        let context = SessionContext::new();
        context.register_table("t", Arc::clone(&rows)).expect("a table");
        let mut stream = context.sql("SELECT n FROM t").await.expect("a plan").execute_stream().await.expect("rows");
        let first = futures::StreamExt::next(&mut stream).await.expect("a batch").expect("rows");
        assert!(first.num_rows() > 0);
        drop(stream);
        answer(Arc::clone(&rows), "SELECT count(*) FROM t").await;
    }
}
