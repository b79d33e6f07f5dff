//! Jobs and checks of several domains: each means its own tables by plain names.

use std::fs;

use vitral_batch::planning;
use vitral_catalog::{Catalog, DomainOptions, DomainSettings};

/// What is wrong with the jobs and checks of a further domain.
async fn errors(text: &str) -> Vec<String> {
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(dir.path().join("domain.toml"), "name = 'pagamentos'").expect("written");
    fs::write(dir.path().join("a.sql"), text).expect("written");
    let (domains, dirs) = (["ecommerce".to_owned()], [dir.path().to_owned()]);
    let settings = DomainSettings::load(&domains, &dirs, &DomainOptions::default()).expect("settings");
    let catalog = Catalog::load(&dirs, &settings).expect("a catalog");
    let errors = planning::errors(&catalog, &settings).await.expect("looked at");
    errors.iter().map(ToString::to_string).collect()
}

const OWN: &str = "CREATE VIEW vendas AS SELECT id_pedido AS pedido, data AS dia FROM ecommerce.vendas;";

#[tokio::test]
async fn a_job_s_plain_names_are_those_of_its_domain() {
    let job = "CREATE TABLE por_dia WITH (connector = 'warehouse', date = 'dia') AS
        SELECT v.dia, count(*) AS n FROM vendas AS v JOIN ecommerce.vendas AS e ON e.id_pedido = v.pedido GROUP BY v.dia;";
    assert_eq!(errors(&format!("{OWN}\n{job}")).await, Vec::<String>::new());
    let check = "CREATE VIEW sem_pedido WITH (check = 'x') AS SELECT pedido FROM pagamentos.vendas WHERE dia >= $de AND dia < $ate;";
    assert_eq!(errors(&format!("{OWN}\n{check}")).await, Vec::<String>::new());
}

#[tokio::test]
async fn what_only_the_other_domain_has_is_not_there() {
    let job = |columns: &str, table: &str| {
        format!("{OWN}\nCREATE TABLE a WITH (connector = 'warehouse', date = 'dia') AS SELECT {columns} FROM {table};")
    };
    let found = errors(&job("dia, id_pedido", "vendas")).await;
    assert!(found.len() == 1 && found[0].contains("id_pedido"), "{found:?}");
    let found = errors(&job("dia", "pagamentos.produtos")).await;
    assert!(found.len() == 1 && found[0].contains("there is no table pagamentos.produtos"), "{found:?}");
    let found = errors(&job("dia", "ecommerce.vendas")).await;
    assert!(found.len() == 1 && found[0].contains("dia"), "{found:?}");
}
