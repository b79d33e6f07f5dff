//! CSV and its like: separated by commas, semicolons, tabs or pipes, in any usual encoding, with
//! any line ends.

mod encoding;
mod lines;
mod records;
mod separator;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use encoding_rs::Encoding;

use self::encoding::{HEAD_BYTES, Text, text};
use self::lines::Lines;
use self::records::{Record, Records};
use self::separator::Separator;
use super::header::{self, CANDIDATES, HEADER_AGAIN};
use super::{Cell, Opening, Row, Source, batch_rows};
use crate::import::ImportError;

/// Bytes that a record may have: what is larger is not a row of a table, and a quote that never
/// closes must not read a file into memory.
const RECORD_BYTES: usize = 1 << 20;
/// Bytes of the rows that are read together.
const BATCH_BYTES: usize = 64 << 20;

pub(super) struct Delimited {
    name: String,
    path: PathBuf,
    file: Opened,
    separator: Separator,
    /// As it stands, to recognise it where it stands again.
    heading: Vec<String>,
    header: Vec<String>,
    header_line: i64,
    notes: Vec<String>,
}

/// The file from its first record on.
struct Opened {
    records: Records<Box<dyn Read + Send>>,
    record: Record,
    fallback: &'static Encoding,
    read: Arc<AtomicU64>,
    bytes: u64,
}

impl Opened {
    /// `find` finds the separator in the file's first bytes if its first line does not state it.
    fn open(path: &Path, find: impl FnOnce(&[u8], &'static Encoding) -> u8) -> std::io::Result<Self> {
        let Text { head, reader, fallback, read, bytes } = Text::open(path)?;
        let stated = separator::stated(&head);
        let separator = stated.unwrap_or_else(|| find(&head, fallback));
        let mut lines = Lines::new(reader, HEAD_BYTES, RECORD_BYTES);
        if stated.is_some() {
            lines.next()?;
        }
        let records = Records::new(lines, separator, RECORD_BYTES);
        Ok(Self { records, record: Record::default(), fallback, read, bytes })
    }

    /// The next record, and whether there is one.
    fn next(&mut self) -> std::io::Result<bool> {
        self.records.next(&mut self.record)
    }

    fn headings(&self) -> Vec<String> {
        self.record.cells().map(|cell| header::clean(&text(cell, self.fallback)).to_owned()).collect()
    }
}

impl Delimited {
    pub(super) fn open(path: &Path, name: &str, opening: &Opening<'_>) -> Result<Self, ImportError> {
        let failed = ImportError::read(name);
        let mut separator = Separator { byte: b',', doubt: None };
        let opened = Opened::open(path, |head, fallback| {
            separator = separator::find(head, fallback, opening.headings, opening.header_row);
            separator.byte
        });
        let mut file = opened.map_err(&failed)?;
        let (mut lines, mut rows) = (Vec::new(), Vec::new());
        while rows.len() < CANDIDATES && file.next().map_err(&failed)? {
            if opening.header_row.is_some_and(|row| i64::from(row) > file.record.line) {
                continue;
            }
            lines.push(file.record.line);
            rows.push(file.headings());
            if opening.header_row.is_some() {
                break;
            }
        }
        let found = match opening.header_row {
            Some(row) if lines.first() != Some(&i64::from(row)) => {
                return Err(ImportError::NoHeader { file: name.to_owned(), row });
            }
            Some(_) => Some(0),
            None => header::find(&rows, opening.headings),
        };
        let Some(found) = found else { return Err(ImportError::Empty { file: name.to_owned() }) };
        let heading = rows.swap_remove(found);
        let notes = header::above(lines[found], lines[0]).into_iter().collect();
        let header = header::distinct(&heading);
        let (name, path) = (name.to_owned(), path.to_owned());
        let mut file = Self { name, path, file, separator, heading, header, header_line: lines[found], notes };
        file.rewind()?;
        Ok(file)
    }

    fn row(&self) -> Row {
        let Opened { record, fallback, .. } = &self.file;
        let mut cells: Vec<_> = record.cells().map(|cell| Cell::written(text(cell, fallback).into_owned())).collect();
        let width = self.header.len();
        let mut broken = record.broken.clone();
        if cells.len() > width {
            if broken.is_none() && cells[width..].iter().any(Option::is_some) {
                broken = Some(format!("{} cells where the header has {width}", cells.len()));
            } else {
                cells.truncate(width);
            }
        }
        if broken.is_none() && self.is_header(&cells) {
            broken = Some(HEADER_AGAIN.to_owned());
        }
        Row { sheet: None, line: record.line, cells, broken, is_unended: record.is_unended }
    }

    fn is_header(&self, cells: &[Option<Cell>]) -> bool {
        let is_heading = |(cell, heading): (&Option<Cell>, &String)| {
            header::clean(cell.as_ref().map_or("", |cell| &cell.text)) == heading
        };
        cells.len() == self.heading.len() && cells.iter().zip(&self.heading).all(is_heading)
    }
}

impl Source for Delimited {
    fn header(&self) -> &[String] {
        &self.header
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }

    fn doubt(&self) -> Option<&str> {
        self.separator.doubt.as_deref()
    }

    fn next(&mut self) -> Result<Vec<Row>, ImportError> {
        let failed = ImportError::read(&self.name);
        let (mut rows, mut bytes) = (Vec::new(), 0);
        let most = batch_rows(self.header.len());
        while rows.len() < most && bytes < BATCH_BYTES && self.file.next().map_err(&failed)? {
            bytes += self.file.record.size();
            rows.push(self.row());
        }
        Ok(rows)
    }

    fn rewind(&mut self) -> Result<(), ImportError> {
        let failed = ImportError::read(&self.name);
        self.file = Opened::open(&self.path, |_, _| self.separator.byte).map_err(&failed)?;
        while self.file.next().map_err(&failed)? && self.file.record.line < self.header_line {}
        Ok(())
    }

    fn progress(&self) -> (u64, u64) {
        (self.file.read.load(Ordering::Relaxed), self.file.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::source::{Fit, Headings};

    /// Knows the headings of these tests.
    struct Known;

    impl Headings for Known {
        fn fills(&self, row: &[String]) -> Vec<Option<String>> {
            row.iter().map(|cell| (cell.starts_with("id")).then(|| cell.clone())).collect()
        }

        fn fit(&self, row: &[String]) -> Fit {
            if row.iter().any(|cell| cell == "id") { Fit::Well } else { Fit::No }
        }
    }

    fn open(bytes: &[u8], header_row: Option<u32>) -> Result<Delimited, ImportError> {
        let dir = tempfile::tempdir().expect("a folder").keep();
        let path = dir.join("a.csv");
        std::fs::write(&path, bytes).expect("written");
        Delimited::open(&path, "a.csv", &Opening { header_row, sheets: &[], headings: &Known })
    }

    fn read(bytes: &[u8]) -> (Vec<String>, Vec<Row>) {
        let mut file = open(bytes, None).expect("opened");
        let rows = file.next().expect("rows");
        file.rewind().expect("rewound");
        assert_eq!(file.next().expect("rows"), rows);
        (file.header.clone(), rows)
    }

    fn texts(row: &Row) -> Vec<&str> {
        row.cells.iter().map(|cell| cell.as_ref().map_or("", |cell| &cell.text)).collect()
    }

    #[test]
    fn separators_quotes_and_lines() {
        let text =
            "\u{feff}id;nome;\"valor; total\"\n1;\"Caf\u{e9}\nforte\";1,5\n\n2;;  \n;;\n\n3;x\n4;a;b;c\n5;a;b;\n";
        for ends in ["\n", "\r\n", "\r"] {
            let (header, rows) = read(text.replace('\n', ends).as_bytes());
            assert_eq!(header, ["id", "nome", "valor; total"]);
            let lines: Vec<i64> = rows.iter().map(|row| row.line).collect();
            assert_eq!(lines, [2, 5, 8, 9, 10], "{ends:?}");
            assert_eq!(texts(&rows[0]), ["1", "Caf\u{e9}\nforte", "1,5"]);
            assert_eq!(rows[1].cells, [Cell::written("2".to_owned()), None, None]);
            assert_eq!(rows[2].cells.len(), 2, "what a line lacks is not made up");
            assert_eq!(rows[3].broken.as_deref(), Some("4 cells where the header has 3"));
            assert_eq!((texts(&rows[4]), &rows[4].broken), (vec!["5", "a", "b"], &None), "an empty cell too many");
        }
    }

    #[test]
    fn the_header_is_found_below_titles() {
        let text = b"Vendas, maio;;\n\nPeriodo: 01/05 a 31/05;;\nid;nome;x\n1;a;2\nid;nome;x\n2;b;3\n";
        let (header, rows) = read(text);
        assert_eq!(header, ["id", "nome", "x"]);
        assert_eq!(rows.iter().map(|row| row.line).collect::<Vec<_>>(), [5, 6, 7]);
        assert_eq!(rows[1].broken.as_deref(), Some(HEADER_AGAIN));
        let file = open(text, None).expect("opened");
        assert_eq!(file.notes, ["the header is line 4; what is above it is not read"]);
        let asked = open(text, Some(5)).expect("opened");
        assert_eq!(asked.header, ["1", "a", "2"]);
        for row in [2, 90] {
            let error = open(text, Some(row)).map(|file| file.header).expect_err("no header").to_string();
            assert!(error.contains("--header-row") && error.contains(&row.to_string()), "{error}");
        }
    }

    #[test]
    fn separators_are_stated() {
        let (header, rows) = read(b"sep=|\r\nid|a;b\r\n1|2\r\n");
        assert_eq!((header, rows[0].line), (vec!["id".to_owned(), "a;b".to_owned()], 3));
    }

    #[test]
    fn older_encodings() {
        let (header, rows) = read(b"id,regi\xe3o\n1,S\xe3o Paulo\n2,S\xc3\xa3o Paulo\n");
        assert_eq!(header[1], "regi\u{e3}o");
        assert_eq!(texts(&rows[0])[1], "S\u{e3}o Paulo");
        assert_eq!(texts(&rows[0])[1], texts(&rows[1])[1], "either encoding in one file");
    }
}
