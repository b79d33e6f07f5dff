//! Signals: the first asks for an ordered end; a second one, or an end that takes too long, ends
//! the process at once. A thread of their own heeds them in every phase: while the archive is read,
//! a store is away, or the runtime is full of work.

use std::process;
use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use vitral_config::Config;

/// What an ordered end may take beyond `stream.shutdown_seconds`: requests that run are answered.
pub const GRACE: Duration = Duration::from_secs(15);

/// What an ordered end of a server may take.
pub fn patience(config: &Config) -> Duration {
    Duration::from_secs(config.stream.shutdown_seconds).saturating_add(GRACE)
}

/// Ctrl-C and SIGTERM cancel the token; within `patience` after that the process has ended.
pub fn listen(patience: Duration) -> anyhow::Result<CancellationToken> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut signals = {
        let _context = runtime.enter();
        Signals { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? }
    };
    let stop = CancellationToken::new();
    let asked = stop.clone();
    let run = move || {
        runtime.block_on(async {
            signals.next().await;
            asked.cancel();
            let why = tokio::select! {
                () = signals.next() => "stopped at once, at the second signal".to_owned(),
                () = tokio::time::sleep(patience) => format!("an orderly shutdown took longer than {} s", patience.as_secs()),
            };
            eprintln!("vitral: {why}: what was not committed is read again at the next start");
            process::exit(1);
        });
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(run).context("signals cannot be handled")?;
    Ok(stop)
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
