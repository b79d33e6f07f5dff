//! Look-ups in a collection: the documents of many keys by one query.

use std::collections::BTreeSet;
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, SchemaRef};
use async_trait::async_trait;
use futures::future::ready;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use mongodb::bson::{Bson, Document, RawDocument, RawDocumentBuf, doc};
use mongodb::{Collection, Database};
use tokio::sync::mpsc;
use vitral_connect::{ConnectError, Connection, ConnectionError, Lookup, Portion, Texts, table_schema};
use vitral_schemas::lookup::LookupTable;
use vitral_schemas::topic::ColumnKind;

use crate::error::MongoError;
use crate::server::Server;
use crate::texts::{ID, keys, text};

/// Batches that are asked for at the same time, those that nobody waits for any more included.
const QUERIES_MAX: usize = 8;
/// Queries that are waited for at the same time.
const CALLS: usize = 4;
/// Keys of one query: few enough to be answered in time.
const KEYS_AT_ONCE: usize = 500;
/// Documents of one batch where the whole collection is read.
const DOCUMENTS_AT_ONCE: u32 = 5_000;
/// How long the server may compute in all where it is.
const WHOLE_TIME_MAX: Duration = Duration::from_secs(600);

/// A look-up in a collection.
#[derive(Debug)]
pub(crate) struct MongoLookup {
    table: LookupTable,
    collection: String,
    /// What documents call each of the table's columns.
    fields: Vec<String>,
    key: usize,
    timeout: Duration,
    server: Server,
}

impl MongoLookup {
    pub(crate) fn new(
        table: &LookupTable,
        collection: &str,
        key_field: &str,
        connection: &Connection,
    ) -> Result<Self, ConnectionError> {
        let timeout = Duration::from_millis(u64::try_from(table.timeout_ms).unwrap_or_default());
        let key = table.columns.iter().position(|column| column.name == table.key).unwrap_or_default();
        let mut fields: Vec<String> = table.columns.iter().map(|column| column.name.clone()).collect();
        if let Some(field) = fields.get_mut(key) {
            key_field.clone_into(field);
        }
        let server = Server::new(connection, timeout, QUERIES_MAX)?;
        Ok(Self { table: table.clone(), collection: collection.to_owned(), fields, key, timeout, server })
    }

    /// The texts of the documents of some keys.
    async fn find(&self, keys: &[&str]) -> Result<Vec<Vec<Option<String>>>, ConnectError> {
        let (filter, projection) = query(&self.fields, self.key, self.table.columns[self.key].kind, keys);
        let (collection, timeout, asked) = (self.collection.clone(), self.timeout, keys.len());
        let operation = move |database: Database| documents(database, collection, filter, projection, timeout, asked);
        let found = self.server.run(&self.collection, operation).await?;
        let (mut rows, mut misfits) = (Vec::with_capacity(found.len()), 0);
        for document in &found {
            match self.row(document) {
                Ok(row) => rows.push(row),
                // It is left out: its key has no row.
                Err(why) if misfits == 0 => {
                    tracing::warn!(table = self.table.name, why, "a document cannot be used in look-ups");
                    misfits += 1;
                }
                Err(_) => misfits += 1,
            }
        }
        if misfits > 1 {
            tracing::warn!(table = self.table.name, documents = misfits, "documents cannot be used in look-ups");
        }
        Ok(rows)
    }

    /// Some of all documents: here none is left out.
    fn whole(&self, documents: &[RawDocumentBuf]) -> Result<RecordBatch, ConnectError> {
        let row = |document: &RawDocumentBuf| {
            self.row(document).map_err(|why| {
                let (field, column) = (&self.fields[self.key], &self.table.columns[self.key]);
                let key = document.get(field).ok().flatten().and_then(|key| text(key, column.kind).ok().flatten());
                let key = key.unwrap_or_else(|| "null".to_owned());
                ConnectError::permanent(format!("the document with the {field} {key} cannot be read: {why}"))
            })
        };
        let rows = documents.iter().map(row).collect::<Result<Vec<_>, _>>()?;
        Texts::new(&self.table, rows).whole()
    }

    fn row(&self, document: &RawDocument) -> Result<Vec<Option<String>>, String> {
        let columns = self.fields.iter().zip(&self.table.columns);
        let value = |(field, column): (&String, &vitral_schemas::topic::Column)| {
            let wrong = |why: String| format!("field {field}: {why}");
            let value = document.get(field).map_err(|error| wrong(error.to_string()))?;
            value.map_or(Ok(None), |value| text(value, column.kind).map_err(wrong))
        };
        columns.map(value).collect()
    }
}

/// The fields that are wanted.
fn projection(fields: &[String]) -> Document {
    let mut projection = Document::new();
    for field in fields {
        projection.insert(field, 1);
    }
    if !projection.contains_key(ID) {
        projection.insert(ID, 0);
    }
    projection
}

/// The filter of some keys, and the fields that are wanted.
fn query(fields: &[String], key: usize, kind: ColumnKind, wanted: &[&str]) -> (Document, Document) {
    let field = &fields[key];
    let values: Vec<Bson> = wanted.iter().flat_map(|text| keys(text, kind, field)).collect();
    (doc! { field: { "$in": values } }, projection(fields))
}

async fn documents(
    database: Database,
    collection: String,
    filter: Document,
    projection: Document,
    timeout: Duration,
    asked: usize,
) -> Result<Vec<RawDocumentBuf>, MongoError> {
    let failed = |source| MongoError::Driver { collection: collection.clone(), what: "read", source };
    let found: Collection<RawDocumentBuf> = database.collection(&collection);
    let cursor = found.find(filter).projection(projection).max_time(timeout).batch_size(u32::MAX >> 8);
    let mut cursor = cursor.await.map_err(failed)?;
    let mut documents = Vec::new();
    while let Some(document) = cursor.try_next().await.map_err(failed)? {
        documents.push(document);
        // Two of a key are seen as such; more than that need not be read.
        if documents.len() > 2 * asked + KEYS_AT_ONCE {
            return Err(MongoError::TooMany { collection, asked, found: documents.len() });
        }
    }
    Ok(documents)
}

/// Sends every document of a collection, batch by batch, for as long as somebody takes them.
async fn send_all(
    database: Database,
    collection: String,
    projection: Document,
    batches: mpsc::Sender<Vec<RawDocumentBuf>>,
) -> Result<(), MongoError> {
    let failed = |source| MongoError::Driver { collection: collection.clone(), what: "read", source };
    let found: Collection<RawDocumentBuf> = database.collection(&collection);
    let cursor = found.find(Document::new()).projection(projection);
    let cursor = cursor.max_time(WHOLE_TIME_MAX).batch_size(DOCUMENTS_AT_ONCE);
    let mut cursor = cursor.await.map_err(failed)?;
    let mut documents = Vec::new();
    while let Some(document) = cursor.try_next().await.map_err(failed)? {
        documents.push(document);
        let is_full = documents.len() >= DOCUMENTS_AT_ONCE as usize;
        if is_full && batches.send(std::mem::take(&mut documents)).await.is_err() {
            return Ok(());
        }
    }
    if !documents.is_empty() {
        // Nobody takes it any more: then nobody misses it.
        let _ = batches.send(documents).await;
    }
    Ok(())
}

#[async_trait]
impl Lookup for MongoLookup {
    fn schema(&self) -> SchemaRef {
        table_schema(&self.table)
    }

    async fn get(&self, keys: &ArrayRef) -> Result<RecordBatch, ConnectError> {
        let own = cast(keys, &DataType::Utf8).map_err(ConnectError::permanent)?;
        let distinct: BTreeSet<&str> = own.as_string::<i32>().iter().flatten().collect();
        let distinct: Vec<&str> = distinct.into_iter().collect();
        let mut rows = Vec::new();
        for keys in distinct.chunks(KEYS_AT_ONCE) {
            rows.extend(self.find(keys).await?);
        }
        Texts::new(&self.table, rows).for_keys(keys)
    }

    fn all(&self) -> BoxStream<'_, Result<RecordBatch, ConnectError>> {
        // The operation runs to its end in a task of its own, and ends when its batches are not
        // taken any more.
        let (sender, mut receiver) = mpsc::channel(1);
        let (collection, projection) = (self.collection.clone(), projection(&self.fields));
        let operation = move |database: Database| send_all(database, collection, projection, sender);
        let end = stream::once(self.server.run(&self.collection, operation));
        let end = end.filter_map(|outcome| ready(outcome.err().map(Err)));
        let found = stream::poll_fn(move |context| receiver.poll_recv(context));
        let batches = found.map(move |documents| self.whole(&documents));
        stream::select(batches, end).boxed()
    }

    fn portion(&self) -> Portion {
        Portion { keys: KEYS_AT_ONCE, calls: CALLS }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_asks_for_the_keys_and_the_columns_alone() {
        let fields = ["usuario", "segmento"].map(str::to_owned);
        let (filter, projection) = query(&fields, 0, ColumnKind::Text, &["u1", "u2"]);
        assert_eq!(filter, doc! { "usuario": { "$in": ["u1", "u2"] } });
        assert_eq!(projection, doc! { "usuario": 1, "segmento": 1, "_id": 0 });
        let fields = ["_id", "segmento"].map(str::to_owned);
        let (filter, projection) = query(&fields, 0, ColumnKind::Integer, &["7"]);
        assert_eq!(filter, doc! { "_id": { "$in": [7_i64] } });
        assert_eq!(projection, doc! { "_id": 1, "segmento": 1 });
    }
}
