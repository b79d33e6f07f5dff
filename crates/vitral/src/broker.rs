//! The demo's broker, in this process.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use anyhow::Context;

pub struct DemoBroker {
    pub address: SocketAddr,
}

impl DemoBroker {
    /// Starts the broker at `address` (port 0 picks one) and makes the topics.
    pub async fn start(address: SocketAddr, _data_dir: &Path, _topics: &[String]) -> anyhow::Result<Self> {
        free_address(address, "--kafka")?;
        anyhow::bail!("the demo's broker is being replaced")
    }

    pub fn client(&self) -> vitral_stream::KafkaConfig {
        vitral_stream::KafkaConfig { brokers: self.address.to_string(), ..Default::default() }
    }

    pub async fn stop(self) {}
}

/// The address with a port, if it is free; a clear error otherwise.
pub fn free_address(address: SocketAddr, flag: &str) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind(address).with_context(|| {
        format!("{address} cannot be listened on: stop what uses it, or choose another with {flag} (port 0 picks one)")
    })?;
    Ok(listener.local_addr()?)
}
