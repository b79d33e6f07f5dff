//! An OIDC provider's token endpoint on this machine; its tokens are signed by the key that the
//! broker checks them with.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use crate::world::PATIENCE;

#[derive(Debug, Clone, Copy)]
pub enum Answer {
    Token { seconds: i64 },
    Refusal,
    Away,
}

pub struct TokenEndpoint {
    pub url: String,
    state: Arc<Mutex<State>>,
}

struct State {
    answer: Answer,
    requests: Vec<String>,
}

impl TokenEndpoint {
    /// Answers until the process ends.
    pub fn start(tls: &str, answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/token", listener.local_addr().expect("an address"));
        let state = Arc::new(Mutex::new(State { answer, requests: Vec::new() }));
        let (seen, key) = (Arc::clone(&state), Path::new(tls).join("oidc.key"));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let request = read(&stream);
                let answer = {
                    let mut state = seen.lock().expect("the state");
                    state.requests.push(request);
                    state.answer
                };
                reply(stream, answer, &key);
            }
        });
        Self { url, state }
    }

    pub fn answer(&self, answer: Answer) {
        self.state.lock().expect("the state").answer = answer;
    }

    pub fn requests(&self) -> usize {
        self.state.lock().expect("the state").requests.len()
    }

    pub fn last_request(&self) -> String {
        self.state.lock().expect("the state").requests.last().expect("a request").clone()
    }

    pub async fn wait_for_requests(&self, count: usize) {
        let began = Instant::now();
        while self.requests() < count {
            assert!(began.elapsed() < PATIENCE, "{} of {count} requests came", self.requests());
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
}

fn read(stream: &TcpStream) -> String {
    let mut reader = BufReader::new(stream);
    let (mut head, mut bytes) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a line");
        if let Some(count) = line.to_lowercase().strip_prefix("content-length:") {
            bytes = count.trim().parse().expect("a number");
        }
        if line.trim().is_empty() {
            break;
        }
        head.push_str(&line);
    }
    let mut body = vec![0; bytes];
    reader.read_exact(&mut body).expect("a body");
    head + &String::from_utf8(body).expect("a text")
}

fn reply(mut stream: TcpStream, answer: Answer, key: &Path) {
    let (status, body) = match answer {
        Answer::Token { seconds } => (
            "200 OK",
            format!(r#"{{"access_token":"{}","token_type":"Bearer","expires_in":{seconds}}}"#, token(seconds, key)),
        ),
        Answer::Refusal => ("401 Unauthorized", r#"{"error":"invalid_client"}"#.to_owned()),
        Answer::Away => ("503 Service Unavailable", String::new()),
    };
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    // A client that has left needs no answer.
    let _ = stream.write_all((head + &body).as_bytes());
}

/// Signed by openssl, which made the key.
fn token(seconds: i64, key: &Path) -> String {
    let now = chrono::Utc::now().timestamp();
    let claims = format!(
        r#"{{"iss":"http://127.0.0.1","aud":"kafka","sub":"vitral","scope":"kafka","iat":{now},"exp":{}}}"#,
        now + seconds
    );
    let signed = format!("{}.{}", encoded(br#"{"alg":"RS256","kid":"vitral-test"}"#), encoded(claims.as_bytes()));
    let mut openssl = Command::new("openssl")
        .args(["dgst", "-sha256", "-sign"])
        .arg(key)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("openssl");
    openssl.stdin.take().expect("its input").write_all(signed.as_bytes()).expect("written");
    let signature = openssl.wait_with_output().expect("a signature");
    assert!(signature.status.success(), "openssl could not sign");
    format!("{signed}.{}", encoded(&signature.stdout))
}

/// Base64 for URLs, without padding.
fn encoded(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let digits = bytes.chunks(3).flat_map(|chunk| {
        let bits = chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        (0..=chunk.len()).map(move |place| char::from(DIGITS[(bits >> (18 - 6 * place) & 63) as usize]))
    });
    digits.collect()
}
