//! What a workbook may unpack to: a few kilobytes of it can be made to fill any memory.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use memchr::memchr_iter;
use zip::ZipArchive;

/// Parts that are held in memory while a sheet is read, most of all its shared texts: a million
/// rows with five texts of their own each are some 200 MB.
const HELD_BYTES: u64 = 512 << 20;
/// Sheets, which are read piece by piece: a sheet that is full to its last row has some 2 GB.
const SHEETS_BYTES: u64 = 16 << 30;
/// A tag and the text behind it, which is read as one: a cell holds at most 32,767 characters.
const PIECE_BYTES: u64 = 1 << 20;

/// Unpacks everything that will be read, and keeps nothing: what a file says of its sizes need not
/// be true.
pub(super) fn check(path: &Path) -> io::Result<()> {
    let mut archive = ZipArchive::new(File::open(path)?).map_err(io::Error::other)?;
    let (mut held, mut sheets) = (0, 0);
    for index in 0..archive.len() {
        let mut part = archive.by_index(index).map_err(io::Error::other)?;
        let name = part.name().map_err(io::Error::other)?.to_lowercase();
        let (total, bytes_max) = if is_sheet(&name) { (&mut sheets, SHEETS_BYTES) } else { (&mut held, HELD_BYTES) };
        unpack(&mut part, &name, total, bytes_max)?;
    }
    Ok(())
}

/// By its name: what is called otherwise, as a workbook may call its sheets, is bounded as what is
/// held.
fn is_sheet(name: &str) -> bool {
    let is_held =
        |name: &str| ["sharedstrings.xml", "styles.xml", "workbook.xml", ".rels"].iter().any(|it| name.ends_with(it));
    name.contains("worksheets/") && name.ends_with(".xml") && !is_held(name)
}

fn unpack(part: &mut impl Read, name: &str, total: &mut u64, bytes_max: u64) -> io::Result<()> {
    // Pictures have no tags.
    let has_tags = name.ends_with(".xml") || name.ends_with(".rels");
    let mut buffer = vec![0; 256 << 10];
    let mut piece = 0;
    loop {
        let read = part.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        *total += read as u64;
        if *total > bytes_max {
            let limit = bytes_max >> 20;
            return Err(io::Error::other(format!(
                "{name} unpacks to more than {limit} MiB: save it as CSV, or split it"
            )));
        }
        let mut last = 0;
        for tag in memchr_iter(b'<', &buffer[..read]) {
            if piece + (tag - last) as u64 > PIECE_BYTES {
                break;
            }
            (piece, last) = (0, tag);
        }
        piece += (read - last) as u64;
        if has_tags && piece > PIECE_BYTES {
            return Err(io::Error::other(format!("{name} holds a cell of more than {} KiB", PIECE_BYTES >> 10)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_unpacks_without_bounds_is_refused() {
        let check = |xml: &str, bytes_max| {
            let mut total = 0;
            unpack(&mut xml.as_bytes(), "sharedStrings.xml", &mut total, bytes_max).map_err(|error| error.to_string())
        };
        let texts = "<si><t>some text</t></si>".repeat(100_000);
        assert_eq!(check(&texts, 3 << 20), Ok(()));
        assert!(check(&texts, 1 << 20).expect_err("too much").contains("more than 1 MiB"));
        let long = format!("<si><t>{}</t></si>", "a".repeat(2 << 20));
        assert!(check(&long, 1 << 30).expect_err("too long").contains("a cell of more than"));
        let mut total = 0;
        let picture = vec![0; 3 << 20];
        assert!(unpack(&mut picture.as_slice(), "image1.png", &mut total, 4 << 20).is_ok());
        assert!(unpack(&mut picture.as_slice(), "sheet1.dat", &mut total, 4 << 20).is_err(), "whatever it is called");
    }

    #[test]
    fn only_sheets_may_be_as_large_as_sheets() {
        assert!(is_sheet("xl/worksheets/sheet1.xml"));
        for held in [
            "xl/worksheets/_rels/sheet1.xml.rels",
            "xl/worksheets/sharedstrings.xml",
            "xl/worksheets/a.dat",
            "xl/styles.xml",
        ] {
            assert!(!is_sheet(held), "{held}");
        }
    }
}
