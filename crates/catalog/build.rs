//! The built-in catalog is part of the binary: a changed or new SQL file rebuilds it.

fn main() {
    println!("cargo::rerun-if-changed=../../catalog");
}
