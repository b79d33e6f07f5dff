//! The configuration as its documents show it: docs/configuration.md is what the types say, and
//! every example is taken as it stands.
//!
//! `VITRAL_GOLDEN=write cargo test --workspace --test configuration` writes the reference again.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::Value;
use vitral_config::Config;

const HEADER: &str = "# Configuration

Every key, as the code has it (`crates/config/tests/configuration.rs` writes this page and compares it). Defaults < `vitral.toml` < environment < flags: the key
`stream.snapshot_seconds` is `VITRAL__STREAM__SNAPSHOT_SECONDS` in the environment, and a list is in brackets: `VITRAL__CATALOG__DIRS='[\"metricas\"]'`.
A key that is not listed here is an error that names it; a renamed one keeps working for one release, with a warning. `vitral.toml` is looked for in the folder
where `vitral` is started, and nowhere above; relative paths begin there too. `vitral config show` prints what is in force, secrets hidden. [examples/vitral.toml](../examples/vitral.toml) is a file to start from.
";

/// What domains declare for themselves.
const SETTINGS: &str = "BTreeMap<String, Setting>";

#[test]
fn the_reference_is_what_the_types_say() {
    let keys = keys();
    let documented: BTreeSet<&str> = keys.iter().map(|key| key.name.as_str()).collect();
    let defaults = serde_json::to_value(Config::default()).expect("serialised");
    let mut known = BTreeSet::new();
    leaves(&defaults, String::new(), &documented, &mut known);
    for name in &known {
        let is_of_a_domain = name.starts_with("domain.") && documented.contains("domain.NAME");
        assert!(
            is_of_a_domain || documented.contains(name.as_str()),
            "{name} is a key, and no comment was found for it"
        );
    }
    for Key { name, is_optional, .. } in &keys {
        let may_be_absent = *is_optional || name.contains(".NAME.");
        assert!(may_be_absent || known.contains(name), "{name} is documented, and is not a key");
    }

    let path = root().join("docs/configuration.md");
    let text = render(&keys, &defaults);
    if std::env::var("VITRAL_GOLDEN").is_ok_and(|mode| mode == "write") {
        std::fs::write(&path, text).expect("written");
        return;
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(there, text, "write it again: VITRAL_GOLDEN=write cargo test --workspace --test configuration");
}

#[test]
fn the_sample_is_a_configuration() {
    let sample = root().join("examples/vitral.toml");
    let config = Config::load(Some(&sample)).expect("the sample");
    assert_ne!(config, Config::default(), "a sample that sets nothing shows nothing");
    assert!(config.warnings().is_empty(), "{:?}", config.warnings());
    config.settings().expect("its shop");
    // What is only proposed, behind `#`, has to be right too once it is taken.
    let text = std::fs::read_to_string(&sample).expect("the sample");
    let proposed: String = text.lines().fold(String::new(), |text, line| {
        let line = line.strip_prefix("#").filter(|rest| !rest.starts_with([' ', '#'])).unwrap_or(line);
        text + line + "\n"
    });
    assert_ne!(proposed, text, "nothing is proposed");
    load(&proposed).unwrap_or_else(|error| panic!("what the sample proposes: {error}"));
}

#[test]
fn examples_in_documents_are_configurations() {
    let mut blocks = 0;
    for document in ["README.md", "README.pt-BR.md", "docs/access.md", "docs/reliability.md", "CONTRIBUTING.md"] {
        let text = std::fs::read_to_string(root().join(document)).expect(document);
        for block in text.split("```toml\n").skip(1) {
            let block = block.split("```").next().expect("its text");
            load(block).unwrap_or_else(|error| panic!("{document}: {error}\n{block}"));
            blocks += 1;
        }
    }
    assert!(blocks > 0, "no document has an example");
}

struct Key {
    name: String,
    kind: &'static str,
    is_optional: bool,
    meaning: String,
}

struct Field {
    name: String,
    of: String,
    is_optional: bool,
    meaning: String,
}

/// All keys, section by section in the order of the types.
fn keys() -> Vec<Key> {
    let structs = structs();
    let mut keys = Vec::new();
    list("Config", "", &structs, &mut keys);
    keys
}

fn list(of: &str, prefix: &str, structs: &BTreeMap<String, Vec<Field>>, keys: &mut Vec<Key>) {
    for Field { name, of, is_optional, meaning } in &structs[of] {
        if ["The earlier name of", "The former name of"].iter().any(|former| meaning.starts_with(former)) {
            continue;
        }
        if of == SETTINGS {
            // Domains declare their names.
            let (name, kind) = (format!("{prefix}NAME"), "number or string");
            keys.push(Key { name, kind, is_optional: true, meaning: meaning.clone() });
            continue;
        }
        let name = format!("{prefix}{name}");
        let inner = of.strip_prefix("BTreeMap<String, ").and_then(|of| of.strip_suffix('>'));
        if structs.contains_key(of) {
            list(of, &format!("{name}."), structs, keys);
        } else if let Some(inner) = inner.filter(|inner| structs.contains_key(*inner)) {
            list(inner, &format!("{name}.NAME."), structs, keys);
        } else {
            assert!(!meaning.is_empty(), "{name} has no comment of its own that says what it means");
            keys.push(Key { kind: kind(&name, of), name, is_optional: *is_optional, meaning: meaning.clone() });
        }
    }
}

/// What a value is, by its name's ending where that is a unit.
fn kind(name: &str, of: &str) -> &'static str {
    let units =
        [("_ms", "milliseconds"), ("_seconds", "seconds"), ("_days", "days"), ("_bytes", "bytes"), ("_rows", "rows")];
    let name = name.trim_end_matches("_max");
    if let Some((_, unit)) = units.iter().find(|(ending, _)| name.ends_with(ending)) {
        return unit;
    }
    match of {
        "bool" => "`true` or `false`",
        "usize" | "u64" | "u32" | "u16" => "number",
        "Vec<String>" | "Vec<PathBuf>" => "list of strings",
        "BTreeMap<String, String>" | "BTreeMap<String, Secret>" => "table of strings",
        _ => "string",
    }
}

/// The fields of every struct of the configuration's sources, with their comments.
fn structs() -> BTreeMap<String, Vec<Field>> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = vec![src.join("../../catalog/src/domain.rs"), src.join("../../connect/src/connections.rs")];
    let parts = std::fs::read_dir(src).expect("its parts");
    files.extend(parts.map(|part| part.expect("a part").path()));
    let mut structs = BTreeMap::new();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a source");
        let mut open: Option<(String, Vec<Field>)> = None;
        let mut comment: Vec<&str> = Vec::new();
        for line in text.lines().map(str::trim) {
            if let Some(name) = line.strip_prefix("pub struct ").and_then(|rest| rest.strip_suffix(" {")) {
                open = Some((name.to_owned(), Vec::new()));
                comment.clear();
            } else if let Some(said) = line.strip_prefix("///") {
                comment.push(said.trim());
            } else if let Some((_, fields)) = &mut open
                && let Some((name, of)) = line.strip_prefix("pub ").and_then(|field| field.split_once(": "))
            {
                let of = of.trim_end_matches(',');
                let inner = of.strip_prefix("Option<").and_then(|of| of.strip_suffix('>'));
                let (is_optional, of) = (inner.is_some(), inner.unwrap_or(of).to_owned());
                fields.push(Field { name: name.to_owned(), of, is_optional, meaning: comment.join(" ") });
                comment.clear();
            } else if line == "}" {
                structs.extend(open.take());
            } else if !line.starts_with("#[") {
                comment.clear();
            }
        }
    }
    structs
}

/// The names of all values; a table that is documented as one key is one.
fn leaves(value: &Value, name: String, documented: &BTreeSet<&str>, names: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) if !documented.contains(name.as_str()) => {
            for (field, value) in fields {
                let name = if name.is_empty() { field.clone() } else { format!("{name}.{field}") };
                leaves(value, name, documented, names);
            }
        }
        _ => {
            names.insert(name);
        }
    }
}

fn render(keys: &[Key], defaults: &Value) -> String {
    let mut text = HEADER.to_owned();
    let mut section = "";
    for key in keys {
        let sections = if key.name.contains(".NAME.") { 2 } else { 1 };
        let (end, _) = key.name.match_indices('.').nth(sections - 1).expect("a section");
        let (of, name) = (&key.name[..end], &key.name[end + 1..]);
        if of != section {
            section = of;
            write!(text, "\n## `[{section}]`\n\n| Key | Default | Kind | Meaning |\n|---|---|---|---|\n")
                .expect("a string");
        }
        let default = default(defaults, &key.name, key.kind);
        let meaning = key.meaning.replace('|', "\\|");
        writeln!(text, "| `{name}` | {default} | {} | {meaning} |", key.kind).expect("a string");
    }
    text
}

fn default(defaults: &Value, name: &str, kind: &str) -> String {
    let value = name.split('.').try_fold(defaults, |value, part| value.get(part));
    match value {
        None | Some(Value::Null) => "none".to_owned(),
        Some(Value::Object(fields)) if fields.is_empty() => "none".to_owned(),
        Some(Value::Array(items)) if items.is_empty() => "none".to_owned(),
        Some(Value::Number(bytes)) if kind == "bytes" => match bytes.as_u64() {
            Some(bytes) if bytes > 0 && bytes % (1 << 20) == 0 => format!("`{bytes}` ({} MiB)", bytes >> 20),
            _ => format!("`{bytes}`"),
        },
        Some(value) => format!("`{value}`"),
    }
}

fn load(text: &str) -> Result<Config, String> {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("vitral.toml");
    std::fs::write(&file, text).expect("written");
    Config::load(Some(&file)).map_err(|error| format!("{:#}", anyhow::Error::from(error)))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
