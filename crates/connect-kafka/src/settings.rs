//! What is wrong with a connection's settings, found before anything is connected; and which of
//! them are not the client library's.

use std::collections::BTreeMap;
use std::path::Path;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use crate::config::KafkaConfig;
use crate::error::ClientError;

/// Without the feature, settings that need it are an error that names it.
const HAS_TLS: bool = cfg!(feature = "kafka-tls");

/// Settings for tokens, which are fetched here: the client library would need libcurl for that.
const OURS: [&str; 3] = ["sasl.oauthbearer.", "https.ca.", "aws."];
/// Those of them that the library knows itself.
const STILL_THEIRS: [&str; 1] = ["sasl.oauthbearer.config"];

const FILES: [&str; 5] =
    ["ssl.ca.location", "ssl.certificate.location", "ssl.key.location", "ssl.keystore.location", "https.ca.location"];

/// The client's settings that all clients share.
pub fn client(config: &KafkaConfig) -> ClientConfig {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", &config.brokers).set("client.id", "vitral");
    // Everything that it logs goes to `Connection`, which decides what to show.
    client.set_log_level(RDKafkaLogLevel::Info);
    // OpenSSL, which is built in, has no CAs of its own: `probe` looks for the system's in the
    // usual places.
    let names_ca = |key: &String| key.starts_with("ssl.ca.");
    if HAS_TLS
        && Protocol::of(&config.options).is_ok_and(|protocol| protocol.tls)
        && !config.options.keys().any(names_ca)
    {
        client.set("ssl.ca.location", "probe");
    }
    for (key, value) in &config.options {
        if !is_ours(key) {
            client.set(key, value);
        }
    }
    client
}

fn is_ours(key: &str) -> bool {
    OURS.iter().any(|prefix| key.starts_with(prefix)) && !STILL_THEIRS.contains(&key)
}

/// What `security.protocol` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Protocol {
    tls: bool,
    sasl: bool,
}

impl Protocol {
    fn of(options: &BTreeMap<String, String>) -> Result<Self, String> {
        let name = options.get("security.protocol").map_or("plaintext", String::as_str).to_lowercase();
        match name.as_str() {
            "plaintext" => Ok(Self { tls: false, sasl: false }),
            "ssl" => Ok(Self { tls: true, sasl: false }),
            "sasl_plaintext" => Ok(Self { tls: false, sasl: true }),
            "sasl_ssl" => Ok(Self { tls: true, sasl: true }),
            _ => Err(format!("security.protocol is {name:?}: set it to PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL")),
        }
    }
}

/// The SASL mechanism, in capitals.
pub(crate) fn mechanism(options: &BTreeMap<String, String>) -> Option<String> {
    let named = options.get("sasl.mechanism").or_else(|| options.get("sasl.mechanisms"));
    named.map(|name| name.trim().to_uppercase())
}

/// Refuses settings that could not connect, or that would have no effect.
pub(crate) fn check(config: &KafkaConfig) -> Result<(), ClientError> {
    check_with(config, HAS_TLS).map_err(ClientError::Settings)
}

fn check_with(KafkaConfig { brokers, options }: &KafkaConfig, has_tls: bool) -> Result<(), String> {
    if brokers.contains('@') {
        return Err(
            "the list of brokers contains an @: it is host:port alone; set sasl.username and sasl.password".to_owned()
        );
    }
    let protocol = Protocol::of(options)?;
    let mechanism = mechanism(options);
    let needs_feature = protocol.tls.then_some("security.protocol").or_else(|| {
        let beyond_plain = mechanism.as_ref().is_some_and(|name| name != "PLAIN" && name != "GSSAPI");
        (protocol.sasl && beyond_plain).then_some("sasl.mechanism")
    });
    if let Some(setting) = needs_feature.filter(|_| !has_tls) {
        let value = options.get(setting).or(mechanism.as_ref()).map_or("", String::as_str);
        return Err(format!(
            "{setting} is {value}, which this program was built without: build it with the feature `kafka-tls`, which is on by default \
             (cargo build --locked --release --bin vitral --features kafka-tls)"
        ));
    }
    let only_with = |prefix: &str| options.keys().find(|key| key.starts_with(prefix)).cloned();
    if !protocol.sasl
        && let Some(key) = only_with("sasl.")
    {
        return Err(format!(
            "{key} is set, but security.protocol has no user: set that to SASL_SSL (or SASL_PLAINTEXT)"
        ));
    }
    if !protocol.tls
        && let Some(key) = only_with("ssl.")
    {
        return Err(format!("{key} is set, but security.protocol is without TLS: set that to SSL or SASL_SSL"));
    }
    for file in FILES {
        let is_absent = |path: &&String| path.as_str() != "probe" && !Path::new(path).exists();
        if let Some(path) = options.get(file).filter(is_absent) {
            return Err(format!("{file} is {path}, which does not exist or may not be read"));
        }
    }
    if !protocol.sasl {
        return Ok(());
    }
    let needed: &[&str] = match mechanism.as_deref() {
        Some("PLAIN" | "SCRAM-SHA-256" | "SCRAM-SHA-512") => &["sasl.username", "sasl.password"],
        // The settings of tokens are checked where tokens are fetched.
        Some("OAUTHBEARER") => &["sasl.oauthbearer.method"],
        Some("GSSAPI") => return Err("sasl.mechanism is GSSAPI: Kerberos is not built in".to_owned()),
        Some(name) => {
            return Err(format!(
                "sasl.mechanism is {name:?}: set it to PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER"
            ));
        }
        None => &["sasl.mechanism"],
    };
    match needed.iter().find(|key| !options.contains_key(**key)) {
        Some(key) => Err(format!("{key} is missing: security.protocol and sasl.mechanism need it")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(options: &[(&str, &str)], has_tls: bool) -> Result<(), String> {
        let options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        check_with(&KafkaConfig { brokers: "broker:9092".to_owned(), options }, has_tls)
    }

    const PLAIN: [(&str, &str); 3] = [("sasl.mechanism", "PLAIN"), ("sasl.username", "u"), ("sasl.password", "p")];

    #[test]
    fn without_the_feature_what_needs_it_names_it() {
        let scram = [("security.protocol", "SASL_PLAINTEXT"), ("sasl.mechanism", "scram-sha-256")];
        for options in [&[("security.protocol", "SASL_SSL")][..], &[("security.protocol", "ssl")], &scram] {
            let error = checked(options, false).expect_err("a refusal");
            assert!(error.contains("kafka-tls") && error.contains("cargo build"), "{error}");
        }
        let mut plain = PLAIN.to_vec();
        plain.push(("security.protocol", "SASL_PLAINTEXT"));
        assert_eq!(checked(&plain, false), Ok(()));
        assert_eq!(checked(&[], false), Ok(()));
    }

    #[test]
    fn settings_that_would_do_nothing_are_refused() {
        for (options, word) in [
            (&PLAIN[..], "SASL_SSL"),
            (&[("ssl.ca.pem", "x")], "without TLS"),
            (&[("security.protocol", "TLS")], "SASL_SSL"),
            (&[("security.protocol", "SASL_SSL")], "sasl.mechanism"),
            (&[("security.protocol", "SASL_SSL"), ("sasl.mechanism", "PLAIN")], "sasl.username"),
            (&[("security.protocol", "SASL_SSL"), ("sasl.mechanism", "GSSAPI")], "Kerberos"),
            (&[("security.protocol", "SASL_SSL"), ("sasl.mechanism", "SCRAM-SHA-1")], "SCRAM-SHA-256"),
            (&[("security.protocol", "SASL_SSL"), ("sasl.mechanism", "OAUTHBEARER")], "sasl.oauthbearer.method"),
            (&[("security.protocol", "SSL"), ("ssl.ca.location", "/nowhere/ca.pem")], "/nowhere/ca.pem"),
        ] {
            let error = checked(options, true).expect_err("a refusal");
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn a_password_among_the_brokers_is_refused_without_being_shown() {
        let config = KafkaConfig { brokers: "user:hush@broker:9092".to_owned(), options: BTreeMap::new() };
        let error = check_with(&config, true).expect_err("a refusal");
        assert!(!error.contains("hush"), "{error}");
    }

    #[test]
    fn what_we_do_ourselves_is_kept_from_the_library() {
        let options = [
            ("security.protocol", "SASL_SSL"),
            ("sasl.mechanism", "OAUTHBEARER"),
            ("sasl.oauthbearer.method", "oidc"),
            ("sasl.oauthbearer.client.secret", "hush"),
        ];
        let options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let client = client(&KafkaConfig { brokers: "broker:9092".to_owned(), options });
        assert_eq!(client.get("sasl.mechanism"), Some("OAUTHBEARER"));
        assert_eq!(client.get("sasl.oauthbearer.method"), None);
        assert_eq!(client.get("sasl.oauthbearer.client.secret"), None);
    }
}
