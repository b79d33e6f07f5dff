//! Opens the warehouse that a configuration names.

use std::collections::BTreeMap;

use vitral_store::warehouse::{DeltaWarehouse, Warehouse};
use vitral_store::{Layout, Location, StoreError};

use crate::database_url::DatabaseUrl;
use crate::postgres::PostgresWarehouse;
use crate::redshift::RedshiftWarehouse;
use crate::sql::DatabaseConfig;

/// Where the warehouse is: in the store itself, unless there is a database.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WarehouseConfig {
    /// The database.
    pub url: Option<DatabaseUrl>,
    /// A replica of it for reading, which may lag behind.
    pub replica_url: Option<DatabaseUrl>,
    /// The largest number of open connections, to each of the two.
    pub pool_size: usize,
    /// Redshift only: where in S3 rows wait for its `COPY`.
    pub stage: Option<String>,
    /// Redshift only: the role in which `COPY` reads them.
    pub iam_role: Option<String>,
}

/// Why the warehouse cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL has another scheme.
    #[error(
        "configuration: the URL of the warehouse's connection must begin with postgresql:// or redshift://, not {0}://"
    )]
    Scheme(String),
    /// Redshift needs a stage and a role.
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

/// Opens the warehouse; `options` are those of the object store's client, for the stage.
///
/// # Errors
/// The URL or the stage cannot be used, or the database refuses or does not answer.
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
