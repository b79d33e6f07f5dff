//! The files of a catalog.

/// One SQL file, wherever it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// As shown in diagnostics.
    pub path: String,
    /// All of its SQL.
    pub text: String,
}
