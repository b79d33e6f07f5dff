//! The warehouse that a configuration names.

use std::collections::BTreeMap;

use vitral_store::warehouse::{DeltaWarehouse, Warehouse};
use vitral_store::{Layout, Location, StoreError};

use crate::postgres::PostgresWarehouse;
use crate::redshift::RedshiftWarehouse;
use crate::sql::Connection;

/// Where the warehouse is; in the store itself, unless a database is named.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WarehouseConfig {
    /// `postgresql://...` or `redshift://...`.
    pub url: Option<String>,
    /// A copy of the database for reading.
    pub replica_url: Option<String>,
    /// Connections at most.
    pub connections: usize,
    /// Redshift alone: where in S3 rows wait for its `COPY`, which reads them in a role.
    pub stage: Option<String>,
    /// That role.
    pub iam_role: Option<String>,
}

/// Why there is no warehouse to work with.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL is of another kind.
    #[error("configuration: warehouse.url must begin with postgresql:// or redshift://, not {0}://")]
    Scheme(String),
    /// Redshift needs more.
    #[error(
        "configuration: for Redshift, warehouse.stage (s3://bucket/prefix) and warehouse.iam_role (arn:aws:iam::...) are needed"
    )]
    Redshift,
    /// The stage cannot be used.
    #[error("configuration: warehouse.stage")]
    Stage(#[source] StoreError),
    /// The database refuses, or does not answer.
    #[error("the warehouse cannot be opened")]
    Open(#[source] StoreError),
}

/// Opens it; `options` are the object store's, for the stage.
pub async fn open(
    config: &WarehouseConfig,
    options: &BTreeMap<String, String>,
    store: &Location,
) -> Result<Box<dyn Warehouse>, OpenError> {
    let Some(url) = &config.url else { return Ok(Box::new(DeltaWarehouse::new(Layout::of(store).warehouse()))) };
    let connection = Connection {
        url: as_postgres(url),
        replica_url: config.replica_url.as_deref().map(as_postgres),
        connections: config.connections,
    };
    match url.split_once("://").map_or("", |(scheme, _)| scheme) {
        "postgresql" | "postgres" => Ok(Box::new(PostgresWarehouse::open(&connection).await.map_err(OpenError::Open)?)),
        "redshift" => {
            let (Some(stage), Some(iam_role)) = (&config.stage, &config.iam_role) else {
                return Err(OpenError::Redshift);
            };
            let stage = Location::bucket(stage, options).map_err(OpenError::Stage)?;
            Ok(Box::new(RedshiftWarehouse::open(&connection, stage, iam_role).await.map_err(OpenError::Open)?))
        }
        scheme => Err(OpenError::Scheme(scheme.to_owned())),
    }
}

/// Redshift speaks PostgreSQL's protocol.
pub fn as_postgres(url: &str) -> String {
    match url.strip_prefix("redshift://") {
        Some(rest) => format!("postgresql://{rest}"),
        None => url.to_owned(),
    }
}
