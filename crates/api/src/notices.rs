//! `GET /avisos`: messages that arrived but do not count, as far as they concern a newcomer; the
//! page shows them.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::{Extension, Json};
use serde::Serialize;
use vitral_catalog::EngineTable;
use vitral_query::{Principal, utc_text};
use vitral_schemas::notice::Notice;
use vitral_schemas::position::{Offset, PartitionId};

use crate::lists;
use crate::parameters::Parameters;
use crate::problem::Problem;
use crate::shared::Shared;

#[derive(Serialize)]
pub(crate) struct Row {
    topico: String,
    veredito: String,
    motivo: Option<String>,
    mensagens: u64,
    particao: PartitionId,
    deslocamento: Offset,
    chegada: Option<String>,
    instante: Option<String>,
}

pub(crate) async fn list(
    State(shared): State<Arc<Shared>>,
    Extension(principal): Extension<Principal>,
    RawQuery(query): RawQuery,
) -> Result<(HeaderMap, Json<Vec<Row>>), Problem> {
    let parameters = Parameters::read(query.as_deref(), &lists::PARAMETERS)?;
    // They are rows of the ledger.
    if !shared.reader.may_read(&principal, EngineTable::Ledger.name()) {
        return Err(Problem::closed("/avisos", "livro:read"));
    }
    let notices = Arc::clone(&shared.notices.borrow());
    let text = |ms: i64| utc_text(ms.saturating_mul(1000));
    let row = |notice: &Notice| Row {
        topico: notice.topic.clone(),
        veredito: notice.verdict.clone(),
        motivo: notice.reason.clone(),
        mensagens: notice.messages,
        particao: notice.partition,
        deslocamento: notice.offset,
        chegada: text(notice.arrival_ms),
        instante: notice.event_ms.and_then(text),
    };
    // There is one of each kind.
    let kind = |notice: &Notice| {
        [notice.topic.as_str(), &notice.verdict, notice.reason.as_deref().unwrap_or_default()].join("/")
    };
    let rows = notices.iter().map(|notice| (kind(notice), row(notice))).collect();
    let (rows, headers) = lists::page(&parameters, "/avisos", rows)?;
    Ok((headers, Json(rows)))
}
