//! How Redis is reached: its addresses, its user, and how long it is waited for.

use std::fmt;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use vitral_connect::{Connection, Secret};

use crate::error::RedisConfigError;

/// What an address may begin with.
pub const SCHEMES: [&str; 6] =
    ["redis", "rediss", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster"];

const PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// How Redis is reached. Its `Debug` shows no password.
#[derive(Debug, Clone)]
pub struct RedisConfig {
    pub(crate) place: Place,
    pub(crate) is_encrypted: bool,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<SecretString>,
    /// Of the sentinels, which may have one of their own.
    pub(crate) sentinel_password: Option<SecretString>,
    pub(crate) database: i64,
    /// A file of certificates to trust instead of the system's.
    pub(crate) ca: Option<String>,
    /// How long an answer is waited for.
    pub(crate) read_timeout: Duration,
}

/// Which servers there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Server(Node),
    /// The master of a service, as these sentinels know it.
    Sentinels {
        sentinels: Vec<Node>,
        service: String,
    },
    /// Some nodes of a cluster, which know the others.
    Cluster(Vec<Node>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    pub host: String,
    pub port: u16,
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl RedisConfig {
    /// How long an answer is waited for unless something else is said: a query is often not much
    /// slower.
    pub const READ_TIMEOUT: Duration = Duration::from_millis(50);

    /// `redis://[user:password@]host[:port][/database]`, and with several hosts
    /// `redis+sentinel://host,host/service[/database]` or `redis+cluster://host,host`; `rediss` is
    /// encrypted.
    pub fn parse(address: &str) -> Result<Self, RedisConfigError> {
        let wrong = |reason: &str| RedisConfigError::Address(reason.to_owned());
        let (scheme, rest) = address.split_once("://").ok_or_else(|| wrong("has no scheme"))?;
        if !SCHEMES.contains(&scheme) {
            return Err(wrong("has another scheme"));
        }
        let (family, kind) = scheme.split_once('+').unwrap_or((scheme, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, hosts) =
            authority.rsplit_once('@').map_or((None, authority), |(login, hosts)| (Some(login), hosts));
        let port = if kind == "sentinel" { SENTINEL_PORT } else { PORT };
        let nodes = hosts.split(',').map(|host| node(host.trim(), port)).collect::<Option<Vec<_>>>();
        let mut nodes = nodes.ok_or_else(|| wrong("has a host or port that cannot be one"))?;
        let mut parts = path.split('/').filter(|part| !part.is_empty());
        let place = match kind {
            "sentinel" => {
                let service = parts.next().ok_or_else(|| wrong("names no service of its sentinels"))?.to_owned();
                Place::Sentinels { sentinels: nodes, service }
            }
            "cluster" => Place::Cluster(nodes),
            _ if nodes.len() > 1 => return Err(wrong("has several hosts and says not whether they are a cluster")),
            _ => Place::Server(nodes.remove(0)),
        };
        let database =
            parts.next().map(str::parse).transpose().map_err(|_| wrong("has a database that is not a number"))?;
        if parts.next().is_some() || matches!(place, Place::Cluster(_)) && database.is_some_and(|number| number != 0) {
            return Err(wrong("has a path that means nothing"));
        }
        let (user, password) = login.map(login_of).unwrap_or_default();
        Ok(Self {
            place,
            is_encrypted: family == "rediss",
            user,
            password,
            sentinel_password: None,
            database: database.unwrap_or_default(),
            ca: None,
            read_timeout: Self::READ_TIMEOUT,
        })
    }

    /// The same with another wait for answers.
    pub fn with_read_timeout(self, read_timeout: Duration) -> Self {
        Self { read_timeout, ..self }
    }

    /// Where it is, for logs.
    pub fn shown(&self) -> String {
        let nodes = match &self.place {
            Place::Server(node) => return node.to_string(),
            Place::Sentinels { sentinels, .. } => sentinels,
            Place::Cluster(nodes) => nodes,
        };
        nodes.iter().map(Node::to_string).collect::<Vec<_>>().join(",")
    }
}

impl TryFrom<&Connection> for RedisConfig {
    type Error = RedisConfigError;

    /// Options `user` and `ca`; secrets `password` and `sentinel_password`.
    fn try_from(connection: &Connection) -> Result<Self, RedisConfigError> {
        let mut config = Self::parse(&connection.url)?;
        let mut options = connection.options.keys();
        if let Some(key) = options.find(|key| !["user", "ca"].contains(&key.as_str())) {
            let reason = "is not an option of Redis: it has user and ca";
            return Err(connection.error(format!("options.{key}"), reason).into());
        }
        let mut secrets = connection.secrets.keys();
        if let Some(key) = secrets.find(|key| !["password", "sentinel_password"].contains(&key.as_str())) {
            let reason = "is not a secret of Redis: it has password and sentinel_password";
            return Err(connection.error(format!("secrets.{key}"), reason).into());
        }
        let secret = |name: &str| connection.secrets.get(name).map(|secret: &Secret| secret.expose().to_owned().into());
        config.user = connection.options.get("user").cloned().or(config.user);
        config.ca = connection.options.get("ca").cloned();
        config.password = secret("password").or(config.password);
        config.sentinel_password = secret("sentinel_password");
        Ok(config)
    }
}

/// A host with or without its port; an address of version 6 stands in brackets.
fn node(text: &str, default_port: u16) -> Option<Node> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            (host, rest.strip_prefix(':').or(rest.is_empty().then_some("")))
        }
        None => text.split_once(':').map_or((text, Some("")), |(host, port)| (host, Some(port))),
    };
    let port = match port? {
        "" => default_port,
        port => port.parse().ok()?,
    };
    (!host.is_empty() && !host.contains(char::is_whitespace)).then(|| Node { host: host.to_owned(), port })
}

/// User and password, in which signs may be written as in every URL.
fn login_of(login: &str) -> (Option<String>, Option<SecretString>) {
    let decoded = |text: &str| {
        // In a login these two stand for themselves.
        let pair = format!("x={}", text.replace('+', "%2B").replace('&', "%26"));
        form_urlencoded::parse(pair.as_bytes()).next().map(|(_, value)| value.into_owned()).unwrap_or_default()
    };
    let (user, password) = login.split_once(':').map_or((login, None), |(user, password)| (user, Some(password)));
    let user = Some(decoded(user)).filter(|user| !user.is_empty());
    (user, password.map(|password| decoded(password).into()))
}

impl RedisConfig {
    pub(crate) fn exposed_password(&self) -> Option<&str> {
        self.password.as_ref().map(ExposeSecret::expose_secret)
    }

    pub(crate) fn exposed_sentinel_password(&self) -> Option<&str> {
        self.sentinel_password.as_ref().map(ExposeSecret::expose_secret)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(texts: &[(&str, u16)]) -> Vec<Node> {
        texts.iter().map(|(host, port)| Node { host: (*host).to_owned(), port: *port }).collect()
    }

    #[test]
    fn addresses_say_which_servers_there_are() {
        let of = |address: &str| RedisConfig::parse(address).expect(address);
        assert_eq!(of("redis://a").place, Place::Server(nodes(&[("a", 6379)]).remove(0)));
        let one = of("rediss://leitor:p%40%C3%A7+%3D1%25@[::1]:7000/3");
        assert_eq!(one.place, Place::Server(nodes(&[("::1", 7000)]).remove(0)));
        assert!(one.is_encrypted && one.database == 3 && one.user.as_deref() == Some("leitor"));
        assert_eq!(one.exposed_password(), Some("p@ç+=1%"));
        let sentinels = of("redis+sentinel://:segredo@a:1, b/vitral/2");
        let service = "vitral".to_owned();
        assert_eq!(sentinels.place, Place::Sentinels { sentinels: nodes(&[("a", 1), ("b", 26379)]), service });
        assert_eq!((sentinels.database, sentinels.user.as_deref()), (2, None));
        assert_eq!(sentinels.exposed_password(), Some("segredo"));
        assert_eq!(of("rediss+cluster://a,b:2").place, Place::Cluster(nodes(&[("a", 6379), ("b", 2)])));
        assert!(!format!("{one:?} {sentinels:?}").contains("segredo") && !format!("{one:?}").contains("p@"));
    }

    #[test]
    fn what_is_no_address_is_refused_without_being_repeated() {
        for wrong in [
            "localhost:6379",
            "http://a",
            "redis://",
            "redis://a:port",
            "redis://a,b",
            "redis://a/x",
            "redis://a/1/2",
            "redis+sentinel://a,b",
            "redis+cluster://a,b/1",
            "redis://u:SEGREDO@/1",
        ] {
            let error = RedisConfig::parse(wrong).expect_err(wrong).to_string();
            assert!(error.contains("redis+sentinel://") && !error.contains("SEGREDO"), "{error}");
        }
    }

    #[test]
    fn connections_bring_user_password_and_certificates() {
        let mut connection = Connection::to("redis://a");
        connection.options.insert("user".to_owned(), "vitral".to_owned());
        connection.options.insert("ca".to_owned(), "/ca.pem".to_owned());
        connection.secrets.insert("password".to_owned(), Secret::new("123".to_owned()));
        let config = RedisConfig::try_from(&connection).expect("a connection");
        assert_eq!((config.user.as_deref(), config.exposed_password()), (Some("vitral"), Some("123")));
        assert_eq!(config.ca.as_deref(), Some("/ca.pem"));
        connection.options.insert("tls".to_owned(), "yes".to_owned());
        let error = RedisConfig::try_from(&connection).expect_err("unknown").to_string();
        assert!(error.contains("options.tls is not an option of Redis"), "{error}");
    }
}
