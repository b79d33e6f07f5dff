//! The audit trail, table `auditoria`: one row for every act that changes data or access, from any
//! front.
//!
//! It is append-only. An act is recorded once it is done, with the state before and after it; an
//! act that failed is recorded too, with the reason as its result.

use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use chrono::Utc;
use datafusion::catalog::TableProvider;
use uuid::Uuid;

use crate::append_table::AppendTable;
use crate::error::StoreError;
use crate::layout::Layout;
use crate::location::Location;

/// The table's name, and its folder in the store.
pub const AUDIT_TABLE: &str = "auditoria";

/// One act.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Act {
    /// Who acted: `os:USER@HOST` for a command, a key's name for a request.
    pub principal: String,
    /// What was done: `importar`, `desfazer_importacao`, `substituir_importacao`, `reprocessar`,
    /// `consultar_de_novo`, `reparar`, `pular`, `aceitar_log`, `reter`, `compactar`, `silenciar`,
    /// `criar_chave`, `listar_chaves`, `revogar_chave`; of requests `negar`, `exportar`, `entrar`,
    /// `sair`.
    pub action: &'static str,
    /// What it was done to: a table, an import, a range of offsets.
    pub target: String,
    /// `ok`, or why it failed.
    pub result: String,
    /// Counts or states before the act, as JSON.
    pub before: Option<String>,
    /// Counts or states after it, as JSON.
    pub after: Option<String>,
    /// Shared by everything that one command or request did.
    pub correlation_id: String,
}

impl Act {
    /// An act of the person who runs this process.
    pub fn of_command(action: &'static str, target: impl Into<String>) -> Self {
        Self {
            principal: principal(),
            action,
            target: target.into(),
            result: "ok".to_owned(),
            correlation_id: Uuid::new_v4().to_string(),
            ..Self::default()
        }
    }

    /// With the state before the act, as JSON.
    pub fn before(self, counts: impl Into<String>) -> Self {
        Self { before: Some(counts.into()), ..self }
    }

    /// With the state after the act, as JSON.
    pub fn after(self, counts: impl Into<String>) -> Self {
        Self { after: Some(counts.into()), ..self }
    }

    /// The act failed, for this reason.
    pub fn failed(self, reason: impl std::fmt::Display) -> Self {
        Self { result: reason.to_string(), ..self }
    }

    /// Appends the act to the audit trail of the store at `store`.
    pub async fn record(&self, store: &Location) -> Result<(), StoreError> {
        Self::record_all(std::slice::from_ref(self), store).await
    }

    /// Appends these acts, in one commit.
    pub async fn record_all(acts: &[Self], store: &Location) -> Result<(), StoreError> {
        let schema = audit_schema();
        let mut table =
            AppendTable::open(AUDIT_TABLE, &Layout::of(store).table(AUDIT_TABLE), Arc::clone(&schema)).await?;
        let text =
            |text: fn(&Self) -> &str| -> ArrayRef { Arc::new(StringArray::from_iter_values(acts.iter().map(text))) };
        let maybe =
            |text: fn(&Self) -> Option<&str>| -> ArrayRef { Arc::new(acts.iter().map(text).collect::<StringArray>()) };
        let now = TimestampMicrosecondArray::from_value(Utc::now().timestamp_micros(), acts.len()).with_timezone("UTC");
        let columns: Vec<ArrayRef> = vec![
            Arc::new(now),
            text(|act| &act.principal),
            text(|act| act.action),
            text(|act| &act.target),
            text(|act| &act.result),
            maybe(|act| act.before.as_deref()),
            maybe(|act| act.after.as_deref()),
            text(|act| &act.correlation_id),
        ];
        let rows =
            RecordBatch::try_new(schema, columns).map_err(|source| StoreError::read(AUDIT_TABLE)(source.into()))?;
        table.append(rows).await
    }
}

/// Who runs this process, according to the system and not to the environment, which anybody can
/// set: `os:maria@caixa-1`, or the user's number if it has no name.
fn principal() -> String {
    let user = std::fs::metadata("/proc/self").map(|process| process.uid()).ok();
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = user.and_then(|user| user_name(&users, user)).map(str::to_owned);
    let name = name.or_else(|| user.map(|user| user.to_string())).unwrap_or_else(|| "unknown".to_owned());
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match host.trim() {
        "" => format!("os:{name}"),
        host => format!("os:{name}@{host}"),
    }
}

/// A line is `name:password:number:...`.
fn user_name(users: &str, number: u32) -> Option<&str> {
    users.lines().find_map(|line| {
        let mut parts = line.split(':');
        let (name, found) = (parts.next()?, parts.nth(1)?);
        (found.parse() == Ok(number)).then_some(name)
    })
}

/// Every act so far; none before the first.
pub async fn audit_trail(store: &Location) -> Result<Option<Arc<dyn TableProvider>>, StoreError> {
    match AppendTable::read(AUDIT_TABLE, &Layout::of(store).table(AUDIT_TABLE)).await? {
        Some(table) => Ok(Some(table.provider().await?)),
        None => Ok(None),
    }
}

/// The columns of the audit trail: one row for each act.
pub fn audit_schema() -> SchemaRef {
    let text = |name: &str, nullable| Field::new(name, DataType::Utf8, nullable);
    Arc::new(Schema::new(vec![
        Field::new("instante", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false),
        text("principal", false),
        text("acao", false),
        text("alvo", false),
        text("resultado", false),
        text("antes", true),
        text("depois", true),
        text("correlation_id", false),
    ]))
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::SessionContext;

    use super::*;

    #[test]
    fn principals_are_users_of_the_system() {
        let users = "root:x:0:0::/root:/bin/sh\nbroken\nmaria:x:1000:1000::/home/maria:/bin/sh\n";
        assert_eq!(user_name(users, 1000), Some("maria"));
        assert_eq!(user_name(users, 7), None);
        let principal = principal();
        assert!(principal.starts_with("os:") && !principal.contains("unknown"), "{principal}");
    }

    #[tokio::test]
    async fn acts_are_appended() {
        let dir = tempfile::tempdir().expect("a folder");
        let store = Location::folder(dir.path()).expect("a store");
        assert!(audit_trail(&store).await.expect("read").is_none());
        Act::of_command("importar", "vendas").after("{\"accepted\":2}").record(&store).await.expect("recorded");
        Act::of_command("reter", "eventos_clientes")
            .failed("the store is down")
            .record(&store)
            .await
            .expect("recorded");
        let trail = audit_trail(&store).await.expect("read").expect("a table");
        let session = SessionContext::new();
        let frame = session.read_table(trail).expect("a frame");
        assert_eq!(frame.count().await.expect("counted"), 2);
    }
}
