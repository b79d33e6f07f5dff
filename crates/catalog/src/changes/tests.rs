//! Topics with a primary key: what may be said, and what cannot be made of them.

use crate::names::statement;
use crate::{Catalog, DomainSettings, KeyedView, Meaning, Merge, Names, SourceFile};
use vitral_schemas::changes::ChangeOrder;

const COLUMNS: &str = "id BIGINT, nome TEXT, saldo DECIMAL(18, 2), versao BIGINT NOT NULL, quando TIMESTAMP NOT NULL";

fn parse(text: &str) -> Result<Catalog, String> {
    let file = SourceFile { path: "t.sql".into(), text: text.to_owned() };
    Catalog::parse(&[vec![file]], &DomainSettings::default()).map_err(|errors| errors.to_string())
}

fn topic(options: &str) -> Result<Catalog, String> {
    parse(&format!("CREATE TABLE clientes ({COLUMNS})\nWITH (connector = 'kafka', {options});"))
}

fn table(catalog: &Catalog) -> &KeyedView {
    catalog.keyed_view("clientes").expect("a table of the topic's name")
}

#[test]
fn a_topic_of_debezium_is_a_table() {
    let catalog = topic("topic = 'loja.public.clientes', format = 'debezium', primary_key = 'id'").expect("a catalog");
    let changes = catalog.topics[0].changes.as_ref().expect("changes");
    let names: Vec<&str> = catalog.topics[0].columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["id", "nome", "saldo", "versao", "quando", "_instante", "_posicao", "_apagada"]);
    assert_eq!((changes.key.as_slice(), changes.order), ([0].as_slice(), ChangeOrder::Column(6)));
    assert!(catalog.topics[0].columns[0].needed && catalog.topics[0].is_never_late());
    assert_eq!(catalog.topics[0].event_time, 5);
    let table = table(&catalog);
    assert_eq!(table.keys, ["id"]);
    let columns: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(columns, ["nome", "saldo", "versao", "quando"]);
    assert!(table.columns.iter().all(|column| column.merge == Merge::Newest));
    let partial = statement(&table.partial().expect("a query")).to_string();
    for part in [
        "last_value(\"nome\" ORDER BY _ordem) FILTER (WHERE _ordem IS NOT NULL) AS \"nome\"",
        "max(_ordem) AS \"_ordem_linha\"",
        "max(_lapide) AS \"_lapide\"",
        "WHERE \"id\" IS NOT NULL GROUP BY 1, 2",
    ] {
        assert!(partial.contains(part), "{part} in {partial}");
    }
    let names = Names::new(&catalog, []);
    assert!(names.errors().is_empty(), "{:?}", names.errors());
    assert!(matches!(names.get("clientes"), Some(Meaning::Keyed { topic }) if topic == "clientes"));
    assert!(catalog.import_target("clientes").is_none());
}

#[test]
fn another_order_is_another_table() {
    let version = |options: &str| {
        let catalog = topic(options).expect(options);
        (
            catalog.topics[0].changes.as_ref().expect("changes").order,
            table(&catalog).version(&DomainSettings::default(), ""),
        )
    };
    let (offset, plain) = version("event_time = 'quando', primary_key = 'id'");
    let (column, ordered) = version("event_time = 'quando', primary_key = 'id', order = 'versao'");
    assert_eq!((offset, column), (ChangeOrder::Offset, ChangeOrder::Column(3)));
    assert_ne!(plain, ordered);
    let (offset, _) = version("format = 'debezium', primary_key = 'id', order = 'offset', times = 'micros'");
    assert_eq!(offset, ChangeOrder::Offset);
}

#[test]
fn a_new_column_is_not_another_table() {
    let settings = DomainSettings::default();
    let options = "event_time = 'quando', primary_key = 'id', order = 'versao'";
    let (before, after) = (topic(options).expect("a catalog"), COLUMNS.replace("nome TEXT", "nome TEXT, novo BIGINT"));
    let after = parse(&format!("CREATE TABLE clientes ({after}) WITH (connector = 'kafka', {options});"));
    let after = after.expect("a catalog");
    let (before, after) = (table(&before), table(&after));
    assert_eq!(before.version(&settings, "a"), after.version(&settings, "b"));
    assert_eq!(before.definition_id(&settings), after.definition_id(&settings));
    // Programs that took it for another find their way.
    assert_ne!(before.untyped_version(&settings), after.untyped_version(&settings));
    let earlier = before.earlier_definition_id(&before.definition(), &settings);
    assert!(earlier.is_some());
    assert_eq!(after.earlier_definition_id(&before.definition(), &settings), earlier);
    let other = topic("event_time = 'quando', primary_key = 'id'").expect("a catalog");
    assert_eq!(after.earlier_definition_id(&table(&other).definition(), &settings), None);
    assert_eq!(after.earlier_definition_id("CREATE MATERIALIZED VIEW x AS SELECT 1;", &settings), None);
}

#[test]
fn rows_before_a_tombstone_do_not_count_where_a_column_orders_them() {
    let partial = |options: &str| {
        let catalog = topic(options).expect(options);
        statement(&table(&catalog).partial().expect("a query")).to_string()
    };
    let ordered = partial("event_time = 'quando', primary_key = 'id', order = 'versao'");
    for part in [
        "FROM (SELECT *, max(_lapide) OVER (PARTITION BY _origem, \"id\") AS _ultima_lapide FROM \"clientes\") AS \"clientes\"",
        "FILTER (WHERE _ordem IS NOT NULL AND (_ultima_lapide IS NULL OR _lugar > _ultima_lapide)) AS \"nome\"",
    ] {
        assert!(ordered.contains(part), "{part} in {ordered}");
    }
    // Messages that are ordered by their places alone are behind it anyway; what a source's log
    // says does not begin again.
    for options in ["event_time = 'quando', primary_key = 'id'", "format = 'debezium', primary_key = 'id'"] {
        assert!(!partial(options).contains("OVER"), "{options}");
    }
}

#[test]
fn what_a_topic_with_a_primary_key_cannot_say_is_refused_with_its_place() {
    for (options, reason) in [
        ("format = 'avro', primary_key = 'id'", "'json' or 'debezium'"),
        ("format = 'debezium'", "has no primary key"),
        ("event_time = 'quando', order = 'versao'", "without a primary key"),
        ("format = 'debezium', primary_key = 'codigo'", "codigo is not a column"),
        ("format = 'debezium', primary_key = 'id, id'", "id is named twice"),
        ("format = 'debezium', primary_key = 'id', event_time = 'quando'", "leave event_time out"),
        ("format = 'debezium', primary_key = 'id', order = 'versao'", "order of the source's log"),
        ("format = 'debezium', primary_key = 'id', times = 'seconds'", "'millis', 'micros' or 'nanos'"),
        ("event_time = 'quando', primary_key = 'id', times = 'micros'", "Debezium only"),
        ("event_time = 'quando', primary_key = 'id', order = 'idade'", "idade is not a column of"),
        ("event_time = 'quando', primary_key = 'id', order = 'nome'", "neither a BIGINT nor a TIMESTAMP"),
        ("event_time = 'quando', primary_key = 'id', event_id = 'nome'", "no event_id"),
        ("event_time = 'quando', primary_key = 'id', lateness = '1 hour'", "too late"),
        ("primary_key = 'id'", "no event time"),
    ] {
        let error = topic(options).expect_err(options);
        assert!(error.contains(reason) && error.contains("remedy: "), "{options}: {error}");
        assert!(error.contains("t.sql:1:") || error.contains("t.sql:2:"), "{error}");
    }
    let error = parse(
        "CREATE TABLE t (id BIGINT, atualizado TIMESTAMP) WITH (connector = 'kafka', format = 'debezium', primary_key = 'id');",
    );
    assert!(error.expect_err("a column of ours").contains("says when a row arrived"));
    let optional = topic("event_time = 'quando', primary_key = 'id', order = 'saldo'").expect_err("a decimal");
    assert!(optional.contains("neither"), "{optional}");
}

#[test]
fn only_views_are_made_of_rows_that_change() {
    let with = |statement: &str| {
        parse(&format!(
            "CREATE TABLE clientes ({COLUMNS}) WITH (connector = 'kafka', format = 'debezium', primary_key = 'id');\n{statement}"
        ))
    };
    for statement in [
        "CREATE MATERIALIZED VIEW m AS SELECT tumble(INTERVAL '1 minute') AS janela, count(*) AS n FROM clientes GROUP BY janela;",
        "CREATE MATERIALIZED VIEW v AS SELECT nome, count(*) AS n FROM clientes GROUP BY nome;",
    ] {
        let error = with(statement).expect_err(statement);
        assert!(error.contains("one row for each key") && error.contains("t.sql:2:"), "{error}");
        assert!(error.contains("CREATE VIEW"), "{error}");
    }
    let error = with("CREATE VIEW v WITH (import = 'a=nome') AS SELECT * FROM clientes WHERE nome = 'a';");
    assert!(error.expect_err("files").contains("files cannot be imported"));
    let catalog = with("CREATE VIEW v AS SELECT nome, count(*) AS n FROM clientes GROUP BY nome;").expect("a view");
    assert!(Names::new(&catalog, []).errors().is_empty());
}
