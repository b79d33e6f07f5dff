//! Whether and how the connection to a database is encrypted.
//!
//! A server on another machine is reached by TLS or not at all, and only if its certificate is for
//! its name and signed by a known CA: what PostgreSQL calls `verify-full`. It takes
//! `sslmode=disable` to send passwords and rows in the clear.

use std::net::IpAddr;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::config::{Host, SslMode};
use url::Url;

/// A database's URL, and what it says about TLS.
pub(crate) struct Secured {
    pub(crate) config: tokio_postgres::Config,
    /// None for a connection in the clear.
    pub(crate) tls: Option<ClientConfig>,
}

/// The parameters that are handled here: the PostgreSQL client knows neither files nor the modes
/// that verify.
#[derive(Default)]
struct Settings {
    mode: Option<String>,
    root: Option<String>,
    certificate: Option<String>,
    key: Option<String>,
}

/// What is wrong is said without the URL, which may hold a password.
pub(crate) fn secured(url: &str) -> Result<Secured, String> {
    let (url, settings) = split(url)?;
    let mut config: tokio_postgres::Config = url.parse().map_err(|error: tokio_postgres::Error| error.to_string())?;
    let is_local = is_local(&config);
    let mode = settings.mode.as_deref().unwrap_or(if is_local { "disable" } else { "require" });
    match mode {
        "disable" => {
            if !is_local {
                tracing::warn!("sslmode=disable: the warehouse's password and rows go over the network in the clear");
            }
            config.ssl_mode(SslMode::Disable);
            Ok(Secured { config, tls: None })
        }
        "require" | "verify-ca" | "verify-full" => {
            config.ssl_mode(SslMode::Require);
            Ok(Secured { config, tls: Some(client_config(&settings)?) })
        }
        "prefer" | "allow" => Err(format!(
            "sslmode={mode} lets anyone on the network path turn encryption off: set sslmode=require, or disable"
        )),
        _ => Err(format!("sslmode={mode} is not known: set require, verify-full or disable")),
    }
}

fn split(url: &str) -> Result<(String, Settings), String> {
    let Ok(mut parsed) = Url::parse(url) else {
        return Err("it is not a URL: write postgresql://user@host/database".to_owned());
    };
    let mut settings = Settings::default();
    let mut rest = Vec::new();
    for (key, value) in parsed.query_pairs() {
        let value = value.into_owned();
        match &*key {
            "sslmode" => settings.mode = Some(value.to_lowercase()),
            "sslrootcert" => settings.root = Some(value).filter(|path| path != "system"),
            "sslcert" => settings.certificate = Some(value),
            "sslkey" => settings.key = Some(value),
            _ => rest.push((key.into_owned(), value)),
        }
    }
    parsed.set_query(None);
    if rest.is_empty() {
        return Ok((parsed.into(), settings));
    }
    // The PostgreSQL client takes a plus as it stands.
    let rest: String = form_urlencoded::Serializer::new(String::new()).extend_pairs(rest).finish().replace('+', "%20");
    parsed.set_query(Some(&rest));
    Ok((parsed.into(), settings))
}

/// Whether nothing leaves this machine.
fn is_local(config: &tokio_postgres::Config) -> bool {
    let addresses = config.get_hostaddrs();
    if !addresses.is_empty() {
        return addresses.iter().all(IpAddr::is_loopback);
    }
    config.get_hosts().iter().all(|host| match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            let address = name.trim_matches(['[', ']']).parse::<IpAddr>();
            name == "localhost" || address.is_ok_and(|address| address.is_loopback())
        }
    })
}

fn client_config(settings: &Settings) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(match &settings.root {
        Some(path) => certificates("sslrootcert", path)?,
        // The system's, or those of `SSL_CERT_FILE`.
        None => rustls_native_certs::load_native_certs().certs,
    });
    if added == 0 {
        return Err(match &settings.root {
            Some(path) => format!("sslrootcert={path} holds no certificate in PEM"),
            None => {
                "this system knows no certificates: install them (Debian: ca-certificates), or set sslrootcert=FILE"
                    .to_owned()
            }
        });
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots);
    match (&settings.certificate, &settings.key) {
        (Some(certificate), Some(key)) => {
            let private = PrivateKeyDer::from_pem_file(key);
            let private = private.map_err(|error| format!("sslkey={key} cannot be used: {error}"))?;
            let chain = certificates("sslcert", certificate)?;
            builder.with_client_auth_cert(chain, private).map_err(|error| format!("sslcert={certificate}: {error}"))
        }
        (None, None) => Ok(builder.with_no_client_auth()),
        _ => Err("sslcert and sslkey belong together: set both, or neither".to_owned()),
    }
}

fn certificates(setting: &str, path: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    read.map_err(|error| format!("{setting}={path} cannot be used: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether TLS is used; the reason where there is none.
    fn tls(url: &str) -> Result<bool, String> {
        // So that the answer does not depend on this machine's certificates.
        let root = Settings::default();
        assert!(root.root.is_none());
        secured(url).map(|secured| {
            assert_eq!(secured.tls.is_some(), secured.config.get_ssl_mode() == SslMode::Require);
            secured.tls.is_some()
        })
    }

    #[test]
    fn servers_elsewhere_are_reached_by_tls_and_those_here_as_they_are() {
        for local in ["localhost", "127.0.0.1", "[::1]", "%2Frun%2Fpostgresql"] {
            assert_eq!(tls(&format!("postgresql://u:p@{local}/shop")), Ok(false), "{local}");
        }
        for elsewhere in ["db.example.com", "10.0.0.7", "localhost.example.com"] {
            // Either TLS, or this machine has no certificates to verify the server with: never in
            // the clear.
            assert_ne!(tls(&format!("postgresql://u:p@{elsewhere}/shop")), Ok(false), "{elsewhere}");
            assert_eq!(tls(&format!("postgresql://u:p@{elsewhere}/shop?sslmode=disable")), Ok(false));
        }
        assert_ne!(tls("postgresql://u:p@/shop?host=db.example.com"), Ok(false));
        assert_ne!(tls("postgresql://localhost/shop?hostaddr=10.0.0.7"), Ok(false));
    }

    #[test]
    fn modes_that_can_be_stripped_and_unknown_ones_are_refused() {
        for mode in ["prefer", "allow", "full"] {
            let error = tls(&format!("postgresql://u:hush@db.example.com/shop?sslmode={mode}")).expect_err("a refusal");
            assert!(error.contains(mode) && error.contains("require") && !error.contains("hush"), "{error}");
        }
    }

    #[test]
    fn files_are_named_when_they_cannot_be_used() {
        for (query, word) in [
            ("sslrootcert=/nowhere/ca.pem", "/nowhere/ca.pem"),
            ("sslmode=verify-full&sslrootcert=/dev/null", "/dev/null"),
        ] {
            let error = tls(&format!("postgresql://u@db.example.com/shop?{query}")).expect_err("a refusal");
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn what_is_not_ours_reaches_the_client() {
        let url = "postgresql://u@localhost/shop?sslmode=disable&options=-c%20search_path%3Dshop&connect_timeout=3";
        let secured = secured(url).expect("valid");
        assert_eq!(secured.config.get_options(), Some("-c search_path=shop"));
        assert_eq!(secured.config.get_connect_timeout().map(|wait| wait.as_secs()), Some(3));
    }
}
