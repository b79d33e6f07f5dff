//! The configuration for printing: shown is what is known to be harmless, so that a setting nobody
//! thought of is hidden.

use std::collections::BTreeMap;

use url::Url;

const HIDDEN: &str = "(hidden)";

/// Settings of the Kafka client that hold no secret; one that ends with a dot stands for all that
/// begin so.
pub(super) const KAFKA_OPTIONS: &[&str] = &[
    "acks",
    "api.version.",
    "auto.offset.reset",
    "aws.region",
    "broker.address.",
    "client.dns.lookup",
    "client.id",
    "client.rack",
    "compression.",
    "connections.max.idle.ms",
    "debug",
    "enable.",
    "fetch.",
    "group.id",
    "https.ca.location",
    "linger.ms",
    "log.connection.close",
    "message.",
    "metadata.max.age.ms",
    "queue.",
    "queued.",
    "reconnect.",
    "request.timeout.ms",
    "retries",
    "retry.",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.oauthbearer.client.id",
    "sasl.oauthbearer.method",
    "sasl.oauthbearer.scope",
    "sasl.oauthbearer.token.endpoint.url",
    "sasl.username",
    "security.protocol",
    "session.timeout.ms",
    "socket.",
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.cipher.suites",
    "ssl.crl.location",
    "ssl.curves.list",
    "ssl.endpoint.identification.algorithm",
    "ssl.key.location",
    "ssl.keystore.location",
    "ssl.sigalgs.list",
    "topic.metadata.",
];

/// Settings of receivers of notifications that hold no secret.
pub(super) const RECEIVER_OPTIONS: &[&str] = &["format"];

/// Settings of the object store's client that hold no secret.
pub(super) const STORE_OPTIONS: &[&str] = &[
    "allow_http",
    "aws_allow_http",
    "aws_bucket",
    "aws_bucket_name",
    "aws_conditional_put",
    "aws_default_region",
    "aws_endpoint",
    "aws_endpoint_url",
    "aws_region",
    "aws_s3_express",
    "aws_unsigned_payload",
    "aws_virtual_hosted_style_request",
    "azure_container_name",
    "azure_endpoint",
    "azure_storage_account_name",
    "azure_use_azure_cli",
    "bucket",
    "connect_timeout",
    "endpoint",
    "google_application_credentials",
    "google_bucket",
    "google_bucket_name",
    "google_service_account_path",
    "region",
    "timeout",
];

/// Parameters of a database's URL that hold no secret.
pub(super) const DATABASE_OPTIONS: &[&str] = &[
    "application_name",
    "connect_timeout",
    "host",
    "hostaddr",
    "port",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "user",
];

pub(super) fn options(options: &mut BTreeMap<String, String>, harmless: &[&str]) {
    for (key, value) in options {
        if !is_harmless(key, harmless) {
            *value = HIDDEN.to_owned();
        } else if value.contains("://") {
            *value = url(value);
        }
    }
}

/// Whether an option is known to hold no secret.
pub(super) fn is_harmless(key: &str, harmless: &[&str]) -> bool {
    let key = key.to_lowercase();
    harmless.iter().any(|known| key == *known || (known.ends_with('.') && key.starts_with(known)))
}

/// `host:port` each, whatever stands before an `@`.
pub(super) fn brokers(brokers: &str) -> String {
    let shown = brokers.split(',').map(|broker| match broker.rsplit_once('@') {
        Some((_, address)) => format!("{HIDDEN}@{address}"),
        None => broker.to_owned(),
    });
    shown.collect::<Vec<_>>().join(",")
}

/// Without its password, and with what is known of its query; one that cannot be read may have its
/// password anywhere.
///
/// A user is shown for databases alone: elsewhere it may be a key.
pub fn url(text: &str) -> String {
    let Ok(mut shown) = Url::parse(text) else { return HIDDEN.to_owned() };
    let is_database = matches!(shown.scheme(), "postgres" | "postgresql" | "redshift");
    let kept: Vec<(String, String)> = shown
        .query_pairs()
        .filter(|(key, _)| key != "password")
        .map(|(key, value)| {
            let value = if DATABASE_OPTIONS.contains(&&*key) { value.into_owned() } else { HIDDEN.to_owned() };
            (key.into_owned(), value)
        })
        .collect();
    shown.set_query(None);
    shown.set_fragment(None);
    if !kept.is_empty() {
        shown.query_pairs_mut().extend_pairs(kept);
    }
    let hides_user = !is_database && !shown.username().is_empty();
    let outcome = match (hides_user, shown.password().is_some()) {
        (true, _) => shown.set_username("hidden").and_then(|()| shown.set_password(None)),
        (false, true) => shown.set_password(Some("hidden")),
        (false, false) => Ok(()),
    };
    if outcome.is_err() { HIDDEN.to_owned() } else { shown.into() }
}
