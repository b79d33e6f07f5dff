//! Look-ups in services that answer by HTTP in JSON.
//!
//! A path with `{key}` in it is asked for once for each key: `GET /users/u1` answers an object, or
//! 404 for an unknown key. Any other path is asked for many keys at once: `POST /perfis` with
//! `{"keys": ["u1", "u2"]}` answers an array of objects, each with its key. The objects' fields are
//! the table's columns; others are left out, absent ones are null.
//!
//! Architecture invariant: only hosts that the configuration allows are spoken to, redirects are
//! not followed, and what leaves this machine is encrypted.

#![warn(missing_docs)]
#![warn(clippy::too_many_lines)]

mod answer;
mod client;

use std::collections::BTreeSet;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, SchemaRef};
use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt};
use reqwest::StatusCode;
use serde_json::json;
use url::Url;
use vitral_connect::{ConnectError, Connection, ConnectionError, Lookup, Portion, Texts, table_schema};
use vitral_schemas::lookup::LookupTable;

use self::answer::Row;
use self::client::{Client, refusal};

/// In a path: a request for each key.
const KEY_PLACE: &str = "{key}";
/// Requests that wait for their answers at the same time.
const AT_ONCE: usize = 16;
/// Requests for many keys each: what a service's database takes.
const BATCHES_AT_ONCE: usize = 4;
/// Keys of one request: some tens of kilobytes, which every server takes, and few enough to be
/// answered in time.
const KEYS_AT_ONCE: usize = 500;

/// A look-up in a service.
#[derive(Debug)]
pub struct HttpLookup {
    table: LookupTable,
    client: Client,
    /// Of the service's host.
    base: Url,
    path: String,
}

impl HttpLookup {
    /// Asks the connection's host for the table's rows at `path`.
    ///
    /// # Errors
    /// The host is not among those allowed, its URL is not one of HTTP, or would carry what is sent
    /// in the clear.
    pub fn new(
        table: &LookupTable,
        path: &str,
        connection: &Connection,
        allowed_hosts: &[String],
    ) -> Result<Self, ConnectionError> {
        let base = client::allowed(connection, allowed_hosts)?;
        let client = Client::new(connection)?;
        let path = format!("{}{path}", base.path().trim_end_matches('/'));
        Ok(Self { table: table.clone(), client, base, path })
    }

    fn is_one_by_one(&self) -> bool {
        self.path.contains(KEY_PLACE)
    }

    async fn one_by_one(&self, keys: &[String]) -> Result<Vec<Row>, ConnectError> {
        let rows = futures::stream::iter(keys.to_vec()).map(|key| async move { self.one(&key).await });
        let rows = rows.buffer_unordered(AT_ONCE);
        let rows: Vec<_> = rows.try_collect().await?;
        Ok(rows.into_iter().flatten().collect())
    }

    async fn one(&self, key: &str) -> Result<Option<Row>, ConnectError> {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            // A key's own signs, a slash among them, do not lead to another path; `.` and `..`
            // would.
            let segment = |part: &str| part.replace(KEY_PLACE, key);
            segments.clear().extend(self.path.split('/').skip(1).map(segment));
        }
        if matches!(key, "." | "..") {
            return Ok(None);
        }
        match self.client.get(url).await? {
            (StatusCode::OK, body) => {
                let row = answer::one(&self.table, key, &body);
                row.map(Some).map_err(|why| self.wrong(&why).of_keys())
            }
            (StatusCode::NOT_FOUND, _) => Ok(None),
            (status, _) => Err(refusal(status, true)),
        }
    }

    async fn many(&self, keys: &[String]) -> Result<Vec<Row>, ConnectError> {
        let mut rows = Vec::new();
        for keys in keys.chunks(KEYS_AT_ONCE) {
            let mut url = self.base.clone();
            url.set_path(&self.path);
            let (status, body) = self.client.post(url, json!({ "keys": keys }).to_string()).await?;
            if status != StatusCode::OK {
                return Err(refusal(status, keys.len() == 1));
            }
            rows.extend(answer::many(&self.table, &body).map_err(|why| self.wrong(&why).of_keys())?);
        }
        Ok(rows)
    }

    fn wrong(&self, what: &str) -> ConnectError {
        ConnectError::permanent(format!("look-up table {}: {what}", self.table.name))
    }
}

#[async_trait]
impl Lookup for HttpLookup {
    fn schema(&self) -> SchemaRef {
        table_schema(&self.table)
    }

    async fn get(&self, keys: &ArrayRef) -> Result<RecordBatch, ConnectError> {
        let texts = cast(keys, &DataType::Utf8).map_err(ConnectError::permanent)?;
        let distinct: BTreeSet<&str> = texts.as_string::<i32>().iter().flatten().collect();
        let distinct: Vec<String> = distinct.into_iter().map(str::to_owned).collect();
        let rows = if self.is_one_by_one() { self.one_by_one(&distinct).await? } else { self.many(&distinct).await? };
        let mut texts = Texts::new(&self.table, Vec::new());
        for row in rows {
            match row {
                Row::Of(values) => texts.add(values),
                Row::Unusable { key, why } => texts.add_unusable(key, why),
            }
        }
        texts.for_keys(keys)
    }

    fn portion(&self) -> Portion {
        match self.is_one_by_one() {
            true => Portion { keys: 1, calls: AT_ONCE },
            false => Portion { keys: KEYS_AT_ONCE, calls: BATCHES_AT_ONCE },
        }
    }
}

#[cfg(test)]
mod tests;
