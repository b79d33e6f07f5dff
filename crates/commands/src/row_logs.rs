//! Where logs of rows are written to: opened as the catalog declares them, by the configuration's
//! connections.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use vitral_catalog::{Catalog, Diagnostic, Diagnostics, EXPIRES_COLUMN, ROW_LOG_KEY, RowLog};
use vitral_config::Config;
use vitral_connect::{Connections, Sink, SinkExt};
use vitral_connect_mongodb::SinkTarget;

use crate::lookups::without_driver;

/// A write that takes longer is given up, and repeated once it has ended.
const PATIENCE: Duration = Duration::from_secs(60);

/// The other side of each log, by the log's name. They are reached when something is first written.
pub fn open(config: &Config, catalog: &Catalog) -> anyhow::Result<BTreeMap<String, Arc<dyn Sink>>> {
    let connections = config.connections()?;
    let (mut sinks, mut errors) = (BTreeMap::new(), Vec::new());
    for log in &catalog.row_logs {
        match reach(&connections, log) {
            Ok(sink) => drop(sinks.insert(log.name.clone(), sink)),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(sinks) } else { Err(Diagnostics(errors)).context("the catalog is broken") }
}

/// Connections that logs name and that are not there, or cannot be used for that.
pub fn errors(config: &Config, catalog: &Catalog) -> anyhow::Result<Vec<Diagnostic>> {
    let connections = config.connections()?;
    Ok(catalog.row_logs.iter().filter_map(|log| reach(&connections, log).err()).collect())
}

fn reach(connections: &Connections, log: &RowLog) -> Result<Arc<dyn Sink>, Diagnostic> {
    let named = &log.connection;
    if !vitral_connect_mongodb::IS_BUILT_IN {
        return Err(without_driver(&named.position, &format!("{} is written into MongoDB", log.name)));
    }
    let target = SinkTarget {
        name: format!("log/{}", log.name),
        collection: log.collection.clone(),
        key: ROW_LOG_KEY.map(str::to_owned).to_vec(),
        expires: log.expires_ms.map(|_| EXPIRES_COLUMN.to_owned()),
    };
    let connection = connections.get(&named.name, &["mongodb"]);
    let sink = connection.and_then(|connection| vitral_connect_mongodb::sink(target, connection));
    let sink = sink.map_err(|error| named.position.error(error.to_string(), error.remedy()))?;
    Ok(Arc::new(sink.timed_out(PATIENCE)))
}
