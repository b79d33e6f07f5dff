//! Why a file cannot be imported, and what to do.

/// Why a file cannot be imported. Rows that cannot be understood are refused one by one and are not errors.
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
    /// Neither its name nor its first bytes say what it is.
    #[error("{file} is not in a known format: name files that end in .csv, .tsv, .txt, .parquet or .xlsx")]
    Format {
        /// The file, as people call it.
        file: String,
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
