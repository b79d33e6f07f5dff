//! Values of all types, in both forms, and parameters.

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use futures::TryStreamExt;

use crate::world::{World, text, texts};

const ALL: &str = "SELECT true AS b, 1::smallint AS s, 2::int AS i, 3::bigint AS l, 1.5::real AS r, 2.5::float8 AS d, \
                   'ação' AS t, DATE '2026-02-03' AS day, TIMESTAMP '2026-02-03 04:05:06.5' AS ts, \
                   make_array(1, NULL, 3) AS list, NULL::text AS nothing, max(ts) AS tz FROM vendas";

#[tokio::test]
async fn values_are_the_same_as_binary_and_as_text() {
    let world = World::new().await;
    let client = world.client().await;
    let row = client.query_one(ALL, &[]).await.expect("a row");
    assert!(row.get::<_, bool>("b"));
    assert_eq!((row.get::<_, i16>("s"), row.get::<_, i32>("i"), row.get::<_, i64>("l")), (1, 2, 3));
    assert_eq!((row.get::<_, f32>("r"), row.get::<_, f64>("d"), row.get::<_, &str>("t")), (1.5, 2.5, "ação"));
    assert_eq!(row.get::<_, NaiveDate>("day").to_string(), "2026-02-03");
    assert_eq!(row.get::<_, NaiveDateTime>("ts").to_string(), "2026-02-03 04:05:06.500");
    assert_eq!(row.get::<_, DateTime<Utc>>("tz").to_string(), "2026-07-01 12:00:01 UTC");
    assert_eq!(row.get::<_, Vec<Option<i64>>>("list"), [Some(1), None, Some(3)]);
    assert_eq!(row.get::<_, Option<&str>>("nothing"), None);
    let messages = client.simple_query(ALL).await.expect("texts");
    let Some(tokio_postgres::SimpleQueryMessage::Row(row)) =
        messages.iter().find(|message| matches!(message, tokio_postgres::SimpleQueryMessage::Row(_)))
    else {
        panic!("no row")
    };
    let shown: Vec<_> = (0..row.len()).map(|column| row.get(column).unwrap_or("NULL")).collect();
    let wanted = "t 1 2 3 1.5 2.5 ação 2026-02-03 2026-02-03_04:05:06.5 {1,NULL,3} NULL 2026-07-01_12:00:01+00";
    assert_eq!(shown.iter().map(|value| value.replace(' ', "_")).collect::<Vec<_>>().join(" "), wanted);
}

#[tokio::test]
async fn decimals_are_exact_at_any_length() {
    let world = World::new().await;
    let client = world.client().await;
    let long = "12345678901234567890123456789012345.67";
    assert_eq!(text(&client, &format!("SELECT arrow_cast('{long}', 'Decimal128(38, 2)')")).await, long);
    assert_eq!(text(&client, "SELECT sum(valor) FROM vendas").await, "30.50");
}

#[tokio::test]
async fn parameters_of_all_usual_types_are_bound() {
    let world = World::new().await;
    let client = world.client().await;
    let sql = "SELECT count(*) FROM vendas WHERE loja = $1 AND valor > 1 AND ts BETWEEN $2 AND $3 AND $4";
    let (from, until): (DateTime<Utc>, DateTime<Utc>) =
        ("2026-07-01T00:00:00Z".parse().expect("a time"), "2026-07-02T00:00:00Z".parse().expect("a time"));
    let row = client.query_one(sql, &[&"A", &from, &until, &true]).await.expect("a row");
    assert_eq!(row.get::<_, i64>(0), 1);
    let row = client.query_one("SELECT id FROM vendas ORDER BY id LIMIT $1 OFFSET $2", &[&1_i64, &1_i64]).await;
    assert_eq!(row.expect("a row").get::<_, &str>(0), "v1");
    let day: NaiveDate = "2026-02-03".parse().expect("a day");
    let row = client.query_one("SELECT $1::date, $2::float8, $3::text", &[&day, &1.5_f64, &None::<&str>]).await;
    let row = row.expect("a row");
    assert_eq!((row.get::<_, NaiveDate>(0), row.get::<_, f64>(1)), (day, 1.5));
    assert_eq!(row.get::<_, Option<&str>>(2), None);
    // Types that the client declares.
    let typed = client.prepare_typed("SELECT $1 + 1", &[tokio_postgres::types::Type::INT8]).await.expect("prepared");
    assert_eq!(client.query_one(&typed, &[&41_i64]).await.expect("a row").get::<_, i64>(0), 42);
    use tokio_postgres::types::Type;
    for (sql, types, wanted) in [
        ("SELECT $1", vec![Type::INT2], Type::INT2),
        ("SELECT $1 + $2", vec![Type::INT2, Type::INT2], Type::INT2),
        ("SELECT $1 + $2", vec![Type::INT4, Type::FLOAT8], Type::FLOAT8),
        ("SELECT abs($1)", vec![Type::NUMERIC], Type::NUMERIC),
        ("SELECT $1 - INTERVAL '1 day'", vec![Type::TIMESTAMP], Type::TIMESTAMP),
        ("SELECT $1", vec![Type::UNKNOWN], Type::TEXT),
    ] {
        let typed = client.prepare_typed(sql, &types).await.expect(sql);
        assert_eq!(*typed.columns()[0].type_(), wanted, "{sql} of {types:?}");
    }
    let sum = client.prepare_typed("SELECT $1 + $2", &[Type::INT2, Type::INT2]).await.expect("prepared");
    assert_eq!(client.query_one(&sum, &[&40_i16, &2_i16]).await.expect("a row").get::<_, i16>(0), 42);
    let texts = client.prepare_typed("SELECT $1::text, $2::varchar(4)", &[Type::TIMESTAMP, Type::FLOAT8]).await;
    let time: NaiveDateTime = "2026-01-02T03:04:05.12".parse().expect("a time");
    let row = client.query_one(&texts.expect("prepared"), &[&time, &12.5_f64]).await.expect("a row");
    assert_eq!((row.get::<_, &str>(0), row.get::<_, &str>(1)), ("2026-01-02 03:04:05.12", "12.5"));
    for cast in ["$1::timestamptz", "CAST($1 AS TIMESTAMP WITH TIME ZONE)"] {
        let statement =
            client.prepare(&format!("SELECT count(*) FROM vendas WHERE ts > {cast}")).await.expect("prepared");
        assert_eq!(statement.params(), [tokio_postgres::types::Type::TIMESTAMPTZ], "{cast}");
    }
    let none = client.query_one("SELECT $1", &[&"a"]).await.expect("a row");
    assert_eq!(none.get::<_, &str>(0), "a");
}

#[tokio::test]
async fn copies_are_those_of_postgresql() {
    let world = World::new().await;
    let client = world.client().await;
    let copied = async |sql: &str| {
        let stream = client.copy_out(sql).await.expect(sql);
        let parts: Vec<_> = stream.try_collect().await.expect(sql);
        parts.concat()
    };
    let sql = "COPY (SELECT id, loja, valor FROM vendas ORDER BY id) TO STDOUT";
    assert_eq!(copied(sql).await, b"v0\tA\t10.50\nv1\tB\t20.00\n");
    let csv = copied(&format!("{sql} WITH (FORMAT csv, HEADER true)")).await;
    assert_eq!(csv, b"id,loja,valor\nv0,A,10.50\nv1,B,20.00\n");
    let binary = copied(&format!("{sql} WITH (FORMAT binary)")).await;
    assert!(binary.starts_with(b"PGCOPY\n\xff\r\n\0") && binary.ends_with(&[0xff, 0xff]));
    assert_eq!(copied("COPY (SELECT 1 WHERE false) TO STDOUT").await, b"");
    // Some clients read one row of each message.
    for (options, count) in [("", 2), (" WITH (FORMAT csv, HEADER true)", 3), (" WITH (FORMAT binary)", 3)] {
        let stream = client.copy_out(format!("{sql}{options}").as_str()).await.expect(options);
        let parts: Vec<_> = stream.try_collect().await.expect(options);
        assert_eq!(parts.len(), count, "{options}");
    }
    assert_eq!(texts(&client, "SELECT 1").await.len(), 1);
}
