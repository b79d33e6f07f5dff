//! Committed rows that a table does not have yet. They are read once: from then on what is
//! committed is added to them, and what the table has taken in is left out.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use datafusion::catalog::TableProvider;
use futures::TryStreamExt;
use vitral_panes::view::{KeyedTableView, KeyedThrough, TopicView};
use vitral_store::StoredRows;

use crate::error::QueryError;
use crate::tables::scan;

/// More rows than these are read again each time.
pub(crate) const LACKING_MAX: usize = 1 << 17;

/// What a table lacks.
#[derive(Debug)]
pub(crate) struct Lacking {
    /// In the archive's columns; none if they are too many to be kept.
    pub(crate) rows: Option<Vec<RecordBatch>>,
    /// Their states.
    pub(crate) states: Vec<RecordBatch>,
}

/// What a table lacked at one moment.
#[derive(Debug)]
pub(super) struct Behind {
    through: Arc<KeyedThrough>,
    archive: Arc<dyn TableProvider>,
    pub(super) lacking: Lacking,
}

impl Behind {
    pub(super) fn new(table: &KeyedTableView, topic: &TopicView, lacking: Lacking) -> Self {
        Self { through: Arc::clone(&table.through), archive: Arc::clone(&topic.archive), lacking }
    }

    pub(super) fn is_of(&self, table: &KeyedTableView, topic: &TopicView) -> bool {
        Arc::ptr_eq(&self.through, &table.through) && Arc::ptr_eq(&self.archive, &topic.archive)
    }

    /// These rows and those that were committed since, among which are all that the table lacks
    /// now; none if that is not known of them.
    pub(super) async fn grown(
        self,
        table: &KeyedTableView,
        topic: &TopicView,
    ) -> Result<Option<Vec<RecordBatch>>, QueryError> {
        let Some(mut rows) = self.lacking.rows.filter(|_| has_gone_on(&self.through, &table.through)) else {
            return Ok(None);
        };
        let stored = |archive: &Arc<dyn TableProvider>| {
            Ok::<_, QueryError>(StoredRows::of(&scan(Arc::clone(archive))?.build()?))
        };
        let Some((now, before)) = stored(&topic.archive)?.zip(stored(&self.archive)?) else { return Ok(None) };
        let Some(mut added) = now.added_since(&before).await? else { return Ok(None) };
        let schema = topic.archive.schema();
        while let Some(batch) = added.try_next().await? {
            rows.push(fitted(&batch, &schema)?);
        }
        Ok(Some(rows))
    }
}

/// Whether a table has all that it had.
fn has_gone_on(before: &KeyedThrough, now: &KeyedThrough) -> bool {
    let goes_on = |(partition, next)| now.offsets.get(partition).is_some_and(|now| now >= next);
    before.log == now.log && before.offsets.iter().all(goes_on)
}

/// The columns of the schema, in its types.
fn fitted(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = schema.fields().iter().map(|field| {
        let column = batch.schema().index_of(field.name())?;
        cast(batch.column(column), field.data_type())
    });
    RecordBatch::try_new(Arc::clone(schema), columns.collect::<Result<Vec<ArrayRef>, _>>()?)
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, Int32Array, Int64Array};
    use arrow::datatypes::Int64Type;
    use datafusion::datasource::empty::EmptyTable;
    use vitral_panes::view::Completeness;
    use vitral_schemas::position::{Offset, PartitionId};
    use vitral_schemas::topic::archive_columns::{OFFSET, PARTITION};
    use vitral_store::{AppendTable, Location};

    use super::*;

    fn rows(offsets: std::ops::Range<i64>) -> RecordBatch {
        let partitions = Int32Array::from(vec![0; offsets.clone().count()]);
        let offsets: Int64Array = offsets.collect::<Vec<_>>().into();
        let columns: [(&str, ArrayRef); 2] = [(PARTITION, Arc::new(partitions)), (OFFSET, Arc::new(offsets))];
        RecordBatch::try_from_iter(columns).expect("rows")
    }

    fn table(next: i64) -> KeyedTableView {
        let offsets = [(PartitionId(0), Offset(next))].into();
        KeyedTableView {
            topic: "eventos".to_owned(),
            keys: Vec::new(),
            rows: Arc::new(EmptyTable::new(rows(0..0).schema())),
            through: Arc::new(KeyedThrough { commit: Some(1), log: Some("a".to_owned()), offsets }),
            since_ms: None,
            failure: None,
        }
    }

    async fn topic(archive: &AppendTable) -> TopicView {
        let archive = archive.provider().await.expect("rows");
        TopicView { archive, tail: Arc::from([]), completeness: Completeness::default() }
    }

    fn lacking(rows: RecordBatch) -> Lacking {
        Lacking { rows: Some(vec![rows]), states: Vec::new() }
    }

    /// What was read once is not read again: only what was committed since.
    #[tokio::test]
    async fn what_a_table_lacks_grows_by_what_is_committed() {
        let folder = tempfile::tempdir().expect("a folder");
        let location = Location::folder(folder.path()).expect("a location");
        let mut archive = AppendTable::open("linhas", &location, rows(0..0).schema()).await.expect("a table");
        archive.append(rows(0..10)).await.expect("appended");
        let before = (table(4), topic(&archive).await);
        let behind = || Behind::new(&before.0, &before.1, lacking(rows(4..10)));
        assert!(behind().is_of(&before.0, &before.1));
        archive.append(rows(10..13)).await.expect("appended");
        let now = (table(6), topic(&archive).await);
        assert!(!behind().is_of(&now.0, &now.1));

        let grown = behind().grown(&now.0, &now.1).await.expect("read").expect("known");
        let offsets = grown.iter().flat_map(|batch| batch.column(1).as_primitive::<Int64Type>().values().to_vec());
        assert_eq!(offsets.collect::<Vec<_>>(), (4..13).collect::<Vec<_>>());

        let unknown = Behind::new(&before.0, &before.1, Lacking { rows: None, states: Vec::new() });
        assert!(unknown.grown(&now.0, &now.1).await.expect("read").is_none(), "they were too many");
        let back = behind().grown(&table(3), &now.1).await.expect("read");
        assert!(back.is_none(), "the table lacks more than it did");
    }

    #[test]
    fn a_table_that_has_gone_back_lacks_more_than_is_known() {
        let through = |log: &str, offsets: &[(i32, i64)]| KeyedThrough {
            commit: Some(1),
            log: Some(log.to_owned()),
            offsets: offsets.iter().map(|(partition, next)| (PartitionId(*partition), Offset(*next))).collect(),
        };
        let before = through("a", &[(0, 5), (1, 7)]);
        assert!(has_gone_on(&before, &before));
        assert!(has_gone_on(&before, &through("a", &[(0, 6), (1, 7), (2, 1)])));
        assert!(!has_gone_on(&before, &through("a", &[(0, 4), (1, 9)])));
        assert!(!has_gone_on(&before, &through("a", &[(0, 6)])));
        assert!(!has_gone_on(&before, &through("b", &[(0, 6), (1, 7)])));
    }
}
