//! Transitions and deliveries as rows.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int64Type, SchemaRef, TimestampMicrosecondType};
use arrow::error::ArrowError;

use super::{
    Delivered, Hush, Transition, TransitionKind, maybe_texts, numbers, schema_of, text_field, texts, time_field, times,
};

pub(super) fn schema() -> SchemaRef {
    let number = |name: &str| Field::new(name, DataType::Int64, false);
    schema_of(vec![
        text_field("alerta", false),
        text_field("chave", false),
        number("episodio"),
        number("numero"),
        text_field("transicao", false),
        time_field("instante", false),
        time_field("desde", false),
        text_field("severidade", false),
        number("linhas"),
        text_field("conteudo", false),
        text_field("versoes", false),
        text_field("destinos", false),
        text_field("calada", true),
        text_field("id", false),
    ])
}

pub(super) fn delivery_schema() -> SchemaRef {
    schema_of(vec![
        text_field("id", false),
        text_field("destino", false),
        time_field("instante", false),
        text_field("recusa", true),
        Field::new("tentativas", DataType::Int64, false),
    ])
}

pub(super) fn of(transitions: &[Transition]) -> Result<RecordBatch, ArrowError> {
    let all = || transitions.iter();
    let destinations: Vec<String> = all().map(|of| of.destinations.join(",")).collect();
    RecordBatch::try_new(
        schema(),
        vec![
            texts(all().map(|of| of.alert.as_str())),
            texts(all().map(|of| of.key.as_str())),
            numbers(all().map(|of| of.episode)),
            numbers(all().map(|of| of.number)),
            texts(all().map(|of| of.kind.name())),
            times(all().map(|of| Some(of.at_ms))),
            times(all().map(|of| Some(of.since_ms))),
            texts(all().map(|of| of.severity.as_str())),
            numbers(all().map(|of| of.rows)),
            texts(all().map(|of| of.content.as_str())),
            texts(all().map(|of| of.versions.as_str())),
            texts(destinations.iter().map(String::as_str)),
            maybe_texts(all().map(|of| of.hush.map(Hush::name))),
            texts(all().map(|of| of.id.as_str())),
        ],
    )
}

pub(super) fn of_deliveries(deliveries: &[Delivered]) -> Result<RecordBatch, ArrowError> {
    let all = || deliveries.iter();
    RecordBatch::try_new(
        delivery_schema(),
        vec![
            texts(all().map(|of| of.id.as_str())),
            texts(all().map(|of| of.destination.as_str())),
            times(all().map(|of| Some(of.at_ms))),
            maybe_texts(all().map(|of| of.refusal.as_deref())),
            numbers(all().map(|of| of.attempts)),
        ],
    )
}

pub(super) fn read(batch: &RecordBatch) -> Result<Vec<Transition>, ArrowError> {
    let columns = Columns::of(batch, &schema())?;
    let rows = 0..batch.num_rows();
    let read = rows.map(|row| {
        Ok(Transition {
            alert: columns.text(0, row),
            key: columns.text(1, row),
            episode: columns.number(2, row),
            number: columns.number(3, row),
            kind: kind(&columns.text(4, row))?,
            at_ms: columns.ms(5, row),
            since_ms: columns.ms(6, row),
            severity: columns.text(7, row),
            rows: columns.number(8, row),
            content: columns.text(9, row),
            versions: columns.text(10, row),
            destinations: columns.text(11, row).split(',').filter(|to| !to.is_empty()).map(str::to_owned).collect(),
            hush: columns.maybe_text(12, row).map(|name| hush(&name)).transpose()?,
            id: columns.text(13, row),
        })
    });
    read.collect()
}

pub(super) fn read_deliveries(batch: &RecordBatch) -> Result<Vec<Delivered>, ArrowError> {
    let columns = Columns::of(batch, &delivery_schema())?;
    let rows = 0..batch.num_rows();
    let read = rows.map(|row| Delivered {
        id: columns.text(0, row),
        destination: columns.text(1, row),
        at_ms: columns.ms(2, row),
        refusal: columns.maybe_text(3, row),
        attempts: columns.number(4, row),
    });
    Ok(read.collect())
}

fn kind(name: &str) -> Result<TransitionKind, ArrowError> {
    let found = TransitionKind::ALL.into_iter().find(|kind| kind.name() == name);
    found.ok_or_else(|| ArrowError::ParseError(format!("{name} is not a transition that this version knows")))
}

fn hush(name: &str) -> Result<Hush, ArrowError> {
    let found = [Hush::Past, Hush::Silence].into_iter().find(|hush| hush.name() == name);
    found.ok_or_else(|| ArrowError::ParseError(format!("{name} is not a reason for silence that this version knows")))
}

/// Columns in the order and the types of a schema, whatever types the table was read in.
pub(super) struct Columns(RecordBatch);

impl Columns {
    pub(super) fn of(batch: &RecordBatch, schema: &SchemaRef) -> Result<Self, ArrowError> {
        let columns = schema.fields().iter().map(|field| {
            let column = batch.column_by_name(field.name());
            let column =
                column.ok_or_else(|| ArrowError::SchemaError(format!("there is no column {}", field.name())))?;
            cast(column, field.data_type())
        });
        Ok(Self(RecordBatch::try_new(Arc::clone(schema), columns.collect::<Result<_, _>>()?)?))
    }

    pub(super) fn text(&self, column: usize, row: usize) -> String {
        self.0.column(column).as_string::<i32>().value(row).to_owned()
    }

    pub(super) fn maybe_text(&self, column: usize, row: usize) -> Option<String> {
        self.0.column(column).is_valid(row).then(|| self.text(column, row))
    }

    pub(super) fn number(&self, column: usize, row: usize) -> i64 {
        self.0.column(column).as_primitive::<Int64Type>().value(row)
    }

    pub(super) fn ms(&self, column: usize, row: usize) -> i64 {
        self.0.column(column).as_primitive::<TimestampMicrosecondType>().value(row).div_euclid(1000)
    }
}
