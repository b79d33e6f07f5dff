//! What became of a topic's look-ups, and since when its looked-up columns are there.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use vitral_connect::LookupCounts;
use vitral_panes::view::LookupCompleteness;
use vitral_schemas::topic::Topic;
use vitral_store::{Location, StoreError};

/// Since when rows have each looked-up column, kept in the store: the archive itself cannot tell an
/// earlier row from one that found nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
struct Since(BTreeMap<String, Option<i64>>);

/// The looked-up columns of a topic.
#[derive(Debug, Clone, Default)]
pub struct LookedUpColumns(BTreeMap<String, LookupCompleteness>);

impl LookedUpColumns {
    /// What is known of them in the store; a column that is new there, or back, has been looked up
    /// from now on, unless the archive is new as well.
    pub async fn open(topic: &Topic, store: &Location, has_rows: bool, now_ms: i64) -> Result<Self, StoreError> {
        let columns: Vec<&str> =
            topic.columns.iter().filter(|column| column.lookup.is_some()).map(|column| column.name.as_str()).collect();
        let file = format!("lookups-{}.json", topic.name);
        let known = store.read_text(&file).await?;
        if columns.is_empty() && known.is_none() {
            return Ok(Self::default());
        }
        // A file that cannot be read tells nothing: the columns are known from now on.
        let mut since: Since = known.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        let before = since.clone();
        // Rows that come meanwhile have nothing in a column that is dropped.
        since.0.retain(|column, _| columns.contains(&column.as_str()));
        for column in &columns {
            since.0.entry((*column).to_owned()).or_insert(has_rows.then_some(now_ms));
        }
        if since != before
            && let Ok(text) = serde_json::to_string(&since)
        {
            store.write_text(&file, &text).await?;
        }
        let columns = columns.into_iter().map(|column| {
            let since_ms = since.0.get(column).copied().flatten();
            (column.to_owned(), LookupCompleteness { since_ms, ..LookupCompleteness::default() })
        });
        Ok(Self(columns.collect()))
    }

    /// Rows were looked up.
    pub fn add(&mut self, column: &str, counts: LookupCounts) {
        if let Some(known) = self.0.get_mut(column) {
            known.unknown += counts.unknown;
            known.failed += counts.failed;
            known.stale += counts.stale;
        }
    }

    /// As readers see it.
    pub fn completeness(&self) -> BTreeMap<String, LookupCompleteness> {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use vitral_catalog::{Catalog, DomainSettings, SourceFile};

    use super::*;

    fn topic(lookups: &[&str]) -> Topic {
        let columns: String = lookups
            .iter()
            .map(|name| format!(", {name} TEXT GENERATED ALWAYS AS (lookup('t', id, 'v')) STORED"))
            .collect();
        let text = format!(
            "CREATE TABLE e (id TEXT, quando TIMESTAMP NOT NULL{}) WITH (connector = 'kafka', event_time = 'quando');
             CREATE TABLE t (id TEXT, v TEXT) WITH (connector = 'file', key = 'id');",
            columns
        );
        let file = SourceFile { path: "a.sql".into(), text };
        Catalog::parse(&[vec![file]], &DomainSettings::default()).expect("a catalog").topics.remove(0)
    }

    #[tokio::test]
    async fn a_column_is_known_from_the_start_that_first_had_it() {
        let dir = tempfile::tempdir().expect("a folder");
        let store = Location::folder(dir.path()).expect("a place");
        let since = async |lookups: &[&str], has_rows, now_ms| {
            let columns = LookedUpColumns::open(&topic(lookups), &store, has_rows, now_ms).await.expect("opened");
            columns.completeness().into_iter().map(|(name, known)| (name, known.since_ms)).collect::<Vec<_>>()
        };
        assert_eq!(since(&[], false, 1).await, []);
        assert_eq!(since(&["a"], false, 2).await, [("a".to_owned(), None)], "the archive is new too");
        assert_eq!(since(&["a", "b"], true, 3).await, [("a".to_owned(), None), ("b".to_owned(), Some(3))]);
        assert_eq!(since(&["b"], true, 4).await, [("b".to_owned(), Some(3))], "the first start counts");
        let back = [("a".to_owned(), Some(5)), ("b".to_owned(), Some(3))];
        assert_eq!(since(&["a", "b"], true, 5).await, back, "rows of meanwhile lack what was dropped");
        assert_eq!(since(&[], true, 6).await, []);
        assert_eq!(since(&["a"], true, 7).await, [("a".to_owned(), Some(7))]);
    }
}
