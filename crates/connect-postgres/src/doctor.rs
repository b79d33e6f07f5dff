//! The warehouse's database, looked at step by step.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::Utc;
use vitral_schemas::finding::{Finding, clock};
use vitral_store::doctor::{bucket, chain};

use crate::database_url::DatabaseUrl;
use crate::open::WarehouseConfig;
use crate::probe::probe;

const ANSWER: Duration = Duration::from_secs(20);

/// The warehouse's database, its replica and its stage; `shown` makes of a URL what may be printed.
pub async fn examine(
    config: &WarehouseConfig,
    options: &BTreeMap<String, String>,
    shown: impl Fn(&str) -> String,
) -> Vec<Finding> {
    const ABOUT: &str = "warehouse";
    let Some(url) = &config.url else { return vec![Finding::ok(ABOUT, "Delta tables in the store")] };
    let mut findings = database(ABOUT, url, &shown(url.expose())).await;
    if let Some(replica) = &config.replica_url {
        findings.extend(database("replica", replica, &shown(replica.expose())).await);
    }
    if let Some(stage) = &config.stage {
        findings.extend(bucket("stage", "warehouse.stage", stage, options).await);
    }
    findings
}

async fn database(about: &'static str, url: &DatabaseUrl, shown: &str) -> Vec<Finding> {
    let probed = match tokio::time::timeout(ANSWER, probe(url)).await {
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
    if probed.is_encrypted == Some(false) && !is_local(url.expose()) {
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
    use vitral_schemas::finding::State;

    use super::*;

    #[tokio::test]
    async fn a_database_that_is_away() {
        let url = Some(DatabaseUrl::new("postgresql://u:secret@127.0.0.1:9/d?sslmode=disable"));
        let config = WarehouseConfig { url, ..WarehouseConfig::default() };
        let findings = examine(&config, &BTreeMap::new(), |_| "postgresql://u@127.0.0.1".to_owned()).await;
        assert!(findings[0].state == State::Fail && !findings[0].found.contains("secret"), "{findings:?}");
        assert!(is_local("postgresql://u@localhost/d") && !is_local("postgresql://u@db.example.com/d"));
    }
}
