//! Operations that every catalog has, and those by which messages are sent and found again.

use serde_json::json;
use utoipa::openapi::path::{HttpMethod, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBody;
use utoipa::openapi::schema::{
    AdditionalProperties, AnyOfBuilder, ArrayBuilder, KnownFormat, ObjectBuilder, Schema, Type,
};
use utoipa::openapi::{Content, Ref, RefOr, Required, ResponseBuilder};
use vitral_catalog::{Catalog, Entrance, TRACED_ID};
use vitral_schemas::topic::Topic;

use super::columns::{self, format, or_null};
use super::errors::{self, Codes};
use super::operation::{Described, word};
use super::rows::{FAILURE, unchanged};
use super::{Description, headers};
use crate::lists;
use crate::write::ITEMS_MAX;

const JSON: &str = "application/json";
const STATE: &str = "estado";
const LISTS: &str = "listas";
const SENT: &str = "envio";
const SIGN_IN: &str = "entrada";

pub(super) fn add(description: &mut Description, catalog: &Catalog) {
    add_lists(description);
    add_state(description);
    add_silence(description);
    add_sign_in(description);
    for (topic, entrance) in catalog.entrances() {
        add_entrance(description, catalog, topic, entrance);
    }
    for (topic, traced) in catalog.traced() {
        if let Some(path) = &traced.path {
            add_trace(description, topic, path);
        }
    }
}

fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

fn text_or_null() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(or_null([Type::String]))
}

fn time_or_null() -> ObjectBuilder {
    text_or_null().format(format(KnownFormat::DateTime))
}

fn count() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0)).format(format(KnownFormat::Int64))
}

/// All of its fields are there.
fn whole(fields: impl IntoIterator<Item = (&'static str, ObjectBuilder)>) -> ObjectBuilder {
    let object = ObjectBuilder::new();
    fields.into_iter().fold(object, |object, (name, schema)| object.property(name, schema).required(name))
}

fn json_of(about: &str, schema: impl Into<RefOr<Schema>>) -> ResponseBuilder {
    ResponseBuilder::new().description(about).content(JSON, Content::new(Some(schema)))
}

fn add_lists(description: &mut Description) {
    let codes: &[Codes] = &[errors::VIEW, errors::PAGED];
    let column = whole([("nome", text()), ("tipo", text().description(Some("Its type in SQL.")))]);
    let metric = whole([("nome", text()), ("descricao", text()), ("janela", text()), ("url", text())])
        .property("colunas", ArrayBuilder::new().items(column))
        .required("colunas")
        .property("falha", Ref::from_schema_name(FAILURE));
    let about = "What metrics and tables there are, with their columns and where their rows are.";
    let own: &[&str] = &["Vitral-Time-Zone", "Vitral-Currency"];
    add_list(description, ("listar_metricas", "/metricas", about), ArrayBuilder::new().items(metric), own, codes);
    let notice = whole([
        ("topico", text()),
        ("veredito", text()),
        ("motivo", text_or_null()),
        ("mensagens", count()),
        ("particao", ObjectBuilder::new().schema_type(Type::Integer)),
        ("deslocamento", ObjectBuilder::new().schema_type(Type::Integer)),
        ("chegada", time_or_null()),
        ("instante", time_or_null()),
    ]);
    let about = "Messages that came but do not count, by kind, for those who have just begun to send some.";
    let codes: &[Codes] = &[errors::PAGED];
    add_list(description, ("listar_avisos", "/avisos", about), ArrayBuilder::new().items(notice), &[], codes);
}

fn add_list(
    description: &mut Description,
    (id, path, about): (&str, &str, &str),
    entries: ArrayBuilder,
    own_headers: &[&str],
    codes: &[Codes],
) {
    let parameters = headers::paging(lists::LIMIT_DEFAULT).into_iter().chain([headers::if_none_match()]);
    let described = Described::new(id, LISTS, about).with(parameters);
    let response = json_of("The entries.", entries);
    let response = headers::put(response, &[&headers::KEPT, &headers::PAGED, own_headers]);
    let operation = described.answers([("200", response), ("304", unchanged())], codes, &mut description.problems);
    description.add(path, HttpMethod::Get, operation);
}

fn add_state(description: &mut Description) {
    let described = Described::new("vivo", STATE, "Whether the process lives.").open();
    let lives = whole([("vivo", ObjectBuilder::new().schema_type(Type::Boolean))]);
    let live = described.answers([("200", json_of("It does.", lives))], &[], &mut description.problems);
    description.add("/healthz", HttpMethod::Get, live);

    let trouble = || whole([("assunto", text()), ("codigo", text()), ("detalhe", text())]);
    let ready = || {
        whole([("pronto", ObjectBuilder::new().schema_type(Type::Boolean))])
            .property("problemas", ArrayBuilder::new().items(trouble()))
    };
    let about = "Whether numbers are recovered and current. Those who are known are described why not.";
    let described = Described::new("pronto", STATE, about).open();
    let answers = [("200", json_of("They are.", ready())), ("503", json_of("They are not.", ready()))];
    // Who shows credentials has them examined.
    let operation = described.answers(answers, &[READY], &mut description.problems);
    description.add("/readyz", HttpMethod::Get, operation);

    let described = Described::new("telemetria", STATE, "Figures of the process, for Prometheus.");
    let figures = ResponseBuilder::new()
        .description("All of them.")
        .content("application/openmetrics-text", Content::new(Some(text())));
    let operation = described.answers([("200", figures)], &[], &mut description.problems);
    description.add("/metrics", HttpMethod::Get, operation);

    let described = Described::new("descricao", STATE, "This description.").with([headers::if_none_match()]).open();
    let any = ObjectBuilder::new().additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(true)));
    let response = headers::put(json_of("It is of OpenAPI 3.1.", any), &[&headers::KEPT]);
    let answers = [("200", response), ("304", unchanged())];
    let operation = described.answers(answers, &[], &mut description.problems);
    description.add("/openapi.json", HttpMethod::Get, operation);

    let described = Described::new("pagina_da_descricao", STATE, "This description as a page.").open();
    let page = ResponseBuilder::new().description("The page.").content("text/html", Content::new(Some(text())));
    let operation = described.answers([("200", page)], &[], &mut description.problems);
    description.add("/docs", HttpMethod::Get, operation);
}

const READY: Codes =
    &[(401, &["invalid_credentials"]), (403, &["foreign_origin"]), (429, &["too_many_requests", "too_many_failures"])];

fn body(schema: impl Into<RefOr<Schema>>) -> RequestBody {
    RequestBody::builder().content(JSON, Content::new(Some(schema))).required(Some(Required::True)).build()
}

fn add_silence(description: &mut Description) {
    let wanted = ObjectBuilder::new()
        .property("chave", text_or_null().max_length(Some(1_024)).description(Some("Of one key only.")))
        .property("ate", text().format(format(KnownFormat::DateTime)).description(Some("Within the next 90 days.")))
        .property("motivo", text_or_null().max_length(Some(1_024)))
        .required("ate")
        .additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(false)));
    let kept = whole([
        ("id", text()),
        ("alerta", text()),
        ("chave", text_or_null()),
        ("de", time_or_null()),
        ("ate", time_or_null()),
        ("motivo", text_or_null()),
    ]);
    let about = "Nobody is notified of an alert, or of one of its keys, for a while.";
    let described =
        Described::new("silenciar_alerta", "alertas", about).with([headers::in_path("alerta", "The alert's name.")]);
    let described = Described { body: Some(body(wanted)), ..described };
    let answers = [("201", json_of("The silence.", kept))];
    let operation = described.answers(answers, &[errors::SENT, errors::SILENCE], &mut description.problems);
    description.add("/alertas/{alerta}/silencios", HttpMethod::Post, operation);
}

fn add_sign_in(description: &mut Description) {
    let html = || ResponseBuilder::new().description("The page.").content("text/html", Content::new(Some(text())));
    let elsewhere = || ResponseBuilder::new().description("On to the provider, or to the page.");
    let signed_in = || ResponseBuilder::new().description("The cookie is set, or taken back.");
    let described =
        Described::new("pagina_de_entrada", SIGN_IN, "The page to sign in, or the way to the provider.").open();
    let answers = [("200", html()), ("303", elsewhere())];
    let operation = described.answers(answers, &[errors::SIGN_IN], &mut description.problems);
    description.add("/entrar", HttpMethod::Get, operation);
    let wanted =
        whole([("chave", text())]).additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(false)));
    let described = Described::new("entrar", SIGN_IN, "A key for the cookie of a session.").open();
    let described = Described { body: Some(body(wanted)), ..described };
    let codes: &[Codes] = &[errors::KNOWN, errors::SENT, errors::SIGN_IN];
    let operation = described.answers([("204", signed_in())], codes, &mut description.problems);
    description.add("/entrar", HttpMethod::Post, operation);
    let query = |name: &str, about: &str| {
        let parameter = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Query);
        parameter.required(Required::False).description(Some(about)).schema(Some(text())).build()
    };
    let given = [
        query("code", "What the provider gives."),
        query("state", "What the sign-in began with."),
        query("error", "Why the provider refuses."),
    ];
    let described =
        Described::new("volta_do_provedor", SIGN_IN, "Where the provider sends people back.").with(given).open();
    let codes: &[Codes] = &[errors::KNOWN, errors::SIGN_IN];
    let answers = [("200", html()), ("303", elsewhere())];
    let operation = described.answers(answers, codes, &mut description.problems);
    description.add("/entrar/volta", HttpMethod::Get, operation);
    let described = Described::new("sair", SIGN_IN, "Ends the session of a browser.").open();
    let codes: &[Codes] = &[errors::KNOWN, errors::SENT, errors::SIGN_IN];
    let operation = described.answers([("204", signed_in())], codes, &mut description.problems);
    description.add("/sair", HttpMethod::Post, operation);
}

/// One message, several, or what another program sends in its own form.
fn add_entrance(description: &mut Description, catalog: &Catalog, topic: &Topic, entrance: &Entrance) {
    let name = word(&topic.name);
    let message = format!("Mensagem_{name}");
    description.schemas.insert(message.clone(), columns::message(topic).into());
    let one = || Ref::from_schema_name(message.as_str());
    let list = ArrayBuilder::new().items(one()).min_items(Some(1)).max_items(Some(ITEMS_MAX));
    let mut forms = AnyForm(AnyOfBuilder::new().item(one()).item(list));
    for input in catalog.inputs.iter().filter(|input| input.table == topic.name) {
        forms.add(&input.name, &input.lists);
    }
    let placed = whole([
        ("indice", count()),
        ("topico", text()),
        ("particao", ObjectBuilder::new().schema_type(Type::Integer)),
        ("deslocamento", ObjectBuilder::new().schema_type(Type::Integer)),
    ]);
    let accepted = whole([("aceitos", count())]).property("itens", ArrayBuilder::new().items(placed)).required("itens");
    let about = format!(
        "Sends messages to {}. Answered when the broker has all of them; the scope is {}.",
        topic.name, entrance.scope
    );
    let about_key = "Items without an id get one made of it: the same request, repeated under the same key, is \
                     sent again and counts as a duplicate. A repeat with another body within 10 minutes is 422.";
    let key = headers::header("Idempotency-Key", about_key, Some("^[!-~]{1,128}$"));
    let described = Described::new(format!("enviar_{name}"), SENT, &about).with([key]);
    let described = Described { body: Some(body(forms.0)), ..described };
    let codes: &[Codes] = &[errors::SENT, errors::MESSAGES, errors::VIEW];
    let operation =
        described.answers([("202", json_of("Where each lies.", accepted))], codes, &mut description.problems);
    description.add(&entrance.path, HttpMethod::Post, operation);
}

/// An object of another program may happen to be a message too: it is enough that one form fits.
struct AnyForm(AnyOfBuilder);

impl AnyForm {
    fn add(&mut self, name: &str, lists: &[String]) {
        let first = lists.first().map(|path| path.split('.').next().unwrap_or_default().to_owned());
        let Some(first) = first else { return };
        let elements = ArrayBuilder::new().items(RefOr::T(columns::any_row()));
        let about = format!("What {name} sends.");
        let form = ObjectBuilder::new().description(Some(about)).property(&first, elements).required(first);
        self.0 = std::mem::take(&mut self.0).item(form);
    }
}

fn add_trace(description: &mut Description, topic: &Topic, path: &str) {
    let about =
        format!("What became of the messages of {} with this id, and every number they counted in.", topic.name);
    let id = TRACED_ID.trim_matches(['{', '}']);
    let parameters = [headers::in_path(id, "The id."), headers::if_none_match()];
    let described = Described::new(format!("rastro_{}", word(&topic.name)), "rastro", &about).with(parameters);
    let response = json_of("What is known of it.", columns::any_row());
    let answers = [("200", headers::put(response, &[&headers::KEPT])), ("304", unchanged())];
    let codes: &[Codes] = &[errors::VIEW, errors::ROWS, errors::TRACE];
    let operation = described.answers(answers, codes, &mut description.problems);
    description.add(path, HttpMethod::Get, operation);
}

/// `completude` of a metric's answer.
pub(super) fn completeness() -> Schema {
    let lookup = whole([("nao_encontradas", count()), ("falhas", count()), ("desatualizadas", count())])
        .property("desde", text().format(format(KnownFormat::DateTime)));
    let lookups = ObjectBuilder::new()
        .description(Some("What became of look-ups, by column."))
        .additional_properties(Some(lookup));
    let idle = ArrayBuilder::new().items(ObjectBuilder::new().schema_type(Type::Integer));
    whole([
        ("marca_dagua", time_or_null().description(Some("Up to when all events are in."))),
        ("lidas", count()),
        ("contadas", count()),
        ("duplicadas", count()),
        ("atrasadas", count()),
        ("recusadas", count()),
        ("puladas", count()),
        ("ao_vivo", text().enum_values(Some(["atual", "ausente", "outra_versao"]))),
    ])
    .description(Some("Counts of the topic since its archive began; absent for who sees some rows only."))
    .property("particoes_ociosas", idle)
    .required("particoes_ociosas")
    .property("consultas", lookups)
    .property("desde", time_or_null().description(Some("Windows that start before this are missing.")))
    .property("versao_anterior_ate", time_or_null())
    .build()
    .into()
}

/// `falha`: why windows are missing.
pub(super) fn failure() -> Schema {
    whole([("motivo", text()), ("desde", time_or_null())])
        .examples([json!({
            "motivo": "a sum is larger than its column", "desde": "2025-05-14T22:00:00Z",
        })])
        .build()
        .into()
}
