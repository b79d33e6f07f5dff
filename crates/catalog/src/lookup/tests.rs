//! Look-ups that are declared well, and every mistake with its place and a remedy.

use vitral_schemas::lookup::{LookupOrigin, OnFailure};

use crate::{Catalog, DomainSettings, Meaning, Names, Position, ReadStatement, Scope, SourceFile};

const TABLES: &str = "CREATE TABLE perfis (id_usuario TEXT NOT NULL, segmento TEXT, limite DECIMAL(18, 2))
WITH (connector = 'postgres', connection = 'clientes', table = 'crm.perfis', key = 'id_usuario', cache = '5 minutes',
    timeout = '200 ms', retries = 0, on_failure = 'last');
CREATE TABLE campanhas (id_anuncio BIGINT NOT NULL, campanha TEXT) WITH (connector = 'file', path = 'c.parquet', key = 'id_anuncio');
CREATE TABLE sem_chave (id TEXT, valor TEXT) WITH (connector = 'file');
";

fn parse(text: &str) -> Result<Catalog, String> {
    let file = SourceFile { path: "a.sql".into(), text: text.into() };
    Catalog::parse(&[vec![file]], &DomainSettings::default()).map_err(|errors| errors.to_string())
}

/// A topic with this column, behind the tables.
fn topic(column: &str) -> String {
    format!(
        "{TABLES}CREATE TABLE e (
id_usuario TEXT, id_anuncio BIGINT, quando TIMESTAMP NOT NULL,
{column}
) WITH (connector = 'kafka', event_time = 'quando');"
    )
}

fn looked_up(data_type: &str, lookup: &str) -> String {
    topic(&format!("x {data_type} GENERATED ALWAYS AS ({lookup}) STORED"))
}

#[track_caller]
fn refused(text: &str, place: &str, words: &[&str]) {
    let error = parse(text).expect_err(place);
    assert!(error.contains(&format!("a.sql:{place}")), "{error}");
    for word in words {
        assert!(error.contains(word), "{word}: {error}");
    }
    assert!(error.contains("remedy: "), "{error}");
}

#[test]
fn tables_and_columns_are_read() {
    let catalog = parse(&looked_up("DECIMAL(18, 2)", "lookup('perfis', id_usuario, 'limite')")).expect("a catalog");
    let column = catalog.topics[0].columns.last().expect("the column");
    let lookup = column.lookup.as_ref().expect("looked up");
    assert_eq!(
        (lookup.table.as_str(), lookup.key.as_str(), lookup.column.as_str()),
        ("perfis", "id_usuario", "limite")
    );
    let tables: Vec<_> = catalog.lookup_tables().collect();
    assert_eq!(tables.len(), 1, "only what is used");
    let table = tables[0];
    assert_eq!((table.key.as_str(), table.cache_ms, table.timeout_ms, table.retries), ("id_usuario", 300_000, 200, 0));
    assert_eq!(table.on_failure, OnFailure::Last);
    assert_eq!(table.connection().expect("one").name, "clientes");
    assert_eq!(catalog.references.len(), 3);
}

#[test]
fn a_collection_is_named_like_its_table_and_keyed_like_it_unless_it_says_otherwise() {
    let perfis = |options: &str| {
        let with = format!("(connector = 'mongodb', connection = 'clientes', key = 'id_usuario'{options})");
        parse(&format!("CREATE TABLE perfis (id_usuario TEXT NOT NULL, segmento TEXT) WITH {with};"))
    };
    let origin = |options: &str| {
        let catalog = perfis(options).expect("a catalog");
        match &catalog.references[0].lookup.as_ref().expect("a look-up table").origin {
            LookupOrigin::MongoDb { connection, collection, key_field } => {
                (connection.name.clone(), collection.clone(), key_field.clone())
            }
            other => panic!("{other:?}"),
        }
    };
    let is = |name: &str, collection: &str, field: &str| (name.to_owned(), collection.to_owned(), field.to_owned());
    assert_eq!(origin(""), is("clientes", "perfis", "id_usuario"));
    assert_eq!(
        origin(", collection = 'crm.perfis', key_field = '_id', cache = '5 minutes'"),
        is("clientes", "crm.perfis", "_id")
    );
    let error = perfis(", key_field = 'a.b'").expect_err("a path");
    assert!(error.contains("key_field = 'a.b' is not the name of a field"), "{error}");
    let error = perfis(", table = 'perfis'").expect_err("it has none");
    assert!(error.contains("option table is not known here"), "{error}");
}

#[test]
fn what_a_look_up_names_must_be_there_and_of_its_type() {
    refused(
        &looked_up("TEXT", "lookup('perfil', id_usuario, 'segmento')"),
        "8:",
        &["no look-up table perfil", "perfis, campanhas"],
    );
    refused(&looked_up("TEXT", "lookup('sem_chave', id_usuario, 'valor')"), "8:", &["without a key", "key = '...'"]);
    refused(&looked_up("TEXT", "lookup('perfis', id_usuario, 'cidade')"), "8:", &["no column cidade", "segmento"]);
    refused(&looked_up("TEXT", "lookup('perfis', usuario, 'segmento')"), "8:", &["no column usuario", "id_usuario"]);
    refused(&looked_up("BIGINT", "lookup('perfis', id_usuario, 'segmento')"), "8:", &["BIGINT", "segmento is TEXT"]);
    refused(
        &looked_up("TEXT", "lookup('campanhas', id_usuario, 'campanha')"),
        "8:",
        &["key id_usuario is TEXT", "BIGINT"],
    );
    refused(&looked_up("TEXT", "upper(id_usuario)"), "8:", &["upper", "lookup('table', key, 'column')"]);
    refused(&looked_up("TEXT", "lookup('perfis', id_usuario)"), "8:", &["a table, a key and a column"]);
    refused(&topic("x TEXT GENERATED ALWAYS AS (lookup('perfis', id_usuario, 'segmento'))"), "8:", &["stored"]);
}

#[test]
fn a_look_up_never_decides_about_a_row() {
    let column =
        |rules: &str| format!("x TEXT GENERATED ALWAYS AS (lookup('perfis', id_usuario, 'segmento')) STORED{rules}");
    refused(&topic(&column(" NOT NULL")), "8:", &["NOT NULL", "never decides"]);
    refused(&topic(&column(" CHECK (x <> '')")), "8:", &["CHECK"]);
    refused(&topic(&column(",\ny TEXT CHECK (y <> x)")), "9:", &["CHECK of y uses x"]);
    refused(&topic(&column(",\ny TEXT DEFAULT (upper(x))")), "9:", &["DEFAULT of y uses x"]);
    let id = topic(&column("")).replace("event_time = 'quando'", "event_time = 'quando', event_id = 'x'");
    refused(&id, "9:", &["event_id = 'x'", "looked up"]);
    let time = topic("x TIMESTAMP GENERATED ALWAYS AS (lookup('perfis', id_usuario, 'segmento')) STORED");
    refused(&time.replace("event_time = 'quando'", "event_time = 'x'"), "9:", &["event_time = 'x'", "looked up"]);
}

#[test]
fn look_ups_do_not_build_on_each_other() {
    let chain = topic(
        "x TEXT GENERATED ALWAYS AS (lookup('perfis', id_usuario, 'segmento')) STORED,
y TEXT GENERATED ALWAYS AS (lookup('perfis', x, 'segmento')) STORED",
    );
    refused(&chain, "9:", &["key x is looked up itself"]);
    let table = "CREATE TABLE a (id TEXT, x TEXT GENERATED ALWAYS AS (lookup('a', id, 'x')) STORED)
WITH (connector = 'postgres', connection = 'c', key = 'id')";
    refused(table, "1:", &["cannot have columns that are looked up themselves"]);
}

#[test]
fn tables_say_where_and_by_what() {
    let table = |options: &str| format!("CREATE TABLE a (id TEXT, x DECIMAL(5, 2))\nWITH ({options})");
    refused(&table("connector = 'postgres', connection = 'c'"), "1:", &["has no key"]);
    refused(&table("connector = 'postgres', connection = 'c', key = 'x'"), "2:", &["not a TEXT or BIGINT column"]);
    refused(&table("connector = 'postgres', key = 'id'"), "1:", &["connection = 'NAME'"]);
    refused(&table("connector = 'http', connection = 'c', key = 'id'"), "1:", &["has no path"]);
    for path in ["perfis", "//example.com/x", "/x?y=1"] {
        refused(&table(&format!("connector = 'http', connection = 'c', key = 'id', path = '{path}'")), "2:", &[path]);
    }
    let common = "connector = 'postgres', connection = 'c', key = 'id'";
    refused(&table(&format!("{common}, on_failure = 'stop'")), "2:", &["'null' or 'last'"]);
    refused(&table(&format!("{common}, timeout = '1 hour'")), "2:", &["timeout", "60 seconds"]);
    refused(&table(&format!("{common}, retries = 100")), "2:", &["retries"]);
    refused(&table("connector = 'file', key = 'id', timeout = '1 second'"), "2:", &["timeout is not known here"]);
    refused(&table("connector = 'redis', key = 'id'"), "2:", &["'postgres'", "'http'"]);
    let join = topic("x TEXT")
        + "CREATE MATERIALIZED VIEW m AS SELECT tumble(INTERVAL '1 minute') AS janela, count(*) AS n
FROM e JOIN campanhas c ON c.id_anuncio = e.id_anuncio GROUP BY janela";
    refused(&join, "10:", &["a metric cannot join", "lookup('table', key, 'column')"]);
}

#[test]
fn whole_tables_are_read_by_jobs_and_queries_alone_and_those_found_by_key_by_nobody() {
    let text = "CREATE TABLE sql (id TEXT NOT NULL) WITH (connector = 'postgres', connection = 'c', key = 'id');
CREATE TABLE documentos (id TEXT NOT NULL) WITH (connector = 'mongodb', connection = 'c', key = 'id');
CREATE TABLE servico (id TEXT NOT NULL) WITH (connector = 'http', connection = 'c', path = '/x/{key}', key = 'id');";
    let catalog = parse(text).expect("a catalog");
    let names = Names::new(&catalog, []);
    let settings = DomainSettings::default();
    let refusal = |table: &str, scope: Scope| {
        let statement = ReadStatement::parse(&format!("SELECT * FROM {table}"), &settings).expect("a query");
        let needs = names.needs(&statement.query, &Position::file("q.sql"), scope);
        needs.err().map(|errors| errors.iter().map(ToString::to_string).collect::<String>())
    };
    for table in ["sql", "documentos"] {
        assert!(matches!(names.get(table), Some(Meaning::Lookup { is_whole: true })));
        assert_eq!(refusal(table, Scope::History), None);
        assert_eq!(refusal(table, Scope::Stored), None);
        let served = refusal(table, Scope::Served).expect("refused");
        assert!(served.contains("nothing that is served") && served.contains("remedy: read the topic's"), "{served}");
    }
    for scope in [Scope::History, Scope::Stored, Scope::Served] {
        let by_key = refusal("servico", scope).expect("refused");
        assert!(by_key.contains("found only by key") && by_key.contains("remedy: "), "{by_key}");
    }
}
