//! Look-ups conform, in whatever types documents have their values.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringArray};
use arrow::datatypes::{Decimal128Type, Int64Type, TimestampMicrosecondType};
use futures::TryStreamExt;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{DateTime, doc};
use vitral_connect::conformance::{lookup_conforms, whole_table_conforms};
use vitral_connect::{Connection, Lookup, RetryHint};
use vitral_connect_mongodb::lookup;
use vitral_schemas::topic::ColumnKind;

use crate::world::{fresh, table, url};

const TEXTS: [(&str, ColumnKind); 2] = [("chave", ColumnKind::Text), ("valor", ColumnKind::Text)];

#[tokio::test]
async fn a_collection_conforms() {
    let Some(url) = url() else { return };
    let documents = fresh(&url, "consulta").await;
    let rows = [
        doc! { "chave": "a", "valor": "1", "outra": { "x": 1 } },
        doc! { "chave": "b", "valor": "2" },
        doc! { "chave": "dobrada", "valor": "3" },
        doc! { "chave": "dobrada", "valor": "4" },
        doc! { "chave": "sem valor" },
        doc! { "chave": "numero", "valor": 5 },
    ];
    documents.insert_many(rows).await.expect("inserted");
    let own = lookup(&table(&TEXTS, 10_000), "consulta", "chave", &Connection::to(&url)).expect("a look-up");
    lookup_conforms(&own, "valor").await;
    let keys: ArrayRef = Arc::new(StringArray::from(vec!["dobrada", "sem valor", "numero", "a"]));
    let found = own.get(&keys).await.expect("rows");
    let (keys, values) = (found.column(0).as_string::<i32>(), found.column(1).as_string::<i32>());
    let pairs: Vec<_> = keys.iter().zip(values).collect();
    assert_eq!(
        pairs,
        [(None, None), (Some("sem valor"), None), (None, None), (Some("a"), Some("1"))],
        "what cannot be used has no row, and others are not touched by that"
    );
}

#[tokio::test]
async fn a_whole_collection_conforms() {
    let Some(url) = url() else { return };
    let documents = fresh(&url, "inteira").await;
    let rows = [doc! { "_id": "a", "valor": "1", "outra": { "x": 1 } }, doc! { "_id": "b", "valor": "2" }];
    documents.insert_many(rows).await.expect("inserted");
    let own = lookup(&table(&TEXTS, 10_000), "inteira", "_id", &Connection::to(&url)).expect("a look-up");
    whole_table_conforms(&own, "valor").await;
    let more = (0..12_000).map(|n| doc! { "_id": n.to_string(), "valor": "x" });
    documents.insert_many(more).await.expect("inserted");
    let batches: Vec<_> = own.all().try_collect().await.expect("rows");
    let rows: usize = batches.iter().map(arrow::array::RecordBatch::num_rows).sum();
    assert!(rows == 12_002 && batches.len() > 1, "{rows} documents in {} batches", batches.len());
    documents.insert_one(doc! { "_id": "c", "valor": 3 }).await.expect("inserted");
    let error = own.all().try_collect::<Vec<_>>().await.expect_err("a number is not a text");
    assert!(error.to_string().contains("the document with the _id c cannot be read: field valor"), "{error}");
}

#[tokio::test]
async fn values_are_read_in_the_types_that_columns_have() {
    let Some(url) = url() else { return };
    let documents = fresh(&url, "tipos").await;
    let rows = [
        doc! { "_id": 1, "preco": 12.5, "desde": DateTime::from_millis(1_747_224_000_000), "ativo": true, "nivel": 3_i64 },
        doc! { "_id": 2_i64, "preco": 0.125, "desde": "2025-05-14T12:00:00Z" },
        doc! { "_id": 3.0, "preco": "7.10", "desde": "ontem" },
        doc! { "_id": 4, "preco": 7 },
    ];
    documents.insert_many(rows).await.expect("inserted");
    let columns = [
        ("id", ColumnKind::Integer),
        ("preco", ColumnKind::Decimal { precision: 18, scale: 2 }),
        ("desde", ColumnKind::Timestamp),
        ("ativo", ColumnKind::Boolean),
        ("nivel", ColumnKind::Integer),
    ];
    let own = lookup(&table(&columns, 10_000), "tipos", "_id", &Connection::to(&url)).expect("a look-up");
    let keys: ArrayRef = Arc::new(Int64Array::from(vec![4, 3, 2, 1, 9]));
    let found = own.get(&keys).await.expect("rows");
    let ids: Vec<_> = found.column(0).as_primitive::<Int64Type>().iter().collect();
    assert_eq!(ids, [Some(4), None, None, Some(1), None], "an eighth of a cent is not money, yesterday no time");
    let prices: Vec<_> = found.column(1).as_primitive::<Decimal128Type>().iter().collect();
    assert_eq!(prices, [Some(700), None, None, Some(1_250), None]);
    assert_eq!(found.column(2).as_primitive::<TimestampMicrosecondType>().value(3), 1_747_224_000_000_000);
    assert!(found.column(3).as_boolean().value(3) && found.column(4).as_primitive::<Int64Type>().value(3) == 3);
}

#[tokio::test]
async fn ids_of_the_server_are_found_by_their_texts() {
    let Some(url) = url() else { return };
    let documents = fresh(&url, "ids").await;
    let id = ObjectId::new();
    documents
        .insert_many([doc! { "_id": id, "valor": "1" }, doc! { "_id": "u1", "valor": "2" }])
        .await
        .expect("inserted");
    let own = lookup(&table(&TEXTS, 10_000), "ids", "_id", &Connection::to(&url)).expect("a look-up");
    let keys: ArrayRef = Arc::new(StringArray::from(vec![id.to_hex(), "u1".to_owned(), ObjectId::new().to_hex()]));
    let found = own.get(&keys).await.expect("rows");
    let values: Vec<_> = found.column(1).as_string::<i32>().iter().collect();
    assert_eq!(values, [Some("1"), Some("2"), None]);
}

#[tokio::test]
async fn many_keys_are_asked_for_at_once() {
    let Some(url) = url() else { return };
    let documents = fresh(&url, "muitas").await;
    let rows = (0..6_000).map(|n| doc! { "chave": format!("u{n}"), "valor": n.to_string() });
    documents.insert_many(rows).await.expect("inserted");
    let own = lookup(&table(&TEXTS, 30_000), "muitas", "chave", &Connection::to(&url)).expect("a look-up");
    let keys: ArrayRef = Arc::new(StringArray::from_iter_values((0..7_000).map(|n| format!("u{n}"))));
    let found = own.get(&keys).await.expect("rows");
    let values = found.column(1).as_string::<i32>();
    assert_eq!(values.len() - values.null_count(), 6_000);
    assert_eq!(values.value(5_999), "5999");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_an_outage() {
    let away = Connection::to("mongodb://127.0.0.1:9/d");
    let own = lookup(&table(&TEXTS, 100), "perfis", "chave", &away).expect("a look-up");
    let keys: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
    let error = own.get(&keys).await.expect_err("nobody is there");
    assert_eq!(error.retry_hint(), RetryHint::Outage, "{error}");
    let error = own.all().try_next().await.expect_err("nobody is there");
    assert_eq!(error.retry_hint(), RetryHint::Outage, "{error}");
}
