//! How a file writes its dates and numbers: found from whole columns, or asked, never guessed row
//! by row.

pub(super) mod bare;
pub(super) mod currency;
mod evidence;
mod here;
mod moment;
pub(super) mod number;
mod of_times;
pub(super) mod time;
mod undone;
mod unpaid;
mod unused;
mod words;
pub(super) mod zone;

pub(super) use self::evidence::Evidence;
pub(super) use self::here::Here;
use self::time::TimeForm;

/// How decimals and thousands are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbers {
    /// `1234.56`, `1,234.56`
    Plain,
    /// `1.234,56`
    Brazilian,
}

impl Numbers {
    /// The form of this name, as the flag `--numbers` has it.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "plain" => Some(Self::Plain),
            "brazilian" => Some(Self::Brazilian),
            _ => None,
        }
    }
}

/// The order of a date's numbers where the year is not first in four digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dates {
    /// `31/12/2025`
    Dmy,
    /// `12/31/2025`
    Mdy,
    /// `25-12-31`
    Ymd,
}

impl Dates {
    pub(super) const ALL: [Self; 3] = [Self::Dmy, Self::Mdy, Self::Ymd];

    /// The order of this name, as the flag `--dates` has it.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dates| dates.name() == name)
    }

    /// For people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Dmy => "dd/mm/yyyy",
            Self::Mdy => "mm/dd/yyyy",
            Self::Ymd => "yy-mm-dd",
        }
    }

    /// As the flag has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dmy => "dmy",
            Self::Mdy => "mdy",
            Self::Ymd => "ymd",
        }
    }
}

/// What the user or a profile says of all columns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) numbers: Option<Numbers>,
    pub(super) dates: Option<Dates>,
    /// Whether it is the user who says how dates are written, and not a profile of what its program
    /// writes.
    pub(super) is_by_user: bool,
}

/// The form of one column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Numbers(Numbers),
    Time(TimeForm),
    /// Times of day alone; whether they prove that the column counts hours from 1 to 12.
    Clock {
        is_twelve: bool,
    },
    /// Whole numbers, each with `.0` behind it, as programs write ids where one is missing.
    WholeFloats,
    /// There is nothing to find out.
    Any,
}

/// The form of each column of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Forms {
    pub(super) columns: Vec<Form>,
    /// Whether the time of day comes from a column of its own.
    pub(super) has_clock: bool,
    /// What people should know of how the file was read.
    pub(super) notes: Vec<String>,
}
