//! The server that tests share, and servers of their own that they can stop.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mongodb::bson::{Document, doc};
use mongodb::{Client, Collection, Database};
use vitral_connect::Connection;
use vitral_schemas::diagnostic::Position;
use vitral_schemas::lookup::{LookupOrigin, LookupTable, NamedConnection, OnFailure};
use vitral_schemas::topic::{Column, ColumnKind};

/// How long a server may take to come up.
const PATIENCE: Duration = Duration::from_secs(60);

/// What `scripts/services` says; in CI it must be there.
pub fn said(variable: &str) -> Option<String> {
    match std::env::var(variable) {
        Ok(value) => Some(value),
        Err(_) if std::env::var_os("CI").is_some() => panic!("{variable} is missing"),
        Err(_) => {
            eprintln!("left out: no MongoDB");
            None
        }
    }
}

/// The shared server.
pub fn url() -> Option<String> {
    said("VITRAL_TEST_MONGODB")
}

pub async fn database(url: &str) -> Database {
    Client::with_uri_str(url).await.expect("a client").default_database().expect("a database")
}

/// An empty collection.
pub async fn fresh(url: &str, name: &str) -> Collection<Document> {
    let collection = database(url).await.collection(name);
    collection.drop().await.expect("dropped");
    collection
}

pub fn table(columns: &[(&str, ColumnKind)], timeout_ms: i64) -> LookupTable {
    let connection = NamedConnection { name: "clientes".to_owned(), position: Position::file("a.sql") };
    LookupTable {
        name: "perfis".to_owned(),
        columns: columns.iter().map(|(name, kind)| Column::new(*name, *kind)).collect(),
        key: columns[0].0.to_owned(),
        origin: LookupOrigin::MongoDb {
            connection,
            collection: "perfis".to_owned(),
            key_field: columns[0].0.to_owned(),
        },
        cache_ms: 0,
        timeout_ms,
        retries: 0,
        on_failure: OnFailure::Null,
    }
}

/// A server of one test alone.
pub struct OwnServer {
    program: PathBuf,
    data: tempfile::TempDir,
    address: String,
    process: Option<Child>,
}

impl OwnServer {
    pub async fn start() -> Option<Self> {
        let program = said("VITRAL_TEST_MONGODB_PROGRAM")?.into();
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = free.local_addr().expect("an address").to_string();
        drop(free);
        let data = tempfile::tempdir().expect("a folder");
        let mut server = Self { program, data, address, process: None };
        server.start_again().await;
        Some(server)
    }

    pub fn url(&self) -> String {
        format!("mongodb://{}/teste", self.address)
    }

    pub fn connection(&self) -> Connection {
        Connection::to(self.url())
    }

    pub async fn start_again(&mut self) {
        let mut command = Command::new(&self.program);
        command.arg("-address").arg(&self.address).arg("-data").arg(self.data.path());
        let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the server");
        self.process = Some(process);
        let began = Instant::now();
        let database = database(&format!("{}?serverSelectionTimeoutMS=500", self.url())).await;
        while let Err(error) = database.run_command(doc! { "ping": 1 }).await {
            assert!(began.elapsed() < PATIENCE, "the server does not come up: {error}");
        }
    }

    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("killed");
            process.wait().expect("ended");
        }
    }

    /// `STOP`: it answers no more and keeps its connections. `CONT`: it goes on.
    pub fn signal(&self, name: &str) {
        let id = self.process.as_ref().expect("it runs").id().to_string();
        let done = Command::new("kill").arg(format!("-{name}")).arg(id).status().expect("kill");
        assert!(done.success());
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        self.stop();
    }
}
