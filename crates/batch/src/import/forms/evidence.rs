//! What the cells of a file tell of its forms, gathered over all of its rows.
//!
//! One cell that can be read in one way only proves the form of its column. Columns of numbers
//! without such a cell are like the others. Two proofs against each other in one column, or cells
//! that mean different things in each form and no proof, are asked about.

mod decision;

use std::collections::HashSet;

use super::Numbers;
use super::here::{Example, Here};
use super::moment::{self, Dial};
use super::number::{self, Evidence as NumberEvidence};
use super::of_times::OfTimes;
use super::unused::OfUnused;
use crate::import::mapping::{Mapping, Role};
use crate::import::source::{Cell, Kind, Row};

pub(in crate::import) struct Evidence {
    columns: Vec<Column>,
    here: Here,
    headings: HashSet<String>,
    /// Where the headings are in another order: another table begins there.
    other_table: Option<String>,
}

enum Column {
    Numbers(OfNumbers),
    Time(Box<OfTimes>),
    Clock { is_twelve: bool },
    Text(OfTexts),
    Unused(OfUnused),
    Other,
}

#[derive(Default)]
struct OfNumbers {
    plain: Option<Example>,
    brazilian: Option<Example>,
    either: Option<Example>,
    /// Whether there are others, that are the same in each form.
    has_others: bool,
    /// Whether it is of whole numbers.
    is_whole: bool,
    /// The first amount with a dollar sign alone.
    dollars: Option<Example>,
    /// The first number that a spreadsheet shows with one.
    shown_in_dollars: Option<Example>,
}

#[derive(Default)]
struct OfTexts {
    whole_floats: bool,
    others: bool,
}

impl Evidence {
    pub(in crate::import) fn new(mapping: &Mapping, here: Here) -> Self {
        let column = |(index, role): (usize, Option<Role>)| match role {
            Some(role @ (Role::Decimal | Role::Integer)) => {
                Column::Numbers(OfNumbers { is_whole: role == Role::Integer, ..OfNumbers::default() })
            }
            Some(Role::Time) => Column::Time(Box::default()),
            Some(Role::Clock) => Column::Clock { is_twelve: false },
            Some(Role::Text) => Column::Text(OfTexts::default()),
            None => OfUnused::new(mapping, index, &here).map_or(Column::Other, Column::Unused),
            _ => Column::Other,
        };
        let columns = mapping.roles().enumerate().map(column).collect();
        Self { columns, here, headings: mapping.headings().map(str::to_owned).collect(), other_table: None }
    }

    pub(in crate::import) fn see(&mut self, row: &Row) {
        if row.broken.is_some() {
            return;
        }
        if self.other_table.is_none() && self.is_header(row) {
            self.other_table = Some(row.place());
        }
        for (cell, column) in row.cells.iter().zip(&mut self.columns) {
            match (cell, column) {
                (Some(cell), Column::Numbers(seen)) if cell.kind == Kind::Written => seen.see(cell, row),
                (Some(cell), Column::Numbers(seen)) => seen.see_sign(cell, row),
                (Some(cell), Column::Time(seen)) => seen.see(cell, row),
                (Some(cell), Column::Clock { is_twelve }) if !*is_twelve && cell.kind == Kind::Written => {
                    *is_twelve = moment::clock(&cell.text).is_some_and(|clock| clock.dial == Dial::Twelve);
                }
                (Some(cell), Column::Text(seen)) if !seen.others => seen.see(cell),
                (Some(cell), Column::Unused(seen)) => seen.see(cell, row, &self.here),
                _ => {}
            }
        }
    }

    /// Whether most of a row's cells are headings, in another order than the header: that one is
    /// known to the source.
    fn is_header(&self, row: &Row) -> bool {
        let is_heading = |cell: &Cell| cell.kind == Kind::Written && self.headings.contains(cell.text.trim());
        let mut cells = row.cells.iter().flatten();
        if !cells.next().is_some_and(is_heading) {
            return false;
        }
        let (is, all) = cells.fold((1, 1), |(is, all), cell| (is + usize::from(is_heading(cell)), all + 1));
        all >= 3 && 3 * is >= 2 * all
    }
}

impl OfTexts {
    fn see(&mut self, cell: &Cell) {
        let whole = cell.text.trim().strip_suffix(".0");
        let is_whole_float =
            whole.is_some_and(|whole| !whole.is_empty() && whole.bytes().all(|byte| byte.is_ascii_digit()));
        if is_whole_float { self.whole_floats = true } else { self.others = true }
    }
}

impl OfNumbers {
    /// Of a number that the file holds as one.
    fn see_sign(&mut self, cell: &Cell, row: &Row) {
        if self.shown_in_dollars.is_none() && cell.sign.as_deref() == Some("$") {
            self.shown_in_dollars = Some((cell.text.clone(), row.place()));
        }
    }

    fn see(&mut self, cell: &Cell, row: &Row) {
        if self.dollars.is_none() && cell.text.contains('$') && number::is_in_dollars(&cell.text) {
            self.dollars = Some((cell.text.clone(), row.place()));
        }
        let place = match number::evidence(&cell.text) {
            NumberEvidence::Only(Numbers::Plain) => &mut self.plain,
            NumberEvidence::Only(Numbers::Brazilian) => &mut self.brazilian,
            NumberEvidence::Either => &mut self.either,
            NumberEvidence::Nothing => {
                self.has_others = true;
                return;
            }
        };
        place.get_or_insert_with(|| (cell.text.clone(), row.place()));
    }
}
