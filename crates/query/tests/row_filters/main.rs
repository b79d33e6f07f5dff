//! What one tenant sees of a catalog that several share: as if nobody else were there.

mod grammar;
mod world;

use vitral_catalog::Endpoint;
use vitral_query::metric_rows::RowFilter;
use vitral_query::{KeyedFilter, Principal, QueryError, RowFilters, Scopes, sees_completeness};

use crate::world::{MINUTE_MS, NOW_MS, Numbers, START_MS, World, column_of, of_tenant, tenant, texts};

const STATEMENTS: usize = 1_000;
/// Of so many statements one is asked without filters too.
const CONTROLLED_EVERY: usize = 5;
/// What a tenant cannot be shown row by row, and what reads any of it.
const CLOSED: [&str; 18] = [
    "leituras",
    "produtos",
    "geral",
    "melhores",
    "trocado",
    "sessoes_de_todos",
    "ultimo",
    "com_nome",
    "parte",
    "agora_de_todos",
    "agora.geral",
    "agora.melhores",
    "livro",
    "reconciliacao",
    "alertas",
    "alertas_transicoes",
    "importacoes",
    "auditoria",
];
const OPEN: [&str; 10] = [
    "comparado",
    "eventos",
    "lojas",
    "maiores",
    "por_minuto",
    "por_usuario",
    "posicoes",
    "resumo",
    "sessoes",
    "vendas",
];

/// What an answer is compared by: the place of an error is the same for both.
fn outcome(answer: Result<Vec<String>, QueryError>) -> Result<Vec<String>, String> {
    answer.map_err(|error| match &error {
        QueryError::Engine(source) => source.find_root().strip_backtrace(),
        other => other.to_string(),
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_over_all_rows_is_the_same_statement_over_the_tenants_own() {
    let (all, own) = (World::of(None).await, World::of(Some("A")).await);
    let (tenant, everyone) = (tenant("A"), Principal::operator());
    let (mut answered, mut with_rows, mut would_leak) = (0, 0, 0);
    let mut numbers = Numbers(42);
    for number in 0..STATEMENTS {
        let sql = grammar::statement(&mut numbers);
        let expected = outcome(own.ask(&everyone, &sql).await);
        let found = outcome(all.ask(&tenant, &sql).await);
        assert_eq!(found, expected, "statement {number}: {sql}");
        answered += usize::from(found.is_ok());
        with_rows += usize::from(found.as_ref().is_ok_and(|rows| !rows.is_empty()));
        // Without filters the comparison above fails for most of them.
        if number % CONTROLLED_EVERY == 0 {
            would_leak += usize::from(outcome(all.ask(&everyone, &sql).await) != expected);
        }
    }
    assert!(answered > STATEMENTS * 9 / 10, "{answered} have an answer");
    assert!(with_rows > STATEMENTS / 3, "{with_rows} have rows");
    assert!(would_leak > STATEMENTS / CONTROLLED_EVERY / 2, "{would_leak} depend on the filters");
}

#[tokio::test]
async fn a_condition_that_fails_for_rows_of_others_tells_nothing_of_them() {
    let all = World::of(None).await;
    for sql in [
        "SELECT count(*) FROM eventos WHERE 100 / (valor - 13) > 0",
        "SELECT count(*) FROM eventos WHERE CAST(texto AS BIGINT) >= 0",
        "SELECT sum(CAST(texto AS BIGINT)) FROM eventos",
        "SELECT count(*) FROM por_minuto WHERE 1 / (CASE WHEN inquilino = 'A' THEN 1 ELSE 0 END) = 1",
        "SELECT count(*) FROM por_usuario AS a JOIN eventos AS b ON 1 / (CASE WHEN b.inquilino = 'A' THEN 1 ELSE 0 END) = 1",
    ] {
        all.ask(&tenant("A"), sql).await.expect(sql);
        all.ask(&Principal::operator(), sql).await.expect_err(sql);
    }
}

#[tokio::test]
async fn what_cannot_be_shown_row_by_row_is_not_there() {
    let all = World::of(None).await;
    let said = async |table: &str| {
        let sql = format!("SELECT * FROM {table}");
        all.ask(&tenant("A"), &sql).await.expect_err(&sql).to_string()
    };
    for table in CLOSED {
        // As of a name that nobody has declared.
        let plain = table.rsplit('.').next().expect("a name");
        let other = table.replace(plain, "nada_disso");
        assert_eq!(said(table).await, said(&other).await.replace("nada_disso", plain));
    }
    let error = said("nada_disso").await;
    assert!(CLOSED.iter().all(|name| !error.contains(&format!(" {name},"))), "{error}");
    for sql in [
        "SELECT 1 FROM vendas WHERE EXISTS (SELECT 1 FROM geral)",
        "SELECT (SELECT max(n) FROM geral) FROM vendas",
        "WITH x AS (SELECT * FROM livro) SELECT count(*) FROM x, vendas",
        "SELECT n FROM public.geral UNION ALL SELECT n FROM resumo",
        "SELECT * FROM comparado JOIN ultimo ON TRUE",
    ] {
        let error = all.ask(&tenant("A"), sql).await.expect_err(sql).to_string();
        assert!(error.contains("there is no table"), "{error}");
    }
}

#[tokio::test]
async fn lists_have_what_can_be_read() {
    let all = World::of(None).await;
    let listed = async |principal: &Principal, sql: &str| all.ask(principal, sql).await.expect(sql);
    let names = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'";
    assert_eq!(listed(&tenant("A"), names).await, OPEN);
    let newest = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'agora'";
    assert_eq!(listed(&tenant("A"), newest).await, ["por_minuto", "sessoes"]);
    let columns = "SELECT DISTINCT table_name FROM information_schema.columns WHERE table_schema = 'public'";
    assert_eq!(listed(&tenant("A"), columns).await, OPEN);
    let some = Principal::new("b", ["vendas:read", "geral:read"].into_iter().collect(), RowFilters::default());
    assert_eq!(listed(&some, names).await, ["geral", "vendas"]);
    assert!(listed(&Principal::operator(), names).await.len() > OPEN.len());
}

#[tokio::test]
async fn scopes_are_asked_for_what_a_statement_names_itself() {
    let all = World::of(None).await;
    let with = |scopes: &[&str]| Principal::new("p", scopes.iter().copied().collect(), RowFilters::default());
    let seller = with(&["vendas:read"]);
    let own = all.ask(&seller, "SELECT * FROM vendas").await.expect("its table");
    assert_eq!(own, all.ask(&Principal::operator(), "SELECT * FROM vendas").await.expect("the same"));
    for sql in [
        "SELECT * FROM eventos",
        "SELECT * FROM vendas AS v JOIN eventos AS e ON e.produto = v.produto",
        "SELECT * FROM vendas WHERE valor IN (SELECT valor FROM eventos)",
        "SELECT * FROM agora.por_minuto",
    ] {
        let error = all.ask(&seller, sql).await.expect_err(sql).to_string();
        assert!(error.contains("there is no") && !error.contains("eventos,"), "{error}");
    }
    let audit = "SELECT * FROM auditoria";
    let refused = all.ask(&with(&[Scopes::READ_ALL, "auditoria:read"]), audit).await.expect_err("not an administrator");
    assert!(refused.to_string().contains("there is no table auditoria"), "{refused}");
    assert!(all.reader.may_read(&with(&[Scopes::ADMIN]), "auditoria"));
}

#[tokio::test]
async fn an_endpoint_asks_for_its_own_scope_and_for_what_it_reads() {
    let all = World::of(None).await;
    let endpoint = |path: &str| all.catalog.endpoints.iter().find(|known| known.path == path).expect("an endpoint");
    let (summary, total) = (endpoint("/resumo"), endpoint("/total"));
    let ask = async |principal: &Principal, endpoint: &Endpoint| {
        let Endpoint { query, position, .. } = endpoint;
        let needs = all.reader.needs(query, position)?;
        all.reader.plan_endpoint(&all.point(principal), endpoint, &needs).await.map(drop)
    };
    let with = |scopes: &[&str]| of_tenant("A", scopes.iter().copied().collect());
    ask(&with(&["vendas:read"]), summary).await.expect("its scope");
    for (principal, endpoint) in [
        (with(&["resumo:read", "resumo_de_vendas:read"]), summary),
        (with(&["total_de_todos:read"]), total),
        (with(&[Scopes::ADMIN]), total),
    ] {
        let refused = ask(&principal, endpoint).await.expect_err("closed");
        assert!(matches!(&refused, QueryError::Forbidden(path) if *path == endpoint.path), "{refused}");
    }
    let all_rows = Principal::new("p", ["total_de_todos:read"].into_iter().collect(), RowFilters::default());
    ask(&all_rows, total).await.expect("without filters");
}

#[tokio::test]
async fn rows_of_paths_are_the_tenants_own() {
    let (all, own) = (World::of(None).await, World::of(Some("A")).await);
    let (tenant, everyone) = (tenant("A"), Principal::operator());
    let of = async |world: &World, principal: &Principal, name: &str| {
        let (metric, view) = (world.catalog.metric(name).expect(name), &world.view.metrics[name]);
        let rows = world.reader.metric_rows(principal, metric, view, &RowFilter::default()).await?;
        let page = RowFilter { skip: 2, count: Some(5), ..RowFilter::default() };
        let page = world.reader.metric_rows(principal, metric, view, &page).await?;
        let open = world.reader.newest_open_window(principal, metric, view, NOW_MS, Some(3)).await?.expect("open");
        let published =
            world.reader.newest_published_window(principal, metric, view, START_MS + 5 * MINUTE_MS, None).await?;
        Ok::<_, QueryError>([rows, page, open, published].map(|rows| texts(&[rows])))
    };
    for name in ["por_minuto", "sessoes"] {
        let found = of(&all, &tenant, name).await.expect(name);
        assert_eq!(found, of(&own, &everyone, name).await.expect(name));
        assert!(found.iter().all(|rows| !rows.is_empty()), "{found:?}");
    }
    for name in ["geral", "melhores", "trocado", "sessoes_de_todos"] {
        let refused = of(&all, &tenant, name).await.expect_err(name);
        assert!(matches!(&refused, QueryError::Forbidden(forbidden) if forbidden == name), "{refused}");
    }
    let keyed = async |world: &World, principal: &Principal, name: &str| {
        let view = &world.view.keyed[name];
        let page = KeyedFilter { count: Some(4), ..KeyedFilter::default() };
        let rows = world.reader.keyed_rows(principal, name, view, &page).await?;
        let newest = world.reader.newest_change(principal, name, view).await?;
        Ok::<_, QueryError>((rows, format!("{newest:?}")))
    };
    let (rows, newest) = keyed(&all, &tenant, "por_usuario").await.expect("its rows");
    assert_eq!(column_of(&rows, "inquilino"), ["A"; 4]);
    let (own_rows, own_newest) = keyed(&own, &everyone, "por_usuario").await.expect("the same");
    assert_eq!((texts(&[rows]), newest), (texts(&[own_rows]), own_newest));
    assert!(matches!(keyed(&all, &tenant, "ultimo").await, Err(QueryError::Forbidden(_))));
}

#[tokio::test]
async fn filters_are_of_texts_and_all_of_them_hold() {
    let all = World::of(None).await;
    let with = |filters: &[(&str, &[&str])]| {
        let filters = filters
            .iter()
            .map(|(column, values)| ((*column).to_owned(), values.iter().map(|value| (*value).to_owned()).collect()));
        Principal::new("p", [Scopes::READ_ALL].into_iter().collect(), filters.collect())
    };
    let count = async |principal: Principal, condition: &str| {
        let sql = format!("SELECT count(*) FROM eventos WHERE {condition}");
        let number = |rows: Vec<String>| rows[0].parse::<usize>().expect("a number");
        let found = number(all.ask(&principal, &sql).await.expect("a count"));
        (found, number(all.ask(&Principal::operator(), &sql).await.expect("a count")))
    };
    let (found, whole) = count(with(&[("valor", &["13", "34"])]), "valor IN (13, 34)").await;
    assert!(found == whole && found > 0, "numbers as texts");
    let (found, _) = count(with(&[("valor", &["013"])]), "TRUE").await;
    assert_eq!(found, 0, "a text that is not the number's");
    let (found, whole) =
        count(with(&[("inquilino", &["A", "B"]), ("produto", &["p1"])]), "inquilino IN ('A', 'B') AND produto = 'p1'")
            .await;
    assert!(found == whole && found > 0, "both columns");
    assert_eq!(count(with(&[("inquilino", &[])]), "TRUE").await.0, 0, "no value at all");
    let (found, whole) = count(with(&[("inquilino", &["a"])]), "inquilino = 'a'").await;
    assert!(found == whole && found > 0, "letters are not folded");
    assert!(!all.reader.may_read(&with(&[("inquilino", &["A"]), ("sem_coluna", &["x"])]), "eventos"));
    assert!(!all.reader.may_read(&with(&[("valor", &["34"])]), "por_minuto"), "not grouped by it");
}

#[test]
fn counts_of_all_messages_are_for_those_who_see_all_rows() {
    assert!(sees_completeness(&Principal::operator()) && !sees_completeness(&tenant("A")));
    assert!(!sees_completeness(&of_tenant("A", Scopes::all())));
}
