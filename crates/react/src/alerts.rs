//! The evaluation of all alerts and reports, and what follows: one commit of what was found, and
//! its delivery.

mod evaluation;
mod run;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use tokio::sync::watch;
use vitral_catalog::{Catalog, DomainSettings, Severity, WATERMARK_ALERT};
use vitral_panes::view::{View, ViewReceiver};
use vitral_query::{Limits, Reader, References};
use vitral_schemas::reconciliation::ReconciliationReceiver;
use vitral_schemas::time::Clock;
use vitral_store::alerts::{
    AlertLog, AlertReceiver, Delay, Delivered, Episodes, Silences, Transition, episode_rows, episode_schema,
};
use vitral_store::{Histories, HistoryReceiver, Location};

use self::evaluation::Last;
use crate::catch_up::CatchUp;
use crate::corrections::Corrections;
use crate::destinations::{Destination, Notifiers};
use crate::error::ReactError;
use crate::found::Found;
use crate::outbox::Outbox;
use crate::rule::Rule;
use crate::standstill::Standstill;
use crate::state::{AlertState, Moment, Policy};

/// What all evaluations together may use: a part of what queries of clients have.
const LIMITS: Limits = Limits {
    memory_bytes: 256 << 20,
    rollup_bytes: 256 << 20,
    timeout: Duration::from_secs(30),
    running_max: 4,
    waiting_max: usize::MAX >> 4,
};
/// Episodes that are over and still shown; the table has all of them.
const SHOWN_MAX: usize = 1_000;
/// How often to look for silences that another process has asked for.
const SILENCES_EVERY: Duration = Duration::from_secs(2);
/// As the built-in alert's notifications name their topic, where they go to Kafka.
const TOPIC: &str = "alertas";

/// What alerts are evaluated on.
#[derive(Debug)]
pub struct AlertInputs {
    /// What is declared.
    pub catalog: Arc<Catalog>,
    /// The domain's zone.
    pub settings: DomainSettings,
    /// Where everything is kept.
    pub store: Location,
    /// Where the files of reference tables lie.
    pub reference_dir: PathBuf,
    /// What the stream shows.
    pub view: ViewReceiver,
    /// What was imported.
    pub histories: HistoryReceiver,
    /// What reconciliations have found.
    pub reconciliations: ReconciliationReceiver,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The connections of alerts and reports that name none.
    pub notify: Vec<String>,
    /// All that are named.
    pub notifiers: Notifiers,
}

/// All alerts and reports of a catalog. One process runs them for a store: the stream's.
pub struct Alerts {
    inputs: AlertInputs,
    reader: Arc<Reader>,
    rules: Vec<Arc<Rule>>,
    /// Of the engine's own alert.
    standstill_policy: Policy,
    standstill: Standstill,
    /// None until it is opened, and after a failure.
    log: Option<AlertLog>,
    states: BTreeMap<String, AlertState>,
    /// What each alert's last evaluation found.
    last: BTreeMap<String, Last>,
    /// The committed view and the imported rows that were evaluated last.
    evaluated: Option<(Arc<View>, Arc<Histories>)>,
    corrections: Corrections,
    catch_up: CatchUp,
    episodes: Episodes,
    silences: Silences,
    silences_seen: Option<Instant>,
    outbox: Outbox,
    /// What was accepted or refused for good and could not be noted yet.
    unnoted: Vec<Delivered>,
    /// The ids of the notifications of which is noted that they are behind others; none before the
    /// first time.
    noted: Option<Vec<String>>,
    shown: watch::Sender<Arc<RecordBatch>>,
}

impl Alerts {
    /// As health and telemetry name it.
    pub const NAME: &'static str = "alerts";

    /// The alerts, to be run, and what they have seen.
    pub fn new(inputs: AlertInputs) -> Result<(Self, AlertReceiver), ReactError> {
        let references = References::new(inputs.reference_dir.clone());
        let reader = Arc::new(Reader::reacting(Arc::clone(&inputs.catalog), references, LIMITS)?);
        let rules = Rule::all(&inputs.catalog, &reader, &inputs.notify)?;
        let destination =
            |connection: &String| Destination { connection: connection.clone(), topic: TOPIC.to_owned() }.to_string();
        let standstill_policy = Policy {
            alert: WATERMARK_ALERT.to_owned(),
            severity: Severity::Critical.name().to_owned(),
            destinations: inputs.notify.iter().map(destination).collect(),
            ..Policy::default()
        };
        let (shown, receiver) = watch::channel(Arc::new(RecordBatch::new_empty(episode_schema())));
        let alerts = Self {
            silences: Silences::of(&inputs.store),
            outbox: Outbox::new(inputs.notifiers.clone(), inputs.settings.time_zone),
            inputs,
            reader,
            rules,
            standstill_policy,
            standstill: Standstill::default(),
            log: None,
            states: BTreeMap::new(),
            last: BTreeMap::new(),
            evaluated: None,
            corrections: Corrections::default(),
            catch_up: CatchUp::default(),
            episodes: Episodes::default(),
            silences_seen: None,
            unnoted: Vec::new(),
            noted: None,
            shown,
        };
        Ok((alerts, receiver))
    }

    /// What they are evaluated on.
    pub(crate) fn inputs(&self) -> &AlertInputs {
        &self.inputs
    }

    /// Every destination that the alerts and reports of a catalog name, or that the configuration
    /// names for the others.
    pub fn destinations(catalog: &Catalog, notify: &[String]) -> BTreeSet<Destination> {
        let audiences = catalog.alerts().map(|(_, alert)| &alert.audience);
        let audiences = audiences.chain(catalog.reports().map(|(_, report)| &report.audience));
        let mut found: BTreeSet<Destination> = audiences
            .flat_map(|audience| {
                let connections = audience.connections.as_deref().unwrap_or(notify);
                connections.iter().map(|connection| (connection, &audience.topic))
            })
            .map(|(connection, topic)| Destination { connection: connection.clone(), topic: topic.clone() })
            .collect();
        found.extend(
            notify.iter().map(|connection| Destination { connection: connection.clone(), topic: TOPIC.to_owned() }),
        );
        found
    }

    /// Reads what was committed before, and what of it was not delivered.
    async fn open(&mut self) -> Result<(), ReactError> {
        let mut log = AlertLog::open(&self.inputs.store).await?;
        let (transitions, mut deliveries) = log.read().await?;
        self.note_late(&mut log, &mut deliveries).await?;
        let AlertInputs { catalog, store, clock, .. } = &self.inputs;
        self.corrections.look(catalog, store, &log, clock.steady_ms()).await?;
        self.states.clear();
        transitions.iter().for_each(|transition| self.apply(transition));
        self.last.clear();
        self.evaluated = None;
        self.episodes = Episodes::of(&transitions, &deliveries);
        self.outbox.fill(&transitions, &deliveries);
        self.log = Some(log);
        let removed = self.removed();
        self.commit(removed).await?;
        self.show()
    }

    /// Notes what was accepted while nothing could be noted, before what is missing is sent.
    async fn note_late(&mut self, log: &mut AlertLog, deliveries: &mut Vec<Delivered>) -> Result<(), ReactError> {
        self.unnoted.extend(self.outbox.accepted());
        if self.unnoted.is_empty() {
            return Ok(());
        }
        // The commit that failed may be there after all.
        let known: BTreeSet<(&str, &str)> =
            deliveries.iter().map(|of| (of.id.as_str(), of.destination.as_str())).collect();
        self.unnoted.retain(|of| !known.contains(&(of.id.as_str(), of.destination.as_str())));
        if !self.unnoted.is_empty() {
            log.delivered(&self.unnoted).await?;
        }
        self.outbox.committed(&self.unnoted);
        deliveries.append(&mut self.unnoted);
        Ok(())
    }

    /// How long ago it was is known by the clock on the wall alone, if an earlier process has made
    /// it; what seems to lie ahead is of now.
    fn apply(&mut self, transition: &Transition) {
        let clock = &self.inputs.clock;
        let age_ms = clock.now_ms().saturating_sub(transition.at_ms).max(0);
        let steady_ms = clock.steady_ms().saturating_sub(age_ms);
        self.states.entry(transition.alert.clone()).or_default().apply(transition, steady_ms);
    }

    /// What alerts that the catalog does not have any more leave behind.
    fn removed(&self) -> Vec<Transition> {
        let is_known = |name: &String| {
            *name == self.standstill_policy.alert || self.rules.iter().any(|rule| rule.policy.alert == *name)
        };
        let moment = self.moment(false, String::new());
        let left = self.states.iter().filter(|(name, state)| !is_known(name) && state.has_begun());
        left.flat_map(|(name, state)| {
            let policy = Policy { alert: name.clone(), ..Policy::default() };
            state.step(&policy, &Found::default(), &moment, &|_| false)
        })
        .collect()
    }

    fn moment(&self, is_past: bool, versions: String) -> Moment {
        let clock = &self.inputs.clock;
        Moment { now_ms: clock.now_ms(), steady_ms: clock.steady_ms(), is_past, versions }
    }

    /// One commit of what was decided; only what is committed counts.
    async fn commit(&mut self, transitions: Vec<Transition>) -> Result<(), ReactError> {
        if transitions.is_empty() {
            return Ok(());
        }
        let Some(log) = &mut self.log else { return Ok(()) };
        if let Err(error) = log.append(&transitions).await {
            // Whether it is there after all is read at the next attempt; and so is what another
            // process may have decided.
            self.log = None;
            return Err(error.into());
        }
        for transition in &transitions {
            self.apply(transition);
            self.episodes.add(transition);
            self.outbox.add(transition);
        }
        self.show()
    }

    /// Commits what was accepted, and hands on what waits.
    async fn deliver(&mut self) -> Result<(), ReactError> {
        self.outbox.deliver();
        self.unnoted.extend(self.outbox.accepted());
        let failed = self.outbox.failed();
        let Some(log) = &mut self.log else { return Ok(()) };
        if !self.unnoted.is_empty()
            && let Err(error) = log.delivered(&self.unnoted).await
        {
            // It is noted once the log is open again, and not delivered again.
            self.log = None;
            return Err(error.into());
        }
        let accepted = std::mem::take(&mut self.unnoted);
        self.outbox.committed(&accepted);
        failed.iter().for_each(|delay| self.episodes.delay(delay));
        accepted.iter().for_each(|delivered| self.episodes.deliver(delivered));
        if !accepted.is_empty() || !failed.is_empty() {
            self.show()?;
        }
        self.note_passed_over().await?;
        if self.outbox.wants_more()
            && let Some(log) = &self.log
        {
            let (transitions, deliveries) = log.read().await?;
            self.outbox.fill(&transitions, &deliveries);
        }
        self.outbox.deliver();
        self.outbox.report(&self.inputs.view.borrow().health);
        Ok(())
    }

    /// Other processes, such as commands, see what is behind the others from what is noted.
    async fn note_passed_over(&mut self) -> Result<(), ReactError> {
        let passed_over = self.outbox.passed_over();
        let ids = |delays: &[Delay]| delays.iter().map(|delay| delay.id.clone()).collect::<Vec<_>>();
        if let Some(log) = &self.log
            && self.noted.as_ref().map_or(!passed_over.is_empty(), |noted| *noted != ids(&passed_over))
        {
            log.set_delays(&passed_over).await?;
            self.noted = Some(ids(&passed_over));
        }
        Ok(())
    }

    async fn look_for_silences(&mut self) {
        if self.silences_seen.is_some_and(|seen| seen.elapsed() < SILENCES_EVERY) {
            return;
        }
        self.silences_seen = Some(Instant::now());
        if let Err(error) = self.silences.refresh().await {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, "silences cannot be read; those already known stay in force");
        }
    }

    fn show(&mut self) -> Result<(), ReactError> {
        self.episodes.forget_all_but(SHOWN_MAX);
        self.shown.send_replace(Arc::new(episode_rows(self.episodes.all())?));
        Ok(())
    }
}
