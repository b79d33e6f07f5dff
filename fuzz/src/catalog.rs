//! SQL files of a catalog: whatever is in one, there is an answer with places and remedies, and
//! what is accepted can be planned.

use std::sync::{Arc, LazyLock};

use vitral_batch::planning;
use vitral_catalog::{Catalog, DEFAULT_DOMAIN, Diagnostic, DomainSettings, SourceFile, builtin_files};
use vitral_query::served_errors;

use crate::wait;

const PATH: &str = "fuzz.sql";

/// What most statements read: topics and reference tables, but nothing that takes long to plan.
static BELOW: LazyLock<Vec<SourceFile>> = LazyLock::new(|| {
    let mut files = builtin_files(&[DEFAULT_DOMAIN]);
    files.retain(|file| ["/topics/", "/reference/"].iter().any(|folder| file.path.contains(folder)));
    files
});

pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data).into_owned();
    let settings = DomainSettings::default();
    let lines = text.lines().count() as u64 + 1;
    let parse = || {
        let file = SourceFile { path: PATH.to_owned(), text: text.clone() };
        Catalog::parse(&[BELOW.clone(), vec![file]], &settings)
    };
    let catalog = match (parse(), parse()) {
        (Ok(catalog), Ok(_)) => Arc::new(catalog),
        (Err(errors), Err(again)) => {
            assert!(!errors.0.is_empty(), "an error that says nothing");
            errors.0.iter().for_each(|error| is_helpful(error, lines));
            assert_eq!(errors, again);
            return;
        }
        (first, second) => panic!("the same text, another answer: {:?}, {:?}", first.err(), second.err()),
    };
    drop(catalog.warnings());
    let served = served_errors(&catalog, &settings).expect("errors have places, and planning does not fail");
    let planned = wait(planning::errors(&catalog, &settings)).expect("the same of jobs, checks and profiles");
    served.iter().chain(&planned).for_each(|error| is_helpful(error, lines));
    if served.is_empty() {
        definitions_are_read_again(&catalog, &settings);
    }
}

fn is_helpful(error: &Diagnostic, lines: u64) {
    let Diagnostic { position, message, remedy } = error;
    assert!(!message.trim().is_empty() && !remedy.trim().is_empty(), "{error}");
    if position.file == PATH {
        assert!(position.line <= lines, "{error}: there are {lines} lines");
        assert_eq!(position.line == 0, position.column == 0, "{error}");
    }
}

/// A backfill reads the definition of an earlier version from its table.
fn definitions_are_read_again(catalog: &Catalog, settings: &DomainSettings) {
    for metric in &catalog.metrics {
        let definition = metric.definition();
        let again = catalog.older_metric(&definition, settings);
        let version = |metric: &vitral_catalog::Metric| metric.version(settings, 3_600_000);
        assert_eq!(again.as_ref().map(version), Some(version(metric)), "{definition}");
    }
}
