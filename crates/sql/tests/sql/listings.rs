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
async fn functions_of_types_are_names_that_can_be_joined() {
    let world = World::new().await;
    let client = world.client().await;
    let shown = "SELECT typreceive FROM pg_catalog.pg_type WHERE typname = 'int4' AND typreceive <> 0 \
                 AND typreceive::TEXT <> 'array_recv'";
    assert_eq!(text(&client, shown).await, "int4recv");
    let joined = "SELECT p.proname FROM pg_catalog.pg_type t JOIN pg_catalog.pg_proc p ON p.oid = t.typreceive \
                  WHERE t.typname = '_int4'";
    assert_eq!(text(&client, joined).await, "array_recv");
    let is_array = "SELECT typinput = 'pg_catalog.array_in'::regproc FROM pg_catalog.pg_type WHERE typname = '_int4'";
    assert_eq!(text(&client, is_array).await, "t");
}

#[tokio::test]
async fn lists_are_lists_and_vectors_are_written_with_spaces() {
    let world = World::new().await;
    let client = world.client().await;
    let vector = "SELECT proargtypes FROM pg_catalog.pg_proc WHERE proname = 'int4pl'";
    assert_eq!(text(&client, vector).await, "23 23");
    let unnested = "SELECT unnest(proargtypes) FROM pg_catalog.pg_proc WHERE proname = 'int4pl'";
    assert_eq!(texts(&client, unnested).await, [Some("23".to_owned()), Some("23".to_owned())]);
    for sql in [
        "SELECT unnest(conkey) FROM pg_catalog.pg_constraint",
        "SELECT unnest(indkey) FROM pg_catalog.pg_index",
        "SELECT name FROM pg_available_extensions",
    ] {
        assert!(texts(&client, sql).await.is_empty(), "{sql}");
    }
}

#[tokio::test]
async fn any_sign_escapes() {
    let world = World::new().await;
    let client = world.client().await;
    let sql =
        "SELECT 'a_b' LIKE 'a/_b' ESCAPE '/' AND NOT 'axb' LIKE 'a/_b' ESCAPE '/' AND 'a/b' LIKE 'a//b' ESCAPE '/'";
    assert_eq!(text(&client, sql).await, "t");
}

#[tokio::test]
async fn a_session_knows_who_and_where_it_is() {
    let world = World::new().await;
    let client = world.client().await;
    for (sql, wanted) in [
        ("SELECT current_user", "anonymous"),
        ("SELECT session_user", "anonymous"),
        ("SELECT current_database()", "vitral"),
        ("SELECT current_schema()", "public"),
    ] {
        assert_eq!(text(&client, sql).await, wanted, "{sql}");
    }
    assert!(text(&client, "SELECT version()").await.starts_with("PostgreSQL 17"));
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
