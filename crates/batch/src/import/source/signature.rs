//! What the first bytes of a file tell of its format: names lie, and compressed bytes make rows of
//! nothing as text.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::import::ImportError;

const HEAD_BYTES: u64 = 512;

/// Refuses a file whose content is of another format than its ending says.
pub(super) fn check(path: &Path, name: &str, ending: &str) -> Result<(), ImportError> {
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(HEAD_BYTES).read_to_end(&mut head));
    read.map_err(ImportError::read(name))?;
    match mistaken(&head, ending) {
        Some(what) => Err(ImportError::read(name)(io::Error::other(what))),
        None => Ok(()),
    }
}

fn mistaken(head: &[u8], ending: &str) -> Option<String> {
    const OTHERS: [(&[u8], &str); 9] = [
        (b"\x1f\x8b", "it is compressed by gzip: unpack it first"),
        (b"\x28\xb5\x2f\xfd", "it is compressed by zstd: unpack it first"),
        (b"BZh", "it is compressed by bzip2: unpack it first"),
        (b"\xfd7zXZ\0", "it is compressed by xz: unpack it first"),
        (b"7z\xbc\xaf\x27\x1c", "it is a 7z archive: unpack it first"),
        (
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
            "it is a workbook of Excel before 2007, or has a password: save it as .xlsx without one, or as CSV",
        ),
        (b"%PDF", "it is a PDF: export the table as CSV or XLSX"),
        (b"\xff\xfe\0\0", "it is UTF-32: save it as UTF-8"),
        (b"\0\0\xfe\xff", "it is UTF-32: save it as UTF-8"),
    ];
    if let Some((_, what)) = OTHERS.iter().find(|(begins, _)| head.starts_with(begins)) {
        return Some((*what).to_owned());
    }
    let is_zip = head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06");
    let is_parquet = head.starts_with(b"PAR1");
    match ending {
        "xlsx" if !is_zip => {
            let other = if is_parquet { "name it .parquet" } else { "save it as .xlsx, or name it .csv if it is text" };
            Some(format!("it is not a workbook: {other}"))
        }
        "parquet" if !is_parquet => Some("it is not a Parquet file, or was cut short: write it again".to_owned()),
        "csv" | "tsv" | "txt" if is_zip => {
            Some("it is a workbook or a zip archive: name it .xlsx, or unpack it first".to_owned())
        }
        "csv" | "tsv" | "txt" if is_parquet => Some("it is a Parquet file: name it .parquet".to_owned()),
        "csv" | "tsv" | "txt" if is_page(head) => {
            Some("it is an HTML page, which a program may write instead of a table, or to ask for a password: export it as CSV".to_owned())
        }
        _ => None,
    }
}

fn is_page(head: &[u8]) -> bool {
    let text = String::from_utf8_lossy(head).trim_start_matches('\u{feff}').trim_start().to_lowercase();
    ["<!doctype", "<html", "<table", "<?xml"].iter().any(|begins| text.starts_with(begins))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_of_another_format_is_named_with_a_way_on() {
        for (head, ending, word) in [
            (b"\x1f\x8b\x08\0".as_slice(), "csv", "gzip"),
            (b"PK\x03\x04\x14", "csv", "name it .xlsx"),
            (b"PAR1\x15", "txt", "name it .parquet"),
            (b"PAR1\x15", "xlsx", "name it .parquet"),
            (b"pedido;data", "xlsx", "not a workbook"),
            (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "xlsx", "password"),
            (b"\xff\xfe\0\0p\0\0\0", "csv", "UTF-32"),
            (b"\xef\xbb\xbf \n<!DOCTYPE html>", "csv", "HTML"),
            (b"pedido", "parquet", "not a Parquet file"),
        ] {
            let what = mistaken(head, ending).unwrap_or_default();
            assert!(what.contains(word), "{ending}: {what}");
        }
        for (head, ending) in [
            (b"pedido;data".as_slice(), "csv"),
            (b"", "csv"),
            (b"\xff\xfep\0e\0", "txt"),
            (b"PK\x03\x04", "xlsx"),
            (b"PAR1", "parquet"),
        ] {
            assert_eq!(mistaken(head, ending), None, "{ending}");
        }
    }
}
