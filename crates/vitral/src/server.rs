//! What `demo` and `stream` share: pipelines of all topics, the API beside them, and their ordered end.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use futures::FutureExt;
use futures::future::{Fuse, FusedFuture};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use vitral_api::{ApiConfig, ApiInputs, Telemetry};
use vitral_schemas::catalog::Catalog;
use vitral_schemas::time::SystemClock;
use vitral_schemas::view::{View, ViewReceiver};
use vitral_stream::{StreamConfig, StreamError, StreamHandle, StreamTelemetry, pipeline};

use crate::config::Config;
use crate::histories::Watcher;
use crate::proof::Proof;
use crate::replay::finish_replay;

/// Reference tables are read from here, below the data directory.
pub const REFERENCE_DIR: &str = "reference";

pub struct Server {
    pub api_address: SocketAddr,
    pub view: ViewReceiver,
    streams: Vec<StreamHandle>,
    /// Work that only reads, but for the results of the hourly check, which are one commit each.
    beside: Vec<JoinHandle<()>>,
    /// Over once its end was told.
    api: Fuse<JoinHandle<std::io::Result<()>>>,
    shutdown: CancellationToken,
}

impl Server {
    /// Starts a pipeline for each topic and the API. The API answers from the first moment; `/readyz` turns ready after recovery.
    pub async fn start(
        config: &Config,
        catalog: Arc<Catalog>,
        stream: StreamConfig,
        api_address: SocketAddr,
        data_dir: PathBuf,
    ) -> anyhow::Result<Self> {
        finish_replay(&catalog, &config.settings()?, &stream.store).await?;
        let listener = TcpListener::bind(api_address).await.with_context(|| {
            format!(
                "{api_address} cannot be listened on: stop what uses it, or choose another with --api (port 0 picks one)"
            )
        })?;
        let api_address = listener.local_addr()?;
        let settings = config.settings()?;
        let (sender, view) = tokio::sync::watch::channel(Arc::new(View::default()));
        let mut registry = Registry::default();
        let stream_telemetry = StreamTelemetry::register(&mut registry);
        let telemetry = Telemetry::register(&mut registry);
        let shutdown = CancellationToken::new();
        let (proof, reconciliations) = Proof::new(
            Arc::clone(&catalog),
            settings.clone(),
            stream.store.clone(),
            view.clone(),
            config.reconcile.hourly,
        );
        let (watcher, histories) = Watcher::new(Arc::clone(&catalog), stream.store.clone());
        let inputs = ApiInputs {
            catalog: Arc::clone(&catalog),
            view: view.clone(),
            reconciliations,
            histories,
            clock: Arc::new(SystemClock),
            registry: Arc::new(registry),
            telemetry,
            shutdown: shutdown.clone(),
        };
        let router = vitral_api::router(ApiConfig::new(settings.clone(), data_dir.join(REFERENCE_DIR)), inputs)?;
        let api = tokio::spawn(vitral_api::serve(listener, router, shutdown.clone())).fuse();
        let context = pipeline::Context {
            config: stream,
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
        let beside = vec![tokio::spawn(proof.run()), tokio::spawn(watcher.run())];
        Ok(Self { api_address, view, streams, beside, api, shutdown })
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
                Err(error) => anyhow::Error::new(error).context("the API ended badly"),
                Ok(Ok(())) => anyhow::anyhow!("the API ended"),
            },
        }
    }

    /// Ordered end, which a second signal cuts short: what is not committed then is read again at the next start.
    pub async fn stop(self) -> anyhow::Result<()> {
        tokio::select! {
            stopped = self.drain() => stopped,
            again = stop_signal() => {
                again?;
                anyhow::bail!("stopped at once: what was not committed is read again at the next start")
            }
        }
    }

    /// Ordered end: read no more, commit what was read, then close the API.
    async fn drain(mut self) -> anyhow::Result<()> {
        self.beside.iter().for_each(JoinHandle::abort);
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
            self.api.await.context("the API ended badly")?.context("the API ended badly")?;
        }
        outcome
    }
}

/// Resolves at Ctrl-C or SIGTERM.
pub async fn stop_signal() -> anyhow::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminate.recv() => {}
    }
    Ok(())
}
