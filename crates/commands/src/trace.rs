//! `vitral trace ID`: what became of an event or order, without a server.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::bail;
use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::error::ArrowError;
use chrono::Utc;
use clap::{Args, ValueEnum};
use serde_json::Value;
use serde_json::value::RawValue;
use vitral_config::{Config, REFERENCE_DIR};
use vitral_process::output::terminal::table;
use vitral_process::output::{answer, answer_json};
use vitral_query::{Limits, Number, QueryError, Reader, References, Searched, Store, Trace, TracedRow};
use vitral_schemas::topic::Topic;
use vitral_store::{Archive, History, Layout, Location};

use crate::args::{BadArguments, Common};
use crate::query::NO_TIMEOUT;

/// What is looked for, and how it is shown.
#[derive(Debug, Args)]
pub struct Flags {
    /// The id of an event or order, as the catalog's topics have it (option `trace`).
    id: String,
    /// How the answer is written.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For reading.
    Table,
    /// As the API answers it.
    Json,
}

/// Looks for an id in everything that is stored.
pub fn run(config: &Config, common: &Common, flags: &Flags) -> anyhow::Result<()> {
    if flags.id.trim().is_empty() {
        let words = "the id is empty: write that of an event or order, such as `vitral trace 4711`";
        return Err(BadArguments(words.to_owned()).into());
    }
    let settings = config.settings()?;
    let catalog = Arc::new(config.catalog()?);
    let location = config.location(&common.data_dir)?;
    let limits = Limits { timeout: NO_TIMEOUT, ..config.query.limits() };
    let references = References::new(common.data_dir.join(REFERENCE_DIR));
    let reader = Reader::stored(Arc::clone(&catalog), references, limits)?;
    let store = Store::new(Arc::clone(&catalog), settings, location.clone());
    let runtime = vitral_process::runtimes::of_command()?;
    let found: Trace = runtime.block_on(async {
        let mut is_empty = true;
        for (topic, _) in catalog.traced() {
            is_empty &= is_absent(topic, &location).await?;
        }
        if is_empty {
            let names: Vec<&str> = catalog.traced().map(|(topic, _)| topic.name.as_str()).collect();
            return Err(QueryError::NothingStored { names: names.join(", "), place: location.to_string() }.into());
        }
        let point = store.read_point(&reader.everything(), Utc::now().timestamp_millis()).await?;
        anyhow::Ok(reader.trace(&point, &flags.id).await?)
    })?;
    if found.rows.is_empty() {
        let place = |place: &Searched| format!("{} ({})", place.topic, place.columns.join(", "));
        let searched = found.searched.iter().map(place).collect::<Vec<_>>().join("; ");
        bail!(
            "there is no {} in {searched}, nor in what was refused there: correct the id; `vitral ledger list` shows what did not count, \
             and what a running stream has not committed yet is in its API alone",
            flags.id
        );
    }
    let paths: Vec<&str> = catalog.traced().filter_map(|(_, traced)| traced.path.as_deref()).collect();
    show(&found, &paths, flags.format)
}

async fn is_absent(topic: &Topic, location: &Location) -> anyhow::Result<bool> {
    let archive = Archive::read(topic, location).await?;
    let history = History::read(topic, &Layout::of(location).history(topic)).await?;
    Ok(archive.is_none() && history.is_none())
}

fn show(found: &Trace, paths: &[&str], format: Format) -> anyhow::Result<()> {
    if format == Format::Json {
        return Ok(answer_json(found)?);
    }
    answer(&table(&[rows_table(found)?])?);
    for (number, row) in (1..).zip(&found.rows) {
        if let Some(payload) = &row.payload {
            answer(&table(&[texts(&[(&format!("conteudo de {number}"), vec![payload.clone()])])?])?);
        }
    }
    if found.rows.iter().any(|row| !row.numbers.is_empty()) {
        answer(&table(&[numbers_table(found)?])?);
    }
    // As of windows that are still open.
    if found.rows.iter().flat_map(|row| &row.numbers).any(|number| number.values.is_none()) && !paths.is_empty() {
        answer(&format!(
            "a number that is `ausente` is not stored: windows that are still open are in the running stream, GET {}",
            paths.join(", GET ")
        ));
    }
    if found.is_cut {
        answer("there are more rows than are shown; `vitral query` finds all of them");
    }
    Ok(())
}

fn rows_table(found: &Trace) -> Result<RecordBatch, ArrowError> {
    let column = |value: &dyn Fn(&TracedRow) -> Option<String>| -> Vec<String> {
        found.rows.iter().map(|row| value(row).unwrap_or_default()).collect()
    };
    let place = |row: &TracedRow| match (&row.import, row.offset) {
        (Some(import), _) => Some(format!("{import} {}:{}", row.file.as_deref()?, row.line?)),
        (None, Some(offset)) => Some(format!("{}/{offset}", row.partition?)),
        (None, None) => None,
    };
    texts(&[
        ("n", (1..=found.rows.len()).map(|number| number.to_string()).collect()),
        ("topico", column(&|row| Some(row.topic.clone()))),
        ("onde", column(&place)),
        ("chegada", column(&|row| row.arrival.clone())),
        ("instante", column(&|row| row.instant.clone())),
        ("veredito", column(&|row| Some(row.verdict.clone()))),
        ("motivo", column(&|row| row.reason.clone())),
        ("numeros", column(&|row| Some(row.numbers.len().to_string()))),
    ])
}

fn numbers_table(found: &Trace) -> Result<RecordBatch, ArrowError> {
    let all = || {
        let numbered = (1..).zip(&found.rows);
        numbered.flat_map(|(row, traced)| traced.numbers.iter().map(move |number: &Number| (row, number)))
    };
    let state = |number: &Number| match (number.values.is_some(), number.is_provisional) {
        (false, _) => "ausente",
        (true, Some(true)) => "provisoria",
        (true, Some(false)) => "publicada",
        (true, None) => "atual",
    };
    let proof = |number: &Number| {
        number.proof.as_ref().map(|proof| format!("{} {}", proof.verdict, proof.instant)).unwrap_or_default()
    };
    texts(&[
        ("n", all().map(|(row, _): (usize, _)| row.to_string()).collect()),
        ("metrica", all().map(|(_, number)| number.metric.clone()).collect()),
        ("janela_inicio", all().map(|(_, number)| number.window_start.clone().unwrap_or_default()).collect()),
        ("janela_fim", all().map(|(_, number)| number.window_end.clone().unwrap_or_default()).collect()),
        ("chave", all().map(|(_, number)| plain(number.key.as_deref())).collect()),
        ("valores", all().map(|(_, number)| plain(number.values.as_deref())).collect()),
        ("estado", all().map(|(_, number)| state(number).to_owned()).collect()),
        ("prova", all().map(|(_, number)| proof(number)).collect()),
    ])
}

/// An object as `name=value`, with its numbers as they are written.
fn plain(object: Option<&RawValue>) -> String {
    let fields: BTreeMap<String, &RawValue> =
        object.and_then(|object| serde_json::from_str(object.get()).ok()).unwrap_or_default();
    let field = |(name, value): (String, &RawValue)| match serde_json::from_str(value.get()) {
        Ok(Value::String(text)) => format!("{name}={text}"),
        _ => format!("{name}={}", value.get()),
    };
    fields.into_iter().map(field).collect::<Vec<_>>().join(" ")
}

fn texts(columns: &[(&str, Vec<String>)]) -> Result<RecordBatch, ArrowError> {
    let column = |(name, values): &(&str, Vec<String>)| {
        ((*name).to_owned(), Arc::new(StringArray::from_iter_values(values)) as ArrayRef)
    };
    RecordBatch::try_from_iter(columns.iter().map(column))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_shown_with_their_digits() {
        let object =
            RawValue::from_string(r#"{"receita":10.50,"moeda":"BRL","regiao":null}"#.to_owned()).expect("JSON");
        assert_eq!(plain(Some(&object)), "moeda=BRL receita=10.50 regiao=null");
        assert_eq!(plain(None), "");
    }
}
