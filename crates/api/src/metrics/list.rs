//! `GET /metricas`: what there is to ask for.

use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use axum::extract::{RawQuery, State};
use axum::http::HeaderValue;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json, http::HeaderName};
use serde::Serialize;
use vitral_query::{PROVISIONAL_COLUMN, Principal};
use vitral_schemas::window::Window;

use super::{Failure, path_of};
use crate::lists;
use crate::parameters::Parameters;
use crate::problem::Problem;
use crate::shared::Shared;

const TIME_ZONE: HeaderName = HeaderName::from_static("vitral-time-zone");
const CURRENCY: HeaderName = HeaderName::from_static("vitral-currency");

/// What a table with one row for each key says for its window.
const NO_WINDOW: &str = "sem janela";

#[derive(Serialize)]
struct Entry<'a> {
    nome: &'a str,
    descricao: &'a str,
    janela: String,
    colunas: Vec<Column>,
    url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    falha: Option<Failure>,
}

#[derive(Serialize)]
struct Column {
    nome: String,
    tipo: String,
}

const PATH: &str = "/metricas";

pub(crate) async fn list(
    State(shared): State<Arc<Shared>>,
    Extension(principal): Extension<Principal>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let parameters = Parameters::read(query.as_deref(), &lists::PARAMETERS)?;
    let view = shared.view()?;
    let may_read = |name: &str| shared.reader.may_read(&principal, name);
    let keyed = shared.catalog.keyed.iter().filter(|keyed| may_read(&keyed.name)).filter_map(|keyed| {
        let shown = view.keyed.get(&keyed.name)?;
        let schema = shown.rows.schema();
        Some(Entry {
            nome: &keyed.name,
            descricao: &keyed.description,
            janela: NO_WINDOW.to_owned(),
            colunas: schema.fields().iter().map(|field| column(field.name(), field.data_type())).collect(),
            url: path_of(&keyed.name),
            falha: shown.failure.clone().map(|failure| Failure::of(&principal, failure)),
        })
    });
    let entries = shared.catalog.metrics.iter().filter(|metric| may_read(&metric.name)).filter_map(|metric| {
        let shown = view.metrics.get(&metric.name)?;
        Some(Entry {
            nome: &metric.name,
            descricao: &metric.description,
            janela: window_text(metric.window),
            colunas: columns(&shown.schema),
            url: path_of(&metric.name),
            falha: shown.known_failure().map(|failure| Failure::of(&principal, failure)),
        })
    });
    let entries = entries.chain(keyed).map(|entry| (entry.nome.to_owned(), entry)).collect();
    let (entries, headers) = lists::page(&parameters, PATH, entries)?;
    let mut response = (headers, Json(entries)).into_response();
    let settings = &shared.settings;
    for (name, value) in [(TIME_ZONE, settings.time_zone.name()), (CURRENCY, settings.currency.as_str())] {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(name, value);
        }
    }
    Ok(response)
}

fn columns(schema: &SchemaRef) -> Vec<Column> {
    let stored = schema.fields().iter().map(|field| (field.name().as_str(), field.data_type()));
    stored.chain([(PROVISIONAL_COLUMN, &DataType::Boolean)]).map(|(name, data_type)| column(name, data_type)).collect()
}

fn column(name: &str, data_type: &DataType) -> Column {
    Column { nome: name.into(), tipo: type_text(data_type) }
}

/// The types' names in SQL.
fn type_text(data_type: &DataType) -> String {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text".into(),
        DataType::Int8 | DataType::Int16 => "smallint".into(),
        DataType::Int32 => "integer".into(),
        DataType::Int64 => "bigint".into(),
        DataType::Float32 => "real".into(),
        DataType::Float64 => "double precision".into(),
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            format!("decimal({precision}, {scale})")
        }
        DataType::Timestamp(..) => "timestamp".into(),
        DataType::Date32 | DataType::Date64 => "date".into(),
        DataType::Boolean => "boolean".into(),
        other => other.to_string().to_lowercase(),
    }
}

/// The contract's values are Portuguese.
fn window_text(window: Window) -> String {
    match window {
        Window::Fixed { size_ms, slide_ms } if size_ms == slide_ms => length_text(size_ms),
        Window::Fixed { size_ms, slide_ms } => format!("{} a cada {}", length_text(size_ms), length_text(slide_ms)),
        Window::Days { size: 1 } => "1 dia".into(),
        Window::Days { size } => format!("{size} dias a cada 1 dia"),
        Window::Month => "1 mês".into(),
        Window::Session { gap_ms } => format!("sessão até {} sem eventos", length_text(gap_ms)),
    }
}

fn length_text(ms: i64) -> String {
    const UNITS: [(i64, &str); 4] = [(3_600_000, "h"), (60_000, "min"), (1_000, "s"), (1, "ms")];
    let (unit_ms, unit) = UNITS.into_iter().find(|(unit_ms, _)| ms % unit_ms == 0).unwrap_or((1, "ms"));
    format!("{} {unit}", ms / unit_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_in_words() {
        let fixed = |size_ms, slide_ms| window_text(Window::Fixed { size_ms, slide_ms });
        assert_eq!(fixed(60_000, 60_000), "1 min");
        assert_eq!(fixed(300_000, 60_000), "5 min a cada 1 min");
        assert_eq!(fixed(3_600_000, 90_000), "1 h a cada 90 s");
        assert_eq!(window_text(Window::Days { size: 7 }), "7 dias a cada 1 dia");
    }
}
