use super::*;
use crate::{DomainSettings, ReadStatement, SourceFile};

const TOPIC: &str = "CREATE TABLE eventos (quando TIMESTAMP NOT NULL) WITH (connector = 'kafka', event_time = 'quando');
    CREATE MATERIALIZED VIEW m AS SELECT tumble(INTERVAL '1 minute') AS janela, count(*) AS n FROM eventos GROUP BY janela;";

fn names(text: &str) -> (Catalog, Names) {
    let file = SourceFile { path: "a.sql".into(), text: format!("{TOPIC}\n{text}") };
    let catalog = Catalog::parse(&[vec![file]], &DomainSettings::default()).expect("a catalog");
    let names = Names::new(&catalog, ["range".to_owned()]);
    (catalog, names)
}

fn needs(text: &str, scope: Scope) -> Result<Needs, String> {
    let (catalog, names) = names(text);
    let last = catalog.views.last().expect("a view");
    let text = |errors: Vec<Diagnostic>| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    names.needs(&last.query, &last.source, scope).map_err(text)
}

fn errors(text: &str) -> String {
    names(text).1.errors().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn views_are_seen_through() {
    let found = needs(
        "CREATE VIEW a AS SELECT * FROM b; CREATE VIEW b AS SELECT n FROM m UNION ALL SELECT 1 FROM eventos;
         CREATE VIEW c AS WITH x AS (SELECT * FROM a)
            SELECT * FROM x, public.b, range(3) WHERE n IN (SELECT n FROM agora.m);",
        Scope::Served,
    )
    .expect("needs");
    assert_eq!(found.topics, BTreeSet::from(["eventos".to_owned()]));
    let place = |name: &str| found.names.iter().position(|known| *known == Name::Table(name.into())).expect("needed");
    assert_eq!(found.names.len(), 5);
    assert!(found.names.contains(&Name::Newest("m".into())));
    assert!(place("m") < place("b") && place("eventos") < place("b") && place("b") < place("a"));
}

#[test]
fn a_circle_is_one_error_wherever_it_is_entered() {
    let text =
        "CREATE VIEW a AS SELECT * FROM b;\nCREATE VIEW b AS SELECT * FROM a;\nCREATE VIEW c AS SELECT * FROM b;";
    let circle = errors(text);
    assert_eq!(circle.matches("depends on itself").count(), 1, "{circle}");
    assert!(circle.contains("a.sql:4:32: the view a depends on itself: a -> b -> a"), "{circle}");
    assert_eq!(needs(text, Scope::Served).expect_err("a circle"), circle);
}

#[test]
fn unknown_names_have_a_place_each() {
    let unknown = errors("CREATE VIEW a AS SELECT * FROM nada\nJOIN nenhum ON true;");
    assert!(unknown.contains("a.sql:3:32: there is no table nada"), "{unknown}");
    assert!(unknown.contains("a.sql:4:6: there is no table nenhum"), "{unknown}");
    let no_metric = errors("CREATE VIEW a AS SELECT * FROM agora.eventos;");
    assert!(no_metric.contains("there is no metric eventos") && no_metric.contains("read one of m,"), "{no_metric}");
    let elsewhere = errors("CREATE VIEW a AS SELECT * FROM pg_catalog.pg_class;");
    assert!(elsewhere.contains("there is no table pg_catalog.pg_class"), "{elsewhere}");
}

#[test]
fn one_name_is_one_thing_and_not_the_engine_s() {
    let namesake = errors("CREATE VIEW m AS SELECT * FROM eventos;");
    assert!(
        namesake.contains("a.sql:3:13: m is declared as two different things: here as a view, and as a metric"),
        "{namesake}"
    );
    for table in EngineTable::ALL {
        let name = table.name();
        for text in [
            format!("CREATE VIEW {name} AS SELECT * FROM eventos;"),
            format!("CREATE TABLE {name} (a TEXT) WITH (connector = 'file');"),
            format!("CREATE TABLE {name} (t TIMESTAMP NOT NULL) WITH (connector = 'kafka', event_time = 't');"),
        ] {
            let taken = errors(&text);
            assert!(
                taken.contains("a.sql:3:") && taken.contains(&format!("{name} is a table of the engine")),
                "{taken}"
            );
        }
    }
    assert!(errors("CREATE VIEW range AS SELECT * FROM eventos;").contains("range is a table function"));
}

#[test]
fn what_may_be_read_depends_on_who_reads() {
    let live = "CREATE VIEW a AS SELECT * FROM m;\nCREATE VIEW b AS SELECT * FROM a;";
    assert!(needs(live, Scope::Served).is_ok() && needs(live, Scope::Stored).is_ok());
    assert!(needs(live, Scope::History).is_ok(), "its final windows");
    let newest = "CREATE VIEW a AS SELECT * FROM agora.m;\nCREATE VIEW b AS SELECT * FROM a;";
    let refused = needs(newest, Scope::History).expect_err("a window that is open");
    assert!(refused.contains("a.sql:3:32: agora.m is a window that can still change"), "{refused}");
    let audit = "CREATE VIEW a AS SELECT * FROM auditoria;";
    assert!(needs(audit, Scope::Served).expect_err("not served").contains("`vitral query` reads it"));
    assert!(needs(audit, Scope::Stored).is_ok());
    let all = needs("CREATE VIEW a AS SELECT * FROM information_schema.tables;", Scope::Stored).expect("all");
    assert!(all.table("m") && all.table("livro") && all.topics.contains("eventos"));
    assert!(!all.rows("m") && !all.rows("livro"), "they are only listed");
    let both = "CREATE VIEW a AS SELECT * FROM m;
        CREATE VIEW b AS SELECT * FROM information_schema.tables, a, information_schema.columns;";
    let both = needs(both, Scope::Stored).expect("all");
    assert!(both.rows("a") && both.rows("m") && both.table("livro") && !both.rows("livro"));
}

#[test]
fn what_one_does_not_see_is_missing_where_the_statement_names_it() {
    let ask = |text: &str, seen: &[&str]| {
        let (catalog, names) = names(&format!("CREATE VIEW a AS SELECT 1 AS n FROM eventos; CREATE VIEW s AS {text};"));
        let last = catalog.views.last().expect("a view");
        let needs = names.needs_seen(&last.query, &last.source, Scope::Served, &|name| seen.contains(&name));
        needs.map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    };
    let through = ask("SELECT n FROM a", &["a"]).expect("what a view reads is not asked");
    assert!(through.table("eventos"));
    for (text, missing) in [
        ("SELECT n FROM a", "there is no table a\n"),
        ("SELECT n FROM nada", "there is no table nada\n"),
        ("SELECT n FROM agora.m", "there is no metric m\n"),
        ("SELECT n FROM public.a", "there is no table a\n"),
    ] {
        let error = ask(text, &["eventos"]).expect_err(text);
        assert!(error.contains(missing) && !error.contains(" a,") && !error.contains(" m,"), "{error}");
    }
    // A view that reads it has come before.
    let error = ask("SELECT a.n FROM a, eventos", &["a"]).expect_err("named");
    assert!(error.contains("there is no table eventos\n"), "{error}");
}

const JOB: &str = "CREATE TABLE por_dia WITH (connector = 'warehouse', date = 'dia', job = 'fecha') AS \
                   SELECT CAST(quando AS DATE) AS dia FROM eventos;\n";

#[test]
fn what_is_served_reads_tables_of_jobs_and_jobs_do_not() {
    let text = format!("{JOB}CREATE VIEW a AS SELECT * FROM armazem.por_dia;");
    let found = needs(&text, Scope::Served).expect("needs");
    assert_eq!(found.names[0], Name::Table("armazem.por_dia".into()));
    assert!(found.topics.is_empty());
    assert_eq!(needs(&text, Scope::Stored).expect("needs"), found);
    let refused = needs(&text, Scope::History).expect_err("a job's own table");
    assert!(refused.contains("armazem.por_dia is a table of the warehouse"), "{refused}");
    let through = format!("{JOB}CREATE VIEW b AS SELECT * FROM armazem.por_dia; CREATE VIEW a AS SELECT * FROM b;");
    let refused = needs(&through, Scope::History).expect_err("the same through a view");
    assert!(refused.contains("armazem.por_dia, which is read by b,"), "{refused}");
}

#[test]
fn a_table_of_a_job_has_one_name() {
    let plain = errors(&format!("{JOB}CREATE VIEW a AS SELECT * FROM por_dia;"));
    assert!(plain.contains("there is no table por_dia, only armazem.por_dia, which the job fecha writes"), "{plain}");
    assert!(plain.contains("read it as armazem.por_dia"), "{plain}");
    let unknown = errors(&format!("{JOB}CREATE VIEW a AS SELECT * FROM armazem.nada;"));
    assert!(unknown.contains("there is no table armazem.nada"), "{unknown}");
    assert!(unknown.contains("read one of armazem.") && unknown.contains("armazem.por_dia"), "{unknown}");
    // A table of the catalog may have the same plain name.
    let (catalog, names) = names(&format!("{JOB}CREATE VIEW por_dia AS SELECT * FROM eventos;"));
    assert_eq!((names.errors().len(), catalog.views.len()), (0, 1));
    let listed = |schema: &str| -> Vec<String> {
        names.listed(schema, Scope::Stored).into_iter().map(|(name, id)| format!("{name}={id}")).collect()
    };
    assert_eq!(listed("armazem"), ["m=armazem.m", "por_dia=armazem.por_dia"]);
    assert!(listed("public").contains(&"por_dia=por_dia".to_owned()));
}

#[test]
fn who_may_not_name_a_table_of_a_job_is_said_what_others_are_said_of_none() {
    let (catalog, names) = names(&format!("{JOB}CREATE VIEW a AS SELECT * FROM armazem.por_dia;"));
    let view = &catalog.views[0];
    let said = |name: &str| {
        let sql = view.query.to_string().replace("armazem.por_dia", name);
        let query = ReadStatement::parse(&sql, &DomainSettings::default()).expect("a statement").query;
        let errors = names.needs_seen(&query, &view.source, Scope::Stored, &|id| !id.starts_with("armazem."));
        errors.expect_err("hidden").iter().map(|error| error.message.replace(name, "X")).collect::<Vec<_>>()
    };
    assert_eq!(said("armazem.por_dia"), said("armazem.nada"));
}

#[test]
fn sums_are_of_a_table_and_of_its_topic_that_need_not_be_seen() {
    let (catalog, names) = names(
        "CREATE TABLE vendas (quando TIMESTAMP NOT NULL, produto TEXT) WITH (connector = 'kafka', event_time = 'quando');
         CREATE MATERIALIZED VIEW somadas WITH (rollup = 'produto', rollup_time = 'quando') AS
            SELECT produto, quando, count(*) AS n FROM vendas GROUP BY produto, quando;
         CREATE VIEW a AS SELECT produto, n FROM soma.somadas;
         CREATE VIEW b AS SELECT produto FROM soma.somadas UNION ALL SELECT produto FROM vendas;",
    );
    assert_eq!(names.errors(), []);
    let seen = |view: usize, only: &str| {
        let view = &catalog.views[view];
        names.needs_seen(&view.query, &view.source, Scope::Served, &|name| name == only)
    };
    let needs = seen(0, "somadas").expect("needs");
    assert_eq!(needs.topics, BTreeSet::from(["vendas".to_owned()]));
    assert_eq!(needs.names, [Name::Table("vendas".into()), Name::Table("somadas".into())]);
    for (view, only, hidden) in [(0, "vendas", "somadas"), (1, "somadas", "vendas")] {
        let errors = seen(view, only).expect_err("it is not seen");
        let errors = errors.iter().map(ToString::to_string).collect::<String>();
        assert!(errors.contains(&format!("there is no table {hidden}")), "{errors}");
    }
}
