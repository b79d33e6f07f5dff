//! What was sold before the demo's first start: simulated, imported like any file of sales, and
//! brought into the warehouse.
//!
//! Only a data directory in which nothing was counted yet gets a history, and only of times that
//! its stream cannot reach any more. What is planned is written down first: a start that was
//! interrupted is made up for by the next one, from the same bytes, of which none counts twice. The
//! import is one of the user's: listed, audited, and taken back by `import undo`.

use std::fs::File as StdFile;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, anyhow};
use chrono::{DateTime, Days, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use vitral_batch::Engine;
use vitral_batch::import::{Ask, File, Import, ImportReport, Numbers};
use vitral_batch::jobs::{Jobs, Wanted};
use vitral_batch::tables::Tables;
use vitral_catalog::{Catalog, DomainSettings};
use vitral_connect::{Lookups, TopicLookups, WholeTables};
use vitral_process::output::answer_over_status;
use vitral_schemas::time::day_start_ms;
use vitral_schemas::topic::Topic;
use vitral_simulator::ecommerce::{SimulatorConfig, TOPIC, write_past_sales};
use vitral_store::warehouse::Warehouse;
use vitral_store::{Act, Archive, History, Layout, Location};

/// What is planned and not in yet, in the data directory.
const PLAN_FILE: &str = "demo-history.json";
/// The sales on their way from the simulator to the import.
const SALES_FILE: &str = ".demo-history.csv";
/// Some thousand lines a day: three months are imported, and in the warehouse, within some seconds.
const ORDERS_PER_DAY: f64 = 800.0;
const SECONDS_PER_DAY: f64 = 86_400.0;
/// How far its threads are behind all others.
const STEPS_BEHIND: i32 = 5;
/// Between the last sale and the first moment that the stream can reach.
const MARGIN_MS: i64 = 5 * 60_000;
/// What planning the deepest SQL that a catalog may hold takes; only what is used of it is memory.
const STACK_BYTES: usize = 16 << 20;

/// Which sales there are to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Past {
    days: u32,
    seed: u64,
    start_ms: i64,
    end_ms: i64,
}

impl Past {
    /// The sales of so many days before the simulator's start, if they are still to come: in an
    /// empty data directory, or in one in which an earlier start has not got to them.
    pub async fn plan(
        days: u32,
        simulated: &SimulatorConfig,
        catalog: &Catalog,
        store: &Location,
        data_dir: &Path,
    ) -> anyhow::Result<Option<Self>> {
        let path = data_dir.join(PLAN_FILE);
        let planned = match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            read => {
                let text = read.with_context(|| format!("{} cannot be read", path.display()))?;
                Some(serde_json::from_slice(&text).with_context(|| format!("{} cannot be read", path.display()))?)
            }
        };
        if days == 0 {
            remove(&path)?;
            return Ok(None);
        }
        let Some(topic) = catalog.topics.iter().find(|topic| topic.kafka_topic == TOPIC) else { return Ok(None) };
        if planned.is_some() || !is_fresh(topic, store).await? {
            return Ok(planned);
        }
        let Some(past) = Self::before(simulated, topic, days) else { return Ok(None) };
        let partial = data_dir.join(format!(".{PLAN_FILE}.partial"));
        std::fs::write(&partial, serde_json::to_vec(&past)?)
            .with_context(|| format!("{} cannot be written", partial.display()))?;
        std::fs::rename(&partial, &path).with_context(|| format!("{} cannot be written", path.display()))?;
        Ok(Some(past))
    }

    /// Whole days of the zone, but for the last, which ends where the stream may begin. None where
    /// it has no end: a topic in which nothing is ever late.
    fn before(simulated: &SimulatorConfig, topic: &Topic, days: u32) -> Option<Self> {
        if topic.is_never_late() {
            return None;
        }
        let reach_ms = topic.lateness_ms.checked_add(topic.watermark_ms)?.checked_add(MARGIN_MS)?;
        let end_ms = simulated.start_ms.checked_sub(reach_ms)?;
        let last = DateTime::from_timestamp_millis(end_ms)?.with_timezone(&simulated.zone).date_naive();
        let first = last.checked_sub_days(Days::new(u64::from(days)))?;
        Some(Self { days, seed: simulated.seed, start_ms: day_start_ms(simulated.zone, first), end_ms })
    }

    fn write(&self, zone: Tz, path: &Path) -> anyhow::Result<u64> {
        let config = SimulatorConfig {
            seed: self.seed,
            start_ms: self.start_ms,
            rate: ORDERS_PER_DAY / SECONDS_PER_DAY,
            rhythm: true,
            zone,
            ..SimulatorConfig::default()
        };
        let failed = || format!("{} cannot be written", path.display());
        let mut file = BufWriter::new(StdFile::create(path).with_context(failed)?);
        write_past_sales(config, self.end_ms, &mut file).with_context(failed)
    }

    /// As the list of imports shows it.
    fn name(&self) -> String {
        format!("simulated-sales-of-{}-days.csv", self.days)
    }
}

/// Whether nothing was counted or imported yet.
async fn is_fresh(topic: &Topic, store: &Location) -> anyhow::Result<bool> {
    let history = History::read(topic, &Layout::of(store).history(topic)).await?;
    Ok(history.is_none() && Archive::read(topic, store).await?.is_none())
}

fn remove(path: &Path) -> anyhow::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} cannot be removed", path.display()))
        }
        _ => Ok(()),
    }
}

/// What the work needs.
pub struct World {
    /// Declares the topic and the jobs.
    pub catalog: Arc<Catalog>,
    /// What holds for it.
    pub settings: DomainSettings,
    /// The tables that columns are looked up in.
    pub lookups: Lookups,
    /// Tables of other systems that jobs read as a whole.
    pub whole: WholeTables,
    /// Where the history goes.
    pub store: Location,
    /// Where the plan is.
    pub data_dir: PathBuf,
    /// Where reference tables are.
    pub reference_dir: PathBuf,
    /// What has the tables of the jobs, if it can be reached.
    pub warehouse: Option<Box<dyn Warehouse>>,
}

/// The work, on a thread of its own behind all others, until it is done or this is dropped.
#[derive(Debug)]
pub struct Importing {
    _goes_on: oneshot::Sender<()>,
}

impl Importing {
    /// Begins. What fails is said on the terminal, and tried again by the next start.
    pub fn start(past: Past, world: World) -> anyhow::Result<Self> {
        let (goes_on, stopped) = oneshot::channel::<()>();
        let run = move || {
            vitral_process::go_behind_others(STEPS_BEHIND);
            if let Err(error) = on_threads_behind(past, &world, stopped) {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "the simulated history was not imported; the next start tries again"
                );
            }
        };
        std::thread::Builder::new().name("history".to_owned()).stack_size(STACK_BYTES).spawn(run)?;
        Ok(Self { _goes_on: goes_on })
    }
}

fn on_threads_behind(past: Past, world: &World, stopped: oneshot::Receiver<()>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_name("history")
        .on_thread_start(|| vitral_process::go_behind_others(STEPS_BEHIND))
        .thread_stack_size(STACK_BYTES)
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(async {
        tokio::select! {
            outcome = bring_in(&past, world) => outcome,
            _ = stopped => Ok(()),
        }
    });
    runtime.shutdown_background();
    outcome
}

async fn bring_in(past: &Past, world: &World) -> anyhow::Result<()> {
    let began = Instant::now();
    let path = world.data_dir.join(SALES_FILE);
    past.write(world.settings.time_zone, &path)?;
    let imported = import(past, world, &path).await?;
    remove(&path)?;
    remove(&world.data_dir.join(PLAN_FILE))?;
    answer_over_status(&format!(
        "history  {} lines of simulated sales of the last {}, in {:.1} s: `vitral import list` shows them, `vitral import undo {}` \
         takes them back, and `--history 0` with a new --data-dir does without",
        imported.accepted + imported.own_before,
        vitral_batch::import::wording::counted(past.days.into(), "day"),
        began.elapsed().as_secs_f64(),
        vitral_batch::import::records::short(&imported.id),
    ));
    fill_warehouse(world).await
}

async fn import(past: &Past, world: &World, path: &Path) -> anyhow::Result<ImportReport> {
    let World { catalog, settings, lookups, store, .. } = world;
    let topic = catalog.topics.iter().find(|topic| topic.kafka_topic == TOPIC);
    let topic = topic.ok_or_else(|| anyhow!("the catalog has no topic {TOPIC}"))?;
    let (topic, target) =
        catalog.import_target(&topic.name).ok_or_else(|| anyhow!("nothing can be imported into {}", topic.name))?;
    let import = Import {
        topic: topic.clone(),
        table: topic.name.clone(),
        target,
        named: Default::default(),
        numbers: Some(Numbers::Plain),
        dates: None,
        header_row: None,
        sheets: Vec::new(),
        currency: settings.currency.clone(),
        ask: Ask::default(),
        understood: None,
        zone: settings.time_zone,
        is_zone_named: false,
        lookups: TopicLookups::new(topic, lookups)?,
        now_ms: Utc::now().timestamp_millis(),
    };
    let file = File { name: past.name(), path: path.to_owned() };
    let act = Act::of_command("importar", "");
    match import.run(&file, store, |_, _| {}).await {
        Ok(imported) => {
            let counted = imported.own_before + imported.accepted;
            let after = serde_json::json!({"arquivo": file.name, "contadas": counted, "recusadas": imported.refused});
            let before = serde_json::json!({"contadas": imported.own_before});
            let act = Act { target: imported.id.clone(), ..act }.before(before.to_string()).after(after.to_string());
            act.record(store).await.context("the history was imported, but is not in the audit trail")?;
            Ok(imported)
        }
        Err(error) => {
            let act = Act { target: file.name, ..act }.failed(&error);
            if let Err(unrecorded) = act.record(store).await {
                tracing::warn!(error = %unrecorded, "the failed import is not written to the audit trail");
            }
            Err(error.into())
        }
    }
}

/// Every job for the days that have changed. One that fails is set aside alone: a job can be run
/// again at any time.
async fn fill_warehouse(world: &World) -> anyhow::Result<()> {
    let began = Instant::now();
    let World { catalog, settings, store, reference_dir, whole, warehouse: Some(warehouse), .. } = world else {
        return Ok(());
    };
    let zone = settings.time_zone;
    let jobs = Jobs { catalog, zone, store, warehouse: warehouse.as_ref(), allow_open: false };
    for job in catalog.jobs() {
        let tables = Tables::open(catalog, settings, store, reference_dir, Engine::Local).await?;
        let tables = tables.with_whole(whole.clone());
        if let Err(error) = jobs.run(job, Wanted::Changed, &tables).await {
            tracing::warn!(
                job,
                error = format!("{:#}", anyhow::Error::from(error)),
                "a job failed; `vitral batch run` tries again"
            );
        }
    }
    tracing::info!(seconds = began.elapsed().as_secs_f64(), "the warehouse has the history");
    Ok(())
}

#[cfg(test)]
mod tests {
    use vitral_schemas::position::PartitionId;

    use super::*;

    const DAY_MS: i64 = 86_400_000;

    fn shop() -> Catalog {
        Catalog::load(&[], &DomainSettings::default()).expect("the shipped catalog")
    }

    #[tokio::test]
    async fn only_an_empty_data_directory_gets_a_history_and_a_planned_one_stays_planned() {
        let dir = tempfile::tempdir().expect("a folder");
        let store = Location::folder(dir.path()).expect("a store");
        let catalog = shop();
        let simulated = SimulatorConfig::default();
        let plan = |days, start_ms| {
            let simulated = SimulatorConfig { start_ms, ..simulated.clone() };
            let (catalog, store, dir) = (&catalog, &store, dir.path());
            async move { Past::plan(days, &simulated, catalog, store, dir).await.expect("planned") }
        };
        assert_eq!(plan(0, simulated.start_ms).await, None);
        let past = plan(90, simulated.start_ms).await.expect("a history");
        // An hour of lateness, ten seconds of delay, five minutes: it ends on the day before
        // midnight, where whole days are counted from.
        assert_eq!(past.end_ms, simulated.start_ms - 3_600_000 - 10_000 - 300_000);
        assert_eq!(past.start_ms, simulated.start_ms - 91 * DAY_MS);
        assert_eq!(plan(30, simulated.start_ms + DAY_MS).await, Some(past), "the next start makes up for it");
        assert_eq!(plan(0, simulated.start_ms).await, None);
        assert!(!dir.path().join(PLAN_FILE).exists());

        let topic = catalog.topic("eventos_clientes").expect("the topic");
        Archive::open(topic, "log", [PartitionId(0)], &store).await.expect("an archive");
        assert_eq!(plan(90, simulated.start_ms).await, None, "something may have been counted");
    }
}
