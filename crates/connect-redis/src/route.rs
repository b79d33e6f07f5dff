//! The way to a server, to the master that sentinels know, or to a cluster, and a connection there.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, FromRedisValue, IntoConnectionInfo,
    RedisConnectionInfo, RedisResult, ScriptInvocation, TlsCertificates, TlsMode,
};
use tokio::sync::Mutex;

use crate::config::{Node, Place, RedisConfig};
use crate::error::RedisConfigError;

/// How long a connection may take, with its login.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// How connections are made.
pub(crate) enum Route {
    Server(Client),
    Sentinels(Mutex<SentinelClient>),
    Cluster(ClusterClient),
}

/// One connection, or one to each node. Copies share it.
#[derive(Clone)]
pub(crate) enum Connection {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Route {
    pub(crate) fn of(config: &RedisConfig) -> Result<Self, RedisConfigError> {
        let certificates = if config.is_encrypted { Some(certificates(config)?) } else { None };
        let route = match &config.place {
            Place::Server(node) => server(config, node, certificates).map(Self::Server),
            Place::Sentinels { sentinels, service } => {
                sentinel(config, sentinels, service, certificates).map(|client| Self::Sentinels(Mutex::new(client)))
            }
            Place::Cluster(nodes) => cluster(config, nodes, certificates).map(Self::Cluster),
        };
        route.map_err(|error| RedisConfigError::Client(error.to_string()))
    }

    /// A connection to whichever server is the right one now.
    pub(crate) async fn connect(&self, read_timeout: Duration) -> RedisResult<Connection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(read_timeout));
        match self {
            Self::Server(client) => {
                client.get_multiplexed_async_connection_with_config(&config).await.map(Connection::One)
            }
            Self::Sentinels(client) => {
                client.lock().await.get_async_connection_with_config(&config).await.map(Connection::One)
            }
            Self::Cluster(client) => client.get_async_connection().await.map(Connection::Cluster),
        }
    }
}

/// What is to be carried out.
#[derive(Clone, Copy)]
pub(crate) enum Command<'a> {
    Plain(&'a Cmd),
    /// By the script's hash; the script itself is sent where it is not known.
    Script(&'a ScriptInvocation<'a>),
}

impl Connection {
    pub(crate) async fn run<T: FromRedisValue>(&mut self, command: Command<'_>) -> RedisResult<T> {
        match (self, command) {
            (Self::One(connection), Command::Plain(command)) => command.query_async(connection).await,
            (Self::One(connection), Command::Script(script)) => script.invoke_async(connection).await,
            (Self::Cluster(connection), Command::Plain(command)) => command.query_async(connection).await,
            (Self::Cluster(connection), Command::Script(script)) => script.invoke_async(connection).await,
        }
    }
}

fn server(config: &RedisConfig, node: &Node, certificates: Option<TlsCertificates>) -> RedisResult<Client> {
    let info = info(config, node)?;
    match certificates {
        Some(certificates) => Client::build_with_tls(info, certificates),
        None => Client::open(info),
    }
}

fn sentinel(
    config: &RedisConfig,
    sentinels: &[Node],
    service: &str,
    certificates: Option<TlsCertificates>,
) -> RedisResult<SentinelClient> {
    let addresses = sentinels.iter().map(|node| address(config, node));
    let mut builder = SentinelClientBuilder::new(addresses, service, SentinelServerType::Master)?
        .set_client_to_redis_db(config.database);
    if let Some(user) = &config.user {
        builder = builder.set_client_to_redis_username(user);
    }
    if let Some(password) = config.exposed_password() {
        builder = builder.set_client_to_redis_password(password);
    }
    if let Some(password) = config.exposed_sentinel_password() {
        builder = builder.set_client_to_sentinel_password(password);
    }
    if let Some(certificates) = certificates {
        builder = builder
            .set_client_to_redis_tls_mode(TlsMode::Secure)
            .set_client_to_sentinel_tls_mode(TlsMode::Secure)
            .set_client_to_redis_certificates(certificates.clone())
            .set_client_to_sentinel_certificates(certificates);
    }
    builder.build()
}

fn cluster(config: &RedisConfig, nodes: &[Node], certificates: Option<TlsCertificates>) -> RedisResult<ClusterClient> {
    let nodes = nodes.iter().map(|node| info(config, node)).collect::<RedisResult<Vec<_>>>()?;
    let mut builder = ClusterClient::builder(nodes)
        // What fails is not worth another attempt: the answer is computed.
        .retries(1)
        .connection_timeout(CONNECT_TIMEOUT)
        .response_timeout(config.read_timeout);
    if let Some(certificates) = certificates {
        builder = builder.tls(TlsMode::Secure).certs(certificates);
    }
    builder.build()
}

fn info(config: &RedisConfig, node: &Node) -> RedisResult<ConnectionInfo> {
    let mut login = RedisConnectionInfo::default().set_db(config.database).set_skip_set_lib_name();
    if let Some(user) = &config.user {
        login = login.set_username(user);
    }
    if let Some(password) = config.exposed_password() {
        login = login.set_password(password);
    }
    Ok(address(config, node).into_connection_info()?.set_redis_settings(login))
}

fn address(config: &RedisConfig, node: &Node) -> ConnectionAddr {
    let Node { host, port } = node.clone();
    match config.is_encrypted {
        true => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
        false => ConnectionAddr::Tcp(host, port),
    }
}

/// The system's certificates, or those of the file.
fn certificates(config: &RedisConfig) -> Result<TlsCertificates, RedisConfigError> {
    // The client takes the process's own; if somebody has chosen one, that is it.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let read = |file: &String| {
        let wrong = |reason: String| RedisConfigError::Certificates { file: file.clone(), reason };
        let certificates = std::fs::read(file).map_err(|error| wrong(error.to_string()))?;
        if certificates.windows(CERTIFICATE.len()).any(|part| part == CERTIFICATE) {
            Ok(certificates)
        } else {
            Err(wrong("there is no certificate in it".to_owned()))
        }
    };
    Ok(TlsCertificates { client_tls: None, root_cert: config.ca.as_ref().map(read).transpose()? })
}

/// What each begins with.
const CERTIFICATE: &[u8] = b"-----BEGIN CERTIFICATE-----";
