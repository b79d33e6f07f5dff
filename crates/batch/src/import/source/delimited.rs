//! CSV and its like: separated by commas, semicolons, tabs or bars; in UTF-8, or in Windows-1252 as older programs write it.

use std::fs::File;
use std::io::{BufRead, BufReader, Chain, Read};
use std::path::{Path, PathBuf};

use csv::{ByteRecord, Reader, ReaderBuilder};
use encoding_rs::WINDOWS_1252;

use super::{BATCH_ROWS, Cell, Row, Source};
use crate::import::ImportError;

const SEPARATORS: [u8; 4] = [b';', b',', b'\t', b'|'];
/// What is looked at to find the separator.
const HEAD_BYTES: usize = 64 << 10;

/// A file, and the end of its last line, which may be missing.
type Lines = Chain<BufReader<File>, &'static [u8]>;

pub(super) struct Delimited {
    name: String,
    path: PathBuf,
    reader: Reader<Lines>,
    header: Vec<String>,
    bytes: u64,
}

impl Delimited {
    pub(super) fn open(path: &Path, name: &str) -> Result<Self, ImportError> {
        let failed = ImportError::read(name);
        let file = File::open(path).map_err(&failed)?;
        let bytes = file.metadata().map_err(&failed)?.len();
        let mut file = BufReader::with_capacity(HEAD_BYTES, file);
        let head = file.fill_buf().map_err(&failed)?;
        let separator = separator(head);
        if head.starts_with(&[0xEF, 0xBB, 0xBF]) {
            file.consume(3);
        }
        let mut reader = ReaderBuilder::new()
            .delimiter(separator)
            .flexible(true)
            .has_headers(false)
            .from_reader(file.chain(b"\n".as_slice()));
        let mut first = ByteRecord::new();
        if !reader.read_byte_record(&mut first).map_err(|error| failed(error.into()))? {
            return Err(ImportError::Empty { file: name.to_owned() });
        }
        let header = first.iter().map(|cell| text(cell).trim().to_owned()).collect();
        Ok(Self { name: name.to_owned(), path: path.to_owned(), reader, header, bytes })
    }
}

impl Source for Delimited {
    fn header(&self) -> &[String] {
        &self.header
    }

    fn next(&mut self) -> Result<Vec<Row>, ImportError> {
        let failed = ImportError::read(&self.name);
        let mut rows = Vec::new();
        let mut record = ByteRecord::new();
        while rows.len() < BATCH_ROWS
            && self.reader.read_byte_record(&mut record).map_err(|error| failed(error.into()))?
        {
            // Where a record was looked for may be a blank line before it; where it ended is known.
            let breaks = record.as_slice().iter().filter(|byte| **byte == b'\n').count() as u64;
            let line = self.reader.position().line().saturating_sub(1 + breaks);
            let line = i64::try_from(line).unwrap_or(i64::MAX);
            let cells: Vec<_> = record.iter().map(text).map(Cell::written).collect();
            if cells.iter().all(Option::is_none) {
                // Spreadsheets end in rows of separators.
                continue;
            }
            let broken = (cells.len() != self.header.len())
                .then(|| format!("{} cells where the header has {}", cells.len(), self.header.len()));
            rows.push(Row { line, cells, broken });
        }
        Ok(rows)
    }

    fn rewind(&mut self) -> Result<(), ImportError> {
        *self = Self::open(&self.path, &self.name)?;
        Ok(())
    }

    fn progress(&self) -> (u64, u64) {
        (self.reader.position().byte(), self.bytes)
    }
}

/// The separator that the first line has most of, outside quotes.
fn separator(head: &[u8]) -> u8 {
    let mut counts = [0; SEPARATORS.len()];
    let mut quoted = false;
    for byte in head.bytes().map_while(Result::ok) {
        match byte {
            b'"' => quoted = !quoted,
            b'\n' if !quoted => break,
            byte if !quoted => {
                if let Some(index) = SEPARATORS.iter().position(|separator| *separator == byte) {
                    counts[index] += 1;
                }
            }
            _ => {}
        }
    }
    let most = counts.iter().max().copied().unwrap_or_default();
    let found = counts.iter().position(|count| *count == most && most > 0);
    found.map_or(b',', |index| SEPARATORS[index])
}

fn text(cell: &[u8]) -> String {
    match std::str::from_utf8(cell) {
        Ok(text) => text.to_owned(),
        Err(_) => WINDOWS_1252.decode_without_bom_handling(cell).0.into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> (Vec<String>, Vec<Row>) {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("a.csv");
        std::fs::write(&path, bytes).expect("written");
        let mut file = Delimited::open(&path, "a.csv").expect("opened");
        let rows = file.next().expect("rows");
        file.rewind().expect("rewound");
        assert_eq!(file.next().expect("rows"), rows);
        (file.header.clone(), rows)
    }

    #[test]
    fn separators_quotes_and_lines() {
        let (header, rows) =
            read("\u{feff}id;nome;\"valor; total\"\n1;\"Caf\u{e9}\nforte\";1,5\n\n2;;\n;;\n\n3;x".as_bytes());
        assert_eq!(header, ["id", "nome", "valor; total"]);
        let lines: Vec<i64> = rows.iter().map(|row| row.line).collect();
        assert_eq!(lines, [2, 5, 8]);
        assert_eq!(rows[0].cells[1], Cell::written("Caf\u{e9}\nforte".to_owned()));
        assert_eq!(rows[1].cells, [Cell::written("2".to_owned()), None, None]);
        assert_eq!(rows[2].broken.as_deref(), Some("2 cells where the header has 3"));
    }

    #[test]
    fn older_encodings() {
        let (header, rows) = read(b"id,regi\xe3o\n1,S\xe3o Paulo\n");
        assert_eq!(header[1], "regi\u{e3}o");
        assert_eq!(rows[0].cells[1], Cell::written("S\u{e3}o Paulo".to_owned()));
    }
}
