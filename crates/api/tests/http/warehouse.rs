//! Endpoints over tables of jobs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use arrow::array::{Date32Array, Decimal128Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use async_trait::async_trait;
use axum::http::StatusCode;
use datafusion::catalog::{MemTable, TableProvider};
use vitral_query::Warehouse;
use vitral_store::StoreError;
use vitral_store::warehouse::{ReadFrom, WarehouseReader, WarehouseTables};

use crate::world::{World, catalog, views, windows_view};

const ENDPOINT: &str = "CREATE VIEW meses WITH (path = '/meses', descricao = 'Revenue by month') AS\n\
                        SELECT mes, receita FROM armazem.receita_mensal ORDER BY mes LIMIT $limite;";

/// Has one month, wherever it says that it is read from; away without that.
#[derive(Debug)]
struct Described {
    from: Mutex<Option<ReadFrom>>,
    is_made: bool,
}

#[async_trait]
impl WarehouseReader for Described {
    async fn tables(&self, _names: &BTreeSet<String>) -> Result<WarehouseTables, StoreError> {
        let from = *self.from.lock().expect("a lock");
        let from = from.ok_or_else(|| StoreError::WarehouseAway {
            connection: "loja".to_owned(),
            source: "password authentication failed for user \"hush\"".into(),
        })?;
        let tables = self.is_made.then(|| ("receita_mensal".to_owned(), Ok(month())));
        Ok(WarehouseTables { from, tables: BTreeMap::from_iter(tables) })
    }
}

fn month() -> Arc<dyn TableProvider> {
    let fields = [Field::new("mes", DataType::Date32, true), Field::new("receita", DataType::Decimal128(38, 2), true)];
    let revenue = Decimal128Array::from(vec![1005]).with_precision_and_scale(38, 2).expect("a precision");
    let schema = Arc::new(Schema::new(fields.to_vec()));
    let month = Date32Array::from(vec![20_209]);
    let rows = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(month), Arc::new(revenue)]).expect("rows");
    Arc::new(MemTable::try_new(schema, vec![vec![rows]]).expect("a table"))
}

fn world(from: Option<ReadFrom>, is_made: bool) -> (World, Arc<Described>) {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::write(dir.path().join("meses.sql"), ENDPOINT).expect("written");
    let described = Arc::new(Described { from: Mutex::new(from), is_made });
    let warehouse = Warehouse::new(Arc::clone(&described) as Arc<dyn WarehouseReader>);
    let view = windows_view(Vec::new(), vec![views("2025-05-14T22:30:00Z", &[("p1", 1)])]);
    (World::with(view, catalog(Some(dir.path())), |config| config.warehouse = warehouse), described)
}

#[tokio::test]
async fn an_answer_says_from_which_server_it_comes() {
    let (world, described) = world(Some(ReadFrom::Primary), true);
    for (from, server, lag) in [
        (ReadFrom::Primary, None, None),
        (ReadFrom::Replica { lag_ms: Some(1250) }, Some("replica"), Some("1250")),
        (ReadFrom::Replica { lag_ms: None }, Some("replica"), None),
        (ReadFrom::InsteadOfReplica, Some("primario"), None),
    ] {
        *described.from.lock().expect("a lock") = Some(from);
        let answer = world.get("/meses").await;
        assert_eq!(answer.body, r#"[{"mes":"2025-05-01","receita":10.05}]"#);
        assert_eq!(answer.header("vitral-armazem"), server, "{from:?}");
        assert_eq!(answer.header("vitral-armazem-atraso-ms"), lag, "{from:?}");
    }
}

#[tokio::test]
async fn a_warehouse_that_is_away_takes_no_other_answer_with_it() {
    let (world, described) = world(None, true);
    let answer = world.get("/meses").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.body.contains("warehouse_away") && answer.body.contains("connection loja"), "{}", answer.body);
    assert!(!answer.body.contains("hush") && answer.header("retry-after").is_some(), "{}", answer.body);
    world.body("/metricas/produtos_mais_vistos").await;
    *described.from.lock().expect("a lock") = Some(ReadFrom::Primary);
    world.body("/meses").await;
}

#[tokio::test]
async fn a_table_that_is_not_made_yet_says_what_makes_it() {
    let (world, _) = world(Some(ReadFrom::Primary), false);
    let answer = world.get("/meses").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.body.contains("table_not_made"), "{}", answer.body);
    assert!(answer.body.contains("vitral batch run receita_mensal"), "{}", answer.body);
}

#[tokio::test]
async fn the_columns_are_described_before_a_job_has_run() {
    let (world, _) = world(None, false);
    let document = world.json("/openapi.json").await;
    let described = document["paths"]["/meses"].to_string();
    assert!(described.contains("Vitral-Armazem"), "{described}");
    assert!(document.to_string().contains("\"receita\""), "the columns of the job's statement");
}
