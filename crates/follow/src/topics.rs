//! A topic's archive, and what it says of itself.

use std::sync::Arc;

use datafusion::datasource::empty::EmptyTable;
use vitral_panes::view::{Completeness, Live, TopicView};
use vitral_query::remote::LivePart;
use vitral_schemas::event_time::Watermark;
use vitral_schemas::topic::Topic;
use vitral_store::{Archive, Counts, Location, StoreError, StoredAt, stored_at};

use crate::error::FollowError;
use crate::followed::{Followed, Rows, TopicArchive};

/// A topic, and its archive as it is shown.
pub(crate) struct FollowedTopic {
    pub(crate) topic: Topic,
    store: Location,
    archive: Followed<TopicArchive>,
    /// What the rows of a commit are, by their verdicts: to count them, all are read.
    counted: Option<(StoredAt, Completeness)>,
}

/// A topic as it is shown, and its committed watermark.
pub(crate) struct ShownTopic {
    pub(crate) view: TopicView,
    pub(crate) watermark: Option<Watermark>,
}

impl FollowedTopic {
    pub(crate) fn new(topic: Topic, store: Location) -> Self {
        Self { topic, store, archive: Followed::default(), counted: None }
    }

    /// As the stream shows it; none while the stream cannot read it and nothing is stored.
    pub(crate) async fn as_shown(&mut self, part: &LivePart) -> Result<Option<ShownTopic>, FollowError> {
        let name = &self.topic.name;
        let Some(shown) = part.topics.get(name) else {
            if part.topics_waiting.contains_key(name) {
                return Ok(None);
            }
            return Ok(Some(self.as_stored(Live::OtherVersion).await?));
        };
        let tail = part.rows(shown.tail)?;
        if tail.schema != self.topic.schema() {
            return Ok(Some(self.as_stored(Live::OtherVersion).await?));
        }
        let archive = match &shown.stored {
            None => self.nothing(),
            Some(stored) => {
                let open = open(self.topic.clone(), self.store.clone());
                let found = self.archive.at(stored, open).await?;
                found.ok_or_else(|| FollowError::NotStored { name: self.topic.name.clone(), stored: stored.clone() })?
            }
        };
        let watermark = part.committed_watermarks_ms.get(&self.topic.name).copied().map(Watermark::from_ms);
        let (tail, completeness) = (tail.batches.clone().into(), (&shown.completeness).into());
        Ok(Some(ShownTopic { view: TopicView { archive, tail, completeness }, watermark }))
    }

    /// Without what the stream has not stored.
    pub(crate) async fn as_stored(&mut self, live: Live) -> Result<ShownTopic, StoreError> {
        let open = open(self.topic.clone(), self.store.clone());
        let Some(archive) = self.archive.newest(&self.topic.name, open).await? else {
            let completeness = Completeness { live, ..Completeness::default() };
            let view = TopicView { archive: self.nothing(), tail: Arc::from([]), completeness };
            return Ok(ShownTopic { view, watermark: None });
        };
        let completeness = Completeness { live, ..self.counted(&archive).await? };
        let watermark = completeness.watermark;
        Ok(ShownTopic { view: TopicView { archive, tail: Arc::from([]), completeness }, watermark })
    }

    async fn counted(&mut self, archive: &Rows) -> Result<Completeness, StoreError> {
        let stored = stored_at(archive);
        if let Some((of, counted)) = &self.counted
            && stored.as_ref() == Some(of)
        {
            return Ok(counted.clone());
        }
        let Some(TopicArchive { reader, .. }) = self.archive.table() else { return Ok(Completeness::default()) };
        let (counts, skipped) = reader.counts().await?;
        let Counts { counted, duplicate, late, refused, .. } = counts;
        let watermark = reader.watermark().await?;
        let read = counts.read();
        let completeness =
            Completeness { watermark, read, counted, duplicate, late, refused, skipped, ..Completeness::default() };
        self.counted = stored.map(|stored| (stored, completeness.clone()));
        Ok(completeness)
    }

    fn nothing(&self) -> Rows {
        Arc::new(EmptyTable::new(self.topic.archive_schema()))
    }
}

async fn open(topic: Topic, store: Location) -> Result<Option<TopicArchive>, StoreError> {
    let reader = Archive::read(&topic, &store).await?;
    Ok(reader.map(|reader| TopicArchive { topic, store, reader }))
}
