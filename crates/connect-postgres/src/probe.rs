//! What `vitral doctor` asks the warehouse's database.

use vitral_store::StoreError;

use crate::database_url::DatabaseUrl;
use crate::sql::{client, pool, texts};

/// What a database says of itself and of the user: what `vitral doctor` asks. Changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbedDatabase {
    /// What the server says of its version.
    pub version: String,
    /// The user that is connected.
    pub user: String,
    /// Whether jobs may create their tables.
    pub may_create: bool,
    /// Whether the connection is encrypted; none where the server does not say.
    pub is_encrypted: Option<bool>,
    /// The time by its own clock, in milliseconds since the epoch.
    pub now_ms: Option<i64>,
}

/// Connects once and asks.
///
/// # Errors
/// No connection, or the server does not say its version.
pub async fn probe(url: &DatabaseUrl) -> Result<ProbedDatabase, StoreError> {
    const OF: &str = "database";
    let pool = pool(url, 1)?;
    let client = client(&pool, OF).await?;
    let ask = async |sql: &str| -> Option<String> {
        let rows = client.simple_query(sql).await.ok()?;
        texts(rows).into_iter().next()?.into_iter().next()?
    };
    // The one question that every server must answer.
    let failed = StoreError::database(OF, "asked");
    let version = client.simple_query("SELECT version()").await.map_err(failed)?;
    let version = texts(version).into_iter().flatten().next().flatten().unwrap_or_default();
    let is_yes = |answer: Option<String>| answer.map(|answer| answer == "t");
    let (in_schema, in_database) = (
        ask("SELECT has_schema_privilege(current_schema(), 'CREATE')").await,
        ask("SELECT (has_database_privilege(current_database(), 'CREATE') \
                OR EXISTS (SELECT 1 FROM information_schema.schemata WHERE schema_name = 'vitral')) \
                AND has_database_privilege(current_database(), 'TEMP')")
        .await,
    );
    Ok(ProbedDatabase {
        version,
        user: ask("SELECT current_user").await.unwrap_or_default(),
        may_create: is_yes(in_schema).unwrap_or(false) && is_yes(in_database).unwrap_or(true),
        is_encrypted: is_yes(ask("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").await),
        now_ms: ask("SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint")
            .await
            .and_then(|text| text.parse().ok()),
    })
}
