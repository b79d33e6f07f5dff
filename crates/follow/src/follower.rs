//! Following a stream: one view after the other, and what is shown while there is none.

use std::sync::Arc;
use std::time::{Duration, Instant};

use vitral_catalog::{Catalog, DomainSettings};
use vitral_connect::with_causes;
use vitral_panes::view::{Live, View, ViewReceiver, ViewSender};
use vitral_query::remote::{LivePart, TroublePart};
use vitral_schemas::health::{Health, Trouble};
use vitral_schemas::time::Clock;
use vitral_store::Location;

use crate::error::FollowError;
use crate::live_states::{LiveStates, NotLive};
use crate::tables::Tables;

/// Between questions while the stream does not answer.
const PAUSE_FIRST: Duration = Duration::from_millis(200);
const PAUSE_LONGEST: Duration = Duration::from_secs(2);
/// How often the store is looked at meanwhile, and which part of the time that may take: verdicts
/// are counted then.
const LOOK_EVERY: Duration = Duration::from_secs(2);
const LOOK_SHARE: u32 = 10;
/// What troubles are about.
const SUBJECT: &str = "stream";

/// Shows what a stream shows.
pub struct Follower {
    tables: Tables,
    stream: Box<dyn LiveStates>,
    clock: Arc<dyn Clock>,
    shown: ViewSender,
    health: Arc<Health>,
    /// The live part that is shown.
    epoch: Option<String>,
    /// Since when only stored rows are shown.
    away: Option<Away>,
}

struct Away {
    since_ms: i64,
    reason: NotLive,
    pause: Duration,
    /// When the store was looked at last, and how long that took.
    looked: Option<(Instant, Duration)>,
}

impl Follower {
    /// As health and telemetry name it.
    pub const NAME: &'static str = "stream followed";

    /// Of the tables of a catalog in a store, and the stream that writes them; and what it shows,
    /// once it runs.
    ///
    /// # Errors
    /// The catalog cannot be planned.
    pub fn new(
        catalog: &Catalog,
        settings: &DomainSettings,
        store: &Location,
        stream: Box<dyn LiveStates>,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, ViewReceiver), FollowError> {
        let (shown, receiver) = tokio::sync::watch::channel(Arc::new(View::default()));
        let health = Arc::clone(&receiver.borrow().health);
        let tables = Tables::new(catalog, settings, store)?;
        Ok((Self { tables, stream, clock, shown, health, epoch: None, away: None }, receiver))
    }

    /// Runs until it is dropped.
    pub async fn run(&mut self) {
        loop {
            self.step().await;
            self.health.task(Self::NAME, vitral_schemas::health::TaskHealth::done);
        }
    }

    async fn step(&mut self) {
        let described = self.stream.next(self.epoch.as_deref()).await;
        let outcome = match described {
            Ok(None) => Ok(()),
            Ok(Some(part)) => self.show(part).await,
            Err(reason) => Err(reason),
        };
        if let Err(reason) = outcome {
            self.fall_back(reason).await;
        }
    }

    async fn show(&mut self, part: LivePart) -> Result<(), NotLive> {
        let view = self.tables.as_shown(&part, self.clock.now_ms(), &self.health).await;
        let view = view.map_err(|error| NotLive::Away(with_causes(&error)))?;
        let mut troubles: Vec<Trouble> = part.troubles.iter().map(trouble_of_stream).collect();
        troubles.extend(other_versions(&view));
        self.health.follow(troubles);
        if let Some(away) = self.away.take() {
            let seconds = (self.clock.now_ms() - away.since_ms) / 1000;
            tracing::info!(seconds, program = part.program, "the stream is followed again");
        }
        self.epoch = Some(part.epoch);
        self.shown.send_replace(Arc::new(view));
        Ok(())
    }

    /// Shows what is stored, now and then again, until the stream is asked again.
    async fn fall_back(&mut self, reason: NotLive) {
        self.epoch = None;
        let now_ms = self.clock.now_ms();
        let is_news = self.away.as_ref().is_none_or(|away| away.reason != reason);
        let mut away = self.away.take().unwrap_or_else(|| Away {
            since_ms: now_ms,
            reason: reason.clone(),
            pause: PAUSE_FIRST,
            looked: None,
        });
        let (live, code) = match reason {
            NotLive::Away(_) => (Live::Away { since_ms: away.since_ms }, "stream_away"),
            NotLive::OtherVersion(_) => (Live::OtherVersion, "stream_other_version"),
        };
        if is_news {
            tracing::warn!(reason = reason.reason(), "only stored rows are answered until the stream can be followed");
        }
        let detail = format!("only stored rows are answered: {}", reason.reason());
        let mut troubles = vec![Trouble { subject: SUBJECT.to_owned(), code, detail }];
        let is_due =
            is_news || away.looked.is_none_or(|(last, took)| last.elapsed() >= LOOK_EVERY.max(took * LOOK_SHARE));
        if is_due {
            let started = Instant::now();
            match self.tables.as_stored(live, now_ms, &self.health).await {
                Ok(view) => drop(self.shown.send_replace(Arc::new(view))),
                Err(error) => {
                    let detail = with_causes(&error);
                    tracing::warn!(error = detail, "stored tables cannot be read; trying again");
                    troubles.push(Trouble { subject: SUBJECT.to_owned(), code, detail });
                    self.mark(live);
                }
            }
            away.looked = Some((started, started.elapsed()));
        }
        self.health.follow(troubles);
        tokio::time::sleep(away.pause).await;
        away.pause = (away.pause * 2).min(PAUSE_LONGEST);
        away.reason = reason;
        self.away = Some(away);
    }

    /// What was shown last stays, and says of itself that it is not live.
    fn mark(&self, live: Live) {
        self.shown.send_if_modified(|shown| {
            if !shown.ready {
                return false;
            }
            let mut marked = View::clone(shown);
            marked.topics.values_mut().for_each(|topic| topic.completeness.live = live);
            marked.metrics.values_mut().for_each(|metric| metric.completeness.live = live);
            *shown = Arc::new(marked);
            true
        });
    }
}

fn trouble_of_stream(TroublePart { subject, code, detail }: &TroublePart) -> Trouble {
    let detail = format!("{code}: {detail}");
    Trouble { subject: format!("{SUBJECT} {subject}"), code: "stream_trouble", detail }
}

/// What is served from stored rows alone though the stream answers.
fn other_versions(view: &View) -> Option<Trouble> {
    let topics = view.topics.iter().map(|(name, topic)| (name, topic.completeness.live));
    let metrics = view.metrics.iter().map(|(name, metric)| (name, metric.completeness.live));
    let names: Vec<&str> =
        topics.chain(metrics).filter(|(_, live)| *live == Live::OtherVersion).map(|(name, _)| name.as_str()).collect();
    let detail = || {
        format!(
            "the stream's catalog declares other versions of {}: only their stored rows are answered; start both with the same catalog",
            names.join(", ")
        )
    };
    (!names.is_empty()).then(|| Trouble { subject: SUBJECT.to_owned(), code: "stream_other_version", detail: detail() })
}
