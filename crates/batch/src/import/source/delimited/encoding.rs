//! Encodings of text files: UTF-8 and UTF-16, with a byte order mark or without; else what older
//! programs write, cell by cell, as files that were put together are in several.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Decoder, Encoding, UTF_16BE, UTF_16LE, WINDOWS_1252};

const CUT_SHORT: &str = "it ends in the middle of a character, so it was cut short: save or download it again";
/// What is looked at to find out how a file is written.
pub(super) const HEAD_BYTES: usize = 64 << 10;

/// A file's bytes, in UTF-8 or in an encoding that has the same line ends, separators and quotes.
pub(super) struct Text {
    /// Its first bytes, to look at; they are read as well.
    pub(super) head: Vec<u8>,
    pub(super) reader: Box<dyn Read + Send>,
    /// What a cell is in that is not in UTF-8.
    pub(super) fallback: &'static Encoding,
    /// Bytes of the file that were read.
    pub(super) read: Arc<AtomicU64>,
    pub(super) bytes: u64,
}

impl Text {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let bytes = file.metadata()?.len();
        let read = Arc::new(AtomicU64::new(0));
        let mut file = Counted { file, read: Arc::clone(&read) };
        let raw = head(&mut file)?;
        let (encoding, mark) = match Encoding::for_bom(&raw) {
            Some(found) => found,
            None => (utf_16_without_mark(&raw).unwrap_or(encoding_rs::UTF_8), 0),
        };
        let whole = Cursor::new(raw[mark..].to_vec()).chain(file);
        let mut reader: Box<dyn Read + Send> = match encoding == UTF_16LE || encoding == UTF_16BE {
            true => Box::new(Decoded::new(whole, encoding)),
            false => Box::new(whole),
        };
        let head = head(&mut reader)?;
        let fallback = fallback(&head);
        let reader = Box::new(Cursor::new(head.clone()).chain(reader));
        Ok(Self { head, reader, fallback, read, bytes })
    }
}

/// A cell's text.
pub(super) fn text<'a>(cell: &'a [u8], fallback: &'static Encoding) -> Cow<'a, str> {
    match std::str::from_utf8(cell) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => fallback.decode_without_bom_handling(cell).0,
    }
}

fn head(reader: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    reader.by_ref().take(HEAD_BYTES as u64).read_to_end(&mut head)?;
    Ok(head)
}

/// UTF-16 of mostly Latin letters has a zero in every second byte, and no other encoding has many.
fn utf_16_without_mark(head: &[u8]) -> Option<&'static Encoding> {
    let zeros = |first: usize| head.iter().skip(first).step_by(2).filter(|byte| **byte == 0).count();
    let (even, odd) = (zeros(0), zeros(1));
    let many = head.len() / 2 * 2 / 3;
    match (even > many, odd > many) {
        (false, true) if even < odd / 8 => Some(UTF_16LE),
        (true, false) if odd < even / 8 => Some(UTF_16BE),
        _ => None,
    }
}

/// What the lines that are not in UTF-8 look like, for a reader in Brazil.
fn fallback(head: &[u8]) -> &'static Encoding {
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    let mut seen = false;
    for line in head.split_inclusive(|byte| *byte == b'\n').filter(|line| std::str::from_utf8(line).is_err()) {
        detector.feed(line, false);
        seen = true;
    }
    if !seen {
        return WINDOWS_1252;
    }
    detector.feed(b"", true);
    detector.guess(Some(b"br"), Utf8Detection::Deny)
}

/// Counts what is read.
struct Counted {
    file: File,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// UTF-16 as UTF-8.
struct Decoded<R> {
    inner: R,
    decoder: Decoder,
    raw: Vec<u8>,
    text: Vec<u8>,
    /// How much of `text` is taken.
    taken: usize,
    is_end: bool,
}

impl<R: Read> Decoded<R> {
    fn new(inner: R, encoding: &'static Encoding) -> Self {
        let decoder = encoding.new_decoder_without_bom_handling();
        Self { inner, decoder, raw: vec![0; HEAD_BYTES], text: Vec::new(), taken: 0, is_end: false }
    }
}

impl<R: Read> Read for Decoded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.taken == self.text.len() && !self.is_end {
            let read = self.inner.read(&mut self.raw)?;
            self.is_end = read == 0;
            let most = self.decoder.max_utf8_buffer_length(read).unwrap_or(HEAD_BYTES * 4);
            self.text.resize(most, 0);
            let (_, _, written, is_broken) =
                self.decoder.decode_to_utf8(&self.raw[..read], &mut self.text, self.is_end);
            // Half a character, or half a pair of them: nothing else is left for the last call.
            if self.is_end && is_broken {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, CUT_SHORT));
            }
            self.text.truncate(written);
            self.taken = 0;
        }
        let count = buffer.len().min(self.text.len() - self.taken);
        buffer[..count].copy_from_slice(&self.text[self.taken..self.taken + count]);
        self.taken += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> (String, &'static str) {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("a.csv");
        std::fs::write(&path, bytes).expect("written");
        let mut opened = Text::open(&path).expect("opened");
        let mut all = Vec::new();
        opened.reader.read_to_end(&mut all).expect("read");
        assert_eq!(opened.read.load(Ordering::Relaxed), bytes.len() as u64);
        assert!(all.starts_with(&opened.head));
        (text(&all, opened.fallback).into_owned(), opened.fallback.name())
    }

    #[test]
    fn utf_16_in_either_order_with_a_mark_or_without() {
        let expected = format!("Pedido\tRegião\r\n{}", "1\tMaranhão €\r\n".repeat(10_000));
        let units: Vec<u16> = expected.encode_utf16().collect();
        for (mark, big) in [(true, false), (true, true), (false, false), (false, true)] {
            let units = mark.then_some(0xFEFF).into_iter().chain(units.iter().copied());
            let bytes: Vec<u8> =
                units.flat_map(|unit: u16| if big { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect();
            assert!(read(&bytes).0 == expected, "mark: {mark}, big: {big}");
        }
    }

    #[test]
    fn utf_16_that_was_cut_short_is_not_taken_for_a_whole_file() {
        let dir = tempfile::tempdir().expect("a folder");
        let whole: Vec<u8> =
            "\u{feff}Pedido;Produto\r\n1;\u{1f34e}".encode_utf16().flat_map(u16::to_le_bytes).collect();
        // Half of the last character's second half, all of that, and half of its first.
        for (cut, marked) in [(1, 0), (2, 0), (3, 0), (1, 2), (3, 2)] {
            let path = dir.path().join("a.csv");
            std::fs::write(&path, &whole[marked..whole.len() - cut]).expect("written");
            let read = Text::open(&path).and_then(|mut text| text.reader.read_to_end(&mut Vec::new()));
            let error = read.expect_err("cut short").to_string();
            assert!(error.contains("cut short"), "{cut} bytes: {error}");
        }
    }

    #[test]
    fn utf_8_and_what_older_programs_write() {
        assert_eq!(read("\u{feff}regi\u{e3}o".as_bytes()).0, "regi\u{e3}o");
        let expected = ("regi\u{e3}o;pre\u{e7}o \u{80}\n".replace('\u{80}', "\u{20ac}"), "windows-1252");
        assert_eq!(read(b"regi\xe3o;pre\xe7o \x80\n"), expected);
        let russian = "Заказ;Товар;Сумма\nМосква;Чашка;Санкт-Петербург\n";
        let (bytes, _, _) = encoding_rs::WINDOWS_1251.encode(russian);
        assert_eq!(read(&bytes).0, russian);
    }
}
