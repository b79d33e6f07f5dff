//! Mail against a server of this process, and against a real one: it conforms, and knows what is
//! worth another attempt.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use vitral_connect::conformance::notifier_conforms;
use vitral_connect::{ConnectError, Connection, Event, Notification, Notifier, RetryHint, Secret};
use vitral_connect_notify::{MailTarget, mail_notifier};

/// How a server answers: the lines that begin so are answered by this, and everything else is
/// accepted.
type Refusals = BTreeMap<&'static str, &'static str>;

struct Server {
    address: String,
    /// Whole messages, each after the commands that came before it.
    messages: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn refusing(refusals: Refusals) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let messages: Arc<Mutex<Vec<String>>> = Arc::default();
        let (kept, refusals) = (Arc::clone(&messages), Arc::new(refusals));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(converse(stream, Arc::clone(&refusals), Arc::clone(&kept)));
            }
        });
        Self { address, messages }
    }

    fn notifier(&self) -> Box<dyn Notifier> {
        let mut connection = connection(&self.address);
        connection.options.insert("tls".to_owned(), "off".to_owned());
        connection.options.insert("user".to_owned(), "vitral".to_owned());
        connection.secrets.insert("password".to_owned(), Secret::new("hush".to_owned()));
        notifier(&connection)
    }

    fn messages(&self) -> Vec<String> {
        self.messages.lock().expect("no panic").clone()
    }
}

fn connection(address: &str) -> Connection {
    let mut connection = Connection::to(format!("smtp://{address}"));
    for (key, value) in [("from", "Vitral <vitral@example.com>"), ("to", "a@example.com, b@example.com")] {
        connection.options.insert(key.to_owned(), value.to_owned());
    }
    connection
}

fn notifier(connection: &Connection) -> Box<dyn Notifier> {
    mail_notifier(MailTarget::new(connection).expect("a target")).expect("a notifier")
}

/// One conversation, until the client hangs up.
async fn converse(stream: TcpStream, refusals: Arc<Refusals>, messages: Arc<Mutex<Vec<String>>>) -> Option<()> {
    let (reader, mut writer) = stream.into_split();
    let mut lines = BufReader::new(reader).lines();
    let mut said = String::new();
    writer.write_all(b"220 here\r\n").await.ok()?;
    while let Some(line) = lines.next_line().await.ok()? {
        said += &format!("{line}\n");
        let refusal = refusals.iter().find(|(begin, _)| line.starts_with(**begin)).map(|(_, answer)| *answer);
        let answer = match (refusal, line.split([' ', ':']).next().unwrap_or_default()) {
            (Some(answer), _) => answer.to_owned(),
            (None, "EHLO") => "250-here\r\n250 AUTH PLAIN LOGIN".to_owned(),
            (None, "AUTH") => "235 welcome".to_owned(),
            (None, "DATA") => {
                writer.write_all(b"354 go on\r\n").await.ok()?;
                while let Some(line) = lines.next_line().await.ok()?.filter(|line| line != ".") {
                    said += &format!("{line}\n");
                }
                messages.lock().expect("no panic").push(std::mem::take(&mut said));
                "250 kept".to_owned()
            }
            (None, "QUIT") => "221 goodbye".to_owned(),
            (None, _) => "250 ok".to_owned(),
        };
        writer.write_all(format!("{answer}\r\n").as_bytes()).await.ok()?;
    }
    Some(())
}

fn id_of(message: &str) -> String {
    let id = message.lines().find_map(|line| line.strip_prefix("Message-ID: <")).expect("an id");
    id.strip_suffix("@example.com>").expect("of the sender's domain").to_owned()
}

fn fired() -> Notification {
    Notification {
        id: "ruptura/p1/1/disparo".to_owned(),
        title: "Disparado: ruptura, São Paulo".to_owned(),
        text: "severidade warning, desde 28/11/2026 21:00:00\nproduto: Café".to_owned(),
        event: Event::Fired,
        ..Notification::default()
    }
}

async fn failure(refusals: Refusals) -> ConnectError {
    let server = Server::refusing(refusals).await;
    let error = server.notifier().deliver(&fired()).await.expect_err("refused");
    let text = error.to_string();
    assert!(text.starts_with(&server.address) && !text.contains("hush"), "{text}");
    assert!(server.messages().is_empty());
    error
}

#[tokio::test]
async fn mail_conforms() {
    let server = Server::refusing(Refusals::new()).await;
    let ids = async || server.messages().iter().map(|message| id_of(message)).collect();
    notifier_conforms(&server.notifier(), ids).await;
}

#[tokio::test]
async fn everybody_is_a_receiver_of_one_message() {
    let server = Server::refusing(Refusals::new()).await;
    server.notifier().deliver(&fired()).await.expect("accepted");
    let messages = server.messages();
    let [message] = messages.as_slice() else { panic!("{messages:?}") };
    for part in ["MAIL FROM:<vitral@example.com>", "RCPT TO:<a@example.com>", "RCPT TO:<b@example.com>", "AUTH PLAIN "]
    {
        assert!(message.contains(part), "{part}: {message}");
    }
    let head = message.split("\n\n").next().expect("a head");
    assert!(head.contains("Subject: =?utf-8?") || head.contains("Subject: Disparado: ruptura, =?utf-8?"), "{head}");
    assert!(head.contains("Content-Type: text/plain; charset=utf-8"), "{head}");
}

#[tokio::test]
async fn what_is_worth_another_attempt() {
    for (command, answer) in
        [("EHLO", "421 busy"), ("MAIL", "451 greylisted"), ("RCPT TO:<b@", "450 mailbox busy"), ("DATA", "452 no room")]
    {
        let error = failure([(command, answer)].into()).await;
        assert_eq!(error.retry_hint(), RetryHint::Outage, "{command}: {error}");
        assert!(error.to_string().contains(&answer[4..]), "{error}");
    }
    for (command, answer) in
        [("AUTH", "535 wrong password"), ("RCPT TO:<b@", "550 nobody of this name"), ("MAIL", "553 not a sender")]
    {
        let error = failure([(command, answer)].into()).await;
        assert_eq!(error.retry_hint(), RetryHint::Passing, "a setting may be corrected: {command}: {error}");
        assert!(error.to_string().contains(&answer[4..]), "{error}");
    }
}

#[tokio::test]
async fn nothing_is_sent_in_the_clear_unless_that_is_asked_for() {
    let server = Server::refusing(Refusals::new()).await;
    let error = notifier(&connection(&server.address)).deliver(&fired()).await.expect_err("there is no STARTTLS");
    assert!(error.to_string().contains("STARTTLS") && error.to_string().starts_with(&server.address), "{error}");
    assert_eq!(error.retry_hint(), RetryHint::Passing);
    assert!(server.messages().is_empty());
}

#[tokio::test]
async fn a_server_that_is_away_or_hangs_is_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    drop(listener);
    let mut away = connection(&address);
    away.options.insert("tls".to_owned(), "off".to_owned());
    let error = notifier(&away).deliver(&fired()).await.expect_err("nobody is there");
    assert!(error.is_outage() && error.to_string().starts_with(&address), "{error}");
    // One that takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = silent.local_addr().expect("an address").to_string();
    let mut hangs = connection(&address);
    hangs.options.insert("tls".to_owned(), "off".to_owned());
    let began = Instant::now();
    let error = notifier(&hangs).deliver(&fired()).await.expect_err("it says nothing");
    assert!(error.is_outage() && began.elapsed() < Duration::from_secs(50), "{error}");
    assert!(error.to_string().starts_with(&address), "{error}");
}

/// The real server's address, its folder of mail, and the certificate that it is known by; none
/// where there is no such server.
fn real_server() -> Option<(String, PathBuf, String)> {
    let Ok(address) = std::env::var("VITRAL_TEST_SMTP") else {
        assert!(std::env::var_os("CI").is_none(), "VITRAL_TEST_SMTP is not set: run scripts/services start mail");
        eprintln!("left out: VITRAL_TEST_SMTP is not set (scripts/services start mail)");
        return None;
    };
    let of = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: see scripts/services env"));
    Some((address, of("VITRAL_TEST_SMTP_MAIL").into(), of("VITRAL_TEST_SMTP_CA")))
}

fn mail_with(folder: &Path, id: &str) -> Vec<String> {
    let files = std::fs::read_dir(folder).expect("a folder").map(|file| file.expect("a file").path());
    let texts = files.map(|path| std::fs::read_to_string(path).expect("a message"));
    texts.filter(|text| text.lines().any(|line| line == format!("Message-ID: <{id}@example.com>"))).collect()
}

#[tokio::test]
async fn a_real_server_keeps_one_message_for_each_id_over_tls() {
    let Some((address, folder, ca)) = real_server() else { return };
    let mut connection = connection(&address);
    connection.options.insert("ca".to_owned(), ca);
    let notifier = notifier(&connection);
    let number = std::process::id();
    for (event, word) in [(Event::Fired, "disparo"), (Event::Resolved, "resolucao")] {
        let id = format!("ruptura/p{number}/1/{word}");
        notifier.deliver(&Notification { id: id.clone(), event, ..fired() }).await.expect("accepted");
        let found = mail_with(&folder, &id);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("X-RcptTo: a@example.com, b@example.com"), "{}", found[0]);
    }
    let untrusted = self::notifier(&self::connection(&address));
    let error = untrusted.deliver(&fired()).await.expect_err("its certificate is signed by somebody unknown");
    assert!(error.to_string().starts_with(&address), "{error}");
}
