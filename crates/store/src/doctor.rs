//! The object store and the warehouse's database.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

use chrono::Utc;
use vitral_schemas::finding::{Finding, clock};

use crate::location::Location;
use crate::probe::{StoreProbe, probe};
use crate::warehouse::{self, Connection, WarehouseConfig, as_postgres};

const ANSWER: Duration = Duration::from_secs(20);

/// The bucket that `store.url` names.
pub async fn bucket(url: &str, options: &BTreeMap<String, String>) -> Vec<Finding> {
    const ABOUT: &str = "store";
    match Location::bucket(url, options) {
        Ok(location) => stored(ABOUT, &location, &probe(&location).await),
        Err(error) => vec![Finding::fail(ABOUT, chain(&error), "correct store.url and store.options")],
    }
}

fn stored(about: &'static str, location: &Location, probed: &StoreProbe) -> Vec<Finding> {
    let failed = probed.steps.iter().find_map(|(step, outcome)| Some((*step, outcome.as_ref().err()?)));
    let mut findings = vec![match failed {
        None => Finding::ok(about, format!("{location}: list, write, write if absent, read and delete work")),
        Some((step, reason)) => {
            Finding::fail(about, format!("{location}: {step} fails: {reason}"), remedy(step, reason))
        }
    }];
    findings.extend(probed.clock_ahead_ms.map(|ahead_ms| clock("clock", "the object store", ahead_ms)));
    findings
}

fn remedy(step: &str, reason: &str) -> String {
    let reason = reason.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| reason.contains(word));
    if has(&["timed out", "no answer", "connect", "dns"]) {
        return "look at the network, and at aws_endpoint in store.options".to_owned();
    }
    if has(&["nosuchbucket", "container not found"]) {
        return "make the bucket, or correct its name in store.url".to_owned();
    }
    let right = match step {
        "list" => "s3:ListBucket",
        "read" => "s3:GetObject",
        "delete" => "s3:DeleteObject",
        "write if absent" => {
            return "every commit rests on \"put if absent\": use a store that has it (If-None-Match: *), and a version that is recent enough"
                .to_owned();
        }
        _ => "s3:PutObject",
    };
    format!(
        "give these credentials the right to {step} ({right} or its like); look at them in store.options and the environment"
    )
}

/// The database that `warehouse.url` names, its copy and its stage; `shown` makes of a URL what may be printed.
pub async fn warehouse(
    config: &WarehouseConfig,
    options: &BTreeMap<String, String>,
    shown: impl Fn(&str) -> String,
) -> Vec<Finding> {
    const ABOUT: &str = "warehouse";
    let Some(url) = &config.url else { return vec![Finding::ok(ABOUT, "Delta tables in the store")] };
    let mut findings = database(ABOUT, url, &shown(url)).await;
    if let Some(replica) = &config.replica_url {
        findings.extend(database("replica", replica, &shown(replica)).await);
    }
    if let Some(stage) = &config.stage {
        let found = match Location::bucket(stage, options) {
            Ok(location) => stored("stage", &location, &probe(&location).await),
            Err(error) => vec![Finding::fail("stage", error.to_string(), "correct warehouse.stage and store.options")],
        };
        findings.extend(found);
    }
    findings
}

async fn database(about: &'static str, url: &str, shown: &str) -> Vec<Finding> {
    let connection = Connection { url: as_postgres(url), replica_url: None, connections: 1 };
    let probed = match tokio::time::timeout(ANSWER, warehouse::probe(&connection)).await {
        Ok(Ok(probed)) => probed,
        Ok(Err(error)) => {
            let remedy = "look at host, user and password of the URL, and at the database's log";
            return vec![Finding::fail(about, format!("{shown}: {}", chain(&error)), remedy)];
        }
        Err(_) => {
            return vec![Finding::fail(about, format!("{shown}: no answer"), "look at the host and the firewall")];
        }
    };
    let version = probed.version.split(" on ").next().unwrap_or_default().to_owned();
    let mut findings = vec![Finding::ok(about, format!("{shown}: {version}"))];
    if about == "warehouse" && !probed.may_create {
        findings.push(Finding::fail(
            about,
            format!("user {} may not make tables", probed.user),
            format!(
                "GRANT CREATE ON SCHEMA public TO {user}; GRANT CREATE, TEMP ON DATABASE ... TO {user}",
                user = probed.user
            ),
        ));
    }
    if probed.is_encrypted == Some(false) && !is_local(url) {
        findings.push(Finding::warn(about, "the connection is not encrypted", "add ?sslmode=require to the URL"));
    }
    let ahead_ms = probed.now_ms.map(|now_ms| now_ms - Utc::now().timestamp_millis());
    findings.extend(ahead_ms.map(|ahead_ms| clock("clock", "the database", ahead_ms)));
    findings
}

fn is_local(url: &str) -> bool {
    let host = url::Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
    host.is_empty() || host == "localhost" || host.parse().is_ok_and(|host: std::net::IpAddr| host.is_loopback())
}

/// An error and its causes.
fn chain(error: &dyn Error) -> String {
    let (mut text, mut source) = (error.to_string(), error.source());
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use vitral_schemas::finding::State;

    use super::*;

    #[test]
    fn what_a_store_cannot_do_names_the_right() {
        let location = Location::folder(Path::new("/tmp/shop")).expect("a folder");
        let probed = StoreProbe {
            steps: vec![("list", Ok(())), ("write", Err("403 AccessDenied".into()))],
            clock_ahead_ms: Some(60_000),
        };
        let findings = stored("store", &location, &probed);
        assert_eq!(findings.iter().map(|finding| finding.state).collect::<Vec<_>>(), [State::Fail, State::Warn]);
        assert!(findings[0].remedy.as_ref().is_some_and(|remedy| remedy.contains("s3:PutObject")), "{findings:?}");
        assert!(remedy("list", "error sending request: connect refused").contains("network"));
        assert!(remedy("list", "NoSuchBucket").contains("make the bucket"));
        assert!(remedy("write if absent", "it wrote over").contains("put if absent"));
    }

    #[tokio::test]
    async fn a_database_that_is_away() {
        let url = Some("postgresql://u:secret@127.0.0.1:9/d?sslmode=disable".into());
        let config = WarehouseConfig { url, ..WarehouseConfig::default() };
        let findings = warehouse(&config, &BTreeMap::new(), |_| "postgresql://u@127.0.0.1".to_owned()).await;
        assert!(findings[0].state == State::Fail && !findings[0].found.contains("secret"), "{findings:?}");
        assert!(is_local("postgresql://u@localhost/d") && !is_local("postgresql://u@db.example.com/d"));
    }
}
