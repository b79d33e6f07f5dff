//! The real listener: it answers over TCP, and stops although a live stream is open.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use vitral_api::ServeConfig;

use crate::world::{World, views, windows_view};

async fn ask(address: std::net::SocketAddr, path: &str) -> TcpStream {
    let mut connection = TcpStream::connect(address).await.expect("a connection");
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    connection.write_all(request.as_bytes()).await.expect("asked");
    connection
}

async fn read_until(connection: &mut TcpStream, end: &str) -> String {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    while !text.contains(end) {
        let count = connection.read(&mut buffer).await.expect("bytes");
        assert_ne!(count, 0, "{text}");
        text.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
    text
}

#[tokio::test]
async fn shutdown_ends_streams_and_the_listener() {
    let world = World::new(windows_view(Vec::new(), vec![views("2025-05-14T22:30:00Z", &[("p1", 1)])]));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let server = tokio::spawn(world.serve(listener, ServeConfig::default()));

    let mut health = ask(address, "/healthz").await;
    assert!(read_until(&mut health, "\r\n\r\n").await.starts_with("HTTP/1.1 200 OK"));
    let mut stream = ask(address, "/metricas/produtos_mais_vistos/ao_vivo").await;
    assert!(read_until(&mut stream, "\n\n").await.contains("data: {\"nome\":\"produtos_mais_vistos\""));

    world.shutdown.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(5), server).await.expect("in time");
    ended.expect("no panic").expect("no error");
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.expect("the end");
    assert!(TcpStream::connect(address).await.is_err());
}
