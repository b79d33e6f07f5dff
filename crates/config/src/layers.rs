//! What is wrong with a layer of the configuration, by the names that are in it.

use figment::error::{Actual, Error, Kind};
use figment::{Metadata, Source};

use super::ENV_PREFIX;

/// Keys that hold for one release more, by their section, are not offered.
const FORMER: [(&str, &[&str]); 4] = [
    ("", &["shop"]),
    ("stream", &["cycle_ms", "refresh_ms", "uncommitted_bytes", "known_ids_bytes"]),
    ("kafka", &["brokers", "options"]),
    ("warehouse", &["url", "replica_url", "connections"]),
];
/// What is below them can be secret.
const SECRET: [&str; 3] = ["options", "secrets", "url"];

/// All errors, one after another.
pub(super) fn describe(error: Error) -> String {
    let lines: Vec<String> = error.into_iter().map(|error| line(&error)).collect();
    lines.join("; ")
}

/// The file or the variable that says the value of a key, to be put after the key.
pub(super) fn place(metadata: &Metadata, key: &str) -> Option<String> {
    match &metadata.source {
        Some(Source::File(file)) => Some(format!(" in {}", file.display())),
        _ if metadata.name.contains(ENV_PREFIX) => {
            Some(in_environment(&format!("{ENV_PREFIX}{}", key.replace('.', "__").to_uppercase())))
        }
        _ => None,
    }
}

pub(super) fn in_environment(variable: &str) -> String {
    format!(" ({variable} in the environment)")
}

fn line(error: &Error) -> String {
    let path: Vec<_> = error.path.iter().map(|part| part.to_lowercase()).collect();
    let key = path.join(".");
    let place = error.metadata.as_ref().and_then(|metadata| place(metadata, &key)).unwrap_or_default();
    match &error.kind {
        Kind::UnknownField(_, known) => {
            let section = path.split_last().map(|(_, section)| section.join(".")).unwrap_or_default();
            let is_former = |name: &str| FORMER.iter().any(|(of, names)| *of == section && names.contains(&name));
            let offered: Vec<&str> = known.iter().copied().filter(|name| !is_former(name)).collect();
            let offered = offered.join(", ");
            if section.is_empty() {
                format!("{key}{place} is not a section: write one of {offered}")
            } else {
                format!("{key}{place} is not a key: write one of {offered}, in [{section}]")
            }
        }
        Kind::InvalidType(found, expected) | Kind::InvalidValue(found, expected) => {
            let is_secret = path.iter().any(|part| SECRET.contains(&part.as_str()));
            let found = if is_secret { "of another kind".to_owned() } else { found_text(found) };
            format!("{key}{place} is {found}, and has to be {}", expected_text(expected))
        }
        // The parser says where, and what is wrong.
        kind if key.is_empty() => format!(
            "{}{}",
            place.trim_start().strip_prefix("in ").map(|file| format!("{file}: ")).unwrap_or_default(),
            without_source(&kind.to_string())
        ),
        kind => format!("{key}{place}: {kind}"),
    }
}

/// The parser's words without the lines of the file that it shows: a password may be in them.
fn without_source(text: &str) -> String {
    let is_source = |line: &str| {
        line.trim_start().trim_start_matches(|char: char| char.is_ascii_digit()).trim_start().starts_with('|')
    };
    text.lines().filter(|line| !is_source(line) && !line.is_empty()).collect::<Vec<_>>().join(": ")
}

fn found_text(found: &Actual) -> String {
    match found {
        Actual::Str(text) => format!("the string {text:?}"),
        Actual::Bool(value) => value.to_string(),
        Actual::Unsigned(value) => value.to_string(),
        Actual::Signed(value) => value.to_string(),
        Actual::Float(value) => value.to_string(),
        Actual::Seq => "a list".to_owned(),
        Actual::Map => "a table".to_owned(),
        other => other.to_string(),
    }
}

/// Serde names Rust's types.
fn expected_text(expected: &str) -> &str {
    match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, 0 or more",
        "a boolean" => "true or false",
        "a string" => "a string, in quotation marks",
        "a sequence" => "a list, in brackets",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use crate::Config;

    fn problem(text: &str) -> String {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("vitral.toml");
        std::fs::write(&file, text).expect("written");
        let shown = Config::load(Some(&file)).expect_err("a wrong file").to_string();
        shown.replace(&format!("{}/", dir.path().display()), "")
    }

    #[test]
    fn a_key_that_does_not_exist_is_named_with_those_that_do() {
        let shown = problem("[kafka]\nbroker = 'a:9092'");
        assert_eq!(
            shown,
            "configuration: kafka.broker in vitral.toml is not a key: write one of connection, in [kafka]"
        );
        let shown = problem("[kafk]\nbrokers = 'a:9092'");
        assert!(shown.starts_with(
            "configuration: kafk in vitral.toml is not a section: write one of catalog, domain, connections, kafka"
        ));
        let shown = problem("[stream]\ncycel_ms = 5");
        assert!(shown.contains("commit_interval_ms") && !shown.contains(" cycle_ms"), "earlier names: {shown}");
    }

    #[test]
    fn a_value_of_another_kind_is_said_in_words_of_the_file() {
        let shown = problem("[stream]\nsnapshot_seconds = 'often'");
        assert_eq!(
            shown,
            "configuration: stream.snapshot_seconds in vitral.toml is the string \"often\", and has to be a whole number, 0 or more"
        );
        assert!(problem("[catalog]\ndirs = 'metricas'").ends_with("and has to be a list, in brackets"));
        let secret = problem("[store.options]\naws_secret_access_key = 4711");
        assert!(secret.contains("store.options.aws_secret_access_key") && !secret.contains("4711"), "{secret}");
        assert!(problem("[api]\nconnections = -3").ends_with("is -3, and has to be a whole number, 0 or more"));
        assert!(problem("[reconcile]\nhourly = 1").ends_with("is 1, and has to be true or false"));
        assert!(problem("[api\n").contains("vitral.toml: TOML parse error"), "{}", problem("[api\n"));
    }

    #[test]
    fn an_error_of_syntax_names_its_place_and_shows_no_secret() {
        for line in [
            "password = \"SEGREDO123",
            "password = SEGREDO123",
            "password = \"SEGREDO123\" and more",
            "password = \"SEGREDO123\\q\"",
            "password = \"SEGREDO123\"\npassword = \"SEGREDO123\"",
            "options = { password = \"SEGREDO123\", = }",
        ] {
            let shown = problem(&format!("[connections.kafka.secrets]\n{line}\n"));
            assert!(!shown.contains("SEGREDO123"), "{shown}");
            assert!(shown.contains("vitral.toml: TOML parse error at line "), "{shown}");
        }
    }
}
