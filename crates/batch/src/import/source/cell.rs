//! The content of a cell.

use std::sync::Arc;

/// The content of a cell, and what the format says it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::import) struct Cell {
    /// As the file has it. What the format stores in binary is written plainly: numbers with a
    /// point, times as in RFC 3339 (without an offset where they have no zone).
    pub(in crate::import) text: String,
    pub(in crate::import) kind: Kind,
    /// What the format of a number shows next to it: the sign of a currency, or that of a
    /// percentage.
    pub(in crate::import) sign: Option<Arc<str>>,
}

/// What the format says that a cell is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::import) enum Kind {
    /// Somebody wrote it, in a form of their own.
    Written,
    /// A number that the file holds exactly.
    Exact,
    /// A binary fraction, written with the fewest digits that give it back; `NaN` is how some
    /// programs write that there is none.
    Float,
    Time,
    /// A time of day without a date.
    Clock,
    Truth,
    /// Nothing that can be used: an error of a spreadsheet, a formula without a value, bytes that
    /// are not text. The text says what.
    Unusable,
}

impl Cell {
    /// None where nothing but blanks stands.
    pub(in crate::import) fn written(text: String) -> Option<Self> {
        (!text.trim().is_empty()).then_some(Self::new(text, Kind::Written))
    }

    pub(in crate::import) fn new(text: String, kind: Kind) -> Self {
        Self { text, kind, sign: None }
    }

    pub(in crate::import) fn shown_with(self, sign: Option<&Arc<str>>) -> Self {
        Self { sign: sign.cloned(), ..self }
    }

    pub(in crate::import) fn float(number: f64) -> Self {
        Self::new(number.to_string(), Kind::Float)
    }
}
