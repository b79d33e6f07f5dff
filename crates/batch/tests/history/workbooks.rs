//! Workbooks of several sheets, which no profile knows, and workbooks that are made to do harm.

use std::io::Write;
use std::path::{Path, PathBuf};

use vitral_batch::BatchError;
use vitral_batch::import::{ImportError, recognise};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::world::World;

const TYPES: &str = "http://schemas.openxmlformats.org/spreadsheetml/2006/main";
const LINKS: &str = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
const PACKAGE: &str = "http://schemas.openxmlformats.org/package/2006/relationships";

/// A workbook of texts: each sheet's name and rows.
fn workbook(world: &World, name: &str, sheets: &[(&str, &[&str])]) -> PathBuf {
    let path = world.write(name, "");
    let mut zip = ZipWriter::new(std::fs::File::create(&path).expect("a file"));
    let mut put = |name: String, text: String| {
        zip.start_file(name, SimpleFileOptions::default()).expect("a part");
        zip.write_all(text.as_bytes()).expect("written");
    };
    let each = |text: &dyn Fn(usize, &str) -> String| -> String {
        sheets.iter().enumerate().map(|(index, (name, _))| text(index + 1, name)).collect()
    };
    put(
        "_rels/.rels".to_owned(),
        format!(
            r#"<Relationships xmlns="{PACKAGE}"><Relationship Id="r" Type="{LINKS}/officeDocument" Target="xl/workbook.xml"/></Relationships>"#
        ),
    );
    let listed = each(&|n, name| format!(r#"<sheet name="{name}" sheetId="{n}" r:id="s{n}"/>"#));
    put(
        "xl/workbook.xml".to_owned(),
        format!(r#"<workbook xmlns="{TYPES}" xmlns:r="{LINKS}"><sheets>{listed}</sheets></workbook>"#),
    );
    let links =
        each(&|n, _| format!(r#"<Relationship Id="s{n}" Type="{LINKS}/worksheet" Target="worksheets/sheet{n}.xml"/>"#));
    put(
        "xl/_rels/workbook.xml.rels".to_owned(),
        format!(r#"<Relationships xmlns="{PACKAGE}">{links}</Relationships>"#),
    );
    for (index, (_, rows)) in sheets.iter().enumerate() {
        let rows = (1..).zip(*rows).map(|(line, row)| {
            let cells = row.split(';').zip('A'..).filter(|(text, _)| !text.is_empty());
            let cells =
                cells.map(|(text, at)| format!(r#"<c r="{at}{line}" t="inlineStr"><is><t>{text}</t></is></c>"#));
            format!(r#"<row r="{line}">{}</row>"#, cells.collect::<String>())
        });
        let rows: String = rows.collect();
        put(
            format!("xl/worksheets/sheet{}.xml", index + 1),
            format!(r#"<worksheet xmlns="{TYPES}"><sheetData>{rows}</sheetData></worksheet>"#),
        );
    }
    zip.finish().expect("a workbook");
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn sheets_with_the_same_columns_that_no_profile_knows_are_all_read() {
    let january = ["Pedido;Data;Produto;Valor", "1;2025-01-14;a;10,50", "2;2025-01-15;b;1,50"];
    for (name, february) in [
        ("alike.xlsx", ["Pedido;Data;Produto;Valor", "3;2025-02-14;a;20,50"]),
        ("swapped.xlsx", ["Data;Pedido;Valor;Produto", "2025-02-14;3;20,50;a"]),
        ("more.xlsx", ["Pedido;Data;Produto;Valor;Obs", "3;2025-02-14;a;20,50;x"]),
    ] {
        let world = World::new();
        let path = workbook(&world, name, &[("Jan", &january), ("Fev", &february)]);
        let (profile, imported) = world.import_recognised(&path).await;
        assert_eq!((profile.as_str(), imported.len()), ("", 0), "{name}");
        let imported = world.import(&path, "vendas").await.expect("imported");
        assert_eq!((imported.accepted, imported.refused), (3, 0), "{name}: {imported:?}");
        let sold = world.sql("SELECT sum(valor) AS valor FROM vendas").await;
        assert!(sold.contains("| 32.50 |"), "{name}: {sold}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sheets_that_a_profile_knows_in_part_are_asked_about() {
    let world = World::new();
    let profile = world.catalog.profiles.iter().find(|view| view.profile == "bling").expect("a profile");
    let headings = profile.headings.join(";");
    let row = profile.headings.iter().map(|_| "1").collect::<Vec<_>>().join(";");
    let file = |name: &str, other: &[&str]| {
        let path = workbook(&world, name, &[("A", &[&headings, &row]), ("B", other)]);
        vitral_batch::import::File { name: path.display().to_string(), path }
    };
    let of = |file: &vitral_batch::import::File| recognise(file, &world.catalog.profiles, None, &[]);
    // What no profile asks for makes no difference to one.
    let more = file("more.xlsx", &[&format!("{headings};Minha anotação"), &format!("{row};x")]);
    assert_eq!(of(&more).expect("read").first().map(|view| view.profile.as_str()), Some("bling"));
    let other = file("other.xlsx", &["Mês;Total", "1;2"]);
    let error = of(&other).expect_err("a question").to_string();
    assert!(error.contains("different columns") && error.contains("--sheet"), "{error}");
}

/// Why a workbook of less than a megabyte cannot be read.
async fn unreadable(world: &World, path: &Path) -> String {
    let bytes = path.metadata().expect("a file").len();
    assert!(bytes < 1 << 20, "{bytes}");
    match world.import(path, "vendas").await.expect_err("too large") {
        BatchError::Import(ImportError::Read { source, .. }) => source.to_string(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_workbook_that_unpacks_without_bounds_is_refused() {
    let world = World::new();
    let header = "Pedido;Data;Produto;Valor";
    let long = format!("2;2025-01-15;{};1,50", "a".repeat(2 << 20));
    let path = workbook(&world, "cell.xlsx", &[("Jan", &[header, "1;2025-01-14;a;10,50", &long])]);
    let why = unreadable(&world, &path).await;
    assert!(why.contains("sheet1.xml holds a cell of more than 1024 KiB"), "{why}");

    // Parts of 8 MiB, which are within the bounds one by one, and together are not.
    let path = workbook(&world, "parts.xlsx", &[("Jan", &[header, "1;2025-01-14;a;10,50"])]);
    let file = std::fs::File::options().read(true).write(true).open(&path).expect("a file");
    let mut zip = ZipWriter::new_append(file).expect("a workbook");
    zip.start_file("xl/part0.xml", SimpleFileOptions::default()).expect("a part");
    let piece = format!("<a>{}</a>", " ".repeat((64 << 10) - 7));
    for _ in 0..(8 << 20) / piece.len() {
        zip.write_all(piece.as_bytes()).expect("written");
    }
    for part in 1..=64 {
        zip.deep_copy_file("xl/part0.xml", &format!("xl/part{part}.xml")).expect("a copy");
    }
    zip.finish().expect("a workbook");
    let why = unreadable(&world, &path).await;
    assert!(why.contains("unpacks to more than 512 MiB"), "{why}");
    assert!(world.sql("SELECT count(*) AS n FROM vendas").await.contains("| 0 |"), "nothing came in");
}
