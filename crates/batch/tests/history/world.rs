//! A shop of its own for each test: a folder, the built-in catalog, and files to import.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, new_null_array,
};
use arrow::datatypes::Schema;
use arrow::util::pretty::pretty_format_batches;
use chrono::{DateTime, NaiveDate, Utc};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, cast, ident, lit, when};
use tempfile::TempDir;
use vitral_batch::import::preview::Preview;
use vitral_batch::import::records::{self, Record, State};
use vitral_batch::import::undo::{self, Undone};
use vitral_batch::import::{Ask, Dates, File, Files, Import, ImportReport, Numbers, recognise, understand};
use vitral_batch::jobs::{JobReport, Jobs, Wanted};
use vitral_batch::tables::Tables;
use vitral_batch::{BatchError, Engine, ledger};
use vitral_catalog::{Catalog, DomainSettings, Profile, ReadStatement};
use vitral_schemas::event_time::Watermark;
use vitral_schemas::position::{Offset, PartitionId};
use vitral_schemas::topic::{Topic, archive_columns, history_columns};
use vitral_store::warehouse::{DeltaWarehouse, Warehouse};
use vitral_store::{Advance, Archive, ArchiveCommit, Location};

/// 2026-11-01T00:00:00Z
const NOW_MS: i64 = 1_793_491_200_000;

pub struct World {
    pub dir: TempDir,
    pub catalog: Catalog,
    pub settings: DomainSettings,
    pub store: Location,
}

impl World {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let settings = DomainSettings::default();
        let catalog = Catalog::load(&[], &settings).expect("the catalog");
        let store = Location::folder(dir.path()).expect("a folder");
        Self { dir, catalog, settings, store }
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(&path, text).expect("written");
        path
    }

    pub async fn import(&self, path: &std::path::Path, table: &str) -> Result<ImportReport, BatchError> {
        self.import_as(path, table, &[], None).await
    }

    pub async fn import_as(
        &self,
        path: &std::path::Path,
        table: &str,
        map: &[(&str, &str)],
        numbers: Option<Numbers>,
    ) -> Result<ImportReport, BatchError> {
        self.import_read(path, table, Read { map, numbers, ..Read::default() }).await
    }

    pub async fn import_read(
        &self,
        path: &std::path::Path,
        table: &str,
        read: Read<'_>,
    ) -> Result<ImportReport, BatchError> {
        let import = self.understood(table, read);
        let mut files = Files::new(&[path.display().to_string()], &BTreeMap::new()).await?;
        let mut all = ImportReport::default();
        for index in 0..files.len() {
            let file = files.at_hand(index).await?;
            let imported = import.run(&file, &self.store, |_, _| {}).await?;
            all = ImportReport {
                accepted: all.accepted + imported.accepted,
                refused: all.refused + imported.refused,
                known: all.known + imported.known,
                duplicate: all.duplicate + imported.duplicate,
                examples: [all.examples, imported.examples.clone()].concat(),
                notes: [all.notes, imported.notes.clone()].concat(),
                ..imported
            };
        }
        Ok(all)
    }

    pub fn understood(&self, table: &str, read: Read<'_>) -> Import {
        let (topic, target) = self.catalog.import_target(table).expect("a table");
        let DomainSettings { time_zone: zone, currency, .. } = self.settings.clone();
        Import {
            topic: topic.clone(),
            table: table.to_owned(),
            target,
            named: read.map.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect(),
            numbers: read.numbers,
            dates: read.dates,
            header_row: read.header_row,
            sheets: read.sheets.iter().map(|sheet| (*sheet).to_owned()).collect(),
            zone,
            is_zone_named: false,
            currency,
            ask: read.ask,
            understood: None,
            lookups: Default::default(),
            now_ms: NOW_MS,
        }
    }

    /// Puts a file in the place of an import.
    pub async fn replace(&self, id: &str, path: &std::path::Path, table: &str, map: &[(&str, &str)]) -> ImportReport {
        let file = File { name: path.display().to_string(), path: path.to_owned() };
        self.understood(table, Read { map, ..Read::default() })
            .replace(id, &file, &self.store, |_, _| {})
            .await
            .expect("replaced")
    }

    /// What an import of the whole file would do.
    pub async fn preview(&self, path: &std::path::Path, table: &str) -> Preview {
        let file = File { name: path.display().to_string(), path: path.to_owned() };
        let import = self.understood(table, Read::default());
        import.preview(&file, &self.store, true, &mut |_, _| {}).await.expect("looked at")
    }

    pub async fn undo(&self, id: &str) -> Undone {
        undo::undo(&self.catalog, &self.store, id).await.expect("taken back")
    }

    /// What `import list` says: ids, states, and counts of rows that are in, refused, and found in
    /// already.
    pub async fn listed(&self) -> Vec<(String, State, [u64; 3])> {
        let records = records::list(&self.catalog, &self.store).await.expect("listed");
        let counts = |record: &Record| [record.counted, record.refused, record.known()];
        records.into_iter().map(|record| (record.id.clone(), record.state, counts(&record))).collect()
    }

    /// Archives sales as the stream does, each an event id and a local time of 2026, and says how
    /// far its watermark has come.
    pub async fn stream(&self, sales: &[(&str, &str)], watermark_ms: i64) {
        let sales: Vec<_> = sales.iter().map(|(id, time)| (*id, "", *time)).collect();
        self.stream_orders(&sales, watermark_ms).await;
    }

    /// The same with their orders.
    pub async fn stream_orders(&self, sales: &[(&str, &str, &str)], watermark_ms: i64) {
        let topic = &self.catalog.topics[0];
        let rows = archived(topic, sales).await;
        let mut archive = Archive::open(topic, "log", [PartitionId(0)], &self.store).await.expect("opened");
        let next = i64::try_from(sales.len()).expect("few");
        let offsets = BTreeMap::from([(PartitionId(0), Advance { from: None, to: Offset(next) })]);
        let commit = ArchiveCommit {
            rows: vec![rows],
            offsets,
            watermark: Some(Watermark::from_ms(watermark_ms)),
            token: 1,
            ..ArchiveCommit::default()
        };
        archive.commit(&commit).await.expect("committed");
    }

    /// Rows of the ledger, as `vitral ledger list` shows them.
    pub async fn ledger(&self) -> Vec<String> {
        let wanted = ident(archive_columns::VERDICT).in_list(vec![lit("recusada"), lit("duplicada")], false);
        let zone = self.settings.time_zone;
        let rows = ledger::newest(&self.catalog.topics[0], zone, &self.store, wanted, 100).await.expect("the ledger");
        if rows.iter().all(|rows| rows.num_rows() == 0) {
            return Vec::new();
        }
        show(&rows).lines().skip(3).filter(|line| line.starts_with("| ")).map(str::to_owned).collect()
    }

    /// A history as older versions wrote it, by the import `old`: sales of 2025-05-14, each with
    /// order, product and value, and a refused row.
    pub async fn history_of_older_version(&self, sales: &[(&str, &str, &str)]) {
        use history_columns::*;
        let topic = &self.catalog.topics[0];
        let fields = topic.history_schema();
        let fields = fields.fields().iter().filter(|field| ![SHEET, KEY, CELLS, ITEM].contains(&field.name().as_str()));
        let schema = Arc::new(Schema::new(fields.cloned().collect::<Vec<_>>()));
        let refused = ("A4", "p3", "x");
        let values: Vec<String> = sales
            .iter()
            .chain([&refused])
            .map(|(order, product, value)| format!("('{order}', '{product}', '{value}', '{value}' = 'x')"))
            .collect();
        let rows = format!("SELECT * FROM (VALUES {}) AS vendas(o, p, v, r)", values.join(","));
        let counted = |value: Expr| when(ident("r"), lit(ScalarValue::Null)).otherwise(value).expect("a case");
        let columns = schema.fields().iter().map(|field| {
            let value: Expr = match field.name().as_str() {
                SEQUENCE => lit(1),
                IMPORT => lit("old"),
                FILE => lit("old.csv"),
                LINE => lit(2),
                ARRIVAL => lit("2026-01-01T12:00:00Z"),
                VERDICT => when(ident("r"), lit("recusada")).otherwise(lit("contada")).expect("a case"),
                REASON => when(ident("r"), lit("tipo")).otherwise(lit(ScalarValue::Null)).expect("a case"),
                PAYLOAD => {
                    let content = r#"{"data":"2025-05-14","id_pedido":"A4","id_produto":"p3","valor":"x"}"#;
                    when(ident("r"), lit(content)).otherwise(lit(ScalarValue::Null)).expect("a case")
                }
                "tipo_evento" => counted(lit("compra")),
                "quantidade" => counted(lit(1)),
                "moeda" => counted(lit("BRL")),
                "timestamp" => counted(lit("2025-05-14T03:00:00Z")),
                "id_pedido" => counted(ident("o")),
                "id_produto" => counted(ident("p")),
                "valor_total" => counted(ident("v")),
                _ => lit(ScalarValue::Null),
            };
            cast(value, field.data_type().clone()).alias(field.name())
        });
        let columns: Vec<Expr> = columns.collect();
        let frame = vitral_store::read_session(1).sql(&rows).await.expect("rows").select(columns).expect("columns");
        let batches = frame.collect().await.expect("rows");
        let rows =
            arrow::compute::concat_batches(&batches[0].schema(), &batches).expect("one batch").columns().to_vec();
        let rows = RecordBatch::try_new(Arc::clone(&schema), rows).expect("the older schema");
        let place = self.store.join("history").join(&topic.name);
        let mut table = vitral_store::AppendTable::open(&topic.name, &place, schema).await.expect("opened");
        table.append(rows).await.expect("appended");
    }

    /// Imports a file by the profile that it is recognised to be of, into each of its tables; the
    /// profile's name.
    pub async fn import_recognised(&self, path: &std::path::Path) -> (String, Vec<ImportReport>) {
        let mut files = Files::new(&[path.display().to_string()], &BTreeMap::new()).await.expect("files");
        let file = files.at_hand(0).await.expect("a file");
        let views = recognise(&file, &self.catalog.profiles, None, &[]).expect("read");
        let mut imports = self.by_profile(&views);
        understand(&mut imports, &file, |_, _| {}).expect("understood");
        let mut imported = Vec::new();
        for import in &imports {
            imported.push(import.run(&file, &self.store, |_, _| {}).await.expect("imported"));
        }
        (views.first().map(|view| view.profile.clone()).unwrap_or_default(), imported)
    }

    /// How a profile's views read a file.
    pub fn by_profile(&self, views: &[Profile]) -> Vec<Import> {
        let ask = |view: &Profile| Ask { profile: Some(view.clone()), condition: None };
        views.iter().map(|view| self.understood(&view.table, Read { ask: ask(view), ..Read::default() })).collect()
    }

    pub async fn tables(&self) -> Tables<'_> {
        Tables::open(&self.catalog, &self.settings, &self.store, &self.dir.path().join("reference"), Engine::Local)
            .await
            .expect("the tables")
    }

    pub async fn job(&self, job: &str, wanted: Wanted) -> Vec<JobReport> {
        self.try_job(job, wanted, false).await.expect("done")
    }

    pub async fn try_job(&self, job: &str, wanted: Wanted, allow_open: bool) -> Result<Vec<JobReport>, BatchError> {
        let warehouse = DeltaWarehouse::new(self.store.join("warehouse"));
        self.job_into(&warehouse, job, wanted, allow_open).await
    }

    pub async fn job_into(
        &self,
        warehouse: &dyn Warehouse,
        job: &str,
        wanted: Wanted,
        allow_open: bool,
    ) -> Result<Vec<JobReport>, BatchError> {
        let zone = self.settings.time_zone;
        let jobs = Jobs { catalog: &self.catalog, zone, store: &self.store, warehouse, allow_open };
        jobs.run(job, wanted, &self.tables().await).await
    }

    /// Sales of the stream: each its offset's, at these times (RFC 3339), and the watermark after
    /// them.
    pub async fn streamed(&self, sales: &[&str], watermark: &str) {
        let sales: Vec<_> = sales.iter().map(|time| (*time, "casa")).collect();
        self.streamed_to(0, &sales, watermark).await;
    }

    /// The same in a partition, with their categories.
    pub async fn streamed_to(&self, partition: i32, sales: &[(&str, &str)], watermark: &str) {
        let topic = self.catalog.topic("eventos_clientes").expect("a topic");
        let of_archive = PartitionId(partition);
        let mut archive = Archive::open(topic, "log", [of_archive], &self.store).await.expect("opened");
        let from = archive.next_offsets().get(&of_archive).copied();
        let micros = |text: &str| text.parse::<DateTime<Utc>>().expect("a time").timestamp_micros();
        let (first, count) = (from.unwrap_or_default().0, sales.len());
        let schema = topic.archive_schema();
        let columns = schema.fields().iter().map(|field| -> ArrayRef {
            let text = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text; count])) };
            let times = || sales.iter().map(|(time, _)| micros(time));
            match field.name().as_str() {
                "_particao" => Arc::new(Int32Array::from(vec![partition; count])),
                "_deslocamento" => Arc::new(Int64Array::from_iter_values((first..).take(count))),
                "_chegada" | "timestamp" => {
                    Arc::new(TimestampMicrosecondArray::from_iter_values(times()).with_timezone("UTC"))
                }
                "_log" => text("log"),
                "_veredito" => text("contada"),
                "categoria" => Arc::new(StringArray::from_iter_values(sales.iter().map(|(_, category)| category))),
                "id_usuario" => text("u1"),
                "tipo_evento" => text("compra"),
                "id_produto" => text("p1"),
                "moeda" => text("BRL"),
                "quantidade" => {
                    arrow::compute::cast(&Int64Array::from(vec![1; count]), field.data_type()).expect("a number")
                }
                "valor_total" => {
                    arrow::compute::cast(&Int64Array::from(vec![10; count]), field.data_type()).expect("a number")
                }
                _ => new_null_array(field.data_type(), count),
            }
        });
        let commit = ArchiveCommit {
            rows: vec![RecordBatch::try_new(schema.clone(), columns.collect()).expect("the archive's schema")],
            offsets: BTreeMap::from([(of_archive, Advance { from, to: Offset(first + count as i64) })]),
            watermark: Some(Watermark::from_ms(micros(watermark) / 1_000)),
            token: i64::from(partition) << 32 | (first + 1),
            ..ArchiveCommit::default()
        };
        archive.commit(&commit).await.expect("committed");
    }

    /// What a statement over topics and views gives, ordered as it says.
    pub async fn sql(&self, text: &str) -> String {
        let statement = ReadStatement::parse(text, &self.settings).expect("a query");
        let tables = self.tables().await;
        let rows = tables.plan(&statement.query, &statement.position, None).await.expect("planned");
        show(&rows.collect().await.expect("rows"))
    }

    /// What a statement over one table of the warehouse gives.
    pub async fn warehouse(&self, table: &str, text: &str) -> String {
        let context = vitral_store::read_session(1);
        let reader = vitral_store::AppendTable::read(table, &self.store.join("warehouse").join(table)).await;
        let provider = reader.expect("read").expect("a table").provider().await.expect("rows");
        context.register_table(table, provider).expect("registered");
        show(&context.sql(text).await.expect("planned").collect().await.expect("rows"))
    }
}

/// How a test wants a file to be read.
#[derive(Debug, Clone, Default)]
pub struct Read<'a> {
    pub map: &'a [(&'a str, &'a str)],
    pub numbers: Option<Numbers>,
    pub dates: Option<Dates>,
    pub header_row: Option<u32>,
    pub sheets: &'a [&'a str],
    pub ask: Ask,
}

/// Sales of 5.00 in the archive's schema.
async fn archived(topic: &Topic, sales: &[(&str, &str, &str)]) -> RecordBatch {
    use archive_columns::*;
    let value = |(offset, (id, order, time)): (usize, &(&str, &str, &str))| {
        format!("({offset}, '{id}', nullif('{order}', ''), '{time}')")
    };
    let values: Vec<String> = sales.iter().enumerate().map(value).collect();
    let schema = topic.archive_schema();
    let columns = schema.fields().iter().map(|field| {
        let value: Expr = match field.name().as_str() {
            PARTITION => lit(0),
            OFFSET => ident("o"),
            ARRIVAL => lit("2026-01-01T12:00:00Z"),
            LOG => lit("log"),
            VERDICT => lit("contada"),
            "tipo_evento" => lit("compra"),
            "valor_total" => lit("5.00"),
            "moeda" => lit("BRL"),
            "id_evento" => ident("id"),
            "id_pedido" => ident("pedido"),
            "timestamp" => ident("time"),
            "id_usuario" => lit("u1"),
            _ => lit(ScalarValue::Null),
        };
        cast(value, field.data_type().clone()).alias(field.name())
    });
    let rows = format!("SELECT * FROM (VALUES {}) AS vendas(o, id, pedido, time)", values.join(","));
    let frame = vitral_store::read_session(1).sql(&rows).await.expect("rows").select(columns).expect("columns");
    let batches = frame.collect().await.expect("rows");
    let columns = arrow::compute::concat_batches(&batches[0].schema(), &batches).expect("one batch").columns().to_vec();
    RecordBatch::try_new(schema, columns).expect("the archive's schema")
}

pub fn day(text: &str) -> NaiveDate {
    text.parse().expect("a day")
}

pub fn show(batches: &[RecordBatch]) -> String {
    pretty_format_batches(batches).expect("shown").to_string()
}
