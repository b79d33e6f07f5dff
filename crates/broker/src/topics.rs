//! The topics: created, found, deleted, and kept across restarts.

use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use kafka_protocol::ResponseError;
use tokio::sync::watch;
use uuid::Uuid;

use crate::batch::{Head, Refused};
use crate::error::BrokerError;
use crate::limits::Limits;
use crate::log::{AppendError, Appended, PartitionLog};
use crate::lost_tail::{LostTail, Reached};
use crate::manifest::{Entry, Manifest, log_dirs};

const NAME_BYTES_MAX: usize = 249;
/// How many producer ids are reserved at once.
const PRODUCER_IDS: i64 = 1000;

#[derive(Debug)]
pub struct Topics {
    dir: PathBuf,
    pub limits: Limits,
    pub cluster_id: String,
    /// Held while topics are created and deleted.
    manifest: Mutex<Manifest>,
    by_name: RwLock<BTreeMap<String, Arc<Topic>>>,
    /// Ids below the manifest's that are not in use yet.
    producer_ids: Mutex<std::ops::Range<i64>>,
    bytes: AtomicU64,
    /// Changes with every append.
    appended: watch::Sender<()>,
}

#[derive(Debug)]
pub struct Topic {
    pub name: String,
    pub id: Uuid,
    dir: PathBuf,
    partitions: Vec<Mutex<PartitionLog>>,
}

impl Topic {
    fn open(dir: &Path, name: &str, entry: Entry) -> io::Result<Self> {
        let dir = dir.join(entry.id.to_string());
        let open = |partition: i32| Ok(Mutex::new(PartitionLog::open(dir.join(partition.to_string()))?));
        let partitions = (0..entry.partitions).map(open).collect::<io::Result<_>>()?;
        Ok(Self { name: name.to_owned(), id: entry.id, dir, partitions })
    }

    pub fn partition_count(&self) -> i32 {
        i32::try_from(self.partitions.len()).unwrap_or(i32::MAX)
    }

    pub fn partition(&self, index: i32) -> Option<MutexGuard<'_, PartitionLog>> {
        self.partitions.get(usize::try_from(index).ok()?).map(lock)
    }

    pub fn partitions(&self) -> impl Iterator<Item = MutexGuard<'_, PartitionLog>> {
        self.partitions.iter().map(lock)
    }
}

impl Topics {
    pub fn open(dir: PathBuf, limits: Limits) -> Result<Self, BrokerError> {
        // Messages are personal data.
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&dir);
        made.map_err(BrokerError::log("made", &dir))?;
        let manifest = Manifest::load(&dir)?;
        // The remains of an interrupted delete.
        for (id, path) in log_dirs(&dir).map_err(BrokerError::log("read", &dir))? {
            if !manifest.topics.values().any(|topic| topic.id == id) {
                std::fs::remove_dir_all(&path).map_err(BrokerError::log("deleted", path))?;
            }
        }
        let mut by_name = BTreeMap::new();
        let mut bytes = 0;
        for (name, entry) in &manifest.topics {
            let topic = Topic::open(&dir, name, *entry).map_err(BrokerError::log("read", &dir))?;
            bytes += topic.partitions().map(|log| log.bytes()).sum::<u64>();
            by_name.insert(name.clone(), Arc::new(topic));
        }
        let given_out = manifest.next_producer_id;
        Ok(Self {
            dir,
            limits,
            cluster_id: manifest.cluster_id.to_string(),
            manifest: Mutex::new(manifest),
            by_name: RwLock::new(by_name),
            producer_ids: Mutex::new(given_out..given_out),
            bytes: AtomicU64::new(bytes),
            appended: watch::Sender::new(()),
        })
    }

    /// Has logs that end before what a reader has had of them continue behind that: offsets never
    /// mean other messages than they did.
    pub fn continue_behind(&self, reached: Reached<'_>) -> Result<Vec<LostTail>, BrokerError> {
        let mut lost = Vec::new();
        for topic in self.all() {
            for (partition, mut log) in (0..).zip(topic.partitions()) {
                let failed = |error| BrokerError::log("continued", log.dir())(error);
                let Some(next) = reached(&topic.name, &topic.id.to_string(), partition).map_err(failed)? else {
                    continue;
                };
                let path = log.dir().to_owned();
                if let Some(end) = log.continue_at(next).map_err(BrokerError::log("continued", path))? {
                    lost.push(LostTail { topic: topic.name.clone(), partition, end, next });
                }
            }
        }
        Ok(lost)
    }

    pub fn get(&self, name: &str) -> Option<Arc<Topic>> {
        self.by_name.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    pub fn by_id(&self, id: Uuid) -> Option<Arc<Topic>> {
        let by_name = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        by_name.values().find(|topic| topic.id == id).cloned()
    }

    pub fn all(&self) -> Vec<Arc<Topic>> {
        self.by_name.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Whether a topic could be created; -1 partitions stand for the default.
    pub fn check_new(&self, name: &str, partitions: i32) -> Result<Entry, Refused> {
        check_name(name)?;
        let partitions = if partitions == -1 { self.limits.default_partitions } else { partitions };
        if partitions < 1 {
            return Err(Refused::new(ResponseError::InvalidPartitions, "a topic has at least one partition"));
        }
        let topics = self.all();
        if topics.iter().any(|topic| topic.name == name) {
            return Err(Refused::new(ResponseError::TopicAlreadyExists, format!("the topic {name} already exists")));
        }
        let there: usize = topics.iter().map(|topic| topic.partitions.len()).sum();
        let room = self.limits.partitions.saturating_sub(there);
        if topics.len() >= self.limits.topics || usize::try_from(partitions).is_ok_and(|partitions| partitions > room) {
            let Limits { topics, partitions, .. } = self.limits;
            let reason = format!("the demo's broker has at most {topics} topics of {partitions} partitions together");
            return Err(Refused::new(ResponseError::PolicyViolation, reason));
        }
        Ok(Entry { id: Uuid::new_v4(), partitions })
    }

    pub fn create(&self, name: &str, partitions: i32) -> Result<Arc<Topic>, Refused> {
        let mut manifest = lock(&self.manifest);
        let entry = self.check_new(name, partitions)?;
        let topic = Arc::new(Topic::open(&self.dir, name, entry).map_err(|error| failed(&error))?);
        manifest.topics.insert(name.to_owned(), entry);
        if let Err(error) = manifest.store(&self.dir) {
            manifest.topics.remove(name);
            return Err(failed(&error));
        }
        self.by_name.write().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), Arc::clone(&topic));
        Ok(topic)
    }

    /// The topic of that name, created if it does not exist.
    pub fn get_or_create(&self, name: &str) -> Result<Arc<Topic>, Refused> {
        if let Some(topic) = self.get(name) {
            return Ok(topic);
        }
        match self.create(name, -1) {
            Ok(topic) => {
                let partitions = topic.partition_count();
                tracing::info!(
                    topic = name,
                    partitions,
                    "a client named a topic that did not exist, and it was created"
                );
                Ok(topic)
            }
            // Created by another client in the meantime.
            Err(refused) if refused.error == ResponseError::TopicAlreadyExists => self.get(name).ok_or(refused),
            Err(refused) => Err(refused),
        }
    }

    pub fn delete(&self, topic: &Topic) -> Result<(), Refused> {
        let mut manifest = lock(&self.manifest);
        let Some(entry) = manifest.topics.remove(&topic.name) else {
            return Err(Refused::new(ResponseError::UnknownTopicOrPartition, "the topic does not exist"));
        };
        if let Err(error) = manifest.store(&self.dir) {
            manifest.topics.insert(topic.name.clone(), entry);
            return Err(failed(&error));
        }
        self.by_name.write().unwrap_or_else(PoisonError::into_inner).remove(&topic.name);
        let bytes = topic.partitions().map(|log| log.bytes()).sum();
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.appended.send_replace(());
        if let Err(error) = std::fs::remove_dir_all(&topic.dir) {
            tracing::warn!(%error, topic = topic.name, "the log of a deleted topic is deleted at the next start");
        }
        Ok(())
    }

    pub fn append(&self, topic: &Topic, partition: i32, batch: &[u8], head: &Head) -> Result<Appended, Refused> {
        if self.bytes.load(Ordering::Relaxed) >= self.limits.log_bytes {
            let reason = format!(
                "the broker's log is full with {} bytes; messages are deleted once {} minutes have passed since they arrived",
                self.limits.log_bytes,
                self.limits.grace.as_secs() / 60
            );
            return Err(Refused::new(ResponseError::KafkaStorageError, reason));
        }
        let mut log = topic.partition(partition).ok_or_else(|| unknown_partition(topic, partition))?;
        let appended = log.append(batch, head, &self.limits).map_err(|error| match error {
            AppendError::Refused(refused) => refused,
            AppendError::Io(error) => failed(&error),
        })?;
        drop(log);
        self.bytes.fetch_add(appended.bytes, Ordering::Relaxed);
        self.appended.send_replace(());
        Ok(appended)
    }

    /// Sees every append from now on.
    pub fn appended(&self) -> watch::Receiver<()> {
        self.appended.subscribe()
    }

    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn deleted(&self, bytes: u64) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// An id that no producer has had, even before a restart.
    pub fn producer_id(&self) -> Result<i64, Refused> {
        let mut ids = lock(&self.producer_ids);
        if ids.is_empty() {
            let mut manifest = lock(&self.manifest);
            let first = manifest.next_producer_id;
            manifest.next_producer_id = first + PRODUCER_IDS;
            if let Err(error) = manifest.store(&self.dir) {
                manifest.next_producer_id = first;
                return Err(failed(&error));
            }
            *ids = first..first + PRODUCER_IDS;
        }
        ids.next().ok_or_else(|| Refused::new(ResponseError::UnknownServerError, "no producer ids are left"))
    }

    /// To the disk.
    pub fn sync(&self) -> io::Result<()> {
        self.all().iter().flat_map(|topic| topic.partitions().map(|log| log.sync()).collect::<Vec<_>>()).collect()
    }
}

pub fn unknown_partition(topic: &Topic, partition: i32) -> Refused {
    let reason = format!("the topic {} has no partition {partition}", topic.name);
    Refused::new(ResponseError::UnknownTopicOrPartition, reason)
}

fn failed(error: &io::Error) -> Refused {
    tracing::error!(%error, "the broker cannot write its log");
    Refused::new(ResponseError::KafkaStorageError, format!("the broker cannot write its log: {error}"))
}

fn check_name(name: &str) -> Result<(), Refused> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name == "." || name == ".." || !name.chars().all(legal) {
        let reason = "a topic's name has 1 to 249 letters, digits, dots, underscores or hyphens";
        return Err(Refused::new(ResponseError::InvalidTopicException, reason));
    }
    Ok(())
}

/// A panic elsewhere leaves a log as it was before or after a batch.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
