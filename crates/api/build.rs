//! The page is part of the binary: a changed or new file rebuilds it.

fn main() {
    println!("cargo::rerun-if-changed=../../dashboards/live");
}
