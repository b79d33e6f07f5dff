//! `vitral stream`: the stream processor alone, with its API.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use vitral_store::DataDirLock;
use vitral_store::lease::{Holder, Lease, STREAM};

use super::check;
use crate::cli::Common;
use crate::config::Config;
use crate::process;
use crate::server::{self, Server};
use crate::shutdown;

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
    let patience = shutdown::patience(&config);
    let stop = shutdown::listen(patience)?;
    process::make_private_dir(&common.data_dir)?;
    let _lock = DataDirLock::acquire(&common.data_dir, "stream")?;
    let data_dir = common.data_dir.canonicalize()?;
    server::run(async {
        let stream = config.stream(kafka, config.location(&data_dir)?);
        // Of two streams on one store, whatever hosts they are on, the second stops before it reads.
        let holder = Holder::of_data_dir(&data_dir)?;
        let lease = tokio::select! {
            lease = Lease::take(&stream.store, STREAM, &holder, Duration::ZERO) => lease?,
            () = stop.cancelled() => return Ok(()),
        };
        let mut server = tokio::select! {
            server = Server::start(&config, catalog, stream, api, data_dir) => server?,
            () = stop.cancelled() => {
                lease.release().await;
                return Ok(());
            }
        };
        tracing::info!(api = %server.api_address, "serving");
        let outcome = tokio::select! {
            () = stop.cancelled() => {
                tracing::info!("stopping: committing what was read");
                server.stop().await
            }
            error = server.failed() => {
                tracing::error!(error = format!("{error:#}"), "stopping: a part has failed; the others commit what they have read");
                server.stop_within(patience).await;
                Err(error)
            }
            lost = lease.lost() => {
                server.stop_within(patience).await;
                Err(lost.into())
            }
        };
        lease.release().await;
        outcome
    })
}
