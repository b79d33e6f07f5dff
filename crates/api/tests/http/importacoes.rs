//! `GET /importacoes`: what was imported, as it is stored when it is asked for.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use vitral_panes::view::View;
use vitral_store::{AppendTable, IMPORTS_TABLE, Layout, Location, imports_schema};

use crate::world::{World, ms, times, whole_catalog};

/// An import, when something was done to it, and what it has come to.
type Record = (&'static str, &'static str, &'static str);

fn rows(records: &[Record]) -> RecordBatch {
    let count = records.len();
    let text = |text: &'static str| -> ArrayRef { Arc::new(StringArray::from(vec![text; count])) };
    let number = |number: i64| -> ArrayRef { Arc::new(Int64Array::from(vec![number; count])) };
    let nothing =
        || -> ArrayRef { Arc::new(TimestampMicrosecondArray::from(vec![None::<i64>; count]).with_timezone("UTC")) };
    let columns = vec![
        Arc::new(records.iter().map(|(id, ..)| Some(*id)).collect::<StringArray>()) as ArrayRef,
        times(records.iter().map(|(_, at, _)| ms(at))),
        Arc::new(records.iter().map(|(.., state)| Some(*state)).collect::<StringArray>()),
        text("eventos_clientes"),
        text("vendas"),
        text("vendas.csv"),
        number(7),
        number(0),
        number(1),
        number(2),
        nothing(),
        nothing(),
        text("{}"),
        text("dmy vendas"),
        Arc::new(StringArray::from(vec![None::<&str>; count])),
    ];
    RecordBatch::try_new(imports_schema(), columns).expect("records")
}

async fn add(store: &Location, records: &[Record]) {
    let place = Layout::of(store).table(IMPORTS_TABLE);
    let mut table = AppendTable::open(IMPORTS_TABLE, &place, imports_schema()).await.expect("a table");
    table.append(rows(records)).await.expect("appended");
}

async fn shown(world: &World, path: &str) -> Vec<String> {
    let list = world.json(path).await;
    let row = |row: &serde_json::Value| {
        format!("{} {}", row["id"].as_str().unwrap_or("?"), row["estado"].as_str().unwrap_or("?"))
    };
    list.as_array().expect("a list").iter().map(row).collect()
}

#[tokio::test]
async fn imports_are_listed_with_what_they_have_come_to() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Location::folder(folder.path()).expect("a location");
    let view = View { ready: true, ..View::default() };
    let world = World::with(view, whole_catalog(None), |config| config.store = Some(store.clone()));
    assert_eq!(world.body("/importacoes").await, "[]", "nothing was ever imported");

    add(&store, &[("a", "2025-05-10T00:00:00Z", "importada"), ("b", "2025-05-11T00:00:00Z", "importada")]).await;
    assert_eq!(shown(&world, "/importacoes").await, ["b importada", "a importada"]);
    add(&store, &[("a", "2025-05-12T00:00:00Z", "desfeita")]).await;
    assert_eq!(shown(&world, "/importacoes").await, ["a desfeita", "b importada"]);
    assert_eq!(shown(&world, "/importacoes?estado=importada").await, ["b importada"]);
    assert_eq!(shown(&world, "/importacoes?ate=2025-05-12T00:00:00Z").await, ["b importada"]);

    let first = world.get("/importacoes?limite=1").await;
    let next = first.header("link").and_then(|link| link.split(['<', '>']).nth(1)).expect("a next page").to_owned();
    assert_eq!(shown(&world, &next).await, ["b importada"]);
    assert_eq!(world.get("/importacoes?estado=nada").await.status, 400);
}
