//! Why a file cannot be imported, and what to do.

#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error("{file} cannot be read")]
    Read { file: String, source: std::io::Error },
    #[error("{file} has no rows, not even a header")]
    Empty { file: String },
    #[error("{file} is of no known format: name files that end in .csv, .tsv, .txt, .parquet or .xlsx")]
    Format { file: String },
    #[error("{file}: {reason}: {remedy}")]
    Form { file: String, reason: String, remedy: String },
    #[error("{file}: {what} cannot be computed: {reason}")]
    Query { file: String, what: String, reason: String },
    #[error("{file}: {reason}. {remedy}")]
    Sheets { file: String, reason: String, remedy: &'static str },
    #[error(
        "{file}: {flag} does not apply to files of this format: leave it out, or import the file apart from others"
    )]
    Flag { file: String, flag: &'static str },
    #[error(
        "{file}: column {column} holds lists or structures and would fill {ours}: have the program that writes the file make columns of their \
         parts, and --map one of them to {ours}, or leave it out by --map \"{column}=\""
    )]
    Nested { file: String, column: String, ours: String },
    #[error("{file} has no row in line {row}: --header-row names the line that holds the headings")]
    NoHeader { file: String, row: u32 },
    #[error(
        "{file}: {reason}. It has the columns {found}; say which is which by --map THEIRS=OURS, ours being {columns}"
    )]
    Mapping { file: String, reason: String, found: String, columns: String },
}

impl ImportError {
    pub(crate) fn read(file: &str) -> impl Fn(std::io::Error) -> Self + use<> {
        let file = file.to_owned();
        move |source| Self::Read { file: file.clone(), source }
    }
}
