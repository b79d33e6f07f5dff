//! Topics whose messages change rows that they name by a primary key: what is known of such a topic
//! besides its columns.

/// Columns that a topic of Debezium has besides those that are declared; they come behind them.
pub mod change_columns {
    /// When the source made the change, by its own clock: the event time.
    pub const INSTANT: &str = "_instante";
    /// Where the change is in the source's log: PostgreSQL's LSN. Null for sources without one.
    pub const POSITION: &str = "_posicao";
    /// Whether the change deletes its row.
    pub const DELETED: &str = "_apagada";
}

/// A topic that has one row for each primary key: a later message replaces it, or deletes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// Indexes of the columns of the primary key.
    pub key: Vec<usize>,
    /// Which of two messages is the later one.
    pub order: ChangeOrder,
    /// Where the messages are Debezium's envelopes, and not the rows themselves.
    pub debezium: Option<Debezium>,
}

/// Which of two messages of a key is the later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeOrder {
    /// The one behind the other in the topic.
    Offset,
    /// The one whose value of this column is larger, then the one behind the other.
    Column(usize),
}

/// What is known of a topic of Debezium.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Debezium {
    /// Index of [`change_columns::INSTANT`].
    pub instant: usize,
    /// Index of [`change_columns::POSITION`].
    pub position: usize,
    /// Index of [`change_columns::DELETED`].
    pub deleted: usize,
    /// What numbers in columns of times count, where no schema says so.
    pub times: Option<NumericTime>,
}

/// What the number counts that stands for a time, from 1970 on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NumericTime {
    /// Days.
    Days,
    /// Milliseconds.
    Millis,
    /// Microseconds.
    Micros,
    /// Nanoseconds.
    Nanos,
}

impl NumericTime {
    /// The time in microseconds; none if that is out of range. What is less than a microsecond is
    /// cut off, as in every other time.
    pub fn micros(self, number: i64) -> Option<i64> {
        match self {
            Self::Days => number.checked_mul(86_400_000_000),
            Self::Millis => number.checked_mul(1_000),
            Self::Micros => Some(number),
            Self::Nanos => Some(number.div_euclid(1_000)),
        }
    }
}

impl Debezium {
    /// Whether a column of this index is one of those.
    pub fn is_own(&self, index: usize) -> bool {
        index >= self.instant
    }
}

impl Changes {
    /// Whether a column of this index is declared, and not one of ours.
    pub fn is_declared(&self, index: usize) -> bool {
        self.debezium.is_none_or(|debezium| !debezium.is_own(index))
    }
}
