//! Upkeep deletes only what nobody can need: what commits have taken out, and what killed writers
//! have left long ago.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use vitral_store::maintenance::{self, Compacted};
use vitral_store::{AppendTable, Location};

const HOUR: Duration = Duration::from_secs(3600);

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]))
}

async fn append(store: &Location, name: &str, numbers: std::ops::Range<i64>) {
    let mut table = AppendTable::open(name, &store.join(name), schema()).await.expect("opened");
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(numbers));
    table.append(RecordBatch::try_new(schema(), vec![numbers]).expect("rows")).await.expect("appended");
}

fn data_files(dir: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(dir).expect("listed").map(|file| file.expect("a file").path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "parquet")).collect()
}

fn make_older(file: &Path, age: Duration) {
    let opened = std::fs::File::options().write(true).open(file).expect("a file");
    opened.set_modified(SystemTime::now() - age).expect("older");
}

async fn compact(store: &Location, name: &str) -> Compacted {
    let all = maintenance::compact(store).await.expect("compacted");
    let found = all.into_iter().find(|(table, _)| table == name).expect("the table");
    found.1.expect("it is well")
}

/// A write that goes on for hours has files which no commit names yet.
#[tokio::test]
async fn the_files_of_a_write_that_is_under_way_are_kept() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = Location::folder(dir.path()).expect("a store");
    append(&store, "numeros", 0..10).await;
    let folder = dir.path().join("numeros");
    let first = folder.join("part-00000-first-of-a-long-write.snappy.parquet");
    std::fs::copy(&data_files(&folder)[0], &first).expect("copied");
    for (age, is_kept) in [(2 * HOUR, true), (6 * 24 * HOUR, true), (8 * 24 * HOUR, false)] {
        make_older(&first, age);
        compact(&store, "numeros").await;
        assert_eq!(first.exists(), is_kept, "{age:?}");
    }
    assert_eq!(data_files(&folder).len(), 1);
}

/// One table that is broken does not keep the others from being compacted.
#[tokio::test]
async fn a_broken_table_is_named_and_the_others_go_on() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = Location::folder(dir.path()).expect("a store");
    for name in ["a", "b", "c"] {
        append(&store, name, 0..10).await;
        append(&store, name, 10..20).await;
    }
    for file in data_files(&dir.path().join("b")) {
        std::fs::remove_file(file).expect("removed");
    }
    let all = maintenance::compact(&store).await.expect("the others are compacted");
    let well: Vec<(&str, bool)> = all.iter().map(|(table, outcome)| (table.as_str(), outcome.is_ok())).collect();
    assert_eq!(well, [("a", true), ("b", false), ("c", true)]);
    let Ok(Compacted { files_before, files_after, .. }) = &all[2].1 else { panic!("c is well") };
    assert_eq!((*files_before, *files_after), (2, 1));
}
