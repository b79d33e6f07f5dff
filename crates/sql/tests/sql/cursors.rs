//! Rows a few at a time: portals and cursors.

use futures::TryStreamExt;

use crate::world::{World, code, text, texts};

#[tokio::test]
async fn portals_give_rows_as_they_are_asked_for() {
    let world = World::new().await;
    let mut client = world.client().await;
    let transaction = client.transaction().await.expect("begun");
    let sql = "SELECT value FROM generate_series(1, 250) ORDER BY value";
    let portal = transaction.bind(sql, &[]).await.expect("bound");
    let mut found = Vec::new();
    for wanted in [100, 100, 50, 0] {
        let rows = transaction.query_portal(&portal, 100).await.expect("rows");
        assert_eq!(rows.len(), wanted);
        found.extend(rows.iter().map(|row| row.get::<_, i64>(0)));
    }
    assert_eq!(found, (1..=250).collect::<Vec<_>>());
    transaction.commit().await.expect("ended");
}

#[tokio::test]
async fn many_rows_come_through_a_portal() {
    let world = World::new().await;
    let client = world.client().await;
    let stream = client.query_raw("SELECT value FROM generate_series(1, 100000)", Vec::<i32>::new()).await;
    let sum = stream.expect("rows").try_fold(0, async |sum, row| Ok(sum + row.get::<_, i64>(0))).await;
    assert_eq!(sum.expect("all rows"), 5_000_050_000);
}

#[tokio::test]
async fn cursors_end_with_their_transaction_unless_they_are_held() {
    let world = World::new().await;
    let client = world.client().await;
    let rows = "SELECT value FROM generate_series(1, 5) ORDER BY value";
    assert_eq!(code(&client, &format!("DECLARE c CURSOR FOR {rows}")).await, "25P01");
    client.simple_query("BEGIN").await.expect("begun");
    client.simple_query(&format!("DECLARE c CURSOR FOR {rows}")).await.expect("declared");
    client.simple_query(&format!("DECLARE \"SQL_CUR1\" CURSOR WITH HOLD FOR {rows}")).await.expect("declared");
    assert_eq!(texts(&client, "FETCH 2 IN c").await.len(), 2);
    assert_eq!(text(&client, "FETCH NEXT FROM c").await, "3");
    client.simple_query("MOVE 1 IN c").await.expect("moved");
    assert_eq!(text(&client, "FETCH FORWARD ALL FROM c").await, "5");
    assert!(texts(&client, "FETCH 10 FROM c").await.is_empty());
    client.simple_query("COMMIT").await.expect("ended");
    assert_eq!(code(&client, "FETCH 1 FROM c").await, "34000");
    assert_eq!(texts(&client, "FETCH 100 IN \"SQL_CUR1\"").await.len(), 5);
    client.simple_query("CLOSE \"SQL_CUR1\"").await.expect("closed");
    assert_eq!(code(&client, "FETCH 1 FROM \"SQL_CUR1\"").await, "34000");
}

#[tokio::test]
async fn cursors_are_read_forward_alone() {
    let world = World::new().await;
    let client = world.client().await;
    client.simple_query("BEGIN; DECLARE c CURSOR FOR SELECT 1").await.expect("declared");
    assert_eq!(code(&client, "FETCH BACKWARD 1 FROM c").await, "55000");
    client.simple_query("ROLLBACK").await.expect("ended");
}

#[tokio::test]
async fn fetching_can_be_prepared() {
    let world = World::new().await;
    let client = world.client().await;
    let declare = "BEGIN; DECLARE c CURSOR FOR SELECT value, 'x' AS t FROM generate_series(1, 3) ORDER BY value";
    client.simple_query(declare).await.expect("declared");
    let rows = client.query("FETCH 2 FROM c", &[]).await.expect("rows");
    let found: Vec<(i64, &str)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(found, [(1, "x"), (2, "x")]);
}
