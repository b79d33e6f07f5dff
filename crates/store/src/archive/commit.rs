//! The one commit of an archive: what it carries, what it builds on, and what is done when its
//! outcome is unknown.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use vitral_schemas::event_time::Watermark;
use vitral_schemas::position::{Offset, PartitionId};

use super::watermarks::topic_application;
use super::{Advance, Archive, ArchiveCommit, REPLAYS};
use crate::error::StoreError;

impl Archive {
    /// The one commit. After an error whose outcome is unknown, what the table says decides.
    pub async fn commit(&mut self, commit: &ArchiveCommit) -> Result<(), StoreError> {
        for (partition, advance) in &commit.offsets {
            self.check_continuity(*partition, advance.from, self.next_offsets.get(partition).copied())?;
        }
        let mut transactions: Vec<(String, i64)> = commit
            .offsets
            .iter()
            .map(|(partition, advance)| (self.partition_application(*partition), advance.to.0))
            .collect();
        let ArchiveCommit { watermark, watermarks, .. } = commit;
        transactions.extend(self.watermarks.raising(&self.log, &self.topic.kafka_topic, *watermark, watermarks));
        transactions.push((self.commit_application(), commit.token));
        // An earlier attempt may have succeeded although its outcome was unknown: nobody else has
        // its token.
        if self.table.version() != self.checked_version && self.is_stored(&transactions).await? {
            self.committed(commit);
            return Ok(());
        }
        self.check_owner(commit).await?;
        let carried = [transactions.as_slice(), &[(REPLAYS.to_owned(), self.replays)]].concat();
        match self.table.append(commit.rows.clone(), &carried).await {
            Ok(true) => self.checked_version = self.table.version(),
            // Another process wrote in between, such as a compaction: check that it did not touch
            // our partitions.
            Ok(false) => {
                self.cold_part_stale.store(true, Ordering::SeqCst);
                self.check_offsets(commit, |advance| Some(advance.to)).await?;
            }
            Err(error) => {
                self.cold_part_stale.store(true, Ordering::SeqCst);
                self.table.refresh().await?;
                if !self.is_stored(&transactions).await? {
                    self.check_offsets(commit, |advance| advance.from).await?;
                    return Err(error);
                }
                tracing::warn!(topic = self.topic.name, %error, "a commit that reported an error had succeeded");
            }
        }
        self.committed(commit);
        Ok(())
    }

    fn committed(&mut self, commit: &ArchiveCommit) {
        self.next_offsets.extend(commit.offsets.iter().map(|(partition, advance)| (*partition, advance.to)));
        self.watermarks.raise(commit.watermark, &commit.watermarks);
    }

    /// Fails unless the snapshot that the next commit builds on is where this process left it:
    /// maintenance, and a refresh after an error, bring in what others have committed.
    async fn check_owner(&mut self, commit: &ArchiveCommit) -> Result<(), StoreError> {
        if self.table.version() == self.checked_version {
            return Ok(());
        }
        let partitions: BTreeSet<PartitionId> =
            self.next_offsets.keys().chain(commit.offsets.keys()).copied().collect();
        for partition in partitions {
            let found = self.stored_next_offset(partition).await?;
            self.check_continuity(partition, self.next_offsets.get(&partition).copied(), found)?;
        }
        let found = self.table.transaction(&topic_application(&self.log, &self.topic.kafka_topic)).await?;
        if found.map(Watermark::from_ms) > self.watermark() {
            return Err(StoreError::Overtaken { table: self.topic.name.clone() });
        }
        self.refuse_replays().await?;
        self.checked_version = self.table.version();
        Ok(())
    }

    async fn is_stored(&self, transactions: &[(String, i64)]) -> Result<bool, StoreError> {
        for (application, version) in transactions {
            if self.table.transaction(application).await? != Some(*version) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn check_offsets(
        &self,
        commit: &ArchiveCommit,
        expected: impl Fn(&Advance) -> Option<Offset>,
    ) -> Result<(), StoreError> {
        for (partition, advance) in &commit.offsets {
            let found = self.stored_next_offset(*partition).await?;
            self.check_continuity(*partition, expected(advance), found)?;
        }
        Ok(())
    }

    fn check_continuity(
        &self,
        partition: PartitionId,
        expected: Option<Offset>,
        found: Option<Offset>,
    ) -> Result<(), StoreError> {
        if expected == found {
            return Ok(());
        }
        Err(StoreError::Fenced { topic: self.topic.name.clone(), partition, expected, found })
    }
}
