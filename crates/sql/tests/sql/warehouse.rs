//! Tables of jobs, as `armazem.NAME`.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::sync::{Arc, Mutex};

use arrow::array::{Date32Array, Decimal128Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use async_trait::async_trait;
use datafusion::catalog::{MemTable, TableProvider};
use tokio::sync::mpsc;
use tokio_postgres::{AsyncMessage, NoTls};
use vitral_access::{Access, AccessConfig, AccessMode, ExposeSecret as _, NewKey, row_filters, scopes};
use vitral_query::Warehouse;
use vitral_schemas::time::SystemClock;
use vitral_store::warehouse::{ReadFrom, WarehouseReader, WarehouseTables};
use vitral_store::{Location, StoreError};

use crate::world::{World, code, connect, said, text, texts};

/// What it says of where its one table is read; none while it is away.
#[derive(Debug)]
struct Described {
    from: Mutex<Option<ReadFrom>>,
    is_made: bool,
}

#[async_trait]
impl WarehouseReader for Described {
    async fn tables(&self, names: &BTreeSet<String>) -> Result<WarehouseTables, StoreError> {
        let from = *self.from.lock().expect("a lock");
        let Some(from) = from else {
            return Err(StoreError::WarehouseAway { connection: "loja".into(), source: "connection refused".into() });
        };
        let mut tables: BTreeMap<String, Result<Arc<dyn TableProvider>, StoreError>> = BTreeMap::new();
        if self.is_made && names.contains("vendas_por_dia") {
            tables.insert("vendas_por_dia".to_owned(), Ok(table()));
        }
        Ok(WarehouseTables { from, tables })
    }
}

/// One day with 30.50.
fn table() -> Arc<dyn TableProvider> {
    let fields = [Field::new("dia", DataType::Date32, true), Field::new("total", DataType::Decimal128(38, 2), true)];
    let total = Decimal128Array::from(vec![3050]).with_precision_and_scale(38, 2).expect("a precision");
    let schema = Arc::new(Schema::new(fields.to_vec()));
    let day = Date32Array::from(vec![20_635]);
    let rows = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(day), Arc::new(total)]).expect("rows");
    Arc::new(MemTable::try_new(schema, vec![vec![rows]]).expect("a table"))
}

async fn world(from: Option<ReadFrom>, is_made: bool) -> (World, Arc<Described>, tempfile::TempDir) {
    let files = tempfile::tempdir().expect("a folder");
    let store = Location::folder(files.path()).expect("a store");
    let described = Arc::new(Described { from: Mutex::new(from), is_made });
    let warehouse = Warehouse::new(Arc::clone(&described) as Arc<dyn WarehouseReader>);
    (World::of(Access::off(), store, warehouse, |_| {}).await, described, files)
}

const TOTAL: &str = "SELECT total FROM armazem.vendas_por_dia";
const LISTED: &str = "SELECT column_name FROM information_schema.columns WHERE table_schema = 'armazem' ORDER BY 1";

#[tokio::test]
async fn a_table_of_a_job_is_read_listed_and_joined() {
    let (world, _, _files) = world(Some(ReadFrom::Primary), true).await;
    let client = world.client().await;
    assert_eq!(text(&client, TOTAL).await, "30.50");
    assert_eq!(
        text(&client, "SELECT count(*) FROM vendas AS v JOIN armazem.vendas_por_dia AS d ON v.valor < d.total").await,
        "2"
    );
    let columns: Vec<_> = texts(&client, LISTED).await.into_iter().flatten().collect();
    assert_eq!(columns, ["dia", "total"]);
    // A plain name means what the catalog declares, which is not a table of the warehouse.
    assert_eq!(code(&client, "SELECT * FROM vendas_por_dia").await, "42P01");
}

#[tokio::test]
async fn a_table_that_is_not_made_yet_says_what_makes_it() {
    let (world, _, _files) = world(Some(ReadFrom::Primary), false).await;
    let client = world.client().await;
    let error = client.simple_query(TOTAL).await.expect_err("not made");
    assert_eq!(error.code().map(|code| code.code()), Some("42P01"));
    assert!(said(&error).contains("vitral batch run fechamento"), "{}", said(&error));
    assert!(texts(&client, LISTED).await.is_empty());
    assert_eq!(code(&client, "SELECT * FROM armazem.nada").await, "42P01");
}

#[tokio::test]
async fn a_warehouse_that_is_away_takes_nothing_else_with_it() {
    let (world, described, _files) = world(None, true).await;
    let client = world.client().await;
    let error = client.simple_query(TOTAL).await.expect_err("away");
    assert_eq!(error.code().map(|code| code.code()), Some("08006"));
    assert!(said(&error).contains("connection loja: connection refused"), "{}", said(&error));
    assert!(texts(&client, LISTED).await.is_empty());
    assert_eq!(text(&client, "SELECT count(*) FROM vendas").await, "2");
    *described.from.lock().expect("a lock") = Some(ReadFrom::Primary);
    assert_eq!(text(&client, TOTAL).await, "30.50");
}

#[tokio::test]
async fn who_reads_a_replica_is_told_how_far_behind_it_is() {
    let (world, described, _files) = world(Some(ReadFrom::Replica { lag_ms: Some(0) }), true).await;
    let (client, mut connection) = world.config("ana").connect(NoTls).await.expect("a connection");
    let (sent, mut heard) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
            if let AsyncMessage::Notice(notice) = message {
                let _ = sent.send((notice.code().code().to_owned(), notice.message().to_owned()));
            }
        }
    });
    // Nothing is newer: nothing is said.
    text(&client, TOTAL).await;
    for (from, words) in [
        (ReadFrom::Replica { lag_ms: Some(1250) }, "1250 ms behind"),
        (ReadFrom::InsteadOfReplica, "replica does not answer"),
    ] {
        *described.from.lock().expect("a lock") = Some(from);
        text(&client, TOTAL).await;
        let (code, message) = heard.recv().await.expect("a notice");
        assert!(code == "01000" && message.contains(words), "{code} {message}");
        client.query(TOTAL, &[]).await.expect("rows");
        let (_, message) = heard.recv().await.expect("a notice of the extended protocol");
        assert!(message.contains(words), "{message}");
    }
}

#[tokio::test]
async fn scopes_open_them_and_row_filters_close_them() {
    let files = tempfile::tempdir().expect("a folder");
    let store = Location::folder(files.path()).expect("a store");
    let config = AccessConfig { mode: AccessMode::Keys, ..AccessConfig::default() };
    let access = Access::open(config, &store, Arc::new(SystemClock), None).await.expect("access");
    let described = Arc::new(Described { from: Mutex::new(Some(ReadFrom::Primary)), is_made: true });
    let world = World::of(access.clone(), store, Warehouse::new(described), |_| {}).await;
    for (scope, filters, is_open) in [
        ("armazem.vendas_por_dia:read", vec![], true),
        ("*:read", vec![], true),
        ("vendas:read", vec![], false),
        // The plain name is another one.
        ("vendas_por_dia:read", vec![], false),
        ("*:read", vec!["loja=A"], false),
    ] {
        let new = NewKey {
            name: "painel".to_owned(),
            scopes: scopes([scope]).expect("scopes"),
            filters: row_filters(filters.iter().copied()).expect("filters"),
            expires_ms: None,
        };
        let key = access.keys().expect("keys").create(&new).await.expect("a key");
        let config = world.config(&key.id).password(key.secret.expose_secret()).clone();
        let client = connect(&config).await.expect("a connection");
        if is_open {
            assert_eq!(text(&client, TOTAL).await, "30.50", "{scope}");
            assert_eq!(texts(&client, LISTED).await.len(), 2, "{scope}");
        } else {
            let error = client.simple_query(TOTAL).await.expect_err(scope);
            assert!(said(&error).contains("there is no table armazem.vendas_por_dia"), "{scope}: {}", said(&error));
            assert!(texts(&client, LISTED).await.is_empty(), "{scope}");
        }
    }
}
