//! Operations that give rows: endpoints, metrics, tables that are kept up to date, and their live
//! streams.

use std::collections::BTreeMap;

use arrow::datatypes::{DataType, Schema as Columns};
use utoipa::openapi::path::{HttpMethod, Operation, Parameter, PathItem};
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Schema, Type};
use utoipa::openapi::{Content, Ref, RefOr, ResponseBuilder};
use vitral_catalog::{Endpoint, KeyedView, Metric};
use vitral_query::{FROM, Format, LIMIT, NOW, ServedColumns, UNTIL};

use super::errors::{self, Codes, Problems};
use super::operation::{Described, word};
use super::{Description, columns, headers};
use crate::accept::media_type;
use crate::endpoints;
use crate::metrics::{LIMIT_DEFAULT, SESSIONS_DEFAULT, path_of};
use crate::parameters::CURSOR;
use crate::problem::Problem;
use crate::shared::Shared;

pub(super) const COMPLETENESS: &str = "Completude";
pub(super) const FAILURE: &str = "Falha";
const ENDPOINTS: &str = "consultas";
const METRICS: &str = "metricas";
const LIVE: &str = "ao_vivo";
const EVENTS: &str = "text/event-stream";

/// A metric, or a table that is kept up to date.
struct Table<'a> {
    name: &'a str,
    about: &'a str,
    columns: &'a Columns,
    parameters: Vec<Parameter>,
}

/// Every path that gives rows.
pub(super) fn add(description: &mut Description, shared: &Shared, served: &ServedColumns) -> Result<(), Problem> {
    for endpoint in &shared.catalog.endpoints {
        if let Some(columns) = served.endpoints.get(&endpoint.path) {
            let name = format!("Linha_{}", word(&endpoint.name));
            description.schemas.insert(name.clone(), columns::row(columns).into());
            let operation = of_endpoint(shared, endpoint, &name, &mut description.problems)?;
            description.add(&endpoint.path, HttpMethod::Get, operation);
        }
    }
    for metric in &shared.catalog.metrics {
        if let Some(columns) = served.tables.get(&metric.name) {
            let table = of_metric(shared, metric, columns);
            let takes_limit = metric.window.session_gap_micros().is_some();
            add_table(description, table, takes_limit);
        }
    }
    for keyed in &shared.catalog.keyed {
        if let Some(columns) = served.tables.get(&keyed.name) {
            add_table(description, of_keyed(shared, keyed, columns), false);
        }
    }
    add_templates(description);
    Ok(())
}

fn of_endpoint(shared: &Shared, endpoint: &Endpoint, row: &str, problems: &mut Problems) -> Result<Operation, Problem> {
    let needs = shared.reader.needs(&endpoint.query, &endpoint.position)?;
    let rules: BTreeMap<_, _> = shared.reader.parameter_rules(&shared.catalog, endpoint, &needs).into_iter().collect();
    let parameter = |name: &String| match name.as_str() {
        FROM => headers::from(),
        UNTIL => headers::until(),
        LIMIT => headers::limit(endpoint.limit_default),
        other => headers::filter(other, rules.get(other)),
    };
    let own = endpoint.parameters.iter().filter(|name| *name != NOW).map(parameter);
    let cursor = endpoints::is_paged(endpoint).then(headers::cursor);
    let id = word(&endpoint.name);
    let described = Described::new(id, ENDPOINTS, &endpoint.description);
    let described = described.with(own.chain(cursor).chain([headers::if_none_match()]));
    let rows = ArrayBuilder::new().items(Ref::from_schema_name(row));
    Ok(described.answers(good(rows), LIST, problems))
}

const LIST: &[Codes] = &[errors::VIEW, errors::PAGED, errors::ROWS];

/// Rows in all formats, and that nothing has changed.
fn good(json: impl Into<RefOr<Schema>>) -> [(&'static str, ResponseBuilder); 2] {
    let json = json.into();
    let rows = Format::ALL.into_iter().fold(ResponseBuilder::new().description("The rows."), |response, format| {
        response.content(media_type(format), Content::new(Some(in_format(format, &json))))
    });
    let rows = headers::put(rows, &[&headers::KEPT, &headers::PAGED, &headers::COMPLETENESS, &["Age"]]);
    [("200", rows), ("304", unchanged())]
}

pub(super) fn unchanged() -> ResponseBuilder {
    headers::put(ResponseBuilder::new().description("The client has the answer already."), &[&headers::KEPT])
}

fn in_format(format: Format, json: &RefOr<Schema>) -> RefOr<Schema> {
    let about = match format {
        Format::Json => return json.clone(),
        Format::Csv => "A line of names, then a line for each row; null is an empty field.",
        Format::NdJson => "An object in each line.",
        Format::Arrow => "Arrow's IPC stream.",
    };
    ObjectBuilder::new().schema_type(Type::String).description(Some(about)).into()
}

fn of_metric<'a>(shared: &Shared, metric: &'a Metric, columns: &'a Columns) -> Table<'a> {
    let paging = [headers::from(), headers::until(), headers::limit(LIMIT_DEFAULT), headers::cursor()];
    let filters = filters(shared, &metric.topic, columns, &[FROM, UNTIL, LIMIT, CURSOR]);
    let parameters = paging.into_iter().chain(filters).collect();
    Table { name: &metric.name, about: &metric.description, columns, parameters }
}

fn of_keyed<'a>(shared: &Shared, keyed: &'a KeyedView, columns: &'a Columns) -> Table<'a> {
    let filters = filters(shared, &keyed.topic, columns, &[LIMIT, CURSOR]);
    let parameters = headers::paging(LIMIT_DEFAULT).into_iter().chain(filters).collect();
    Table { name: &keyed.name, about: &keyed.description, columns, parameters }
}

/// The columns of text, but not the names that stand next to ids.
fn filters(shared: &Shared, topic: &str, columns: &Columns, taken: &[&str]) -> Vec<Parameter> {
    let is_name = |name: &&str| {
        let mut namings = shared.catalog.namings();
        namings.any(|(_, naming)| naming.name == **name && columns.column_with_name(&naming.id).is_some())
    };
    let is_text = |data_type: &DataType| matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    let texts = columns.fields().iter().filter(|field| is_text(field.data_type())).map(|field| field.name().as_str());
    let names: Vec<&str> = texts.filter(|name| !taken.contains(name) && !is_name(name)).collect();
    let rules: BTreeMap<_, _> = shared.filter_rules(topic, &names).into_iter().collect();
    names.into_iter().map(|name| headers::filter(name, rules.get(name))).collect()
}

fn add_table(description: &mut Description, table: Table<'_>, takes_limit: bool) {
    let (path, name) = (path_of(table.name), word(table.name));
    let (row, whole) = (format!("Linha_{name}"), format!("Metrica_{name}"));
    let rows = ArrayBuilder::new().items(Ref::from_schema_name(row.as_str()));
    description.schemas.insert(row, columns::row(table.columns).into());
    description.schemas.insert(whole.clone(), document(rows, Some(table.name)).into());
    let described = Described::new(format!("metrica_{name}"), METRICS, table.about)
        .with(table.parameters.into_iter().chain([headers::if_none_match()]));
    let page = described.answers(good(Ref::from_schema_name(&whole)), LIST, &mut description.problems);
    let limit = takes_limit.then(|| headers::limit(SESSIONS_DEFAULT));
    let described = Described::new(format!("ao_vivo_{name}"), LIVE, table.about).with(limit);
    let about = format!("A message at once, and another at each change; the data of each is a {whole}.");
    let live = described.answers([("200", stream(about))], LIVE_CODES, &mut description.problems);
    description.add(&path, HttpMethod::Get, page);
    description.add(&format!("{path}/ao_vivo"), HttpMethod::Get, live);
}

const LIVE_CODES: &[Codes] = &[errors::VIEW, errors::LIVE];

fn stream(about: String) -> ResponseBuilder {
    let text = ObjectBuilder::new().schema_type(Type::String).description(Some(about));
    ResponseBuilder::new().description("Server-sent events.").content(EVENTS, Content::new(Some(text)))
}

/// Without a name, of any metric.
fn document(rows: ArrayBuilder, name: Option<&str>) -> Schema {
    let word = ObjectBuilder::new().schema_type(Type::String);
    let word = match name {
        Some(name) => word.enum_values(Some([name])),
        None => word,
    };
    let removed = ArrayBuilder::new().items(RefOr::T(columns::any_row()));
    let removed = removed.description(Some("Of a live stream, the keys of rows that were removed."));
    ObjectBuilder::new()
        .property("nome", word)
        .property("linhas", rows)
        .property("removidas", removed)
        .property("completude", Ref::from_schema_name(COMPLETENESS))
        .property("falha", Ref::from_schema_name(FAILURE))
        .required("nome")
        .required("linhas")
        .build()
        .into()
}

/// The same paths for a name that is not known beforehand.
fn add_templates(description: &mut Description) {
    let name = || headers::in_path("nome", "The name of a metric or table, as GET /metricas lists it.");
    let rows = ArrayBuilder::new().items(RefOr::T(columns::any_row()));
    let about =
        "Rows of any metric, newest window first, or of a table by its keys. Filters are its own columns of text.";
    let described = Described::new("metrica", METRICS, about)
        .with([name()].into_iter().chain(headers::paging(LIMIT_DEFAULT)).chain([headers::if_none_match()]));
    let codes: Vec<Codes> = LIST.iter().copied().chain([errors::NAMED]).collect();
    let page = described.answers(good(document(rows, None)), &codes, &mut description.problems);
    description.add("/metricas/{nome}", HttpMethod::Get, page);
    let about = "The newest window of any metric at each change, or the rows of a table that have changed.";
    let described = Described::new("ao_vivo", LIVE, about).with([name()]);
    let codes: Vec<Codes> = LIVE_CODES.iter().copied().chain([errors::NAMED]).collect();
    let response = stream("The data of each message is a document as GET /metricas/{nome} has it.".to_owned());
    let live = described.answers([("200", response)], &codes, &mut description.problems);
    description.add("/metricas/{nome}/ao_vivo", HttpMethod::Get, live);
}

impl Description {
    pub(super) fn add(&mut self, path: &str, method: HttpMethod, operation: Operation) {
        let item = PathItem::new(method, operation);
        match self.paths.paths.get_mut(path) {
            Some(known) => known.merge_operations(item),
            None => drop(self.paths.paths.insert(path.to_owned(), item)),
        }
    }
}
