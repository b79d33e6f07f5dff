//! What was reported is shown again after a restart: it is kept in a file of the data directory.

use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use vitral_schemas::notice::Notice;
use vitral_schemas::position::{Offset, PartitionId};

const FILE: &str = "avisos.json";
/// Nobody asks about older ones any more.
const KEPT_MS: i64 = 7 * 24 * 3_600_000;

#[derive(Serialize, Deserialize)]
struct Kept {
    topico: String,
    veredito: String,
    motivo: Option<String>,
    mensagens: u64,
    particao: PartitionId,
    deslocamento: Offset,
    chegada_ms: i64,
    instante_ms: Option<i64>,
}

/// What an earlier run has left; nothing if the file is not there, and nothing with a warning if it
/// cannot be read.
pub(super) fn load(data_dir: &Path, now_ms: i64) -> Vec<Notice> {
    let path = data_dir.join(FILE);
    let text = match std::fs::read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
        read => read.map_err(anyhow::Error::from),
    };
    let kept = text.and_then(|text| Ok(serde_json::from_slice::<Vec<Kept>>(&text)?));
    let kept = kept.unwrap_or_else(|error| {
        tracing::warn!(path = %path.display(), %error, "the notices of the last run cannot be read");
        Vec::new()
    });
    kept.into_iter().filter(|kept| now_ms - kept.chegada_ms <= KEPT_MS).map(Notice::from).collect()
}

/// Whole or not at all.
pub(super) fn store<'a>(data_dir: &Path, notices: impl Iterator<Item = &'a Notice>) -> anyhow::Result<()> {
    let (path, partial) = (data_dir.join(FILE), data_dir.join(format!(".{FILE}.partial")));
    let kept: Vec<Kept> = notices.map(Kept::from).collect();
    std::fs::write(&partial, serde_json::to_vec(&kept)?).with_context(|| format!("{}", partial.display()))?;
    std::fs::rename(&partial, &path).with_context(|| format!("{}", path.display()))
}

impl From<&Notice> for Kept {
    fn from(notice: &Notice) -> Self {
        let Notice { topic, verdict, reason, messages, partition, offset, arrival_ms, event_ms } = notice.clone();
        Self {
            topico: topic,
            veredito: verdict,
            motivo: reason,
            mensagens: messages,
            particao: partition,
            deslocamento: offset,
            chegada_ms: arrival_ms,
            instante_ms: event_ms,
        }
    }
}

impl From<Kept> for Notice {
    fn from(kept: Kept) -> Self {
        Self {
            topic: kept.topico,
            verdict: kept.veredito,
            reason: kept.motivo,
            messages: kept.mensagens,
            partition: kept.particao,
            offset: kept.deslocamento,
            arrival_ms: kept.chegada_ms,
            event_ms: kept.instante_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_are_kept_for_days_and_a_damaged_file_stops_nothing() {
        let dir = tempfile::tempdir().expect("a folder");
        let notice = |arrival_ms| Notice {
            topic: "eventos_clientes".to_owned(),
            verdict: "recusada".to_owned(),
            reason: Some("json".to_owned()),
            messages: 3,
            partition: PartitionId(1),
            offset: Offset(7),
            arrival_ms,
            event_ms: None,
        };
        assert_eq!(load(dir.path(), 0), []);
        store(dir.path(), [notice(1_000), notice(KEPT_MS)].iter()).expect("stored");
        assert_eq!(load(dir.path(), KEPT_MS), [notice(1_000), notice(KEPT_MS)]);
        assert_eq!(load(dir.path(), KEPT_MS + 2_000), [notice(KEPT_MS)]);
        std::fs::write(dir.path().join(FILE), "[{").expect("written");
        assert_eq!(load(dir.path(), 0), []);
    }
}
