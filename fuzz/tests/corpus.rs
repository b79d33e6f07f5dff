//! Every kept input of every target, as it is, and cut short in some places: what once broke
//! something stays unbroken.

use std::collections::BTreeSet;
use std::path::PathBuf;

use vitral_fuzz::{TARGETS, Target, target};

/// Into so many parts an input is cut, one after the other.
const CUTS: usize = 4;

fn corpus() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

fn replay(name: &str) {
    let Target { check, .. } = target(name).expect("a target");
    let folder = corpus().join(name);
    let entries = std::fs::read_dir(&folder).expect("a folder of inputs");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an input").path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} is empty", folder.display());
    check(b"");
    for path in paths {
        let data = std::fs::read(&path).expect("an input");
        for end in (1..=CUTS).map(|part| data.len() * part / CUTS) {
            // The test's output names the input that broke something.
            eprintln!("{} up to {end}", path.display());
            check(&data[..end]);
        }
    }
}

#[test]
fn messages() {
    replay("decoder");
}

#[test]
fn catalogs() {
    replay("catalog");
}

#[test]
fn snapshots() {
    replay("snapshot");
}

#[test]
fn requests() {
    replay("parameters");
}

#[test]
fn delimited_files() {
    replay("delimited");
}

#[test]
fn parquet_files() {
    replay("parquet");
}

#[test]
fn spreadsheets() {
    replay("spreadsheet");
}

#[test]
fn numbers_and_dates() {
    replay("forms");
}

#[test]
fn every_folder_is_of_a_target() {
    let folders = std::fs::read_dir(corpus()).expect("the corpus");
    let folders: BTreeSet<String> =
        folders.map(|entry| entry.expect("a folder").file_name().into_string().expect("a name")).collect();
    let targets: BTreeSet<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    assert_eq!(folders, targets);
}
