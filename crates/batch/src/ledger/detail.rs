//! What the ledger says of messages beyond their reason, which is all that the archive keeps: they
//! are decoded again.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int32Type, Int64Type, TimestampMicrosecondType};
use chrono_tz::Tz;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{ColumnarValue, Expr, Volatility};
use datafusion::prelude::create_udf;
use vitral_schemas::event_time::EventTime;
use vitral_schemas::topic::Topic;
use vitral_schemas::verdict::{Reason, Unread, Verdict};
use vitral_store::refusals::{
    LOOKED_INTO_BYTES_MAX, NOTE_BYTES, Reassessed, Refusals, cut_note, length_text, time_text,
};

use crate::error::BatchError;

/// The columns that are asked for to explain rows, and not shown.
pub(super) const CONTENT: &str = "_conteudo";
pub(super) const EVENT_TIME: &str = "_tempo";

/// Of a longer payload only the beginning and the end are read: what was cut for its size says so
/// at its end.
const BYTES_MAX: usize = LOOKED_INTO_BYTES_MAX;
/// How much of a content is shown.
const EXCERPT_CHARS: usize = 60;

/// As much of a payload as is read: longer ones are not held in memory whole.
pub(super) fn part_of(payload: Expr) -> Expr {
    let run = |arguments: &[ColumnarValue]| {
        let arrays = ColumnarValue::values_to_arrays(arguments)?;
        let payloads = cast(&arrays[0], &DataType::Binary)?;
        let part = |payload: &[u8]| match payload.len() > BYTES_MAX {
            true => [&payload[..BYTES_MAX - NOTE_BYTES], &payload[payload.len() - NOTE_BYTES..]].concat(),
            false => payload.to_vec(),
        };
        let parts: BinaryArray = payloads.as_binary::<i32>().iter().map(|payload| payload.map(part)).collect();
        Ok(ColumnarValue::Array(Arc::new(parts)))
    };
    create_udf("part_of_payload", vec![DataType::Binary], DataType::Binary, Volatility::Immutable, Arc::new(run))
        .call(vec![payload])
}

/// The columns `detalhe`, which is filled for messages, and `conteudo`, the beginning of what the
/// rows hold.
pub(super) fn explain(topic: &Topic, zone: Tz, rows: &RecordBatch) -> Result<[ArrayRef; 2], BatchError> {
    let failed = BatchError::engine(&topic.name, "explained");
    let column = |name: &str| {
        let found = rows.column_by_name(name).cloned();
        found.ok_or_else(|| failed(DataFusionError::Internal(format!("no column {name}"))))
    };
    let (verdicts, reasons) = (column("veredito")?, column("motivo")?);
    let (verdicts, reasons) = (verdicts.as_string::<i32>(), reasons.as_string::<i32>());
    let (details, contents) = (column("detalhe")?, column(CONTENT)?);
    let (details, contents) = (details.as_string::<i32>(), contents.as_binary::<i32>());
    let (files, times) = (column("arquivo")?, column(EVENT_TIME)?);
    let times = times.as_primitive::<TimestampMicrosecondType>();
    let (partitions, first, last) = (column("particao")?, column("deslocamento")?, column("deslocamento_fim")?);
    let partitions = partitions.as_primitive::<Int32Type>();
    let [first, last] = [&first, &last].map(|offsets| offsets.as_primitive::<Int64Type>());

    let is_refused = |row: usize| files.is_null(row) && verdicts.value(row) == Verdict::Refused.name();
    let whole = |row: usize| {
        let content = contents.is_valid(row).then(|| contents.value(row))?;
        (is_refused(row) && content.len() < BYTES_MAX).then_some(content)
    };
    let refusals = Refusals::new(topic, Some(zone)).map_err(&failed)?;
    let looked = refusals.look((0..rows.num_rows()).map(whole)).map_err(&failed)?;
    let event_time = &topic.columns[topic.event_time].name;
    let detail = |row: usize| -> Option<String> {
        if details.is_valid(row) || files.is_valid(row) {
            return details.is_valid(row).then(|| details.value(row).to_owned());
        }
        let reason = if reasons.is_valid(row) { reasons.value(row) } else { "" };
        if is_refused(row) {
            let content = if contents.is_valid(row) { contents.value(row) } else { Default::default() };
            let note = cut_note(content).filter(|_| reason == Reason::Size.name());
            return note.or_else(|| refused(&refusals, reason, looked.get(&row), whole(row).is_some()));
        }
        if verdicts.value(row) == Verdict::Late.name() {
            let time = time_text(times.is_valid(row).then(|| EventTime::from_micros(times.value(row)))?);
            return Some(format!(
                "{event_time} {time} was more than {} behind the watermark",
                length_text(topic.lateness_ms)
            ));
        }
        let name = &topic.kafka_topic;
        match () {
            () if reason == Unread::Skipped.name() => {
                let (first, last) = (first.value(row), last.value(row));
                Some(format!("skipped by --skip {name}/{}:{first}-{last}", partitions.value(row)))
            }
            () if reason == Unread::NewLog.name() => Some(format!("{name} was deleted and created again")),
            () => None,
        }
    };
    let details: StringArray = (0..rows.num_rows()).map(detail).collect();
    let excerpts: StringArray = contents.iter().map(|content| content.map(excerpt)).collect();
    Ok([Arc::new(details), Arc::new(excerpts)])
}

fn refused(refusals: &Refusals, reason: &str, found: Option<&Reassessed>, is_whole: bool) -> Option<String> {
    match found {
        Some(found) => Some(refusals.words(reason, found)),
        None if !is_whole => Some("too long to be examined here: GET /livro has more of it".to_owned()),
        None => None,
    }
}

/// The beginning, in one line.
fn excerpt(content: &[u8]) -> String {
    let text = String::from_utf8_lossy(content);
    let shown = text
        .chars()
        .take(EXCERPT_CHARS)
        .map(|c| if c.is_control() { c.escape_default().to_string() } else { c.into() });
    let mut shown: String = shown.collect();
    if text.chars().nth(EXCERPT_CHARS).is_some() {
        shown.push_str("...");
    }
    shown
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int32Array, Int64Array, TimestampMicrosecondArray};
    use arrow::datatypes::{Field, Schema};
    use vitral_catalog::{Catalog, DomainSettings};

    use super::*;

    /// Verdict, reason and content; the event time is that of 2025-05-14T12:00:00Z.
    fn explained(rows: &[(&str, Option<&str>, &[u8])]) -> Vec<(String, String)> {
        let topic = Catalog::load(&[], &DomainSettings::default()).expect("the built-in catalog").topics.remove(0);
        let count = rows.len();
        let nothing = || Arc::new(StringArray::new_null(count)) as ArrayRef;
        let times = TimestampMicrosecondArray::from(vec![1_747_224_000_000_000; count]).with_timezone("UTC");
        let columns: [(&str, ArrayRef); 9] = [
            ("particao", Arc::new(Int32Array::from(vec![3; count]))),
            ("deslocamento", Arc::new(Int64Array::from(vec![10; count]))),
            ("deslocamento_fim", Arc::new(Int64Array::from(vec![19; count]))),
            ("arquivo", nothing()),
            ("veredito", Arc::new(rows.iter().map(|(verdict, ..)| Some(*verdict)).collect::<StringArray>())),
            ("motivo", Arc::new(rows.iter().map(|(_, reason, _)| *reason).collect::<StringArray>())),
            ("detalhe", nothing()),
            (CONTENT, Arc::new(rows.iter().map(|(.., content)| Some(*content)).collect::<BinaryArray>())),
            (EVENT_TIME, Arc::new(times)),
        ];
        let fields = columns.iter().map(|(name, column)| Field::new(*name, column.data_type().clone(), true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let rows = RecordBatch::try_new(schema, columns.into_iter().map(|(_, column)| column).collect()).expect("rows");
        let [details, contents] = explain(&topic, chrono_tz::UTC, &rows).expect("explained");
        let text = |column: &ArrayRef, row: usize| column.as_string::<i32>().value(row).to_owned();
        (0..count).map(|row| (text(&details, row), text(&contents, row))).collect()
    }

    #[test]
    fn messages_that_do_not_count_say_why() {
        let event = |rest: &str| format!(r#"{{"id_usuario":"u1","tipo_evento":"compra"{rest}}}"#).into_bytes();
        let good = event(r#","timestamp":"2025-05-14T12:00:00Z""#);
        let cut = [&[b' '; 100][..], b"\n[cut by vitral: 5000 bytes, SHA-256 00]"].concat();
        let long = vec![b'['; BYTES_MAX];
        let found = explained(&[
            ("recusada", Some("json"), b"no json\n\x1b[31m"),
            ("recusada", Some("campo_ausente"), &event("")),
            ("recusada", Some("tempo"), &event(r#","timestamp":"yesterday""#)),
            ("recusada", Some("valor"), &event(r#","timestamp":"2025-05-14T12:00:00Z","preco":"-1""#)),
            ("recusada", Some("futuro"), &good),
            ("recusada", Some("tamanho"), &cut),
            ("recusada", Some("tipo"), &good),
            ("recusada", Some("tipo"), &event("")),
            ("recusada", Some("json"), &long),
            ("atrasada", None, &good),
            ("nao_entregue", Some("pulado"), b""),
            ("nao_entregue", Some("log_novo"), b""),
        ]);
        let words = [
            "byte 0: ",
            "timestamp ",
            "timestamp: \"yesterday\" ",
            "preco",
            "timestamp 2025-05-14T12:00:00Z was more than 60 min ahead",
            "larger than the topic allows: 5000 bytes",
            "would be accepted now",
            "would be refused as campo_ausente now: timestamp ",
            "too long to be examined",
            "timestamp 2025-05-14T12:00:00Z was more than 60 min behind the watermark",
            "skipped by --skip eventos_clientes/3:10-19",
            "deleted and created again",
        ];
        for ((detail, _), words) in found.iter().zip(words) {
            assert!(detail.contains(words), "{words}: {detail}");
        }
        assert_eq!(found[0].1, "no json\\n\\u{1b}[31m", "in one line, and harmless to a terminal");
        assert!(found[8].1.ends_with("[[...") && found[8].1.len() == EXCERPT_CHARS + 3);
    }
}
