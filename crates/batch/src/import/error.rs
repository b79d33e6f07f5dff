//! Why a file cannot be imported, and what to do.

/// Why a file cannot be imported. Rows that cannot be understood are refused one by one and are not
/// errors.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Its bytes cannot be read.
    #[error("{file} cannot be read")]
    Read {
        /// The file, as people call it.
        file: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// It has no rows.
    #[error("{file} has no rows, not even a header")]
    Empty {
        /// The file, as people call it.
        file: String,
    },
    /// Its name does not end like one of a known format.
    #[error("{file} is not in a format that can be imported (.csv, .tsv, .txt, .parquet, .xlsx): {remedy}")]
    Format {
        /// The file, as people call it.
        file: String,
        /// What to do.
        remedy: &'static str,
    },
    /// How it writes dates or numbers is unclear, or it is damaged.
    #[error("{file}: {reason}: {remedy}")]
    Form {
        /// The file, as people call it.
        file: String,
        /// What was found, with lines.
        reason: String,
        /// What to do.
        remedy: String,
    },
    /// A profile or a condition fails on its rows.
    #[error("{file}: {what} cannot be computed: {reason}")]
    Query {
        /// The file, as people call it.
        file: String,
        /// The profile or the condition.
        what: String,
        /// What the engine says.
        reason: String,
    },
    /// Which sheets of a workbook are meant is unclear.
    #[error("{file}: {reason}. {remedy}")]
    Sheets {
        /// The file, as people call it.
        file: String,
        /// What was found.
        reason: String,
        /// What to do.
        remedy: &'static str,
    },
    /// A flag that its format has no use for.
    #[error("{file}: {flag} does not apply to files of this format: leave it out, or import the file separately")]
    Flag {
        /// The file, as people call it.
        file: String,
        /// The flag.
        flag: &'static str,
    },
    /// A column that is used holds more than one value in a cell.
    #[error(
        "{file}: column {column} holds lists or structures and would fill {ours}: have the program that writes the file write their parts \
         as columns, and --map one of them to {ours}, or leave it out with --map \"{column}=\""
    )]
    Nested {
        /// The file, as people call it.
        file: String,
        /// The file's column.
        column: String,
        /// The topic's column that it would fill.
        ours: String,
    },
    /// The named header is not there.
    #[error("{file} has no row in line {row}: --header-row names the line that holds the headings")]
    NoHeader {
        /// The file, as people call it.
        file: String,
        /// The line that was named, from 1.
        row: u32,
    },
    /// Which of its columns are the topic's is unclear.
    #[error(
        "{file}: {reason}. It has the columns {found}; say which is which with --map THEIRS=OURS, where OURS is one of {columns}"
    )]
    Mapping {
        /// The file, as people call it.
        file: String,
        /// What is missing or ambiguous.
        reason: String,
        /// The file's columns.
        found: String,
        /// The topic's columns.
        columns: String,
    },
}

impl ImportError {
    /// A file whose name does not end like one of a known format, with what can be done about it.
    pub(super) fn format(file: &str) -> Self {
        let ending = file.rsplit_once('.').map(|(_, ending)| ending.to_lowercase()).unwrap_or_default();
        let remedy = match ending.as_str() {
            "xls" | "xlsm" | "xlsb" | "xlt" | "xltx" | "xltm" => {
                "open it in a spreadsheet program and save it as .xlsx, or as CSV"
            }
            "ods" | "fods" | "numbers" | "gsheet" => "open it in its program and save or export it as .xlsx, or as CSV",
            "gz" | "tgz" | "zip" | "7z" | "rar" | "tar" | "bz2" | "xz" | "zst" => {
                "unpack it, and import the files in it"
            }
            "pdf" | "doc" | "docx" | "htm" | "html" | "xml" => {
                "export the table from the program that made it, as CSV or .xlsx"
            }
            "json" | "jsonl" | "ndjson" | "avro" | "orc" | "db" | "sqlite" => "write its rows as CSV or Parquet",
            _ => "rename it if it is one of these, or else export it as one of them",
        };
        Self::Format { file: file.to_owned(), remedy }
    }

    /// With what may be wrong with how the file is read, where its columns are not understood.
    pub(super) fn with_doubt(mut self, doubt: Option<&str>) -> Self {
        if let (Self::Mapping { reason, .. }, Some(doubt)) = (&mut self, doubt) {
            *reason = format!("{reason} ({doubt})");
        }
        self
    }

    pub(crate) fn read(file: &str) -> impl Fn(std::io::Error) -> Self + use<> {
        let file = file.to_owned();
        move |source| Self::Read { file: file.clone(), source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_other_format_has_a_way_on() {
        for (file, way) in [
            ("old.XLS", "save it as .xlsx"),
            ("m.xlsm", "save it as .xlsx"),
            ("a.ods", "save or export it as .xlsx"),
            ("a.csv.gz", "unpack it"),
            ("z.zip", "unpack it"),
            ("r.pdf", "export the table"),
            ("j.json", "as CSV or Parquet"),
            ("noext", "rename it"),
        ] {
            let error = ImportError::format(file).to_string();
            assert!(error.starts_with(file) && error.contains(way), "{error}");
        }
    }
}
