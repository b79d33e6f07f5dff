//! XLSX: the first sheet with rows. Its numbers and dates are typed; what was entered as text is read as somebody wrote it.
//!
//! A thread of its own reads the sheet and is never more than a few batches ahead, so that a file of any length takes little memory
//! beside its shared texts.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use calamine::{DataRef, ExcelDateTime, Reader, Xlsx, XlsxError, open_workbook};

use super::{BATCH_ROWS, Cell, Row, Source};
use crate::import::ImportError;

/// Batches that wait to be taken.
const AHEAD: usize = 2;
/// Digits that a spreadsheet keeps and shows; what is behind them comes from binary fractions.
const DIGITS: usize = 15;

pub(super) struct Spreadsheet {
    name: String,
    path: PathBuf,
    parts: Receiver<Result<Part, XlsxError>>,
    header: Vec<String>,
    /// The last row that was read, and the last that the file says it has.
    read: u64,
    rows: u64,
}

/// What the thread hands over: the sheet once, then rows, then the end.
enum Part {
    Sheet { header: Vec<String>, rows: u64 },
    Rows(Vec<Row>),
    End,
}

impl Spreadsheet {
    pub(super) fn open(path: &Path, name: &str) -> Result<Self, ImportError> {
        let (sender, parts) = sync_channel(AHEAD);
        let file = path.to_owned();
        let read = move || {
            // Whoever hung up wants nothing more, errors neither.
            let _ = match read(&file, &sender) {
                Ok(()) => sender.send(Ok(Part::End)),
                Err(Stopped::Failed(error)) => sender.send(Err(error)),
                Err(Stopped::HungUp) => Ok(()),
            };
        };
        thread::Builder::new().name("spreadsheet".to_owned()).spawn(read).map_err(ImportError::read(name))?;
        let mut sheet =
            Self { name: name.to_owned(), path: path.to_owned(), parts, header: Vec::new(), read: 0, rows: 0 };
        match sheet.part()? {
            Part::Sheet { header, rows } => {
                sheet.header = header;
                sheet.rows = rows;
                Ok(sheet)
            }
            Part::Rows(_) | Part::End => Err(ImportError::Empty { file: name.to_owned() }),
        }
    }

    fn part(&self) -> Result<Part, ImportError> {
        let failed = ImportError::read(&self.name);
        match self.parts.recv() {
            Ok(part) => part.map_err(|error| failed(io::Error::other(error))),
            Err(_) => Err(failed(io::Error::other("its reader has died"))),
        }
    }
}

impl Source for Spreadsheet {
    fn header(&self) -> &[String] {
        &self.header
    }

    fn next(&mut self) -> Result<Vec<Row>, ImportError> {
        match self.part()? {
            Part::Rows(rows) => {
                self.read = rows.last().and_then(|row| u64::try_from(row.line).ok()).unwrap_or(self.read);
                Ok(rows)
            }
            Part::Sheet { .. } | Part::End => Ok(Vec::new()),
        }
    }

    fn rewind(&mut self) -> Result<(), ImportError> {
        *self = Self::open(&self.path, &self.name)?;
        Ok(())
    }

    fn progress(&self) -> (u64, u64) {
        (self.read, self.rows.max(self.read))
    }
}

enum Stopped {
    Failed(XlsxError),
    HungUp,
}

impl From<XlsxError> for Stopped {
    fn from(error: XlsxError) -> Self {
        Self::Failed(error)
    }
}

/// Sends the first sheet that has cells.
fn read(path: &Path, sender: &SyncSender<Result<Part, XlsxError>>) -> Result<(), Stopped> {
    let send = |part| sender.send(Ok(part)).map_err(|_| Stopped::HungUp);
    let mut workbook: Xlsx<BufReader<File>> = open_workbook(path)?;
    for name in workbook.sheet_names() {
        let mut cells = match workbook.worksheet_cells_reader(&name) {
            Ok(cells) => cells,
            // Charts have sheets too.
            Err(XlsxError::NotAWorksheet(_)) => continue,
            Err(error) => return Err(error.into()),
        };
        let last_row = u64::from(cells.dimensions().end.0) + 1;
        let (mut is_header, mut rows) = (true, Vec::new());
        let mut row = Row { line: 0, cells: Vec::new(), broken: None };
        loop {
            let cell = cells.next_cell()?;
            let line = cell.as_ref().map(|cell| i64::from(cell.get_position().0) + 1);
            if line != Some(row.line) {
                let done = std::mem::replace(
                    &mut row,
                    Row { line: line.unwrap_or_default(), cells: Vec::new(), broken: None },
                );
                match done.cells.iter().any(Option::is_some) || done.broken.is_some() {
                    // Spreadsheets end in rows that only look like something.
                    false => {}
                    true if is_header => {
                        is_header = false;
                        send(Part::Sheet { header: header(done), rows: last_row })?;
                    }
                    true => rows.push(done),
                }
            }
            if rows.len() >= BATCH_ROWS || (cell.is_none() && !rows.is_empty()) {
                send(Part::Rows(std::mem::take(&mut rows)))?;
            }
            let Some(cell) = cell else { break };
            put(&mut row, cell.get_position(), cell.get_value());
        }
        if !is_header {
            return Ok(());
        }
    }
    Ok(())
}

fn header(row: Row) -> Vec<String> {
    row.cells.into_iter().map(|cell| cell.map_or_else(String::new, |cell| cell.text.trim().to_owned())).collect()
}

/// Puts a cell in its place; those that the file leaves out before it are empty.
fn put(row: &mut Row, (line, column): (u32, u32), value: &DataRef<'_>) {
    let column = column as usize;
    row.cells.resize_with((column + 1).max(row.cells.len()), || None);
    row.cells[column] = match value {
        DataRef::Empty => None,
        DataRef::String(text) => Cell::written(text.clone()),
        DataRef::SharedString(text) => Cell::written((*text).to_owned()),
        DataRef::Int(number) => Some(Cell::typed(number.to_string())),
        DataRef::Float(number) => Some(Cell::typed(decimal(*number))),
        DataRef::Bool(value) => Some(Cell::typed(value.to_string())),
        DataRef::DateTime(time) => Some(Cell::typed(moment(*time))),
        DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => Some(Cell::typed(text.clone())),
        DataRef::Error(error) => {
            let name = column_name(column);
            row.broken.get_or_insert_with(|| format!("cell {name}{} holds {error}", line + 1));
            Cell::written(error.to_string())
        }
    };
}

/// In plain form, with the digits that the spreadsheet shows: 0.1 + 0.2 is 0.3 there.
fn decimal(number: f64) -> String {
    let shown = format!("{number:.*e}", DIGITS - 1).parse::<f64>();
    shown.unwrap_or(number).to_string()
}

/// A spreadsheet's time has no zone; what is no time stays a number.
fn moment(time: ExcelDateTime) -> String {
    let moment = time.as_datetime().filter(|_| time.is_datetime());
    moment.map_or_else(|| decimal(time.as_f64()), |moment| moment.format("%Y-%m-%dT%H:%M:%S%.f").to_string())
}

/// `A` to `Z`, then `AA`.
fn column_name(mut column: usize) -> String {
    let mut name = Vec::new();
    loop {
        name.push(b'A' + (column % 26) as u8);
        if column < 26 {
            break;
        }
        column = column / 26 - 1;
    }
    name.iter().rev().map(|letter| char::from(*letter)).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;

    /// The parts that a workbook must have, with these sheets.
    fn workbook(path: &Path, sheets: &[&str]) {
        let head = r#"<?xml version="1.0" encoding="UTF-8"?>"#;
        let main = r#"xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main""#;
        let office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
        let package = r#"xmlns="http://schemas.openxmlformats.org/package/2006/relationships""#;
        let numbered = |text: &dyn Fn(usize) -> String| (1..=sheets.len()).map(text).collect::<String>();
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
                    r#"<workbook {main} xmlns:r="{office}"><sheets>{}</sheets></workbook>"#,
                    numbered(&|n| format!(r#"<sheet name="S{n}" sheetId="{n}" r:id="s{n}"/>"#))
                ),
            ),
            (
                "xl/_rels/workbook.xml.rels".to_owned(),
                format!(
                    r#"<Relationships {package}>{}<Relationship Id="st" Type="{office}/styles" Target="styles.xml"/><Relationship Id="ss" Type="{office}/sharedStrings" Target="sharedStrings.xml"/></Relationships>"#,
                    numbered(&|n| format!(
                        r#"<Relationship Id="s{n}" Type="{office}/worksheet" Target="worksheets/sheet{n}.xml"/>"#
                    ))
                ),
            ),
            (
                "xl/styles.xml".to_owned(),
                format!(
                    r#"<styleSheet {main}><numFmts count="1"><numFmt numFmtId="164" formatCode="dd/mm/yyyy hh:mm:ss"/></numFmts><cellXfs count="2"><xf numFmtId="0"/><xf numFmtId="164"/></cellXfs></styleSheet>"#
                ),
            ),
            (
                "xl/sharedStrings.xml".to_owned(),
                format!(r#"<sst {main}><si><t>Pedido</t></si><si><t>Preço</t></si><si><t>1.234,56</t></si></sst>"#),
            ),
        ];
        for (index, rows) in sheets.iter().enumerate() {
            parts.push((
                format!("xl/worksheets/sheet{}.xml", index + 1),
                format!(r#"<worksheet {main}><sheetData>{rows}</sheetData></worksheet>"#),
            ));
        }
        let mut zip = ZipWriter::new(File::create(path).expect("a file"));
        for (name, text) in parts {
            zip.start_file(name, SimpleFileOptions::default()).expect("a part");
            zip.write_all(format!("{head}{text}").as_bytes()).expect("written");
        }
        zip.finish().expect("a workbook");
    }

    #[test]
    fn cells_of_every_kind() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("a.xlsx");
        let rows = r#"<row r="2"><c r="A2" t="s"><v>0</v></c><c r="B2" t="s"><v>1</v></c><c r="D2" t="inlineStr"><is><t> Data </t></is></c></row>
            <row r="3"><c r="A3"><v>7</v></c><c r="B3"><v>0.30000000000000004</v></c><c r="D3" s="1"><v>45791.802777777778</v></c></row>
            <row r="5"><c r="B5" t="s"><v>2</v></c><c r="D5" s="1"><v>45791</v></c><c r="E5" t="b"><v>1</v></c></row>
            <row r="6"><c r="A6" s="1"/><c r="D6" s="1"/></row>
            <row r="7"><c r="A7"><v>8</v></c><c r="B7" t="e"><v>#DIV/0!</v></c></row>"#;
        workbook(&path, &["", rows, r#"<row r="1"><c r="A1"><v>1</v></c></row>"#]);
        let mut sheet = Spreadsheet::open(&path, "a.xlsx").expect("opened");
        assert_eq!(sheet.header(), ["Pedido", "Preço", "", "Data"]);
        let rows = sheet.next().expect("rows");
        let texts = |row: &Row| row.cells.iter().map(|cell| cell.clone().map(|cell| cell.text)).collect::<Vec<_>>();
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(rows.iter().map(|row| row.line).collect::<Vec<_>>(), [3, 5, 7]);
        assert_eq!(texts(&rows[0]), [some("7"), some("0.3"), None, some("2025-05-14T19:16:00")]);
        assert_eq!(texts(&rows[1]), [None, some("1.234,56"), None, some("2025-05-14T00:00:00"), some("true")]);
        let typed = |row: &Row, column: usize| row.cells[column].as_ref().is_some_and(|cell| cell.is_typed);
        assert!(typed(&rows[0], 1) && !typed(&rows[1], 1), "what was entered as text is in somebody's own form");
        assert_eq!(rows[2].broken.as_deref(), Some("cell B7 holds #DIV/0!"));
        assert_eq!(sheet.next().expect("the end"), []);
        sheet.rewind().expect("rewound");
        assert_eq!(sheet.next().expect("rows"), rows);
    }

    #[test]
    fn what_is_no_workbook_or_empty_is_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("a.xlsx");
        workbook(&path, &[""]);
        assert!(matches!(Spreadsheet::open(&path, "a.xlsx"), Err(ImportError::Empty { .. })));
        std::fs::write(&path, b"id;preco\n").expect("written");
        assert!(matches!(Spreadsheet::open(&path, "a.xlsx"), Err(ImportError::Read { .. })));
    }

    #[test]
    fn numbers_and_columns_as_they_are_shown() {
        let numbers = [1e15, -0.1, 19.99 * 3.0, 1e-7, 123_456_789.01, 0.0];
        let shown: Vec<_> = numbers.into_iter().map(decimal).collect();
        assert_eq!(shown, ["1000000000000000", "-0.1", "59.97", "0.0000001", "123456789.01", "0"]);
        assert_eq!([0, 25, 26, 701, 702].map(column_name), ["A", "Z", "AA", "ZZ", "AAA"]);
    }
}
