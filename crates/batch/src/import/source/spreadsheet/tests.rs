use std::io::Write;
use std::path::PathBuf;

use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::*;
use crate::import::source::{Cell, Fit, Headings, Kind};

/// Knows the headings of these tests.
struct Known;

impl Headings for Known {
    fn fills(&self, row: &[String]) -> Vec<Option<String>> {
        row.iter().map(|cell| ["Pedido", "Preço", "Data"].contains(&cell.as_str()).then(|| cell.clone())).collect()
    }

    fn fit(&self, row: &[String]) -> Fit {
        if row.iter().any(|cell| cell == "Data") { Fit::Well } else { Fit::No }
    }
}

/// A sheet: its name, its state, its rows.
type SheetOf<'a> = (&'a str, &'a str, &'a str);

/// The parts that a workbook must have, with these sheets.
fn workbook(properties: &str, sheets: &[SheetOf<'_>]) -> PathBuf {
    let path = tempfile::tempdir().expect("a folder").keep().join("a.xlsx");
    let head = r#"<?xml version="1.0" encoding="UTF-8"?>"#;
    let main = r#"xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main""#;
    let office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
    let package = r#"xmlns="http://schemas.openxmlformats.org/package/2006/relationships""#;
    let each = |text: &dyn Fn(usize, &SheetOf<'_>) -> String| {
        sheets.iter().enumerate().map(|(index, sheet)| text(index + 1, sheet)).collect::<String>()
    };
    let mut parts = vec![
        (
            "_rels/.rels".to_owned(),
            format!(
                r#"<Relationships {package}><Relationship Id="r" Type="{office}/officeDocument" Target="xl/workbook.xml"/></Relationships>"#
            ),
        ),
        (
            "xl/workbook.xml".to_owned(),
            format!(
                r#"<workbook {main} xmlns:r="{office}">{properties}<sheets>{}</sheets></workbook>"#,
                each(&|n, (name, state, _)| format!(
                    r#"<sheet name="{name}" sheetId="{n}" state="{state}" r:id="s{n}"/>"#
                ))
            ),
        ),
        (
            "xl/_rels/workbook.xml.rels".to_owned(),
            format!(
                r#"<Relationships {package}>{}<Relationship Id="st" Type="{office}/styles" Target="styles.xml"/><Relationship Id="ss" Type="{office}/sharedStrings" Target="sharedStrings.xml"/></Relationships>"#,
                each(&|n, _| format!(
                    r#"<Relationship Id="s{n}" Type="{office}/worksheet" Target="worksheets/sheet{n}.xml"/>"#
                ))
            ),
        ),
        (
            "xl/styles.xml".to_owned(),
            format!(
                r#"<styleSheet {main}><numFmts count="3"><numFmt numFmtId="164" formatCode="dd/mm/yyyy hh:mm:ss"/><numFmt numFmtId="165" formatCode="000000"/><numFmt numFmtId="166" formatCode="hh:mm"/></numFmts><cellXfs count="4"><xf numFmtId="0"/><xf numFmtId="164"/><xf numFmtId="165"/><xf numFmtId="166"/></cellXfs></styleSheet>"#
            ),
        ),
        (
            "xl/sharedStrings.xml".to_owned(),
            format!(
                r#"<sst {main}><si><t>Pedido</t></si><si><t>Preço</t></si><si><t>1.234,56</t></si><si><t>Data</t></si><si><r><t>A</t></r><r><t>1</t></r></si></sst>"#
            ),
        ),
    ];
    for (index, (_, _, rows)) in sheets.iter().enumerate() {
        parts.push((
            format!("xl/worksheets/sheet{}.xml", index + 1),
            // What follows the rows stands behind a line of its own.
            {
                let (rows, rest) = rows.split_once("\n---\n").unwrap_or((rows, ""));
                format!(r#"<worksheet {main}><sheetData>{rows}</sheetData>{rest}</worksheet>"#)
            },
        ));
    }
    let mut zip = ZipWriter::new(File::create(&path).expect("a file"));
    for (name, text) in parts {
        zip.start_file(name, SimpleFileOptions::default()).expect("a part");
        zip.write_all(format!("{head}{text}").as_bytes()).expect("written");
    }
    zip.finish().expect("a workbook");
    path
}

fn open(path: &Path, sheets: &[&str], header_row: Option<u32>) -> Result<Spreadsheet, ImportError> {
    let sheets: Vec<String> = sheets.iter().map(|sheet| (*sheet).to_owned()).collect();
    Spreadsheet::open(path, "a.xlsx", &Opening { header_row, sheets: &sheets, headings: &Known })
}

fn failed(path: &Path, sheets: &[&str], header_row: Option<u32>) -> String {
    open(path, sheets, header_row).err().expect("an error").to_string()
}

fn texts(row: &Row) -> Vec<&str> {
    row.cells.iter().map(|cell| cell.as_ref().map_or("", |cell| &cell.text)).collect()
}

const HEADER: &str =
    r#"<row r="1"><c r="A1" t="s"><v>0</v></c><c r="B1" t="s"><v>1</v></c><c r="C1" t="s"><v>3</v></c></row>"#;

/// A sheet with a header in the first line and one order in the second.
fn order(order: u32, price: u32) -> String {
    format!(
        r#"{HEADER}<row r="2"><c r="A2"><v>{order}</v></c><c r="B2"><v>{price}</v></c><c r="C2" s="1"><v>45791</v></c></row>"#
    )
}

#[test]
fn cells_of_every_kind() {
    let rows = r#"<row r="2"><c r="A2" t="s"><v>0</v></c><c r="B2" t="s"><v>1</v></c><c r="D2" t="inlineStr"><is><t> Data </t></is></c></row>
        <row r="3"><c r="A3"><v>7</v></c><c r="B3"><v>0.30000000000000004</v></c><c r="D3" s="1"><v>45791.802777777778</v></c></row>
        <row r="5"><c r="A5" t="s"><v>4</v></c><c r="B5" t="s"><v>2</v></c><c r="D5" s="1"><v>45791</v></c><c r="E5" t="b"><v>1</v></c></row>
        <row r="6"><c r="A6" s="1"/><c r="D6" s="1"/></row>
        <row r="7"><c r="A7"><v>2000007654321091</v></c><c r="B7" t="e"><v>#DIV/0!</v></c><c r="D7" s="3"><v>0.802777777777778</v></c></row>
        <row r="8"><c r="A8"><f>A7+1</f></c><c r="B8"><f>1+1</f><v>2</v></c></row>
        <row r="9"><c r="A9" t="s"><v>0</v></c><c r="B9" t="s"><v>1</v></c><c r="D9" t="s"><v>3</v></c></row>"#;
    let path = workbook("", &[("S1", "visible", ""), ("S2", "visible", rows)]);
    let mut sheet = open(&path, &[], None).expect("opened");
    assert_eq!(sheet.header(), ["Pedido", "Preço", "", "Data"]);
    let rows = sheet.next().expect("rows");
    assert_eq!(rows.iter().map(|row| row.line).collect::<Vec<_>>(), [3, 5, 7, 8, 9]);
    assert!(rows.iter().all(|row| row.sheet.as_deref() == Some("S2")));
    assert_eq!(texts(&rows[0]), ["7", "0.30000000000000004", "", "2025-05-14T19:16:00"]);
    assert_eq!(
        texts(&rows[1]),
        ["A1", "1.234,56", "", "2025-05-14T00:00:00"],
        "what is right of the header is not read"
    );
    let kind = |row: usize, column: usize| rows[row].cells[column].as_ref().map(|cell| cell.kind);
    assert_eq!([kind(0, 1), kind(1, 1), kind(0, 3)], [Some(Kind::Float), Some(Kind::Written), Some(Kind::Time)]);
    assert_eq!(rows[2].cells[0], Some(Cell::float(2_000_007_654_321_091.0)), "whole numbers are exact");
    assert_eq!(texts(&rows[2])[1], "cell B7 holds #DIV/0!");
    assert_eq!((texts(&rows[2])[3], kind(2, 3)), ("19:16:00", Some(Kind::Clock)));
    assert!(texts(&rows[3])[0].starts_with("cell A8 holds a formula without a value"), "{:?}", rows[3]);
    assert_eq!((kind(3, 0), texts(&rows[3])[1]), (Some(Kind::Unusable), "2"));
    assert_eq!(rows[4].broken.as_deref(), Some("the header again"));
    assert_eq!(sheet.next().expect("the end"), []);
    sheet.rewind().expect("rewound");
    assert_eq!(sheet.next().expect("rows"), rows);
    // Rewinding in the middle too.
    sheet.rewind().expect("rewound");
    assert_eq!(sheet.next().expect("rows"), rows);
}

#[test]
fn all_visible_sheets_are_read_where_they_are_alike() {
    let swapped = r#"<row r="3"><c r="B3" t="s"><v>3</v></c><c r="C3" t="s"><v>0</v></c><c r="D3" t="s"><v>1</v></c><c r="E3"><v>1</v></c></row>
        <row r="4"><c r="B4" s="1"><v>45791</v></c><c r="C4"><v>2</v></c><c r="D4"><v>20</v></c></row>"#;
    let (first, hidden) = (order(1, 10), order(3, 30));
    let path = workbook("", &[("2024", "visible", &first), ("2025", "visible", swapped), ("Base", "hidden", &hidden)]);
    let mut sheets = open(&path, &[], None).expect("opened");
    let notes = sheets.notes().join("; ");
    assert!(notes.contains("sheets: 2024, 2025") && notes.contains("sheet Base is hidden and not read"), "{notes}");
    let mut rows = sheets.next().expect("rows");
    rows.extend(sheets.next().expect("rows"));
    let seen: Vec<_> = rows.iter().map(|row| (row.sheet.as_deref(), row.line, texts(row))).collect();
    let expected = [
        (Some("2024"), 2, vec!["1", "10", "2025-05-14T00:00:00"]),
        (Some("2025"), 4, vec!["2", "20", "2025-05-14T00:00:00"]),
    ];
    assert_eq!(seen, expected);
    assert_eq!(sheets.next().expect("the end"), []);
    let mut hidden = open(&path, &["Base"], None).expect("opened");
    assert_eq!(texts(&hidden.next().expect("rows")[0])[0], "3");
    assert!(hidden.notes().contains(&"sheet 2024 is not read".to_owned()), "{:?}", hidden.notes());
}

#[test]
fn sheets_with_other_columns_are_asked_about() {
    let first = order(1, 10);
    let other = r#"<row r="1"><c r="A1" t="s"><v>0</v></c><c r="B1" t="s"><v>3</v></c></row>"#;
    let path = workbook("", &[("Vendas", "visible", &first), ("Resumo", "visible", other)]);
    let error = failed(&path, &[], None);
    assert!(
        error.contains("Vendas (Pedido, Preço, Data); Resumo (Pedido, Data)") && error.contains("--sheet"),
        "{error}"
    );
    let mut sheet = open(&path, &["Vendas"], None).expect("opened");
    assert_eq!(sheet.next().expect("rows").len(), 1);
    let error = failed(&path, &["Compras"], None);
    assert!(error.contains("no sheet Compras") && error.contains("Vendas, Resumo"), "{error}");
}

#[test]
fn the_header_is_found_below_titles_and_merged_groups() {
    let rows = r#"<row r="1"><c r="A1" t="inlineStr"><is><t>Relatório</t></is></c></row>
        <row r="3"><c r="A3" t="inlineStr"><is><t>Vendas</t></is></c><c r="D3" t="inlineStr"><is><t>Anúncios</t></is></c></row>
        <row r="4"><c r="A4" t="s"><v>0</v></c><c r="B4" t="s"><v>3</v></c></row>
        <row r="5"><c r="A5"><v>1</v></c><c r="B5" s="1"><v>45791</v></c></row>"#;
    let path = workbook("", &[("S", "visible", rows)]);
    let mut sheet = open(&path, &[], None).expect("opened");
    assert_eq!(sheet.header(), ["Pedido", "Data"]);
    assert_eq!(sheet.notes(), ["the header is line 4; what is above it is not read"]);
    assert_eq!(sheet.next().expect("rows")[0].line, 5);
    let asked = open(&path, &[], Some(3)).expect("opened");
    assert_eq!(asked.header(), ["Vendas", "", "", "Anúncios"]);
    assert!(failed(&path, &[], Some(2)).contains("--header-row"));
}

#[test]
fn zeros_that_only_the_format_shows_are_kept() {
    let rows = format!(
        r#"{HEADER}<row r="2"><c r="A2" s="2"><v>123</v></c><c r="B2" s="0"><v>5</v></c><c r="C2" s="1"><v>45791</v></c></row>
        <row r="3"><c r="A3"><v>124</v></c><c r="B3" s="2"><v>5</v></c></row>"#
    );
    let path = workbook("", &[("S", "visible", &rows)]);
    let rows = open(&path, &[], None).expect("opened").next().expect("rows");
    assert_eq!(texts(&rows[0]), ["000123", "5", "2025-05-14T00:00:00"]);
    assert_eq!(texts(&rows[1]), ["124", "000005", ""]);
}

#[test]
fn dates_are_counted_from_1900_or_1904() {
    let rows = order(1, 10);
    let sheets = [("S", "visible", rows.as_str())];
    let date = |properties: &str| {
        let mut sheet = open(&workbook(properties, &sheets), &[], None).expect("opened");
        (texts(&sheet.next().expect("rows")[0])[2].to_owned(), sheet.serial_epoch())
    };
    assert_eq!(date(""), ("2025-05-14T00:00:00".to_owned(), SerialEpoch::From1900));
    assert_eq!(date(r#"<workbookPr date1904="1"/>"#), ("2029-05-15T00:00:00".to_owned(), SerialEpoch::From1904));
}

#[test]
fn a_cell_far_to_the_right_takes_no_room() {
    let far: String = (3..20_003)
        .map(|row| format!(r#"<row r="{row}"><c r="A{row}"><v>1</v></c><c r="XFD{row}"><v>1</v></c></row>"#))
        .collect();
    let path = workbook("", &[("S", "visible", &format!("{}{far}", order(1, 10)))]);
    let mut sheet = open(&path, &[], None).expect("opened");
    let rows = sheet.next().expect("rows");
    assert_eq!(rows.len(), batch_rows(3));
    assert!(rows.iter().all(|row| row.cells.capacity() == 3));
}

#[test]
fn what_is_not_a_workbook_or_empty_is_refused() {
    let path = workbook("", &[("S", "visible", "")]);
    assert!(matches!(open(&path, &[], None), Err(ImportError::Empty { .. })));
    let hidden = order(1, 10);
    assert!(failed(&workbook("", &[("S", "hidden", &hidden)]), &[], None).contains("hidden"));
    std::fs::write(&path, b"id;preco\n").expect("written");
    assert!(matches!(open(&path, &[], None), Err(ImportError::Read { .. })));
}

#[test]
fn sheets_that_are_asked_for_and_differ_are_named_with_the_way_on() {
    let visible = order(1, 10);
    let other = r#"<row r="1"><c r="A1" t="s"><v>3</v></c></row><row r="2"><c r="A2" s="1"><v>45791</v></c></row>"#;
    let path = workbook("", &[("A", "visible", &visible), ("Hid", "hidden", other)]);
    for sheets in [["all", "Hid"], ["A", "Hid"]] {
        let error = failed(&path, &sheets, None);
        assert!(
            error.contains("that --sheet asks for have different columns") && error.contains("of its own"),
            "{error}"
        );
    }
    assert!(failed(&path, &["all", "Hidden"], None).contains("it has A, Hid"));
    let alike = workbook("", &[("A", "visible", &visible), ("Hid", "hidden", &order(2, 20))]);
    let mut both = open(&alike, &["all", "Hid"], None).expect("opened");
    assert_eq!(both.next().expect("rows").len(), 1);
    assert_eq!(both.next().expect("rows").len(), 1);
}

/// A filter hides rows, and nobody sees that they count; of merged cells nobody sees that all but
/// one are empty.
#[test]
fn hidden_rows_and_merged_cells_are_said() {
    let rows = format!(
        r#"{HEADER}<row r="2"><c r="A2"><v>1</v></c><c r="C2" s="1"><v>45791</v></c></row>
        <row r="3" hidden="1"><c r="A3"><v>2</v></c></row><row hidden='true' r="4"><c r="A4"><v>3</v></c></row><row r="5" hidden="0"/>
---
<mergeCells count="3"><mergeCell ref="A1:C1"/><mergeCell ref="C2:C4"/><mergeCell ref="A6:B6"/></mergeCells>"#
    );
    let path = workbook("", &[("A &amp; B", "visible", &rows)]);
    let mut sheet = open(&path, &[], None).expect("a workbook");
    assert_eq!(
        sheet.notes(),
        [
            "sheet A & B: 2 rows are hidden, perhaps by a filter (the first is line 3), and they are read like all others",
            "sheet A & B: cells C2:C4 and one other range are merged: the value counts only for the first row and column of each, and the \
             rest is empty",
        ]
    );
    assert_eq!(sheet.next().expect("rows").len(), 3);
    let plain = workbook("", &[("Vendas", "visible", &order(1, 2))]);
    assert_eq!(open(&plain, &[], None).expect("a workbook").notes(), [""; 0]);
}
