//! The audit trail, table `auditoria`: one row for every act that changes data or access, by whichever front it came.
//!
//! It is only ever appended to. An act is recorded after it was done, with what was there before and after; one that failed is
//! recorded too, with its reason as the result.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use chrono::Utc;
use datafusion::catalog::TableProvider;
use uuid::Uuid;

use crate::append_table::AppendTable;
use crate::error::StoreError;
use crate::location::Location;

/// The table's name, and its folder in the store.
pub const AUDIT_TABLE: &str = "auditoria";

/// One act.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Act {
    /// Who acted: `os:USER@HOST` for a command, a key's name for a request.
    pub principal: String,
    /// What was done: `importar`, `desfazer_importacao`, `substituir_importacao`, `reprocessar`, `reparar`, `pular`, `aceitar_log`, `reter`,
    /// `compactar`.
    pub action: &'static str,
    /// What it was done to: a table, an import, a range of offsets.
    pub target: String,
    /// `ok`, or why it failed.
    pub result: String,
    /// Counts or states as JSON, before and after.
    pub before: Option<String>,
    pub after: Option<String>,
    /// Shared by everything that one command or request did.
    pub correlation_id: String,
}

impl Act {
    /// An act of the person who runs this process.
    pub fn of_command(action: &'static str, target: impl Into<String>) -> Self {
        let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_else(|_| "unknown".to_owned());
        Self {
            principal: format!("os:{user}"),
            action,
            target: target.into(),
            result: "ok".to_owned(),
            correlation_id: Uuid::new_v4().to_string(),
            ..Self::default()
        }
    }

    pub fn before(self, counts: impl Into<String>) -> Self {
        Self { before: Some(counts.into()), ..self }
    }

    pub fn after(self, counts: impl Into<String>) -> Self {
        Self { after: Some(counts.into()), ..self }
    }

    /// The act failed, for this reason.
    pub fn failed(self, reason: impl std::fmt::Display) -> Self {
        Self { result: reason.to_string(), ..self }
    }

    /// Appends the act to the audit trail of the store at `store`.
    pub async fn record(&self, store: &Location) -> Result<(), StoreError> {
        let schema = audit_schema();
        let mut table = AppendTable::open(AUDIT_TABLE, &store.join(AUDIT_TABLE), Arc::clone(&schema)).await?;
        let text = |text: &str| -> ArrayRef { Arc::new(StringArray::from_iter_values([text])) };
        let maybe = |text: &Option<String>| -> ArrayRef { Arc::new(StringArray::from_iter([text.as_deref()])) };
        let now = TimestampMicrosecondArray::from_value(Utc::now().timestamp_micros(), 1).with_timezone("UTC");
        let columns: Vec<ArrayRef> = vec![
            Arc::new(now),
            text(&self.principal),
            text(self.action),
            text(&self.target),
            text(&self.result),
            maybe(&self.before),
            maybe(&self.after),
            text(&self.correlation_id),
        ];
        let row =
            RecordBatch::try_new(schema, columns).map_err(|source| StoreError::read(AUDIT_TABLE)(source.into()))?;
        table.append(row).await
    }
}

/// Every act so far; none before the first.
pub async fn audit_trail(store: &Location) -> Result<Option<Arc<dyn TableProvider>>, StoreError> {
    match AppendTable::read(AUDIT_TABLE, &store.join(AUDIT_TABLE)).await? {
        Some(table) => Ok(Some(table.provider().await?)),
        None => Ok(None),
    }
}

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
