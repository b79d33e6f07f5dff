//! Rows written into a collection by key, each document with the epoch that it is of.
//!
//! An epoch is written in steps, as nothing here needs transactions: documents, then those that go,
//! then the sink's progress. Readers may see a part of an epoch; a repeat writes the rest, and the
//! same again. A document is replaced only where its epoch is older, so that no late writer undoes
//! a newer epoch.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use async_trait::async_trait;
use futures::TryStreamExt;
use mongodb::bson::{Bson, DateTime, Document, doc};
use mongodb::{Collection, Database};
use tokio::sync::Mutex;
use vitral_connect::{ConnectError, Connection, ConnectionError, Epoch, Sink};

use crate::commands;
use crate::documents::{Changes, EPOCH, changes, text};
use crate::error::{MongoError, is_refusal};
use crate::server::Server;
use crate::target::SinkTarget;
use crate::texts::ID;

/// How long a write waits for a server. The writer tries again for as long as it takes.
const PATIENCE: Duration = Duration::from_secs(5);
/// What one command may carry: less than a message's 48 MB, whatever the server's limit of
/// documents.
const DOCUMENTS_AT_ONCE: usize = 1_000;
const BYTES_AT_ONCE: usize = 8 << 20;
/// Documents that come and go while they are written: another writer is at work.
const ATTEMPTS: usize = 3;
/// How often expired documents are deleted where the server does not do it.
const EXPIRE_EVERY: Duration = Duration::from_secs(60);

/// A collection that rows are written into.
#[derive(Debug)]
pub(crate) struct MongoSink {
    target: SinkTarget,
    server: Server,
    expiry: Mutex<Expiry>,
}

/// Who deletes what has expired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expiry {
    Unknown,
    Server,
    /// We do; when last.
    Own(Option<Instant>),
}

impl MongoSink {
    pub(crate) fn new(target: SinkTarget, connection: &Connection) -> Result<Self, ConnectionError> {
        // One at a time: a write that was given up is at its end before it is repeated.
        let server = Server::new(connection, PATIENCE, 1)?;
        Ok(Self { target, server, expiry: Mutex::new(Expiry::Unknown) })
    }

    /// Has what has expired deleted, by the server if it can.
    async fn expire(&self) -> Result<(), ConnectError> {
        let Some(column) = &self.target.expires else { return Ok(()) };
        let collection = &self.target.collection;
        let mut expiry = self.expiry.lock().await;
        if *expiry == Expiry::Unknown {
            let command = commands::expire(collection, column);
            let name = collection.clone();
            let outcome = self.server.run(collection, |database| async move {
                match database.run_command(command).await {
                    Ok(_) => Ok(Expiry::Server),
                    Err(error) if code(&error).is_some_and(is_refusal) => {
                        let words = "the server does not take the index by which it would delete expired documents: \
                             they are deleted from here, while rows are written";
                        tracing::info!(collection = name, %error, "{words}");
                        Ok(Expiry::Own(None))
                    }
                    Err(source) => Err(MongoError::Driver { collection: name, what: "indexed", source }),
                }
            });
            *expiry = outcome.await?;
        }
        let Expiry::Own(last) = *expiry else { return Ok(()) };
        if last.is_none_or(|last| last.elapsed() >= EXPIRE_EVERY) {
            let command = commands::delete_expired(collection, column, DateTime::now());
            let name = collection.clone();
            self.server.run(collection, |database| async move { run(&database, &name, command).await }).await?;
            *expiry = Expiry::Own(Some(Instant::now()));
        }
        Ok(())
    }
}

#[async_trait]
impl Sink for MongoSink {
    async fn last_epoch(&self) -> Result<Option<Epoch>, ConnectError> {
        let (name, collection) = (self.target.name.clone(), self.target.collection.clone());
        let known = |database: Database| async move { known(&database, &name, &collection).await };
        let Known { last, was_dropped } = self.server.run(commands::PROGRESS, known).await?;
        if was_dropped {
            // Its index was dropped with it.
            *self.expiry.lock().await = Expiry::Unknown;
        }
        Ok(last.map(|epoch| Epoch(epoch.unsigned_abs())))
    }

    async fn write(&self, epoch: Epoch, batches: &[RecordBatch]) -> Result<(), ConnectError> {
        let epoch = i64::try_from(epoch.0).map_err(ConnectError::permanent)?;
        let changes = changes(&self.target, epoch, batches)?;
        let (name, collection) = (self.target.name.clone(), self.target.collection.clone());
        let write = |database: Database| async move { write(&database, &name, &collection, epoch, changes).await };
        self.server.run(&self.target.collection, write).await?;
        if let Err(error) = self.expire().await {
            // The rows are there. It is tried again at the next write.
            let error = vitral_connect::with_causes(&error);
            tracing::warn!(collection = self.target.collection, error, "expired documents were not deleted");
        }
        Ok(())
    }
}

async fn write(
    database: &Database,
    name: &str,
    collection: &str,
    epoch: i64,
    changes: Changes,
) -> Result<(), MongoError> {
    let last = progress(database, name).await?;
    if last.is_some_and(|last| last >= epoch) {
        return Ok(());
    }
    if last.is_some() && !is_there(database, collection).await? {
        // Asked for its last epoch, it has none.
        return Err(MongoError::Dropped { collection: collection.to_owned() });
    }
    if last.is_none() && changes.documents.is_empty() {
        make(database, collection).await?;
    }
    for documents in in_parts(changes.documents) {
        put(database, collection, epoch, documents).await?;
    }
    let deleted: Vec<Bson> = changes.deleted.into_values().collect();
    for ids in deleted.chunks(DOCUMENTS_AT_ONCE) {
        run(database, collection, commands::delete(collection, epoch, ids.to_vec())).await?;
    }
    if last.is_none() {
        run(database, commands::PROGRESS, commands::first_progress(name, epoch)).await?;
    }
    run(database, commands::PROGRESS, commands::progress(name, epoch)).await?;
    Ok(())
}

/// The last epoch that is whole.
async fn progress(database: &Database, name: &str) -> Result<Option<i64>, MongoError> {
    let failed = |source| MongoError::Driver { collection: commands::PROGRESS.to_owned(), what: "read", source };
    let found: Collection<Document> = database.collection(commands::PROGRESS);
    let found = found.find_one(doc! { ID: name }).await.map_err(failed)?;
    Ok(found.and_then(|found| found.get_i64("epoch").ok()))
}

/// What is noted of a collection.
struct Known {
    last: Option<i64>,
    was_dropped: bool,
}

/// Forgets the progress of a collection that was dropped: what comes may have lower numbers, as
/// from a store that was recreated.
async fn known(database: &Database, name: &str, collection: &str) -> Result<Known, MongoError> {
    let last = progress(database, name).await?;
    let was_dropped = last.is_some() && !is_there(database, collection).await?;
    if was_dropped {
        run(database, commands::PROGRESS, commands::forget(name)).await?;
    }
    Ok(Known { last: last.filter(|_| !was_dropped), was_dropped })
}

/// Whether the collection is there; so it is taken to be where nobody may ask.
async fn is_there(database: &Database, collection: &str) -> Result<bool, MongoError> {
    match database.run_command(commands::list(collection)).await {
        Ok(reply) => Ok(is_listed(&reply)),
        Err(error) if code(&error).is_some_and(is_refusal) => Ok(true),
        Err(source) => Err(MongoError::Driver { collection: collection.to_owned(), what: "read", source }),
    }
}

fn is_listed(reply: &Document) -> bool {
    let found = reply.get_document("cursor").and_then(|cursor| cursor.get_array("firstBatch"));
    found.ok().is_none_or(|found| !found.is_empty())
}

/// Makes the collection where no document does, so that it is known from one that was dropped.
async fn make(database: &Database, collection: &str) -> Result<(), MongoError> {
    match database.run_command(commands::create(collection)).await {
        Ok(_) => Ok(()),
        // It is there, or comes with the first document.
        Err(error) if code(&error).is_some_and(is_refusal) => Ok(()),
        Err(source) => Err(MongoError::Driver { collection: collection.to_owned(), what: "made", source }),
    }
}

/// Documents in commands of a size that every server takes.
fn in_parts(documents: BTreeMap<String, Document>) -> Vec<BTreeMap<String, Document>> {
    let mut parts = Vec::new();
    let (mut part, mut bytes) = (BTreeMap::new(), 0);
    for (id, document) in documents {
        let size = mongodb::bson::RawDocumentBuf::try_from(&document).map_or(0, |raw| raw.as_bytes().len());
        if part.len() >= DOCUMENTS_AT_ONCE || (bytes + size > BYTES_AT_ONCE && !part.is_empty()) {
            parts.push(std::mem::take(&mut part));
            bytes = 0;
        }
        bytes += size;
        part.insert(id, document);
    }
    if !part.is_empty() {
        parts.push(part);
    }
    parts
}

/// Writes documents that are not there, and those that are there of an older epoch.
async fn put(
    database: &Database,
    collection: &str,
    epoch: i64,
    mut documents: BTreeMap<String, Document>,
) -> Result<(), MongoError> {
    for _ in 0..ATTEMPTS {
        let there = epochs(database, collection, &documents).await?;
        let (mut newer, mut absent) = (Vec::new(), Vec::new());
        for (id, document) in &documents {
            match there.get(id) {
                None => absent.push((id.clone(), document.clone())),
                Some(None) => {
                    return Err(MongoError::Foreign { collection: collection.to_owned(), id: id.clone() });
                }
                Some(Some(stored)) if *stored < epoch => newer.push(document.clone()),
                // It was written before, by this epoch's first attempt or a newer one.
                Some(Some(_)) => {}
            }
        }
        if !newer.is_empty() {
            run(database, collection, commands::replace(collection, epoch, newer)).await?;
        }
        if absent.is_empty() {
            return Ok(());
        }
        let command = commands::insert(collection, absent.iter().map(|(_, document)| document.clone()).collect());
        let taken = run(database, collection, command).await?;
        documents = taken.into_iter().filter_map(|index| absent.get(index).cloned()).collect();
        if documents.is_empty() {
            return Ok(());
        }
    }
    Err(MongoError::Contended { collection: collection.to_owned() })
}

/// The epochs of those documents that are there, by the text of their `_id`; none of one that
/// nobody here has written.
async fn epochs(
    database: &Database,
    collection: &str,
    documents: &BTreeMap<String, Document>,
) -> Result<BTreeMap<String, Option<i64>>, MongoError> {
    let failed = |source| MongoError::Driver { collection: collection.to_owned(), what: "read", source };
    let ids: Vec<Bson> = documents.values().filter_map(|document| document.get(ID).cloned()).collect();
    let stored: Collection<Document> = database.collection(collection);
    let found = stored.find(doc! { ID: { "$in": ids } }).projection(doc! { ID: 1, EPOCH: 1 }).await.map_err(failed)?;
    let found: Vec<Document> = found.try_collect().await.map_err(failed)?;
    let epoch = |document: &Document| Some((text(document.get(ID)?), document.get_i64(EPOCH).ok()));
    Ok(found.iter().filter_map(epoch).collect())
}

/// Runs a command that writes; the numbers of its documents whose `_id` is taken. Any other refusal
/// is an error.
async fn run(database: &Database, collection: &str, mut command: Document) -> Result<Vec<usize>, MongoError> {
    // Once most servers of a replica set have it: what is said to be there stays there.
    command.insert("writeConcern", doc! { "w": "majority" });
    let reply = database.run_command(command).await;
    let reply =
        reply.map_err(|source| MongoError::Driver { collection: collection.to_owned(), what: "written", source })?;
    refusals(collection, &reply)
}

fn refusals(collection: &str, reply: &Document) -> Result<Vec<usize>, MongoError> {
    let refused = |error: &Document| MongoError::Refused {
        collection: collection.to_owned(),
        code: error.get_i32("code").unwrap_or_default(),
        message: error.get_str("errmsg").unwrap_or_default().to_owned(),
    };
    let mut taken = Vec::new();
    let errors = reply.get_array("writeErrors").map(Vec::as_slice).unwrap_or_default();
    for error in errors.iter().filter_map(Bson::as_document) {
        if error.get_i32("code").ok() != Some(commands::DUPLICATE_KEY) {
            return Err(refused(error));
        }
        taken.extend(error.get_i32("index").ok().and_then(|index| usize::try_from(index).ok()));
    }
    match reply.get_document("writeConcernError") {
        Ok(error) => Err(refused(error)),
        Err(_) => Ok(taken),
    }
}

fn code(error: &mongodb::error::Error) -> Option<i32> {
    match &*error.kind {
        mongodb::error::ErrorKind::Command(command) => Some(command.code),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_errors_unless_the_id_is_taken() {
        let taken = doc! { "ok": 1, "n": 1, "writeErrors": [{ "index": 2, "code": 11_000, "errmsg": "E11000" }] };
        assert_eq!(refusals("c", &taken).expect("taken"), [2]);
        let refused = doc! { "ok": 1, "writeErrors": [{ "index": 0, "code": 121, "errmsg": "no" }] };
        let error = ConnectError::from(refusals("c", &refused).expect_err("refused"));
        assert!(!error.is_worth_a_retry() && error.to_string().contains("121"), "{error}");
        let late = doc! { "ok": 1, "n": 1, "writeConcernError": { "code": 64, "errmsg": "waiting for replication timed out" } };
        assert!(ConnectError::from(refusals("c", &late).expect_err("late")).is_worth_a_retry());
    }

    #[test]
    fn what_refuses_an_index_for_good_leaves_expiry_to_us() {
        // A right that is missing, an index with other options, a server without such indexes.
        for code in [13, 59, 67, 72, 85, 86, 238] {
            assert!(is_refusal(code), "{code}");
        }
        // Elections, and servers that end.
        for code in [91, 189, 10_107, 11_600, 11_602, 13_435, 13_436] {
            assert!(!is_refusal(code), "{code}");
        }
    }

    #[test]
    fn a_collection_is_missing_only_where_the_server_says_so() {
        let listed = doc! { "cursor": { "id": 0_i64, "firstBatch": [{ "name": "c", "type": "collection" }] }, "ok": 1 };
        let absent = doc! { "cursor": { "id": 0_i64, "firstBatch": [] }, "ok": 1 };
        assert!(is_listed(&listed) && !is_listed(&absent) && is_listed(&doc! { "ok": 1 }));
    }

    #[test]
    fn commands_are_bounded_by_documents_and_bytes() {
        let documents = |count: usize, bytes: usize| {
            (0..count).map(|n| (format!("{n:05}"), doc! { "_id": format!("{n}"), "x": "x".repeat(bytes) })).collect()
        };
        let sizes = |parts: Vec<BTreeMap<String, Document>>| parts.iter().map(BTreeMap::len).collect::<Vec<_>>();
        assert_eq!(sizes(in_parts(documents(2_500, 1))), [1_000, 1_000, 500]);
        assert_eq!(sizes(in_parts(documents(5, 3 << 20))), [2, 2, 1]);
        assert_eq!(sizes(in_parts(documents(2, 9 << 20))), [1, 1]);
        assert!(in_parts(BTreeMap::new()).is_empty());
    }
}
