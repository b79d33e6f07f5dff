//! Checks of what Vitral stands on. Each says what it found and, where that is not good, what to
//! do.

use vitral_config::{Config, redacted};
use vitral_schemas::finding::Finding;
use vitral_store::doctor;

use super::machine;
use crate::args::Common;
use crate::running_demo::RunningDemo;

/// Everything, in the order in which things depend on each other.
pub async fn examine(config: &Config, common: &Common) -> anyhow::Result<Vec<Finding>> {
    let mut config = config.clone();
    let demo = RunningDemo::of(&common.data_dir).await;
    demo.iter().for_each(|demo| demo.put_into(&mut config));
    let config = &config;
    let (mut findings, catalog) = machine::catalog(config);
    findings.extend(demo.as_ref().map(RunningDemo::finding));
    findings.extend(machine::examine(config, &common.data_dir));
    let topics = catalog.iter().flat_map(|catalog| &catalog.topics).map(|topic| topic.kafka_topic.clone()).collect();
    let store = async {
        match &config.store.url {
            Some(url) => doctor::bucket("store", "store.url", url, &config.store.options).await,
            None => vec![Finding::ok("store", "the data directory")],
        }
    };
    let kafka = config.kafka()?;
    let warehouse = config.warehouse()?;
    let (kafka, store, warehouse, api) = tokio::join!(
        vitral_connect_kafka::examine(&kafka, topics),
        store,
        vitral_connect_postgres::examine(&warehouse, &config.store.options, redacted::url),
        machine::api(config),
    );
    findings.extend(kafka.into_iter().chain(store).chain(warehouse).chain(api));
    Ok(findings)
}
