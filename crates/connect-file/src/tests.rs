//! Files that are there, change, break, and are fixed.

use arrow::array::StringArray;
use vitral_catalog::{Catalog, DomainSettings, SourceFile};
use vitral_connect::conformance::lookup_conforms;

use super::*;

const PATIENCE: Duration = Duration::from_secs(60);

fn table() -> Reference {
    let text = "CREATE TABLE campanhas (id_anuncio TEXT NOT NULL, campanha TEXT)
        WITH (connector = 'file', path = 'campanhas.csv', key = 'id_anuncio');";
    let file = SourceFile { path: "a.sql".into(), text: text.into() };
    Catalog::parse(&[vec![file]], &DomainSettings::default()).expect("a catalog").references.remove(0)
}

struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn with(text: &str) -> Self {
        let place = Self { dir: tempfile::tempdir().expect("a folder") };
        place.write(text);
        place
    }

    fn write(&self, text: &str) {
        std::fs::write(self.dir.path().join("campanhas.csv"), text).expect("written");
    }

    fn open(&self) -> Result<FileLookup, FileError> {
        FileLookup::open(self.dir.path(), &table()).map(|lookup| FileLookup { look_every: Duration::ZERO, ..lookup })
    }
}

async fn of(lookup: &FileLookup, key: &str) -> Option<String> {
    let keys: ArrayRef = Arc::new(StringArray::from(vec![key]));
    let rows = lookup.get(&keys).await.expect("rows");
    rows.column(1).as_string::<i32>().iter().next().flatten().map(str::to_owned)
}

async fn until(lookup: &FileLookup, key: &str, wanted: Option<&str>) {
    let began = Instant::now();
    while of(lookup, key).await.as_deref() != wanted {
        assert!(began.elapsed() < PATIENCE, "{key} does not become {wanted:?}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_file_conforms() {
    let place = Place::with("campanha,id_anuncio,outra\n1,a,x\n2,b,y\n");
    lookup_conforms(&place.open().expect("a look-up"), "campanha").await;
}

#[tokio::test]
async fn a_file_changes_breaks_and_is_fixed() {
    let place = Place::with("id_anuncio,campanha\na,1\n");
    let lookup = place.open().expect("a look-up");
    until(&lookup, "a", Some("1")).await;
    place.write("id_anuncio,campanha\na,segunda\nb,1\n");
    until(&lookup, "a", Some("segunda")).await;
    assert!(!lookup.is_stale());
    place.write("id_anuncio,campanha\na,3\na,four\n");
    let began = Instant::now();
    while !lookup.is_stale() {
        assert_eq!(of(&lookup, "a").await.as_deref(), Some("segunda"), "what was read last");
        assert!(began.elapsed() < PATIENCE, "two rows of one key are not seen");
        tokio::task::yield_now().await;
    }
    place.write("id_anuncio,campanha\na,fixed once more\n");
    until(&lookup, "a", Some("fixed once more")).await;
    assert!(!lookup.is_stale());
}

#[tokio::test]
async fn two_rows_of_one_key_and_a_missing_column_are_refused_and_a_missing_file_is_empty() {
    let error = Place::with("id_anuncio,campanha\na,1\nb,2\na,3\n").open().expect_err("twice").to_string();
    assert!(error.contains("campanhas.csv") && error.contains("two rows with the id_anuncio a"), "{error}");
    let error = Place::with("campanha\n1\n").open().expect_err("no key");
    assert!(with_causes(&error).contains("id_anuncio"), "{error:?}");
    let place = Place { dir: tempfile::tempdir().expect("a folder") };
    let lookup = place.open().expect("an empty table");
    assert_eq!(of(&lookup, "a").await, None);
    place.write("id_anuncio,campanha\na,1\n");
    until(&lookup, "a", Some("1")).await;
}
