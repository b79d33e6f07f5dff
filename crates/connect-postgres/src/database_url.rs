//! The URL by which a database's connection is opened: with its options and its password in it.

use std::fmt;

use url::Url;
use vitral_connect::{Connection, ConnectionError};

const SCHEMES: [&str; 3] = ["postgresql", "postgres", "redshift"];
/// Parameters that say which tables are meant.
const OF_PLACE: [&str; 5] = ["host", "hostaddr", "port", "dbname", "options"];
/// The one secret that databases take.
const PASSWORD: &str = "password";

/// A database's URL with everything that opens it, the password included. Its `Debug` shows none of
/// it.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// A URL `postgresql://user@host/database` or `redshift://...` that holds all that is needed.
    pub fn new(url: impl Into<String>) -> Self {
        Self(url.into())
    }

    /// The whole URL.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The part before `://`; empty where there is none.
    pub fn scheme(&self) -> &str {
        self.0.split_once("://").map_or("", |(scheme, _)| scheme)
    }

    /// Whether a table of some name is the same table by both: in one database, by one search path.
    pub fn has_tables_of(&self, other: &Self) -> bool {
        let places = [self, other].map(Self::place);
        places[0].is_some() && places[0] == places[1]
    }

    fn place(&self) -> Option<Place> {
        let url = Url::parse(&self.0).ok()?;
        let host = url.host_str().unwrap_or_default().to_lowercase();
        let host = if ["127.0.0.1", "[::1]"].contains(&host.as_str()) { "localhost".to_owned() } else { host };
        let default = if self.scheme() == "redshift" { 5439 } else { 5432 };
        let pairs = url.query_pairs().into_owned();
        let mut search: Vec<_> = pairs.filter(|(key, _)| OF_PLACE.contains(&key.as_str())).collect();
        search.sort_unstable();
        Some(Place { host, port: url.port().unwrap_or(default), database: url.path().to_owned(), search })
    }

    /// The same for a client of PostgreSQL, whose protocol Redshift speaks.
    pub(crate) fn as_postgres(&self) -> Self {
        match self.0.strip_prefix("redshift://") {
            Some(rest) => Self(format!("postgresql://{rest}")),
            None => self.clone(),
        }
    }
}

/// Where the tables of a URL are.
#[derive(PartialEq, Eq)]
struct Place {
    host: String,
    port: u16,
    database: String,
    /// The parameters that say where tables are looked for.
    search: Vec<(String, String)>,
}

impl TryFrom<&Connection> for DatabaseUrl {
    type Error = ConnectionError;

    /// The connection's URL with its options and the secret `password` as parameters. Fails where
    /// the URL is of another kind or cannot be read, and for any other secret.
    fn try_from(connection: &Connection) -> Result<Self, ConnectionError> {
        if !SCHEMES.contains(&connection.scheme()) {
            return Err(connection.error("url", "does not begin with postgresql:// or redshift://"));
        }
        let Ok(mut url) = Url::parse(connection.url.trim()) else {
            return Err(connection.error("url", "cannot be read: write postgresql://user@host/database"));
        };
        if let Some(key) = connection.secrets.keys().find(|key| *key != PASSWORD) {
            return Err(connection.error(format!("secrets.{key:?}"), "is not known: a database accepts password"));
        }
        let secret = connection.secrets.get(PASSWORD);
        if secret.is_some() && url.password().is_some() {
            return Err(
                connection.error("url", "has a password, and secrets.password is set too: take it out of the URL")
            );
        }
        let options = connection.options.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let pairs: Vec<_> = options.chain(secret.map(|secret| (PASSWORD, secret.expose()))).collect();
        if !pairs.is_empty() {
            url.query_pairs_mut().extend_pairs(pairs);
        }
        Ok(Self(url.into()))
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({}://...)", self.scheme())
    }
}

#[cfg(test)]
mod tests {
    use vitral_connect::Secret;

    use super::*;
    use crate::tls::secured;

    fn connection(url: &str, password: Option<&str>) -> Connection {
        let mut connection = Connection::to(url);
        connection.secrets.extend(password.map(|value| (PASSWORD.to_owned(), Secret::new(value.to_owned()))));
        connection
    }

    #[test]
    fn options_and_the_password_reach_the_client_as_they_stand() {
        // Signs that mean something in a URL.
        let password = "a+b c&d=e%40@:/?#ç";
        for scheme in ["postgresql", "redshift"] {
            let mut connection =
                connection(&format!("{scheme}://shop@localhost:5433/vendas?connect_timeout=3"), Some(password));
            connection.options.insert("sslmode".to_owned(), "disable".to_owned());
            connection.options.insert("options".to_owned(), "-c search_path=loja".to_owned());
            let url = DatabaseUrl::try_from(&connection).expect("valid");
            assert!(!format!("{url:?}").contains("a+b"));
            assert_eq!(url.scheme(), scheme);
            let config = secured(url.as_postgres().expose()).expect("a client's settings").config;
            assert_eq!(config.get_password(), Some(password.as_bytes()));
            assert_eq!((config.get_user(), config.get_dbname()), (Some("shop"), Some("vendas")));
            assert_eq!(config.get_connect_timeout().map(|wait| wait.as_secs()), Some(3));
            assert_eq!(config.get_options(), Some("-c search_path=loja"));
        }
    }

    #[test]
    fn urls_of_one_database_and_one_search_path_have_the_same_tables() {
        let url = DatabaseUrl::new("postgresql://vitral:a@127.0.0.1/loja?sslmode=disable");
        for (other, is_same) in [
            ("postgres://outro@LOCALHOST:5432/loja", true),
            ("postgresql://vitral@localhost:5433/loja", false),
            ("postgresql://vitral@localhost/outra", false),
            ("postgresql://vitral@localhost/loja?options=-csearch_path%3Dpublic", false),
            ("postgresql://vitral@db.example.com/loja", false),
        ] {
            assert_eq!(url.has_tables_of(&DatabaseUrl::new(other)), is_same, "{other}");
        }
    }

    #[test]
    fn what_a_database_does_not_take_is_named_without_its_value() {
        let mut other = connection("postgresql://u@db/shop", None);
        other.secrets.insert("sasl.password".to_owned(), Secret::new("hush".to_owned()));
        for (connection, word) in [
            (connection("mysql://u:hush@db/shop", None), "postgresql://"),
            (connection("postgresql://u:hush@db:port/shop", None), "cannot be read"),
            (connection("postgresql://u:hush@db/shop", Some("hush")), "take it out"),
            (other, "sasl.password"),
        ] {
            let error = DatabaseUrl::try_from(&connection).expect_err(word).to_string();
            assert!(error.contains(word) && !error.contains("hush"), "{error}");
        }
    }
}
