//! What columns that fill nothing reveal all the same: the currency of the amounts, or the zone of the times, next to them.

use super::currency;
use super::here::{Example, Here};
use crate::import::mapping::{Mapping, plain};
use crate::import::source::{Cell, Row};

/// Words of headings.
const CURRENCY_WORDS: [&str; 5] = ["moeda", "currency", "moneda", "divisa", "monnaie"];
const STATE_WORDS: [&str; 4] = ["status", "situacao", "estado", "state"];
/// How states of orders begin that are no sales, or none any more.
const UNDONE: [&str; 13] = [
    "cancel",
    "anulad",
    "void",
    "refund",
    "reembols",
    "estorn",
    "devol",
    "returned",
    "recusad",
    "declined",
    "failed",
    "chargeback",
    "expirad",
];
const ZONE_NAMES: [&str; 6] = ["time_zone", "timezone", "fuso", "fuso_horario", "zona_horaria", "tz"];

/// What a column that is not used says, as far as it is read.
pub(super) struct OfUnused {
    says: Says,
    /// The first cell that says otherwise than what is taken for granted.
    other: Option<Example>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Says {
    /// By its heading.
    Currency,
    /// If each cell is one.
    PerhapsCurrency,
    Zone,
    State,
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
        } else if heading.split('_').any(|word| STATE_WORDS.contains(&word)) {
            Says::State
        } else if mapping.lacks_currency() {
            Says::PerhapsCurrency
        } else {
            return None;
        };
        Some(Self { says, other: None })
    }

    pub(super) fn see(&mut self, cell: &Cell, row: &Row, here: &Here) {
        let text = cell.text.trim();
        let is_other = match self.says {
            Says::Nothing => return,
            Says::State => self.other.is_none() && plain(text).split('_').any(is_undone),
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
        let (cell, place) = self.other.as_ref().filter(|_| self.says == Says::State)?;
        Some(format!(
            "column {heading} holds {cell} ({place}), and such rows count too: --where \"\\\"{heading}\\\" <> '{cell}'\" leaves them out, \
             --map \"{heading}=\" says that they are meant"
        ))
    }

    /// What is to be asked about the column, and how the user answers; `has_local`: times stand without an offset.
    pub(super) fn question(&self, heading: &str, here: &Here, has_local: bool) -> Option<(String, String)> {
        let (cell, place) = self.other.as_ref()?;
        let leave_out = format!("--map \"{heading}=\"");
        match self.says {
            Says::Nothing | Says::State => None,
            Says::Zone if !has_local => None,
            Says::Zone => {
                let reason = format!("holds {cell} ({place}), and times would be read in {}", here.zone);
                Some((
                    reason,
                    format!("say --time-zone and the zone of all times, or {leave_out} if they are in {}", here.zone),
                ))
            }
            Says::Currency | Says::PerhapsCurrency => {
                let reason = format!("holds {cell} ({place}), and amounts would be counted in {}", here.currency);
                let fills = currency::COLUMN;
                Some((
                    reason,
                    format!("say --map \"{heading}={fills}\", or {leave_out} if amounts are in {}", here.currency),
                ))
            }
        }
    }
}

fn is_undone(word: &str) -> bool {
    UNDONE.iter().any(|begins| word.starts_with(begins))
}
