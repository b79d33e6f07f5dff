use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use crate::{Catalog, DomainOptions, DomainSettings, Name, Names, Scope};

/// Folders, each with what its `domain.toml` says and the text of its only file.
fn load(domains: &[&str], folders: &[(&str, &str, &str)]) -> Result<Catalog, String> {
    let dir = tempfile::tempdir().expect("a folder");
    let mut dirs: Vec<PathBuf> = Vec::new();
    for (name, options, text) in folders {
        let folder = dir.path().join(name);
        fs::create_dir(&folder).expect("made");
        fs::write(folder.join("domain.toml"), options).expect("written");
        fs::write(folder.join("a.sql"), text).expect("written");
        dirs.push(folder);
    }
    let domains: Vec<String> = domains.iter().map(|domain| (*domain).to_owned()).collect();
    let settings = DomainSettings::load(&domains, &dirs, &DomainOptions::default());
    let settings = settings.map_err(|errors| errors.to_string())?;
    Catalog::load(&dirs, &settings).map_err(|errors| errors.to_string())
}

/// What the last view reads, or what is wrong with it.
fn reads(catalog: &Catalog) -> Result<Vec<String>, String> {
    let names = Names::new(catalog, []);
    let last = catalog.views.last().expect("a view");
    let needs = names.needs(&last.query, &last.source, Scope::Served);
    let needs = needs.map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?;
    let tables = needs.names.into_iter().filter_map(|name| match name {
        Name::Table(table) => Some(table),
        Name::Newest(_) | Name::Information(_) => None,
    });
    Ok(tables.collect())
}

const TOPIC: &str = "CREATE TABLE cobrancas (quando TIMESTAMP NOT NULL) WITH (connector = 'kafka', event_time = 'quando');
    CREATE MATERIALIZED VIEW por_minuto AS SELECT tumble(INTERVAL '1 minute') AS janela, count(*) AS n FROM pagamentos.cobrancas GROUP BY janela;";
const PAYMENTS: &str = "name = 'pagamentos'";
const CREDIT: &str = "name = 'credito'";

#[test]
fn a_plain_name_is_that_of_the_own_domain_then_of_the_first_then_of_the_only_one_that_has_it() {
    let text = format!(
        "{TOPIC}\nCREATE VIEW vendas AS SELECT * FROM cobrancas;
         CREATE VIEW ultima AS SELECT * FROM vendas, ecommerce.vendas AS outras, eventos_clientes, pagamentos.por_minuto;"
    );
    let own = load(&["ecommerce"], &[("p", PAYMENTS, &text)]).expect("a catalog");
    let reads = reads(&own).expect("names");
    let wanted = ["cobrancas", "eventos_clientes", "pagamentos.vendas", "por_minuto", "vendas"];
    assert_eq!(BTreeSet::from_iter(reads.iter().map(String::as_str)), BTreeSet::from(wanted));
    // Those of a single domain need no prefix elsewhere either.
    let other = [("p", PAYMENTS, TOPIC), ("o", "", "CREATE VIEW v AS SELECT * FROM cobrancas;")];
    assert_eq!(self::reads(&load(&["ecommerce"], &other).expect("a catalog")).expect("names"), ["cobrancas"]);
}

#[test]
fn a_name_of_several_other_domains_is_an_error_that_lists_them() {
    let view = "CREATE VIEW limites AS SELECT 1 AS x;";
    let folders =
        [("p", PAYMENTS, view), ("c", CREDIT, view), ("mais", "", "CREATE VIEW v AS SELECT *\nFROM limites;")];
    let error = reads(&load(&["ecommerce"], &folders).expect("a catalog")).expect_err("ambiguous");
    assert!(error.contains("a.sql:2:6: limites is a table of several domains"), "{error}");
    assert!(error.contains("write one of pagamentos.limites, credito.limites"), "{error}");
    // Each domain means its own, and the first of those in use needs no prefix.
    let own = [
        ("p", PAYMENTS, view),
        ("c", CREDIT, "CREATE VIEW limites AS SELECT 2 AS x; CREATE VIEW v AS SELECT * FROM limites;"),
    ];
    assert_eq!(reads(&load(&["ecommerce"], &own).expect("a catalog")).expect("names"), ["credito.limites"]);
    assert_eq!(
        reads(&load(&["credito", "ecommerce"], &folders).expect("a catalog")).expect("names"),
        ["credito.limites"]
    );
}

#[test]
fn what_a_domain_does_not_have_is_an_error_at_its_place() {
    let text = format!("{TOPIC}\nCREATE VIEW v AS\nSELECT * FROM pagamentos.nada;");
    let error = reads(&load(&[], &[("p", PAYMENTS, &text)]).expect("a catalog")).expect_err("no such table");
    assert!(error.contains("a.sql:4:15: there is no table pagamentos.nada"), "{error}");
    assert!(error.contains("read one of cobrancas, por_minuto, v, or declare it in pagamentos"), "{error}");
    let error =
        reads(&load(&["ecommerce"], &[("o", "", "CREATE VIEW v AS SELECT * FROM loja.vendas;")]).expect("a catalog"));
    assert!(error.as_ref().is_err_and(|error| error.contains("there is no table loja.vendas")), "{error:?}");
}

#[test]
fn what_is_stored_under_its_name_cannot_have_it_in_two_domains() {
    let metric = "CREATE MATERIALIZED VIEW vendas_por_minuto AS SELECT tumble(INTERVAL '1 minute') AS janela, count(*) AS n FROM eventos_clientes GROUP BY janela;";
    let path = "CREATE VIEW resumo WITH (path = '/vendas/resumo') AS SELECT 1 AS x;";
    for text in [metric, path] {
        let error = load(&["ecommerce"], &[("p", PAYMENTS, text)]).expect_err("taken");
        assert!(error.contains("is declared by two domains: here and at catalog/ecommerce/"), "{error}");
        // A folder without a name goes over the domains.
        load(&["ecommerce"], &[("p", "", text)]).expect("it replaces");
    }
}

#[test]
fn a_folder_s_statements_replace_those_of_its_own_domain() {
    let view = |column: &str| format!("CREATE VIEW movimentos AS SELECT 1 AS {column};");
    let (first, second) = (view("um"), view("dois"));
    let catalog = load(&["ecommerce"], &[("p", PAYMENTS, &first), ("q", PAYMENTS, &second), ("r", "", &view("tres"))]);
    let catalog = catalog.expect("a catalog");
    let text = |name: &str| catalog.views.iter().find(|view| view.name == name).expect("the view").query.to_string();
    assert!(text("pagamentos.movimentos").contains("dois") && text("movimentos").contains("tres"));
    // A folder can also be part of a built-in domain.
    let part = load(&["ecommerce"], &[("e", "name = 'ecommerce'", &first)]).expect("a catalog");
    assert!(part.views.iter().any(|view| view.name == "movimentos" && view.query.to_string().contains("um")));
}

#[test]
fn metrics_imports_and_profiles_name_tables_of_other_domains() {
    let text = "CREATE MATERIALIZED VIEW m AS SELECT tumble(INTERVAL '1 minute') AS janela, count(*) AS n FROM ecommerce.eventos_clientes AS e GROUP BY janela;
        CREATE VIEW v WITH (import = '') AS SELECT * FROM ecommerce.eventos_clientes WHERE tipo_evento = 'compra';
        CREATE VIEW w WITH (profile_for = 'ecommerce.vendas') AS SELECT \"X\" AS id_pedido FROM arquivo;";
    let catalog = load(&["ecommerce"], &[("p", PAYMENTS, text)]).expect("a catalog");
    assert_eq!(catalog.metric("m").expect("the metric").topic, "eventos_clientes");
    assert!(catalog.metrics_of("eventos_clientes").any(|metric| metric.name == "m"));
    let (topic, _) = catalog.import_target("v").expect("a target");
    assert_eq!(topic.name, "eventos_clientes");
    assert!(catalog.profiles.iter().any(|profile| profile.name == "w" && profile.table == "vendas"));
    let wrong = text.replace("ecommerce.eventos_clientes AS e", "pagamentos.eventos_clientes AS e");
    let error = load(&["ecommerce"], &[("p", PAYMENTS, &wrong)]).expect_err("not its topic");
    assert!(error.contains("metric m reads pagamentos.eventos_clientes, which is not a topic"), "{error}");
}

#[test]
fn a_domain_has_a_name_that_sql_can_write() {
    for name in ["agora", "public", "information_schema", "vitral", "Loja", "a.b", "1a", "", "são"] {
        let error = load(&[], &[("p", &format!("name = '{name}'"), TOPIC)]).expect_err(name);
        assert!(error.contains("domain.toml:1:1: name is") && error.contains("small letters"), "{name}: {error}");
    }
}

#[test]
fn the_domains_in_use_have_an_order() {
    let zone = |name: &str| format!("name = '{name}'\ntitle = '{name}'\ntime_zone = 'UTC'");
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(dir.path().join("domain.toml"), zone("pagamentos")).expect("written");
    let dirs = [dir.path().to_owned()];
    let load = |domains: &[&str], configured: DomainOptions| {
        let domains: Vec<String> = domains.iter().map(|domain| (*domain).to_owned()).collect();
        DomainSettings::load(&domains, &dirs, &configured).map_err(|errors| errors.to_string())
    };
    let alone = load(&[], DomainOptions::default()).expect("one domain");
    assert_eq!((alone.domain(), alone.title.as_str(), alone.time_zone), ("pagamentos", "pagamentos", chrono_tz::UTC));
    // Its own zone is not that of the other domain, and it does not go over it.
    let error = load(&["ecommerce"], DomainOptions::default()).expect_err("two zones");
    assert!(error.contains("time_zone is UTC, but America/Sao_Paulo"), "{error}");
    let configured = || DomainOptions { time_zone: Some("UTC".to_owned()), ..DomainOptions::default() };
    assert_eq!(load(&["ecommerce"], configured()).expect("decided").domains, ["ecommerce", "pagamentos"]);
    assert_eq!(load(&["pagamentos", "ecommerce"], configured()).expect("decided").domain(), "pagamentos");
    let error = load(&["credito"], configured()).expect_err("unknown");
    assert!(error.contains("catalog.domains names credito") && error.contains("name = \"credito\""), "{error}");
}

#[test]
fn what_replaces_a_shipped_statement_is_named() {
    let text =
        "CREATE VIEW vendas WITH (import = '') AS SELECT * FROM eventos_clientes; CREATE VIEW mine AS SELECT 1 AS n;";
    let said = |catalog: Catalog| catalog.replaced().iter().map(ToString::to_string).collect::<Vec<_>>();
    let said_of_own = said(load(&["ecommerce"], &[("own", "title = 'Own'", text)]).expect("a catalog"));
    let [one] = said_of_own.as_slice() else { panic!("{said_of_own:?}") };
    let words = "own/a.sql:1:13: the view vendas replaces the shipped one of catalog/ecommerce/views/vendas.sql";
    assert!(one.ends_with(words), "{one}");
    assert!(said(load(&["ecommerce"], &[]).expect("the built-in catalog")).is_empty());
}
