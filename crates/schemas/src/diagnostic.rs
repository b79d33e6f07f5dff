//! Errors that name file, line, column and remedy.

use std::fmt;

/// A place in a catalog file. Line and column count from 1; 0 means the file as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The path, as it was found.
    pub file: String,
    /// From 1; 0 for the file as a whole.
    pub line: u64,
    /// From 1.
    pub column: u64,
}

impl Position {
    /// The file as a whole.
    pub fn file(path: impl Into<String>) -> Self {
        Self { file: path.into(), line: 0, column: 0 }
    }

    /// The same file at another place; line 0 keeps the place that is known already.
    pub fn at_line(&self, line: u64, column: u64) -> Self {
        if line == 0 {
            return self.clone();
        }
        Self { file: self.file.clone(), line, column }
    }

    /// What is wrong here, and what to do.
    pub fn error(&self, message: impl Into<String>, remedy: String) -> Diagnostic {
        Diagnostic { position: self.clone(), message: message.into(), remedy }
    }
}

/// An error at its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Where it is.
    pub position: Position,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub remedy: String,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column } = self;
        if *line == 0 { write!(f, "{file}") } else { write!(f, "{file}:{line}:{column}") }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { position, message, remedy } = self;
        write!(f, "{position}: {message}\n    remedy: {remedy}")
    }
}

/// All errors of a catalog; never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{diagnostic}")?;
        }
        Ok(())
    }
}
