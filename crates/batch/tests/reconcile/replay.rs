//! Rows of the ledger, fed again: they count, and their windows are published again.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BinaryArray, BooleanArray, StringArray};
use arrow::compute::{filter_record_batch, nullif};
use vitral_batch::ledger::replay::{Replayed, finish, replay};
use vitral_batch::ledger::{Cause, LedgerFilter};
use vitral_schemas::verdict::{Reason, Verdict};
use vitral_store::archive::ArchiveBatch;

use super::*;

const LATE: usize = 6;
const REFUSED: usize = 7;
/// The message of the refused row, which is what the row's columns would be.
const MESSAGE: &[u8] =
    br#"{"id_usuario": "u1", "tipo_evento": "clique", "id_produto": "p2", "timestamp": "2025-05-14T12:00:30Z"}"#;

/// The events, of which one came too late and one was refused.
async fn with_two_that_do_not_count(topic: &Topic) -> RecordBatch {
    let rows = rows(topic).await;
    let verdict = |row: usize| match row {
        LATE => Verdict::Late,
        REFUSED => Verdict::Refused,
        _ => Verdict::Counted,
    };
    let all = 0..rows.num_rows();
    let refused = |row: usize| row == REFUSED;
    let mut columns = rows.columns().to_vec();
    columns[5] = Arc::new(StringArray::from_iter_values(all.clone().map(|row| verdict(row).name())));
    columns[6] =
        Arc::new(all.clone().map(|row| refused(row).then_some(Reason::Future.name())).collect::<StringArray>());
    columns[7] = Arc::new(all.clone().map(|row| refused(row).then_some(MESSAGE)).collect::<BinaryArray>());
    let nothing: BooleanArray = all.map(|row| Some(refused(row))).collect();
    for column in &mut columns[8..] {
        *column = nullif(column, &nothing).expect("a column") as ArrayRef;
    }
    RecordBatch::try_new(rows.schema(), columns).expect("the archive's schema")
}

#[tokio::test]
async fn what_is_fed_again_counts_and_is_published() {
    let shop = Shop::new();
    let rows = with_two_that_do_not_count(shop.topic()).await;
    let mut archive = Archive::open(shop.topic(), "log", [PartitionId(0)], &shop.store()).await.expect("opened");
    let offsets = begun(8);
    let commit = ArchiveCommit {
        rows: vec![rows.clone()],
        offsets,
        watermark: Some(Watermark::from_ms(LAST_MS)),
        token: 1,
        ..ArchiveCommit::default()
    };
    archive.commit(&commit).await.expect("committed");
    let counts: BooleanArray = (0..rows.num_rows()).map(|row| Some(row < LATE)).collect();
    shop.publish(&filter_record_batch(&rows, &counts).expect("counted rows")).await;
    let store = shop.store();
    let compare = || reconcile(&shop.catalog, &shop.settings, &store, &Engine::Local, RANGE, Selection::default());
    assert!(compare().await.expect("compared").iter().all(|metric| !metric.differs()));
    assert_eq!(finish(&shop.catalog, &shop.settings, &store).await.expect("nothing to publish"), 0);

    let feed = async |cause: Option<Cause>, now_ms: i64| {
        let filter = LedgerFilter { cause, ..LedgerFilter::default() };
        replay(shop.topic(), &shop.settings, &store, &Default::default(), &filter, now_ms).await.expect("fed again")
    };
    let long_ago_ms = FIRST_MS - 24 * 3_600_000;
    let ahead = feed(Some(Cause::Refused(Reason::Future)), long_ago_ms).await;
    assert_eq!(ahead, Replayed { refused: 1, ..Replayed::default() }, "it is still ahead of the clock");
    let fed = feed(None, LAST_MS).await;
    assert_eq!((fed.counted, fed.duplicate, fed.refused, fed.cut), (2, 0, 0, 0), "{fed:?}");
    assert_eq!(feed(None, LAST_MS).await, Replayed::default(), "nothing is left");

    // The process may end here: the next one finds what is to be published.
    assert!(compare().await.expect("compared").iter().any(|metric| metric.differs()));
    assert!(finish(&shop.catalog, &shop.settings, &store).await.expect("published") > 0);
    let compared = compare().await.expect("compared");
    assert!(compared.iter().all(|metric| !metric.differs() && metric.failure.is_none()), "{compared:?}");
    assert_eq!(finish(&shop.catalog, &shop.settings, &store).await.expect("done already"), 0);

    let archive = Archive::read(shop.topic(), &store).await.expect("read").expect("an archive");
    let found = archive.rows(lit(true)).await.expect("rows");
    let found = arrow::compute::concat_batches(&shop.topic().archive_schema(), &found).expect("one batch");
    let found = ArchiveBatch::new(shop.topic(), found).and_then(|rows| rows.in_offset_order()).expect("rows");
    assert_eq!(found.offsets().values().to_vec(), (0..8).collect::<Vec<_>>(), "each offset has one row");
    assert!(found.verdicts().all(|verdict| verdict == Some(Verdict::Counted)));
    assert_eq!(found.payloads().value(REFUSED), MESSAGE, "what it was made of stays");
    assert_eq!(found.payloads().null_count(), 7);
}
