//! The `vitral` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    vitral::cli::run()
}
