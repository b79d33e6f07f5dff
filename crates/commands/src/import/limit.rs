//! How many rows of a file may be refused before the command fails.

use std::str::FromStr;

use vitral_batch::import::ImportReport;
use vitral_batch::import::records::short;
use vitral_batch::import::wording::counted;

/// Without a limit of the user's: so many in a hundred, and so many at most.
const SHARE: u64 = 1;
const ROWS: u64 = 100;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Limit {
    #[default]
    Usual,
    Rows(u64),
    /// In hundredths of a percent.
    Share(u64),
}

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("{text} is not a limit: write a number of rows, such as 20, or a share, such as 2% or 0.5%");
        let Some(share) = text.strip_suffix('%') else { return text.parse().map(Self::Rows).map_err(|_| wrong()) };
        let (whole, fraction) = share.trim().split_once(['.', ',']).unwrap_or((share.trim(), ""));
        if fraction.len() > 2 {
            return Err(wrong());
        }
        let hundredths = format!("{whole}{fraction:0<2}").parse().map_err(|_| wrong())?;
        if hundredths > 10_000 { Err(wrong()) } else { Ok(Self::Share(hundredths)) }
    }
}

impl Limit {
    fn rows(self, of: u64) -> u64 {
        match self {
            Self::Usual => (of * SHARE / 100).min(ROWS),
            Self::Rows(rows) => rows,
            Self::Share(hundredths) => of.saturating_mul(hundredths) / 10_000,
        }
    }

    /// What to say if a file had more refused rows than that, or nothing else.
    pub(super) fn exceeded_by(self, file: &str, imported: &ImportReport) -> Option<String> {
        let ImportReport { id, accepted, known, .. } = imported;
        // Totals and headings are neither rows nor refused ones.
        let (refused, rows) = (imported.mistaken(), imported.rows() - imported.fillers);
        let allowed = self.rows(rows);
        let has_nothing_else = refused > 0 && refused == rows;
        if refused <= allowed && !has_nothing_else {
            return None;
        }
        let id = short(id);
        let is_more = if has_nothing_else {
            match refused {
                1 => "its only row was refused".to_owned(),
                refused => format!("all {refused} rows were refused"),
            }
        } else {
            let were = if refused == 1 { "was" } else { "were" };
            let of = counted(rows, "row");
            format!("{refused} of {of} {were} refused, more than the {allowed} that --max-refused allows")
        };
        let already = match known {
            0 => String::new(),
            1 => ", 1 was already imported".to_owned(),
            known => format!(", {known} were already imported"),
        };
        let accepted_rows = match accepted {
            1 => "1 row was imported".to_owned(),
            accepted => format!("{accepted} rows were imported"),
        };
        let undo = if *accepted > 0 {
            format!(" `vitral import undo {id}` takes back what was imported.")
        } else {
            String::new()
        };
        Some(format!(
            "{file}: {is_more}. {accepted_rows}{already}. `vitral ledger list` shows the refused ones; correct \
             the file and import it again, which adds nothing twice.{undo}"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_shares() {
        let rows = |text: &str, of: u64| text.parse::<Limit>().map(|limit| limit.rows(of));
        assert_eq!(rows("20", 5), Ok(20));
        assert_eq!(rows("2%", 1_000), Ok(20));
        assert_eq!(rows("0.5%", 1_000), Ok(5));
        assert_eq!(rows("0,25 %", 1_000), Ok(2));
        assert_eq!(rows("100%", 7), Ok(7));
        for wrong in ["", "-1", "101%", "x%", "1.234%", "1.5"] {
            assert!(rows(wrong, 1).expect_err(wrong).contains("a share"), "{wrong}");
        }
        assert_eq!((Limit::Usual.rows(99), Limit::Usual.rows(250), Limit::Usual.rows(1_000_000)), (0, 2, 100));
    }

    #[test]
    fn totals_and_headings_count_towards_no_limit() {
        let imported = ImportReport { refused: 3, fillers: 3, accepted: 7, ..ImportReport::default() };
        assert!(Limit::Rows(0).exceeded_by("a.csv", &imported).is_none());
        let imported = ImportReport { refused: 2, fillers: 2, ..ImportReport::default() };
        assert!(Limit::Usual.exceeded_by("a.csv", &imported).is_none(), "a report of a day without sales");
        let imported = ImportReport { refused: 4, fillers: 3, accepted: 7, ..ImportReport::default() };
        let said = Limit::Rows(0).exceeded_by("a.csv", &imported).expect("exceeded");
        assert!(said.contains("1 of 8 rows was refused"), "{said}");
    }

    #[test]
    fn a_file_of_refused_rows_alone_exceeds_every_limit() {
        let imported = ImportReport { refused: 3, ..ImportReport::default() };
        let said = Limit::Share(10_000).exceeded_by("a.csv", &imported).expect("exceeded");
        assert!(said.contains("all 3 rows were refused") && !said.contains("undo"), "{said}");
        let imported =
            ImportReport { refused: 3, accepted: 7, id: "0123456789abcdef".to_owned(), ..ImportReport::default() };
        assert!(Limit::Rows(3).exceeded_by("a.csv", &imported).is_none());
        let said = Limit::Rows(2).exceeded_by("a.csv", &imported).expect("exceeded");
        assert!(said.contains("3 of 10 rows") && said.contains("vitral import undo 0123456789ab"), "{said}");
    }
}
