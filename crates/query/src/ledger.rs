//! The ledger, `livro`: every row of every topic that did not count, and why.

use std::sync::{Arc, OnceLock};

use arrow::array::{AsArray, StringArray};
use arrow::compute::cast;
use arrow::compute::kernels::length::length;
use arrow::datatypes::{DataType, Schema};
use datafusion::catalog::TableProvider;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, Expr, LogicalPlan, LogicalPlanBuilder, ScalarUDF, Signature, SimpleScalarUDF, Volatility, ident, lit,
};
use datafusion::scalar::ScalarValue;
use vitral_catalog::{Catalog, EngineTable};
use vitral_engine::text_of_bytes;
use vitral_panes::view::{TopicView, View};
use vitral_schemas::topic::{Topic, archive_columns, history_columns, timestamp_type};
use vitral_schemas::verdict::Verdict;
use vitral_store::Histories;
use vitral_store::refusals::Refusals;

use crate::error::QueryError;
use crate::tables::{as_type, imported, scan};

/// Committed rows only: what was refused a moment ago comes with the next commit. A range of
/// offsets that were never delivered is one row, from `deslocamento` to `deslocamento_fim`. Rows of
/// files have their file and line instead.
pub(crate) fn plan(catalog: &Catalog, view: &View, histories: &Histories) -> Result<LogicalPlan, QueryError> {
    let unavailable = || QueryError::Unavailable(EngineTable::Ledger.name().to_owned());
    let mut parts = Vec::new();
    for topic in &catalog.topics {
        match view.topics.get(&topic.name) {
            Some(view) => parts.push(of_topic(topic, view)?),
            // A topic that was never read has nothing in the ledger.
            None if view.topics_waiting.contains_key(&topic.name) => {}
            None => return Err(unavailable()),
        }
        if let Some(history) = imported(histories, &topic.name)? {
            parts.push(of_files(&topic.name, history)?);
        }
    }
    let mut parts = parts.into_iter();
    let first = LogicalPlanBuilder::from(parts.next().ok_or_else(unavailable)?);
    Ok(parts.try_fold(first, |all, next| Ok::<_, QueryError>(all.union(next)?))?.build()?)
}

fn of_topic(topic: &Topic, view: &TopicView) -> Result<LogicalPlan> {
    use archive_columns::*;
    let schema = view.archive.schema();
    let payload = column(PAYLOAD, &DataType::Binary, &schema)?;
    let (verdict, reason) = (column(VERDICT, &DataType::Utf8, &schema)?, column(REASON, &DataType::Utf8, &schema)?);
    scan(Arc::clone(&view.archive))?
        .filter(ident(VERDICT).not_eq(lit(Verdict::Counted.name())))?
        .project(vec![
            lit(topic.name.as_str()).alias("topico"),
            column(PARTITION, &DataType::Int32, &schema)?.alias("particao"),
            column(OFFSET, &DataType::Int64, &schema)?.alias("deslocamento"),
            column(OFFSET_END, &DataType::Int64, &schema)?.alias("deslocamento_fim"),
            verdict.clone().alias("veredito"),
            reason.clone().alias("motivo"),
            column(ARRIVAL, &timestamp_type(), &schema)?.alias("chegada"),
            text_of_bytes().call(vec![payload.clone()]).alias("conteudo"),
            size(payload.clone()).alias("tamanho"),
            nothing(DataType::Utf8)?.alias("arquivo"),
            nothing(DataType::Utf8)?.alias("planilha"),
            nothing(DataType::Int64)?.alias("linha"),
            detail(topic).call(vec![verdict, reason, payload]).alias("detalhe"),
        ])?
        .build()
}

/// What is wrong with a message that was refused: of most rows nobody asks, so that nothing is
/// prepared before.
fn detail(topic: &Topic) -> ScalarUDF {
    let (topic, refusals) = (topic.clone(), OnceLock::new());
    let run = move |arguments: &[ColumnarValue]| {
        let arrays = ColumnarValue::values_to_arrays(arguments)?;
        let refusals = match refusals.get() {
            Some(refusals) => refusals,
            None => {
                let made = Refusals::new(&topic, None)?;
                refusals.get_or_init(|| made)
            }
        };
        let (verdicts, reasons) = (arrays[0].as_string::<i32>(), arrays[1].as_string::<i32>());
        let rows = verdicts.iter().zip(reasons).zip(arrays[2].as_binary::<i32>());
        let details = refusals.explain(rows.map(|((verdict, reason), payload)| (verdict, reason, payload)))?;
        Ok(ColumnarValue::Array(Arc::new(StringArray::from_iter(details))))
    };
    let taken = Signature::exact(vec![DataType::Utf8, DataType::Utf8, DataType::Binary], Volatility::Immutable);
    let run = Arc::new(run);
    ScalarUDF::from(SimpleScalarUDF::new_with_signature("why_it_was_refused", taken, DataType::Utf8, run))
}

fn of_files(name: &str, history: &Arc<dyn TableProvider>) -> Result<LogicalPlan> {
    use history_columns::*;
    let schema = history.schema();
    let counts_or_is_gone = [Verdict::Counted.name(), UNDONE].map(lit).to_vec();
    let content = column(PAYLOAD, &DataType::Utf8, &schema)?;
    // A history of an older version lacks it until the next import.
    let sheet = match schema.field_with_name(SHEET) {
        Ok(_) => column(SHEET, &DataType::Utf8, &schema)?,
        Err(_) => nothing(DataType::Utf8)?,
    };
    scan(Arc::clone(history))?
        .filter(ident(VERDICT).in_list(counts_or_is_gone, true))?
        .project(vec![
            lit(name).alias("topico"),
            nothing(DataType::Int32)?.alias("particao"),
            nothing(DataType::Int64)?.alias("deslocamento"),
            nothing(DataType::Int64)?.alias("deslocamento_fim"),
            column(VERDICT, &DataType::Utf8, &schema)?.alias("veredito"),
            column(REASON, &DataType::Utf8, &schema)?.alias("motivo"),
            column(ARRIVAL, &timestamp_type(), &schema)?.alias("chegada"),
            content.clone().alias("conteudo"),
            size(content).alias("tamanho"),
            column(FILE, &DataType::Utf8, &schema)?.alias("arquivo"),
            sheet.alias("planilha"),
            column(LINE, &DataType::Int64, &schema)?.alias("linha"),
            column(DETAIL, &DataType::Utf8, &schema)?.alias("detalhe"),
        ])?
        .build()
}

/// How many bytes a content has.
fn size(content: Expr) -> Expr {
    let run = |arguments: &[ColumnarValue]| {
        let arrays = ColumnarValue::values_to_arrays(arguments)?;
        let bytes = length(&cast(&arrays[0], &DataType::Binary)?)?;
        Ok(ColumnarValue::Array(cast(&bytes, &DataType::Int64)?))
    };
    let any = Signature::any(1, Volatility::Immutable);
    ScalarUDF::from(SimpleScalarUDF::new_with_signature("size_in_bytes", any, DataType::Int64, Arc::new(run)))
        .call(vec![content])
}

fn nothing(data_type: DataType) -> Result<Expr> {
    Ok(lit(ScalarValue::try_from(&data_type)?))
}

fn column(name: &str, wanted: &DataType, found: &Schema) -> Result<Expr> {
    Ok(as_type(ident(name), wanted, found.field_with_name(name)?.data_type()))
}
