//! What is said to a database that holds the copy of a view.

use arrow::datatypes::{DataType, TimeUnit};
use vitral_connect::{DELETED_COLUMN, EPOCH_COLUMN};
use vitral_store::StoreError;

use crate::postgres::Postgres;
use crate::redshift::Redshift;
use crate::sql::{Dialect, NEW_ROWS, literal, quoted};

const EPOCH_TYPE: &str = "bigint";

/// One table with its columns, as the database calls their types.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statements {
    pub(super) table: String,
    pub(super) key: Vec<String>,
    pub(super) columns: Vec<(String, String)>,
}

/// What differs between databases.
pub trait SinkDialect: Dialect {
    /// The table of epochs, and that of tables whose rows from before an epoch lack values, each
    /// with its columns.
    fn epochs(&self) -> [(&'static str, &'static str); 2];

    /// Of two that write to a table at once, one waits.
    fn hold(&self, table: &str) -> String;

    /// Creates the table.
    fn create_copy(&self, statements: &Statements) -> Vec<String>;

    /// What the rows of an epoch do to the table.
    fn merge(&self, statements: &Statements, epoch: u64) -> Vec<String>;

    /// The type of a column; none for what no copy has.
    fn column_type(&self, data_type: &DataType) -> Option<String> {
        match data_type {
            DataType::Timestamp(TimeUnit::Microsecond, None) => Some("timestamp without time zone".to_owned()),
            other => self.data_type(other),
        }
    }
}

impl SinkDialect for Postgres {
    fn epochs(&self) -> [(&'static str, &'static str); 2] {
        [
            (
                "destinos",
                "(tabela text PRIMARY KEY, epoca bigint NOT NULL, instante timestamp with time zone NOT NULL)",
            ),
            ("destinos_incompletos", "(tabela text NOT NULL, epoca bigint NOT NULL)"),
        ]
    }

    fn hold(&self, table: &str) -> String {
        let name = literal(&format!("vitral sink {table}"));
        format!("SELECT pg_advisory_xact_lock(hashtextextended({name}, 0))")
    }

    fn create_copy(&self, statements: &Statements) -> Vec<String> {
        let (table, columns) = (quoted(&statements.table), statements.typed());
        vec![format!("CREATE TABLE {table} ({columns}, PRIMARY KEY ({}))", statements.key_columns())]
    }

    fn merge(&self, statements: &Statements, epoch: u64) -> Vec<String> {
        let (table, columns) = (quoted(&statements.table), statements.names());
        let epoch_column = quoted(EPOCH_COLUMN);
        let others = statements.columns.iter().map(|(name, _)| name).filter(|name| !statements.key.contains(name));
        let set: String = others.map(|name| format!("{0} = excluded.{0}, ", quoted(name))).collect();
        vec![
            statements.delete(&format!("{NEW_ROWS}.{} AND ", quoted(DELETED_COLUMN)), epoch),
            format!(
                "INSERT INTO {table} ({columns}, {epoch_column}) SELECT {columns}, {epoch} FROM {NEW_ROWS} \
                 WHERE {deleted} IS NOT TRUE ON CONFLICT ({key}) DO UPDATE SET {set}{epoch_column} = excluded.{epoch_column} \
                 WHERE coalesce({table}.{epoch_column}, -1) < excluded.{epoch_column}",
                deleted = quoted(DELETED_COLUMN),
                key = statements.key_columns(),
            ),
        ]
    }
}

impl SinkDialect for Redshift {
    fn epochs(&self) -> [(&'static str, &'static str); 2] {
        [
            (
                "destinos",
                "(tabela varchar(127) NOT NULL, epoca bigint NOT NULL, \
                 instante timestamp with time zone NOT NULL) DISTSTYLE ALL",
            ),
            ("destinos_incompletos", "(tabela varchar(127) NOT NULL, epoca bigint NOT NULL) DISTSTYLE ALL"),
        ]
    }

    /// There are no locks by name: sinks wait for each other, whatever their tables.
    fn hold(&self, _table: &str) -> String {
        "LOCK vitral.destinos".to_owned()
    }

    fn create_copy(&self, statements: &Statements) -> Vec<String> {
        let (table, columns) = (quoted(&statements.table), statements.typed());
        let spread = statements.key.first().map(|column| quoted(column)).unwrap_or_default();
        let sorted = statements.key_columns();
        vec![format!("CREATE TABLE {table} ({columns}) DISTKEY ({spread}) COMPOUND SORTKEY ({sorted})")]
    }

    /// Keys are not enforced: what comes back is taken away first.
    fn merge(&self, statements: &Statements, epoch: u64) -> Vec<String> {
        let (table, columns) = (quoted(&statements.table), statements.names());
        // It takes texts for equal that differ in blanks at their ends alone; lengths count these.
        let lengths = statements
            .texts_of_the_key()
            .map(|name| format!("octet_length({table}.{0}) = octet_length({NEW_ROWS}.{0}) AND ", quoted(name)));
        vec![
            statements.delete(&lengths.collect::<String>(), epoch),
            format!(
                "INSERT INTO {table} ({columns}, {}) SELECT {columns}, {epoch} FROM {NEW_ROWS} WHERE {} IS NOT TRUE",
                quoted(EPOCH_COLUMN),
                quoted(DELETED_COLUMN)
            ),
        ]
    }
}

impl Statements {
    /// Asks for the columns that the table has, with their types.
    pub(super) fn found(&self) -> String {
        format!(
            "SELECT a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid \
             WHERE c.relname = {} AND c.relkind IN ('r', 'p') AND pg_table_is_visible(c.oid) AND a.attnum > 0 \
             AND NOT a.attisdropped",
            literal(&self.table)
        )
    }

    /// What adds the columns that a table lacks. It may have others.
    pub(super) fn missing(&self, found: &[(&str, &str)]) -> Result<Vec<String>, StoreError> {
        let mut add = Vec::new();
        let epoch = (EPOCH_COLUMN.to_owned(), EPOCH_TYPE.to_owned());
        for (name, data_type) in self.columns.iter().chain([&epoch]) {
            match found.iter().find(|(column, _)| column == name) {
                Some((_, found)) if found == data_type => {}
                Some((_, found)) => {
                    return Err(StoreError::OtherColumn {
                        table: self.table.clone(),
                        column: name.clone(),
                        found: (*found).to_owned(),
                        wanted: data_type.clone(),
                        of: "copy",
                    });
                }
                None => {
                    let table = quoted(&self.table);
                    add.push(format!("ALTER TABLE {table} ADD COLUMN {} {data_type}", quoted(name)));
                }
            }
        }
        Ok(add)
    }

    /// An empty table of the session.
    pub(super) fn new_rows(&self) -> [String; 2] {
        let columns: String =
            self.columns.iter().map(|(name, data_type)| format!("{} {data_type}, ", quoted(name))).collect();
        [
            format!("DROP TABLE IF EXISTS {NEW_ROWS}"),
            format!("CREATE TEMPORARY TABLE {NEW_ROWS} ({columns}{} boolean)", quoted(DELETED_COLUMN)),
        ]
    }

    /// Takes rows of older epochs away whose keys have come.
    fn delete(&self, condition: &str, epoch: u64) -> String {
        let table = quoted(&self.table);
        let keys = self.key.iter().map(|name| format!("{table}.{0} = {NEW_ROWS}.{0} AND ", quoted(name)));
        let keys: String = keys.collect();
        format!(
            "DELETE FROM {table} USING {NEW_ROWS} WHERE {condition}{keys}coalesce({table}.{}, -1) < {epoch}",
            quoted(EPOCH_COLUMN)
        )
    }

    /// The columns of the key that are texts of Redshift.
    fn texts_of_the_key(&self) -> impl Iterator<Item = &str> {
        let texts = self.columns.iter().filter(|(_, data_type)| data_type.starts_with("character varying"));
        texts.map(|(name, _)| name.as_str()).filter(move |name| self.key.iter().any(|key| key == name))
    }

    fn typed(&self) -> String {
        let columns: String =
            self.columns.iter().map(|(name, data_type)| format!("{} {data_type}, ", quoted(name))).collect();
        format!("{columns}{} {EPOCH_TYPE}", quoted(EPOCH_COLUMN))
    }

    fn names(&self) -> String {
        self.columns.iter().map(|(name, _)| quoted(name)).collect::<Vec<_>>().join(", ")
    }

    fn key_columns(&self) -> String {
        self.key.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use vitral_store::Location;

    use super::*;
    use crate::own_schema::{OUR_TABLES, missing};

    fn statements(dialect: &impl SinkDialect) -> Statements {
        let columns = [
            ("janela_inicio", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
            ("moeda", DataType::Utf8),
            ("pedidos", DataType::Int64),
            ("receita", DataType::Decimal128(38, 2)),
            ("local", DataType::Timestamp(TimeUnit::Microsecond, None)),
        ];
        let columns =
            columns.map(|(name, data_type)| (name.to_owned(), dialect.column_type(&data_type).expect("a type")));
        let key = ["janela_inicio", "moeda"].map(str::to_owned).to_vec();
        Statements { table: "vendas_ao_vivo".to_owned(), key, columns: columns.to_vec() }
    }

    fn said(dialect: &impl SinkDialect) -> String {
        let statements = statements(dialect);
        let epochs = dialect.epochs();
        let mut said = vec![OUR_TABLES.to_owned(), missing(&[], &epochs).join("; ")];
        // Where an older version was, or the warehouse.
        said.push(missing(&[Some("destinos"), Some("versao")], &epochs).join("; "));
        said.extend(dialect.create_copy(&statements));
        said.extend(statements.missing(&[("janela_inicio", "timestamp with time zone")]).expect("columns to add"));
        said.extend(statements.new_rows());
        said.push(dialect.hold(&statements.table));
        said.extend(dialect.merge(&statements, 42));
        said.iter().map(|statement| format!("{statement};\n")).collect()
    }

    #[test]
    fn what_databases_are_told_is_the_golden_sql() {
        assert_eq!(said(&Postgres), include_str!("postgres.golden.sql"));
        let dir = tempfile::tempdir().expect("a folder");
        let redshift = Redshift::new(Location::folder(dir.path()).expect("a place"), "arn:aws:iam::1:role/warehouse");
        assert_eq!(said(&redshift), include_str!("redshift.golden.sql"));
    }

    #[test]
    fn what_is_there_is_not_made_again() {
        let epochs = Postgres.epochs();
        let there = epochs.map(|(table, _)| Some(table));
        assert!(missing(&there, &epochs).is_empty());
        let made = missing(&[None], &epochs);
        assert!(made.len() == 2 && made.iter().all(|statement| statement.starts_with("CREATE TABLE")), "{made:?}");
    }

    #[test]
    fn a_column_of_another_type_is_refused() {
        let error = statements(&Postgres).missing(&[("pedidos", "text")]).expect_err("another type");
        assert!(error.to_string().contains("pedidos") && error.is_final(), "{error}");
    }
}
