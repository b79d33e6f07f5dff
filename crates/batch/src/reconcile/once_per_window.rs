//! Rows that agree in everything a metric sees, once for each window that any of them is in.
//!
//! For metrics whose aggregates a repeated row does not change. Rows are numbered by their values,
//! and each pane has a bit for each number, so that a window is the union of its panes' bits:
//! memory is that of the different rows and of their bits. Windows come one after the other, so
//! that the aggregate above holds one at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, TimestampMicrosecondArray, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{Field, Schema, SchemaRef, TimestampMicrosecondType};
use datafusion::catalog::TableProvider;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::common::{exec_datafusion_err, exec_err, internal_err};
use datafusion::dataframe::DataFrame;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{EmitTo, ident};
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::physical_plan::aggregates::group_values::{GroupValues, new_group_values};
use datafusion::physical_plan::aggregates::order::GroupOrdering;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use futures::{StreamExt, TryStreamExt, stream};
use vitral_catalog::PANE_COLUMN;
use vitral_schemas::time::MICROS_PER_MS;
use vitral_schemas::topic::timestamp_type;
use vitral_schemas::window::{Window, Windows};

use super::WindowRange;

const BATCH_ROWS: usize = 16 * 1024;

/// A table of the rows of each window that starts in the range, ordered by the window's start, its
/// last column. The rows have the columns that the metric sees, and then the event time.
pub(super) fn table(rows: DataFrame, windows: &Windows, range: WindowRange) -> Result<Arc<dyn TableProvider>> {
    let Window::Fixed { size_ms, slide_ms } = windows.window else {
        return internal_err!("windows of a calendar have no panes of one width");
    };
    let [size_micros, slide_micros] = [size_ms, slide_ms].map(|ms| ms * MICROS_PER_MS);
    let pane_micros = windows.pane_end_ms(0) * MICROS_PER_MS;
    let grid = Grid { pane_micros, size_micros, slide_micros, range };
    let mut fields = rows.schema().as_arrow().fields().to_vec();
    fields.pop();
    fields.push(Arc::new(Field::new(PANE_COLUMN, timestamp_type(), true)));
    let schema = Arc::new(Schema::new(fields));
    let order = vec![ident(PANE_COLUMN).sort(true, false)];
    let rows = OncePerWindow { schema: Arc::clone(&schema), rows, grid };
    Ok(Arc::new(StreamingTable::try_new(schema, vec![Arc::new(rows)])?.with_sort_order(order)))
}

/// Where panes and windows begin and end, in microseconds.
#[derive(Debug, Clone, Copy)]
struct Grid {
    pane_micros: i64,
    size_micros: i64,
    slide_micros: i64,
    /// Where the windows that are wanted start.
    range: WindowRange,
}

impl Grid {
    /// The starts of the wanted windows that a pane is in.
    fn starts_of(self, pane: i64) -> impl Iterator<Item = i64> {
        let last = pane.div_euclid(self.slide_micros) * self.slide_micros;
        let wanted = self.range.from.micros()..self.range.to.micros();
        let starts = (0..).map(move |nth| last - nth * self.slide_micros);
        starts.take_while(move |start| start + self.size_micros > pane).filter(move |start| wanted.contains(start))
    }
}

#[derive(Debug)]
struct OncePerWindow {
    schema: SchemaRef,
    rows: DataFrame,
    grid: Grid,
}

impl PartitionStream for OncePerWindow {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (schema, rows, grid) = (Arc::clone(&self.schema), self.rows.clone(), self.grid);
        let windows = async move {
            let mut rows = rows.execute_stream().await?;
            let mut panes = Panes::new(&rows.schema(), grid)?;
            while let Some(batch) = rows.try_next().await? {
                panes.add(&batch)?;
            }
            Ok::<_, DataFusionError>(stream::iter(panes.into_windows(schema)?).flat_map(stream::iter))
        };
        let batches = stream::once(windows).try_flatten();
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches))
    }
}

struct Panes {
    grid: Grid,
    /// The different rows, each with its number.
    values: Box<dyn GroupValues>,
    /// Scratch: the number of each row of a batch.
    numbers: Vec<usize>,
    /// Where the bits of each pane are, by its start.
    places: BTreeMap<i64, usize>,
    /// Which numbers a pane has.
    bits: Vec<Vec<u64>>,
}

impl Panes {
    fn new(schema: &Schema, grid: Grid) -> Result<Self> {
        let seen = schema.fields().split_last().map(|(_, seen)| seen.to_vec()).unwrap_or_default();
        let values = new_group_values(Arc::new(Schema::new(seen)), &GroupOrdering::None)?;
        Ok(Self { grid, values, numbers: Vec::new(), places: BTreeMap::new(), bits: Vec::new() })
    }

    fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let Some((times, seen)) = batch.columns().split_last() else { return exec_err!("rows without columns") };
        self.values.intern(seen, &mut self.numbers)?;
        // Most rows are in the pane of the row before them.
        let mut last = None;
        for (time, number) in times.as_primitive::<TimestampMicrosecondType>().values().iter().zip(&self.numbers) {
            let pane = time.div_euclid(self.grid.pane_micros);
            let place = match last {
                Some((known, place)) if known == pane => place,
                _ => {
                    let next = self.bits.len();
                    let place = *self.places.entry(pane * self.grid.pane_micros).or_insert(next);
                    if place == next {
                        self.bits.push(Vec::new());
                    }
                    last = Some((pane, place));
                    place
                }
            };
            let (bits, word) = (&mut self.bits[place], number / 64);
            if word >= bits.len() {
                bits.resize(word + 1, 0);
            }
            bits[word] |= 1 << (number % 64);
        }
        Ok(())
    }

    /// The rows of each wanted window in turn, in batches.
    fn into_windows(mut self, schema: SchemaRef) -> Result<impl Iterator<Item = Vec<Result<RecordBatch>>> + Send> {
        let starts: BTreeSet<i64> = self.places.keys().flat_map(|pane| self.grid.starts_of(*pane)).collect();
        u32::try_from(self.values.len()).map_err(|_| exec_datafusion_err!("over 4 billion different rows at once"))?;
        let values = if starts.is_empty() { Vec::new() } else { self.values.emit(EmitTo::All)? };
        let (grid, places, bits) = (self.grid, self.places, self.bits);
        Ok(starts.into_iter().map(move |start| {
            let mut window = Vec::new();
            for (_, place) in places.range(start..start + grid.size_micros) {
                unite(&mut window, &bits[*place]);
            }
            let numbers = numbers_in(&window);
            let batch = |numbers: &[u32]| rows_of(&schema, &values, numbers, start);
            numbers.chunks(BATCH_ROWS).map(batch).collect()
        }))
    }
}

/// Adds the bits of a pane to those of a window.
fn unite(window: &mut Vec<u64>, pane: &[u64]) {
    if window.len() < pane.len() {
        window.resize(pane.len(), 0);
    }
    for (all, more) in window.iter_mut().zip(pane) {
        *all |= more;
    }
}

/// The numbers whose bits are set.
fn numbers_in(bits: &[u64]) -> Vec<u32> {
    let mut numbers = Vec::with_capacity(bits.iter().map(|word| word.count_ones() as usize).sum());
    for (word, base) in bits.iter().zip((0_u32..).step_by(64)) {
        let mut rest = *word;
        while rest != 0 {
            numbers.push(base + rest.trailing_zeros());
            rest &= rest - 1;
        }
    }
    numbers
}

fn rows_of(schema: &SchemaRef, values: &[ArrayRef], numbers: &[u32], start_micros: i64) -> Result<RecordBatch> {
    let numbers = UInt32Array::from(numbers.to_vec());
    let mut columns = values.iter().map(|values| take(values, &numbers, None)).collect::<Result<Vec<_>, _>>()?;
    let starts = TimestampMicrosecondArray::from_value(start_micros, numbers.len()).with_timezone("UTC");
    columns.push(Arc::new(starts));
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, Int64Array, StringArray};
    use arrow::datatypes::{DataType, Int64Type};
    use chrono_tz::Tz;
    use datafusion::prelude::SessionContext;
    use proptest::prelude::*;
    use tokio::runtime::Builder;

    use super::*;

    const MINUTE_MS: i64 = 60_000;
    const RANGE: WindowRange = WindowRange::of_ms(5 * MINUTE_MS, 20 * MINUTE_MS);

    /// A user, or none; what was done; and the minute, with seconds.
    type Row = (Option<u8>, i64, i64);

    fn batch(rows: &[Row]) -> RecordBatch {
        let users: StringArray = rows.iter().map(|(user, ..)| user.map(|user| format!("user {user}"))).collect();
        let kinds = Int64Array::from_iter_values(rows.iter().map(|(_, kind, _)| *kind));
        let times = TimestampMicrosecondArray::from_iter_values(rows.iter().map(|(.., second)| second * 1_000_000));
        RecordBatch::try_from_iter_with_nullable([
            ("user", Arc::new(users) as ArrayRef, true),
            ("kind", Arc::new(kinds), true),
            ("time", Arc::new(times.with_timezone("UTC")), true),
        ])
        .expect("a batch")
    }

    /// The rows of the table, and whether the starts of their windows ascend.
    async fn windowed(batches: Vec<RecordBatch>, slide_minutes: i64, size_minutes: i64) -> (Vec<Row>, bool) {
        let session = SessionContext::new();
        let window = Window::Fixed { size_ms: size_minutes * MINUTE_MS, slide_ms: slide_minutes * MINUTE_MS };
        let rows = session.read_batches(batches).expect("rows");
        let table = table(rows, &Windows::new(window, Tz::UTC), RANGE).expect("a table");
        let found = session.read_table(table).expect("read").collect().await.expect("rows");
        let mut rows = Vec::new();
        for batch in found {
            assert_eq!(
                *batch.column(2).data_type(),
                DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, Some("UTC".into()))
            );
            let users = batch.column(0).as_string::<i32>().clone();
            let kinds = batch.column(1).as_primitive::<Int64Type>().clone();
            let starts = batch.column(2).as_primitive::<TimestampMicrosecondType>().clone();
            rows.extend((0..batch.num_rows()).map(|row| {
                let user = users.is_valid(row).then(|| users.value(row)[5..].parse().expect("a number"));
                (user, kinds.value(row), starts.value(row) / 1_000_000)
            }));
        }
        let ascends = rows.is_sorted_by_key(|(.., start)| *start);
        (rows, ascends)
    }

    proptest! {
        /// Whatever order rows come in: each window has each of its different rows once.
        #[test]
        fn each_window_has_each_different_row_once(
            batches in prop::collection::vec(
                prop::collection::vec((prop::option::of(0..100_u8), 0..2_i64, 0..1_800_i64), 1..60), 1..5
            ),
            (slide, size) in prop_oneof![Just((1, 1)), Just((1, 5)), Just((2, 6)), Just((5, 5)), Just((10, 2))],
        ) {
            let mut expected = BTreeSet::new();
            for (user, kind, second) in batches.iter().flatten() {
                for minute in (0..30).filter(|minute| (5..20).contains(minute) && minute % slide == 0) {
                    if (minute * 60..(minute + size) * 60).contains(second) {
                        expected.insert((*user, *kind, minute * 60));
                    }
                }
            }
            let batches = batches.iter().map(|rows| batch(rows)).collect();
            let runtime = Builder::new_current_thread().build().expect("a runtime");
            let (mut rows, ascends) = runtime.block_on(windowed(batches, slide, size));
            rows.sort_unstable();
            prop_assert!(ascends);
            prop_assert_eq!(rows, expected.into_iter().collect::<Vec<_>>());
        }
    }
}
