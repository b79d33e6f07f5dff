//! Golden cases: a metric's SQL and events in, rows out. A new case is a file in `tests/golden`, no
//! Rust.
//!
//! A case has three parts, each after a line of its own: the SQL, `--- events` (CSV with a header;
//! `_particao` and the topic's columns) and `--- rows`. `VITRAL_GOLDEN=write cargo test` writes the
//! rows again.

use std::fs;
use std::path::Path;

use super::rows::{Event, all_rows, batch, fold, panes, plan, text};

#[test]
fn golden_cases() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut cases = 0;
    for entry in fs::read_dir(&dir).expect("the cases") {
        let path = entry.expect("a case").path();
        let case = fs::read_to_string(&path).expect("a case");
        let (sql, rest) = case.split_once("--- events\n").expect("events");
        let (events, wanted) = rest.split_once("--- rows\n").expect("rows");
        let rows = run(sql, events);
        if std::env::var_os("VITRAL_GOLDEN").is_some() {
            fs::write(&path, format!("{sql}--- events\n{events}--- rows\n{rows}\n")).expect("written");
        } else {
            assert_eq!(rows, wanted.trim_end(), "{}", path.display());
        }
        cases += 1;
    }
    assert!(cases >= 7, "a case for each built-in metric");
}

/// Folds each event as a batch of its own: the hardest split.
fn run(sql: &str, events: &str) -> String {
    let sql = match sql.trim().strip_prefix("builtin ") {
        Some(name) => {
            let path = format!("{}/../../catalog/ecommerce/metrics/{name}.sql", env!("CARGO_MANIFEST_DIR"));
            fs::read_to_string(path).expect("a built-in metric")
        }
        None => sql.to_owned(),
    };
    let (topic, plan) = plan(&sql);
    let mut panes = panes(&plan);
    let mut lines = events.lines();
    let header: Vec<&'static str> = lines
        .next()
        .expect("a header")
        .split(',')
        .map(|name| &*Box::leak(name.trim().to_owned().into_boxed_str()))
        .collect();
    for line in lines {
        let event: Event = header.iter().copied().zip(line.split(',').map(|text| text.trim().to_owned())).collect();
        let partition =
            event.iter().find(|(name, _)| *name == "_particao").map_or(0, |(_, n)| n.parse().expect("a number"));
        fold(&mut panes, &topic, partition, &batch(&topic, &[event]));
    }
    text(&all_rows(&panes))
}
