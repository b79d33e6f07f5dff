//! The warehouse that a configuration names.

use std::collections::BTreeMap;

use vitral_store::warehouse::{DeltaWarehouse, Warehouse};
use vitral_store::{Layout, Location, StoreError};

use crate::database_url::DatabaseUrl;
use crate::postgres::PostgresWarehouse;
use crate::redshift::RedshiftWarehouse;
use crate::sql::DatabaseConfig;

/// Where the warehouse is; in the store itself, unless a database is named.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WarehouseConfig {
    /// The database.
    pub url: Option<DatabaseUrl>,
    /// A replica of it for reading, which may lag behind.
    pub replica_url: Option<DatabaseUrl>,
    /// The largest number of open connections, to each of the two.
    pub pool_size: usize,
    /// Redshift alone: where in S3 rows wait for its `COPY`, which reads them in a role.
    pub stage: Option<String>,
    /// That role.
    pub iam_role: Option<String>,
}

/// Why there is no warehouse to work with.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL is of another kind.
    #[error(
        "configuration: the URL of the warehouse's connection must begin with postgresql:// or redshift://, not {0}://"
    )]
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
    let database =
        DatabaseConfig { url: url.clone(), replica_url: config.replica_url.clone(), pool_size: config.pool_size };
    match url.scheme() {
        "postgresql" | "postgres" => Ok(Box::new(PostgresWarehouse::open(&database).await.map_err(OpenError::Open)?)),
        "redshift" => {
            let (Some(stage), Some(iam_role)) = (&config.stage, &config.iam_role) else {
                return Err(OpenError::Redshift);
            };
            let stage = Location::bucket(stage, options).map_err(OpenError::Stage)?;
            Ok(Box::new(RedshiftWarehouse::open(&database, stage, iam_role).await.map_err(OpenError::Open)?))
        }
        scheme => Err(OpenError::Scheme(scheme.to_owned())),
    }
}
