//! Rows that count and look like mistakes of a file: without an amount among others that have one,
//! with a total that is not the price times the quantity, with their order's total on each line, or
//! sums of other rows. They are pointed out, once the whole file is read.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use vitral_catalog::ImportTarget;
use vitral_schemas::topic::{ColumnKind, Topic};

use super::amounts::{Amounts, SCALE, shown};
use super::identity::hash;
use super::mapping::Mapping;
use super::source::Row;
use super::wording::{counted, is_pasteable};

/// Words that names of sums begin with.
const SUMS: [&str; 4] = ["subtotal", "sub-total", "total", "totais"];

/// Counts them over all rows of a file that count.
pub(super) struct Oddities {
    amounts: Amounts,
    /// What the file calls the columns of the amounts that it fills.
    total: Option<String>,
    price: Option<String>,
    count: Option<String>,
    /// The key's first column: what belongs together.
    order: Option<String>,
    /// The topic's texts of the key that the file fills, with their names in the file.
    texts: Vec<(String, String)>,
    filled: u64,
    blank: Oddity,
    compared: u64,
    contradicting: Oddity,
    run: Run,
    /// Orders of several lines, and those of them that have the same total on each.
    orders: u64,
    repeated: Oddity,
    sums: Oddity,
    /// The text that the first of them is in, and the word that it begins with.
    sums_in: Option<(usize, &'static str)>,
}

/// How many rows, and what to say of the first.
#[derive(Default)]
struct Oddity {
    rows: u64,
    first: String,
}

impl Oddity {
    fn add(&mut self, first: impl FnOnce() -> String) {
        if self.rows == 0 {
            self.first = first();
        }
        self.rows += 1;
    }
}

/// Lines of one order, one after the other.
#[derive(Default)]
struct Run {
    order: u128,
    total: i128,
    lines: u64,
    is_same: bool,
    place: String,
}

impl Oddities {
    pub(super) fn new(topic: &Topic, target: &ImportTarget, mapping: &Mapping) -> Self {
        let amounts = Amounts::of(topic, target);
        let theirs = |ours: &String| {
            let mut filled = mapping.filled().filter(|(_, column)| column == ours);
            filled.next().map(|(index, _)| mapping.heading(index).to_owned())
        };
        let is_text = |name: &String| {
            let column = topic.columns.iter().find(|column| column.name == *name);
            column.is_some_and(|column| matches!(column.kind, ColumnKind::Text | ColumnKind::TextOrNumber))
        };
        let texts = target.key.iter().filter(|name| is_text(name));
        let texts = texts.filter_map(|name| Some((name.clone(), theirs(name)?))).collect();
        Self {
            total: amounts.total.as_ref().and_then(theirs),
            price: amounts.price.as_ref().and_then(theirs),
            count: amounts.count.as_ref().and_then(theirs),
            amounts,
            order: target.key.first().filter(|name| theirs(name).is_some()).cloned(),
            texts,
            filled: 0,
            blank: Oddity::default(),
            compared: 0,
            contradicting: Oddity::default(),
            run: Run::default(),
            orders: 0,
            repeated: Oddity::default(),
            sums: Oddity::default(),
            sums_in: None,
        }
    }

    /// Rows as they are understood; those that do not count are left out.
    pub(super) fn see<'r>(
        &mut self,
        rows: impl Iterator<Item = &'r Row>,
        values: &RecordBatch,
        counts: impl Fn(usize) -> bool,
    ) -> Result<(), ArrowError> {
        let columns = self.amounts.columns(values)?;
        let texts = |name: &str| values.column_by_name(name).map(|column| cast(column, &DataType::Utf8)).transpose();
        let orders = self.order.as_deref().map(texts).transpose()?.flatten();
        let names = self.texts.iter().map(|(name, _)| texts(name)).collect::<Result<Vec<_>, _>>()?;
        for (index, row) in rows.enumerate().filter(|(index, _)| counts(*index)) {
            match columns.worth(index) {
                Some(_) => self.filled += 1,
                None => self.blank.add(|| row.place()),
            }
            let (total, price) = (columns.total(index), columns.price(index));
            if let (Some(total), Some(price), Some(count), Some(_)) = (total, price, columns.count(index), &self.count)
            {
                let product = price.saturating_mul(i128::from(count));
                // A cent for each, as when prices are rounded.
                let differs = (total - product).abs() > i128::from(count).saturating_mul(10_i128.pow(SCALE - 2));
                self.compared += u64::from(differs || count != 1);
                if differs {
                    let words = || format!("{}: {} and {count} x {}", row.place(), shown(total), shown(price));
                    self.contradicting.add(words);
                }
            }
            if let (Some(total), Some(orders), Some(_)) = (total, &orders, &self.total) {
                let orders = orders.as_string::<i32>();
                let order = if orders.is_valid(index) { hash(std::iter::once(orders.value(index))) } else { 0 };
                self.line(order, total, row);
            }
            let is_sum = |(place, column): (usize, &Option<_>)| {
                let column: &arrow::array::ArrayRef = column.as_ref()?;
                let column = column.as_string::<i32>();
                let name = column.is_valid(index).then(|| column.value(index))?;
                Some((place, begins(name)?, name.to_owned()))
            };
            if let Some((place, word, name)) = names.iter().enumerate().find_map(is_sum) {
                self.sums_in.get_or_insert((place, word));
                self.sums.add(|| format!("{}: {name}", row.place()));
            }
        }
        Ok(())
    }

    fn line(&mut self, order: u128, total: i128, row: &Row) {
        if order != 0 && order == self.run.order && self.run.lines > 0 {
            self.run.lines += 1;
            self.run.is_same &= total == self.run.total;
            return;
        }
        self.end_run();
        self.run = Run { order, total, lines: 1, is_same: total != 0, place: String::new() };
        if self.repeated.rows == 0 {
            self.run.place = row.place();
        }
    }

    fn end_run(&mut self) {
        let run = std::mem::take(&mut self.run);
        if run.lines > 1 {
            self.orders += 1;
            if run.is_same {
                self.repeated.add(|| format!("from {} on: {} on {} lines", run.place, shown(run.total), run.lines));
            }
        }
    }

    /// What people should know of these rows.
    pub(super) fn notes(&mut self) -> Vec<String> {
        self.end_run();
        let mut notes = Vec::new();
        let Oddity { rows, first } = &self.blank;
        if *rows > 0 && self.filled > 0 {
            notes.push(format!("{} without an amount, counted as 0.00 (the first is {first})", counted(*rows, "row")));
        }
        let Oddity { rows, first } = &self.contradicting;
        if let (Some(total), Some(price), Some(count), true) =
            (&self.total, &self.price, &self.count, 2 * rows > self.compared)
        {
            notes.push(format!(
                "{total} is not {price} x {count} in {} ({first}), and it is {total} that counts: --map \"{total}=\" counts {price} x {count}",
                counted(*rows, "row")
            ));
        }
        let Oddity { rows, first } = &self.repeated;
        if let (Some(total), true) = (&self.total, *rows > 1 && 3 * rows >= 2 * self.orders) {
            notes.push(format!(
                "{} of {} with several lines have the same {total} on each ({first}): if it is the order's, it counts once for each line; \
                 have the total of each line, or the price of one",
                rows,
                counted(self.orders, "order")
            ));
        }
        let Oddity { rows, first } = &self.sums;
        if let Some(((_, heading), word)) = self.sums_in.and_then(|(place, word)| Some((self.texts.get(place)?, word)))
        {
            let way = match is_pasteable(heading) {
                true => format!(" \"coalesce(\\\"{heading}\\\", '') NOT ILIKE '{word}%'\""),
                false => String::new(),
            };
            let rows = counted(*rows, "row");
            notes.push(format!(
                "{rows} that may be totals of others ({first}), and count: --where{way} leaves them out"
            ));
        }
        notes
    }
}

/// The word of a sum that a name begins with: `Total do dia`, `Subtotal:`. A word that goes on is
/// another one.
fn begins(name: &str) -> Option<&'static str> {
    let name = name.trim_start();
    let begins = |word: &&str| name.get(..word.len()).is_some_and(|found| found.eq_ignore_ascii_case(word));
    let word = SUMS.into_iter().find(begins)?;
    (!name[word.len()..].starts_with(char::is_alphanumeric)).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_sums_begin_with_their_word() {
        for name in ["Total do dia", "SUBTOTAL", "Sub-total:", "total"] {
            assert!(begins(name).is_some(), "{name}");
        }
        for name in ["Totalflex", "camisa total", "", "Subtotais2", "tot\u{e9}m"] {
            assert_eq!(begins(name), None, "{name}");
        }
    }
}
