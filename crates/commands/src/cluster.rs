//! `vitral cluster scheduler|executor`: the processes of a Ballista cluster.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use clap::{Args, Subcommand};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use url::Url;
use vitral_batch::cluster::{ExecutorConfig, execute, schedule};
use vitral_config::Config;
use vitral_process::listening;
use vitral_process::output::answer;

use crate::args::{BadArguments, Common};

const MIB: u64 = 1 << 20;
/// How often it is checked whether the scheduler accepts connections.
const LISTENING_POLL: Duration = Duration::from_millis(50);

/// Which process.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Cuts queries into parts and hands them out. It must reach the store, too.
    Scheduler(SchedulerFlags),
    /// Computes parts of queries.
    Executor(ExecutorFlags),
}

/// Where it is reached.
#[derive(Debug, Args)]
pub struct SchedulerFlags {
    /// Where to listen.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:50050")]
    listen: SocketAddr,
    /// The name under which others reach it (default: the address).
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
}

/// Whose parts it computes, and with what.
#[derive(Debug, Args)]
pub struct ExecutorFlags {
    /// The scheduler; this process waits for it.
    #[arg(long, value_name = "http://HOST:PORT", default_value = "http://127.0.0.1:50050")]
    scheduler: Url,
    /// Where other processes fetch its rows.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:50051")]
    listen: SocketAddr,
    /// The name under which others reach it (default: the address).
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// Parts of queries that it computes at once (default: the machine's processors).
    #[arg(long, value_name = "N")]
    cores: Option<usize>,
    /// What these may use together, in MiB; what does not fit goes to the working folder.
    #[arg(long, value_name = "MIB", default_value_t = 2_048)]
    memory_mib: u64,
    /// Where a folder for the rows between the stages of a query is made (default: the data
    /// directory).
    #[arg(long, value_name = "DIR")]
    work_dir: Option<PathBuf>,
}

/// Runs one of the processes until it is stopped. `stop` says from when on an ordered end may be
/// asked for, and when it is.
pub fn run(
    config: &Config,
    common: &Common,
    command: Command,
    stop: impl FnOnce() -> anyhow::Result<CancellationToken>,
) -> anyhow::Result<()> {
    let store = config.location(&common.data_dir)?;
    let runtime = vitral_process::runtimes::of_command()?;
    runtime.block_on(async {
        match command {
            Command::Scheduler(SchedulerFlags { listen, host }) => {
                let host = reached_as(host, listen)?;
                // Who else listens there would be taken for the scheduler.
                TcpListener::bind(listen).map_err(|error| {
                    let words = format!("{}: choose another with --listen", listening::why(listen, &error));
                    anyhow::Error::from(error).context(words)
                })?;
                let stop = stop()?;
                let announced = async {
                    until_listening(listen).await;
                    answer(&format!("scheduler listens at {listen}"));
                    std::future::pending::<anyhow::Result<()>>().await
                };
                tokio::select! {
                    () = stop.cancelled() => Ok(()),
                    ended = schedule(listen, &host, &store) => ended.map_err(Into::into),
                    never = announced => never,
                }
            }
            Command::Executor(flags) => {
                let ExecutorFlags { scheduler, listen, host, cores, memory_mib, work_dir } = flags;
                let work_dir = work_dir.unwrap_or_else(|| common.data_dir.clone());
                let executor = ExecutorConfig {
                    scheduler,
                    listen,
                    host: reached_as(host, listen)?,
                    cores: cores.map_or_else(|| std::thread::available_parallelism().map(usize::from), Ok)?,
                    memory_bytes: memory_mib * MIB,
                    work_dir: std::path::absolute(work_dir.join(format!("executor-{}", listen.port())))?,
                };
                // It stops by itself on Ctrl-C and SIGTERM, once its parts are done.
                Ok(execute(executor, &store).await?)
            }
        }
    })
}

/// Returns once connections are accepted at the address.
async fn until_listening(address: SocketAddr) {
    while TcpStream::connect(address).await.is_err() {
        tokio::time::sleep(LISTENING_POLL).await;
    }
}

/// The name by which others reach this process.
fn reached_as(host: Option<String>, listen: SocketAddr) -> anyhow::Result<String> {
    match host {
        Some(host) => Ok(host),
        None if listen.ip().is_unspecified() => {
            bail!(BadArguments(format!(
                "others cannot reach {}: give the name by which they can with --host",
                listen.ip()
            )))
        }
        None => Ok(listen.ip().to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_waited_for_until_somebody_listens() {
        let address = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address");
        let waiting = tokio::spawn(until_listening(address));
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished(), "nobody listens");
        let _listener = TcpListener::bind(address).expect("the port once more");
        tokio::time::timeout(Duration::from_secs(60), waiting).await.expect("in time").expect("no panic");
    }
}
