//! The catalog's endpoints: exact rankings, filters, completeness, and what further catalogs add.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, Int64Array, RecordBatch, StringArray, StringViewArray, new_null_array};
use vitral_panes::view::View;
use vitral_schemas::event_time::Watermark;
use vitral_store::Histories;

use crate::world::{
    Event, SALE, World, archived, catalog, completeness, events, ms, table, times, topic_view, view_of, views,
    windows_view,
};

/// Committed sales, one duplicate among them that must not count, and sales that are not committed
/// yet.
fn shop() -> View {
    let catalog = catalog(None);
    let topic = catalog.topic("eventos_clientes").expect("the topic");
    let committed = [
        SALE,
        Event { order: None, quantity: Some(2), price: Some(1250), ..SALE },
        Event { product: Some("p2"), order: Some("o1"), quantity: Some(3), total: Some(99), ..SALE },
        Event { product: Some("p3"), order: Some("o9"), currency: "USD", ..SALE },
        Event { kind: "clique", ..SALE },
    ];
    let duplicate = [Event { quantity: Some(1000), ..SALE }];
    let pending = [
        Event {
            product: Some("p2"),
            order: Some("o2"),
            time: "2025-05-14T22:29:00Z",
            price: None,
            region: Some("Norte"),
            category: None,
            ..SALE
        },
        Event { product: Some("p4"), order: Some("o3"), quantity: Some(3), price: Some(5), ..SALE },
    ];
    let archive = vec![archived(topic, &committed, "contada"), archived(topic, &duplicate, "duplicada")];
    view_of(topic_view(archive, vec![events(topic, &pending)]), Default::default())
}

#[tokio::test]
async fn sales_summary() {
    let world = World::new(shop());
    let expected = concat!(
        r#"[{"id_produto":"p2","nome":null,"total_vendido":4,"receita":0.99,"pedidos":2},"#,
        r#"{"id_produto":"p1","nome":null,"total_vendido":3,"receita":35.00,"pedidos":2},"#,
        r#"{"id_produto":"p4","nome":null,"total_vendido":3,"receita":0.15,"pedidos":1}]"#
    );
    assert_eq!(world.body("/vendas/resumo").await, expected);
}

#[tokio::test]
async fn imported_sales_count_along_with_the_streams() {
    let world = World::new(shop());
    let catalog = catalog(None);
    let topic = catalog.topic("eventos_clientes").expect("the topic");
    let accepted =
        archived(topic, &[Event { product: Some("p4"), quantity: Some(2), price: Some(1000), ..SALE }], "contada");
    let refused = archived(topic, &[Event { quantity: Some(1000), ..SALE }], "recusada");
    let history = table(accepted.schema(), vec![accepted, refused]);
    world.histories.send_replace(std::sync::Arc::new([(topic.name.clone(), history)].into()));
    let answer = world.body("/produtos/mais_vendidos?limite=1").await;
    assert_eq!(answer, r#"[{"posicao":1,"id_produto":"p4","nome":null,"total_vendido":5,"receita":20.15}]"#);
}

#[tokio::test]
async fn sales_are_not_answered_before_what_was_imported_is_read() {
    let world = World::new(shop());
    world.histories.send_replace(Arc::new(Histories::unread(["eventos_clientes".to_owned()])));
    for path in ["/vendas/resumo", "/livro"] {
        let answer = world.get(path).await;
        assert_eq!(answer.status, 503, "{path}: {}", answer.body);
        assert!(answer.body.contains(r#""code":"starting""#), "{path}: {}", answer.body);
    }
    let answer = world.get("/readyz").await;
    assert_eq!(answer.status, 503);
    assert!(answer.body.contains(r#""assunto":"eventos_clientes","codigo":"starting""#), "{}", answer.body);
    // Metrics have nothing of it.
    assert_eq!(world.get("/metricas/produtos_mais_vistos").await.status, 200);

    // One topic's damaged folder takes nobody else's numbers away.
    world.histories.send_modify(|histories| {
        assert!(Arc::make_mut(histories).failed("eventos_clientes", "no such file"));
    });
    for path in ["/vendas/resumo?limite=6", "/livro?limite=6"] {
        let answer = world.get(path).await;
        assert_eq!(answer.status, 503, "{path}: {}", answer.body);
        assert!(answer.body.contains(r#""code":"imports_unreadable""#), "{path}: {}", answer.body);
        assert!(answer.body.contains("no such file"), "{path}: {}", answer.body);
    }
    let answer = world.get("/readyz").await;
    assert_eq!(answer.status, 200);
    assert!(answer.body.contains(r#""codigo":"imports_unreadable""#), "{}", answer.body);
    world.histories.send_replace(Arc::default());
    for path in ["/readyz", "/vendas/resumo?limite=5", "/livro?limite=5"] {
        assert_eq!(world.get(path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn best_sellers() {
    let world = World::new(shop());
    let expected = concat!(
        r#"[{"posicao":1,"id_produto":"p2","nome":null,"total_vendido":4,"receita":0.99},"#,
        r#"{"posicao":2,"id_produto":"p1","nome":null,"total_vendido":3,"receita":35.00}]"#
    );
    assert_eq!(world.body("/produtos/mais_vendidos?limite=2").await, expected);
}

#[tokio::test]
async fn sales_filters() {
    let world = World::new(shop());
    let p2 = |total: i64, revenue: &str, orders: i64| {
        format!(r#"[{{"id_produto":"p2","nome":null,"total_vendido":{total},"receita":{revenue},"pedidos":{orders}}}]"#)
    };
    assert_eq!(world.body("/vendas/resumo?regiao=Norte").await, p2(1, "0.00", 1));
    assert_eq!(world.body("/vendas/resumo?de=2025-05-14T19:29:00-03:00").await, p2(1, "0.00", 1));
    assert_eq!(world.body("/vendas/resumo?de=2025-05-14T22:29:00.001Z").await, "[]");
    assert_eq!(world.body("/vendas/resumo?ate=2025-05-14T22:16:00Z").await, "[]");
    assert_eq!(
        world.json("/vendas/resumo?ate=2025-05-14T22:16:01Z&categoria=livros").await.as_array().map(Vec::len),
        Some(3)
    );
    let dollars = r#"[{"id_produto":"p3","nome":null,"total_vendido":1,"receita":10.00,"pedidos":1}]"#;
    assert_eq!(world.body("/vendas/resumo?moeda=USD").await, dollars);
    let own = world.body("/vendas/resumo").await;
    assert_eq!(world.body("/vendas/resumo?moeda=").await, own, "left empty, it is the shop's own");
    assert_eq!(world.body("/vendas/resumo?moeda=usd").await, dollars);
    assert_eq!(world.body("/vendas/resumo?regiao=%27%20OR%201%3D1").await, "[]");
}

#[tokio::test]
async fn most_viewed_of_the_newest_window_that_has_begun() {
    let older = views("2025-05-14T22:29:00Z", &[("old", 9)]);
    let newest = views("2025-05-14T22:30:00Z", &[("p2", 3), ("p1", 2), ("p3", 2), ("p4", 1), ("p5", 1), ("p6", 1)]);
    let future = views("2025-05-14T22:31:00Z", &[("fast clock", 1)]);
    let world = World::new(windows_view(vec![older], vec![newest, future]));
    let body = world.body("/produtos/mais_vistos").await;
    assert!(body.starts_with(r#"[{"posicao":1,"id_produto":"p2","nome":null,"visualizacoes":3},{"posicao":2,"id_produto":"p1","nome":null,"visualizacoes":2},{"posicao":3,"id_produto":"p3""#), "{body}");
    assert_eq!(world.json("/produtos/mais_vistos").await.as_array().map(Vec::len), Some(5));
    world.clock.set_ms(ms("2025-05-14T22:31:00Z"));
    assert_eq!(
        world.body("/produtos/mais_vistos").await,
        r#"[{"posicao":1,"id_produto":"fast clock","nome":null,"visualizacoes":1}]"#
    );
    world.clock.set_ms(ms("2025-05-14T22:29:59Z"));
    assert_eq!(
        world.body("/produtos/mais_vistos").await,
        r#"[{"posicao":1,"id_produto":"old","nome":null,"visualizacoes":9}]"#
    );
}

#[tokio::test]
async fn the_ledger_holds_what_did_not_count() {
    let world = World::new(shop());
    let duplicate = concat!(
        r#"[{"topico":"eventos_clientes","particao":0,"deslocamento":0,"deslocamento_fim":null,"veredito":"duplicada","#,
        r#""motivo":null,"chegada":"1970-01-01T00:00:00Z","conteudo":null,"tamanho":null,"#,
        r#""arquivo":null,"planilha":null,"linha":null,"detalhe":null}]"#
    );
    assert_eq!(world.body("/livro").await, duplicate);
    let exact = "/livro?veredito=duplicada&topico=eventos_clientes&particao=0&deslocamento=0";
    assert_eq!(world.body(exact).await, duplicate);
    for query in ["motivo=json", "de=1970-01-01T00:00:01Z", "deslocamento=1", "veredito=vazia"] {
        assert_eq!(world.body(&format!("/livro?{query}")).await, "[]", "{query}");
    }
    assert_eq!(world.get("/livro").await.header("vitral-read"), Some("20"));
}

#[tokio::test]
async fn long_contents_are_cut_and_whole_by_their_offset() {
    let catalog = catalog(None);
    let topic = catalog.topic("eventos_clientes").expect("the topic");
    let refused = archived(topic, &[SALE], "recusada");
    let mut columns = refused.columns().to_vec();
    columns[7] = Arc::new(BinaryArray::from_iter_values([vec![0_u8; 100_000]]));
    let refused = RecordBatch::try_new(refused.schema(), columns).expect("rows");
    let world = World::new(view_of(topic_view(vec![refused], Vec::new()), Default::default()));
    let content = async |path: &str| {
        let row = world.json(path).await[0].clone();
        (row["conteudo"].as_str().map(str::len), row["tamanho"].as_i64())
    };
    assert_eq!(content("/livro").await, (Some(4096), Some(100_000)));
    let exact = "/livro?topico=eventos_clientes&particao=0&deslocamento=0";
    assert_eq!(content(exact).await, (Some(100_000), Some(100_000)));
    assert!(world.json(exact).await[0]["detalhe"].is_string(), "why it was refused is said of one of any length");
}

#[tokio::test]
async fn the_ledger_says_which_check_refused_a_message() {
    let catalog = catalog(None);
    let topic = catalog.topic("eventos_clientes").expect("the topic");
    let refused = archived(topic, &[SALE], "recusada");
    let mut columns = refused.columns().to_vec();
    let place = |name: &str| refused.schema().index_of(name).expect("a column");
    columns[place("_motivo")] = Arc::new(StringViewArray::from(vec!["valor"]));
    let payload = r#"{"id_usuario":"u","tipo_evento":"compra","timestamp":"2025-05-14T22:16:00Z","quantidade":0}"#;
    columns[place("_conteudo")] = Arc::new(BinaryArray::from_iter_values([payload]));
    let refused = RecordBatch::try_new(refused.schema(), columns).expect("rows");
    let world = World::new(view_of(topic_view(vec![refused], Vec::new()), Default::default()));
    let row = world.json("/livro?motivo=valor").await[0].clone();
    assert_eq!(row["detalhe"], "quantidade: quantidade BETWEEN 1 AND 1000000000 does not hold for 0", "{row}");
}

#[tokio::test]
async fn the_ledger_holds_refused_rows_of_files() {
    let world = World::new(shop());
    let catalog = catalog(None);
    let topic = catalog.topic("eventos_clientes").expect("the topic");
    let verdicts = ["recusada", "contada", "desfeita"];
    let schema = topic.history_schema();
    let columns = schema.fields().iter().map(|field| -> ArrayRef {
        let same = |text: &str| Arc::new(StringArray::from(vec![text; verdicts.len()]));
        match field.name().as_str() {
            "_sequencia" | "_linha" => Arc::new(Int64Array::from(vec![7; verdicts.len()])),
            "_importacao" => same("i"),
            "_arquivo" => same("maio.csv"),
            "_chegada" => times(verdicts.iter().map(|_| 1_000)),
            "_veredito" => Arc::new(StringArray::from(verdicts.to_vec())),
            "_motivo" => same("tempo"),
            "_detalhe" => same("32/01/2026 is not a date"),
            "_conteudo" => same("{\"data\":\"32/01/2026\"}"),
            _ => new_null_array(field.data_type(), verdicts.len()),
        }
    });
    let rows = RecordBatch::try_new(schema.clone(), columns.collect()).expect("rows");
    let history = table(schema, vec![rows]);
    world.histories.send_replace(Arc::new([(topic.name.clone(), history)].into()));
    let expected = concat!(
        r#"[{"topico":"eventos_clientes","particao":null,"deslocamento":null,"deslocamento_fim":null,"veredito":"recusada","#,
        r#""motivo":"tempo","chegada":"1970-01-01T00:00:01Z","conteudo":"{\"data\":\"32/01/2026\"}","tamanho":21,"#,
        r#""arquivo":"maio.csv","planilha":null,"linha":7,"detalhe":"32/01/2026 is not a date"}]"#
    );
    assert_eq!(world.body("/livro?arquivo=maio.csv").await, expected);
    assert_eq!(world.json("/livro").await.as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn completeness_in_headers() {
    let world = World::new(shop());
    for path in ["/vendas/resumo", "/produtos/mais_vendidos", "/produtos/mais_vistos"] {
        let answer = world.get(path).await;
        let expected = [
            ("vitral-watermark", "2025-05-14T22:30:05.500Z"),
            ("vitral-read", "20"),
            ("vitral-counted", "15"),
            ("vitral-duplicate", "2"),
            ("vitral-late", "1"),
            ("vitral-refused", "2"),
            ("vitral-skipped", "4"),
            ("vitral-idle-partitions", "1, 3"),
            ("content-type", "application/json"),
            ("cache-control", "private, no-cache"),
        ];
        for (name, value) in expected {
            assert_eq!(answer.header(name), Some(value), "{path}");
        }
    }
    let mut view = shop();
    let topic = view.topics.get_mut("eventos_clientes").expect("the topic");
    topic.completeness =
        vitral_panes::view::Completeness { watermark: None, idle_partitions: Vec::new(), ..completeness() };
    world.show(view);
    let answer = world.get("/vendas/resumo").await;
    assert_eq!(answer.header("vitral-watermark"), None);
    assert_eq!(answer.header("vitral-idle-partitions"), Some(""));
}

#[tokio::test]
async fn a_further_catalog_adds_views_and_endpoints() {
    let dir = tempfile::tempdir().expect("a folder");
    let sql = "
        CREATE VIEW por_nome AS SELECT coalesce(p.nome, v.id_produto) AS nome, quantidade, valor, data
            FROM vendas_sul v LEFT JOIN produtos p ON p.id_produto = v.id_produto;
        CREATE VIEW vendas_sul AS SELECT * FROM vendas WHERE regiao = 'Sul';
        CREATE VIEW nomes WITH (path = '/vendas/nomes', limite = 7) AS
            SELECT nome, data, sum(quantidade) AS unidades, divide_half_up(sum(valor), sum(quantidade)) AS media,
                max($canal) AS canal, min($agora) AS agora
            FROM por_nome GROUP BY nome, data ORDER BY nome DESC LIMIT $limite;";
    std::fs::write(dir.path().join("nomes.sql"), sql).expect("written");
    let world = World::with(shop(), catalog(Some(dir.path())), |_| {});
    let expected = concat!(
        r#"[{"nome":"p4","data":"2025-05-14","unidades":3,"media":0.05,"canal":"app","agora":"2025-05-14T22:30:30Z"},"#,
        r#"{"nome":"p3","data":"2025-05-14","unidades":1,"media":10.00,"canal":"app","agora":"2025-05-14T22:30:30Z"}]"#
    );
    assert_eq!(world.body("/vendas/nomes?limite=2&canal=app").await, expected);
    std::fs::write(world.files.path().join("produtos.csv"), "id_produto,nome,categoria\np4,\"zebra \"\"Z\"\"\",x\n")
        .expect("written");
    let body = world.body("/vendas/nomes?limite=1").await;
    assert!(
        body.starts_with(r#"[{"nome":"zebra \"Z\"","data":"2025-05-14","unidades":3,"media":0.05,"canal":null,"#),
        "{body}"
    );
}

#[tokio::test]
async fn the_committed_watermark_is_a_value_in_views() {
    let dir = tempfile::tempdir().expect("a folder");
    let sql = "
        CREATE VIEW assentadas AS SELECT * FROM vendas WHERE timestamp < marca_dagua() - INTERVAL '30 minutes';
        CREATE VIEW ate WITH (path = '/assentadas') AS
            SELECT count(*) AS n, max(marca_dagua()) AS ate, max(marca_dagua()) IS NULL AS indefinida FROM assentadas;
        CREATE VIEW janelas WITH (path = '/janelas') AS
            SELECT count(*) AS n FROM produtos_mais_vistos WHERE janela_fim <= marca_dagua();";
    std::fs::write(dir.path().join("x.sql"), sql).expect("written");
    let at = |time: Option<&str>| {
        let mut view = shop();
        let committed = time.map(|time| ("eventos_clientes".to_owned(), Watermark::from_ms(ms(time))));
        view.committed_watermarks.extend(committed);
        view
    };
    let world = World::with(at(Some("2025-05-14T23:00:00Z")), catalog(Some(dir.path())), |_| {});
    let body = world.body("/assentadas").await;
    assert!(body.contains(r#""ate":"2025-05-14T23:00:00Z","indefinida":false"#), "{body}");
    // The same tables with a later watermark are not answered from what is kept.
    world.show(at(Some("2025-05-15T01:00:00Z")));
    let later = world.body("/assentadas").await;
    assert!(later.contains(r#""ate":"2025-05-15T01:00:00Z""#), "{later}");
    world.show(at(None));
    assert_eq!(world.body("/assentadas").await, r#"[{"n":0,"ate":null,"indefinida":true}]"#);
    assert_eq!(world.body("/janelas").await, r#"[{"n":0}]"#);
}

#[tokio::test]
async fn the_newest_window_of_a_metric_as_a_table() {
    let dir = tempfile::tempdir().expect("a folder");
    let sql = "CREATE VIEW x WITH (path = '/agora') AS
        SELECT id_produto, visualizacoes, provisoria FROM agora.produtos_mais_vistos ORDER BY id_produto;";
    std::fs::write(dir.path().join("x.sql"), sql).expect("written");
    let published =
        || vec![views("2025-05-14T20:00:00Z", &[("p1", 4), ("p2", 4)]), views("2025-05-14T19:00:00Z", &[("p3", 1)])];
    let future = || views("2025-05-14T23:00:00Z", &[("future", 1)]);
    let newest = views("2025-05-14T22:30:00Z", &[("p7", 2)]);
    let world = World::with(windows_view(published(), vec![newest, future()]), catalog(Some(dir.path())), |_| {});
    assert_eq!(world.body("/agora").await, r#"[{"id_produto":"p7","nome":null,"visualizacoes":2,"provisoria":true}]"#);
    assert_eq!(world.get("/agora").await.header("vitral-read"), Some("20"));
    world.show(windows_view(published(), vec![future()]));
    let expected = concat!(
        r#"[{"id_produto":"p1","nome":null,"visualizacoes":4,"provisoria":false},"#,
        r#"{"id_produto":"p2","nome":null,"visualizacoes":4,"provisoria":false}]"#
    );
    assert_eq!(world.body("/agora").await, expected);
    world.show(windows_view(Vec::new(), Vec::new()));
    assert_eq!(world.body("/agora").await, "[]");
}
