//! How the stream fares: what readiness and telemetry are made of. No number of an answer comes
//! from here.
//!
//! Pipelines write their topic's part about once a second and at each commit; instants are of the
//! monotonic clock, so that a wall clock that is set cannot hide that nothing moves.

mod backlog;
mod copies;
mod partition;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub use self::copies::{NotificationHealth, RowLogHealth, SinkHealth};
pub use self::partition::PartitionHealth;
use crate::position::{Offset, PartitionId};

/// Shared by the pipelines, the supervisor of background tasks, and the API.
#[derive(Debug, Default)]
pub struct Health {
    /// By table name.
    topics: Mutex<BTreeMap<String, TopicHealth>>,
    /// By what they do: `hourly check`.
    tasks: Mutex<BTreeMap<String, TaskHealth>>,
    /// By the name of the view that is copied.
    sinks: Mutex<BTreeMap<String, SinkHealth>>,
    /// By the name of the log.
    row_logs: Mutex<BTreeMap<String, RowLogHealth>>,
    /// By their destination.
    notifications: Mutex<BTreeMap<String, NotificationHealth>>,
    /// What is wrong with the stream that this process follows.
    followed: Mutex<Vec<Trouble>>,
}

/// How the pipeline of one topic fares.
#[derive(Debug, Clone, Default)]
pub struct TopicHealth {
    /// Whether it is served yet.
    pub phase: Phase,
    /// The last commit of this process.
    pub committed: Option<Instant>,
    /// Since when the oldest row that is not committed waits; none if nothing waits.
    pub uncommitted: Option<Instant>,
    /// Nothing that was read waits, neither for its commit nor for the publication of what that has
    /// closed.
    pub is_settled: bool,
    /// Kafka says that it does not exist.
    pub is_absent: bool,
    /// What keeps Kafka from being read now though the topic is served, in words: a password that
    /// was withdrawn, a broker that is away.
    pub kafka: Option<String>,
    /// What fails now and is tried again.
    pub retrying: Option<Retrying>,
    /// Failed attempts of this process.
    pub retries: u64,
    /// By partition.
    pub partitions: BTreeMap<PartitionId, PartitionHealth>,
}

/// How far a topic's pipeline has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Phase {
    /// Opening the archive, rebuilding open windows.
    #[default]
    Starting,
    /// Nothing can be read yet, in words: the topic does not exist, its broker is away.
    Waiting(String),
    /// Messages are read and counted.
    Serving,
}

/// What fails and is tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retrying {
    /// When it failed first.
    pub since: Instant,
    /// In a row.
    pub attempts: u64,
    /// The last error, in words.
    pub reason: String,
}

/// A task that runs alongside the stream and is restarted when it ends.
#[derive(Debug, Clone, Default)]
pub struct TaskHealth {
    /// How often it was started again.
    pub restarts: u64,
    /// Why it does not run now, and since when.
    pub down: Option<(Instant, String)>,
    /// When it last did its work.
    pub done: Option<Instant>,
}

/// How long something may take before the process is not ready.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// How long rows may wait for their commit, and a failing commit may be retried.
    pub commit: Duration,
    /// How long a partition with more to read may stand still.
    pub still: Duration,
}

/// Something that keeps the process from being ready, in order of the topics' names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// The topic or task.
    pub subject: String,
    /// A word that stays: `starting`, `waiting`, `not_committing`, `retrying`, `partition_stuck`,
    /// `task_down`, `imports_unreadable`; of a stream that is followed `stream_away`,
    /// `stream_other_version`, `stream_trouble`.
    pub code: &'static str,
    /// What is wrong, in words.
    pub detail: String,
}

impl Health {
    /// Every topic's part as it is now.
    pub fn topics(&self) -> BTreeMap<String, TopicHealth> {
        lock(&self.topics).clone()
    }

    /// Every background task's part as it is now.
    pub fn tasks(&self) -> BTreeMap<String, TaskHealth> {
        lock(&self.tasks).clone()
    }

    /// Changes a topic's part; the first change makes it known.
    pub fn topic<T>(&self, name: &str, change: impl FnOnce(&mut TopicHealth) -> T) -> T {
        let mut topics = lock(&self.topics);
        if let Some(topic) = topics.get_mut(name) {
            change(topic)
        } else {
            change(topics.entry(name.into()).or_default())
        }
    }

    /// Changes a task's part; the first change makes it known.
    pub fn task<T>(&self, name: &str, change: impl FnOnce(&mut TaskHealth) -> T) -> T {
        change(lock(&self.tasks).entry(name.into()).or_default())
    }

    /// Every sink's part as it is now.
    pub fn sinks(&self) -> BTreeMap<String, SinkHealth> {
        lock(&self.sinks).clone()
    }

    /// Changes a sink's part; the first change makes it known.
    pub fn sink<T>(&self, name: &str, change: impl FnOnce(&mut SinkHealth) -> T) -> T {
        change(lock(&self.sinks).entry(name.into()).or_default())
    }

    /// Every part of logs of rows as it is now.
    pub fn row_logs(&self) -> BTreeMap<String, RowLogHealth> {
        lock(&self.row_logs).clone()
    }

    /// Changes the part of a log of rows; the first change makes it known.
    pub fn row_log(&self, name: &str, change: impl FnOnce(&mut RowLogHealth)) {
        change(lock(&self.row_logs).entry(name.into()).or_default());
    }

    /// How the notifications of every destination fare now.
    pub fn notifications(&self) -> BTreeMap<String, NotificationHealth> {
        lock(&self.notifications).clone()
    }

    /// Says how those of a destination fare.
    pub fn notification(&self, destination: &str, now: NotificationHealth) {
        lock(&self.notifications).insert(destination.to_owned(), now);
    }

    /// Everything that is wrong at `now`.
    pub fn troubles(&self, bounds: Bounds, now: Instant) -> Vec<Trouble> {
        let topics = self.topics();
        let topics = topics.iter().flat_map(|(name, topic)| topic.troubles(name, bounds, now));
        let tasks = self.tasks();
        let down = tasks.iter().filter_map(|(name, task)| {
            let (since, reason) = task.down.as_ref()?;
            let detail = format!("{reason}; {} s ago, started again {} times", seconds(now, *since), task.restarts);
            Some(Trouble { subject: name.clone(), code: "task_down", detail })
        });
        topics.chain(down).chain(lock(&self.followed).iter().cloned()).collect()
    }

    /// Says what is wrong with the stream that this process follows.
    pub fn follow(&self, troubles: Vec<Trouble>) {
        *lock(&self.followed) = troubles;
    }
}

impl Trouble {
    /// Whether the served numbers should not be relied on. That holds for all trouble but that of
    /// one topic: it waits for Kafka while others do not, or its imports cannot be read, and what
    /// needs them is refused; and but that of another process, of which each answer says what it
    /// lacks.
    pub fn is_grave(&self) -> bool {
        !matches!(
            self.code,
            "waiting" | "imports_unreadable" | "stream_away" | "stream_other_version" | "stream_trouble"
        )
    }
}

impl TopicHealth {
    /// An attempt failed and is made again.
    pub fn failed(&mut self, reason: impl Into<String>) {
        let reason = reason.into();
        self.retries += 1;
        match &mut self.retrying {
            Some(retrying) => {
                retrying.attempts += 1;
                retrying.reason = reason;
            }
            None => self.retrying = Some(Retrying { since: Instant::now(), attempts: 1, reason }),
        }
    }

    /// What was tried again has succeeded.
    pub fn recovered(&mut self) {
        self.retrying = None;
    }

    /// Where reading is in a partition, and where the broker's log ends.
    pub fn reads(&mut self, partition: PartitionId, position: Offset, end: Option<Offset>, now: Instant) {
        let known = self.partitions.entry(partition).or_insert_with(|| PartitionHealth::at(position, end, now));
        // An end that is not known right now is where it was.
        let end = end.or(known.end);
        known.first_end = known.first_end.or(end);
        // The time stands for how long there has been more to read.
        if position != known.position || end.is_none_or(|end| end <= position) || known.at_end() || known.held {
            known.moved = now;
        }
        (known.position, known.end) = (position, end);
    }

    /// Whether the partition is not read on purpose.
    pub fn holds(&mut self, partition: PartitionId, held: bool) {
        if let Some(known) = self.partitions.get_mut(&partition) {
            known.held = held;
        }
    }

    fn troubles(&self, name: &str, bounds: Bounds, now: Instant) -> Vec<Trouble> {
        let trouble = |code, detail| Trouble { subject: name.to_owned(), code, detail };
        let retrying = self.retrying.as_ref().map(|Retrying { since, attempts, reason }| {
            (
                now.saturating_duration_since(*since),
                format!("{attempts} attempts in {} s: {reason}", seconds(now, *since)),
            )
        });
        let overdue = self.uncommitted.filter(|since| now.saturating_duration_since(*since) > bounds.commit);
        let mut troubles = Vec::new();
        match &self.phase {
            Phase::Starting => troubles.push(trouble("starting", "its open windows are being rebuilt".to_owned())),
            Phase::Waiting(reason) => troubles.push(trouble("waiting", reason.clone())),
            Phase::Serving => troubles.extend(self.kafka.clone().map(|reason| trouble("waiting", reason))),
        }
        match (overdue, retrying) {
            (Some(since), retrying) => {
                let reason = retrying.map(|(_, detail)| format!("; {detail}")).unwrap_or_default();
                let detail = format!("rows have waited {} s for their commit{reason}", seconds(now, since));
                troubles.push(trouble("not_committing", detail));
            }
            (None, Some((lasts, detail))) if lasts > bounds.commit => troubles.push(trouble("retrying", detail)),
            (None, _) => {}
        }
        for (partition, known) in &self.partitions {
            if !known.at_end() && !known.held && now.saturating_duration_since(known.moved) > bounds.still {
                let (position, end) = (known.position, known.end.unwrap_or_default());
                let lasts = seconds(now, known.moved);
                let detail = format!(
                    "partition {partition} has stood at offset {position} for {lasts} s, though the broker's log ends at {end}"
                );
                troubles.push(trouble("partition_stuck", detail));
            }
        }
        troubles
    }
}

impl TaskHealth {
    /// It has done its work.
    pub fn done(&mut self) {
        (self.done, self.down) = (Some(Instant::now()), None);
    }
}

fn seconds(now: Instant, since: Instant) -> u64 {
    now.saturating_duration_since(since).as_secs()
}

/// A panic between lock and unlock leaves plain values behind.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { commit: Duration::from_secs(30), still: Duration::from_secs(60) };

    fn codes(health: &Health, now: Instant) -> Vec<&'static str> {
        health.troubles(BOUNDS, now).iter().map(|trouble| trouble.code).collect()
    }

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn phases() {
        let (health, now) = (Health::default(), Instant::now());
        assert!(codes(&health, now).is_empty());
        health.topic("eventos", |_| ());
        assert_eq!(codes(&health, now), ["starting"]);
        health.topic("eventos", |topic| topic.phase = Phase::Waiting("the topic does not exist yet".into()));
        assert_eq!(codes(&health, now), ["waiting"]);
        health.topic("eventos", |topic| topic.phase = Phase::Serving);
        assert!(codes(&health, now).is_empty());
    }

    #[test]
    fn what_keeps_a_served_topic_from_being_read_is_named_and_does_not_take_its_answers_away() {
        let (health, now) = (Health::default(), Instant::now());
        health.topic("eventos", |topic| {
            topic.phase = Phase::Serving;
            topic.kafka = Some("the broker refuses the user or the password".into());
        });
        let troubles = health.troubles(BOUNDS, now);
        assert_eq!((troubles.len(), troubles[0].code, troubles[0].is_grave()), (1, "waiting", false));
        assert!(troubles[0].detail.contains("password"), "{troubles:?}");
        health.topic("eventos", |topic| topic.kafka = None);
        assert!(codes(&health, now).is_empty());
    }

    #[test]
    fn rows_that_wait_for_their_commit() {
        let (health, start) = (Health::default(), Instant::now());
        health.topic("eventos", |topic| {
            topic.phase = Phase::Serving;
            topic.uncommitted = Some(start);
        });
        assert!(codes(&health, after(start, 30)).is_empty());
        assert_eq!(codes(&health, after(start, 31)), ["not_committing"]);
        health.topic("eventos", |topic| topic.failed("403 Forbidden"));
        let troubles = health.troubles(BOUNDS, after(start, 40));
        assert!(troubles[0].detail.contains("40 s") && troubles[0].detail.contains("403"), "{troubles:?}");
        // Nothing waits, but what is tried still fails.
        health.topic("eventos", |topic| topic.uncommitted = None);
        assert_eq!(codes(&health, after(start, 40)), ["retrying"]);
        health.topic("eventos", TopicHealth::recovered);
        assert!(codes(&health, after(start, 99)).is_empty());
        assert_eq!(health.topics()["eventos"].retries, 1);
    }

    #[test]
    fn a_partition_that_stands_still_though_there_is_more() {
        let (health, start) = (Health::default(), Instant::now());
        let reads = |position, end: Option<i64>, now| {
            health.topic("eventos", |topic| topic.reads(PartitionId(3), Offset(position), end.map(Offset), now));
        };
        health.topic("eventos", |topic| topic.phase = Phase::Serving);
        reads(5, None, start);
        assert!(codes(&health, after(start, 900)).is_empty(), "an end that is not known");
        // At its end for long, and then a message comes: it has a minute from then on.
        reads(5, Some(5), after(start, 1000));
        reads(5, Some(6), after(start, 2000));
        assert!(codes(&health, after(start, 2060)).is_empty());
        reads(5, None, after(start, 2050));
        assert_eq!(codes(&health, after(start, 2061)), ["partition_stuck"]);
        assert_eq!(health.topics()["eventos"].partitions[&PartitionId(3)].lag(), Some(1));
        reads(6, Some(9), after(start, 2062));
        assert!(codes(&health, after(start, 2100)).is_empty(), "it moves");
    }

    #[test]
    fn tasks_that_ended() {
        let (health, start) = (Health::default(), Instant::now());
        health.task("hourly check", |task| task.down = Some((start, "it panicked".into())));
        let troubles = health.troubles(BOUNDS, after(start, 2));
        assert_eq!((troubles[0].code, troubles[0].subject.as_str()), ("task_down", "hourly check"));
        health.task("hourly check", |task| task.down = None);
        assert!(codes(&health, after(start, 2)).is_empty());
    }
}
