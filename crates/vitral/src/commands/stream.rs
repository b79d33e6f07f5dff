//! `vitral stream`: the stream processor alone, with its API.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use vitral_store::DataDirLock;

use super::check;
use crate::cli::Common;
use crate::config::Config;
use crate::server::{Server, stop_signal};

#[derive(Debug, Args)]
pub struct Flags {
    /// Where to serve the API and the page (default: api.listen).
    #[arg(long, value_name = "ADDR")]
    api: Option<SocketAddr>,
    /// Kafka's brokers (default: kafka.brokers).
    #[arg(long, value_name = "HOST:PORT,...")]
    kafka: Option<String>,
}

pub fn run(config: Config, common: &Common, flags: Flags) -> anyhow::Result<()> {
    let catalog = Arc::new(config.catalog()?);
    check::plan(&catalog, &config)?;
    let api = match flags.api {
        Some(api) => api,
        None => config
            .api
            .listen
            .parse()
            .with_context(|| format!("configuration: api.listen is {:?}", config.api.listen))?,
    };
    let mut kafka = config.kafka();
    if let Some(brokers) = flags.kafka {
        kafka.brokers = brokers;
    }
    let _lock = DataDirLock::acquire(&common.data_dir, "stream")?;
    let data_dir = common.data_dir.canonicalize()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let stream = config.stream(kafka, config.location(&data_dir)?);
        let mut server = Server::start(&config, catalog, stream, api, data_dir).await?;
        tracing::info!(api = %server.api_address, "serving");
        tokio::select! {
            stopped = stop_signal() => {
                stopped?;
                tracing::info!("stopping: committing what was read");
                server.stop().await
            }
            error = server.failed() => Err(error),
        }
    })
}
