//! The `vitral` command.

#![warn(clippy::too_many_lines)]

use std::process::ExitCode;

fn main() -> ExitCode {
    vitral::cli::run()
}
