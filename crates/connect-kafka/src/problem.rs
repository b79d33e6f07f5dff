//! Why a broker cannot be used: what the client library says, with what to do.

use std::fmt;

use rdkafka::error::RDKafkaErrorCode as Code;

/// A connection that ends sooner than this after it was up was refused rather than lost.
const REFUSED_WITHIN_MS: u64 = 2_000;

/// What is in the way. Its remedy is part of how a [`Problem`] is displayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProblemKind {
    /// The broker's certificate is not accepted; which check fails is not known.
    Certificate,
    /// No CA that is trusted here has signed the broker's certificate.
    UnknownCa,
    /// The broker's certificate is for another host name.
    OtherHostName,
    /// The broker's certificate has expired.
    CertificateExpired,
    /// The broker's certificate is not valid yet, by this machine's clock.
    CertificateNotYetValid,
    /// The broker requires a client certificate, or does not accept ours.
    ClientCertificate,
    /// The broker does not speak TLS at this port.
    NotTls,
    /// The broker closes connections without TLS at once: it may require TLS.
    PerhapsTls,
    /// The broker closes connections after the handshake: it may require authentication.
    PerhapsSasl,
    /// The broker refuses the user or the password.
    Password,
    /// The broker does not support this SASL mechanism here.
    Mechanism,
    /// The token endpoint refused the client, or the broker its token.
    Token,
    /// The token endpoint does not answer.
    TokenEndpointAway,
    /// The user may not use the topic.
    TopicAuthorization,
    /// No broker can be reached.
    Unreachable,
}

/// Why a broker cannot be used. Displays as what is wrong, with a remedy and what the client
/// library said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What is in the way.
    pub kind: ProblemKind,
    /// What the client library said, without what changes from time to time.
    pub detail: String,
}

impl Problem {
    pub(crate) fn new(kind: ProblemKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }

    /// What a message of the client library says about reaching the broker; none if it says nothing
    /// about that.
    pub(crate) fn of(code: Option<Code>, text: &str) -> Option<Self> {
        let lower = text.to_lowercase();
        let says = |part: &str| lower.contains(part);
        let kind = if says("certificate verify failed") || says("failed to verify broker certificate") {
            ProblemKind::Certificate
        } else if says("ssl alert number") || says("client ssl authentication might be required") {
            // The broker's side of TLS refuses ours.
            ProblemKind::ClientCertificate
        } else if says("plaintext broker listener") || says("wrong version number") {
            ProblemKind::NotTls
        } else if says("mechanism handshake failed") || says("unsupported sasl mechanism") {
            ProblemKind::Mechanism
        } else if says("oauthbearer") || (code == Some(Code::Authentication) && says("token")) {
            ProblemKind::Token
        } else if code == Some(Code::Authentication) || says("sasl authentication error") {
            ProblemKind::Password
        } else if code == Some(Code::TopicAuthorizationFailed) {
            ProblemKind::TopicAuthorization
        } else if says("disconnected") && says("in state apiversion_query") && !says("ssl://") {
            ProblemKind::PerhapsTls
        } else if says("disconnected") && up_for_ms(&lower).is_some_and(|up| up < REFUSED_WITHIN_MS) {
            ProblemKind::PerhapsSasl
        } else if matches!(code, Some(Code::Resolve)) || says("failed to resolve") || says("connect to ") {
            ProblemKind::Unreachable
        } else {
            return None;
        };
        Some(Self::new(kind, without_state(text)))
    }

    /// Whether it stays until somebody changes a setting, here or at the broker.
    pub fn is_refusal(&self) -> bool {
        !matches!(
            self.kind,
            ProblemKind::Unreachable
                | ProblemKind::TokenEndpointAway
                | ProblemKind::PerhapsTls
                | ProblemKind::PerhapsSasl
        )
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.kind.what(), self.kind.remedy(), self.detail)
    }
}

impl ProblemKind {
    /// What is wrong.
    fn what(self) -> &'static str {
        match self {
            Self::Certificate => "certificate verify failed",
            Self::UnknownCa => {
                "certificate verify failed: the broker's certificate is not signed by ssl.ca.location, or without that by a CA that \
                 this system knows"
            }
            Self::OtherHostName => "certificate verify failed: the broker's certificate is of another host name",
            Self::CertificateExpired => "certificate verify failed: the broker's certificate has expired",
            Self::CertificateNotYetValid => "certificate verify failed: the broker's certificate is not valid yet",
            Self::ClientCertificate => "the broker does not accept the client's certificate, or wants one",
            Self::NotTls => "the broker does not speak TLS at this port",
            Self::PerhapsTls | Self::PerhapsSasl => "the broker closes the connection at once",
            Self::Password => "the broker refuses the user or the password",
            Self::Mechanism => "the broker does not accept this authentication method",
            Self::Token => "no token that the broker accepts",
            Self::TokenEndpointAway => "the token endpoint does not answer",
            Self::TopicAuthorization => "the user may not use this topic",
            Self::Unreachable => "the broker cannot be reached",
        }
    }

    /// What to do about it.
    fn remedy(self) -> &'static str {
        match self {
            Self::Certificate => {
                "check that ssl.ca.location is the CA of the broker's certificate, and that this names the host and has not expired"
            }
            Self::UnknownCa => "set ssl.ca.location to the file of the CA that signed it",
            Self::OtherHostName => {
                "use a host name in the connection's url that it contains, or have one issued that contains this name"
            }
            Self::CertificateExpired => "renew it at the broker",
            Self::CertificateNotYetValid => "check whether this machine's clock is right",
            Self::ClientCertificate => {
                "set ssl.certificate.location and ssl.key.location to one that its CA has signed and that has not expired"
            }
            Self::NotTls => "use the port of its TLS listener, or the security.protocol of this one",
            Self::PerhapsTls => "if this is a TLS listener, set security.protocol to SSL or SASL_SSL",
            Self::PerhapsSasl => "if this listener wants a password or token, set security.protocol to SASL_SSL",
            Self::Password => "correct sasl.username, sasl.password or sasl.mechanism",
            Self::Mechanism => "set sasl.mechanism to one of the listener's, or security.protocol to the listener's",
            Self::Token => {
                "correct the client and its rights at the token endpoint, and what the broker expects of tokens"
            }
            Self::TokenEndpointAway => "check whether sasl.oauthbearer.token.endpoint.url is right and up",
            Self::TopicAuthorization => {
                "give it the rights Read and Describe, and Create and Write for the topic's .dlq"
            }
            Self::Unreachable => "check that the connection's url is right and the broker is up",
        }
    }
}

/// How long the connection was up.
fn up_for_ms(text: &str) -> Option<u64> {
    let (before, _) = text.split_once("ms in state up")?;
    before.rsplit_once("after ")?.1.parse().ok()
}

/// The same problem has the same text, whenever it comes and on whichever thread.
pub(crate) fn without_state(text: &str) -> &str {
    let text = text.rsplit_once(" (after ").map_or(text, |(text, _)| text);
    let text = text.strip_prefix("[thrd:").and_then(|text| text.split_once("]: ")).map_or(text, |(_, text)| text);
    text.trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_library_says_is_told_apart() {
        let ssl = Some(Code::SSL);
        let transport = Some(Code::BrokerTransportFailure);
        let auth = Some(Code::Authentication);
        for (code, text, expected) in [
            (
                ssl,
                "sasl_ssl://h:1/bootstrap: SSL handshake failed: error:0A000086:SSL routines::certificate verify failed: broker certificate could \
                 not be verified (after 12ms in state SSL_HANDSHAKE)",
                ProblemKind::Certificate,
            ),
            (
                transport,
                "ssl://h:1/bootstrap: Receive failed: error:0A000412:SSL routines::ssl/tls alert bad certificate: SSL alert number 42 (after 2ms \
                 in state APIVERSION_QUERY)",
                ProblemKind::ClientCertificate,
            ),
            (
                transport,
                "ssl://h:1/bootstrap: SSL handshake failed: Disconnected: SSL connection closed by peer: connecting to a PLAINTEXT broker \
                 listener? (after 2ms in state SSL_HANDSHAKE)",
                ProblemKind::NotTls,
            ),
            (
                auth,
                "sasl_ssl://h:1/bootstrap: SASL authentication error: Authentication failed: Invalid username or password (after 317ms in state \
                 AUTH_REQ)",
                ProblemKind::Password,
            ),
            (
                auth,
                "sasl_ssl://h:1/bootstrap: SASL PLAIN mechanism handshake failed: Broker: Request not valid in current SASL state: broker's \
                 supported mechanisms:  (after 2ms in state AUTH_HANDSHAKE)",
                ProblemKind::Mechanism,
            ),
            (
                None,
                "[thrd:h:1/bootstrap]: h:1/bootstrap: Disconnected: connection closed by peer: receive 0 after POLLIN (after 9ms in state APIVERSION_QUERY)",
                ProblemKind::PerhapsTls,
            ),
            (
                None,
                "ssl://h:1/bootstrap: Disconnected: SSL connection closed by peer (after 3ms in state UP)",
                ProblemKind::PerhapsSasl,
            ),
            (
                transport,
                "h:1/bootstrap: Connect to ipv4#127.0.0.1:1 failed: Connection refused (after 0ms in state CONNECT)",
                ProblemKind::Unreachable,
            ),
        ] {
            let problem = Problem::of(code, text).expect("a problem");
            assert_eq!(problem.kind, expected, "{text}");
            assert!(!problem.detail.contains("(after ") && !problem.detail.contains("thrd"), "{}", problem.detail);
        }
        let lost = "ssl://h:1/1: Disconnected: SSL connection closed by peer (after 30000ms in state UP)";
        assert_eq!(Problem::of(transport, lost), None);
        assert_eq!(Problem::of(Some(Code::AllBrokersDown), "1/1 brokers are down"), None);
    }

    #[test]
    fn only_what_a_setting_must_change_is_a_refusal() {
        assert!(Problem::new(ProblemKind::Password, "").is_refusal());
        assert!(Problem::new(ProblemKind::UnknownCa, "").is_refusal());
        assert!(!Problem::new(ProblemKind::Unreachable, "").is_refusal());
        assert!(!Problem::new(ProblemKind::TokenEndpointAway, "").is_refusal());
    }
}
