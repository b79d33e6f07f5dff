//! Commands and flags.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use vitral_batch::BatchError;
use vitral_commands::args::{BadArguments, Common};
#[cfg(feature = "distributed")]
use vitral_commands::cluster;
use vitral_commands::{
    alerts, backfill, batch, check, doctor, import, keys, ledger, logging, query, reconcile, show_config, simulate,
    trace,
};
use vitral_config::Config;
use vitral_process as process;
use vitral_process::output::describe;
use vitral_process::output::terminal::visible;

#[cfg(feature = "demo")]
use crate::demo;
#[cfg(feature = "distributed")]
use crate::shutdown;
use crate::{allocator, serve, stream};

const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed or something is wrong, 2 wrong arguments, 3 more rows refused than allowed (import), 4 \
    nothing to compare (reconcile)";

/// Real-time e-commerce analytics: every number on the dashboard is provable.
#[derive(Debug, Parser)]
#[command(name = "vitral", version, after_help = EXIT_CODES)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The whole product in one process: broker, simulator, stream, API and page.
    #[cfg(feature = "demo")]
    Demo(demo::Flags),
    /// The stream processor: from Kafka to live and final results, which it also serves.
    Stream(stream::Flags),
    /// The API and the page alone, next to a stream on the same bucket or folder; any number of
    /// them.
    Serve(vitral_commands::serve::Flags),
    /// Recompute what was published from the archive, by another code path; exit 1 on any
    /// difference.
    Reconcile(reconcile::Flags),
    /// The history of metrics that no stream has started on.
    Backfill(backfill::Flags),
    /// The processes of a cluster, for --engine ballista.
    #[cfg(feature = "distributed")]
    #[command(subcommand)]
    Cluster(cluster::Command),
    /// Not in this vitral, which was built without the feature `distributed`.
    #[cfg(not(feature = "distributed"))]
    #[command(hide = true, disable_help_flag = true)]
    Cluster {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
        words: Vec<String>,
    },
    /// Jobs of the warehouse, and checks of quality.
    #[command(subcommand)]
    Batch(batch::Command),
    /// Sales history from CSV, Parquet and XLSX, into the same tables as the stream's.
    Import(import::Flags),
    /// The rows that did not count: show them, or feed them again.
    #[command(subcommand)]
    Ledger(ledger::Command),
    /// What alerts have seen; silences; whether notifications arrive.
    #[command(subcommand)]
    Alerts(alerts::Command),
    /// Keys: who may ask, what, and until when.
    #[command(subcommand)]
    Keys(keys::Command),
    /// Any table of the data directory or bucket by SQL, without a server; it only reads.
    Query(query::Flags),
    /// What became of an event or order: its verdict, every number it counts in, when each was
    /// proved.
    Trace(trace::Flags),
    /// Parse and plan the catalog; exit 1 with every error if it is broken.
    Check(check::Flags),
    /// What is wrong with Kafka, store, database, clock, disk and rights, each with its remedy;
    /// exit 1 if something fails.
    Doctor(doctor::Flags),
    /// Synthetic events; the same seed, start and count give the same bytes.
    Simulate(simulate::Flags),
    /// The configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print the effective configuration, secrets hidden.
    Show,
}

/// Runs the command of this process, and says how it ended ([`EXIT_CODES`]).
pub fn run() -> ExitCode {
    let Cli { common, command } = Cli::parse();
    if let Command::Batch(_) = command {
        allocator::start_for_history();
    }
    let outcome = Config::load(common.config.as_deref()).map_err(anyhow::Error::from).and_then(|config| {
        logging::start(&config)?;
        config.warnings().iter().for_each(|warning| tracing::warn!("configuration: {warning}"));
        process::keep_files_private();
        process::raise_descriptor_limit();
        match command {
            #[cfg(feature = "demo")]
            Command::Demo(flags) => demo::run(config, &common, flags),
            Command::Stream(flags) => stream::run(config, &common, flags),
            Command::Serve(flags) => serve::run(&config, &common, &flags),
            Command::Reconcile(flags) => reconcile::run(&config, &common, &flags),
            Command::Backfill(flags) => backfill::run(&config, &common, &flags),
            #[cfg(feature = "distributed")]
            Command::Cluster(command) => cluster::run(&config, &common, command, || shutdown::listen(shutdown::GRACE)),
            #[cfg(not(feature = "distributed"))]
            Command::Cluster { words } => Err(BadArguments(format!(
                "this vitral has no `cluster{}{}`: build it with --features distributed",
                if words.is_empty() { "" } else { " " },
                words.join(" ")
            ))
            .into()),
            Command::Batch(command) => batch::run(&config, &common, &command),
            Command::Import(flags) => import::run(&config, &common, &flags),
            Command::Ledger(command) => ledger::run(&config, &common, &command),
            Command::Alerts(command) => alerts::run(&config, &common, &command),
            Command::Keys(command) => keys::run(&config, &common, &command),
            Command::Query(flags) => query::run(&config, &common, &flags),
            Command::Trace(flags) => trace::run(&config, &common, &flags),
            Command::Check(flags) => check::run(config, &common, flags),
            Command::Doctor(flags) => doctor::run(&config, &common, &flags),
            Command::Simulate(flags) => simulate::run(config, &flags),
            Command::Config(ConfigCommand::Show) => show_config::run(&config),
        }
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vitral: {}", visible(&describe(error.as_ref())));
            let is_of_arguments = error.chain().any(|cause| {
                cause.is::<BadArguments>() || matches!(cause.downcast_ref(), Some(BatchError::NoJob { .. }))
            });
            match () {
                () if is_of_arguments => ExitCode::from(2),
                () if error.is::<import::TooManyRefused>() => ExitCode::from(3),
                () if error.is::<reconcile::NothingToCompare>() => ExitCode::from(4),
                () => ExitCode::FAILURE,
            }
        }
    }
}
