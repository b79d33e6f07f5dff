//! Values that make no sense are refused before anything starts, all at once.

use std::net::SocketAddr;

use super::{Config, ConfigError, access, redacted, sql};

/// Between two problems; each begins with its key.
pub(super) const NEXT: &str = "\nconfiguration: ";

/// Only what can be seen without asking anybody: whether a broker answers is for `vitral doctor`.
pub(super) fn check(config: &Config) -> Result<(), ConfigError> {
    let mut problems = at_least(config);
    problems.extend(access::problems(&config.access));
    problems.extend(sql::problems(&config.sql));
    let mut is_wrong = |key: &str, value: &str, remedy: &str| problems.push(format!("{key} is {value:?}: {remedy}"));

    let brokers = config.kafka()?.brokers;
    if !brokers.split(',').map(str::trim).filter(|broker| !broker.is_empty()).all(has_port) {
        let key = format!("connections.{}.url", config.kafka.connection);
        let url = format!("kafka://{}", redacted::brokers(&brokers));
        is_wrong(&key, &url, "write kafka://host:port, several separated by commas, such as kafka://127.0.0.1:9092");
    }
    if config.api.listen.parse::<SocketAddr>().is_err() {
        let remedy = "write an address and a port, such as 127.0.0.1:8080, or 0.0.0.0:8080 for all addresses";
        is_wrong("api.listen", &config.api.listen, remedy);
    }
    for host in &config.api.hosts {
        if host.is_empty() || host.contains(['/', '@']) || host.contains(char::is_whitespace) {
            is_wrong("api.hosts", host, "write only names, such as vitral.example.com, without https:// and paths");
        }
    }
    let files = [("api.tls_certificate", &config.api.tls_certificate), ("api.tls_key", &config.api.tls_key)];
    if let [(given, Some(file)), (missing, None)] | [(missing, None), (given, Some(file))] = files {
        is_wrong(given, &file.display().to_string(), &format!("name the other file too, with {missing}"));
    }
    let stream_url = config.serve.stream_url.as_deref().map(|text| (text, url::Url::parse(text)));
    if let Some((text, url)) = stream_url
        && !url.is_ok_and(|url| ["http", "https"].contains(&url.scheme()) && url.host().is_some())
    {
        is_wrong("serve.stream_url", text, "write where the stream's API answers, such as http://stream:8080");
    }
    for (key, url) in [("store.url", &config.store.url), ("warehouse.stage", &config.warehouse.stage)] {
        // A text without a scheme may be a key in the wrong place.
        if let Some(url) = url.as_deref().filter(|url| scheme(url).is_none()) {
            is_wrong(
                key,
                &redacted::url(url),
                "write a bucket's URL, such as s3://bucket/prefix, gs://bucket or az://container",
            );
        }
        // Everything that names the place would print them.
        if let Some(url) = url.as_deref().filter(|url| has_credentials(url)) {
            is_wrong(key, &redacted::url(url), "write only the bucket, and keys in [store.options] or the environment");
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(ConfigError::Wrong(problems.join(NEXT))) }
}

fn at_least(config: &Config) -> Vec<String> {
    let wide = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let bounds = [
        ("stream.commit_interval_ms", wide(config.stream.commit_interval_ms), 1),
        ("stream.live_refresh_ms", wide(config.stream.live_refresh_ms), 1),
        ("stream.batch_rows", config.stream.batch_rows, 1),
        ("stream.uncommitted_bytes_max", config.stream.uncommitted_bytes_max, 1 << 20),
        ("panes.memory_bytes", config.panes.memory_bytes, 1 << 20),
        ("api.connections", config.api.connections, 2),
        ("api.answer_bytes", config.api.answer_bytes, 1 << 20),
        ("warehouse.pool_size", config.warehouse.pool_size, 1),
        ("query.memory_bytes", config.query.memory_bytes, 1 << 20),
        ("query.timeout_seconds", wide(config.query.timeout_seconds), 1),
        ("query.running_max", config.query.running_max, 1),
        ("cache.redis_timeout_ms", wide(config.cache.redis_timeout_ms), 1),
    ];
    let below = bounds.into_iter().filter(|(_, value, least)| value < least);
    below.map(|(key, value, least)| format!("{key} is {value}, and must be at least {least}")).collect()
}

/// A port may be left out, but what is in its place has to be one.
fn has_port(broker: &str) -> bool {
    let address = broker.rsplit_once("://").map_or(broker, |(_, address)| address);
    match address.rsplit_once(':') {
        Some((host, port)) if !address.ends_with(']') => !host.is_empty() && port.parse::<u16>().is_ok(),
        _ => !address.is_empty(),
    }
}

/// Whether something stands before an `@` or behind a `?`.
fn has_credentials(url: &str) -> bool {
    let place = url.split_once("://").map_or(url, |(_, place)| place);
    place.contains('?') || place.split('/').next().is_some_and(|host| host.contains('@'))
}

fn scheme(url: &str) -> Option<&str> {
    url.split_once("://").filter(|(_, rest)| !rest.is_empty()).map(|(scheme, _)| scheme)
}

#[cfg(test)]
mod tests {
    use vitral_connect::Connection;

    use super::*;

    fn config(change: impl FnOnce(&mut Config)) -> Result<(), ConfigError> {
        let mut config = Config::default();
        change(&mut config);
        check(&config)
    }

    #[test]
    fn addresses_that_cannot_be_any_are_refused_with_their_key() {
        config(|_| {}).expect("the defaults");
        let kafka = |brokers: &str| {
            let connection = Connection::to(format!("kafka://{brokers}"));
            config(|config| drop(config.connections.insert("kafka".to_owned(), connection)))
        };
        for brokers in ["localhost", "a:9092, b:9093", "[::1]:9092", "[::1]"] {
            kafka(brokers).expect(brokers);
        }
        for brokers in ["a:port", "a:99999", "a:9092,b:"] {
            let error = kafka(brokers).expect_err(brokers).to_string();
            assert!(error.contains("connections.kafka.url is") && error.contains("kafka://127.0.0.1:9092"), "{error}");
        }
        for listen in ["8080", "localhost:8080", ""] {
            let error = config(|config| config.api.listen = listen.to_owned()).expect_err(listen).to_string();
            assert!(error.contains("api.listen is") && error.contains("127.0.0.1:8080"), "{error}");
        }
        let error = config(|config| config.api.hosts = vec!["https://shop.example".to_owned()]).expect_err("a URL");
        assert!(error.to_string().contains("api.hosts is \"https://shop.example\""), "{error}");
    }

    #[test]
    fn a_store_that_is_not_a_url_is_refused() {
        config(|config| config.store.url = Some("s3://bucket/prefix".to_owned())).expect("a bucket");
        let error = config(|config| config.store.url = Some("bucket".to_owned())).expect_err("no URL").to_string();
        assert!(error.contains("store.url is") && error.contains("s3://bucket/prefix"), "{error}");
    }

    #[test]
    fn keys_in_a_store_s_url_are_refused_and_not_shown() {
        for url in ["s3://KEY:SEGREDO123@bucket/x", "az://container/x?sig=SEGREDO123", "gs://SEGREDO123@bucket"] {
            let error = config(|config| config.store.url = Some(url.to_owned())).expect_err(url).to_string();
            assert!(error.contains("[store.options]") && !error.contains("SEGREDO123"), "{error}");
        }
    }

    #[test]
    fn all_of_them_are_named_at_once() {
        let error = config(|config| {
            config.api.listen = "here".to_owned();
            config.query.running_max = 0;
            config.stream.commit_interval_ms = 0;
            config.stream.live_refresh_ms = 0;
        });
        let error = error.expect_err("several").to_string();
        for key in ["query.running_max", "stream.commit_interval_ms", "stream.live_refresh_ms"] {
            assert!(error.contains(&format!("{key} is 0, and must be at least 1")), "{key}: {error}");
        }
        assert!(error.contains("api.listen"), "{error}");
    }
}
