//! What every warehouse does, whatever keeps it.

#[path = "../../store/tests/common/places.rs"]
mod places;

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::compute::{SortColumn, lexsort_to_indices, take_record_batch};
use arrow::datatypes::{DataType, Date32Type, Field, Schema, SchemaRef, TimeUnit};
use chrono::NaiveDate;
use datafusion::dataframe::DataFrame;
use vitral_connect_postgres::{DatabaseConfig, DatabaseUrl, PostgresWarehouse};
use vitral_store::read_session;
use vitral_store::warehouse::{Days, DeltaWarehouse, Warehouse, WarehouseTable};

use self::places::places;

/// Each kind that is at hand.
async fn warehouses() -> (tempfile::TempDir, Vec<(&'static str, Arc<dyn Warehouse>)>) {
    let (dir, places) = places();
    let delta = places.into_iter().map(|place| ("delta", Arc::new(DeltaWarehouse::new(place)) as Arc<dyn Warehouse>));
    let mut warehouses: Vec<_> = delta.collect();
    if let Some(connection) = postgres() {
        let opened = PostgresWarehouse::open(&connection).await.expect("a database");
        warehouses.push(("postgresql", Arc::new(opened)));
    }
    (dir, warehouses)
}

/// The server that `scripts/services` has started; in CI it must be there.
fn postgres() -> Option<DatabaseConfig> {
    match std::env::var("VITRAL_TEST_POSTGRES") {
        Ok(url) => {
            let url = DatabaseUrl::new(url);
            Some(DatabaseConfig { replica_url: Some(url.clone()), url, pool_size: 3 })
        }
        Err(_) if std::env::var_os("CI").is_some() => panic!("VITRAL_TEST_POSTGRES is missing"),
        Err(_) => {
            eprintln!(
                "left out: no PostgreSQL; scripts/services start postgres, then env $(scripts/services env) cargo test"
            );
            None
        }
    }
}

fn schema(columns: usize) -> SchemaRef {
    let fields = [
        ("data", DataType::Date32),
        ("regiao", DataType::Utf8),
        ("receita", DataType::Decimal128(38, 2)),
        ("pedidos", DataType::Int64),
        ("quando", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
        ("aberta", DataType::Boolean),
        ("nota", DataType::Utf8),
    ];
    let fields = fields.into_iter().take(columns).map(|(name, data_type)| Field::new(name, data_type, true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// Of a name of its own.
fn table(columns: usize) -> WarehouseTable {
    let name = format!("t_{}", uuid::Uuid::new_v4().simple());
    let key = vec!["data".to_owned(), "regiao".to_owned()];
    WarehouseTable { name, schema: schema(columns), date: "data".to_owned(), key }
}

fn day(text: &str) -> NaiveDate {
    text.parse().expect("a day")
}

fn days(from: &str, to: &str) -> Days {
    Days { from: day(from), to: day(to) }
}

/// A row for each day and region; `mark` tells versions apart.
fn rows(schema: &SchemaRef, keys: &[(&str, Option<&str>)], mark: i64) -> RecordBatch {
    let count = keys.len();
    let columns: [ArrayRef; 7] = [
        Arc::new(keys.iter().map(|(text, _)| Some(Date32Type::from_naive_date(day(text)))).collect::<Date32Array>()),
        Arc::new(keys.iter().map(|(_, region)| *region).collect::<StringArray>()),
        Arc::new(
            Decimal128Array::from(vec![i128::from(mark) * 100 + 5; count])
                .with_precision_and_scale(38, 2)
                .expect("a type"),
        ),
        Arc::new(Int64Array::from(vec![mark; count])),
        Arc::new(TimestampMicrosecondArray::from(vec![1_747_264_560_123_456; count]).with_timezone("UTC")),
        Arc::new(BooleanArray::from(vec![true; count])),
        Arc::new(StringArray::from(vec!["com \"aspas\", vírgula\ne linha"; count])),
    ];
    RecordBatch::try_new(schema.clone(), columns[..schema.fields().len()].to_vec()).expect("rows")
}

fn frame(rows: &RecordBatch) -> DataFrame {
    read_session(2).read_batch(rows.clone()).expect("a frame")
}

async fn stored(warehouse: &dyn Warehouse, table: &WarehouseTable, days: Days) -> RecordBatch {
    let batches = warehouse.rows(table, days).await.expect("rows");
    let rows = arrow::compute::concat_batches(&table.schema, &batches).expect("rows");
    let by = [0, 1].map(|column| SortColumn { values: Arc::clone(rows.column(column)), options: None });
    let order = lexsort_to_indices(&by, None).expect("an order");
    take_record_batch(&rows, &order).expect("ordered")
}

const ALL: (&str, &str) = ("2025-01-01", "2026-12-31");

#[tokio::test(flavor = "multi_thread")]
async fn days_are_replaced_whole() {
    let (_dir, warehouses) = warehouses().await;
    for (kind, warehouse) in warehouses {
        let table = table(7);
        warehouse.prepare(&table).await.expect("prepared");
        let first = rows(
            &table.schema,
            &[
                ("2025-05-30", Some("Sul")),
                ("2025-05-31", None),
                ("2025-05-31", Some("Sul")),
                ("2025-06-01", Some("Sul")),
            ],
            1,
        );
        let written = warehouse.replace(&table, days("2025-05-30", "2025-06-02"), frame(&first)).await;
        assert_eq!(written.expect("written").written, 4, "{kind}");
        let all = stored(&*warehouse, &table, days(ALL.0, ALL.1)).await;
        assert_eq!(all.num_rows(), 4, "{kind}");
        assert_eq!(all.slice(3, 1), first.slice(3, 1), "{kind}: every type comes back as it was");

        let second = rows(&table.schema, &[("2025-05-31", Some("Norte"))], 2);
        assert_eq!(
            warehouse.replace(&table, days("2025-05-31", "2025-06-01"), frame(&second)).await.expect("written").written,
            1
        );
        let all = stored(&*warehouse, &table, days(ALL.0, ALL.1)).await;
        assert_eq!(all.num_rows(), 3, "{kind}");
        assert_eq!(all.slice(1, 1), second, "{kind}");
        assert_eq!(stored(&*warehouse, &table, days("2025-05-31", "2025-06-01")).await, second, "{kind}");

        let nothing = second.slice(0, 0);
        assert_eq!(
            warehouse
                .replace(&table, days("2025-05-01", "2025-06-01"), frame(&nothing))
                .await
                .expect("emptied")
                .written,
            0
        );
        assert_eq!(stored(&*warehouse, &table, days(ALL.0, ALL.1)).await.num_rows(), 1, "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_other_days_are_refused() {
    let (_dir, warehouses) = warehouses().await;
    for (kind, warehouse) in warehouses {
        let table = table(4);
        warehouse.prepare(&table).await.expect("prepared");
        let kept = rows(&table.schema, &[("2025-05-30", Some("Sul"))], 1);
        warehouse.replace(&table, days("2025-05-30", "2025-05-31"), frame(&kept)).await.expect("written");
        let stray = rows(&table.schema, &[("2025-05-30", Some("Sul")), ("2025-05-31", Some("Sul"))], 2);
        let refused = warehouse.replace(&table, days("2025-05-30", "2025-05-31"), frame(&stray)).await;
        assert!(refused.is_err(), "{kind}: a row of the next day came in");
        assert_eq!(stored(&*warehouse, &table, days(ALL.0, ALL.1)).await, kept, "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_at_the_same_time_leave_one_version_whole() {
    let (_dir, warehouses) = warehouses().await;
    for (kind, warehouse) in warehouses {
        let table = table(4);
        warehouse.prepare(&table).await.expect("prepared");
        let keys = [("2025-05-30", Some("Sul")), ("2025-05-30", Some("Norte"))];
        let day = days("2025-05-30", "2025-05-31");
        let versions: Vec<_> = (0..4).map(|mark| rows(&table.schema, &keys, mark)).collect();
        let jobs = versions.iter().map(|rows| warehouse.replace(&table, day, frame(rows)));
        for written in futures::future::join_all(jobs).await {
            assert_eq!(written.expect("written").written, 2, "{kind}");
        }
        let left = stored(&*warehouse, &table, day).await;
        assert_eq!(left.num_rows(), 2, "{kind}");
        assert_eq!(
            left.column(3).slice(0, 1).as_ref(),
            left.column(3).slice(1, 1).as_ref(),
            "{kind}: two versions are mixed"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_is_added() {
    let (_dir, warehouses) = warehouses().await;
    for (kind, warehouse) in warehouses {
        let narrow = table(3);
        let day = days("2025-05-30", "2025-05-31");
        warehouse.prepare(&narrow).await.expect("prepared");
        let old = rows(&narrow.schema, &[("2025-05-30", Some("Sul"))], 1);
        warehouse.replace(&narrow, day, frame(&old)).await.expect("written");
        let wide = WarehouseTable { schema: schema(4), ..narrow };
        let id = warehouse.prepare(&wide).await.expect("prepared");
        assert_eq!(warehouse.prepare(&wide).await.expect("prepared twice"), id, "{kind}: it is still the same table");
        let found = stored(&*warehouse, &wide, day).await;
        assert_eq!((found.num_rows(), found.column(3).null_count()), (1, 1), "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_is_no_longer_computed_stays_and_is_null_in_new_rows() {
    let (_dir, warehouses) = warehouses().await;
    for (kind, warehouse) in warehouses {
        let wide = table(4);
        let id = warehouse.prepare(&wide).await.expect("prepared");
        let [first, second] = [days("2025-05-30", "2025-05-31"), days("2025-05-31", "2025-06-01")];
        let old = rows(&wide.schema, &[("2025-05-30", Some("Sul"))], 1);
        warehouse.replace(&wide, first, frame(&old)).await.expect("written");
        let narrow = WarehouseTable { schema: schema(3), ..wide.clone() };
        assert_eq!(warehouse.prepare(&narrow).await.expect("prepared"), id, "{kind}: it is still the same table");
        let new = rows(&narrow.schema, &[("2025-05-31", Some("Sul"))], 1);
        warehouse.replace(&narrow, second, frame(&new)).await.expect("written");
        assert_eq!(stored(&*warehouse, &narrow, second).await.num_columns(), 3, "{kind}");
        // Computed again, it has both.
        warehouse.prepare(&wide).await.expect("prepared");
        let nulls = [first, second].map(|day| stored(&*warehouse, &wide, day));
        let nulls = futures::future::join_all(nulls).await;
        assert_eq!(nulls.iter().map(|rows| rows.column(3).null_count()).collect::<Vec<_>>(), [0, 1], "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_of_another_type_is_refused_by_name() {
    let (_dir, warehouses) = warehouses().await;
    for (kind, warehouse) in warehouses {
        let table = table(4);
        warehouse.prepare(&table).await.expect("prepared");
        let mut fields = schema(4).fields().to_vec();
        fields[3] = Arc::new(Field::new("pedidos", DataType::Utf8, true));
        let other = WarehouseTable { schema: Arc::new(Schema::new(fields)), ..table };
        let refused = warehouse.prepare(&other).await.expect_err("another type").to_string();
        assert!(refused.contains("pedidos") && refused.contains(&other.name), "{kind}: {refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_keeps_the_key() {
    let Some(connection) = postgres() else { return };
    let warehouse = PostgresWarehouse::open(&connection).await.expect("a database");
    let table = table(4);
    warehouse.prepare(&table).await.expect("prepared");
    let day = days("2025-05-30", "2025-05-31");
    let kept = rows(&table.schema, &[("2025-05-30", None)], 1);
    warehouse.replace(&table, day, frame(&kept)).await.expect("written");
    let twice = rows(&table.schema, &[("2025-05-30", None), ("2025-05-30", None)], 2);
    let refused = warehouse.replace(&table, day, frame(&twice)).await.expect_err("the key twice");
    let chain = std::iter::successors(Some(&refused as &dyn std::error::Error), |error| error.source());
    let said: Vec<String> = chain.map(ToString::to_string).collect();
    assert!(said.iter().any(|words| words.contains("unique")), "{said:?}");
    assert_eq!(stored(&warehouse, &table, day).await, kept, "nothing was replaced");
}

/// The server of `postgres()`, as one that is asked for TLS.
fn by_tls(host: &str, settings: &str) -> Option<DatabaseConfig> {
    let plain = postgres()?.url;
    let tls =
        std::env::var("VITRAL_TEST_POSTGRES_TLS").expect("VITRAL_TEST_POSTGRES_TLS: restart it by scripts/services");
    let (address, _) = plain.expose().split_once('?').expect("settings");
    let url = format!("{}?{}", address.replace("127.0.0.1", host), settings.replace("TLS", &tls));
    Some(DatabaseConfig { url: DatabaseUrl::new(url), replica_url: None, pool_size: 1 })
}

fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_is_reached_by_tls_if_its_certificate_is_right() {
    for mode in ["sslmode=require", "sslmode=verify-full&sslcert=TLS/client.crt&sslkey=TLS/client.key"] {
        let Some(right) = by_tls("127.0.0.1", &format!("{mode}&sslrootcert=TLS/ca.pem")) else { return };
        let warehouse = PostgresWarehouse::open(&right).await.expect("a database");
        warehouse.prepare(&table(3)).await.expect("prepared");
    }
    for (host, settings, word) in [
        ("127.0.0.1", "sslmode=require&sslrootcert=TLS/other-ca.pem", "UnknownIssuer"),
        ("localhost", "sslmode=require&sslrootcert=TLS/ca.pem", "not valid for name"),
    ] {
        let Some(wrong) = by_tls(host, settings) else { return };
        let error = PostgresWarehouse::open(&wrong).await.err().expect("a refusal");
        assert!(causes(&error).contains(word), "{}", causes(&error));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_strips_tls_from_the_way_gets_nothing() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let heard = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a client");
        let mut request = [0; 8];
        stream.read_exact(&mut request).await.expect("a request for TLS");
        stream.write_all(b"N").await.expect("a refusal");
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).await.expect("an end");
        heard
    });
    let certificates = tempfile::tempdir().expect("a folder");
    let root = certificates.path().join("ca.pem");
    std::fs::write(&root, CERTIFICATE).expect("a certificate");
    let url = format!("postgresql://vitral:hush@127.0.0.1:{port}/shop?sslmode=require&sslrootcert={}", root.display());
    let config = DatabaseConfig { url: DatabaseUrl::new(url), replica_url: None, pool_size: 1 };
    let error = PostgresWarehouse::open(&config).await.err();
    let error = causes(&error.expect("a refusal"));
    assert!(error.contains("TLS") && !error.contains("hush"), "{error}");
    assert_eq!(heard.await.expect("an end"), b"");
}

/// Of no server.
const CERTIFICATE: &str = "\
-----BEGIN CERTIFICATE-----
MIIBhDCCASmgAwIBAgIUIH2yPS38+qFpA8uerOB95UjbEfAwCgYIKoZIzj0EAwIw
FjEUMBIGA1UEAwwLdml0cmFsIHRlc3QwIBcNMjYxMTI4MTA0MTE4WhgPMjEyNjEx
MDQxMDQxMThaMBYxFDASBgNVBAMMC3ZpdHJhbCB0ZXN0MFkwEwYHKoZIzj0CAQYI
KoZIzj0DAQcDQgAEACWiTTHu7irB05Vv50Ca3bT5rueZDvulVfN2Uw3Ks5faIB5t
FZWfy/T9roHYc50zrw9HMO6dZ3rxaOd0ZjzmBaNTMFEwHQYDVR0OBBYEFLgkC4MC
M9Us7VysccyCHR1VVkwAMB8GA1UdIwQYMBaAFLgkC4MCM9Us7VysccyCHR1VVkwA
MA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSQAwRgIhAJbZy7xfHtDmu+6p
wl1tvesv8xYIvA6lVFw3/2OWt6m4AiEA22ajXM8evy6RD7w0ltoykl66iIKu/khU
BvTKrGQ20Kg=
-----END CERTIFICATE-----
";

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_a_database_cannot_take_are_set_aside() {
    let Some(connection) = postgres() else { return };
    let warehouse = PostgresWarehouse::open(&connection).await.expect("a database");
    let table = table(7);
    warehouse.prepare(&table).await.expect("prepared");
    // What cannot be compressed: an index's row must hold it.
    let long: String =
        (0..6_000_u32).map(|n| char::from(b'a' + (n.wrapping_mul(2_654_435_761) >> 25) as u8 % 26)).collect();
    let keys = [("2025-05-30", Some("Sul")), ("2025-05-30", Some("S\0l")), ("2025-05-30", Some(long.as_str()))];
    let day = days("2025-05-30", "2025-05-31");
    let done = warehouse.replace(&table, day, frame(&rows(&table.schema, &keys, 1))).await.expect("written");
    assert_eq!((done.written, done.set_aside.count), (1, 2));
    let reasons: Vec<_> = done.set_aside.rows.iter().map(|row| row.reason.name()).collect();
    assert_eq!(reasons, ["valor", "tamanho"]);
    assert_eq!(stored(&warehouse, &table, day).await, rows(&table.schema, &keys[..1], 1), "the good row is there");
}
