//! All series of one table, and the sums that are asked of them.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, StringArray, StringBuilder};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Int64Type, TimestampMicrosecondType};
use arrow::error::ArrowError;
use datafusion::common::HashMap;

use super::changes::Touched;
use super::counted_once::{Cell, Change, CountedOnce};
use super::levels::Levels;
use super::run::{Run, TooLarge, Totals};

/// The number of a key's value that is null.
const NULL: u32 = 0;
/// Sums are known before every so many rows at the least.
const STEP_ROWS: usize = 1 << 12;

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
    levels: Levels,
    /// Those with more rows first: each has more than twice as many as the next one.
    runs: Vec<Arc<Run>>,
    recent: Recent,
    once: CountedOnce,
    step_rows: usize,
}

#[derive(Debug, Clone)]
struct Values {
    texts: Vec<Option<String>>,
    numbers: HashMap<String, u32>,
}

/// Rows that are in no run yet.
#[derive(Debug, Clone, Default)]
struct Recent {
    cells: Vec<Cell>,
    /// As many for each row as there are columns.
    values: Vec<i64>,
}

/// Groups that have rows, and their sums.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Groups {
    /// Of the key to group by.
    pub(super) values: StringArray,
    /// By column.
    pub(super) sums: Vec<Vec<i128>>,
    /// Keys that are counted once.
    pub(super) once: Vec<i64>,
}

impl Groups {
    /// No groups, of so many columns.
    pub(super) fn none(columns: usize) -> Self {
        Self { values: StringArray::new_null(0), sums: vec![Vec::new(); columns], once: Vec::new() }
    }
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
        Self::with_steps(shape, STEP_ROWS)
    }

    fn with_steps(shape: Shape, step_rows: usize) -> Self {
        let none = Arc::new(Values { texts: vec![None], numbers: HashMap::new() });
        Self {
            values: vec![none; shape.dimensions.len()],
            levels: Levels::new(shape.dimensions.len()),
            shape: Arc::new(shape),
            runs: Vec::new(),
            recent: Recent::default(),
            once: CountedOnce::new(),
            step_rows,
        }
    }

    /// One for each sum, and one for the keys that occur in one cell alone.
    fn columns(&self) -> usize {
        self.shape.sums.len() + 1
    }

    /// Takes states in, and notes which rows they change; those of the same keys add up. They wait
    /// until [`Self::settle`].
    pub(super) fn add(&mut self, states: &RecordBatch, touched: &mut Touched) -> Result<(), Unusable> {
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
        let (mut key, mut values) = (Vec::new(), Vec::new());
        for row in 0..states.num_rows() {
            // What has no time is in no range, and a state has one.
            if times.is_null(row) {
                continue;
            }
            let series = self.series_of(&dimensions, row, &mut key);
            touched.add(times.value(row), series, &key);
            let cell = Cell { time: times.value(row), series };
            let mut single = 0;
            if let Some(once) = once.filter(|once| once.is_valid(row)) {
                let hash = self.once.hash(self.levels.group(series), once.value(row));
                match self.once.add(hash, cell) {
                    Change::None => {}
                    Change::First(_) => single = 1,
                    Change::NoLonger(first) => self.push(first, &vec![0; sums.len()], -1),
                }
            }
            values.clear();
            values.extend(sums.iter().map(|column| column[row]));
            self.push(cell, &values, single);
        }
        Ok(())
    }

    fn push(&mut self, cell: Cell, sums: &[i64], single: i64) {
        self.recent.cells.push(cell);
        self.recent.values.extend_from_slice(sums);
        self.recent.values.push(single);
    }

    /// How many rows wait to be put into a run.
    pub(super) fn waiting(&self) -> usize {
        self.recent.cells.len()
    }

    /// Puts the rows that wait into a run, and into one with runs that are of about the same size:
    /// there are few of them, and each row is moved few times.
    pub(super) fn settle(&mut self) -> Result<(), Unusable> {
        if self.recent.cells.is_empty() { Ok(()) } else { self.settle_with(|last, next| last < 2 * next) }
    }

    /// Puts all rows into one run, which answers fastest.
    pub(super) fn settle_all(&mut self) -> Result<(), Unusable> {
        if self.recent.cells.is_empty() && self.runs.len() < 2 { Ok(()) } else { self.settle_with(|_, _| true) }
    }

    /// `is_joined` says by their lengths whether a run and the next one become one.
    fn settle_with(&mut self, is_joined: impl Fn(usize, usize) -> bool) -> Result<(), Unusable> {
        let recent = std::mem::take(&mut self.recent);
        let rows: Vec<(i64, u32)> = recent.cells.iter().map(|cell| (cell.time, cell.series)).collect();
        let mut run = Run::of(&rows, &recent.values, self.columns());
        while self.runs.last().is_some_and(|last| is_joined(last.len(), run.len())) {
            if let Some(last) = self.runs.pop() {
                run = last.merged(&run);
            }
        }
        self.levels.settle(self.runs.is_empty());
        self.runs.push(Arc::new(run.with_sums(&self.levels, self.step_rows)?));
        Ok(())
    }

    fn series_of(&mut self, dimensions: &[&StringArray], row: usize, key: &mut Vec<u32>) -> u32 {
        let numbers = dimensions
            .iter()
            .zip(&mut self.values)
            .map(|(column, values)| if column.is_null(row) { NULL } else { Values::number(values, column.value(row)) });
        key.clear();
        key.extend(numbers);
        self.levels.series(key)
    }

    /// How many keys rows have: the one to group by, and those by which they are filtered.
    pub(super) fn dimensions(&self) -> usize {
        self.shape.dimensions.len()
    }

    /// The numbers of these values of dimensions; none if one of them is in no row.
    pub(super) fn numbers(&self, filters: &[(usize, String)]) -> Option<Vec<(usize, u32)>> {
        let number =
            |(dimension, value): &(usize, String)| Some((*dimension, *self.values[*dimension].numbers.get(value)?));
        filters.iter().map(number).collect()
    }

    /// The sums of each group that has rows in this range with these values, by the numbers of
    /// their dimensions.
    pub(super) fn of(&self, range: (Option<i64>, Option<i64>), filters: &[(usize, String)]) -> Groups {
        // There is nothing with a value that is unknown.
        let Some(filters) = self.numbers(filters) else { return Groups::none(self.shape.sums.len()) };
        let wanted = self.levels.wanted(&filters);
        if wanted.cells.is_empty() {
            return Groups::none(self.shape.sums.len());
        }
        let columns = self.columns();
        let mut totals = Totals::new(self.values[0].texts.len(), columns);
        self.runs.iter().for_each(|run| run.add_range(range, &wanted, &mut totals));
        let is_in = |time: i64| range.0.is_none_or(|from| from <= time) && range.1.is_none_or(|until| time < until);
        for (cell, values) in self.recent.cells.iter().zip(self.recent.values.chunks_exact(columns)) {
            if let Some(group) = wanted.group(cell.series).filter(|_| is_in(cell.time)) {
                totals.add(group, values);
            }
        }
        self.once.repeated_in(
            range,
            |series| wanted.group(series).is_some(),
            |series| {
                if let Some(group) = wanted.group(series) {
                    totals.of_mut(group)[columns] += 1;
                }
            },
        );
        let found: Vec<usize> = (0..self.values[0].texts.len()).filter(|group| totals.of(*group)[0] > 0).collect();
        let (totals, found) = (&totals, &found);
        let of_found = |place: usize| found.iter().map(move |group| totals.of(*group)[place]);
        let texts = || found.iter().map(|group| self.values[0].texts[*group].as_deref());
        let bytes = texts().flatten().map(str::len).sum();
        let mut values = StringBuilder::with_capacity(found.len(), bytes);
        values.extend(texts());
        Groups {
            values: values.finish(),
            sums: (1..columns).map(|place| of_found(place).collect()).collect(),
            once: of_found(columns).map(|count| i64::try_from(count).unwrap_or_default()).collect(),
        }
    }

    /// About how many bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        let runs: usize = self.runs.iter().map(|run| run.bytes()).sum();
        runs + self.levels.bytes() + self.once.bytes() + self.recent.values.len() * size_of::<i64>() * 2
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
