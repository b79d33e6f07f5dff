//! Tokens for Amazon MSK with IAM: a signed request to connect, like those of AWS's own libraries.
//!
//! Made from the keys that the object store's client finds anyway: the AWS SDK, which the usual
//! crate needs, has more packages than everything else here that speaks Kafka.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use crate::aws_keys::{AwsKeys, aws_keys};
use crate::problem::{Problem, ProblemKind};
use crate::token::Token;

/// How long AWS accepts such a request.
const LIFETIME: Duration = Duration::from_secs(900);
const SERVICE: &str = "kafka-cluster";

pub(crate) struct MskIam {
    region: String,
}

impl MskIam {
    pub(crate) fn new(brokers: &str, options: &BTreeMap<String, String>) -> Result<Self, String> {
        let region = options
            .get("aws.region")
            .cloned()
            .or_else(|| region_of(brokers))
            .or_else(|| std::env::var("AWS_REGION").ok())
            .ok_or("sasl.oauthbearer.method = aws-msk-iam needs a region: set aws.region")?;
        // It becomes part of a host name.
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if region.is_empty() || !region.bytes().all(is_plain) {
            return Err(format!("aws.region is {region:?}: write it as sa-east-1"));
        }
        Ok(Self { region })
    }

    pub(crate) fn token(&self) -> Result<Token, Problem> {
        let away = |reason: String| Problem::new(ProblemKind::TokenEndpointAway, reason);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| away(error.to_string()))?;
        let keys = runtime.block_on(aws_keys(&self.region)).map_err(away)?;
        let now = chrono::DateTime::<chrono::Utc>::from(SystemTime::now());
        let token = signed(&keys, &self.region, &now.format("%Y%m%dT%H%M%SZ").to_string());
        Ok(Token { token, principal: "vitral".to_owned(), lifetime: LIFETIME, extensions: Vec::new() })
    }
}

/// `b-1.demo.ab12.c2.kafka.sa-east-1.amazonaws.com:9098`
fn region_of(brokers: &str) -> Option<String> {
    let host = brokers.split(',').next()?.split(':').next()?;
    let (rest, _) = host.split_once(".amazonaws.com")?;
    let (_, region) = rest.split_once(".kafka.").or_else(|| rest.split_once(".kafka-serverless."))?;
    Some(region.to_owned())
}

/// Signed with AWS Signature Version 4, in the query. `time` is `20250514T120000Z`.
fn signed(keys: &AwsKeys, region: &str, time: &str) -> String {
    let date = &time[..8];
    let scope = format!("{date}/{region}/{SERVICE}/aws4_request");
    let host = format!("kafka.{region}.amazonaws.com");
    // Names in the order in which they are signed.
    let mut query = vec![
        ("Action", "kafka-cluster:Connect".to_owned()),
        ("X-Amz-Algorithm", "AWS4-HMAC-SHA256".to_owned()),
        ("X-Amz-Credential", format!("{}/{scope}", keys.id)),
        ("X-Amz-Date", time.to_owned()),
        ("X-Amz-Expires", LIFETIME.as_secs().to_string()),
    ];
    query.extend(keys.session.clone().map(|session| ("X-Amz-Security-Token", session)));
    query.push(("X-Amz-SignedHeaders", "host".to_owned()));
    let query: Vec<String> = query.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    let query = query.join("&");
    let request = format!("GET\n/\n{query}\nhost:{host}\n\nhost\n{}", sha256(b""));
    let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", sha256(request.as_bytes()));
    let mut key = format!("AWS4{}", keys.secret).into_bytes();
    for part in [date, region, SERVICE, "aws4_request"] {
        key = hmac(&key, part.as_bytes());
    }
    let signature = hex(&hmac(&key, text.as_bytes()));
    let url = format!("https://{host}/?{query}&X-Amz-Signature={signature}&User-Agent=vitral");
    BASE64_URL_SAFE_NO_PAD.encode(url)
}

fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref().to_vec()
}

fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Percent-encodes as signatures require: everything but letters, digits and `-_.~`.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_region_is_the_brokers() {
        let msk = |brokers: &str| MskIam::new(brokers, &BTreeMap::new()).map(|msk| msk.region);
        assert_eq!(msk("b-1.shop.ab12.c2.kafka.sa-east-1.amazonaws.com:9098,b-2").as_deref(), Ok("sa-east-1"));
        assert_eq!(msk("boot-ab.c1.kafka-serverless.us-east-2.amazonaws.com:9098").as_deref(), Ok("us-east-2"));
        let named = BTreeMap::from([("aws.region".to_owned(), "evil.example.com/".to_owned())]);
        assert!(MskIam::new("b", &named).is_err());
    }

    /// As AWS's library for Python makes them from the same keys at the same time.
    #[test]
    fn signatures_are_those_of_aws_s_own_library() {
        for (session, expected) in [
            (None, "bf970fb98a8c524c8c1deee7ae0f488112c71950dacb509fcbf888e06332e1fc"),
            (Some("session/token+with=signs"), "5e74381a3be82a9fd44076786814590dce810c0153b0512e551814fb32cbe0c9"),
        ] {
            let keys = AwsKeys {
                id: "AKIDEXAMPLE".to_owned(),
                secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned(),
                session: session.map(str::to_owned),
            };
            let token = BASE64_URL_SAFE_NO_PAD.decode(signed(&keys, "sa-east-1", "20250514T120000Z")).expect("a token");
            let url = String::from_utf8(token).expect("a text");
            let signature = url.split("X-Amz-Signature=").nth(1).and_then(|rest| rest.split('&').next());
            assert_eq!(signature, Some(expected), "{url}");
        }
    }
}
