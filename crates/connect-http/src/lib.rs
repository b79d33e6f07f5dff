//! Look-ups in services that answer by HTTP in JSON.
//!
//! A path with `{key}` in it is asked for once for each key: `GET /users/u1` answers an object, or 404 for an unknown key. Any other
//! path is asked for many keys at once: `POST /perfis` with `{"keys": ["u1", "u2"]}` answers an array of objects, each with its key. The
//! objects' fields are the table's columns; others are left out, absent ones are null.
//!
//! Architecture invariant: only hosts that the configuration allows are spoken to, redirects are not followed, and what leaves this
//! machine is encrypted.

#![warn(missing_docs)]

mod client;

use std::collections::BTreeSet;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, SchemaRef};
use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt};
use reqwest::StatusCode;
use serde_json::{Map, Value, json};
use url::Url;
use vitral_connect::{ConnectError, Connection, ConnectionError, Lookup, Texts, table_schema};
use vitral_schemas::lookup::LookupTable;

use self::client::Client;

/// In a path: a request for each key.
const KEY_PLACE: &str = "{key}";
/// Requests that wait for their answers at the same time.
const AT_ONCE: usize = 16;
/// Keys of one request: some tens of kilobytes, which every server takes.
const KEYS_AT_ONCE: usize = 1_000;

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
    /// The host is not among those allowed, its URL is not one of HTTP, or would carry what is sent in the clear.
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

    async fn one_by_one(&self, keys: &[String]) -> Result<Vec<Vec<Option<String>>>, ConnectError> {
        let rows = futures::stream::iter(keys.to_vec()).map(|key| async move { self.one(&key).await });
        let rows = rows.buffer_unordered(AT_ONCE);
        let rows: Vec<_> = rows.try_collect().await?;
        Ok(rows.into_iter().flatten().collect())
    }

    async fn one(&self, key: &str) -> Result<Option<Vec<Option<String>>>, ConnectError> {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            // A key's own signs, a slash among them, do not lead to another path; `.` and `..` would.
            let segment = |part: &str| part.replace(KEY_PLACE, key);
            segments.clear().extend(self.path.split('/').skip(1).map(segment));
        }
        if matches!(key, "." | "..") {
            return Ok(None);
        }
        let (status, body) = self.client.get(url).await?;
        if status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        match self.client.json(status, &body)? {
            Value::Object(mut fields) => {
                // Whose row it is was asked for.
                fields.insert(self.table.key.clone(), Value::String(key.to_owned()));
                self.row(&fields).map(Some)
            }
            other => Err(self.wrong(&format!("{} is not an object", start(&other.to_string())))),
        }
    }

    async fn many(&self, keys: &[String]) -> Result<Vec<Vec<Option<String>>>, ConnectError> {
        let mut rows = Vec::new();
        for keys in keys.chunks(KEYS_AT_ONCE) {
            let mut url = self.base.clone();
            url.set_path(&self.path);
            let (status, body) = self.client.post(url, json!({ "keys": keys }).to_string()).await?;
            let Value::Array(found) = self.client.json(status, &body)? else {
                return Err(self.wrong("an array of objects was expected"));
            };
            for each in found {
                match each {
                    Value::Object(fields) => rows.push(self.row(&fields)?),
                    other => return Err(self.wrong(&format!("{} is not an object", start(&other.to_string())))),
                }
            }
        }
        Ok(rows)
    }

    fn row(&self, fields: &Map<String, Value>) -> Result<Vec<Option<String>>, ConnectError> {
        let text = |name: &String| match fields.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(value @ (Value::Number(_) | Value::Bool(_))) => Ok(Some(value.to_string())),
            Some(_) => Err(self.wrong(&format!("the field {name} is not a single value"))),
        };
        self.table.columns.iter().map(|column| text(&column.name)).collect()
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
        let rows = if self.path.contains(KEY_PLACE) {
            self.one_by_one(&distinct).await?
        } else {
            self.many(&distinct).await?
        };
        Texts::new(&self.table, rows).for_keys(keys)
    }
}

/// For an error's words.
fn start(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests;
