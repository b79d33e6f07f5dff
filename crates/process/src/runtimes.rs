//! The threads of a command, and of a server: those of the stream, and those that go behind them.

use std::io;
use std::mem::ManuallyDrop;

use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

use crate::go_behind_others;

/// What planning the deepest SQL that a catalog may hold takes; only what is used of it is memory.
const STACK_BYTES: usize = 16 << 20;

/// The threads of a command.
pub fn of_command() -> io::Result<Runtime> {
    Builder::new_multi_thread().thread_stack_size(STACK_BYTES).enable_all().build()
}

/// Runs a server's life on a runtime of its own, and returns with its outcome. What still runs on
/// it, such as a history that is being computed, ends with the process: it goes on at the next
/// start. Ended before, it would take down those who wait for it.
pub fn run<E: From<io::Error>>(life: impl Future<Output = Result<(), E>>) -> Result<(), E> {
    let runtime = ManuallyDrop::new(of_command()?);
    runtime.block_on(life)
}

/// How far the API's threads are behind all others. Five steps made answers wait for whatever else
/// ran: a hundredth of them took three times as long (docs/adr/0028).
const API_STEPS: i32 = 1;

/// Threads of the API alone, just behind all others: where there is not enough for both, the stream
/// goes first. What runs there ends with the process.
#[derive(Debug)]
pub struct ApiRuntime(ManuallyDrop<Runtime>);

impl ApiRuntime {
    /// As many as there are processors, and two at least.
    pub fn start() -> io::Result<Self> {
        let threads = std::thread::available_parallelism().map_or(2, |threads| threads.get().max(2));
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("api")
            .on_thread_start(|| go_behind_others(API_STEPS))
            .thread_stack_size(STACK_BYTES)
            .enable_all()
            .build()?;
        Ok(Self(ManuallyDrop::new(runtime)))
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
        let _context = self.0.enter();
        let listener = TcpListener::from_std(listener.into_std()?)?;
        Ok(self.0.spawn(serve(listener)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::{Duration, Instant};

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
