//! The object store and the warehouse's database.

use std::path::Path;
use std::time::Duration;

use chrono::Utc;
use vitral_connect_postgres::{Connection, probe};
use vitral_store::{Location, StoreProbe};

use super::{Finding, clock};
use crate::config::{Config, redacted};
use crate::warehouse::as_postgres;

const ANSWER: Duration = Duration::from_secs(20);

pub async fn store(config: &Config, data_dir: &Path) -> Vec<Finding> {
    const ABOUT: &str = "store";
    if config.store.url.is_none() {
        return vec![Finding::ok(ABOUT, "the data directory")];
    }
    match config.location(data_dir) {
        Ok(location) => stored(ABOUT, &location, &vitral_store::probe(&location).await),
        Err(error) => vec![Finding::fail(ABOUT, format!("{error:#}"), "correct store.url and store.options")],
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

pub async fn warehouse(config: &Config) -> Vec<Finding> {
    const ABOUT: &str = "warehouse";
    let named = &config.warehouse;
    let Some(url) = &named.url else { return vec![Finding::ok(ABOUT, "Delta tables in the store")] };
    let mut findings = database(ABOUT, url).await;
    if let Some(replica) = &named.replica_url {
        findings.extend(database("replica", replica).await);
    }
    if let Some(stage) = &named.stage {
        let found = match Location::bucket(stage, &config.store.options) {
            Ok(location) => stored("stage", &location, &vitral_store::probe(&location).await),
            Err(error) => vec![Finding::fail("stage", error.to_string(), "correct warehouse.stage and store.options")],
        };
        findings.extend(found);
    }
    findings
}

async fn database(about: &'static str, url: &str) -> Vec<Finding> {
    let shown = redacted::url(url);
    let connection = Connection { url: as_postgres(url), replica_url: None, connections: 1 };
    let probed = match tokio::time::timeout(ANSWER, probe(&connection)).await {
        Ok(Ok(probed)) => probed,
        Ok(Err(error)) => {
            let error = anyhow::Error::new(error);
            let remedy = "look at host, user and password of the URL, and at the database's log";
            return vec![Finding::fail(about, format!("{shown}: {error:#}"), remedy)];
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

#[cfg(test)]
mod tests {
    use super::super::State;
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
        let mut config = Config::default();
        config.warehouse.url = Some("postgresql://u:secret@127.0.0.1:9/d?sslmode=disable".into());
        let findings = warehouse(&config).await;
        assert!(findings[0].state == State::Fail && !findings[0].found.contains("secret"), "{findings:?}");
        assert!(is_local("postgresql://u@localhost/d") && !is_local("postgresql://u@db.example.com/d"));
    }
}
