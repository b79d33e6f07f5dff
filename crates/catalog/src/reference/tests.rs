//! Files whose values are read exactly, and those that cannot be.

use arrow::array::{Decimal128Array, Float64Array, StringArray};
use arrow::datatypes::Decimal128Type;
use datafusion::parquet::arrow::ArrowWriter;

use super::*;
use crate::{Catalog, DomainSettings, SourceFile};

fn table(file: &str) -> Reference {
    let text = format!(
        "CREATE TABLE precos (id TEXT NOT NULL, preco DECIMAL(18, 2), nivel BIGINT)
            WITH (connector = 'file', path = '{file}');"
    );
    let file = SourceFile { path: "a.sql".into(), text };
    Catalog::parse(&[vec![file]], &DomainSettings::default()).expect("a catalog").references.remove(0)
}

fn csv(text: &str) -> (tempfile::TempDir, Reference) {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::write(dir.path().join("precos.csv"), text).expect("written");
    (dir, table("precos.csv"))
}

fn cents(rows: &Rows) -> Vec<Option<i128>> {
    rows.batches.iter().flat_map(|batch| batch.column(1).as_primitive::<Decimal128Type>().iter()).collect()
}

#[test]
fn decimals_of_csv_are_exact_or_named_by_their_line() {
    let (dir, table) = csv("id;preco;nota\na;12,5;x\nb;3.50;\"two\nlines\"\nc;3.509;\nd;1e-3;\ne;1e2;\n");
    let rows = read_lenient(dir.path(), &table).expect("rows");
    assert_eq!(cents(&rows), [None, Some(350), None, None, Some(10_000)]);
    let places: Vec<_> = rows.misfits.iter().map(|misfit| rows.place(misfit.row)).collect();
    assert_eq!(places, [Place::Line(2), Place::Line(5), Place::Line(6)]);
    let error = read(dir.path(), &table).expect_err("12,5").to_string();
    assert!(error.contains("line 2, column preco") && error.contains("12,5"), "{error}");
    let (dir, table) = csv("id,preco,nivel\na,,7\nb,-0.01,\n");
    let rows = read_lenient(dir.path(), &table).expect("rows");
    assert_eq!((cents(&rows), rows.misfits.len()), (vec![None, Some(-1)], 0), "an empty cell is null");
    assert_eq!(read(dir.path(), &table).expect("rows").len(), 1);
}

#[test]
fn numbers_of_parquet_are_exact_or_named_by_their_row() {
    let dir = tempfile::tempdir().expect("a folder");
    let ids: ArrayRef = Arc::new(StringArray::from(vec!["a", "b", "c"]));
    let fine = Decimal128Array::from(vec![35_000, 35_001, 12_100]).with_precision_and_scale(20, 4).expect("decimals");
    let floats: ArrayRef = Arc::new(Float64Array::from(vec![5.0, 5.5, 7.0]));
    let columns = [("id", ids), ("preco", Arc::new(fine) as ArrayRef), ("nivel", floats)];
    let batch = RecordBatch::try_from_iter(columns).expect("rows");
    let file = File::create(dir.path().join("precos.parquet")).expect("created");
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).expect("a writer");
    writer.write(&batch).expect("written");
    writer.close().expect("closed");
    let rows = read_lenient(dir.path(), &table("precos.parquet")).expect("rows");
    assert_eq!(cents(&rows), [Some(350), None, Some(121)]);
    let misfits: Vec<_> = rows.misfits.iter().map(|misfit| (rows.place(misfit.row), misfit.column.as_str())).collect();
    assert_eq!(misfits, [(Place::Row(2), "preco"), (Place::Row(2), "nivel")]);
}
