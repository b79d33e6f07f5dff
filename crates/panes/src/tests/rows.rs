//! Topics, metrics and rows for the tests, and the two ways to compute a metric.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, Decimal128Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::compute::concat_batches;
use arrow::datatypes::TimestampMicrosecondType;
use datafusion::datasource::MemTable;
use datafusion::prelude::SessionContext;
use vitral_catalog::{Catalog, DomainSettings, PANE_COLUMN, SourceFile};
use vitral_schemas::position::PartitionId;
use vitral_schemas::time::MICROS_PER_MS;
use vitral_schemas::topic::{ColumnKind, Topic};

use crate::plan::MetricPlan;
use crate::rows::arrange;
use crate::state::{MetricPanes, pane_column};
use vitral_engine::{EngineConfig, divide_half_up, engine_session, make_exact};

/// The built-in catalog's topic, with `sql` as its only metric of that name.
pub fn plan(sql: &str) -> (Topic, Arc<MetricPlan>) {
    let settings = DomainSettings::default();
    let builtin = Catalog::load(&[], &settings).unwrap_or_else(|errors| panic!("{errors}"));
    let topic = builtin.topic("eventos_clientes").expect("the topic").clone();
    let file = SourceFile { path: "case.sql".into(), text: sql.into() };
    let topic_file = SourceFile {
        path: "topic.sql".into(),
        text: include_str!("../../../../catalog/ecommerce/topics/eventos_clientes.sql").into(),
    };
    let catalog =
        Catalog::parse(&[vec![topic_file], vec![file]], &settings).unwrap_or_else(|errors| panic!("{errors}"));
    let session = engine_session(EngineConfig::default()).expect("a session");
    let metric = catalog.metrics.first().expect("a metric");
    let plan = MetricPlan::new(metric, &topic, &settings, &session).unwrap_or_else(|error| panic!("{error}"));
    (topic, Arc::new(plan))
}

pub fn panes(plan: &Arc<MetricPlan>) -> MetricPanes {
    let session = engine_session(EngineConfig::default()).expect("a session");
    MetricPanes::new(Arc::clone(plan), &session.runtime_env().memory_pool, 1 << 30)
}

/// An event by column name; a column that is not named is null.
pub type Event = Vec<(&'static str, String)>;

/// Events as the decoder would hand them over.
pub fn batch(topic: &Topic, events: &[Event]) -> RecordBatch {
    let columns = topic.columns.iter().map(|column| -> ArrayRef {
        let texts = events.iter().map(|event| {
            event
                .iter()
                .find(|(name, _)| *name == column.name)
                .map(|(_, text)| text.as_str())
                .filter(|text| !text.is_empty())
        });
        match column.kind {
            ColumnKind::Text | ColumnKind::TextOrNumber | ColumnKind::Currency => {
                Arc::new(StringArray::from_iter(texts))
            }
            ColumnKind::Integer => Arc::new(Int64Array::from_iter(
                texts.map(|text| text.map(|text| text.parse::<i64>().expect("an integer"))),
            )),
            ColumnKind::Decimal { precision, scale } => {
                let cents = texts.map(|text| {
                    text.map(|text| {
                        let (whole, fraction) = text.split_once('.').unwrap_or((text, "00"));
                        format!("{whole}{fraction:0<2}").parse::<i128>().expect("a decimal")
                    })
                });
                let array = Decimal128Array::from_iter(cents);
                Arc::new(array.with_precision_and_scale(precision, scale).expect("fits"))
            }
            ColumnKind::Timestamp => {
                let times = texts.map(|text| {
                    text.map(|text| text.parse::<chrono::DateTime<chrono::Utc>>().expect("a time").timestamp_micros())
                });
                Arc::new(TimestampMicrosecondArray::from_iter(times).with_timezone("UTC"))
            }
            ColumnKind::Boolean => unreachable!("the topic has none"),
        }
    });
    RecordBatch::try_new(topic.schema(), columns.collect()).expect("the topic's columns")
}

pub fn fold(panes: &mut MetricPanes, topic: &Topic, partition: i32, batch: &RecordBatch) {
    if batch.num_rows() == 0 {
        return;
    }
    let times = batch.column(topic.event_time).as_primitive::<TimestampMicrosecondType>();
    let column = pane_column(&panes.plan().windows, times);
    panes.fold(PartitionId(partition), batch, &column).unwrap_or_else(|error| panic!("{error}"));
}

/// The metric by DataFusion alone: each row once for each of its windows, one plain aggregate.
pub fn plain(plan: &MetricPlan, topic: &Topic, batch: &RecordBatch) -> RecordBatch {
    let times = batch.column(topic.event_time).as_primitive::<TimestampMicrosecondType>();
    let mut rows = Vec::new();
    let mut starts = Vec::new();
    for (row, time) in times.values().iter().enumerate() {
        for bounds in plan.windows.windows_of(plan.windows.pane_start_ms(*time)) {
            rows.push(row as u64);
            starts.push(bounds.start_ms * MICROS_PER_MS);
        }
    }
    let taken = arrow::compute::take_record_batch(batch, &arrow::array::UInt64Array::from(rows)).expect("rows");
    let mut columns = taken.columns().to_vec();
    columns.push(Arc::new(TimestampMicrosecondArray::from(starts).with_timezone("UTC")));
    let mut fields: Vec<_> = topic.schema().fields().iter().cloned().collect();
    fields.push(Arc::new(arrow::datatypes::Field::new(PANE_COLUMN, vitral_schemas::topic::timestamp_type(), false)));
    let schema = Arc::new(arrow::datatypes::Schema::new(fields));
    let table = RecordBatch::try_new(Arc::clone(&schema), columns).expect("rows with windows");
    let mut context = SessionContext::new();
    make_exact(&mut context).expect("exact");
    context.register_udf(divide_half_up());
    context
        .register_table(topic.name.as_str(), Arc::new(MemTable::try_new(schema, vec![vec![table]]).expect("a table")))
        .expect("registered");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let batches = runtime
        .block_on(async { context.sql(&plan.metric.query.to_string()).await?.collect().await })
        .unwrap_or_else(|error| panic!("{error}"));
    let all = match batches.first() {
        Some(first) => arrow::compute::concat_batches(&first.schema(), &batches).expect("one batch"),
        None => return RecordBatch::new_empty(Arc::clone(plan.rows_schema())),
    };
    arrange(&plan.metric, &plan.windows, plan.rows_schema(), &all).unwrap_or_else(|error| panic!("{error}"))
}

/// The rows of every window.
pub fn all_rows(panes: &MetricPanes) -> RecordBatch {
    let rows = panes.rows_of(|_| true).unwrap_or_else(|error| panic!("{error}"));
    concat_batches(panes.plan().rows_schema(), &rows).expect("one schema")
}

pub fn text(batch: &RecordBatch) -> String {
    arrow::util::pretty::pretty_format_batches(std::slice::from_ref(batch)).expect("printable").to_string()
}
