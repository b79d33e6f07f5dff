//! The built-in endpoints, planned once, against the same statements planned for each request.

use std::sync::Arc;

use arrow::array::{ArrayRef, Decimal128Array, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{Field, Schema};
use arrow::util::pretty::pretty_format_batches;
use datafusion::catalog::{CatalogProvider, SchemaProvider};
use datafusion::catalog::{MemoryCatalogProvider, MemorySchemaProvider};
use datafusion::dataframe::DataFrame;
use futures::TryStreamExt;
use vitral_catalog::names::statement;
use vitral_catalog::{Catalog, DEFAULT_DOMAIN, DomainSettings, builtin_files};
use vitral_engine::query_state;

use super::super::changes::{Changes, Touched};
use super::super::now::Now;
use super::super::sums::{Shape, Sums};
use super::super::table::Source;
use super::*;
use crate::tables::utc;

fn rows() -> RecordBatch {
    let texts = |values: [&str; 4]| Arc::new(StringArray::from(values.to_vec())) as ArrayRef;
    let decimals = Decimal128Array::from(vec![100, 250, 75, 1_000]);
    let times = TimestampMicrosecondArray::from(vec![10, 20, 30, 40]).with_timezone("UTC");
    RecordBatch::try_from_iter([
        ("instante", Arc::new(times) as ArrayRef),
        ("id_produto", texts(["a", "b", "a", "c"])),
        ("id_pedido", texts(["1", "1", "2", "3"])),
        ("categoria", texts(["x", "y", "x", "x"])),
        ("regiao", texts(["SP", "SP", "RJ", "SP"])),
        ("moeda", texts(["BRL", "BRL", "BRL", "USD"])),
        ("unidades", Arc::new(Int64Array::from(vec![1, 2, 3, 4]))),
        ("receita", Arc::new(decimals.with_precision_and_scale(18, 2).expect("decimals"))),
        ("sem_pedido", Arc::new(Int64Array::from(vec![0, 0, 0, 0]))),
    ])
    .expect("rows")
}

fn table(view: &KeyedView) -> RollupTable {
    let rollup = view.rollup.as_ref().expect("a rollup");
    let columns: Vec<String> = view.columns.iter().map(|column| column.name.clone()).collect();
    let shape = Shape {
        dimensions: std::iter::once(&rollup.by).chain(&rollup.filters).cloned().collect(),
        time: rollup.time.clone(),
        once: rollup.once.as_ref().map(|(key, _)| key.clone()),
        sums: columns.clone(),
    };
    let mut sums = Sums::new(shape);
    sums.add(&rows(), &mut Touched::default()).expect("added");
    let now = Now::new(sums, Arc::new(Changes::loaded()), Touched::default());
    let fields = rows()
        .schema()
        .fields()
        .iter()
        .map(|field| Field::new(field.name(), field.data_type().clone(), true))
        .collect::<Vec<_>>();
    RollupTable::new(&view.name, rollup, columns, Source::Sums(Arc::new(now)), &Schema::new(fields)).expect("a table")
}

fn state(view: &KeyedView) -> SessionState {
    let state = query_state(64 << 20, "vitral", "public").expect("a state");
    let (catalog, schema) = (MemoryCatalogProvider::new(), MemorySchemaProvider::new());
    schema.register_table(view.name.clone(), Arc::new(table(view))).expect("a table");
    catalog.register_schema(SUMS_SCHEMA, Arc::new(schema)).expect("a schema");
    catalog.register_schema("public", Arc::new(MemorySchemaProvider::new())).expect("a schema");
    state.catalog_list().register_catalog("vitral".to_owned(), Arc::new(catalog));
    state
}

fn values(given: &[(&str, &str)], range: (Option<i64>, Option<i64>), rows: i64) -> HashMap<String, ScalarValue> {
    let text = |name: &str| given.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    let texts = ["moeda", "categoria", "regiao"].map(|name| (name.to_owned(), ScalarValue::Utf8(text(name))));
    let others = [("de", utc(range.0)), ("ate", utc(range.1)), ("limite", ScalarValue::Int64(Some(rows)))];
    texts.into_iter().chain(others.map(|(name, value)| (name.to_owned(), value))).collect()
}

#[tokio::test]
async fn the_sales_endpoints_are_planned_once_and_give_the_same_rows() {
    let catalog = Catalog::parse(&[builtin_files(&[DEFAULT_DOMAIN])], &DomainSettings::default()).expect("the catalog");
    let view = catalog.keyed_view("itens_vendidos").expect("a table");
    let state = state(view);
    for path in ["/vendas/resumo", "/produtos/mais_vendidos"] {
        let endpoint = catalog.endpoints.iter().find(|endpoint| endpoint.path == path).expect(path);
        let plan = state.statement_to_plan(statement(&endpoint.query)).await.expect("a plan");
        let planned = SumsPlan::of(&plan, view, &state).await.expect("no error").expect("it reads sums alone");
        for (given, range, limit) in [
            (&[][..], (None, None), 10),
            (&[("moeda", "usd")], (None, None), 10),
            (&[("moeda", "")], (Some(20), None), 10),
            (&[("categoria", "x")], (Some(10), Some(31)), 10),
            (&[("regiao", "SP"), ("categoria", "y")], (None, Some(30)), 1),
            (&[("regiao", "nowhere")], (None, None), 10),
            (&[], (Some(30), Some(20)), 10),
        ] {
            let values = values(given, range, limit);
            let expected = plan.clone().with_param_values(ParamValues::from(values.clone())).expect("values");
            let expected = DataFrame::new(state.clone(), expected).collect().await.expect("rows");
            let conditions = planned.conditions(&values).expect("no error").expect("what sums can say");
            let question = SumsQuestion::new(table(view), conditions).expect("in memory");
            let limit = usize::try_from(limit).expect("few");
            let found: Vec<_> = planned
                .run(question.rows().expect("sums"), limit)
                .await
                .expect("a stream")
                .try_collect()
                .await
                .expect("rows");
            let shown = |rows: &[RecordBatch]| pretty_format_batches(rows).expect("a table").to_string();
            assert_eq!(shown(&found), shown(&expected), "{path} {given:?} {range:?}");
        }
    }
}

#[tokio::test]
async fn a_statement_that_asks_for_more_is_planned_as_any_other() {
    let catalog = Catalog::parse(&[builtin_files(&[DEFAULT_DOMAIN])], &DomainSettings::default()).expect("the catalog");
    let view = catalog.keyed_view("itens_vendidos").expect("a table");
    let state = state(view);
    let plan = async |sql: &str| {
        let plan = state.create_logical_plan(sql).await.expect(sql);
        SumsPlan::of(&plan, view, &state).await.expect(sql)
    };
    for sql in [
        "SELECT 1 AS n",
        // A parameter in another place.
        "SELECT id_produto, unidades FROM soma.itens_vendidos WHERE moeda = 'BRL' ORDER BY unidades * $fator LIMIT $limite",
        // Two of them.
        "SELECT a.id_produto FROM soma.itens_vendidos AS a JOIN soma.itens_vendidos AS b ON a.id_produto = b.id_produto",
        "SELECT id_produto FROM soma.itens_vendidos WHERE unidades IN (SELECT max(unidades) FROM soma.itens_vendidos)",
    ] {
        assert!(plan(sql).await.is_none(), "{sql}");
    }
    let some = plan("SELECT id_produto FROM soma.itens_vendidos WHERE moeda = $moeda OR regiao = $regiao").await;
    let given = values(&[("moeda", "BRL"), ("regiao", "SP")], (None, None), 1);
    assert!(some.expect("sums alone").conditions(&given).expect("no error").is_none(), "no condition that sums know");
}
