//! Messages that no client library sends, and those that few do.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::world::World;

struct Raw(TcpStream);

impl Raw {
    async fn new(world: &World) -> Self {
        Self(TcpStream::connect(world.address).await.expect("a connection"))
    }

    async fn signed_in(world: &World) -> Self {
        let mut raw = Self::new(world).await;
        raw.send(None, &[&196_608_i32.to_be_bytes()[..], b"user\0ana\0\0"].concat()).await;
        raw.until_ready().await;
        raw
    }

    async fn send(&mut self, kind: Option<u8>, body: &[u8]) {
        let length = u32::try_from(body.len() + 4).expect("a length");
        let kind: Vec<u8> = kind.into_iter().collect();
        let message = [kind.as_slice(), &length.to_be_bytes()[..], body].concat();
        self.0.write_all(&message).await.expect("sent");
    }

    /// The next message: its kind and what it has.
    async fn next(&mut self) -> (char, String) {
        let kind = self.0.read_u8().await.expect("a message");
        let length = self.0.read_u32().await.expect("its length");
        let mut body = vec![0; length as usize - 4];
        self.0.read_exact(&mut body).await.expect("its body");
        (char::from(kind), String::from_utf8_lossy(&body).into_owned())
    }

    async fn until_ready(&mut self) -> Vec<(char, String)> {
        let mut heard = Vec::new();
        loop {
            let message = self.next().await;
            if message.0 == 'Z' {
                return heard;
            }
            heard.push(message);
        }
    }
}

#[tokio::test]
async fn a_declared_cursor_is_a_portal() {
    let world = World::new().await;
    let mut raw = Raw::signed_in(&world).await;
    raw.send(Some(b'Q'), b"BEGIN; DECLARE c CURSOR FOR SELECT 1 AS um\0").await;
    raw.until_ready().await;
    raw.send(Some(b'D'), b"Pc\0").await;
    raw.send(Some(b'S'), b"").await;
    let heard = raw.until_ready().await;
    assert!(matches!(heard.as_slice(), [('T', columns)] if columns.contains("um\0")), "{heard:?}");
    raw.send(Some(b'C'), b"Pc\0").await;
    raw.send(Some(b'D'), b"Pc\0").await;
    raw.send(Some(b'S'), b"").await;
    let heard = raw.until_ready().await;
    assert!(matches!(heard.as_slice(), [('3', _), ('E', error)] if error.contains("C34000\0")), "{heard:?}");
}

#[tokio::test]
async fn what_is_no_startup_packet_is_answered_before_the_end() {
    let world = World::new().await;
    let second_version = [&8_u32.to_be_bytes()[..], &131_072_i32.to_be_bytes()].concat();
    for sent in [b"GET / HTTP/1.1\r\nHost: vitral\r\n\r\n".to_vec(), second_version, vec![0; 16]] {
        let mut raw = Raw::new(&world).await;
        raw.0.write_all(&sent).await.expect("sent");
        let (kind, error) = raw.next().await;
        assert!(kind == 'E' && error.contains("SFATAL\0") && error.contains("C08P01\0"), "{kind} {error}");
        let mut rest = Vec::new();
        raw.0.read_to_end(&mut rest).await.expect("the end");
        assert!(rest.is_empty(), "{rest:?}");
    }
}

#[tokio::test]
async fn what_is_no_message_ends_the_connection_with_an_error() {
    let world = World::new().await;
    let mut raw = Raw::signed_in(&world).await;
    raw.send(Some(b'?'), b"").await;
    let (kind, error) = raw.next().await;
    assert!(kind == 'E' && error.contains("SFATAL\0") && error.contains("C08P01\0"), "{kind} {error}");
}

#[tokio::test]
async fn a_message_that_is_not_what_it_says_ends_the_connection_with_an_error() {
    let world = World::new().await;
    let smuggled = b"select 'x'\0Q\0\0\0\x0eselect 42\0";
    for (kind, body) in [(b'P', &b"a\0select 1\0\x9c\x40"[..]), (b'B', b""), (b'E', b"\0"), (b'Q', smuggled)] {
        let mut raw = Raw::signed_in(&world).await;
        raw.send(Some(kind), body).await;
        let mut rest = Vec::new();
        raw.0.read_to_end(&mut rest).await.expect("the end");
        let said = String::from_utf8_lossy(&rest);
        assert!(rest[0] == b'E' && said.contains("SFATAL\0") && said.contains("C08P01\0"), "{said}");
        assert_eq!(rest.len(), 5 + u32::from_be_bytes([rest[1], rest[2], rest[3], rest[4]]) as usize - 4, "{said}");
    }
    // Also what comes with the first packet, before anybody has signed in.
    let mut raw = Raw::new(&world).await;
    let startup = [&[0, 0, 0, 18][..], &196_608_i32.to_be_bytes(), b"user\0ana\0\0"].concat();
    raw.0.write_all(&[&startup[..], b"P\0\0\0\x04"].concat()).await.expect("sent");
    let mut rest = Vec::new();
    raw.0.read_to_end(&mut rest).await.expect("the end");
    assert!(String::from_utf8_lossy(&rest).contains("C08P01\0"), "{rest:?}");
}
