//! What is live in the warehouse: final windows, tables that are kept up to date, events; and what
//! is known of customers from all of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, cast, ident, lit};
use vitral_batch::jobs::{JobReport, Wanted};
use vitral_batch::reconcile::bring_up_to_date;
use vitral_connect_postgres::{DatabaseConfig, DatabaseUrl, PostgresWarehouse};
use vitral_engine::{EngineConfig, engine_session};
use vitral_panes::plan::MetricPlan;
use vitral_panes::state::{MetricPanes, pane_column};
use vitral_schemas::event_time::Watermark;
use vitral_schemas::position::{Offset, PartitionId};
use vitral_schemas::topic::{Topic, archive_columns};
use vitral_store::warehouse::{Days, DeltaWarehouse, Warehouse, WarehouseTable};
use vitral_store::{Advance, Archive, ArchiveCommit, MetricTable, read_session};

use crate::world::{World, day, show};

/// User, event, product, order, time of 2025-05 in UTC, amount, quantity.
const EVENTS: &str = "
    ('u1', 'visualizacao', 'p1', NULL, '14T12:00:00', NULL, NULL),
    ('u1', 'adicao_carrinho', 'p2', NULL, '14T12:01:00', '5.00', 1),
    ('u1', 'remocao_carrinho', 'p2', NULL, '14T12:02:00', '5.00', 1),
    ('u1', 'adicao_carrinho', 'p1', NULL, '14T12:03:00', '20.00', 2),
    ('u1', 'compra', 'p1', 'o1', '14T12:40:00', '20.00', 2),
    ('u2', 'adicao_carrinho', 'p1', NULL, '14T13:00:00', '10.00', 1),
    ('u2', 'compra', 'p1', 'o2', '14T13:05:00', '10.00', 1),
    ('u2', 'adicao_carrinho', 'p2', NULL, '14T13:10:00', '7.50', 3),
    ('u3', 'adicao_carrinho', 'p1', NULL, '14T14:00:00', '10.00', 1),
    ('u3', 'remocao_carrinho', 'p1', NULL, '14T14:01:00', '10.00', 1),
    ('u4', 'clique', 'p1', NULL, '14T14:00:00', NULL, NULL),
    ('u1', 'compra', 'p1', 'o3', '15T12:00:00', '30.00', 3),
    ('u1', 'reembolso', 'p1', 'o1', '15T13:00:00', '4.00', 1),
    ('u5', 'adicao_carrinho', 'p9', NULL, '15T14:50:00', '1.00', 1)";
/// The newest event is ten minutes old.
const WATERMARK: &str = "2025-05-15T15:00:00Z";

fn ms(text: &str) -> i64 {
    text.parse::<chrono::DateTime<chrono::Utc>>().expect("a time").timestamp_millis()
}

/// The events in the archive's schema, from this offset on.
async fn rows_of(topic: &Topic, events: &str, first: i64) -> RecordBatch {
    use archive_columns::*;
    const NAMES: [&str; 7] =
        ["id_usuario", "tipo_evento", "id_produto", "id_pedido", "timestamp", "valor_total", "quantidade"];
    let columns = topic.archive_schema();
    let columns = columns.fields().iter().map(|field| {
        let value: Expr = match field.name().as_str() {
            PARTITION => lit(0),
            OFFSET => ident("_o"),
            ARRIVAL => lit("2025-05-15T15:00:00Z"),
            LOG => lit("log"),
            VERDICT => lit("contada"),
            "moeda" => lit("BRL"),
            name if NAMES.contains(&name) => ident(name),
            _ => lit(ScalarValue::Null),
        };
        cast(value, field.data_type().clone()).alias(field.name())
    });
    let names = NAMES.map(|name| format!("\"{name}\"")).join(",");
    let select = NAMES.map(|name| match name {
        "timestamp" => "concat('2025-05-', \"timestamp\", 'Z') AS \"timestamp\"".to_owned(),
        name => format!("\"{name}\""),
    });
    let sql = format!(
        "SELECT {first} + row_number() OVER () - 1 AS _o, {} FROM (VALUES {events}) AS eventos({names})",
        select.join(", ")
    );
    let frame = read_session(1).sql(&sql).await.expect("events").select(columns.collect::<Vec<_>>()).expect("columns");
    let batches = frame.collect().await.expect("rows");
    let columns = arrow::compute::concat_batches(&batches[0].schema(), &batches).expect("one batch").columns().to_vec();
    RecordBatch::try_new(topic.archive_schema(), columns).expect("the archive's schema")
}

/// Archives events, publishes the windows that the watermark closes, and brings the tables up to
/// date, as a stream does.
async fn stream(world: &World, parts: &[&str], watermark: &str) {
    let topic = &world.catalog.topics[0];
    let mut archive = Archive::open(topic, "log", [PartitionId(0)], &world.store).await.expect("opened");
    let from = archive.next_offsets().get(&PartitionId(0)).copied();
    let (mut all, mut next) = (Vec::new(), 0);
    for part in parts {
        let rows = rows_of(topic, part, next).await;
        next += i64::try_from(rows.num_rows()).expect("few");
        all.push(rows);
    }
    let known = usize::try_from(from.unwrap_or_default().0).expect("few");
    let all = arrow::compute::concat_batches(&topic.archive_schema(), &all).expect("rows");
    let commit = ArchiveCommit {
        rows: vec![all.slice(known, all.num_rows() - known)],
        offsets: BTreeMap::from([(PartitionId(0), Advance { from, to: Offset(next) })]),
        watermark: Some(Watermark::from_ms(ms(watermark))),
        token: 1 + next,
        ..ArchiveCommit::default()
    };
    archive.commit(&commit).await.expect("committed");
    let session = engine_session(EngineConfig::default()).expect("a session");
    let events = all.project(&(8..all.num_columns()).collect::<Vec<_>>()).expect("the topic's columns");
    let times = events.column(topic.event_time).as_primitive::<TimestampMicrosecondType>();
    for metric in &world.catalog.metrics {
        let plan = Arc::new(MetricPlan::new(metric, topic, &world.settings, &session).expect("planned"));
        let version = metric.version(&world.settings, topic.lateness_ms);
        let place = world.store.join("metrics");
        let mut table =
            MetricTable::open(&metric.name, &version, Arc::clone(plan.rows_schema()), &place).await.expect("opened");
        let published = table.published_through_ms().map(Watermark::from_ms);
        let mut panes = MetricPanes::new(Arc::clone(&plan), &session.runtime_env().memory_pool, 1 << 30);
        panes.fold(PartitionId(0), &events, &pane_column(&plan.windows, times)).expect("folded");
        let now = Watermark::from_ms(ms(watermark));
        let closes = |mark: Watermark, end_ms| mark.closes(end_ms, topic.lateness_ms);
        let rows = panes.rows_of(|bounds| {
            closes(now, bounds.end_ms) && !published.is_some_and(|earlier| closes(earlier, bounds.end_ms))
        });
        table.publish(rows.expect("rows"), ms(watermark)).await.expect("published");
    }
    for view in &world.catalog.keyed {
        let topic = world.catalog.topic(&view.topic).expect("a topic");
        bring_up_to_date(view, topic, &world.settings, &world.store).await.expect("up to date");
    }
}

async fn warehouses(world: &World) -> Vec<(&'static str, Box<dyn Warehouse>)> {
    let mut all: Vec<(&str, Box<dyn Warehouse>)> =
        vec![("delta", Box::new(DeltaWarehouse::new(world.store.join("warehouse"))))];
    match std::env::var("VITRAL_TEST_POSTGRES") {
        Ok(url) => {
            let config = DatabaseConfig { url: DatabaseUrl::new(url), replica_url: None, pool_size: 3 };
            all.push(("postgresql", Box::new(PostgresWarehouse::open(&config).await.expect("a database"))));
        }
        Err(_) if std::env::var_os("CI").is_some() => panic!("VITRAL_TEST_POSTGRES is missing"),
        Err(_) => eprintln!("left out: no PostgreSQL; scripts/services start postgres"),
    }
    all
}

/// The lines of a table of these columns, in order and without what only the warehouse has.
fn lines(rows: &[RecordBatch]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for rows in rows {
        let wanted: Vec<usize> = (0..rows.num_columns())
            .filter(|column| !["data", "provisoria", "_origem"].contains(&rows.schema().field(*column).name().as_str()))
            .collect();
        let shown = show(&[rows.project(&wanted).expect("columns")]);
        lines.extend(
            shown
                .lines()
                .filter(|line| line.starts_with('|'))
                .skip(1)
                .map(|line| line.split('|').map(str::trim).collect::<Vec<_>>().join("|")),
        );
    }
    lines.sort();
    lines
}

/// What a warehouse has of a table, in the schema that the Delta tables have.
async fn stored(world: &World, warehouse: &dyn Warehouse, name: &str) -> Vec<String> {
    let delta = vitral_store::AppendTable::read(name, &world.store.join("warehouse").join(name)).await.expect("read");
    let schema = delta.expect("a table").provider().await.expect("rows").schema();
    let table = WarehouseTable { name: name.to_owned(), schema, date: "data".to_owned(), key: Vec::new() };
    let days = Days { from: day("2025-05-01"), to: day("2025-06-01") };
    lines(&warehouse.rows(&table, days).await.expect("rows"))
}

async fn asked(world: &World, sql: &str) -> Vec<String> {
    let statement = vitral_catalog::ReadStatement::parse(sql, &world.settings).expect("a query");
    let tables = world.tables().await;
    let frame = tables.plan(&statement.query, &statement.position, None).await.expect("planned");
    lines(&frame.collect().await.expect("rows"))
}

fn of<'a>(done: &'a [JobReport], table: &str) -> &'a JobReport {
    done.iter().find(|done| done.table == table).expect("a table of the job")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_warehouse_has_what_the_api_has() {
    let world = World::new();
    stream(&world, &[EVENTS], WATERMARK).await;
    for (kind, warehouse) in warehouses(&world).await {
        let job =
            async || world.job_into(warehouse.as_ref(), "tempo_real", Wanted::Changed, false).await.expect("done");
        let done = job().await;
        assert_eq!(done.len(), 4 + world.catalog.metrics.len(), "{kind}");
        for metric in &world.catalog.metrics {
            let expected = asked(&world, &format!("SELECT * FROM {}", metric.name)).await;
            assert!(!expected.is_empty(), "{}", metric.name);
            assert_eq!(stored(&world, warehouse.as_ref(), &metric.name).await, expected, "{kind} {}", metric.name);
        }
        for table in ["carrinhos_abandonados", "eventos_clientes"] {
            let expected = asked(&world, &format!("SELECT * FROM {table}")).await;
            assert_eq!(stored(&world, warehouse.as_ref(), table).await, expected, "{kind} {table}");
        }
        assert_eq!(of(&done, "eventos_clientes").read, 14, "{kind}");
        let again = job().await;
        assert!(again.iter().all(|done| done.days.is_none()), "{kind}: nothing has changed: {again:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn windows_that_became_final_since_are_added_and_corrected_ones_replaced() {
    let world = World::new();
    stream(&world, &[EVENTS], "2025-05-14T14:30:00Z").await;
    world.job("tempo_real", Wanted::Changed).await;
    let count = "SELECT count(*) AS n FROM vendas_por_minuto";
    assert!(world.warehouse("vendas_por_minuto", count).await.contains("| 2 |"));
    // What was read before is final now.
    let warehouse = DeltaWarehouse::new(world.store.join("warehouse"));
    stream(&world, &[EVENTS, "('u9', 'busca', NULL, NULL, '15T20:00:00', NULL, NULL)"], "2025-05-15T20:00:00Z").await;
    let done = world.job("tempo_real", Wanted::Changed).await;
    let days = of(&done, "vendas_por_minuto").days.expect("a day");
    assert_eq!((days.from, days.to), (day("2025-05-15"), day("2025-05-16")), "the day before is as it was");
    let expected = asked(&world, "SELECT * FROM vendas_por_minuto").await;
    assert_eq!((expected.len(), stored(&world, &warehouse, "vendas_por_minuto").await), (3, expected.clone()));
    // What a repair does, which the archive's offsets do not tell.
    let metric = world.catalog.metric("vendas_por_minuto").expect("a metric");
    let version = metric.version(&world.settings, world.catalog.topics[0].lateness_ms);
    let place = world.store.join("metrics");
    let (rows, _) = MetricTable::rows(&metric.name, &version, &place).await.expect("read").expect("a table");
    let rows = read_session(1).read_table(rows).expect("a frame").limit(0, Some(1)).expect("one");
    let first = rows.collect().await.expect("a row").remove(0);
    MetricTable::replace(&metric.name, &version, &place, lit(true), first).await.expect("replaced");
    let done = world.job("tempo_real", Wanted::Changed).await;
    assert!(of(&done, "vendas_por_minuto").days.is_some() && of(&done, "ticket_medio").days.is_none(), "{done:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn carts_are_open_abandoned_or_won_back() {
    let world = World::new();
    stream(&world, &[EVENTS], WATERMARK).await;
    let carts = "SELECT id_usuario, estado, itens, valor, desde FROM carrinhos_abandonados";
    assert_eq!(
        asked(&world, carts).await,
        [
            "|u1|recuperado|0|0.00|2025-05-15T12:00:00Z|",
            "|u2|abandonado|3|7.50|2025-05-14T13:10:00Z|",
            "|u5|aberto|1|1.00|2025-05-15T14:50:00Z|",
        ],
        "an emptied cart is none of these"
    );
    // A purchase that comes late, in the middle of what was there, takes what was put in before it.
    stream(&world, &[EVENTS, "('u2', 'compra', 'p2', 'o9', '14T13:15:00', '7.50', 3)"], WATERMARK).await;
    assert_eq!(asked(&world, &format!("{carts} WHERE id_usuario = 'u2'")).await, [] as [&str; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn customers_are_grouped_and_followed() {
    let world = World::new();
    stream(&world, &[EVENTS], WATERMARK).await;
    world
        .write("reference/perfis_usuarios.csv", "id_usuario,segmento,cidade\nu1,vip,Recife\nu1,vip,Olinda\nu4,novo,\n");
    for job in [
        "rfm",
        "coortes",
        "novos_e_recorrentes",
        "receita_por_segmento",
        "reembolsos_por_dia",
        "usuarios_ativos_por_dia",
    ] {
        world.job(job, Wanted::Changed).await;
        assert_eq!(world.job(job, Wanted::Changed).await[0].days, None, "{job}: nothing has changed");
    }
    let has = async |table: &str, sql: &str, expected: &[&str]| {
        let found = world.warehouse(table, &format!("SELECT {sql} FROM {table}")).await;
        let mut found: Vec<String> = found
            .lines()
            .filter(|line| line.starts_with('|'))
            .skip(1)
            .map(|line| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>().join(" "))
            .collect();
        found.sort();
        assert_eq!(found, expected, "{table}");
    };
    has(
        "rfm",
        "data, id_usuario, recencia, frequencia, valor, grupo",
        &[
            "2025-05-15 u1 0 2 46.00 precisam_de_atencao",
            "2025-05-15 u2 1 1 10.00 dormentes",
            "2025-05-15 u3  0 0.00 prospectos",
            "2025-05-15 u4  0 0.00 prospectos",
            "2025-05-15 u5  0 0.00 prospectos",
        ],
    )
    .await;
    has("coortes", "coorte, periodo, usuarios, retidos, taxa", &["2025-05-01 0 5 5 1.0000"]).await;
    has(
        "novos_e_recorrentes",
        "data, tipo, clientes, pedidos, receita",
        &["2025-05-14 novo 2 2 30.00", "2025-05-15 recorrente 1 1 30.00"],
    )
    .await;
    has(
        "receita_por_segmento",
        "data, segmento, moeda, pedidos, receita",
        &["2025-05-14 (sem segmento) BRL 1 10.00", "2025-05-14 vip BRL 1 20.00", "2025-05-15 vip BRL 1 30.00"],
    )
    .await;
    has(
        "reembolsos_por_dia",
        "data, pedidos, pedidos_reembolsados, receita, reembolso, taxa_valor, taxa_pedidos",
        &["2025-05-14 2 0 30.00 0.00 0.0000 0.0000", "2025-05-15 1 1 30.00 4.00 0.1333 1.0000"],
    )
    .await;
    has(
        "usuarios_ativos_por_dia",
        "data, usuarios, usuarios_30_dias, aderencia",
        &["2025-05-14 4 4 1.0000", "2025-05-15 2 5 0.4000"],
    )
    .await;
    // A purchase of an earlier day makes another one the first.
    let earlier = world.write("antes.csv", "id_pedido,id_produto,id_usuario,valor,data\no0,p1,u2,3.00,2025-04-01\n");
    world.import(&earlier, "vendas").await.expect("imported");
    world.job("novos_e_recorrentes", Wanted::Changed).await;
    has(
        "novos_e_recorrentes",
        "data, tipo, clientes, pedidos, receita",
        &[
            "2025-04-01 novo 1 1 3.00",
            "2025-05-14 novo 1 1 20.00",
            "2025-05-14 recorrente 1 1 10.00",
            "2025-05-15 recorrente 1 1 30.00",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conversion_is_of_final_sessions_and_users() {
    let world = World::new();
    // The day is over, and all its sessions are final.
    stream(&world, &[EVENTS], "2025-05-15T04:30:00Z").await;
    let wanted = Wanted::Days(day("2025-05-14"), day("2025-05-14"));
    world.try_job("conversao", wanted, false).await.expect("a day that is over");
    let sessions = "SELECT data, sessoes, com_compra, taxa FROM conversao_por_dia";
    let rows = world.warehouse("conversao_por_dia", sessions).await;
    assert!(rows.contains("| 2025-05-14 | 5       | 2          | 0.4000 |"), "{rows}");
    // u1 came back 37 minutes later, to buy, u2 left a second cart, u3 emptied theirs, and u5's is
    // still open on the next day.
    let carts = "SELECT data, carrinhos, concluidos, abandonados, esvaziados, taxa_abandono FROM abandono_por_dia";
    let rows = world.warehouse("abandono_por_dia", carts).await;
    assert!(
        rows.contains("| 2025-05-14 | 3         | 2          | 1           | 1          | 0.3333        |"),
        "{rows}"
    );
    let rows = world.warehouse("compradores_por_dia", "SELECT * FROM compradores_por_dia").await;
    assert!(rows.contains("| 2025-05-14 | 4        | 2           | 0.5000 |"), "{rows}");
    let rows =
        world.warehouse("conversao_por_produto", "SELECT * FROM conversao_por_produto WHERE id_produto = 'p1'").await;
    assert!(rows.contains("| 2025-05-14 | p1         | 2     | 3           | 2         | 3       | 4                 | 1.5000        | 1.0000      |"), "{rows}");
    let open = Wanted::Days(day("2025-05-15"), day("2025-05-15"));
    let refused = world.try_job("conversao", open, false).await.expect_err("its sessions can change");
    assert!(refused.to_string().contains("sessoes") && refused.to_string().contains("--wait"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_fails_stops_none_of_the_others() {
    let mut world = World::new();
    stream(&world, &[EVENTS], WATERMARK).await;
    let broken = world.catalog.job_tables.iter_mut().find(|table| table.table == "estoque").expect("a table");
    broken.date = "nada".to_owned();
    let error = world.try_job("tempo_real", Wanted::Changed, false).await.expect_err("one is broken");
    assert!(error.to_string().contains("nada"), "{error}");
    let expected = asked(&world, "SELECT * FROM sessoes").await;
    let warehouse = DeltaWarehouse::new(world.store.join("warehouse"));
    assert_eq!(stored(&world, &warehouse, "sessoes").await, expected);
}
