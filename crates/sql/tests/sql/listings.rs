//! What tools find when they look around.

use crate::world::{World, text, texts};

#[tokio::test]
async fn psql_describes_a_table() {
    let world = World::new().await;
    let client = world.client().await;
    let sql = "SELECT c.oid FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
               WHERE c.relname OPERATOR(pg_catalog.~) '^(vendas)$' COLLATE pg_catalog.default \
               AND pg_catalog.pg_table_is_visible(c.oid) AND n.nspname = 'public'";
    let oid = text(&client, sql).await;
    let columns = format!(
        "SELECT a.attname || ' ' || pg_catalog.format_type(a.atttypid, a.atttypmod) FROM pg_catalog.pg_attribute a \
         WHERE a.attrelid = '{oid}' AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"
    );
    let found: Vec<String> = texts(&client, &columns).await.into_iter().flatten().collect();
    assert!(found.contains(&"id text".to_owned()), "{found:?}");
    assert!(found.iter().any(|column| column.starts_with("valor numeric")), "{found:?}");
    assert!(found.contains(&"ts timestamp with time zone".to_owned()), "{found:?}");
    // The same number in every connection.
    assert_eq!(text(&world.client().await, sql).await, oid);
}

#[tokio::test]
async fn views_have_the_comments_of_their_files() {
    let world = World::new().await;
    let client = world.client().await;
    let oid = text(&client, "SELECT 'por_loja'::regclass::oid").await;
    let by_function = format!("SELECT pg_catalog.obj_description({oid}, 'pg_class') FROM pg_catalog.pg_class LIMIT 1");
    assert_eq!(text(&client, &by_function).await, "What each shop has sold.");
    let by_table = format!(
        "SELECT description FROM pg_catalog.pg_description WHERE objoid = {oid} AND objsubid = 0 \
         AND classoid = 'pg_class'::regclass"
    );
    assert_eq!(text(&client, &by_table).await, "What each shop has sold.");
}

#[tokio::test]
async fn the_information_schema_speaks_the_words_of_postgresql() {
    let world = World::new().await;
    let client = world.client().await;
    let sql = "SELECT column_name || ' ' || data_type || ' ' || udt_name FROM information_schema.columns \
               WHERE table_schema = 'public' AND table_name = 'vendas' ORDER BY ordinal_position";
    let found: Vec<String> = texts(&client, sql).await.into_iter().flatten().collect();
    assert!(found.contains(&"ts timestamp with time zone timestamptz".to_owned()), "{found:?}");
    let kinds = "SELECT table_type FROM information_schema.tables WHERE table_name = 'por_loja'";
    assert_eq!(text(&client, kinds).await, "VIEW");
    assert_eq!(text(&client, "SELECT current_database()").await, "vitral");
}
