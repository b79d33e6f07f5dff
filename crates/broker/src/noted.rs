//! Where the messages of certain clients are: the surrounding program may want to distinguish its
//! own from those of others.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// Ranges; beyond them the oldest are forgotten.
const NOTED: usize = 10_000;

/// The messages of one request to a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Noted {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offsets, without the end of the range.
    pub offsets: Range<i64>,
}

#[derive(Debug, Default)]
pub struct Notebook(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Nothing is noted while nobody asks.
    own_client: Option<String>,
    noted: Vec<Noted>,
}

impl Notebook {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn begin(&self, own_client: &str) {
        self.lock().own_client = Some(own_client.to_owned());
    }

    pub fn note(&self, client: Option<&str>, topic: &str, partition: i32, offsets: Range<i64>) {
        let mut state = self.lock();
        if state.own_client.is_none() || state.own_client.as_deref() == client {
            return;
        }
        let last = state.noted.last_mut().filter(|last| last.partition == partition && last.topic == topic);
        match last.filter(|last| last.offsets.end == offsets.start) {
            Some(last) => last.offsets.end = offsets.end,
            None => {
                if state.noted.len() == NOTED {
                    state.noted.drain(..NOTED / 10);
                }
                state.noted.push(Noted { topic: topic.to_owned(), partition, offsets });
            }
        }
    }

    pub fn take(&self) -> Vec<Noted> {
        std::mem::take(&mut self.lock().noted)
    }
}
