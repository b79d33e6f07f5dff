//! `vitral demo`: the whole product in one process.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use chrono::Utc;
use clap::Args;
use vitral_connect_kafka::{EventProducer, KafkaConfig, KafkaConnector};
use vitral_simulator::ecommerce::{Simulator, SimulatorConfig, TOPIC, write_reference_csv};
use vitral_simulator::{Message, Pace, play};
use vitral_store::DataDirLock;
use vitral_store::lease::{Holder, Lease, STREAM};
use vitral_stream::{AcceptedLogs, Skip, StreamError, WayOn};

use super::check;
use super::stream::check_topics;
use crate::args::Common;
use crate::broker::DemoBroker;
use crate::config::Config;
use crate::notices::Notices;
use crate::process;
use crate::server::{self, REFERENCE_DIR, Server};
use crate::shutdown;
use crate::status::Status;

/// Where a script finds the demo: whole or not there.
const ENV_FILE: &str = "demo.env";

#[derive(Debug, Args)]
pub struct Flags {
    /// Where the Kafka-protocol broker listens.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9092")]
    kafka: SocketAddr,
    /// Where the API and the page are served.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    api: SocketAddr,
    /// Simulated events a second; 0 for none.
    #[arg(long, value_name = "N", default_value_t = 200.0)]
    rate: f64,
    /// Go on past offsets that are lost or cannot be read, both included; the ledger keeps the range. May be given again.
    #[arg(long, value_name = "TOPIC/PARTITION:FROM-TO")]
    skip: Vec<Skip>,
}

pub fn run(config: Config, common: &Common, flags: Flags) -> anyhow::Result<()> {
    let catalog = Arc::new(config.catalog()?);
    check_topics(&catalog, flags.skip.iter().map(|skip| (&skip.topic, "--skip")))?;
    check::plan(&catalog, &config)?;
    let stop = shutdown::listen(shutdown::patience(&config))?;
    process::make_private_dir(&common.data_dir)?;
    let _lock = DataDirLock::acquire(&common.data_dir, "demo")?;
    let _stream_lock = DataDirLock::acquire(&common.data_dir, "stream")?;
    let data_dir = common.data_dir.canonicalize()?;
    remove_env(&data_dir)?;
    let simulation = SimulatorConfig {
        start_ms: Utc::now().timestamp_millis(),
        rate: flags.rate,
        rhythm: false,
        zone: config.settings()?.time_zone,
        ..SimulatorConfig::default()
    };
    // Without its topic the simulator has nowhere to send.
    let simulation = catalog.topics.iter().any(|topic| topic.kafka_topic == TOPIC).then_some(simulation);
    let reference_dir = data_dir.join(REFERENCE_DIR);
    std::fs::create_dir_all(&reference_dir)?;
    if let Some(simulation) = &simulation {
        write_reference_csv(&reference_dir, simulation).context("the reference tables cannot be written")?;
    }

    server::run(async {
        let topics: Vec<String> =
            catalog.topics.iter().flat_map(|topic| [topic.kafka_topic.clone(), topic.dead_letter_topic()]).collect();
        let broker = DemoBroker::start(flags.kafka, &data_dir, &topics).await?;
        let connector = Arc::new(KafkaConnector::new(broker.client()));
        let mut stream = config.stream(config.location(&data_dir)?);
        stream.skips = flags.skip;
        stream.accepted_logs = AcceptedLogs::All;
        let store = stream.store.clone();
        let holder = Holder::of_data_dir(&data_dir)?;
        let lease = tokio::select! {
            lease = Lease::take(&stream.store, STREAM, &holder, Duration::ZERO) => lease?,
            () = stop.cancelled() => {
                broker.stop().await;
                return Ok(());
            }
        };
        let mut server = tokio::select! {
            server = Server::start(&config, Arc::clone(&catalog), connector, stream, flags.api, data_dir.clone()) => server?,
            () = stop.cancelled() => {
                lease.release().await;
                broker.stop().await;
                return Ok(());
            }
        };
        let notices = Notices::new(catalog, store, data_dir.clone(), server.view.clone(), server.notices.clone());
        let outcome = tokio::select! {
            outcome = demo(&broker, &mut server, &data_dir, simulation, notices) => outcome,
            () = stop.cancelled() => Ok(()),
            lost = lease.lost() => Err(lost.into()),
        };
        crate::output::answer("\nstopping: committing what was read");
        remove_env(&data_dir)?;
        let stopped = server.stop().await;
        lease.release().await;
        broker.stop().await;
        outcome.and(stopped).map_err(|error| with_its_way_on(if_disk_is_full(&data_dir, error)))
    })
}

/// The demo's broker ends with it: no stream could read past what stops this one.
fn with_its_way_on(error: anyhow::Error) -> anyhow::Error {
    let way_on = error.chain().find_map(|cause| match cause.downcast_ref() {
        Some(StreamError::Unreadable { way_on, .. } | StreamError::OffsetsGone { way_on, .. }) => Some(way_on.clone()),
        _ => None,
    });
    match way_on {
        Some(WayOn::Skip(skip)) => {
            error.context(format!("a batch cannot be read; start again with `vitral demo --skip {skip}` to go on without it"))
        }
        Some(WayOn::SkipFrom { .. }) => {
            error.context("messages cannot be read; to go on without them, give the range that is named below to `vitral demo --skip`")
        }
        _ => error,
    }
}

/// The broker's own words for a full disk say nothing; whether there is room is seen by trying.
fn if_disk_is_full(data_dir: &Path, error: anyhow::Error) -> anyhow::Error {
    let probe = data_dir.join(".room");
    let written = std::fs::write(&probe, [0; 1 << 16]);
    // It may never have been made.
    let _ = std::fs::remove_file(&probe);
    match written {
        Err(cause) if cause.kind() == std::io::ErrorKind::StorageFull => error.context(format!(
            "no space is left in {}: free some and start again; nothing that was acknowledged is lost",
            data_dir.display()
        )),
        _ => error,
    }
}

/// Runs until a part fails.
async fn demo(
    broker: &DemoBroker,
    server: &mut Server,
    data_dir: &Path,
    simulation: Option<SimulatorConfig>,
    mut notices: Notices,
) -> anyhow::Result<()> {
    let mut view = server.view.clone();
    tokio::select! {
        ready = view.wait_for(|view| view.ready && view.topics_waiting.is_empty()) => { ready.context("the stream ended")?; }
        error = server.failed() => return Err(error),
    }
    let _simulation = simulation.map(|config| Simulation::start(broker.simulator(), config)).transpose()?;
    write_env(data_dir, broker.address, server.api_address)?;
    crate::output::answer(&format!(
        "page   http://{api}/\nAPI    http://{api}/metricas\nKafka  {}\ndata   {}\nCtrl-C stops; started again, it goes on where it was\n",
        broker.address,
        data_dir.display(),
        api = server.api_address
    ));
    let mut status = Status::new(server.view.clone());
    tokio::select! {
        () = status.show() => Ok(()),
        () = notices.watch(broker) => Ok(()),
        error = server.failed() => Err(error),
    }
}

/// The simulator at its pace, on a thread of its own, until it is dropped.
struct Simulation {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Simulation {
    fn start(kafka: KafkaConfig, config: SimulatorConfig) -> anyhow::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        if config.rate <= 0.0 {
            return Ok(Self { stop, thread: None });
        }
        // From now on: the ids of another start are others.
        let start_ms = Utc::now().timestamp_millis();
        let config = SimulatorConfig { start_ms, ..config };
        let producer = EventProducer::new(&kafka, TOPIC)?;
        let stopped = Arc::clone(&stop);
        let run = move || {
            let send = |message: &Message| producer.send(&message.key, &message.payload);
            if let Err(error) = play(Simulator::new(config), Pace::EventTime { start_ms }, &stopped, send) {
                tracing::error!(%error, "the simulator stopped");
            }
        };
        let thread = std::thread::Builder::new().name("simulator".to_owned()).spawn(run)?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Simulation {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the simulator panicked");
        }
    }
}

fn write_env(data_dir: &Path, kafka: SocketAddr, api: SocketAddr) -> anyhow::Result<()> {
    let path = data_dir.join(ENV_FILE);
    let partial = data_dir.join(format!(".{ENV_FILE}.partial"));
    let failed = |path: &PathBuf| format!("{} cannot be written", path.display());
    let mut file: File = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(&partial)
        .with_context(|| failed(&partial))?;
    write!(file, "VITRAL_KAFKA={kafka}\nVITRAL_API_URL=http://{api}\n").with_context(|| failed(&partial))?;
    file.sync_all().with_context(|| failed(&partial))?;
    std::fs::rename(&partial, &path).with_context(|| failed(&path))
}

fn remove_env(data_dir: &Path) -> anyhow::Result<()> {
    match std::fs::remove_file(data_dir.join(ENV_FILE)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{ENV_FILE} in {} cannot be removed", data_dir.display()))
        }
        _ => Ok(()),
    }
}
