//! What answers from outside a process: the API, and the SQL endpoint where one is wanted, each on
//! threads of its own.

use std::io;
use std::net::SocketAddr;

use anyhow::Context as _;
use futures::FutureExt;
use futures::future::{Fuse, FusedFuture};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use vitral_access::Access;
use vitral_api::{ApiConfig, ApiInputs, ServeConfig};
use vitral_config::Config;
use vitral_process::runtimes::ApiRuntime;
use vitral_process::{descriptor_limit, listening};
use vitral_query::ReadPoints;
use vitral_sql::SqlInputs;
use vitral_store::Location;

/// Where to listen.
pub struct Listeners {
    /// For the API and the page.
    pub api: TcpListener,
    /// For SQL clients, if there are to be any.
    pub sql: Option<TcpListener>,
}

/// One of them, which answers until it is stopped.
pub struct Front {
    /// Where it answers.
    pub address: SocketAddr,
    name: &'static str,
    /// Terminated once its end has been reported.
    serving: Fuse<JoinHandle<io::Result<()>>>,
    shutdown: CancellationToken,
    _runtime: ApiRuntime,
}

/// All of a process.
pub struct Fronts {
    /// The API and the page.
    pub api: Front,
    /// The SQL endpoint.
    pub sql: Option<Front>,
}

/// Takes an address; `flag` chooses another.
///
/// # Errors
/// It cannot be had: which, why, and how to choose another.
pub async fn listen(address: SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        let words = listening::cannot(address, &error, flag);
        anyhow::Error::from(error).context(words)
    })
}

/// Where SQL clients are to be answered: as the flag says, or `sql.listen`; nowhere without both.
///
/// # Errors
/// It may not listen there without access control, or the address cannot be had.
pub async fn listen_sql(
    config: &Config,
    flag: Option<SocketAddr>,
    access: &Access,
) -> anyhow::Result<Option<TcpListener>> {
    let configured =
        config.sql.listen.as_ref().map(|listen| {
            listen.parse::<SocketAddr>().with_context(|| format!("configuration: sql.listen is {listen:?}"))
        });
    let Some(address) = flag.map(Ok).or(configured).transpose()? else { return Ok(None) };
    vitral_access::may_listen(address, access.is_on(), config.sql.tls_certificate.is_some())
        .map_err(anyhow::Error::msg)?;
    listen(address, "--sql").await.map(Some)
}

impl Fronts {
    /// Answers at the listeners, from the first moment.
    ///
    /// # Errors
    /// The catalog cannot be served, or a certificate cannot be read.
    pub fn start(
        config: &Config,
        listeners: Listeners,
        answers: ApiConfig,
        inputs: ApiInputs,
        store: &Location,
    ) -> anyhow::Result<Self> {
        let sql = listeners.sql.map(|listener| {
            let points = ReadPoints {
                view: inputs.view.clone(),
                histories: inputs.histories.clone(),
                reconciliations: inputs.reconciliations.clone(),
                alerts: answers.alerts.clone(),
                clock: inputs.clock.clone(),
            };
            let inputs = SqlInputs {
                catalog: inputs.catalog.clone(),
                points,
                access: answers.access.clone(),
                store: store.clone(),
                warehouse: answers.warehouse.clone(),
                settings: answers.settings.clone(),
                reference_dir: answers.reference_dir.clone(),
                shutdown: CancellationToken::new(),
            };
            Front::sql(config, listener, inputs)
        });
        let sql = sql.transpose()?;
        Ok(Self { api: Front::api(config, listeners.api, answers, inputs)?, sql })
    }

    /// Resolves with why one of them has ended, once it has ended by itself.
    pub async fn failed(&mut self) -> anyhow::Error {
        match &mut self.sql {
            None => self.api.failed().await,
            Some(sql) => tokio::select! {
                error = self.api.failed() => error,
                error = sql.failed() => error,
            },
        }
    }

    /// Ends them, with the requests that run answered.
    ///
    /// # Errors
    /// One of them failed.
    pub async fn stop(self) -> anyhow::Result<()> {
        let sql = match self.sql {
            Some(sql) => sql.stop().await,
            None => Ok(()),
        };
        self.api.stop().await.and(sql)
    }
}

impl Front {
    fn api(config: &Config, listener: TcpListener, answers: ApiConfig, inputs: ApiInputs) -> anyhow::Result<Self> {
        let address = listener.local_addr()?;
        let (telemetry, shutdown) = (inputs.telemetry.clone(), inputs.shutdown.clone());
        let router = vitral_api::router(answers, inputs)?;
        let serve = ServeConfig { tls: config.tls()?, ..config.serve(descriptor_limit()) };
        let (runtime, until) = (ApiRuntime::start()?, shutdown.clone());
        let serving =
            runtime.spawn(listener, move |listener| vitral_api::serve(listener, router, serve, telemetry, until))?;
        Ok(Self { address, name: "the API", serving: serving.fuse(), shutdown, _runtime: runtime })
    }

    fn sql(config: &Config, listener: TcpListener, inputs: SqlInputs) -> anyhow::Result<Self> {
        let address = listener.local_addr()?;
        let (endpoint, shutdown) = (config.sql_endpoint(), inputs.shutdown.clone());
        let runtime = ApiRuntime::start()?;
        let serving = runtime.spawn(listener, move |listener| vitral_sql::serve(listener, endpoint, inputs))?;
        Ok(Self { address, name: "the SQL endpoint", serving: serving.fuse(), shutdown, _runtime: runtime })
    }

    async fn failed(&mut self) -> anyhow::Error {
        let name = self.name;
        match (&mut self.serving).await {
            Ok(Err(error)) => anyhow::Error::new(error).context(format!("{name} ended")),
            Err(error) => anyhow::Error::new(error).context(format!("{name} failed")),
            Ok(Ok(())) => anyhow::anyhow!("{name} ended"),
        }
    }

    async fn stop(mut self) -> anyhow::Result<()> {
        self.shutdown.cancel();
        if !self.serving.is_terminated() {
            let failed = || format!("{} failed", self.name);
            (&mut self.serving).await.with_context(failed)?.with_context(failed)?;
        }
        Ok(())
    }
}
