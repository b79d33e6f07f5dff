//! A stored table that is opened once and then moved from commit to commit.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use vitral_schemas::topic::Topic;
use vitral_store::{ArchiveReader, KeyedTable, Location, MetricTable, StoreError, StoredAt};

/// Rows of one commit.
pub(crate) type Rows = Arc<dyn TableProvider>;

/// A stored table that can be read as of any commit.
pub(crate) trait StoredTable: Send + Sync {
    /// Goes to one commit, or to the newest; true if it was at another.
    fn move_to(&mut self, commit: Option<u64>) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Its rows as of that commit.
    fn rows(&self) -> impl Future<Output = Result<Rows, StoreError>> + Send;
}

/// A table as of the commit that is shown. While that stays, its rows are the same for all readers.
pub(crate) struct Followed<T> {
    opened: Option<Opened<T>>,
}

struct Opened<T> {
    folder: String,
    table: T,
    rows: Rows,
}

impl<T> Default for Followed<T> {
    fn default() -> Self {
        Self { opened: None }
    }
}

impl<T: StoredTable> Followed<T> {
    /// Its rows as of this commit; none if there is no such table. What is in another folder is
    /// opened again.
    pub(crate) async fn at(
        &mut self,
        stored: &StoredAt,
        open: impl Future<Output = Result<Option<T>, StoreError>>,
    ) -> Result<Option<Rows>, StoreError> {
        self.go(&stored.folder, Some(stored.commit), open).await
    }

    /// Its newest rows; none if there is no such table.
    pub(crate) async fn newest(
        &mut self,
        folder: &str,
        open: impl Future<Output = Result<Option<T>, StoreError>>,
    ) -> Result<Option<Rows>, StoreError> {
        self.go(folder, None, open).await
    }

    async fn go(
        &mut self,
        folder: &str,
        commit: Option<u64>,
        open: impl Future<Output = Result<Option<T>, StoreError>>,
    ) -> Result<Option<Rows>, StoreError> {
        // After an error it is opened again.
        let opened = self.opened.take().filter(|opened| opened.folder == folder);
        let (mut table, rows) = match opened {
            Some(Opened { table, rows, .. }) => (table, Some(rows)),
            None => match open.await? {
                Some(table) => (table, None),
                None => return Ok(None),
            },
        };
        let has_moved = table.move_to(commit).await?;
        let rows = match rows.filter(|_| !has_moved) {
            Some(rows) => rows,
            None => table.rows().await?,
        };
        self.opened = Some(Opened { folder: folder.to_owned(), table, rows: Arc::clone(&rows) });
        Ok(Some(rows))
    }

    /// The table itself, at that commit.
    pub(crate) fn table(&self) -> Option<&T> {
        self.opened.as_ref().map(|opened| &opened.table)
    }
}

/// An archive, and where it is.
pub(crate) struct TopicArchive {
    pub(crate) topic: Topic,
    pub(crate) store: Location,
    pub(crate) reader: ArchiveReader,
}

impl StoredTable for TopicArchive {
    async fn move_to(&mut self, commit: Option<u64>) -> Result<bool, StoreError> {
        self.reader.move_to(&self.topic, &self.store, commit).await
    }

    async fn rows(&self) -> Result<Rows, StoreError> {
        self.reader.provider().await
    }
}

impl StoredTable for MetricTable {
    async fn move_to(&mut self, commit: Option<u64>) -> Result<bool, StoreError> {
        Self::move_to(self, commit).await
    }

    async fn rows(&self) -> Result<Rows, StoreError> {
        self.provider().await
    }
}

impl StoredTable for KeyedTable {
    async fn move_to(&mut self, commit: Option<u64>) -> Result<bool, StoreError> {
        Self::move_to(self, commit).await
    }

    async fn rows(&self) -> Result<Rows, StoreError> {
        Self::rows(self).await
    }
}
