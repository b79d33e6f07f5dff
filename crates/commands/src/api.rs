//! Who may ask the API of a process, and where others find it.

use std::net::SocketAddr;
use std::sync::Arc;

use vitral_access::{Access, SharedRates};
use vitral_config::Config;
use vitral_connect_redis::Redis;
use vitral_schemas::time::SystemClock;
use vitral_store::{Layout, Location};

/// Who may ask, as it is configured, of what listens at this address.
///
/// # Errors
/// It may not listen there without access control, or keys cannot be read.
pub async fn access(
    config: &Config,
    store: &Location,
    address: SocketAddr,
    redis: Option<&Redis>,
) -> anyhow::Result<Access> {
    let shared = redis.map(|redis| Arc::new(redis.clone()) as Arc<dyn SharedRates>);
    let access = Access::open(config.access(), store, Arc::new(SystemClock), shared).await?;
    vitral_access::may_listen(address, access.is_on(), config.tls()?.is_some()).map_err(anyhow::Error::msg)?;
    Ok(access)
}

/// Notes in the store where the API of the process that writes it answers, for `vitral serve`. What
/// cannot be noted is logged: the address can be configured there too.
pub async fn note_address(store: &Location, address: SocketAddr, is_encrypted: bool) {
    let scheme = if is_encrypted { "https" } else { "http" };
    let host = if address.ip().is_unspecified() { host() } else { None };
    let url = match host {
        Some(host) => format!("{scheme}://{host}:{}", address.port()),
        None => format!("{scheme}://{address}"),
    };
    if let Err(error) = Layout::of(store).set_stream_address(&url).await {
        tracing::warn!(%error, "the API's address is not noted in the store: `vitral serve` needs serve.stream_url");
    }
}

/// This machine's name, by which others in its network may know it.
fn host() -> Option<String> {
    let named = std::fs::read_to_string("/proc/sys/kernel/hostname").ok().or_else(|| std::env::var("HOSTNAME").ok());
    named.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty())
}
