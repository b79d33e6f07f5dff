//! The schema `vitral`, in which a database keeps what we have to know of our tables there.

use deadpool_postgres::Client;
use tokio_postgres::SimpleQueryMessage;

/// Which tables our schema has; a row without a name if it is there and has none.
pub(crate) const OUR_TABLES: &str = "SELECT c.relname FROM pg_namespace n LEFT JOIN pg_class c \
     ON c.relnamespace = n.oid AND c.relkind IN ('r', 'p') WHERE n.nspname = 'vitral'";

/// Makes those tables of our schema that are not there, and the schema. `IF NOT EXISTS` alone is
/// refused to a user who may not make them, even where they are.
pub(crate) async fn make_missing(client: &Client, tables: &[(&str, &str)]) -> Result<(), tokio_postgres::Error> {
    for _ in 0..2 {
        let answer = client.simple_query(OUR_TABLES).await?;
        let found = answer.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row.get(0)),
            _ => None,
        });
        let statements = missing(&found.collect::<Vec<_>>(), tables);
        if statements.is_empty() {
            break;
        }
        match client.batch_execute(&statements.join("; ")).await {
            // Another makes some of them at the same time: what is missing then is seen once more.
            Err(error) if is_already_there(&error) => {}
            made => return made,
        }
    }
    Ok(())
}

/// What makes the tables, each with its columns, that are not among what [`OUR_TABLES`] finds.
pub(crate) fn missing(found: &[Option<&str>], tables: &[(&str, &str)]) -> Vec<String> {
    let schema = found.is_empty().then(|| "CREATE SCHEMA IF NOT EXISTS vitral".to_owned());
    let absent = tables.iter().filter(|(table, _)| !found.contains(&Some(*table)));
    let absent = absent.map(|(table, columns)| format!("CREATE TABLE IF NOT EXISTS vitral.{table} {columns}"));
    schema.into_iter().chain(absent).collect()
}

fn is_already_there(error: &tokio_postgres::Error) -> bool {
    use tokio_postgres::error::SqlState;
    error.code().is_some_and(|code| {
        [SqlState::UNIQUE_VIOLATION, SqlState::DUPLICATE_SCHEMA, SqlState::DUPLICATE_TABLE].contains(code)
    })
}
