//! What commands have in common: flags, and what is said of wrong ones.

use std::path::PathBuf;

use clap::Args;

/// Flags that every command has.
#[derive(Debug, Args)]
pub struct Common {
    /// The configuration file (default: ./vitral.toml if it exists).
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where everything is kept.
    #[arg(long, global = true, value_name = "DIR", default_value = "./vitral-data")]
    pub data_dir: PathBuf,
}

/// What was asked for makes no sense, though each word does.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadArguments(pub String);
