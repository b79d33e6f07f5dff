//! `vitral doctor`: what is wrong with everything that Vitral depends on, each with its remedy;
//! also while a stream runs.

mod examination;
mod machine;

use clap::{Args, ValueEnum};
use serde::Serialize;
use vitral_batch::import::wording::counted;
use vitral_config::Config;
use vitral_schemas::finding::{Finding, State};

use crate::args::Common;

/// How findings are written.
#[derive(Debug, Args)]
pub struct Flags {
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Json,
}

#[derive(Serialize)]
struct Report<'a> {
    failed: usize,
    warned: usize,
    findings: &'a [Finding],
}

/// Some checks failed. All of it was said already.
#[derive(Debug, thiserror::Error)]
#[error("{0} of {1} checks failed")]
pub struct Unwell(usize, usize);

/// Examines everything and says what it found.
pub fn run(config: &Config, common: &Common, flags: &Flags) -> anyhow::Result<()> {
    let runtime = vitral_process::runtimes::of_command()?;
    let findings = runtime.block_on(examination::examine(config, common))?;
    // A client library may still be trying to connect.
    runtime.shutdown_background();
    let count = |state| findings.iter().filter(|finding| finding.state == state).count();
    let (failed, warned) = (count(State::Fail), count(State::Warn));
    match flags.format {
        Format::Json => {
            let report = Report { failed, warned, findings: &findings };
            vitral_process::output::answer_json(&report)?;
        }
        Format::Text => {
            findings.iter().for_each(|finding| vitral_process::output::answer(&finding.to_string()));
            let verdict = match (failed, warned) {
                (0, 0) => "all is well".to_owned(),
                (failed, warned) => {
                    let well = findings.len() - failed - warned;
                    format!("{failed} failed, {}, {well} ok", counted(warned as u64, "warning"))
                }
            };
            vitral_process::output::answer(&verdict);
        }
    }
    if failed > 0 { Err(Unwell(failed, findings.len()).into()) } else { Ok(()) }
}
