//! `--engine`: what computes a command's queries.

use anyhow::bail;
use clap::{Args, ValueEnum};
use url::Url;
use vitral_batch::Engine;

use crate::args::BadArguments;

#[derive(Debug, Args)]
pub struct Flags {
    /// What computes it.
    #[arg(long, value_enum, default_value = "local")]
    engine: Kind,
    /// The cluster's scheduler.
    #[arg(long, value_name = "http://HOST:PORT", required_if_eq("engine", "ballista"))]
    scheduler: Option<Url>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// This process.
    Local,
    /// A cluster: `vitral cluster scheduler`, `vitral cluster executor`.
    Ballista,
}

impl Flags {
    pub fn is_local(&self) -> bool {
        self.engine == Kind::Local
    }

    pub fn engine(&self) -> anyhow::Result<Engine> {
        match (self.engine, &self.scheduler) {
            (Kind::Local, None) => Ok(Engine::Local),
            (Kind::Local, Some(_)) => bail!(BadArguments("--scheduler is for --engine ballista".to_owned())),
            #[cfg(feature = "distributed")]
            (Kind::Ballista, Some(scheduler)) => Ok(Engine::Ballista { scheduler: scheduler.clone() }),
            #[cfg(feature = "distributed")]
            (Kind::Ballista, None) => bail!(BadArguments("--engine ballista needs --scheduler".to_owned())),
            #[cfg(not(feature = "distributed"))]
            (Kind::Ballista, _) => {
                bail!(BadArguments("this vitral cannot use a cluster: build it with --features distributed".to_owned()))
            }
        }
    }
}
