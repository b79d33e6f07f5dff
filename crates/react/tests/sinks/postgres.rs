//! A copy in PostgreSQL: `scripts/services start postgres`, then `env $(scripts/services env) cargo
//! test`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_postgres::{NoTls, SimpleQueryMessage};
use url::Url;
use vitral_connect::Sink;
use vitral_connect_postgres::{DatabaseUrl, PostgresSink};

use crate::world::World;

const PATIENCE: Duration = Duration::from_secs(60);

/// Stands between a sink and its server, so that the server can be away while others still reach
/// it.
struct Door {
    address: SocketAddr,
    is_open: watch::Sender<bool>,
}

impl Door {
    async fn before(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (is_open, seen) = watch::channel(true);
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let (server, mut seen) = (server.clone(), seen.clone());
                tokio::spawn(async move {
                    if !*seen.borrow_and_update() {
                        return;
                    }
                    let Ok(mut inside) = TcpStream::connect(server).await else { return };
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut client, &mut inside) => {}
                        _ = seen.wait_for(|is_open| !is_open) => {}
                    }
                });
            }
        });
        Self { address, is_open }
    }
}

/// The server that `scripts/services` has started; in CI it must be there.
fn server() -> Option<Url> {
    match std::env::var("VITRAL_TEST_POSTGRES") {
        Ok(url) => Some(url.parse().expect("a URL")),
        Err(_) if std::env::var_os("CI").is_some() => panic!("VITRAL_TEST_POSTGRES is missing"),
        Err(_) => {
            eprintln!(
                "left out: no PostgreSQL; scripts/services start postgres, then env $(scripts/services env) cargo test"
            );
            None
        }
    }
}

/// Every row of a table of `p` and `n`.
async fn rows(url: &Url, table: &str) -> Vec<(String, i64)> {
    let (client, connection) = tokio_postgres::connect(url.as_str(), NoTls).await.expect("a server");
    let connection = tokio::spawn(connection);
    let found = client.simple_query(&format!("SELECT p, n FROM \"{table}\" ORDER BY p")).await.unwrap_or_default();
    drop(client);
    connection.await.expect("no panic").expect("closed");
    let row = |message: SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => Some((row.get(0)?.to_owned(), row.get(1)?.parse().ok()?)),
        _ => None,
    };
    found.into_iter().filter_map(row).collect()
}

fn shown(number: i64) -> Vec<(String, i64)> {
    // Of ten keys, one is away each time.
    (0..10).filter(|key| key % 10 != number % 10).map(|key| (format!("p{key}"), number)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_goes_and_comes_back_while_rows_come_has_them_all() {
    let Some(url) = server() else { return };
    let table = format!("copia_{}", uuid::Uuid::new_v4().simple());
    let host = url.host_str().expect("a host");
    let door = Door::before(format!("{host}:{}", url.port().unwrap_or(5432))).await;
    let mut through = url.clone();
    through.set_host(Some("127.0.0.1")).expect("a host");
    through.set_port(Some(door.address.port())).expect("a port");
    let world = World::new(
        "CREATE VIEW copia WITH (connector = 'postgres', connection = 'loja', key = 'p', history = 'all') AS SELECT p, n FROM contagem;",
    );
    let show = |number: i64| {
        let rows = shown(number);
        world.show(&rows.iter().map(|(key, number)| (Some(key.as_str()), *number)).collect::<Vec<_>>());
    };
    let new_process = || {
        let key = ["p".to_owned()];
        let sink =
            PostgresSink::new(&DatabaseUrl::new(through.as_str()), &table, &key).expect("a URL that can be used");
        world.sinks(&[("copia", Arc::new(sink) as Arc<dyn Sink>)])
    };
    let mut sinks = new_process();
    let mut failures = 0;
    for number in 0..40 {
        show(number);
        if number % 10 == 5 {
            // In the middle of what it does.
            let away = async {
                tokio::time::sleep(Duration::from_millis(u64::try_from(number).expect("small"))).await;
                door.is_open.send_replace(false);
            };
            tokio::join!(sinks.poll(), away);
        }
        failures += sinks.poll().await.into_iter().filter(|(_, outcome)| outcome.is_err()).count();
        if number % 10 == 8 {
            door.is_open.send_replace(true);
        }
        if number % 10 == 7 {
            sinks = new_process();
        }
    }
    assert!(failures > 0, "it was away");
    let deadline = Instant::now() + PATIENCE;
    while rows(&url, &table).await != shown(39) {
        assert!(Instant::now() < deadline, "the copy is not equal to the view: {:?}", rows(&url, &table).await);
        sinks.poll().await;
    }
    assert_eq!(world.health("copia").failing, None);
}
