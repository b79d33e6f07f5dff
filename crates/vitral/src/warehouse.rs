//! The warehouse that the configuration names.

use anyhow::{Context, bail};
use vitral_connect_postgres::{Connection, PostgresWarehouse, RedshiftWarehouse};
use vitral_store::Location;
use vitral_store::warehouse::{DeltaWarehouse, Warehouse};

use crate::config::Config;

/// Delta tables in the store, unless a database is named.
pub async fn open(config: &Config, store: &Location) -> anyhow::Result<Box<dyn Warehouse>> {
    let named = &config.warehouse;
    let Some(url) = &named.url else { return Ok(Box::new(DeltaWarehouse::new(store.join("warehouse")))) };
    let connection = |url: String| Connection {
        url,
        replica_url: named.replica_url.as_ref().map(|url| as_postgres(url)),
        connections: named.connections,
    };
    let scheme = url.split_once("://").map(|(scheme, _)| scheme).unwrap_or_default();
    match scheme {
        "postgresql" | "postgres" => {
            let opened = PostgresWarehouse::open(&connection(url.clone())).await;
            Ok(Box::new(opened.context("the warehouse cannot be opened")?))
        }
        "redshift" => {
            let (Some(stage), Some(iam_role)) = (&named.stage, &named.iam_role) else {
                bail!(
                    "configuration: for Redshift, warehouse.stage (s3://bucket/prefix) and warehouse.iam_role (arn:aws:iam::...) are needed"
                );
            };
            let stage = Location::bucket(stage, &config.store.options).context("configuration: warehouse.stage")?;
            let opened = RedshiftWarehouse::open(&connection(as_postgres(url)), stage, iam_role).await;
            Ok(Box::new(opened.context("the warehouse cannot be opened")?))
        }
        _ => bail!("configuration: warehouse.url must begin with postgresql:// or redshift://, not {scheme}://"),
    }
}

pub(crate) fn as_postgres(url: &str) -> String {
    match url.strip_prefix("redshift://") {
        Some(rest) => format!("postgresql://{rest}"),
        None => url.to_owned(),
    }
}
