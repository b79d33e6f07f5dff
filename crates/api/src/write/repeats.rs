//! Requests that are sent again: under the same key the same items have the same ids, whichever
//! process takes them, so that the stream knows them again. What each process remembers by itself
//! is only that a key came with another body.

use std::time::Duration;

use axum::http::HeaderMap;
use moka::future::Cache;
use sha2::{Digest, Sha256};

use crate::problem::Problem;

const HEADER: &str = "idempotency-key";
const KEY_BYTES_MAX: usize = 128;
const REMEMBERED: Duration = Duration::from_secs(600);
const REMEMBERED_MAX: u64 = 100_000;

/// What a client calls a request, however often it sends it.
pub(super) struct RepeatKey(String);

impl RepeatKey {
    /// The key of a request, if it has one.
    pub(super) fn of(headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        let mut given = headers.get_all(HEADER).iter();
        let Some(first) = given.next() else { return Ok(None) };
        let is_usable =
            |text: &&str| (1..=KEY_BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        let key = first.to_str().ok().filter(is_usable).filter(|_| given.next().is_none());
        key.map(|key| Some(Self(key.to_owned()))).ok_or_else(Problem::invalid_idempotency_key)
    }

    /// The id of one item of the request.
    pub(super) fn of_item(&self, index: usize) -> String {
        format!("{}/{index}", self.0)
    }
}

/// The last bodies that came under keys.
#[derive(Debug, Clone)]
pub(super) struct Repeats(Cache<[u8; 32], [u8; 32]>);

impl Default for Repeats {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(REMEMBERED_MAX).time_to_live(REMEMBERED).build())
    }
}

impl Repeats {
    /// An error if the key came for the same path with another body, from whomever: ids are made of
    /// the key alone, so one of the two would be taken for a repeat of the other.
    pub(super) async fn remember(&self, key: &RepeatKey, path: &str, body: &[u8]) -> Result<(), Problem> {
        let whole = hash([key.0.as_bytes(), path.as_bytes()]);
        let body = hash([body]);
        let known = self.0.entry(whole).or_insert(body).await;
        if *known.value() == body { Ok(()) } else { Err(Problem::idempotency_key_reused()) }
    }
}

fn hash<const N: usize>(parts: [&[u8]; N]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}
