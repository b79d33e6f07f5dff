//! What columns that fill nothing reveal all the same: the currency of the amounts, or the zone of
//! the times, next to them, or that rows are not sales.

use super::currency;
use super::here::{Example, Here};
use super::undone::Undone;
use crate::import::mapping::Mapping;
use crate::import::mapping::names::plain;
use crate::import::source::{Cell, Row};

/// Words of headings.
const CURRENCY_WORDS: [&str; 5] = ["moeda", "currency", "moneda", "divisa", "monnaie"];
const ZONE_NAMES: [&str; 6] = ["time_zone", "timezone", "fuso", "fuso_horario", "zona_horaria", "tz"];

/// What a column that is not used says, as far as it is read.
pub(super) struct OfUnused {
    says: Says,
    /// The first cell that says otherwise than what is taken for granted.
    other: Option<Example>,
    undone: Undone,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Says {
    /// By its heading.
    Currency,
    /// If each cell is one.
    PerhapsCurrency,
    Zone,
    Nothing,
}

impl OfUnused {
    /// None for a column that has nothing to say, or that the user leaves out.
    pub(super) fn new(mapping: &Mapping, index: usize, here: &Here) -> Option<Self> {
        let heading = plain(mapping.heading(index));
        if heading.is_empty() || mapping.is_left_out(index) {
            return None;
        }
        let says = if mapping.lacks_currency() && heading.split('_').any(|word| CURRENCY_WORDS.contains(&word)) {
            Says::Currency
        } else if !here.is_zone_named && ZONE_NAMES.contains(&heading.as_str()) {
            Says::Zone
        } else if mapping.lacks_currency() {
            Says::PerhapsCurrency
        } else {
            Says::Nothing
        };
        Some(Self { says, other: None, undone: Undone::new(&heading) })
    }

    pub(super) fn see(&mut self, cell: &Cell, row: &Row, here: &Here) {
        self.undone.see(cell, row);
        let text = cell.text.trim();
        let is_other = match self.says {
            Says::Nothing => return,
            Says::Zone => !text.parse().is_ok_and(|zone: chrono_tz::Tz| zone == here.zone),
            // A rate of exchange, or a column of codes that are something else.
            _ if text.bytes().any(|byte| byte.is_ascii_digit()) => {
                self.says = Says::Nothing;
                return;
            }
            Says::Currency => match currency::meant(text) {
                Some(codes) => !codes.contains(&here.currency),
                None => !here.names_currency(text),
            },
            Says::PerhapsCurrency => match currency::named(text) {
                Some(code) => code != here.currency,
                None => {
                    self.says = Says::Nothing;
                    return;
                }
            },
        };
        if is_other && self.other.is_none() {
            self.other = Some((cell.text.clone(), row.place()));
        }
    }

    /// What people should know of rows that count all the same.
    pub(super) fn note(&self, heading: &str) -> Option<String> {
        self.undone.note(heading)
    }

    /// What is to be asked about the column, and how the user answers; `has_local`: times stand
    /// without an offset.
    pub(super) fn question(&self, heading: &str, here: &Here, has_local: bool) -> Option<(String, String)> {
        let (cell, place) = self.other.as_ref()?;
        let leave_out = format!("--map \"{heading}=\"");
        match self.says {
            Says::Nothing => None,
            Says::Zone if !has_local => None,
            Says::Zone => {
                let reason = format!("holds {cell} ({place}), and times would be read in {}", here.zone);
                Some((
                    reason,
                    format!("use --time-zone and the zone of all times, or {leave_out} if they are in {}", here.zone),
                ))
            }
            Says::Currency | Says::PerhapsCurrency => {
                let reason = format!("holds {cell} ({place}), and amounts would be counted in {}", here.currency);
                let fills = currency::COLUMN;
                Some((
                    reason,
                    format!("use --map \"{heading}={fills}\", or {leave_out} if amounts are in {}", here.currency),
                ))
            }
        }
    }
}
