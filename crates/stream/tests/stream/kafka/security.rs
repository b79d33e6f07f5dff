//! Brokers that want TLS and a password, a certificate or a token; and what is said when they do
//! not let us in.

mod token_endpoint;

use std::collections::BTreeMap;
use std::time::Duration;

use vitral_connect::{ConnectError, Source};
use vitral_connect_kafka::{
    ClientError, EventProducer, KafkaConfig, KafkaConnector, KafkaSource, Problem, ProblemKind,
};
use vitral_panes::view::View;
use vitral_schemas::position::PartitionId;
use vitral_stream::StreamError;

use self::token_endpoint::{Answer, TokenEndpoint};
use crate::world::{PATIENCE, Shop, end, event, failure, key, wait_for, wait_until};

/// The listeners of `scripts/services start kafka`.
struct Listeners {
    plain: KafkaConfig,
    passwords: String,
    certificates: String,
    expired: String,
    tls: String,
}

impl Listeners {
    /// Without a broker the tests say so and pass; in CI its absence is a failure.
    fn find() -> Option<Self> {
        let plain = super::world::kafka()?;
        let variable = |name: &str| {
            std::env::var(format!("VITRAL_TEST_KAFKA_{name}"))
                .unwrap_or_else(|_| panic!("VITRAL_TEST_KAFKA_{name} is not set: restart kafka by scripts/services"))
        };
        Some(Self {
            plain,
            passwords: variable("SASL_SSL"),
            certificates: variable("MTLS"),
            expired: variable("EXPIRED"),
            tls: variable("TLS"),
        })
    }

    fn file(&self, name: &str) -> String {
        format!("{}/{name}", self.tls)
    }

    fn password(&self, mechanism: &str, user: &str, password: &str) -> KafkaConfig {
        let ca = self.file("ca.pem");
        kafka(
            &self.passwords,
            &[
                ("security.protocol", "SASL_SSL"),
                ("ssl.ca.location", &ca),
                ("sasl.mechanism", mechanism),
                ("sasl.username", user),
                ("sasl.password", password),
            ],
        )
    }

    fn certificate(&self, client: bool) -> KafkaConfig {
        let (ca, certificate, key) = (self.file("ca.pem"), self.file("client.crt"), self.file("client.key"));
        let mut options = vec![("security.protocol", "SSL"), ("ssl.ca.location", ca.as_str())];
        if client {
            options.extend([("ssl.certificate.location", certificate.as_str()), ("ssl.key.location", key.as_str())]);
        }
        kafka(&self.certificates, &options)
    }

    fn token(&self, endpoint: &TokenEndpoint) -> KafkaConfig {
        let ca = self.file("ca.pem");
        kafka(
            &self.passwords,
            &[
                ("security.protocol", "SASL_SSL"),
                ("ssl.ca.location", &ca),
                ("sasl.mechanism", "OAUTHBEARER"),
                ("sasl.oauthbearer.method", "oidc"),
                ("sasl.oauthbearer.token.endpoint.url", &endpoint.url),
                ("sasl.oauthbearer.client.id", "shop"),
                ("sasl.oauthbearer.client.secret", "a secret/with +"),
                ("sasl.oauthbearer.scope", "kafka"),
                ("sasl.oauthbearer.extensions", "logicalCluster=lkc-1"),
            ],
        )
    }
}

fn kafka(brokers: &str, options: &[(&str, &str)]) -> KafkaConfig {
    let options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    KafkaConfig { brokers: brokers.to_owned(), options }
}

fn problem(error: &ConnectError) -> &Problem {
    match error.cause().downcast_ref() {
        Some(ClientError::Connection { problem, .. }) => problem,
        _ => panic!("{error}"),
    }
}

fn with(mut kafka: KafkaConfig, changes: &[(&str, &str)]) -> KafkaConfig {
    for (key, value) in changes {
        kafka.options.insert((*key).to_owned(), (*value).to_owned());
    }
    kafka
}

/// Makes topics, sends events and a message that is refused, reads them, and sends the dead letter:
/// every client of ours.
async fn all_clients_get_through(kafka: KafkaConfig) {
    let shop = Shop::on(kafka, 2).await;
    let dir = tempfile::tempdir().expect("a folder");
    let (stream, mut view) = shop.start(dir.path());
    let events: Vec<_> = (0..20).map(|id| (key(id), event(id, "p1", "clique"))).collect();
    shop.produce(&events);
    shop.produce(&[("u1", "no event")]);
    let seen = wait_for(&mut view, "all are read", |seen| seen.read == 21).await;
    assert_eq!((seen.counted, seen.refused), (20, 1));
    end(stream).await;
    assert_eq!(shop.dead_letters(1)[0].payload, b"no event");
}

/// What readiness says of Kafka while a topic is served.
fn in_the_way(view: &View) -> Option<String> {
    view.health.topics().into_values().find_map(|topic| topic.kafka)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_client_gets_through_by_password() {
    let Some(listeners) = Listeners::find() else { return };
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        all_clients_get_through(listeners.password(mechanism, "vitral", "vitral-secret")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_client_gets_through_by_certificate() {
    let Some(listeners) = Listeners::find() else { return };
    all_clients_get_through(listeners.certificate(true)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_client_gets_through_by_token() {
    let Some(listeners) = Listeners::find() else { return };
    let endpoint = TokenEndpoint::start(&listeners.tls, Answer::Token { seconds: 300 });
    all_clients_get_through(listeners.token(&endpoint)).await;
    let request = endpoint.last_request();
    // The secret as RFC 6749 wants it: form-encoded first.
    assert!(request.contains("authorization: Basic c2hvcDphK3NlY3JldCUyRndpdGgrJTJC"), "{request}");
    assert!(request.ends_with("grant_type=client_credentials&scope=kafka"), "{request}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_renewed_before_it_ends_and_a_refusal_meanwhile_is_waited_out() {
    let Some(listeners) = Listeners::find() else { return };
    let endpoint = TokenEndpoint::start(&listeners.tls, Answer::Token { seconds: 4 });
    let kafka = listeners.token(&endpoint);
    // The events come by another way, so that only the stream needs tokens.
    let shop = Shop::on(listeners.plain.clone(), 1).await;
    let dir = tempfile::tempdir().expect("a folder");
    let (stream, mut view) = shop.through(KafkaConnector::new(kafka.clone())).start(dir.path());
    shop.produce(&[(key(1), event(1, "p1", "clique"))]);
    wait_for(&mut view, "the first is read", |seen| seen.read == 1).await;

    let requests = endpoint.requests();
    endpoint.wait_for_requests(requests + 8).await;
    shop.produce(&[(key(2), event(2, "p1", "clique"))]);
    wait_for(&mut view, "the second is read by a later token", |seen| seen.read == 2).await;

    // Longer than a token's life without a new one: the broker closes the connection.
    endpoint.answer(Answer::Refusal);
    let mut lone = KafkaSource::new(&kafka, &shop.topic.kafka_topic, 8 << 20).expect("a source");
    lone.assign(&BTreeMap::from([(PartitionId(0), None)])).expect("assigned");
    let asked = tokio::task::spawn_blocking(move || lone.log().partitions().expect_err("a refusal"));
    let refused = asked.await.expect("asked");
    assert!(refused.to_string().contains("invalid_client"), "{refused}");
    endpoint.wait_for_requests(endpoint.requests() + 6).await;
    let is_named = |view: &View| in_the_way(view).is_some_and(|words| words.contains("invalid_client"));
    wait_until(&mut view, "readiness names the refusal while the topic is served", is_named).await;

    endpoint.answer(Answer::Token { seconds: 300 });
    shop.produce(&[(key(3), event(3, "p1", "clique"))]);
    wait_for(&mut view, "the third is read once tokens come again", |seen| seen.read == 3).await;
    wait_until(&mut view, "nothing is in the way any more", |view| in_the_way(view).is_none()).await;
    end(stream).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_endpoint_that_is_away_is_waited_for() {
    let Some(listeners) = Listeners::find() else { return };
    let endpoint = TokenEndpoint::start(&listeners.tls, Answer::Away);
    let shop = Shop::on(listeners.plain.clone(), 1).await;
    shop.produce(&[(key(1), event(1, "p1", "clique"))]);
    let dir = tempfile::tempdir().expect("a folder");
    let (stream, mut view) = shop.through(KafkaConnector::new(listeners.token(&endpoint))).start(dir.path());
    endpoint.wait_for_requests(2).await;
    endpoint.answer(Answer::Token { seconds: 300 });
    wait_for(&mut view, "the event is read", |seen| seen.read == 1).await;
    end(stream).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_us_out_is_told_apart() {
    let Some(listeners) = Listeners::find() else { return };
    let refusing = TokenEndpoint::start(&listeners.tls, Answer::Refusal);
    let (ca, other_ca) = (listeners.file("ca.pem"), listeners.file("other-ca.pem"));
    let user = || listeners.password("SCRAM-SHA-256", "vitral", "vitral-secret");
    let port = |address: &str| address.rsplit_once(':').expect("a port").1.to_owned();
    let by_another_name = format!("localhost:{}", port(&listeners.passwords));
    let tls_only = [("security.protocol", "SSL"), ("ssl.ca.location", ca.as_str())];
    let cases = [
        (listeners.password("PLAIN", "vitral", "wrong"), ProblemKind::Password, "sasl.password"),
        (listeners.password("SCRAM-SHA-512", "vitral", "wrong"), ProblemKind::Password, "sasl.password"),
        (listeners.password("SCRAM-SHA-512", "nobody", "wrong"), ProblemKind::Password, "sasl.username"),
        (with(user(), &[("ssl.ca.location", &other_ca)]), ProblemKind::UnknownCa, "ssl.ca.location"),
        (KafkaConfig { brokers: by_another_name, ..user() }, ProblemKind::OtherHostName, "127.0.0.1"),
        (kafka(&listeners.expired, &tls_only), ProblemKind::CertificateExpired, "renew"),
        (listeners.certificate(false), ProblemKind::ClientCertificate, "ssl.certificate.location"),
        (kafka(&listeners.plain.brokers, &tls_only), ProblemKind::NotTls, "security.protocol"),
        (
            KafkaConfig {
                brokers: listeners.certificates.clone(),
                ..with(
                    listeners.certificate(true),
                    &[
                        ("security.protocol", "SASL_SSL"),
                        ("sasl.mechanism", "PLAIN"),
                        ("sasl.username", "vitral"),
                        ("sasl.password", "vitral-secret"),
                    ],
                )
            },
            ProblemKind::Mechanism,
            "sasl.mechanism",
        ),
        (listeners.password("PLAIN", "stranger", "stranger-secret"), ProblemKind::TopicAuthorization, "Read"),
        (listeners.token(&refusing), ProblemKind::Token, "invalid_client"),
    ];
    let shop = Shop::on(listeners.plain.clone(), 1).await;
    let mut streams = Vec::new();
    for (kafka, kind, word) in cases {
        let dir = tempfile::tempdir().expect("a folder");
        let (stream, _) = shop.through(KafkaConnector::new(kafka)).start(dir.path());
        streams.push((stream, dir, kind, word));
    }
    for (stream, _dir, kind, word) in streams {
        let error = failure(stream).await;
        let text = error.to_string();
        let StreamError::Connect(error) = error else { panic!("{kind:?}: {text}") };
        let problem = problem(&error);
        assert!(!error.is_worth_a_retry(), "{text}");
        assert_eq!(problem.kind, kind, "{text}");
        assert!(text.contains(word) && !text.contains("secret") && !text.contains("wrong"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_wants_more_than_is_set_is_waited_for_with_a_hint() {
    let Some(listeners) = Listeners::find() else { return };
    let ca = listeners.file("ca.pem");
    let tls_only = [("security.protocol", "SSL"), ("ssl.ca.location", ca.as_str())];
    for (kafka, kind) in [
        (kafka(&listeners.passwords, &[]), ProblemKind::PerhapsTls),
        (kafka(&listeners.passwords, &tls_only), ProblemKind::PerhapsSasl),
    ] {
        let asked = tokio::task::spawn_blocking(move || {
            let source = KafkaSource::new(&kafka, "eventos", 8 << 20).expect("a source");
            source.log().partitions().expect_err("no answer")
        });
        let error = tokio::time::timeout(PATIENCE, asked).await.expect("an answer").expect("asked");
        let problem = problem(&error);
        assert!(error.is_outage(), "{error}");
        assert_eq!(problem.kind, kind, "{problem}");
        assert!(!problem.is_refusal() && problem.to_string().contains("SASL_SSL"), "{problem}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_sends_learns_why_nothing_arrives() {
    let Some(listeners) = Listeners::find() else { return };
    let kafka = listeners.password("PLAIN", "vitral", "wrong");
    let sent = tokio::task::spawn_blocking(move || {
        let producer = EventProducer::new(&kafka, "eventos").expect("a producer");
        producer.send("u1", b"{}").expect("queued");
        producer.flush(Duration::from_secs(5)).expect_err("nothing arrives")
    });
    let error = sent.await.expect("sent").to_string();
    assert!(error.contains("sasl.password"), "{error}");
}
