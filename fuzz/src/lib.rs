//! What must hold for any bytes that come from outside, one function for each way in.
//!
//! A function panics where it does not hold. The tests of this crate call each with the inputs kept
//! in its folder of `corpus`; `scripts/fuzz` has libFuzzer look for further ones. Only public
//! interfaces are used: what is checked is what a user would see.
//!
//! Architecture invariant: nothing depends on this crate, and nothing here writes outside folders
//! of its own.

#![warn(missing_docs)]
#![warn(clippy::too_many_lines)]

mod catalog;
mod decoder;
mod files;
mod forms;
mod parameters;
mod snapshot;
mod spreadsheet;
mod world;

use std::sync::LazyLock;

use tokio::runtime::Runtime;

/// A way in, and what must hold there.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// As scripts/fuzz and the folder of its kept inputs call it.
    pub name: &'static str,
    /// Panics where something does not hold.
    pub check: fn(&[u8]),
}

/// All of them.
pub const TARGETS: [Target; 8] = [
    Target { name: "decoder", check: decoder::check },
    Target { name: "catalog", check: catalog::check },
    Target { name: "snapshot", check: snapshot::check },
    Target { name: "parameters", check: parameters::check },
    Target { name: "delimited", check: files::delimited },
    Target { name: "parquet", check: files::parquet },
    Target { name: "spreadsheet", check: spreadsheet::check },
    Target { name: "forms", check: forms::check },
];

/// The target of this name.
pub fn target(name: &str) -> Option<Target> {
    TARGETS.into_iter().find(|target| target.name == name)
}

/// Runs to its end what is asynchronous.
fn wait<T>(future: impl Future<Output = T>) -> T {
    static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a runtime"));
    RUNTIME.block_on(future)
}
