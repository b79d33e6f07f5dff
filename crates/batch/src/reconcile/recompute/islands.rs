//! Gaps and islands: which session each event is of.
//!
//! The events of a key are put in the order of their times. One that does not follow another within
//! the gap, or is of another day, begins a session. SQL's window functions say the same and take
//! ten times as long: they compute key by key, and a key has few events.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch, TimestampMicrosecondArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Field, Schema, SchemaRef, TimestampMicrosecondType};
use datafusion::catalog::TableProvider;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::dataframe::DataFrame;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::physical_plan::aggregates::group_values::new_group_values;
use datafusion::physical_plan::aggregates::order::GroupOrdering;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use futures::{StreamExt, TryStreamExt, stream};
use vitral_catalog::{PANE_COLUMN, SESSION_LAST_COLUMN};
use vitral_schemas::time::MICROS_PER_MS;
use vitral_schemas::topic::timestamp_type;
use vitral_schemas::window::Windows;

/// A table of the events, each with the first and the last time of its session, of sessions that
/// end after `after_micros`.
pub(super) fn table(
    events: DataFrame,
    keys: &[String],
    time: &str,
    windows: Windows,
    after_micros: i64,
) -> Result<Arc<dyn TableProvider>> {
    let found = events.schema().as_arrow();
    let keys = keys.iter().map(|key| found.index_of(key)).collect::<Result<Vec<_>, _>>()?;
    let time = found.index_of(time)?;
    let mut fields = found.fields().to_vec();
    for column in [PANE_COLUMN, SESSION_LAST_COLUMN] {
        fields.push(Arc::new(Field::new(column, timestamp_type(), true)));
    }
    let schema = Arc::new(Schema::new(fields));
    let rows = Islands { schema: Arc::clone(&schema), events, keys, time, windows, after_micros };
    Ok(Arc::new(StreamingTable::try_new(schema, vec![Arc::new(rows)])?))
}

#[derive(Debug, Clone)]
struct Islands {
    schema: SchemaRef,
    events: DataFrame,
    /// Which columns the key has.
    keys: Vec<usize>,
    time: usize,
    windows: Windows,
    after_micros: i64,
}

impl PartitionStream for Islands {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let islands = self.clone();
        let batches = async move {
            let batches: Vec<RecordBatch> = islands.events.clone().execute_stream().await?.try_collect().await?;
            let spans = islands.spans(&batches)?;
            let batches = batches.into_iter().zip(spans).map(move |(batch, spans)| islands.rows(&batch, &spans));
            Ok::<_, DataFusionError>(stream::iter(batches))
        };
        let batches = stream::once(batches).try_flatten();
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches.boxed()))
    }
}

/// One event on the way to its session.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Event {
    /// The number of its key.
    key: usize,
    micros: i64,
    batch: usize,
    row: usize,
}

impl Islands {
    /// The first and the last time of each event's session, batch by batch.
    fn spans(&self, batches: &[RecordBatch]) -> Result<Vec<Vec<(i64, i64)>>> {
        let mut events = self.events_of(batches)?;
        events.sort_unstable();
        let mut spans: Vec<Vec<(i64, i64)>> = batches.iter().map(|batch| vec![(0, 0); batch.num_rows()]).collect();
        let gap_micros = self.windows.window.session_gap_micros().unwrap_or_default();
        // Most events are of the day of the one before them.
        let mut day = 0..0;
        let mut rest = events.as_slice();
        while let Some(first) = rest.first() {
            if !day.contains(&first.micros) {
                let start_ms = self.windows.pane_start_ms(first.micros);
                day = start_ms * MICROS_PER_MS..self.windows.pane_end_ms(start_ms) * MICROS_PER_MS;
            }
            let goes_on = |(before, event): (&Event, &Event)| {
                event.key == before.key && event.micros - before.micros < gap_micros && day.contains(&event.micros)
            };
            let length = 1 + rest.iter().zip(&rest[1..]).take_while(|pair| goes_on(*pair)).count();
            let (session, behind) = rest.split_at(length);
            let last_micros = session.last().map_or(first.micros, |last| last.micros);
            for event in session {
                spans[event.batch][event.row] = (first.micros, last_micros);
            }
            rest = behind;
        }
        Ok(spans)
    }

    fn events_of(&self, batches: &[RecordBatch]) -> Result<Vec<Event>> {
        let key_schema = Arc::new(self.schema.project(&self.keys)?);
        let mut known = new_group_values(key_schema, &GroupOrdering::None)?;
        let mut events = Vec::with_capacity(batches.iter().map(RecordBatch::num_rows).sum());
        let mut numbers = Vec::new();
        for (batch, rows) in batches.iter().enumerate() {
            let key: Vec<ArrayRef> = self.keys.iter().map(|column| Arc::clone(rows.column(*column))).collect();
            known.intern(&key, &mut numbers)?;
            let times = rows.column(self.time).as_primitive::<TimestampMicrosecondType>().values();
            let of_batch = numbers.iter().zip(times).enumerate();
            events.extend(of_batch.map(|(row, (key, micros))| Event { key: *key, micros: *micros, batch, row }));
        }
        Ok(events)
    }

    /// The events of a batch with their sessions, of those that are wanted.
    fn rows(&self, batch: &RecordBatch, spans: &[(i64, i64)]) -> Result<RecordBatch> {
        let gap_micros = self.windows.window.session_gap_micros().unwrap_or_default();
        let mut columns = batch.columns().to_vec();
        let times = |of: fn(&(i64, i64)) -> i64| -> ArrayRef {
            Arc::new(TimestampMicrosecondArray::from_iter_values(spans.iter().map(of)).with_timezone("UTC"))
        };
        columns.extend([times(|span| span.0), times(|span| span.1)]);
        let is_wanted: BooleanArray =
            spans.iter().map(|(_, last)| Some(last + gap_micros > self.after_micros)).collect();
        Ok(filter_record_batch(&RecordBatch::try_new(Arc::clone(&self.schema), columns)?, &is_wanted)?)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::StringArray;
    use chrono_tz::America::Sao_Paulo;
    use datafusion::prelude::SessionContext;
    use proptest::prelude::*;
    use tokio::runtime::Builder;
    use vitral_schemas::window::Window;

    use super::*;

    const GAP_MS: i64 = 10 * 60_000;
    /// An hour before a midnight in São Paulo.
    const START_MS: i64 = 1_747_274_400_000;

    /// A user, or none, and a minute.
    type Row = (Option<u8>, i64);

    fn micros(minute: i64) -> i64 {
        (START_MS + minute * 60_000) * MICROS_PER_MS
    }

    fn batch(rows: &[Row]) -> RecordBatch {
        let users: StringArray = rows.iter().map(|(user, _)| user.map(|user| format!("user {user}"))).collect();
        let times = TimestampMicrosecondArray::from_iter_values(rows.iter().map(|(_, minute)| micros(*minute)));
        let times: ArrayRef = Arc::new(times.with_timezone("UTC"));
        RecordBatch::try_from_iter_with_nullable([("user", Arc::new(users) as ArrayRef, true), ("time", times, true)])
            .expect("a batch")
    }

    /// By user and minute: first and last minute.
    async fn found(batches: Vec<RecordBatch>, after_micros: i64) -> Vec<(Option<u8>, i64, i64, i64)> {
        let session = SessionContext::new();
        let events = session.read_batches(batches).expect("rows");
        let windows = Windows::new(Window::Session { gap_ms: GAP_MS }, Sao_Paulo);
        let table = table(events, &["user".to_owned()], "time", windows, after_micros).expect("a table");
        let mut rows = Vec::new();
        for batch in session.read_table(table).expect("read").collect().await.expect("rows") {
            let users = batch.column(0).as_string::<i32>();
            let minutes = |column: usize| {
                let micros = batch.column(column).as_primitive::<TimestampMicrosecondType>().values().to_vec();
                micros.into_iter().map(|micros| (micros / MICROS_PER_MS - START_MS) / 60_000).collect::<Vec<_>>()
            };
            let (at, first, last) = (minutes(1), minutes(2), minutes(3));
            rows.extend((0..batch.num_rows()).map(|row| {
                let user = users.iter().nth(row).flatten().map(|user| user[5..].parse().expect("a number"));
                (user, at[row], first[row], last[row])
            }));
        }
        rows.sort_unstable();
        rows
    }

    proptest! {
        /// Whatever order rows come in: an event is of the session of those that lead to it, each
        /// less than the gap from the next.
        #[test]
        fn events_nearer_than_the_gap_and_of_one_day_are_of_one_session(
            batches in prop::collection::vec(
                prop::collection::vec((prop::option::of(0..4_u8), 0..240_i64), 0..40), 1..5
            ),
            after in 0..240_i64,
        ) {
            let rows: Vec<Row> = batches.iter().flatten().copied().collect();
            let day = |minute: i64| minute >= 60;
            let step = |user: Option<u8>, from: i64, by: i64| {
                let near = rows.iter().filter(|row| row.0 == user && day(row.1) == day(from));
                let near = near.map(|row| row.1).filter(|minute| ((minute - from) * by) > 0 && (minute - from).abs() < 10);
                near.max_by_key(|minute| (minute - from).abs())
            };
            let end = |user: Option<u8>, from: i64, by: i64| {
                std::iter::successors(Some(from), |minute| step(user, *minute, by)).last().unwrap_or(from)
            };
            let mut expected: Vec<_> =
                rows.iter().map(|(user, minute)| (*user, *minute, end(*user, *minute, -1), end(*user, *minute, 1))).collect();
            expected.retain(|(.., last)| last + 10 > after);
            expected.sort_unstable();
            let batches = batches.iter().map(|rows| batch(rows)).collect();
            let runtime = Builder::new_current_thread().build().expect("a runtime");
            prop_assert_eq!(runtime.block_on(found(batches, micros(after))), expected);
        }
    }
}
