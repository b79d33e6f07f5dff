//! The threads of a command, and of a server: those of the stream, and those that go behind them.

use std::io;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

use crate::go_behind_others;

/// What planning the deepest SQL that a catalog may hold takes; only what is used of it is memory.
const STACK_BYTES: usize = 16 << 20;

/// How long threads that do not heed the end, such as those that compute a history, are waited for.
/// They go on at the next start.
const LEFT_AFTER: Duration = Duration::from_secs(1);

/// The threads of a command.
pub fn of_command() -> io::Result<Runtime> {
    Builder::new_multi_thread().thread_stack_size(STACK_BYTES).enable_all().build()
}

/// Runs a server's life on a runtime of its own, and returns with its outcome whatever still runs
/// on it.
pub fn run<E: From<io::Error>>(life: impl Future<Output = Result<(), E>>) -> Result<(), E> {
    let runtime = of_command()?;
    let outcome = runtime.block_on(life);
    runtime.shutdown_timeout(LEFT_AFTER);
    outcome
}

/// Threads of the API alone, behind all others: queries take what the stream leaves, and commits
/// never wait for them.
#[derive(Debug)]
pub struct ApiRuntime(Option<Runtime>);

impl ApiRuntime {
    /// As many as there are processors, and two at least.
    pub fn start() -> io::Result<Self> {
        let threads = std::thread::available_parallelism().map_or(2, |threads| threads.get().max(2));
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("api")
            .on_thread_start(go_behind_others)
            .thread_stack_size(STACK_BYTES)
            .enable_all()
            .build()?;
        Ok(Self(Some(runtime)))
    }

    /// Spawns what `serve` makes of the listener, whose connections belong to these threads too.
    pub fn spawn<F>(
        &self,
        listener: TcpListener,
        serve: impl FnOnce(TcpListener) -> F,
    ) -> io::Result<JoinHandle<F::Output>>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let runtime = self.0.as_ref().ok_or_else(|| io::Error::other("the API's threads have ended"))?;
        let _context = runtime.enter();
        let listener = TcpListener::from_std(listener.into_std()?)?;
        Ok(runtime.spawn(serve(listener)))
    }
}

/// Whatever runs still is left: the process is about to end.
impl Drop for ApiRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Instant;

    use super::*;

    /// A history that is being computed is not waited for, whether the server's life ended well or
    /// badly.
    #[test]
    fn work_that_does_not_heed_the_end_is_left() {
        let (until, goes_on) = mpsc::channel::<()>();
        let began = Instant::now();
        let failed = run::<io::Error>(async move {
            let (sender, has_begun) = tokio::sync::oneshot::channel();
            tokio::task::spawn_blocking(move || {
                let _ = sender.send(());
                goes_on.recv_timeout(Duration::from_secs(30))
            });
            has_begun.await.map_err(io::Error::other)?;
            Err(io::Error::other("the stream failed"))
        });
        assert_eq!(failed.expect_err("its outcome").to_string(), "the stream failed");
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
        assert!(until.send(()).is_ok(), "it was still at work");
    }
}
