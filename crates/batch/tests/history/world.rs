//! A shop of its own for each test: a folder, the built-in catalog, and files to import.

use std::collections::BTreeMap;
use std::path::PathBuf;

use arrow::array::RecordBatch;
use arrow::util::pretty::pretty_format_batches;
use chrono::NaiveDate;
use tempfile::TempDir;
use vitral_batch::import::{Dates, Files, Import, Imported, Numbers};
use vitral_batch::jobs::{Done, Jobs, Wanted};
use vitral_batch::tables::Tables;
use vitral_batch::{BatchError, Engine};
use vitral_schemas::catalog::{Catalog, ShopSettings};
use vitral_store::Location;
use vitral_store::warehouse::DeltaWarehouse;

/// 2026-11-01T00:00:00Z
const NOW_MS: i64 = 1_793_491_200_000;

pub struct World {
    pub dir: TempDir,
    pub catalog: Catalog,
    pub store: Location,
}

impl World {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let catalog = Catalog::load(&[], &ShopSettings::default()).expect("the catalog");
        let store = Location::folder(dir.path()).expect("a folder");
        Self { dir, catalog, store }
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(&path, text).expect("written");
        path
    }

    pub async fn import(&self, path: &std::path::Path, table: &str) -> Result<Imported, BatchError> {
        self.import_as(path, table, &[], None).await
    }

    pub async fn import_as(
        &self,
        path: &std::path::Path,
        table: &str,
        map: &[(&str, &str)],
        numbers: Option<Numbers>,
    ) -> Result<Imported, BatchError> {
        self.import_read(path, table, Read { map, numbers, ..Read::default() }).await
    }

    pub async fn import_read(
        &self,
        path: &std::path::Path,
        table: &str,
        read: Read<'_>,
    ) -> Result<Imported, BatchError> {
        let (topic, target) = self.catalog.import_target(table).expect("a table");
        let ShopSettings { time_zone: zone, currency } = ShopSettings::default();
        let import = Import {
            topic: topic.clone(),
            target,
            named: read.map.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect(),
            numbers: read.numbers,
            dates: read.dates,
            header_row: read.header_row,
            sheets: read.sheets.iter().map(|sheet| (*sheet).to_owned()).collect(),
            zone,
            currency,
            now_ms: NOW_MS,
        };
        let mut files = Files::new(&[path.display().to_string()], &BTreeMap::new()).await?;
        let mut all = Imported::default();
        for index in 0..files.len() {
            let file = files.at_hand(index).await?;
            let imported = import.run(&file, &self.store, |_, _| {}).await?;
            all.accepted += imported.accepted;
            all.refused += imported.refused;
            all.known += imported.known;
            all.examples.extend(imported.examples);
            all.notes.extend(imported.notes);
            all.unused = imported.unused;
        }
        Ok(all)
    }

    pub async fn tables(&self) -> Tables<'_> {
        Tables::open(&self.catalog, &self.store, &self.dir.path().join("reference"), Engine::Local)
            .await
            .expect("the tables")
    }

    pub async fn job(&self, job: &str, wanted: Wanted) -> Vec<Done> {
        let warehouse = DeltaWarehouse::new(self.store.join("warehouse"));
        let zone = ShopSettings::default().time_zone;
        let jobs = Jobs { catalog: &self.catalog, zone, store: &self.store, warehouse: &warehouse };
        let tables = self.tables().await;
        jobs.run(job, wanted, &tables).await.expect("done")
    }

    /// What a statement over topics and views gives, ordered as it says.
    pub async fn sql(&self, text: &str) -> String {
        let context = self.tables().await.session(None).await.expect("a session");
        show(&context.sql(text).await.expect("planned").collect().await.expect("rows"))
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
#[derive(Debug, Clone, Copy, Default)]
pub struct Read<'a> {
    pub map: &'a [(&'a str, &'a str)],
    pub numbers: Option<Numbers>,
    pub dates: Option<Dates>,
    pub header_row: Option<u32>,
    pub sheets: &'a [&'a str],
}

pub fn day(text: &str) -> NaiveDate {
    text.parse().expect("a day")
}

pub fn show(batches: &[RecordBatch]) -> String {
    pretty_format_batches(batches).expect("shown").to_string()
}
