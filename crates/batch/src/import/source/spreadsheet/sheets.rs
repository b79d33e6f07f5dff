//! Which sheets of a workbook are read, and where their columns are.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::BufReader;
use std::sync::Arc;

use calamine::{Reader, SheetType, SheetVisible, Xlsx, XlsxError};

use super::cells::text;
use crate::import::ImportError;
use crate::import::source::header::{self, CANDIDATES};
use crate::import::source::{Fit, Opening};
use crate::import::wording::listed;

pub(super) type Workbook = Xlsx<BufReader<File>>;

/// As many as a sheet can have: A to XFD. A reference to a column behind them is damage, and would
/// have to be made room for.
const COLUMNS_MAX: u32 = 16_384;
/// The word for every visible sheet.
const ALL: &str = "all";
/// Ways on.
const NAME: &str = "Name those that are meant with --sheet NAME, or --sheet all if they are alike";
const EACH: &str = "Import each of them with a command of its own, such as --sheet NAME";

/// A sheet that is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sheet {
    pub(super) name: Arc<str>,
    /// From 1.
    pub(super) header_line: i64,
    /// For each of the sheet's columns the file's that it is.
    pub(super) columns: Vec<Option<usize>>,
    /// The last row that the sheet says it has.
    pub(super) rows: u64,
}

/// What is read of a workbook.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chosen {
    /// The headings as they stand.
    pub(super) heading: Vec<String>,
    pub(super) sheets: Vec<Sheet>,
    pub(super) notes: Vec<String>,
}

/// The first rows of a sheet that has any.
struct Surveyed {
    name: String,
    is_visible: bool,
    /// From 1.
    lines: Vec<i64>,
    texts: Vec<Vec<String>>,
    rows: u64,
}

/// A sheet and its header.
struct Headed<'a> {
    sheet: &'a Surveyed,
    line: i64,
    heading: Vec<String>,
    fit: Fit,
    /// What its columns fill, in order.
    fills: Vec<Option<String>>,
}

impl Headed<'_> {
    fn filled(&self) -> Vec<&String> {
        let mut filled: Vec<_> = self.fills.iter().flatten().collect();
        filled.sort_unstable();
        filled
    }

    /// What a column is known by in other sheets: what it fills, else its heading, which may be
    /// that of several.
    fn column(&self, place: usize) -> (bool, &str) {
        match &self.fills[place] {
            Some(filled) => (true, filled),
            None => (false, &self.heading[place]),
        }
    }
}

pub(super) fn choose(workbook: &mut Workbook, file: &str, opening: &Opening<'_>) -> Result<Chosen, ImportError> {
    let surveyed = survey(workbook).map_err(|error| ImportError::read(file)(std::io::Error::other(error)))?;
    let failed = |reason: String, remedy: &'static str| ImportError::Sheets { file: file.to_owned(), reason, remedy };
    let names = || surveyed.iter().map(|sheet| sheet.name.as_str()).collect::<Vec<_>>().join(", ");
    let is_all = opening.sheets.iter().any(|name| name == ALL);
    for name in opening.sheets.iter().filter(|name| *name != ALL) {
        if !surveyed.iter().any(|sheet| sheet.name == *name) {
            return Err(failed(format!("it has no sheet {name} with rows; it has {}", names()), NAME));
        }
    }
    let is_asked = |sheet: &Surveyed| match opening.sheets {
        [] => sheet.is_visible,
        names => (is_all && sheet.is_visible) || names.contains(&sheet.name),
    };
    let (asked, rest): (Vec<_>, Vec<_>) = surveyed.iter().partition(|sheet| is_asked(sheet));
    let headed = asked.iter().map(|sheet| head(sheet, file, opening)).collect::<Result<Vec<_>, _>>()?;
    let Some((first, others)) = headed.split_first() else {
        return Err(match surveyed.is_empty() {
            true => ImportError::Empty { file: file.to_owned() },
            false => failed(format!("all of its sheets are hidden; it has {}", names()), NAME),
        });
    };
    let is_alike = |other: &Headed<'_>| {
        // Equal headings are the same columns, also where it is not known yet what they fill.
        let is_equal = other.heading == first.heading && other.fit == first.fit;
        is_equal || (other.fit.min(first.fit) > Fit::No && other.filled() == first.filled())
    };
    if !others.iter().all(is_alike) {
        let shown = headed.iter().map(|headed| format!("{} ({})", headed.sheet.name, listed(&headed.heading)));
        let shown = shown.collect::<Vec<_>>().join("; ");
        return Err(match opening.sheets {
            [] => failed(format!("its sheets have different columns, so it is unclear which are meant: {shown}"), NAME),
            _ => failed(format!("the sheets that --sheet asks for have different columns: {shown}"), EACH),
        });
    }
    let mut notes: Vec<String> = Vec::new();
    if let Some(note) = header::above(first.line, first.sheet.lines[0]) {
        notes.push(note);
    }
    if headed.len() > 1 {
        let names = headed.iter().map(|headed| headed.sheet.name.as_str()).collect::<Vec<_>>();
        notes.push(format!("sheets: {}", names.join(", ")));
    }
    notes.extend(rest.iter().map(|sheet| match sheet.is_visible {
        true => format!("sheet {} is not read", sheet.name),
        false => format!("sheet {0} is hidden and not read; --sheet \"{0}\" reads it", sheet.name),
    }));
    let sheets = headed.iter().map(|headed| Sheet {
        name: headed.sheet.name.as_str().into(),
        header_line: headed.line,
        columns: columns(first, headed),
        rows: headed.sheet.rows,
    });
    Ok(Chosen { heading: first.heading.clone(), sheets: sheets.collect(), notes })
}

fn survey(workbook: &mut Workbook) -> Result<Vec<Surveyed>, XlsxError> {
    let mut surveyed = Vec::new();
    for sheet in workbook.sheets_metadata().to_vec() {
        if sheet.typ != SheetType::WorkSheet {
            continue;
        }
        let mut cells = match workbook.worksheet_cells_reader(&sheet.name) {
            Ok(cells) => cells,
            // Charts have sheets too.
            Err(XlsxError::NotAWorksheet(_)) => continue,
            Err(error) => return Err(error),
        };
        let (mut lines, mut texts) = (Vec::new(), Vec::<Vec<String>>::new());
        while let Some(cell) = cells.next_cell()? {
            let (row, column) = cell.get_position();
            if column >= COLUMNS_MAX {
                return Err(XlsxError::Unexpected("a cell is to the right of XFD, the last column of a sheet"));
            }
            let text = text(cell.get_value());
            if text.trim().is_empty() {
                continue;
            }
            if lines.last() != Some(&(i64::from(row) + 1)) {
                if lines.len() == CANDIDATES {
                    break;
                }
                lines.push(i64::from(row) + 1);
                texts.push(Vec::new());
            }
            if let Some(row) = texts.last_mut() {
                row.resize(row.len().max(column as usize + 1), String::new());
                header::clean(&text).clone_into(&mut row[column as usize]);
            }
        }
        let rows = u64::from(cells.dimensions().end.0) + 1;
        if !lines.is_empty() {
            let is_visible = sheet.visible == SheetVisible::Visible;
            surveyed.push(Surveyed { name: sheet.name, is_visible, lines, texts, rows });
        }
    }
    Ok(surveyed)
}

fn head<'a>(sheet: &'a Surveyed, file: &str, opening: &Opening<'_>) -> Result<Headed<'a>, ImportError> {
    let found = match opening.header_row {
        None => header::find(&sheet.texts, opening.headings),
        Some(row) => sheet.lines.iter().position(|line| *line == i64::from(row)),
    };
    let Some(found) = found else {
        let row = opening.header_row.unwrap_or_default();
        return Err(ImportError::NoHeader { file: format!("{file}, sheet {}", sheet.name), row });
    };
    let heading = sheet.texts[found].clone();
    let fit = opening.headings.fit(&heading);
    let fills = opening.headings.fills(&heading);
    Ok(Headed { sheet, line: sheet.lines[found], heading, fit, fills })
}

/// Where the columns of a sheet are in the first: by what they fill, else by their heading.
fn columns(first: &Headed<'_>, sheet: &Headed<'_>) -> Vec<Option<usize>> {
    let mut places = HashMap::<_, VecDeque<usize>>::new();
    for place in 0..first.heading.len() {
        places.entry(first.column(place)).or_default().push_back(place);
    }
    (0..sheet.heading.len()).map(|column| places.get_mut(&sheet.column(column))?.pop_front()).collect()
}
