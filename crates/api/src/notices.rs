//! `GET /avisos`: messages that arrived but do not count, as far as they concern a newcomer; the
//! page shows them.

use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, State};
use serde::Serialize;
use vitral_query::utc_text;
use vitral_schemas::position::{Offset, PartitionId};

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
    RawQuery(query): RawQuery,
) -> Result<Json<Vec<Row>>, Problem> {
    Parameters::none(query.as_deref())?;
    let notices = Arc::clone(&shared.notices.borrow());
    let text = |ms: i64| utc_text(ms.saturating_mul(1000));
    let row = |notice: &vitral_schemas::notice::Notice| Row {
        topico: notice.topic.clone(),
        veredito: notice.verdict.clone(),
        motivo: notice.reason.clone(),
        mensagens: notice.messages,
        particao: notice.partition,
        deslocamento: notice.offset,
        chegada: text(notice.arrival_ms),
        instante: notice.event_ms.and_then(text),
    };
    Ok(Json(notices.iter().map(row).collect()))
}
