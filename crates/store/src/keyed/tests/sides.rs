//! What a table is compared with must equal it: all that there is, and a part with the rows since.

use datafusion::dataframe::DataFrame;
use datafusion::logical_expr::ident;

use super::texts;
use crate::archive::ArchiveReader;
use crate::history::History;
use crate::keyed::{KeyedTable, Sides};

/// Compares both ways, the second with the part that was kept by the last call; then keeps another.
pub(super) async fn check(table: &mut KeyedTable, archive: &ArchiveReader, history: Option<&History>) {
    let mut compared = Vec::new();
    for bucket in [None, Some((0, 2)), Some((1, 2))] {
        compared.push(table.sides(archive, history, bucket).await.expect("both sides"));
    }
    if let Some(bucket) = table.kept_bucket(archive, 2).await.expect("known") {
        compared.push(table.sides_since(archive, history, bucket).await.expect("both sides"));
    }
    for Sides { published, expected } in compared {
        let sorted = |side: DataFrame| side.sort(vec![ident("id").sort(true, true)]).expect("sorted");
        let published = texts(&sorted(published).collect().await.expect("rows"));
        assert_eq!(published, texts(&sorted(expected).collect().await.expect("rows")));
    }
    let next = i64::from(table.commit().expect("a commit").is_multiple_of(2));
    table.keep_bucket(archive, (next, 2)).await.expect("kept");
    assert_eq!(table.kept_bucket(archive, 2).await.expect("known"), Some((next, 2)));
    assert_eq!(table.kept_bucket(archive, 3).await.expect("known"), None, "other buckets");
}
