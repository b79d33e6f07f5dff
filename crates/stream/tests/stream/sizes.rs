//! Types of this crate and of `panes` have at most twelve fields; that functions have at most sixty
//! lines is a lint.

use std::path::Path;

const FIELDS_MAX: usize = 12;

/// The type's name and how many fields it has, for each `struct` with named fields in a file that
/// is formatted.
fn structs(text: &str) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let declared = line
            .trim_start()
            .split_once("struct ")
            .filter(|(before, _)| before.is_empty() || before.starts_with("pub"));
        let Some((_, rest)) = declared.filter(|_| line.ends_with('{')) else { continue };
        let indent = " ".repeat(line.len() - line.trim_start().len() + 4);
        let name = rest.split(|letter: char| !letter.is_alphanumeric()).next().unwrap_or_default();
        let body = lines.by_ref().take_while(|line| line.trim() != "}");
        let is_field = |line: &&str| {
            let Some(field) = line.strip_prefix(&indent) else { return false };
            field.starts_with(|letter: char| letter.is_ascii_lowercase()) && field.contains(": ")
        };
        found.push((name.to_owned(), body.filter(is_field).count()));
    }
    found
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn fields_are_counted() {
    let text = "pub struct One<T> {\n    /// Of: something.\n    pub a: T,\n    b: fn(\n        c: u8,\n    ),\n}\n\nstruct Nothing;\n";
    assert_eq!(structs(text), [("One".to_owned(), 2)]);
}

#[test]
fn no_type_has_more_than_twelve_fields() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let all = ["src", "../panes/src"].map(|folder| files(&root.join(folder)));
    let mut count = 0;
    for path in all.into_iter().flatten() {
        for (name, fields) in structs(&std::fs::read_to_string(&path).expect("a text")) {
            count += 1;
            assert!(fields <= FIELDS_MAX, "{name} in {} has {fields} fields", path.display());
        }
    }
    assert!(count > 40, "only {count} types were found");
}
