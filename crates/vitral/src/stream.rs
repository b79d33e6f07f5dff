//! `vitral stream`: the stream processor alone, with its API.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use vitral_commands::args::Common;
use vitral_commands::check;
use vitral_config::Config;
use vitral_connect_kafka::KafkaConnector;
use vitral_process::{make_private_dir, runtimes};
use vitral_store::DataDirLock;
use vitral_store::lease::{Holder, Lease, STREAM};
use vitral_stream::{AcceptedLogs, Skip};

use crate::server::{Addresses, Server};
use crate::shutdown;

#[derive(Debug, Args)]
pub struct Flags {
    /// Where to serve the API and the page (default: api.listen).
    #[arg(long, value_name = "ADDR")]
    api: Option<SocketAddr>,
    /// Where to answer SQL clients (default: sql.listen).
    #[arg(long, value_name = "ADDR")]
    sql: Option<SocketAddr>,
    /// Kafka's brokers (default: those of the connection kafka.connection).
    #[arg(long, value_name = "HOST:PORT,...")]
    kafka: Option<String>,
    /// Go on past offsets that are lost or cannot be read, both included; the ledger keeps the
    /// range. May be given again.
    #[arg(long, value_name = "TOPIC/PARTITION:FROM-TO")]
    skip: Vec<Skip>,
    /// The topic was deleted and created again, and that was meant: read the new one, and keep what
    /// was counted. May be given again.
    #[arg(long, value_name = "TOPIC")]
    accept_new_log: Vec<String>,
}

pub fn run(mut config: Config, common: &Common, flags: Flags) -> anyhow::Result<()> {
    let catalog = Arc::new(config.catalog()?);
    let skips = flags.skip.iter().map(|skip| (&skip.topic, "--skip"));
    check::named_topics(&catalog, skips.chain(flags.accept_new_log.iter().map(|name| (name, "--accept-new-log"))))?;
    if let Some(brokers) = &flags.kafka {
        // Of sinks and notifiers that name no other cluster, too.
        config.set_brokers(brokers);
    }
    check::plan(&catalog, &config)?;
    check::warn_of_unused(&catalog, &config);
    let listen = &config.api.listen;
    let api = match flags.api {
        Some(api) => api,
        None => listen.parse().with_context(|| format!("configuration: api.listen is {listen:?}"))?,
    };
    let addresses = Addresses { api, sql: flags.sql };
    let kafka = config.kafka()?;
    let patience = shutdown::patience(&config);
    let stop = shutdown::listen(patience)?;
    make_private_dir(&common.data_dir)?;
    let _lock = DataDirLock::acquire(&common.data_dir, "stream")?;
    let data_dir = common.data_dir.canonicalize()?;
    runtimes::run::<anyhow::Error>(async {
        let connector = Arc::new(KafkaConnector::new(kafka));
        let mut stream = config.stream(config.location(&data_dir)?);
        stream.skips = flags.skip;
        stream.accepted_logs = AcceptedLogs::Of(BTreeSet::from_iter(flags.accept_new_log));
        // Of two streams on one store, on any hosts, the second stops before it reads.
        let holder = Holder::of_data_dir(&data_dir)?;
        let lease = tokio::select! {
            lease = Lease::take(&stream.store, STREAM, &holder, Duration::ZERO) => lease?,
            () = stop.cancelled() => return Ok(()),
        };
        let mut server = tokio::select! {
            server = Server::start(&config, catalog, connector, stream, addresses, data_dir) => server?,
            () = stop.cancelled() => {
                lease.release().await;
                return Ok(());
            }
        };
        tracing::info!(api = %server.api_address, sql = server.sql_address.map(tracing::field::display), "serving");
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
