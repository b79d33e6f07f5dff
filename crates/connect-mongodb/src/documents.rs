//! Rows as documents, and their keys as `_id`: decimals are Decimal128, times Date, days texts.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType,
};
use mongodb::bson::{Bson, DateTime, Decimal128, Document};
use vitral_connect::{DELETED_COLUMN as DELETED, EPOCH_COLUMN};

use crate::error::MongoError;
use crate::target::SinkTarget;
use crate::texts::ID;

/// The field with the number of the write that a document is of.
pub(crate) const EPOCH: &str = EPOCH_COLUMN;

/// What an epoch changes, each key once; of rows with the same key the last one counts.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Documents to be there, by the text of their `_id`.
    pub(crate) documents: BTreeMap<String, Document>,
    /// The `_id` of those that are deleted.
    pub(crate) deleted: BTreeMap<String, Bson>,
}

/// The documents of some rows.
pub(crate) fn changes(target: &SinkTarget, epoch: i64, batches: &[RecordBatch]) -> Result<Changes, MongoError> {
    let mut changes = Changes::default();
    for batch in batches {
        let columns = columns(batch)?;
        let keys = target.key.iter().map(|name| key_column(&columns, name)).collect::<Result<Vec<_>, _>>()?;
        let deleted = batch.column_by_name(DELETED).and_then(|deleted| deleted.as_boolean_opt());
        for row in 0..batch.num_rows() {
            let id = id(&keys, row)?;
            let text = text(&id);
            if deleted.is_some_and(|deleted| deleted.is_valid(row) && deleted.value(row)) {
                changes.documents.remove(&text);
                changes.deleted.insert(text, id);
                continue;
            }
            let mut document = Document::new();
            document.insert(ID, id);
            for column in &columns {
                document.insert(&column.name, column.value(row)?);
            }
            document.insert(EPOCH, epoch);
            changes.deleted.remove(&text);
            changes.documents.insert(text, document);
        }
    }
    Ok(changes)
}

/// A column in one of the few types that documents are made of.
struct Column {
    name: String,
    values: ArrayRef,
}

fn columns(batch: &RecordBatch) -> Result<Vec<Column>, MongoError> {
    let schema = batch.schema();
    let mut names = BTreeSet::from([ID, EPOCH]);
    let fields = schema.fields().iter().zip(batch.columns()).filter(|(field, _)| field.name() != DELETED);
    let column = |(field, values): (&std::sync::Arc<arrow::datatypes::Field>, &ArrayRef)| {
        let wrong = |why: String| MongoError::Value { column: field.name().clone(), why };
        let values = match written_as(values.data_type()) {
            Some(data_type) if data_type == *values.data_type() => ArrayRef::clone(values),
            Some(data_type) => cast(values, &data_type).map_err(|error| wrong(error.to_string()))?,
            None => return Err(wrong(format!("documents have no form for {}", values.data_type()))),
        };
        Ok(Column { name: field.name().clone(), values })
    };
    let columns = fields.map(column).collect::<Result<Vec<_>, _>>()?;
    for field in schema.fields() {
        if !names.insert(field.name()) {
            return Err(MongoError::Value { column: field.name().clone(), why: "its name is taken".to_owned() });
        }
    }
    Ok(columns)
}

/// The type whose values [`Column::value`] reads.
fn written_as(data_type: &DataType) -> Option<DataType> {
    Some(match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::UInt8
        | DataType::UInt16
        | DataType::UInt32 => DataType::Int64,
        DataType::UInt64 => DataType::Decimal128(20, 0),
        DataType::Float16 | DataType::Float32 | DataType::Float64 => DataType::Float64,
        DataType::Boolean => DataType::Boolean,
        DataType::Date32 | DataType::Date64 => DataType::Date32,
        DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
            if *scale >= 0 =>
        {
            DataType::Decimal128(*precision, *scale)
        }
        DataType::Dictionary(_, values) => written_as(values)?,
        DataType::Null => DataType::Utf8,
        _ => return None,
    })
}

impl Column {
    fn value(&self, row: usize) -> Result<Bson, MongoError> {
        if self.values.is_null(row) {
            return Ok(Bson::Null);
        }
        let wrong = |why: String| MongoError::Value { column: self.name.clone(), why };
        Ok(match self.values.data_type() {
            DataType::Utf8 => Bson::String(self.values.as_string::<i32>().value(row).to_owned()),
            DataType::Int64 => Bson::Int64(self.values.as_primitive::<Int64Type>().value(row)),
            DataType::Float64 => Bson::Double(self.values.as_primitive::<Float64Type>().value(row)),
            DataType::Boolean => Bson::Boolean(self.values.as_boolean().value(row)),
            DataType::Decimal128(..) => {
                let text = self.values.as_primitive::<Decimal128Type>().value_as_string(row);
                let number: Result<Decimal128, _> = text.parse();
                // 34 digits: more are refused, never rounded.
                Bson::Decimal128(number.map_err(|_| wrong(format!("{text} has too many digits for Decimal128")))?)
            }
            // Documents have times to the millisecond, and no days without one.
            DataType::Timestamp(..) => {
                let micros = self.values.as_primitive::<TimestampMicrosecondType>().value(row);
                Bson::DateTime(DateTime::from_millis(micros.div_euclid(1_000)))
            }
            DataType::Date32 => {
                let day = self.values.as_primitive::<Date32Type>().value_as_date(row);
                Bson::String(day.ok_or_else(|| wrong("is not a day".to_owned()))?.to_string())
            }
            other => return Err(wrong(format!("documents have no form for {other}"))),
        })
    }
}

fn key_column<'a>(columns: &'a [Column], name: &str) -> Result<&'a Column, MongoError> {
    let found = columns.iter().find(|column| column.name == name);
    found.ok_or_else(|| MongoError::Value {
        column: name.to_owned(),
        why: "it is part of the key, and not there".into(),
    })
}

/// The `_id` of a row: the value of the one column of the key, or the texts of several with `/`
/// between them.
fn id(keys: &[&Column], row: usize) -> Result<Bson, MongoError> {
    let value = |column: &Column| match column.value(row)? {
        Bson::Null => {
            Err(MongoError::Value { column: column.name.clone(), why: "it is part of the key, and null".into() })
        }
        value => Ok(value),
    };
    if let [column] = keys {
        return value(column);
    }
    let texts = keys.iter().map(|column| Ok(text(&value(column)?).replace('%', "%25").replace('/', "%2F")));
    Ok(Bson::String(texts.collect::<Result<Vec<_>, MongoError>>()?.join("/")))
}

/// A value of a key as text.
pub(crate) fn text(value: &Bson) -> String {
    match value {
        Bson::String(text) => text.clone(),
        Bson::DateTime(time) => time.try_to_rfc3339_string().unwrap_or_else(|_| time.timestamp_millis().to_string()),
        Bson::Decimal128(number) => number.to_string(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array, StringArray,
        TimestampMicrosecondArray, UInt64Array,
    };
    use mongodb::bson::doc;

    use super::*;

    fn target(key: &[&str]) -> SinkTarget {
        let key = key.iter().map(|name| (*name).to_owned()).collect();
        SinkTarget { name: "copia".into(), collection: "copia".into(), key, expires: None }
    }

    fn decimal(text: &str) -> Bson {
        Bson::Decimal128(text.parse().expect("a decimal"))
    }

    #[test]
    fn rows_become_documents_of_exact_values() {
        let batch = RecordBatch::try_from_iter([
            (
                "janela_inicio",
                Arc::new(TimestampMicrosecondArray::from(vec![1_747_224_000_123_456]).with_timezone("UTC")) as ArrayRef,
            ),
            ("moeda", Arc::new(StringArray::from(vec!["a/b%"])) as ArrayRef),
            (
                "receita",
                Arc::new(Decimal128Array::from(vec![1_050]).with_precision_and_scale(38, 2).expect("a type"))
                    as ArrayRef,
            ),
            ("pedidos", Arc::new(Int32Array::from(vec![3])) as ArrayRef),
            ("total", Arc::new(UInt64Array::from(vec![u64::MAX])) as ArrayRef),
            ("taxa", Arc::new(Float64Array::from(vec![0.5])) as ArrayRef),
            ("dia", Arc::new(Date32Array::from(vec![20_222])) as ArrayRef),
            ("provisoria", Arc::new(BooleanArray::from(vec![true])) as ArrayRef),
            ("regiao", Arc::new(StringArray::from(vec![None::<&str>])) as ArrayRef),
            (DELETED, Arc::new(BooleanArray::from(vec![None])) as ArrayRef),
        ])
        .expect("a batch");
        let changes = changes(&target(&["janela_inicio", "moeda"]), 7, &[batch]).expect("documents");
        let id = "2025-05-14T12:00:00.123Z/a%2Fb%25";
        let expected = doc! {
            "_id": id,
            "janela_inicio": DateTime::from_millis(1_747_224_000_123),
            "moeda": "a/b%",
            "receita": decimal("10.50"),
            "pedidos": 3_i64,
            "total": decimal("18446744073709551615"),
            "taxa": 0.5,
            "dia": "2025-05-14",
            "provisoria": true,
            "regiao": Bson::Null,
            "_epoch": 7_i64,
        };
        assert_eq!(changes.documents.into_iter().collect::<Vec<_>>(), [(id.to_owned(), expected)]);
    }

    #[test]
    fn of_rows_with_one_key_the_last_counts_and_one_column_is_the_id_itself() {
        let batch = |rows: &[(i64, Option<bool>)]| {
            let numbers = Int64Array::from_iter_values(rows.iter().map(|row| row.0));
            let deleted = BooleanArray::from_iter(rows.iter().map(|row| row.1));
            RecordBatch::try_from_iter([("n", Arc::new(numbers) as ArrayRef), (DELETED, Arc::new(deleted) as ArrayRef)])
                .expect("a batch")
        };
        let batches = [batch(&[(1, None), (2, Some(false)), (3, Some(true))]), batch(&[(1, Some(true)), (3, None)])];
        let changes = changes(&target(&["n"]), 1, &batches).expect("documents");
        assert_eq!(changes.deleted.into_values().collect::<Vec<_>>(), [Bson::Int64(1)]);
        let ids: Vec<_> =
            changes.documents.values().map(|document| document.get_i64("_id").expect("a number")).collect();
        assert_eq!(ids, [2, 3]);
    }

    #[test]
    fn what_cannot_be_a_document_is_named() {
        let texts = |name: &str, text: Option<&str>| {
            RecordBatch::try_from_iter([(name, Arc::new(StringArray::from(vec![text])) as ArrayRef)]).expect("a batch")
        };
        let long = Decimal128Array::from(vec![i128::from(i64::MAX) * 10_i128.pow(18) + 7]);
        let long = long.with_precision_and_scale(38, 2).expect("a type");
        let long = RecordBatch::try_from_iter([("k", Arc::new(long) as ArrayRef)]).expect("a batch");
        for (batch, words) in [
            (texts("k", None), "column k cannot be written: it is part of the key, and null"),
            (texts("x", Some("a")), "column k cannot be written: it is part of the key, and not there"),
            (texts("_id", Some("a")), "column _id cannot be written: its name is taken"),
            (long, "too many digits"),
        ] {
            let error = changes(&target(&["k"]), 1, &[batch]).expect_err(words).to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
