//! Every kind of window and aggregate is recomputed as it was published, whichever way its rows are
//! read.

use super::*;

/// Sliding and calendar windows; aggregates that see duplicates, that do not, and both; the event
/// time itself among what they see.
const METRICS: &str = "
    CREATE MATERIALIZED VIEW soma_movel AS SELECT hop(INTERVAL '1 minute', INTERVAL '5 minutes') AS janela,
        sum(quantidade) AS unidades, count(*) AS eventos FROM eventos_clientes GROUP BY janela;
    CREATE MATERIALIZED VIEW extremos AS SELECT hop(INTERVAL '2 minutes', INTERVAL '5 minutes') AS janela, tipo_evento,
        min(preco) AS menor, max(valor_total) AS maior, count(DISTINCT id_produto) AS produtos
        FROM eventos_clientes GROUP BY janela, tipo_evento;
    CREATE MATERIALIZED VIEW ultimos AS SELECT tumble(INTERVAL '1 hour') AS janela, id_usuario, max(timestamp) AS ultimo
        FROM eventos_clientes GROUP BY janela, id_usuario;
    CREATE MATERIALIZED VIEW misto AS SELECT tumble(INTERVAL '1 hour') AS janela,
        count(DISTINCT id_usuario) AS usuarios, count(*) AS eventos FROM eventos_clientes GROUP BY janela;
    CREATE MATERIALIZED VIEW soma_por_tipo AS SELECT tumble(INTERVAL '2 hours') AS janela, tipo_evento,
        sum(valor_total) AS valor FROM eventos_clientes WHERE valor_total IS NOT NULL GROUP BY janela, tipo_evento;
    CREATE MATERIALIZED VIEW por_dia AS SELECT tumble(INTERVAL '1 day') AS janela,
        count(DISTINCT id_usuario) AS usuarios, sum(quantidade) AS unidades FROM eventos_clientes GROUP BY janela;";
const DAY_MS: i64 = 24 * 3_600_000;

#[tokio::test]
async fn every_kind_of_metric_is_recomputed_as_it_was_published() {
    let shop = Shop::with(&[("more.sql", METRICS)]);
    let rows = shop.archive(8).await;
    shop.publish(&rows).await;
    // The day's window has closed by then.
    let through_ms = LAST_MS + 2 * DAY_MS;
    let session = engine_session(EngineConfig::default()).expect("a session");
    for metric in &shop.catalog.metrics {
        let plan = MetricPlan::new(metric, shop.topic(), &shop.settings, &session).expect("planned");
        shop.table(metric, &plan).await.publish(Vec::new(), through_ms).await.expect("published");
    }
    let range = WindowRange::of_ms(FIRST_MS - DAY_MS, LAST_MS + DAY_MS);
    let store = shop.store();
    let compared = reconcile(&shop.catalog, &shop.settings, &store, &Engine::Local, range, Selection::default())
        .await
        .expect("compared");
    assert_eq!(compared.len(), 13);
    for metric in &compared {
        assert!(metric.failure.is_none() && metric.windows > 0 && metric.expected.num_rows() > 0, "{metric:?}");
        assert!(!metric.differs(), "{}: {:?}", metric.metric, metric.differences);
    }
    // One by one each reads its rows for itself, and finds the same.
    for metric in &compared {
        let only = Some(metric.metric.as_str());
        let alone = reconcile(
            &shop.catalog,
            &shop.settings,
            &store,
            &Engine::Local,
            range,
            Selection { only, ..Selection::default() },
        )
        .await;
        let alone = alone.expect("compared");
        assert_eq!((alone.len(), alone[0].windows), (1, metric.windows), "{}", metric.metric);
        assert_eq!(alone[0].expected, metric.expected, "{}", metric.metric);
    }
}
