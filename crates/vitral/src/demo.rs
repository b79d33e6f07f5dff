//! `vitral demo`: the whole product in one process.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use vitral_catalog::Catalog;
use vitral_commands::args::Common;
use vitral_commands::{batch, check, lookups};
use vitral_config::{Config, Mode, REFERENCE_DIR};
use vitral_connect_kafka::KafkaConnector;
use vitral_demo::history::{self, Importing, Past};
use vitral_demo::{DemoBroker, Notices, Simulation, Status, env_file, simulation, ways_on};
use vitral_process::output::answer;
use vitral_process::{make_private_dir, runtimes};
use vitral_store::lease::{Holder, Lease, STREAM};
use vitral_store::{DataDirLock, Location};
use vitral_stream::{AcceptedLogs, Skip};

use crate::server::{Addresses, Server};
use crate::shutdown;

const HISTORY_DAYS: u32 = 90;
const HISTORY_DAYS_MAX: i64 = 10 * 366;
const SQL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5433);

#[derive(Debug, Args)]
pub struct Flags {
    /// Where the Kafka-protocol broker listens.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9092")]
    kafka: SocketAddr,
    /// Where to serve the API and the page (default: api.listen).
    #[arg(long, value_name = "ADDR")]
    api: Option<SocketAddr>,
    /// Where to answer SQL clients (default: sql.listen, or 127.0.0.1:5433).
    #[arg(long, value_name = "ADDR")]
    sql: Option<SocketAddr>,
    /// Simulated events a second; 0 for none.
    #[arg(long, value_name = "N", default_value_t = 200.0)]
    rate: f64,
    /// Days of simulated sales before the first start, imported in the background into a new data
    /// directory; 0 for none [default: 90, and 0 without simulated events]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(..=HISTORY_DAYS_MAX))]
    history: Option<u32>,
    /// Go on past offsets that are lost or cannot be read, both included; the ledger keeps the
    /// range. May be given again.
    #[arg(long, value_name = "TOPIC/PARTITION:FROM-TO")]
    skip: Vec<Skip>,
}

pub fn run(mut config: Config, common: &Common, flags: Flags) -> anyhow::Result<()> {
    let catalog = Arc::new(config.catalog()?);
    check::named_topics(&catalog, flags.skip.iter().map(|skip| (&skip.topic, "--skip")))?;
    check::plan(&catalog, &config)?;
    check::warn_of_unused(&catalog, &config);
    let addresses = addresses(&config, &flags)?;
    let stop = shutdown::listen(shutdown::patience(&config))?;
    make_private_dir(&common.data_dir)?;
    let _lock = DataDirLock::acquire(&common.data_dir, "demo")?;
    let _stream_lock = DataDirLock::acquire(&common.data_dir, "stream")?;
    let data_dir = common.data_dir.canonicalize()?;
    env_file::remove(&data_dir)?;
    let simulated = simulation::plan(&catalog, flags.rate, config.settings()?.time_zone);
    let reference_dir = data_dir.join(REFERENCE_DIR);
    std::fs::create_dir_all(&reference_dir)?;
    if let Some(simulated) = &simulated {
        simulation::write_references(&reference_dir, simulated)?;
    }

    runtimes::run::<anyhow::Error>(async {
        let mut stream = config.stream(config.location(&data_dir)?);
        let broker = DemoBroker::start(flags.kafka, &data_dir, &catalog.topics, &stream.store).await?;
        config.set_cluster(broker.client());
        let connector = Arc::new(KafkaConnector::new(broker.client()));
        stream.skips = flags.skip;
        stream.accepted_logs = AcceptedLogs::All;
        let store = stream.store.clone();
        let days = flags.history.or((flags.rate > 0.0).then_some(HISTORY_DAYS));
        let past = match (&simulated, days) {
            (Some(simulated), Some(days)) => Past::plan(days, simulated, &catalog, &store, &data_dir).await?,
            _ => None,
        };
        let holder = Holder::of_data_dir(&data_dir)?;
        let lease = tokio::select! {
            lease = Lease::take(&stream.store, STREAM, &holder, Duration::ZERO) => lease?,
            () = stop.cancelled() => {
                broker.stop().await;
                return Ok(());
            }
        };
        let mut server = tokio::select! {
            server = Server::start(&config, Arc::clone(&catalog), connector, stream, addresses, data_dir.clone()) => server?,
            () = stop.cancelled() => {
                lease.release().await;
                broker.stop().await;
                return Ok(());
            }
        };
        let demo = Demo { config: &config, catalog: Arc::clone(&catalog), store: store.clone(), data_dir: &data_dir };
        let notices = Notices::new(catalog, store, data_dir.clone(), server.view.clone(), server.notices.clone());
        let outcome = tokio::select! {
            outcome = until_a_part_fails(&demo, &broker, &mut server, simulated, past, notices) => outcome,
            () = stop.cancelled() => Ok(()),
            lost = lease.lost() => Err(lost.into()),
        };
        answer("\nstopping: committing what was read");
        env_file::remove(&data_dir)?;
        let stopped = server.stop().await;
        lease.release().await;
        broker.stop().await;
        outcome.and(stopped).map_err(|error| ways_on::explained(&data_dir, error))
    })
}

fn addresses(config: &Config, flags: &Flags) -> anyhow::Result<Addresses> {
    let listen = &config.api.listen;
    let api = match flags.api {
        Some(api) => api,
        None => listen.parse().with_context(|| format!("configuration: api.listen is {listen:?}"))?,
    };
    Ok(Addresses { api, sql: flags.sql.or(config.sql.listen.is_none().then_some(SQL)) })
}

/// What all of a demo's parts are of.
struct Demo<'a> {
    config: &'a Config,
    catalog: Arc<Catalog>,
    store: Location,
    data_dir: &'a Path,
}

impl Demo<'_> {
    async fn import(&self, past: Past) -> anyhow::Result<Importing> {
        let Self { config, catalog, store, data_dir } = self;
        let reference_dir = data_dir.join(REFERENCE_DIR);
        let (settings, lookups) = (config.settings()?, lookups::open(config, catalog, &reference_dir)?);
        let warehouse = batch::warehouse(config, store).await.inspect_err(|error| {
            let error = format!("{error:#}");
            tracing::warn!(error, "the warehouse cannot be reached; `vitral batch run` fills it");
        });
        let world = history::World {
            catalog: Arc::clone(catalog),
            settings,
            lookups,
            whole: lookups::whole(config, catalog)?,
            store: store.clone(),
            data_dir: data_dir.to_path_buf(),
            reference_dir,
            warehouse: warehouse.ok(),
        };
        Importing::start(past, world)
    }
}

async fn until_a_part_fails(
    demo: &Demo<'_>,
    broker: &DemoBroker,
    server: &mut Server,
    simulated: Option<simulation::Plan>,
    past: Option<Past>,
    mut notices: Notices,
) -> anyhow::Result<()> {
    let mut view = server.view.clone();
    tokio::select! {
        ready = view.wait_for(|view| view.ready && view.topics_waiting.is_empty()) => { ready.context("the stream ended")?; }
        error = server.failed() => return Err(error),
    }
    let simulated = simulated.map(|plan| Simulation::start(&broker.simulator(), plan, &demo.catalog));
    let _simulation = simulated.transpose()?;
    announce(demo, broker.address, server)?;
    let _importing = match past {
        Some(past) => Some(demo.import(past).await?),
        None => None,
    };
    let mut status = Status::new(server.view.clone());
    tokio::select! {
        () = status.show() => Ok(()),
        () = notices.watch(broker) => Ok(()),
        error = server.failed() => Err(error),
    }
}

/// Says where everything is: to people, and to scripts.
fn announce(demo: &Demo<'_>, kafka: SocketAddr, server: &Server) -> anyhow::Result<()> {
    let needs_key = demo.config.access.mode == Mode::Keys;
    let scheme = if demo.config.api.tls_certificate.is_some() { "https" } else { "http" };
    let api = format!("{scheme}://{}", server.api_address);
    let sql = server.sql_address.map(|address| env_file::sql_url(address, needs_key));
    env_file::write(demo.data_dir, kafka, &api, sql.as_deref())?;
    let sql = sql.map(|url| format!("SQL    {url}\n")).unwrap_or_default();
    let data = demo.data_dir.display();
    let keys = format!("keys   vitral keys create --name me --scope '*:read' --data-dir '{data}'\n");
    let keys = if needs_key { keys.as_str() } else { "" };
    answer(&format!(
        "page   {api}/\nAPI    {api}/metricas\ndocs   {api}/docs\n{sql}{keys}Kafka  {kafka}\ndata   {data}\nCtrl-C stops; started again, it continues where it was\n"
    ));
    Ok(())
}
