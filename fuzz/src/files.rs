//! Files to import: every row is counted, refused with its reason or known, the same again, and
//! errors are about the file.

use vitral_batch::BatchError;
use vitral_batch::import::preview::Preview;
use vitral_batch::import::{Ask, File, Import};
use vitral_catalog::DomainSettings;
use vitral_store::Location;

use crate::wait;
use crate::world::{CATALOG, NOW_MS};

const TABLE: &str = "vendas";

/// CSV and its relatives.
pub fn delimited(data: &[u8]) {
    look("f.csv", data);
}

/// Parquet.
pub fn parquet(data: &[u8]) {
    look("f.parquet", data);
}

/// What an import of the whole file would do; none where the file cannot be understood.
pub fn look(name: &str, data: &[u8]) -> Option<Preview> {
    let (first, second) = (preview(name, data), preview(name, data));
    match (first, second) {
        (Ok(preview), Ok(again)) => {
            assert_eq!((&preview.columns, &preview.imported), (&again.columns, &again.imported));
            assert_eq!(preview.rows, again.rows);
            is_accounted_for(&preview);
            Some(preview)
        }
        (Err(error), Err(again)) => {
            let error = words(&error);
            assert_eq!(error, words(&again));
            assert!(error.contains(name), "the file is not named: {error}");
            None
        }
        (first, second) => panic!("the same file, another answer: {:?}, {:?}", first.err(), second.err()),
    }
}

fn preview(name: &str, data: &[u8]) -> Result<Preview, BatchError> {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join(name);
    std::fs::write(&path, data).expect("written");
    let store = Location::folder(&dir.path().join("data")).expect("a folder");
    let file = File { name: name.to_owned(), path };
    wait(import().preview(&file, &store, true, &mut |_, _| {}))
}

fn import() -> Import {
    let (topic, target) = CATALOG.import_target(TABLE).expect("a table");
    let DomainSettings { time_zone, currency, .. } = DomainSettings::default();
    Import {
        topic: topic.clone(),
        table: TABLE.to_owned(),
        target,
        named: Default::default(),
        numbers: None,
        dates: None,
        header_row: None,
        sheets: Vec::new(),
        currency,
        ask: Ask::default(),
        understood: None,
        zone: time_zone,
        is_zone_named: false,
        lookups: Default::default(),
        now_ms: NOW_MS,
    }
}

/// What a user reads; anything but an error of the file is a fault of ours.
fn words(error: &BatchError) -> String {
    let BatchError::Import(error) = error else { panic!("not an error of the file: {error:?}") };
    let mut words = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        words = format!("{words}: {cause}");
        source = cause.source();
    }
    words
}

fn is_accounted_for(preview: &Preview) {
    let imported = &preview.imported;
    assert_eq!(imported.mistaken(), imported.reasons.values().sum::<u64>(), "each refused row has its reason");
    assert!(imported.examples.iter().all(|row| row.line > 0 && !row.detail.is_empty()), "{:?}", imported.examples);
    let shown = preview.rows.num_rows() as u64;
    assert!(shown <= imported.accepted, "{shown} rows of {}", imported.accepted);
    assert_eq!(imported.period_micros.is_some(), imported.accepted > 0, "accepted rows have their time");
}
