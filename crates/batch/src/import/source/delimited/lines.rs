//! Physical lines of a text file, whatever ends them, each with its number.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read};

use memchr::memchr2;

/// What ended files once: no text has it.
const CONTROL_Z: u8 = 0x1a;

/// A line without its end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Line {
    /// From 1.
    pub(super) number: i64,
    pub(super) bytes: Vec<u8>,
    /// Whether it was longer than a record may be; what is beyond is not in `bytes`.
    pub(super) is_cut: bool,
    /// Whether the file ends in it, without a line end.
    pub(super) is_unended: bool,
}

pub(super) struct Lines<R> {
    reader: BufReader<R>,
    number: i64,
    bytes_max: usize,
    /// Lines that were read ahead and are to be read again.
    returned: VecDeque<Line>,
    /// Buffers of lines that are done with.
    spare: Vec<Vec<u8>>,
}

impl<R: Read> Lines<R> {
    pub(super) fn new(reader: R, buffer: usize, bytes_max: usize) -> Self {
        let reader = BufReader::with_capacity(buffer, reader);
        Self { reader, number: 0, bytes_max, returned: VecDeque::new(), spare: Vec::new() }
    }

    pub(super) fn next(&mut self) -> io::Result<Option<Line>> {
        if let Some(line) = self.returned.pop_front() {
            return Ok(Some(line));
        }
        let mut line = Line { number: self.number + 1, bytes: self.spare.pop().unwrap_or_default(), ..Line::default() };
        line.bytes.clear();
        let mut is_end = true;
        line.is_unended = true;
        loop {
            let buffer = self.reader.fill_buf()?;
            if buffer.is_empty() {
                break;
            }
            is_end = false;
            let end = memchr2(b'\n', b'\r', buffer);
            let part = &buffer[..end.unwrap_or(buffer.len())];
            let room = self.bytes_max.saturating_sub(line.bytes.len());
            line.is_cut |= part.len() > room;
            line.bytes.extend_from_slice(&part[..part.len().min(room)]);
            let (used, ended) = (part.len() + usize::from(end.is_some()), end.map(|end| buffer[end]));
            self.reader.consume(used);
            line.is_unended = ended.is_none();
            match ended {
                Some(b'\r') => {
                    if self.reader.fill_buf()?.first() == Some(&b'\n') {
                        self.reader.consume(1);
                    }
                    break;
                }
                Some(_) => break,
                None => {}
            }
        }
        if line.is_unended && line.bytes.last() == Some(&CONTROL_Z) {
            line.bytes.pop();
            is_end = line.bytes.is_empty();
        }
        if is_end {
            return Ok(None);
        }
        self.number += 1;
        Ok(Some(line))
    }

    /// Lines that are to be read again, the first of them first.
    pub(super) fn put_back(&mut self, lines: impl DoubleEndedIterator<Item = Line>) {
        lines.rev().for_each(|line| self.returned.push_front(line));
    }

    /// Takes the memory of a line that is done with.
    pub(super) fn reuse(&mut self, line: Line) {
        if self.spare.len() < 4 {
            self.spare.push(line.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str, buffer: usize) -> Vec<(i64, String, bool)> {
        let mut lines = Lines::new(text.as_bytes(), buffer, 8);
        let mut read = Vec::new();
        while let Some(line) = lines.next().expect("read") {
            read.push((line.number, String::from_utf8_lossy(&line.bytes).into_owned(), line.is_cut));
        }
        read
    }

    #[test]
    fn any_line_end_counts_one_line() {
        let expected = [(1, "a"), (2, ""), (3, "b"), (4, "c"), (5, ""), (6, "d")];
        let expected: Vec<_> = expected.iter().map(|(number, text)| (*number, (*text).to_owned(), false)).collect();
        for text in ["a\n\nb\nc\n\nd", "a\r\n\r\nb\r\nc\r\n\r\nd\r\n", "a\r\rb\rc\r\rd\r", "a\n\r\nb\rc\n\nd\n"] {
            for buffer in [1, 2, 64] {
                assert_eq!(lines(text, buffer), expected, "{text:?}");
            }
        }
        assert_eq!(lines("", 64), []);
    }

    #[test]
    fn a_control_z_ends_the_file_and_is_no_line() {
        for (text, count) in [("a\nb\n\u{1a}", 2), ("a\nb\u{1a}", 2), ("a\nb", 2), ("\u{1a}", 0), ("a\u{1a}\nb\n", 2)] {
            let read = lines(text, 4);
            assert_eq!(read.len(), count, "{text:?}");
            assert!(read.last().is_none_or(|(_, line, _)| line == "b"), "{text:?}");
        }
    }

    #[test]
    fn a_line_without_end_takes_bounded_memory() {
        let read = lines(&format!("{}\nb\n", "a".repeat(100)), 16);
        assert_eq!(read, [(1, "a".repeat(8), true), (2, "b".to_owned(), false)]);
    }
}
