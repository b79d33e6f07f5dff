//! Named steps at which a test can end the process as a crash would.
//!
//! `FAILPOINTS='archive.after=3*off->return'` ends it at the fourth pass (the notation is that of
//! the crate `fail`, which would have every dependency built with another feature of `log`). Builds
//! without debug assertions have no steps.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};

/// Ends the process here if the environment says so.
macro_rules! failpoint {
    ($name:literal) => {
        if cfg!(debug_assertions) {
            crate::failpoint::reach($name);
        }
    };
}

/// The steps at which the process ends, each with how often it is passed before.
static ENDS: OnceLock<Vec<(String, AtomicI64)>> = OnceLock::new();

pub(crate) fn reach(name: &str) {
    let ends = ENDS.get_or_init(|| ends(&std::env::var("FAILPOINTS").unwrap_or_default()));
    let end = ends.iter().find(|(step, _)| step == name);
    if end.is_some_and(|(_, passes)| passes.fetch_sub(1, Ordering::SeqCst) <= 0) {
        std::process::abort();
    }
}

/// `name=return` and `name=3*off->return`, separated by semicolons.
fn ends(text: &str) -> Vec<(String, AtomicI64)> {
    let steps = text.split(';').filter_map(|step| step.split_once('='));
    let passes = |actions: &str| actions.split_once("*off").and_then(|(count, _)| count.trim().parse().ok());
    steps.map(|(name, actions)| (name.trim().to_owned(), AtomicI64::new(passes(actions).unwrap_or(0)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_are_counted() {
        let ends = ends("archive.after=3*off->1*return; publish.before=return");
        let ends: Vec<_> = ends.iter().map(|(name, passes)| (name.as_str(), passes.load(Ordering::SeqCst))).collect();
        assert_eq!(ends, [("archive.after", 3), ("publish.before", 0)]);
    }
}
