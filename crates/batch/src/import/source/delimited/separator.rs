//! What separates the cells of a text file: what its first line says, else what makes most sense of
//! its first records.

use std::collections::HashSet;

use encoding_rs::Encoding;

use super::encoding::text;
use super::lines::Lines;
use super::records::{Record, Records};
use super::{HEAD_BYTES, RECORD_BYTES, header};
use crate::import::source::header::CANDIDATES;
use crate::import::source::{Fit, Headings};

const SEPARATORS: [u8; 4] = [b';', b',', b'\t', b'|'];
/// Records that are looked at.
const RECORDS: usize = 100;
/// No heading is longer, in bytes.
const NAME_BYTES: usize = 64;
/// Headings that are known: from so many on a line is not one by chance.
const KNOWN: usize = 2;

/// The separator, and what to say of it if the columns are not understood.
#[derive(Debug)]
pub(super) struct Separator {
    pub(super) byte: u8,
    pub(super) doubt: Option<String>,
}

/// How much sense a separator makes; the larger, the better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Sense {
    /// Whether a line serves as the header, and how many of its headings are known.
    fit: Fit,
    known: usize,
    /// The cells of the longest line that looks like one of headings: a decimal comma splits every
    /// line but that one.
    names: usize,
    /// How many records have as many cells as most, and how many cells that is.
    alike: usize,
    cells: usize,
}

/// The separator that a line `sep=;` at the top names, as spreadsheets write and read it.
pub(super) fn stated(head: &[u8]) -> Option<u8> {
    let line = head.split(|byte| [b'\n', b'\r'].contains(byte)).next()?;
    let line = line.strip_prefix(b"\"").and_then(|line| line.strip_suffix(b"\"")).unwrap_or(line);
    match line {
        [s, e, p, b'=', separator] if [s, e, p].map(u8::to_ascii_lowercase) == *b"sep" => Some(*separator),
        _ => None,
    }
}

/// The separator by which the first records have the best header; where none is known, by which
/// most have the same number of cells.
pub(super) fn find(
    head: &[u8],
    fallback: &'static Encoding,
    headings: &dyn Headings,
    header_row: Option<u32>,
) -> Separator {
    let tried = SEPARATORS.map(|byte| (byte, sense(&records(head, byte, fallback), headings, header_row)));
    let best = tried.iter().enumerate().max_by_key(|(index, (_, sense))| (*sense, SEPARATORS.len() - index));
    let Some((_, (byte, best))) = best.filter(|(_, (_, sense))| sense.cells > 1) else {
        return Separator { byte: b',', doubt: quoted_lines(head) };
    };
    let is_clear = best.fit == Fit::Well
        || tried.iter().all(|(other, sense)| other == byte || sense.cells < 2 || 2 * sense.alike < best.alike);
    let doubt = (!is_clear).then(|| {
        format!(
            "its cells are taken to be separated by {}; if that is wrong, write sep=; or sep=, as the first line of the file",
            named(*byte)
        )
    });
    Separator { byte: *byte, doubt }
}

fn named(separator: u8) -> &'static str {
    match separator {
        b';' => "semicolons",
        b'\t' => "tabs",
        b'|' => "bars",
        _ => "commas",
    }
}

/// A record's line, and its cells.
type Cells = (i64, Vec<String>);

/// The first records if this is the separator. The last of a head that was cut is not whole.
fn records(head: &[u8], separator: u8, fallback: &'static Encoding) -> Vec<Cells> {
    let is_cut = head.len() >= HEAD_BYTES;
    let mut records = Records::new(Lines::new(head, HEAD_BYTES, RECORD_BYTES), separator, RECORD_BYTES);
    let (mut record, mut read) = (Record::default(), Vec::new());
    // Bytes in memory do not fail to be read.
    while read.len() <= RECORDS && records.next(&mut record).unwrap_or(false) {
        let cells = record.cells().map(|cell| header::clean(&text(cell, fallback)).to_owned());
        read.push((record.line, cells.collect::<Vec<String>>()));
    }
    if read.len() > RECORDS || (is_cut && read.len() > 1) {
        read.pop();
    }
    read
}

fn sense(records: &[Cells], headings: &dyn Headings, header_row: Option<u32>) -> Sense {
    let widths = || records.iter().map(|(_, cells)| cells.len()).filter(|width| *width > 1);
    let with = |width: usize| widths().filter(|other| *other == width).count();
    // As many cells as most, of those that are separated at all.
    let (alike, cells) = widths().map(|width| (with(width), width)).max().unwrap_or((records.len(), 1));
    let splits_most = 2 * widths().count() >= records.len();
    let may_be_header = |line: &i64| header_row.is_none_or(|row| i64::from(row) == *line);
    let (mut best, mut names) = ((Fit::No, 0), 0);
    for (_, row) in records.iter().take(CANDIDATES).filter(|(line, _)| may_be_header(line)) {
        names = names.max(if splits_most && row.len() >= cells { names_of(row) } else { 0 });
        let fit = headings.fit(row);
        let known = headings.fills(row).iter().flatten().count();
        // One word that is known may stand alone in any line.
        best = best.max((fit, if known < KNOWN { 0 } else { known }));
        if fit == Fit::Well {
            break;
        }
    }
    Sense { fit: best.0, known: best.1, names, alike, cells }
}

/// How many headings a row seems to be of: all of its cells are filled, but for some at its end,
/// and each begins with a letter and differs from the others.
fn names_of(row: &[String]) -> usize {
    let cells = &row[..row.iter().rposition(|cell| !cell.is_empty()).map_or(0, |last| last + 1)];
    let is_name = |cell: &String| cell.len() <= NAME_BYTES && cell.starts_with(char::is_alphabetic);
    let distinct: HashSet<&String> = cells.iter().collect();
    if cells.len() > 1 && cells.iter().all(is_name) && distinct.len() == cells.len() { cells.len() } else { 0 }
}

/// What to say where each line is one cell in quotes, with the separators in it.
fn quoted_lines(head: &[u8]) -> Option<String> {
    let mut lines = head.split(|byte| [b'\n', b'\r'].contains(byte)).filter(|line| !line.trim_ascii().is_empty());
    let is_quoted = |line: &[u8]| {
        let line = line.trim_ascii();
        line.len() > 1
            && line.starts_with(b"\"")
            && line.ends_with(b"\"")
            && line.iter().any(|it| SEPARATORS.contains(it))
    };
    lines.next().filter(|line| is_quoted(line))?;
    lines.next().filter(|line| is_quoted(line))?;
    Some(
        "each of its lines stands in quotes as a whole, so it is one cell: remove the quotes at the beginnings and ends of the lines, or \
         export it again"
            .to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Knows some headings; two of them make a header.
    struct Known;

    impl Headings for Known {
        fn fills(&self, row: &[String]) -> Vec<Option<String>> {
            let is_known = |cell: &String| ["pedido", "preco", "data"].contains(&cell.as_str());
            row.iter().map(|cell| Some(cell.clone()).filter(is_known)).collect()
        }

        fn fit(&self, row: &[String]) -> Fit {
            if self.fills(row).iter().flatten().count() > 1 { Fit::Well } else { Fit::No }
        }
    }

    fn found(text: &str) -> Separator {
        find(text.as_bytes(), encoding_rs::WINDOWS_1252, &Known, None)
    }

    #[test]
    fn it_is_found_from_the_headings_or_the_cells_of_most_lines() {
        for (text, expected) in [
            ("id;valor\n1;1,50\n2;2,50\n", b';'),
            ("id\tvalor\n1\t1,234,567.00\n2\t1,234,567.00\n", b'\t'),
            ("id,valor\n1,\"1;2;3\"\n", b','),
            ("Vendas, de, maio\nid|valor|x\n1|2|3\n", b'|'),
            ("id\n1\n", b','),
            ("\"id;a;b", b';'),
        ] {
            assert_eq!(found(text).byte, expected, "{text}");
        }
    }

    /// However many lines are of another width, each has one decimal comma.
    #[test]
    fn lines_of_another_width_do_not_make_decimal_commas_the_separator() {
        let row = |n: usize, ends: &str| format!("{n};p{n};10,50;02/05/2025{ends}\n");
        for header in [
            "pedido;produto;preco;data;obs\n",
            "N\u{ba};Item;Quanto custa;Dia;Obs\n",
            "\"a\";\"b\";\"c\";\"d\";\"e\"\n",
        ] {
            for short in 0..=6 {
                let rows: String = (1..=12).map(|n| row(n, if n <= short { "" } else { ";ok" })).collect();
                for title in ["", "Vendas de maio\n\n", "Vendas, maio;;;;\n"] {
                    let total = format!("{title}{header}{rows}Total;;120,00\n");
                    assert_eq!(found(&total).byte, b';', "{total}");
                }
            }
        }
        let points = "pedido,produto,preco,data\n1,a;b,1.00,x\n2,c;d,1.00\n3,c;d,1.00\n4,c;d,1.00,x\n";
        assert_eq!(found(points).byte, b',');
    }

    #[test]
    fn a_doubt_names_the_separator_and_the_line_that_settles_it() {
        assert!(found("pedido;preco\n1;1,50\n2;2,50\n").doubt.is_none(), "known headings");
        assert!(found("a;b\n1;1.50\n2;2.50\n").doubt.is_none(), "nothing else separates");
        let doubt = found("a;b\n1;1,50\n2;2,50\n").doubt.expect("a doubt");
        assert!(doubt.contains("semicolons") && doubt.contains("sep=;"), "{doubt}");
    }

    #[test]
    fn lines_that_are_quoted_as_a_whole_are_named() {
        let doubt = found("\"pedido;preco\"\n\"1;1,50\"\n").doubt.expect("a doubt");
        assert!(doubt.contains("quotes as a whole"), "{doubt}");
        assert!(found("\"pedido\"\n\"1\"\n").doubt.is_none(), "one column");
    }
}
