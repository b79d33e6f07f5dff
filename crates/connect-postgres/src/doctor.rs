//! The warehouse's database, looked at step by step.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

use chrono::Utc;
use tokio_postgres::error::{DbError, SqlState};
use vitral_schemas::finding::{Finding, clock};
use vitral_store::StoreError;
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
            let (found, remedy) = unreached(&error, url);
            return vec![Finding::fail(about, format!("{shown}: {found}"), remedy)];
        }
        Err(_) => {
            return vec![Finding::fail(about, format!("{shown}: no answer"), "check the host and the firewall")];
        }
    };
    let version = probed.version.split(" on ").next().unwrap_or_default().to_owned();
    let mut findings = vec![Finding::ok(about, format!("{shown}: {version}"))];
    if about == "warehouse" && !probed.may_create {
        findings.push(Finding::fail(
            about,
            format!("user {} may not create tables", probed.user),
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

/// What is in the way, and what to do.
fn unreached(error: &StoreError, url: &DatabaseUrl) -> (String, String) {
    let causes = || std::iter::successors(Some(error as &(dyn Error + 'static)), |error| (*error).source());
    if let Some(refusal) = causes().find_map(|cause| cause.downcast_ref::<DbError>()) {
        return (refusal.to_string(), refused(refusal.code(), url));
    }
    // What comes before it says no more than that there is a database.
    let client = causes().find_map(|cause| cause.downcast_ref::<tokio_postgres::Error>());
    let found = client.map_or_else(|| chain(error), |client| chain(client));
    (found, "start the database, or correct host and port of the URL; its log may say more".to_owned())
}

/// What to do where the server answers and lets nobody in.
fn refused(code: &SqlState, url: &DatabaseUrl) -> String {
    let parsed = url::Url::parse(url.expose()).ok();
    let database = parsed.as_ref().map_or("", |url| url.path().trim_start_matches('/')).to_owned();
    if *code == SqlState::INVALID_CATALOG_NAME {
        return format!(
            "create it (createdb {database}), or correct the name of the database at the end of the URL's path"
        );
    }
    let remedy = if [SqlState::INVALID_PASSWORD, SqlState::INVALID_AUTHORIZATION_SPECIFICATION].contains(code) {
        "correct user and password of the connection; pg_hba.conf of the server says who may connect from where"
    } else if *code == SqlState::INSUFFICIENT_PRIVILEGE {
        "GRANT CONNECT ON DATABASE ... TO the user of the connection"
    } else if *code == SqlState::TOO_MANY_CONNECTIONS {
        "raise the server's max_connections, or lower warehouse.pool_size"
    } else {
        "check the database's log"
    };
    remedy.to_owned()
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
        assert!(findings[0].remedy.as_ref().is_some_and(|remedy| remedy.contains("host and port")), "{findings:?}");
        assert!(is_local("postgresql://u@localhost/d") && !is_local("postgresql://u@db.example.com/d"));
    }
    #[test]
    fn what_the_server_refuses_has_its_own_remedy() {
        let url = DatabaseUrl::new("postgresql://u:secret@127.0.0.1/loja?sslmode=disable");
        for (code, words) in [
            (SqlState::INVALID_CATALOG_NAME, "createdb loja"),
            (SqlState::INVALID_PASSWORD, "user and password"),
            (SqlState::TOO_MANY_CONNECTIONS, "max_connections"),
            (SqlState::CANNOT_CONNECT_NOW, "log"),
        ] {
            let remedy = refused(&code, &url);
            assert!(remedy.contains(words) && !remedy.contains("secret"), "{remedy}");
        }
    }
}
