//! A server over a small catalog, and clients of it.

use std::net::SocketAddr;
use std::sync::Arc;

use arrow::array::{ArrayRef, Decimal128Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use datafusion::datasource::empty::EmptyTable;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};
use tokio_util::sync::{CancellationToken, DropGuard};
use vitral_access::Access;
use vitral_catalog::{Catalog, DomainSettings, SourceFile};
use vitral_panes::view::{Completeness, TopicView, View, ViewSender};
use vitral_query::{ReadPoints, Warehouse};
use vitral_schemas::reconciliation;
use vitral_schemas::time::ManualClock;
use vitral_sql::{SqlConfig, SqlInputs, serve};
use vitral_store::alerts::episode_schema;
use vitral_store::{Histories, Location};

/// 2026-07-01T12:00:00Z.
pub const NOW_MS: i64 = 1_782_907_200_000;

const SALES: &str = "CREATE TABLE vendas (id TEXT NOT NULL, loja TEXT, valor DECIMAL(20, 2), ts TIMESTAMP NOT NULL) \
                     WITH (connector = 'kafka', event_time = 'ts', lateness = 'never');";
const SUMS: &str = "-- What each shop has sold.\nCREATE VIEW por_loja AS \
                    SELECT loja, sum(valor) AS total FROM vendas GROUP BY loja;";

const JOB: &str = "CREATE TABLE vendas_por_dia WITH (connector = 'warehouse', date = 'dia', job = 'fechamento') AS \
                   SELECT CAST(ts AS DATE) AS dia, sum(valor) AS total FROM vendas GROUP BY CAST(ts AS DATE);";

/// What nobody sends anything more to, and is open all the same.
type Others = (watch::Sender<Arc<Histories>>, watch::Sender<Arc<RecordBatch>>, watch::Sender<Arc<RecordBatch>>);

pub struct World {
    pub address: SocketAddr,
    pub sender: ViewSender,
    catalog: Arc<Catalog>,
    _others: Others,
    _files: Option<TempDir>,
    _shutdown: DropGuard,
}

impl World {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(configure: impl FnOnce(&mut SqlConfig)) -> Self {
        let files = tempfile::tempdir().expect("a folder");
        let store = Location::folder(files.path()).expect("a store");
        let mut world = Self::guarded(Access::off(), store, configure).await;
        world._files = Some(files);
        world
    }

    /// The same with access control, over a store that has its keys.
    pub async fn guarded(access: Access, store: Location, configure: impl FnOnce(&mut SqlConfig)) -> Self {
        let warehouse = Warehouse::stored(&store);
        Self::of(access, store, warehouse, configure).await
    }

    /// The same with what reads the tables of jobs.
    pub async fn of(
        access: Access,
        store: Location,
        warehouse: Warehouse,
        configure: impl FnOnce(&mut SqlConfig),
    ) -> Self {
        let settings = DomainSettings::default();
        let file = |path: &str, text: &str| SourceFile { path: path.into(), text: text.to_owned() };
        let files = vec![file("vendas.sql", SALES), file("por_loja.sql", SUMS), file("por_dia.sql", JOB)];
        let catalog = Arc::new(Catalog::parse(&[files], &settings).expect("a catalog"));
        let (sender, view) = watch::channel(Arc::new(view(&catalog, &[("A", 1050), ("B", 2000)])));
        let mut histories = Histories::default();
        histories.set("vendas", None);
        let (histories, imported) = watch::channel(Arc::new(histories));
        let nothing = RecordBatch::new_empty(reconciliation::schema());
        let (reconciliations, reconciled) = watch::channel(Arc::new(nothing));
        let (alerts, alerted) = watch::channel(Arc::new(RecordBatch::new_empty(episode_schema())));
        let clock = Arc::new(ManualClock::new(NOW_MS));
        let points =
            ReadPoints { view, histories: imported, reconciliations: reconciled, alerts: alerted, clock: clock as _ };
        let mut config = SqlConfig::default();
        configure(&mut config);
        let shutdown = CancellationToken::new();
        let inputs = SqlInputs {
            catalog: Arc::clone(&catalog),
            points,
            access,
            store,
            warehouse,
            settings,
            reference_dir: "nowhere".into(),
            shutdown: shutdown.clone(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move { serve(listener, config, inputs).await.expect("served") });
        let others = (histories, reconciliations, alerts);
        Self { address, sender, catalog, _others: others, _files: None, _shutdown: shutdown.drop_guard() }
    }

    /// Shows these sales instead: shops and cents.
    pub fn show(&self, sales: &[(&str, i128)]) {
        self.sender.send_replace(Arc::new(view(&self.catalog, sales)));
    }

    pub fn config(&self, user: &str) -> Config {
        let mut config = Config::new();
        config.host("127.0.0.1").port(self.address.port()).user(user).dbname("vitral");
        config
    }

    pub async fn client(&self) -> Client {
        connect(&self.config("ana")).await.expect("a connection")
    }
}

pub async fn connect(config: &Config) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// The texts of the first column.
pub async fn texts(client: &Client, sql: &str) -> Vec<Option<String>> {
    let messages = client.simple_query(sql).await.unwrap_or_else(|error| panic!("{sql}: {}", said(&error)));
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row.get(0).map(str::to_owned)),
        _ => None,
    });
    rows.collect()
}

pub async fn text(client: &Client, sql: &str) -> String {
    let mut texts = texts(client, sql).await;
    assert_eq!(texts.len(), 1, "{sql}: {texts:?}");
    texts.remove(0).unwrap_or_else(|| "NULL".to_owned())
}

/// The code of an error that has to be.
pub async fn code(client: &Client, sql: &str) -> String {
    match client.simple_query(sql).await {
        Ok(_) => panic!("{sql} is not an error"),
        Err(error) => code_of(&error),
    }
}

pub fn code_of(error: &tokio_postgres::Error) -> String {
    error.code().map_or_else(|| format!("no code: {error}"), |code| code.code().to_owned())
}

pub fn said(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(|| error.to_string(), ToString::to_string)
}

fn view(catalog: &Catalog, sales: &[(&str, i128)]) -> View {
    let topic = catalog.topic("vendas").expect("the topic");
    let schema = topic.schema();
    let cents = sales.iter().map(|(_, cents)| *cents).collect::<Decimal128Array>();
    let times = (0_i64..).zip(sales).map(|(second, _)| (NOW_MS + second * 1000) * 1000);
    let column = |name: &str| -> ArrayRef {
        match name {
            "id" => Arc::new((0..sales.len()).map(|row| Some(format!("v{row}"))).collect::<StringArray>()),
            "loja" => Arc::new(sales.iter().map(|(shop, _)| Some(*shop)).collect::<StringArray>()),
            "valor" => Arc::new(cents.clone().with_precision_and_scale(20, 2).expect("money")),
            _ => Arc::new(TimestampMicrosecondArray::from_iter_values(times.clone()).with_timezone("UTC")),
        }
    };
    let columns = schema.fields().iter().map(|field| column(field.name())).collect();
    let rows = RecordBatch::try_new(schema, columns).expect("rows");
    let archive = Arc::new(EmptyTable::new(topic.archive_schema()));
    let shown = TopicView { archive, tail: Arc::from([rows]), completeness: Completeness::default() };
    View { ready: true, topics: [("vendas".to_owned(), shown)].into(), ..View::default() }
}
