//! Records of separated cells: lines, joined where quotes hold a line break.
//!
//! A quote that never closes would make one cell of all that follows, and a pair of stray quotes
//! one of all that stands between. Both are found: the line where the quote opened is a broken
//! record, and reading continues with the line after it.

use std::io::{self, Read};

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use memchr::{memchr, memchr_iter};

use super::lines::{Line, Lines};

/// Lines that a record may span.
const LINES_MAX: usize = 5_000;

/// One record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Record {
    /// The line where it begins.
    pub(super) line: i64,
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// Whether the file ends in it, without a line end.
    pub(super) is_unended: bool,
    /// Why it cannot be read.
    pub(super) broken: Option<String>,
}

impl Record {
    pub(super) fn cells(&self) -> impl Iterator<Item = &[u8]> {
        self.ends.iter().scan(0, |start, end| Some(&self.bytes[std::mem::replace(start, *end)..*end]))
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// In bytes.
    pub(super) fn size(&self) -> usize {
        self.bytes.len()
    }

    fn is_blank(&self) -> bool {
        self.broken.is_none() && self.bytes.iter().all(u8::is_ascii_whitespace)
    }

    /// A line's cells where quotes mean nothing.
    fn split(&mut self, line: &[u8], separator: u8) {
        self.bytes.clear();
        self.ends.clear();
        for cell in plain_cells(line, separator) {
            self.bytes.extend_from_slice(cell);
            self.ends.push(self.bytes.len());
        }
    }
}

pub(super) struct Records<R> {
    lines: Lines<R>,
    separator: u8,
    bytes_max: usize,
    reader: Reader,
    /// The lines of the record that is being read.
    open: Vec<Line>,
}

impl<R: Read> Records<R> {
    pub(super) fn new(lines: Lines<R>, separator: u8, bytes_max: usize) -> Self {
        let reader = ReaderBuilder::new().delimiter(separator).build();
        Self { lines, separator, bytes_max, reader, open: Vec::new() }
    }

    /// Reads the next record that has cells; false at the end. Spreadsheets end in rows of
    /// separators: such are passed over.
    pub(super) fn next(&mut self, record: &mut Record) -> io::Result<bool> {
        while let Some(line) = self.lines.next()? {
            record.line = line.number;
            record.is_unended = line.is_unended;
            record.broken = None;
            if line.is_cut {
                record.split(&line.bytes, self.separator);
                record.broken = Some(format!("it is longer than {} KiB", self.bytes_max >> 10));
                self.lines.reuse(line);
            } else if memchr(b'"', &line.bytes).is_none() {
                record.split(&line.bytes, self.separator);
                self.lines.reuse(line);
            } else {
                self.quoted(line, record)?;
            }
            if !record.is_blank() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Reads a record with quotes, which may go on over lines.
    fn quoted(&mut self, first: Line, record: &mut Record) -> io::Result<()> {
        self.reader.reset();
        record.bytes.clear();
        record.ends.clear();
        let (mut written, mut ended, mut size) = (0, 0, 0);
        let mut line = first;
        let broken = loop {
            line.bytes.push(b'\n');
            size += line.bytes.len();
            record.bytes.resize(size, 0);
            record.ends.resize(ended + line.bytes.len() + 1, 0);
            let (result, _, bytes, ends) =
                self.reader.read_record(&line.bytes, &mut record.bytes[written..], &mut record.ends[ended..]);
            line.bytes.pop();
            written += bytes;
            ended += ends;
            self.open.push(line);
            if result == ReadRecordResult::Record {
                record.bytes.truncate(written);
                record.ends.truncate(ended);
                break self.stray_quotes(record.len());
            }
            if self.open.len() >= LINES_MAX || size > self.bytes_max {
                break Some("a quote opens in it and does not close within the lines that a cell may have".to_owned());
            }
            line = match self.lines.next()? {
                Some(next) if !next.is_cut => next,
                Some(cut) => {
                    self.open.push(cut);
                    break Some("a quote opens in it and does not close".to_owned());
                }
                None => break Some("a quote opens in it and never closes".to_owned()),
            };
        };
        if broken.is_some() {
            record.split(&self.open[0].bytes, self.separator);
            record.broken = broken;
            self.lines.put_back(self.open.drain(1..));
        }
        self.open.drain(..).for_each(|line| self.lines.reuse(line));
        Ok(())
    }

    /// Whether the quotes of the open lines seem to be none: what follows a closing one is not a
    /// separator, or each of the lines is a whole row by itself, like the first.
    fn stray_quotes(&self, cells: usize) -> Option<String> {
        let (first, rest) = self.open.split_first()?;
        if rest.is_empty() {
            return None;
        }
        let said = |what: &str| {
            let last = rest[rest.len() - 1].number;
            Some(format!("a quote opens in it and closes in line {last}, {what}: one of the two does not belong there"))
        };
        if self.is_text_behind_quote() {
            return said("in the middle of a cell");
        }
        let shape: Vec<bool> = plain_cells(&first.bytes, self.separator).map(is_number_like).collect();
        let is_row = |line: &Line| {
            let cells: Vec<bool> = plain_cells(&line.bytes, self.separator).map(is_number_like).collect();
            cells.len() == shape.len() && cells.iter().zip(&shape).all(|(cell, first)| cell == first)
        };
        let are_rows = shape.len() >= 3 && shape.len() >= cells && shape.contains(&true) && rest.iter().all(is_row);
        are_rows.then(|| said("and every line between is a whole row")).flatten()
    }

    /// Whether a cell of several lines goes on after its closing quote.
    fn is_text_behind_quote(&self) -> bool {
        let text: Vec<u8> = self.open.iter().flat_map(|line| line.bytes.iter().copied().chain([b'\n'])).collect();
        let mut at = 0;
        while at < text.len() {
            if text[at] != b'"' {
                // A cell without quotes ends at its separator.
                at +=
                    text[at..].iter().position(|byte| [self.separator, b'\n'].contains(byte)).unwrap_or(text.len()) + 1;
                continue;
            }
            let start = at;
            at += 1;
            loop {
                match memchr(b'"', &text[at.min(text.len())..]) {
                    None => return false,
                    Some(quote) if text.get(at + quote + 1) == Some(&b'"') => at += quote + 2,
                    Some(quote) => {
                        at += quote + 1;
                        break;
                    }
                }
            }
            let rest = &text[at.min(text.len())..];
            let behind = rest.iter().find(|byte| **byte != b' ').copied().unwrap_or(b'\n');
            if behind != self.separator && behind != b'\n' && memchr(b'\n', &text[start..at]).is_some() {
                return true;
            }
            at += rest.iter().position(|byte| [self.separator, b'\n'].contains(byte)).unwrap_or(rest.len()) + 1;
        }
        false
    }
}

/// A line's cells where quotes mean nothing.
fn plain_cells(line: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let ends = memchr_iter(separator, line).chain([line.len()]);
    ends.scan(0, move |start, end| Some(&line[std::mem::replace(start, end + 1)..end]))
}

/// Digits, and signs such as amounts and dates have.
fn is_number_like(cell: &[u8]) -> bool {
    cell.iter().any(u8::is_ascii_digit) && !cell.iter().any(u8::is_ascii_alphabetic)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(text: &str) -> Vec<(i64, Vec<String>, bool)> {
        let mut records = Records::new(Lines::new(text.as_bytes(), 64, 200), b';', 200);
        let (mut record, mut read) = (Record::default(), Vec::new());
        while records.next(&mut record).expect("read") {
            let cells = record.cells().map(|cell| String::from_utf8_lossy(cell).into_owned()).collect();
            read.push((record.line, cells, record.broken.is_some()));
        }
        read
    }

    fn row(line: i64, cells: &[&str], is_broken: bool) -> (i64, Vec<String>, bool) {
        (line, cells.iter().map(|cell| (*cell).to_owned()).collect(), is_broken)
    }

    #[test]
    fn quotes_hold_separators_quotes_and_line_breaks() {
        let read =
            records("\n1;\"a;b\";\"say \"\"x\"\"\"\r\n\r\n2;\"two\r\nlines\";c\n3;5\" preto;d\n;;\n4;\"\";\"\n\n\"\n");
        let expected = [
            row(2, &["1", "a;b", "say \"x\""], false),
            row(4, &["2", "two\nlines", "c"], false),
            row(6, &["3", "5\" preto", "d"], false),
            row(8, &["4", "", "\n\n"], false),
        ];
        assert_eq!(read, expected);
    }

    #[test]
    fn a_quote_that_never_closes_costs_its_own_line_only() {
        let read = records("Q1;a;1,0\nQ2;\"b;2,0\nQ3;c;3,0\nQ4;d;4,0");
        let expected = [
            row(1, &["Q1", "a", "1,0"], false),
            row(2, &["Q2", "\"b", "2,0"], true),
            row(3, &["Q3", "c", "3,0"], false),
            row(4, &["Q4", "d", "4,0"], false),
        ];
        assert_eq!(read, expected);
        // Not within the bounds of a record either.
        let long = format!("Q1;\"b;2\n{}Q9;\"x\";1\n", "Q2;c;3\n".repeat(40));
        let read = records(&long);
        assert_eq!((read.len(), read.iter().filter(|row| row.2).count()), (42, 1));
    }

    #[test]
    fn stray_quotes_do_not_swallow_the_rows_between_them() {
        // The second opens a cell, too.
        let read = records("Q1;\"a;1,0\nQ2;b;2,0\nQ3;\"c;3,0\nQ4;d;4,0\n");
        assert_eq!(
            read.iter().map(|row| (row.0, row.2)).collect::<Vec<_>>(),
            [(1, true), (2, false), (3, true), (4, false)]
        );
        // The second ends one.
        let read = records("Q1;\"a;1,0\nQ2;b;2,0\nQ3;c\";3,0\nQ4;d;4,0\n");
        assert_eq!(
            read.iter().map(|row| (row.0, row.2)).collect::<Vec<_>>(),
            [(1, true), (2, false), (3, false), (4, false)]
        );
    }

    #[test]
    fn a_quoted_list_is_not_taken_for_rows() {
        let read = records("1;\"a;b\nc;d\";x\n2;\"tel;12\ncep;13\";y\n");
        assert_eq!(read, [row(1, &["1", "a;b\nc;d", "x"], false), row(3, &["2", "tel;12\ncep;13", "y"], false)]);
    }

    #[test]
    fn a_line_that_is_too_long_is_one_broken_record() {
        let read = records(&format!("1;a\n{};b\n3;c\n", "x".repeat(300)));
        assert_eq!(read.iter().map(|row| (row.0, row.2)).collect::<Vec<_>>(), [(1, false), (2, true), (3, false)]);
    }
}
