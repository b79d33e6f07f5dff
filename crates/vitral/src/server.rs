//! What `demo` and `stream` share: the pipelines of all topics, the API, and an orderly shutdown of both.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use futures::FutureExt;
use futures::future::{Fuse, FusedFuture};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use vitral_api::{ApiConfig, ApiInputs, Telemetry};
use vitral_batch::ledger::replay;
use vitral_batch::reconcile::continuous::ContinuousReconciliation;
use vitral_catalog::Catalog;
use vitral_connect::Connector;
use vitral_panes::view::{View, ViewReceiver};
use vitral_schemas::notice::NoticeSender;
use vitral_schemas::time::SystemClock;
use vitral_store::HistoryPoller;
use vitral_stream::{StreamConfig, StreamError, StreamHandle, StreamTelemetry, pipeline};

use crate::config::Config;
use crate::listening;
use crate::supervisor::Supervisor;
use crate::{process, telemetry};

/// Reference tables are read from here, below the data directory.
pub const REFERENCE_DIR: &str = "reference";

pub struct Server {
    pub api_address: SocketAddr,
    #[cfg_attr(not(feature = "demo"), expect(dead_code, reason = "read by the demo alone"))]
    pub view: ViewReceiver,
    /// What the page shows a newcomer; the API follows it for as long as it is kept.
    #[cfg_attr(not(feature = "demo"), expect(dead_code, reason = "written by the demo alone"))]
    pub notices: NoticeSender,
    streams: Vec<StreamHandle>,
    /// Work that only reads, but for the results of the hourly check, which are one commit each.
    background: Supervisor,
    /// Terminated once its end has been reported.
    api: Fuse<JoinHandle<std::io::Result<()>>>,
    _api_runtime: ApiRuntime,
    shutdown: CancellationToken,
}

impl Server {
    /// Starts a pipeline for each topic and the API. The API answers from the first moment; `/readyz` turns ready after recovery.
    pub async fn start(
        config: &Config,
        catalog: Arc<Catalog>,
        connector: Arc<dyn Connector>,
        stream: StreamConfig,
        api_address: SocketAddr,
        data_dir: PathBuf,
    ) -> anyhow::Result<Self> {
        ensure!(
            !catalog.topics.is_empty(),
            "the catalog has no topic: name a domain in catalog.domains, or a folder that declares one in catalog.dirs"
        );
        replay::finish(&catalog, &config.settings()?, &stream.store).await?;
        let listener = TcpListener::bind(api_address).await.map_err(|error| {
            let words = listening::cannot(api_address, &error, "--api");
            anyhow::Error::from(error).context(words)
        })?;
        let api_address = listener.local_addr()?;
        let settings = config.settings()?;
        let (sender, view) = tokio::sync::watch::channel(Arc::new(View::default()));
        let health = Arc::clone(&view.borrow().health);
        let mut registry = Registry::default();
        telemetry::register(&mut registry, Arc::clone(&health), config.bounds());
        let stream_telemetry = StreamTelemetry::register(&mut registry);
        let api_telemetry = Telemetry::register(&mut registry);
        let shutdown = CancellationToken::new();
        let (reconciliation, reconciliations) = ContinuousReconciliation::new(
            Arc::clone(&catalog),
            settings.clone(),
            stream.store.clone(),
            view.clone(),
            config.reconcile.hourly,
        );
        let (history_poller, histories) =
            HistoryPoller::new(catalog.topics.clone(), stream.store.clone(), Arc::clone(&health));
        let inputs = ApiInputs {
            catalog: Arc::clone(&catalog),
            view: view.clone(),
            reconciliations,
            histories,
            clock: Arc::new(SystemClock),
            registry: Arc::new(registry),
            telemetry: api_telemetry.clone(),
            shutdown: shutdown.clone(),
        };
        let notices = NoticeSender::new(Arc::from([]));
        let mut api_config = ApiConfig::new(settings.clone(), data_dir.join(REFERENCE_DIR));
        api_config.hosts = config.api.hosts.clone();
        api_config.answer_bytes = config.api.answer_bytes;
        api_config.limits = config.query.limits();
        api_config.bounds = config.bounds();
        api_config.notices = notices.subscribe();
        let router = vitral_api::router(api_config, inputs)?;
        let serve = config.serve(process::descriptor_limit());
        let api_runtime = ApiRuntime::start()?;
        let until = shutdown.clone();
        let api = api_runtime
            .spawn(listener, move |listener| vitral_api::serve(listener, router, serve, api_telemetry, until))?
            .fuse();
        let context = pipeline::Context {
            config: stream,
            connector,
            catalog: Arc::clone(&catalog),
            settings,
            clock: Arc::new(SystemClock),
            view: sender,
            telemetry: stream_telemetry,
            runtime: tokio::runtime::Handle::current(),
        };
        let streams = catalog
            .topics
            .iter()
            .map(|topic| vitral_stream::start(context.clone(), topic.clone()))
            .collect::<Result<_, StreamError>>()?;
        let mut background = Supervisor::new(health);
        background.start(reconciliation);
        background.start(history_poller);
        Ok(Self { api_address, view, notices, streams, background, api, _api_runtime: api_runtime, shutdown })
    }

    /// Resolves with the error of the first part that ends by itself.
    pub async fn failed(&mut self) -> anyhow::Error {
        let streams = self.streams.iter_mut().map(|stream| Box::pin(stream.finished()));
        tokio::select! {
            (ended, ..) = futures::future::select_all(streams) => match ended {
                Err(error) => error.into(),
                Ok(()) => anyhow::anyhow!("the stream ended"),
            },
            ended = &mut self.api => match ended {
                Ok(Err(error)) => anyhow::Error::new(error).context("the API ended"),
                Err(error) => anyhow::Error::new(error).context("the API failed"),
                Ok(Ok(())) => anyhow::anyhow!("the API ended"),
            },
        }
    }

    /// After a part has failed: what the others read is committed, as far as that is possible in time.
    pub async fn stop_within(self, patience: Duration) {
        match tokio::time::timeout(patience, self.stop()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(error = format!("{error:#}"), "another part failed at the end"),
            Err(_) => tracing::error!(seconds = patience.as_secs(), "the other parts did not end in time"),
        }
    }

    /// Ordered end: read no more, commit what was read, then close the API.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.background.stop().await;
        for stream in &self.streams {
            stream.stop();
        }
        let mut outcome = Ok(());
        for stream in &mut self.streams {
            if let Err(error) = stream.finished().await {
                outcome = Err(error.into());
            }
        }
        self.shutdown.cancel();
        if !self.api.is_terminated() {
            self.api.await.context("the API failed")?.context("the API failed")?;
        }
        outcome
    }
}

/// What planning the deepest SQL that a catalog may hold takes; only what is used of it is memory.
const STACK_BYTES: usize = 16 << 20;

/// Threads of the API alone, behind all others: queries take what the stream leaves, and commits never wait for them.
struct ApiRuntime(Option<Runtime>);

impl ApiRuntime {
    fn start() -> anyhow::Result<Self> {
        let threads = std::thread::available_parallelism().map_or(2, |threads| threads.get().max(2));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("api")
            .on_thread_start(process::go_behind_others)
            .thread_stack_size(STACK_BYTES)
            .enable_all()
            .build()?;
        Ok(Self(Some(runtime)))
    }

    /// Spawns what `serve` makes of the listener, whose connections belong to these threads too.
    fn spawn<F>(
        &self,
        listener: TcpListener,
        serve: impl FnOnce(TcpListener) -> F,
    ) -> anyhow::Result<JoinHandle<F::Output>>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let runtime = self.0.as_ref().context("the API's threads have ended")?;
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

/// How long threads that do not heed the end, such as those that compute a history, are waited for. They go on at the next start.
const LEFT_AFTER: Duration = Duration::from_secs(1);

/// Runs a server's life on a runtime of its own, and returns with its outcome whatever still runs on it.
pub fn run(life: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().thread_stack_size(STACK_BYTES).enable_all().build()?;
    let outcome = runtime.block_on(life);
    runtime.shutdown_timeout(LEFT_AFTER);
    outcome
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Instant;

    use super::*;

    /// A history that is being computed is not waited for, whether the server's life ended well or badly.
    #[test]
    fn work_that_does_not_heed_the_end_is_left() {
        let (until, goes_on) = mpsc::channel::<()>();
        let began = Instant::now();
        let failed = run(async move {
            let (sender, has_begun) = tokio::sync::oneshot::channel();
            tokio::task::spawn_blocking(move || {
                let _ = sender.send(());
                goes_on.recv_timeout(Duration::from_secs(30))
            });
            has_begun.await?;
            anyhow::bail!("the stream failed")
        });
        assert_eq!(failed.expect_err("its outcome").to_string(), "the stream failed");
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
        assert!(until.send(()).is_ok(), "it was still at work");
    }
}
