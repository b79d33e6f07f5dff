use super::*;
use crate::{Catalog, DomainSettings, SourceFile};

fn read(sql: &str) -> Result<Profile, String> {
    let file = SourceFile { path: "p.sql".to_owned(), text: sql.to_owned() };
    let catalog = Catalog::parse(
        &[super::super::builtin_files(&[super::super::DEFAULT_DOMAIN]), vec![file]],
        &DomainSettings::default(),
    );
    let catalog = catalog.map_err(|error| error.to_string())?;
    Ok(catalog.profiles.into_iter().find(|profile| profile.name == "loja").expect("the profile"))
}

fn lower(name: &str) -> String {
    name.to_lowercase()
}

fn headings(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn headings_are_the_quoted_names_that_are_not_optional() {
    let profile = read(
        r#"CREATE VIEW loja WITH (profile_for = 'vendas', dates = 'dmy') AS
        SELECT "Pedido" AS id_pedido, coalesce(optional("SKU"), "Produto") AS id_produto, upper("Produto") AS x
        FROM arquivo WHERE "Situação" <> 'Cancelado'"#,
    );
    let profile = profile.expect("a profile");
    assert_eq!(profile.headings, ["Pedido", "Produto", "Situação"]);
    assert_eq!(
        (profile.profile.as_str(), profile.table.as_str(), profile.dates.as_deref()),
        ("loja", "vendas", Some("dmy"))
    );
}

#[test]
fn names_become_those_of_the_file() {
    let profile = read(
        r#"CREATE VIEW loja WITH (profile_for = 'vendas') AS
        SELECT "Pedido" AS id_pedido, optional("SKU") AS id_produto FROM arquivo"#,
    );
    let profile = profile.expect("a profile");
    let query = profile.over(&headings(&["PEDIDO", "Data"]), lower).expect("a query").to_string();
    assert_eq!(
        query,
        r#"SELECT "PEDIDO" AS id_pedido, CAST(NULL AS VARCHAR) AS id_produto, linha, planilha FROM arquivo"#
    );
    let query = profile.over(&headings(&["Pedido", "sku"]), lower).expect("a query").to_string();
    assert_eq!(query, r#"SELECT "Pedido" AS id_pedido, "sku" AS id_produto, linha, planilha FROM arquivo"#);
    let missing = profile.over(&headings(&["SKU"]), lower).expect_err("no order");
    assert_eq!(missing, MissingHeading("Pedido".to_owned()));
}

#[test]
fn rows_are_kept_through_subqueries() {
    let profile = read(
        r#"CREATE VIEW loja WITH (profile_for = 'vendas') AS
        WITH cheio AS (SELECT *, first_value("Data") IGNORE NULLS OVER w AS d FROM arquivo WINDOW w AS (PARTITION BY "P" ORDER BY linha))
        SELECT "P" AS id_pedido, d AS timestamp FROM (SELECT "P", d FROM cheio WHERE "P" <> '') AS t"#,
    );
    let query = profile.expect("a profile").query.to_string();
    assert_eq!(query.matches("linha, planilha").count(), 2, "{query}");
    for broken in [
        r#"SELECT "P" AS id_pedido, max("D") AS timestamp FROM arquivo GROUP BY "P""#,
        r#"SELECT DISTINCT "P" AS id_pedido FROM arquivo"#,
        r#"SELECT "P" AS id_pedido FROM produtos"#,
    ] {
        let error = read(&format!("CREATE VIEW loja WITH (profile_for = 'vendas') AS {broken}")).expect_err("no lines");
        assert!(error.contains("line"), "{error}");
    }
}

#[test]
fn a_profile_is_for_something_that_takes_files() {
    let error = read(r#"CREATE VIEW loja WITH (profile_for = 'movimentos') AS SELECT "P" AS id_pedido FROM arquivo"#);
    assert!(error.expect_err("no such table").contains("movimentos"));
    let error = read("CREATE VIEW loja WITH (profile_for = 'vendas') AS SELECT linha AS id_pedido FROM arquivo");
    assert!(error.expect_err("no headings").contains("heading"));
}
