//! Shows readers what any process has imported.

use std::sync::Arc;
use std::time::Duration;

use crate::histories::{Histories, HistoryReceiver};
use tokio::sync::watch;
use vitral_schemas::health::{Health, TaskHealth};
use vitral_schemas::topic::Topic;

use crate::doctor::chain;
use crate::error::StoreError;
use crate::history::History;
use crate::layout::Layout;
use crate::location::Location;

/// How often to poll for new rows.
const POLL_EVERY: Duration = Duration::from_secs(5);

/// Polls for rows that imports have added.
pub struct HistoryPoller {
    topics: Vec<Polled>,
    store: Location,
    health: Arc<Health>,
    shown: watch::Sender<Arc<Histories>>,
}

/// The history of one topic.
struct Polled {
    topic: Topic,
    /// None before the first import.
    history: Option<History>,
    /// The commit whose rows readers have.
    shown: Option<u64>,
}

impl HistoryPoller {
    /// As health and telemetry name it.
    pub const NAME: &'static str = "imported rows";

    /// The poller, to be run, and what it shows.
    pub fn new(topics: Vec<Topic>, store: Location, health: Arc<Health>) -> (Self, HistoryReceiver) {
        let unread = Histories::unread(topics.iter().map(|topic| topic.name.clone()));
        let (shown, receiver) = watch::channel(Arc::new(unread));
        let topics = topics.into_iter().map(|topic| Polled { topic, history: None, shown: None }).collect();
        (Self { topics, store, health, shown }, receiver)
    }

    /// Runs until it is dropped. Failures are logged, and polling goes on.
    pub async fn run(&mut self) {
        loop {
            if self.poll().await {
                self.health.task(Self::NAME, TaskHealth::done);
            }
            tokio::time::sleep(POLL_EVERY).await;
        }
    }

    /// Shows what is new, topic by topic; false if one has to be tried again.
    async fn poll(&mut self) -> bool {
        let mut all = true;
        for polled in &mut self.topics {
            if let Err(error) = polled.look(&self.store, &self.shown).await {
                let reason = chain(&error);
                let name = &polled.topic.name;
                self.shown.send_if_modified(|shown| {
                    // Readers keep what they have, unless this is news.
                    let mut failed = Arc::clone(shown);
                    let is_news = Arc::make_mut(&mut failed).failed(name, &reason);
                    if is_news {
                        *shown = failed;
                    }
                    is_news
                });
                tracing::warn!(topic = name, reason, "imported rows cannot be read; trying again");
                all = false;
            }
        }
        all
    }
}

impl Polled {
    /// Shows its rows, unless readers have them. What could not be shown is at the next call.
    async fn look(&mut self, store: &Location, shown: &watch::Sender<Arc<Histories>>) -> Result<(), StoreError> {
        match &mut self.history {
            Some(history) => drop(history.refresh().await?),
            None => self.history = History::read(&self.topic, &Layout::of(store).history(&self.topic)).await?,
        }
        let name = &self.topic.name;
        let Some(history) = &self.history else {
            if !shown.borrow().is_read(name) {
                shown.send_modify(|shown| Arc::make_mut(shown).set(name, None));
            }
            return Ok(());
        };
        let commit = history.commit();
        if self.shown != commit {
            let rows = history.provider().await?;
            shown.send_modify(|shown| Arc::make_mut(shown).set(name, Some(rows)));
            self.shown = commit;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, new_null_array};
    use arrow::datatypes::Schema;
    use vitral_catalog::{Catalog, DomainSettings, SourceFile};
    use vitral_schemas::topic::history_columns;

    use super::*;

    const SQL: &str = "CREATE TABLE a (p TEXT, t TIMESTAMP NOT NULL) WITH (connector = 'kafka', event_time = 't');
        CREATE TABLE b (p TEXT, t TIMESTAMP NOT NULL) WITH (connector = 'kafka', event_time = 't');
        CREATE TABLE c (p TEXT, t TIMESTAMP NOT NULL) WITH (connector = 'kafka', event_time = 't');";

    /// Imports a row.
    async fn import(topic: &Topic, store: &Location) {
        let mut history = History::open(topic, &Layout::of(store).history(topic)).await.expect("opened");
        let schema = topic.history_schema();
        let fields = &schema.fields()[1..];
        let columns = fields.iter().map(|field| -> ArrayRef {
            match field.name().as_str() {
                history_columns::LINE => Arc::new(Int64Array::from_value(1, 1)),
                history_columns::ARRIVAL | "t" => {
                    Arc::new(TimestampMicrosecondArray::from_value(0, 1).with_timezone("UTC"))
                }
                history_columns::IMPORT | history_columns::FILE | history_columns::VERDICT => {
                    Arc::new(StringArray::from(vec!["contada"]))
                }
                _ => new_null_array(field.data_type(), 1),
            }
        });
        let rows = RecordBatch::try_new(Arc::new(Schema::new(fields.to_vec())), columns.collect()).expect("a row");
        history.append(&rows).await.expect("imported");
    }

    #[tokio::test]
    async fn what_cannot_be_read_of_one_topic_holds_up_no_other() {
        let dir = tempfile::tempdir().expect("a folder");
        let store = Location::folder(dir.path()).expect("a store");
        let file = SourceFile { path: "a.sql".to_owned(), text: SQL.to_owned() };
        let topics = Catalog::parse(&[vec![file]], &DomainSettings::default()).expect("a catalog").topics;
        let topic = |name: &str| topics.iter().find(|topic| topic.name == name).expect("a topic");
        import(topic("a"), &store).await;
        let log = dir.path().join("history/b/_delta_log");
        std::fs::create_dir_all(&log).expect("a folder");
        std::fs::write(log.join("00000000000000000000.json"), "{").expect("damaged");
        let (mut poller, shown) = HistoryPoller::new(topics.clone(), store.clone(), Arc::default());
        let now = || Arc::clone(&shown.borrow());
        assert_eq!(now().unread_topics().count(), 3);

        assert!(!poller.poll().await);
        let first = now();
        assert!(first.get("a").is_some() && first.get("c").is_none());
        assert!(first.is_read("a") && first.is_read("c") && !first.is_read("b"));
        let reason = first.failure("b").expect("it was tried");
        assert!(!reason.is_empty());
        assert_eq!(first.unread_topics().collect::<Vec<_>>(), [("b", Some(reason))]);
        assert!(!poller.poll().await);
        assert!(Arc::ptr_eq(&first, &now()), "nothing is new");

        // What is imported meanwhile is seen.
        import(topic("a"), &store).await;
        assert!(!poller.poll().await);
        let second = now();
        let [before, after] = [&first, &second].map(|histories| histories.get("a").expect("rows"));
        assert!(!Arc::ptr_eq(before, after));

        std::fs::remove_dir_all(dir.path().join("history/b")).expect("removed");
        assert!(poller.poll().await);
        assert!(now().unread_topics().next().is_none() && now().get("a").is_some() && now().get("b").is_none());
    }
}
