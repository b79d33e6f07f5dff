//! Sessions as clients see them: pages through those that begin together, and live streams of what
//! has changed.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use axum::body::{Body, BodyDataStream};
use axum::http::{Request, StatusCode};
use futures::StreamExt;
use serde_json::Value;
use tower::ServiceExt;
use vitral_panes::view::View;
use vitral_schemas::topic::timestamp_type;

use crate::world::{Windows, World, metric_view, ms, topic_view, view_of};

const SECOND_MS: i64 = 1_000;
const PATH: &str = "/metricas/sessoes";

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("janela_inicio", timestamp_type(), false),
        Field::new("janela_fim", timestamp_type(), false),
        Field::new("id_usuario", DataType::Utf8, true),
        Field::new("eventos", DataType::Int64, true),
        Field::new("moeda", DataType::Utf8, true),
    ]))
}

/// Users, the seconds of their first and last events since 22:00, and how many events they have
/// had; in the order of a metric's rows.
fn sessions(of: &[(&str, i64, i64, i64)]) -> RecordBatch {
    let times = |seconds: fn(&(&str, i64, i64, i64)) -> i64| -> ArrayRef {
        let micros = of.iter().map(|session| (ms("2025-05-14T22:00:00Z") + seconds(session) * SECOND_MS) * 1_000);
        Arc::new(TimestampMicrosecondArray::from_iter_values(micros).with_timezone("UTC"))
    };
    let columns: Vec<ArrayRef> = vec![
        times(|session| session.1),
        times(|session| session.2 + 1_800),
        Arc::new(StringArray::from_iter_values(of.iter().map(|session| session.0))),
        Arc::new(Int64Array::from_iter_values(of.iter().map(|session| session.3))),
        Arc::new(StringArray::from_iter_values(of.iter().map(|_| "BRL"))),
    ];
    RecordBatch::try_new(schema(), columns).expect("rows")
}

fn view(published: &[(&str, i64, i64, i64)], open: &[(&str, i64, i64, i64)]) -> View {
    let windows = Windows { published: vec![sessions(published)], open: vec![sessions(open)] };
    let mut view = view_of(topic_view(Vec::new(), Vec::new()), Windows::default());
    view.metrics.insert("sessoes".to_owned(), metric_view("sessoes", schema(), windows));
    view
}

fn users(answer: &Value) -> Vec<(&str, i64, bool)> {
    let rows = answer["linhas"].as_array().expect("rows");
    let row =
        |row: &'_ Value| (row["eventos"].as_i64().expect("a count"), row["provisoria"].as_bool().expect("a state"));
    rows.iter().map(|each| (each["id_usuario"].as_str().expect("a user"), row(each).0, row(each).1)).collect()
}

#[tokio::test]
async fn pages_go_through_sessions_that_begin_together() {
    let open = [("u3", 0, 60, 2), ("u1", 10, 20, 3), ("u2", 10, 500, 4), ("u4", 11, 11, 1)];
    let world = World::new(view(&[("u0", -3_600, -3_000, 7), ("u9", -3_600, -3_600, 1)], &open));
    let mut path = Some(format!("{PATH}?limite=1"));
    let mut seen = Vec::new();
    while let Some(here) = path.take() {
        let answer = world.get(&here).await;
        let body: Value = serde_json::from_str(&answer.body).expect("JSON");
        seen.extend(users(&body).into_iter().map(|(user, ..)| user.to_owned()));
        assert!(seen.len() < 10, "it does not end: {seen:?}");
        let next = answer.header("link").map(|link| link.split_once(">; ").expect("a link").0[1..].to_owned());
        path = next;
    }
    assert_eq!(seen, ["u4", "u1", "u2", "u3", "u0", "u9"]);
}

#[tokio::test]
async fn a_live_stream_sends_the_sessions_that_have_changed() {
    let world =
        World::new(view(&[("u0", -3_600, -3_000, 7)], &[("u1", 0, 20, 3), ("u2", 10, 500, 4), ("u3", 11, 11, 1)]));
    let request = Request::get(format!("{PATH}/ao_vivo?limite=2")).header("host", "localhost").body(Body::empty());
    let response = world.router.clone().oneshot(request.expect("a request")).await.expect("an answer");
    assert_eq!(response.status(), StatusCode::OK);
    let mut stream = response.into_body().into_data_stream();
    assert_eq!(users(&message(&mut stream).await), [("u2", 4, true), ("u1", 3, true)], "those with the newest events");
    // One has a newer event, one has not, and one is no longer among the newest.
    world.show(view(&[("u0", -3_600, -3_000, 7)], &[("u1", 0, 20, 3), ("u2", 10, 500, 4), ("u3", 11, 600, 2)]));
    assert_eq!(users(&message(&mut stream).await), [("u3", 2, true)]);

    let refused = world.get("/metricas/produtos_mais_vistos/ao_vivo?limite=2").await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{}", refused.body);
}

async fn message(stream: &mut BodyDataStream) -> Value {
    let chunk =
        tokio::time::timeout(Duration::from_secs(10), stream.next()).await.expect("in time").expect("a message");
    let text = String::from_utf8(chunk.expect("a chunk").to_vec()).expect("text");
    let data = text.strip_prefix("data: ").and_then(|text| text.strip_suffix("\n\n")).expect("one event");
    serde_json::from_str(data).expect("JSON")
}
