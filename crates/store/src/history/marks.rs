//! What remains of rows that are taken back: their times, so that jobs compute those days again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, new_null_array,
};
use arrow::datatypes::TimestampMicrosecondType;
use chrono::Utc;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{ident, lit};
use futures::TryStreamExt;
use vitral_schemas::topic::history_columns;
use vitral_schemas::verdict::Verdict;

use super::{History, external};
use crate::error::StoreError;
use crate::session::read_session;

/// Days of all zones begin at quarters of an hour.
const QUARTER_MICROS: i64 = 15 * 60 * 1_000_000;

impl History {
    /// What remains of rows that are taken back: for each import the quarters of an hour in which
    /// some count or had counted.
    pub(super) async fn marks(&self, imports: &[&str], sequence: i64) -> Result<RecordBatch, StoreError> {
        use history_columns::*;
        let failed = StoreError::read(&self.topic.name);
        let time = &self.topic.columns[self.topic.event_time].name;
        let run = async {
            let wanted = ident(IMPORT).in_list(imports.iter().map(|import| lit(*import)).collect(), false);
            let had_counted =
                ident(VERDICT).in_list(vec![lit(Verdict::Counted.name()), lit(UNDONE)], false).and(wanted);
            let frame = read_session(2).read_table(self.provider().await.map_err(external)?)?;
            let frame = frame.filter(had_counted)?.select(vec![ident(IMPORT), ident(FILE), ident(time)])?;
            let mut found = BTreeMap::new();
            let mut rows = frame.execute_stream().await?;
            while let Some(batch) = rows.try_next().await? {
                let (ids, files) = (batch.column(0).as_string::<i32>(), batch.column(1).as_string::<i32>());
                let times = batch.column(2).as_primitive::<TimestampMicrosecondType>();
                for (row, micros) in times.iter().enumerate() {
                    let Some(micros) = micros else { continue };
                    let quarter = micros.div_euclid(QUARTER_MICROS) * QUARTER_MICROS;
                    let of_import = found
                        .entry(ids.value(row).to_owned())
                        .or_insert_with(|| (files.value(row).to_owned(), BTreeSet::new()));
                    of_import.1.insert(quarter);
                }
            }
            Ok::<_, DataFusionError>(found)
        };
        let found = run.await.map_err(&failed)?;
        let marks: Vec<(&str, &str, i64)> = found
            .iter()
            .flat_map(|(import, (file, quarters))| quarters.iter().map(|at| (import.as_str(), file.as_str(), *at)))
            .collect();
        let schema = self.topic.history_schema();
        let columns = schema.fields().iter().map(|field| -> ArrayRef {
            let texts = |text: &dyn Fn(&(&str, &str, i64)) -> String| -> ArrayRef {
                Arc::new(StringArray::from_iter_values(marks.iter().map(text)))
            };
            let instant = |times: TimestampMicrosecondArray| -> ArrayRef { Arc::new(times.with_timezone("UTC")) };
            match field.name().as_str() {
                SEQUENCE => Arc::new(Int64Array::from_value(sequence, marks.len())),
                IMPORT => texts(&|mark| mark.0.to_owned()),
                FILE => texts(&|mark| mark.1.to_owned()),
                LINE => Arc::new(Int64Array::from_value(0, marks.len())),
                ARRIVAL => instant(TimestampMicrosecondArray::from_value(Utc::now().timestamp_micros(), marks.len())),
                VERDICT => texts(&|_| UNDONE.to_owned()),
                name if name == time => {
                    instant(TimestampMicrosecondArray::from_iter_values(marks.iter().map(|mark| mark.2)))
                }
                _ => new_null_array(field.data_type(), marks.len()),
            }
        });
        RecordBatch::try_new(Arc::clone(&schema), columns.collect()).map_err(|source| failed(source.into()))
    }
}
