//! All series of one table, and the sums that are asked of them.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Int64Type, TimestampMicrosecondType};
use arrow::error::ArrowError;

use super::counted_once::{Cell, Change, CountedOnce};
use super::series::{Series, TooLarge};

/// The number of a key's value that is null.
const NULL: u32 = 0;

/// Which columns of the states are what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shape {
    /// The key that the sums are grouped by, and after it those by which they are filtered.
    pub(super) dimensions: Vec<String>,
    pub(super) time: String,
    /// The key that is counted once in each group.
    pub(super) once: Option<String>,
    /// Columns that are summed up.
    pub(super) sums: Vec<String>,
}

/// Copies share what is old: one is made for each moment that is read.
#[derive(Debug, Clone)]
pub(crate) struct Sums {
    shape: Arc<Shape>,
    /// For each dimension, its values by number, and the numbers by value.
    values: Vec<Arc<Values>>,
    /// The numbers of the dimensions' values, for each series.
    keys: Arc<Vec<Vec<u32>>>,
    numbers: Arc<HashMap<Vec<u32>, u32>>,
    series: Arc<Vec<Arc<Series>>>,
    recent: Recent,
    once: CountedOnce,
}

#[derive(Debug, Clone)]
struct Values {
    texts: Vec<Option<String>>,
    numbers: HashMap<String, u32>,
}

/// Rows that are not in their series yet.
#[derive(Debug, Clone, Default)]
struct Recent {
    cells: Vec<Cell>,
    /// As many for each row as there are columns.
    values: Vec<i64>,
}

/// The sums of one group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) value: Option<String>,
    /// Of each column.
    pub(super) sums: Vec<i128>,
    /// Keys that are counted once.
    pub(super) once: i64,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    #[error("a sum is larger than 64 bits")]
    TooLarge,
    #[error(transparent)]
    Rows(#[from] ArrowError),
}

impl From<TooLarge> for Unusable {
    fn from(_: TooLarge) -> Self {
        Self::TooLarge
    }
}

impl Sums {
    pub(super) fn new(shape: Shape) -> Self {
        let none = Arc::new(Values { texts: vec![None], numbers: HashMap::new() });
        Self {
            values: vec![none; shape.dimensions.len()],
            shape: Arc::new(shape),
            keys: Arc::default(),
            numbers: Arc::default(),
            series: Arc::default(),
            recent: Recent::default(),
            once: CountedOnce::new(),
        }
    }

    /// One for each sum, and one for the keys that occur in one cell alone.
    fn columns(&self) -> usize {
        self.shape.sums.len() + 1
    }

    /// Takes states in; those of the same keys add up. They wait until [`Self::settle`].
    pub(super) fn add(&mut self, states: &RecordBatch) -> Result<(), Unusable> {
        let column = |name: &str, as_type: &DataType| -> Result<_, ArrowError> {
            let index = states.schema().index_of(name)?;
            cast(states.column(index), as_type)
        };
        let dimensions = self.shape.dimensions.iter().map(|name| column(name, &DataType::Utf8));
        let dimensions = dimensions.collect::<Result<Vec<_>, _>>()?;
        let dimensions: Vec<&StringArray> = dimensions.iter().map(AsArray::as_string::<i32>).collect();
        let micros = DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, Some("UTC".into()));
        let times = column(&self.shape.time, &micros)?;
        let times = times.as_primitive::<TimestampMicrosecondType>();
        let once = self.shape.once.as_ref().map(|name| column(name, &DataType::Utf8)).transpose()?;
        let once = once.as_ref().map(AsArray::as_string::<i32>);
        let sums = self.shape.sums.iter().map(|name| Ok(states.column(states.schema().index_of(name)?)));
        let sums = sums.map(|found: Result<_, ArrowError>| whole_numbers(found?)).collect::<Result<Vec<_>, _>>()?;
        for row in 0..states.num_rows() {
            // What has no time is in no range, and a state has one.
            if times.is_null(row) {
                continue;
            }
            let series = self.series_of(&dimensions, row);
            let cell = Cell { time: times.value(row), series };
            let mut single = 0;
            if let Some(once) = once.filter(|once| once.is_valid(row)) {
                let hash = self.once.hash(self.keys[series as usize][0], once.value(row));
                match self.once.add(hash, cell) {
                    Change::None => {}
                    Change::First(_) => single = 1,
                    Change::NoLonger(first) => self.push(first, &vec![0; sums.len()], -1),
                }
            }
            let values: Vec<i64> = sums.iter().map(|column| column[row]).collect();
            self.push(cell, &values, single);
        }
        Ok(())
    }

    fn push(&mut self, cell: Cell, sums: &[i64], single: i64) {
        self.recent.cells.push(cell);
        self.recent.values.extend_from_slice(sums);
        self.recent.values.push(single);
    }

    /// How many rows wait to be put into their series.
    pub(super) fn waiting(&self) -> usize {
        self.recent.cells.len()
    }

    /// Puts the rows that wait into their series.
    pub(super) fn settle(&mut self) -> Result<(), Unusable> {
        let columns = self.columns();
        let recent = std::mem::take(&mut self.recent);
        let mut order: Vec<usize> = (0..recent.cells.len()).collect();
        order.sort_unstable_by_key(|row| (recent.cells[*row].series, recent.cells[*row].time));
        let series = Arc::make_mut(&mut self.series);
        for rows in order.chunk_by(|a, b| recent.cells[*a].series == recent.cells[*b].series) {
            let Some(first) = rows.first() else { continue };
            let own = &mut series[recent.cells[*first].series as usize];
            let rows: Vec<_> = rows.iter().map(|row| (recent.cells[*row].time, *row)).collect();
            *own = Arc::new(own.with(columns, &rows, |row, column| recent.values[row * columns + column])?);
        }
        Ok(())
    }

    fn series_of(&mut self, dimensions: &[&StringArray], row: usize) -> u32 {
        let numbers = dimensions
            .iter()
            .zip(&mut self.values)
            .map(|(column, values)| if column.is_null(row) { NULL } else { Values::number(values, column.value(row)) });
        let key: Vec<u32> = numbers.collect();
        if let Some(number) = self.numbers.get(&key) {
            return *number;
        }
        let number = u32::try_from(self.keys.len()).unwrap_or(u32::MAX);
        Arc::make_mut(&mut self.numbers).insert(key.clone(), number);
        Arc::make_mut(&mut self.keys).push(key);
        Arc::make_mut(&mut self.series).push(Arc::default());
        number
    }

    /// The sums of each group that has rows in this range with these values, by the numbers of
    /// their dimensions.
    pub(super) fn of(&self, range: (Option<i64>, Option<i64>), filters: &[(usize, String)]) -> Vec<Group> {
        let mut wanted = Vec::new();
        for (dimension, value) in filters {
            match self.values[*dimension].numbers.get(value) {
                Some(number) => wanted.push((*dimension, *number)),
                None => return Vec::new(),
            }
        }
        let is_wanted = |series: u32| {
            let key = &self.keys[series as usize];
            wanted.iter().all(|(dimension, number)| key[*dimension] == *number)
        };
        let columns = self.columns();
        let mut groups: Vec<Option<Vec<i128>>> = vec![None; self.values[0].texts.len()];
        let mut scratch = vec![0_i128; columns];
        for (number, series) in (0_u32..).zip(self.series.iter()).filter(|(number, _)| is_wanted(*number)) {
            scratch.fill(0);
            if series.add_range(range, &mut scratch) {
                add(&mut groups[self.keys[number as usize][0] as usize], &scratch);
            }
        }
        let is_in = |time: i64| range.0.is_none_or(|from| from <= time) && range.1.is_none_or(|until| time < until);
        for (row, cell) in self.recent.cells.iter().enumerate() {
            if is_in(cell.time) && is_wanted(cell.series) {
                scratch.fill(0);
                for (sum, value) in scratch.iter_mut().zip(&self.recent.values[row * columns..(row + 1) * columns]) {
                    *sum = i128::from(*value);
                }
                add(&mut groups[self.keys[cell.series as usize][0] as usize], &scratch);
            }
        }
        self.once.repeated_in(range, is_wanted, |series| {
            if let Some(sums) = &mut groups[self.keys[series as usize][0] as usize] {
                sums[columns - 1] += 1;
            }
        });
        let group = |(number, sums): (usize, Option<Vec<i128>>)| {
            let mut sums = sums?;
            let once = sums.pop().and_then(|once| i64::try_from(once).ok()).unwrap_or_default();
            Some(Group { value: self.values[0].texts[number].clone(), sums, once })
        };
        groups.into_iter().enumerate().filter_map(group).collect()
    }

    /// About how many bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        let series: usize = self.series.iter().map(|series| series.bytes() + 128).sum();
        series + self.once.bytes() + self.recent.values.len() * size_of::<i64>() * 2
    }
}

fn add(group: &mut Option<Vec<i128>>, sums: &[i128]) {
    match group {
        Some(own) => own.iter_mut().zip(sums).for_each(|(own, sum)| *own += sum),
        None => *group = Some(sums.to_vec()),
    }
}

/// Integers, and decimals without their point. Null adds nothing.
fn whole_numbers(column: &dyn Array) -> Result<Vec<i64>, Unusable> {
    match column.data_type() {
        DataType::Decimal128(..) => {
            let column = column.as_primitive::<Decimal128Type>();
            let values = column.iter().map(|value| i64::try_from(value.unwrap_or_default()));
            values.collect::<Result<_, _>>().map_err(|_| Unusable::TooLarge)
        }
        _ => {
            let column = cast(column, &DataType::Int64)?;
            Ok(column.as_primitive::<Int64Type>().iter().map(Option::unwrap_or_default).collect())
        }
    }
}

impl Values {
    fn number(values: &mut Arc<Self>, text: &str) -> u32 {
        if let Some(number) = values.numbers.get(text) {
            return *number;
        }
        let values = Arc::make_mut(values);
        let number = u32::try_from(values.texts.len()).unwrap_or(u32::MAX);
        values.texts.push(Some(text.to_owned()));
        values.numbers.insert(text.to_owned(), number);
        number
    }
}

#[cfg(test)]
mod tests;
