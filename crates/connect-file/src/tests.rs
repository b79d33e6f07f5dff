//! Files that are there, change, break, and are fixed.

use arrow::array::{Array, AsArray, StringArray};
use arrow::datatypes::Decimal128Type;
use vitral_catalog::{Catalog, DomainSettings, SourceFile};
use vitral_connect::conformance::{lookup_conforms, whole_table_conforms};

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
    let lookup = place.open().expect("a look-up");
    lookup_conforms(&lookup, "campanha").await;
    whole_table_conforms(&lookup, "campanha").await;
}

#[tokio::test]
async fn a_file_changes_breaks_and_is_fixed() {
    let place = Place::with("id_anuncio,campanha\na,1\n");
    let lookup = place.open().expect("a look-up");
    assert_eq!(of(&lookup, "a").await.as_deref(), Some("1"));
    place.write("id_anuncio,campanha\na,segunda\nb,1\n");
    assert_eq!(of(&lookup, "a").await.as_deref(), Some("segunda"), "the first row after the change");
    assert!(!lookup.is_stale());
    place.write("id_anuncio,campanha\na,3\na,four\n");
    assert_eq!(of(&lookup, "a").await.as_deref(), Some("segunda"), "what was read last");
    assert!(lookup.is_stale(), "the first row after two of one key");
    place.write("id_anuncio,campanha\na,fixed once more\n");
    assert_eq!(of(&lookup, "a").await.as_deref(), Some("fixed once more"));
    assert!(!lookup.is_stale());
}

#[tokio::test]
async fn rows_that_come_together_wait_for_one_look() {
    let place = Place::with("id_anuncio,campanha\na,1\n");
    let lookup = place.open().expect("a look-up");
    place.write("id_anuncio,campanha\na,segunda\n");
    let all = tokio::join!(of(&lookup, "a"), of(&lookup, "a"), of(&lookup, "a"));
    let new = Some("segunda".to_owned());
    assert_eq!(all, (new.clone(), new.clone(), new));
}

#[tokio::test]
async fn a_file_is_looked_at_when_the_last_look_is_old_and_not_before() {
    let place = Place::with("id_anuncio,campanha\na,1\n");
    let lookup = FileLookup { look_every: PATIENCE, ..place.open().expect("a look-up") };
    place.write("id_anuncio,campanha\na,segunda\n");
    assert_eq!(of(&lookup, "a").await.as_deref(), Some("1"));
    let lookup = FileLookup { look_every: Duration::ZERO, ..lookup };
    assert_eq!(of(&lookup, "a").await.as_deref(), Some("segunda"));
}

#[tokio::test]
async fn a_look_that_takes_too_long_is_not_waited_for_and_counts_as_stale() {
    let place = Place::with("id_anuncio,campanha\na,1\n");
    let lookup = place.open().expect("a look-up");
    // Of a file that never answers.
    let (end, look) = watch::channel(());
    lock(&lookup.state).look = Some(look);
    let lookup = FileLookup { timeout: Duration::from_millis(10), ..lookup };
    assert_eq!(of(&lookup, "a").await.as_deref(), Some("1"), "what was read before");
    assert!(lookup.is_stale());
    let lookup = FileLookup { timeout: PATIENCE, ..lookup };
    assert_eq!(of(&lookup, "a").await.as_deref(), Some("1"), "and nobody waits for it again");
    read_if_changed(&lookup.file, &lookup.state);
    drop(end);
    assert_eq!(of(&lookup, "a").await.as_deref(), Some("1"));
    assert!(!lookup.is_stale());
}

#[tokio::test]
async fn a_file_that_goes_away_leaves_what_was_read_before() {
    let place = Place::with("id_anuncio,campanha\na,1\n");
    let lookup = place.open().expect("a look-up");
    std::fs::remove_file(place.dir.path().join("campanhas.csv")).expect("removed");
    assert_eq!(of(&lookup, "a").await.as_deref(), Some("1"), "what was read last");
    assert!(lookup.is_stale(), "the first row after it went");
    let problem = lock(&lookup.state).problem.clone().expect("a problem");
    assert!(problem.contains("campanhas.csv") && problem.contains("put it back"), "{problem}");
    place.write("id_anuncio,campanha\na,1\n");
    assert_eq!(of(&lookup, "a").await.as_deref(), Some("1"));
    assert!(!lookup.is_stale());
}

#[tokio::test]
async fn a_file_that_cannot_be_used_at_the_start_answers_nothing_until_it_is_right() {
    for (bad, words) in [
        ("id_anuncio,campanha\na,1\nb,2\na,3\n", "two rows with the id_anuncio a, line 2 and line 4"),
        ("campanha\n1\n", "no column id_anuncio"),
        ("id_anuncio,nome\na,1\n", "no column campanha"),
        ("id_anuncio,campanha\na,1,2\n", "campanhas.csv"),
    ] {
        let place = Place::with(bad);
        let lookup = place.open().expect("the start goes on");
        let key: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
        let error = lookup.get(&key).await.expect_err("no row").to_string();
        assert!(error.contains(words) && error.contains("campanhas.csv"), "{error}");
        let problems = FileLookup::problems(place.dir.path(), &table()).expect("a table of a file");
        assert_eq!(problems.len(), 1, "{problems:?}");
        place.write("id_anuncio,campanha\na,right at last\n");
        let began = Instant::now();
        while lookup.get(&key).await.is_err() {
            assert!(began.elapsed() < PATIENCE, "it is not read again: {words}");
            tokio::task::yield_now().await;
        }
        assert_eq!(of(&lookup, "a").await.as_deref(), Some("right at last"));
        assert!(!lookup.is_stale());
    }
}

#[tokio::test]
async fn a_missing_file_is_an_empty_table() {
    let place = Place { dir: tempfile::tempdir().expect("a folder") };
    let lookup = place.open().expect("an empty table");
    assert_eq!(of(&lookup, "a").await, None);
    assert_eq!(FileLookup::problems(place.dir.path(), &table()).expect("a table of a file"), []);
    place.write("id_anuncio,campanha\na,1\n");
    until(&lookup, "a", Some("1")).await;
}

#[tokio::test]
async fn a_column_that_is_renamed_leaves_what_was_read_before() {
    let place = Place::with("id_anuncio,campanha\na,1\n");
    let lookup = place.open().expect("a look-up");
    place.write("id_anuncio,nome_da_campanha\na,segunda\n");
    let began = Instant::now();
    while !lookup.is_stale() {
        assert_eq!(of(&lookup, "a").await.as_deref(), Some("1"), "what was read last");
        assert!(began.elapsed() < PATIENCE, "the missing column is not seen");
        tokio::task::yield_now().await;
    }
    assert_eq!(of(&lookup, "a").await.as_deref(), Some("1"));
}

#[tokio::test]
async fn a_row_with_a_value_that_is_not_exact_is_left_out_alone() {
    let text = "CREATE TABLE precos (id BIGINT NOT NULL, preco DECIMAL(18, 2)) WITH (connector = 'file', key = 'id');";
    let file = SourceFile { path: "a.sql".into(), text: text.into() };
    let table = Catalog::parse(&[vec![file]], &DomainSettings::default()).expect("a catalog").references.remove(0);
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::write(dir.path().join("precos.csv"), "id,preco\n1,3.50\n2,3.509\n3,-0.009\n4,caro\n5,\n")
        .expect("written");
    let lookup = FileLookup::open(dir.path(), &table).expect("a look-up");
    let keys: ArrayRef = Arc::new(arrow::array::Int64Array::from(vec![1, 2, 3, 4, 5]));
    let rows = lookup.get(&keys).await.expect("rows");
    let prices: Vec<_> = rows.column(1).as_primitive::<Decimal128Type>().iter().collect();
    assert_eq!(prices, [Some(350), None, None, None, None]);
    let is_known: Vec<bool> = (0..5).map(|row| rows.column(0).is_valid(row)).collect();
    assert_eq!(is_known, [true, false, false, false, true], "as of any other system's row");
    let problems = FileLookup::problems(dir.path(), &table).expect("a table of a file");
    let words: Vec<String> = problems.iter().map(Problem::words).collect();
    assert_eq!(words.len(), 3);
    assert_eq!(words[0], "line 3: id 2, column preco: 3.509 has more than 2 decimals");
}
