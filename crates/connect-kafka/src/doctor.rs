//! Kafka, step by step: names, connections, the protocol with its encryption and passwords, topics
//! and rights.

use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use vitral_schemas::finding::{Finding, SKEW_MS};
use vitral_schemas::time::{Clock, SystemClock};

use crate::config::KafkaConfig;
use crate::probe::{ProbedTopic, probe};

const ABOUT: &str = "kafka";
const CONNECT: Duration = Duration::from_secs(5);

/// Whether the brokers can be reached and these topics read.
pub async fn examine(kafka: &KafkaConfig, topics: Vec<String>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let named: Vec<_> = kafka.brokers.split(',').map(str::trim).filter(|broker| !broker.is_empty()).collect();
    let mut reached = 0;
    for broker in &named {
        match reach(broker).await {
            Ok(()) => reached += 1,
            Err(finding) => findings.push(finding),
        }
    }
    if reached == 0 {
        if named.is_empty() {
            findings.push(Finding::fail(ABOUT, "the connection names no broker", "set its url to kafka://host:9092"));
        }
        return findings;
    }
    findings.push(Finding::ok(ABOUT, format!("{reached} of {} brokers of the connection can be reached", named.len())));
    let asked_with = kafka.clone();
    let probed = tokio::task::spawn_blocking(move || probe(&asked_with, &topics)).await;
    let cluster = match probed {
        Ok(Ok(cluster)) => cluster,
        Ok(Err(reason)) => {
            findings.push(Finding::fail(ABOUT, format!("no broker answers as Kafka: {reason}"), remedy(&reason)));
            return findings;
        }
        Err(error) => {
            findings.push(Finding::fail(ABOUT, format!("the check itself failed: {error}"), "report this"));
            return findings;
        }
    };
    let mut advertised = 0;
    for (host, port) in &cluster.brokers {
        match reach(&format!("{host}:{port}")).await {
            Ok(()) => advertised += 1,
            Err(finding) => {
                let remedy = "the cluster says that a broker is there: set its advertised.listeners to what this machine reaches";
                findings.push(Finding { remedy: Some(remedy.to_owned()), ..finding });
            }
        }
    }
    findings.push(Finding::ok(ABOUT, format!("a cluster of {advertised} brokers answers")));
    findings.extend(cluster.topics.iter().map(|probed| topic(probed, named[0])));
    findings.extend(cluster.topics.iter().filter_map(newest));
    findings
}

/// Whether its name resolves and something listens there.
async fn reach(broker: &str) -> Result<(), Finding> {
    let address = broker.rsplit_once("://").map_or(broker, |(_, address)| address);
    let address = if address.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) {
        address.to_owned()
    } else {
        format!("{address}:9092")
    };
    let found = match tokio::time::timeout(CONNECT, lookup_host(&address)).await {
        Ok(Ok(found)) => found.collect::<Vec<_>>(),
        Ok(Err(error)) => {
            return Err(Finding::fail(
                ABOUT,
                format!("{address}: {error}"),
                "correct the name in the connection's url, or its DNS",
            ));
        }
        Err(_) => {
            return Err(Finding::fail(ABOUT, format!("{address}: no answer from DNS"), "check /etc/resolv.conf"));
        }
    };
    match tokio::time::timeout(CONNECT, TcpStream::connect(found.as_slice())).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(Finding::fail(
            ABOUT,
            format!("{address}: {error}"),
            "start the broker, or correct its port in the connection's url",
        )),
        Err(_) => Err(Finding::fail(ABOUT, format!("{address}: no answer"), "let this machine through the firewall")),
    }
}

/// Found by the words of the client library.
fn remedy(reason: &str) -> String {
    let reason = reason.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| reason.contains(word));
    let remedy = if has(&["does not speak tls", "plaintext broker listener", "wrong version number"]) {
        "the url names a port without TLS: set the connection's option \"security.protocol\" to \"PLAINTEXT\" or \"SASL_PLAINTEXT\", or the url's \
         port to that of the broker's TLS listener"
    } else if has(&["certificate", "ssl handshake", "ssl alert", "ssl.ca.location"]) {
        "the connection's option \"ssl.ca.location\" must name the CA that signed the broker's certificate, and the certificate must contain the \
         broker's name as the url has it"
    } else if has(&["authentication", "sasl"]) {
        "check the connection's \"security.protocol\", \"sasl.mechanism\", \"sasl.username\" and \"sasl.password\""
    } else if has(&["disconnected", "apiversion", "timed out", "transport"]) {
        "the broker may require encryption: set the connection's option \"security.protocol\" to \"SASL_SSL\" or \"SSL\"; or it is not a Kafka broker"
    } else {
        "check the connection's url and options, and the broker's log"
    };
    remedy.to_owned()
}

/// A topic as it was found; remedies are commands for this broker.
fn topic(probed: &ProbedTopic, broker: &str) -> Finding {
    let name = &probed.name;
    if let Some(reason) = &probed.unreadable {
        return Finding::fail(
            ABOUT,
            format!("topic {name} cannot be read: {reason}"),
            format!(
                "grant this user READ and DESCRIBE on topic {name} (kafka-acls --bootstrap-server {broker} --add --allow-principal User:NAME \
                 --operation Read --operation Describe --topic {name})"
            ),
        );
    }
    match (&probed.identity, probed.partitions) {
        (None, _) | (_, 0) => Finding::warn(
            ABOUT,
            format!("topic {name} does not exist yet, or this user may not see it"),
            format!(
                "create it (kafka-topics --bootstrap-server {broker} --create --topic {name} --partitions 4), or grant DESCRIBE; the stream \
                 waits for it"
            ),
        ),
        (Some(Err(reason)), _) => Finding::fail(
            ABOUT,
            format!("topic {name} cannot be described: {reason}"),
            "Vitral needs Kafka 2.8 or later, and the right to DESCRIBE its topics",
        ),
        (Some(Ok(_)), partitions) => {
            Finding::ok(ABOUT, format!("topic {name} has {partitions} partitions and can be read"))
        }
    }
}

/// Messages from the future are refused.
fn newest(probed: &ProbedTopic) -> Option<Finding> {
    let ahead_ms = probed.newest_ms? - SystemClock.now_ms();
    (ahead_ms > SKEW_MS).then(|| {
        Finding::warn(
            "clock",
            format!("the newest message of topic {} is stamped {} s in the future", probed.name, ahead_ms / 1000),
            "set the clocks of its producers and brokers, and this one, by NTP",
        )
    })
}

#[cfg(test)]
mod tests {
    use vitral_schemas::finding::State;

    use super::*;

    #[tokio::test]
    async fn brokers_that_cannot_be_reached() {
        let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = free.local_addr().expect("an address").port();
        drop(free);
        let brokers = format!("127.0.0.1:{port},no-such-name.invalid:9092");
        let findings = examine(&KafkaConfig { brokers, ..KafkaConfig::default() }, Vec::new()).await;
        assert!(findings.iter().all(|finding| finding.state == State::Fail), "{findings:?}");
        assert!(
            findings[0].found.contains("refused") && findings[1].found.contains("no-such-name.invalid"),
            "{findings:?}"
        );
        let none = KafkaConfig { brokers: String::new(), ..KafkaConfig::default() };
        assert!(examine(&none, Vec::new()).await[0].found.contains("names no broker"));
    }

    #[test]
    fn remedies_by_what_the_library_says() {
        for (reason, word) in [
            ("ssl://b:9093: SSL handshake failed: certificate verify failed", "ssl.ca.location"),
            ("the broker does not speak TLS at this port (SSL handshake failed)", "\"PLAINTEXT\""),
            (
                "ssl://b:9092: SSL handshake failed: Disconnected: connecting to a PLAINTEXT broker listener?",
                "\"PLAINTEXT\"",
            ),
            ("sasl_ssl://b:9093: SASL authentication error: Authentication failed", "sasl.password"),
            ("b:9093: Disconnected while requesting ApiVersion", "security.protocol"),
            ("something else", "the broker's log"),
        ] {
            assert!(remedy(reason).contains(word), "{reason}");
        }
    }

    #[test]
    fn topics_and_rights() {
        let good = ProbedTopic {
            name: "eventos".into(),
            partitions: 4,
            identity: Some(Ok("id".into())),
            ..ProbedTopic::default()
        };
        let topic = |probed: &ProbedTopic| topic(probed, "b:9092");
        assert_eq!(topic(&good).state, State::Ok);
        let absent = topic(&ProbedTopic { partitions: 0, identity: None, ..good.clone() });
        let remedy = absent.remedy.unwrap_or_default();
        assert!(absent.state == State::Warn && remedy.contains("--bootstrap-server b:9092 --create"), "{remedy}");
        let refused = ProbedTopic { unreadable: Some("Topic authorization failed".into()), ..good.clone() };
        assert!(topic(&refused).remedy.is_some_and(|remedy| remedy.contains("READ")));
        let future = ProbedTopic { newest_ms: Some(SystemClock.now_ms() + 60_000), ..good.clone() };
        assert!(newest(&future).is_some() && newest(&good).is_none());
    }
}
