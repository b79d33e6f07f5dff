//! One `domain.toml`, key by key: each wrong one is an error of its own at its line, and the others
//! hold.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::{DomainOptions, Place};
use crate::domains::RESERVED;
use crate::settings::Setting;
use crate::{Diagnostic, Position, SourceFile};

const SETTINGS: &str = "settings";
const FORM: &str = "a domain has title, time_zone and currency, and in a folder of catalog.dirs a name; each is a string in quotes; below \
                    [settings] it has strings and numbers of its own";

/// What a `domain.toml` says, and what is wrong with it.
#[derive(Debug, Default)]
pub(super) struct DomainFile {
    /// If it is of a folder that is a domain of its own.
    pub(super) name: Option<String>,
    /// What it declares; the configuration may say otherwise.
    pub(super) options: DomainOptions,
    pub(super) errors: Vec<Diagnostic>,
}

impl DomainFile {
    pub(super) fn read(file: &SourceFile) -> Self {
        let mut read = Self::default();
        let table: Table = match toml::from_str(&file.text) {
            Ok(table) => table,
            Err(error) => {
                read.errors.push(unparsed(file, &error));
                return read;
            }
        };
        let place = Place::of(file);
        for (key, value) in table {
            let at = place.of_key(&key);
            match (key.as_str(), value) {
                ("name", Value::String(name)) if !is_name(&name) => read.errors.push(at.error(
                    format!("name is {name:?}, which cannot be a domain's name"),
                    format!("use small letters, digits and _, and another name than {}", RESERVED.join(", ")),
                )),
                ("name", Value::String(name)) => read.name = Some(name),
                ("title", Value::String(title)) => read.options.title = Some(title),
                ("time_zone", Value::String(zone)) => read.options.time_zone = Some(zone),
                ("currency", Value::String(code)) => read.options.currency = Some(code),
                (SETTINGS, Value::Table(settings)) => read.options.settings = read.settings(settings, &place),
                ("name" | "title" | "time_zone" | "currency", value) => read.errors.push(
                    at.error(format!("{key} is {value}, which is not a string"), format!("write {key} = \"...\"")),
                ),
                (SETTINGS, value) => read.errors.push(at.error(
                    format!("{key} is {value}, which is not a section"),
                    format!("write [{SETTINGS}] above them"),
                )),
                _ => read.errors.push(at.error(format!("{key} is not a key of a domain"), FORM.to_owned())),
            }
        }
        read
    }

    fn settings(&mut self, settings: Table, place: &Place) -> BTreeMap<String, Setting> {
        let mut known = BTreeMap::new();
        for (name, value) in settings {
            let setting = match value {
                Value::Integer(number) => Setting::Integer(number),
                Value::Float(number) if number.is_finite() => Setting::Decimal(number.into()),
                Value::String(text) => Setting::Text(text),
                other => {
                    self.errors.push(place.of_key(&name).error(
                        format!("setting {name} is {other}, which is neither a number nor a string"),
                        format!("write {name} = 3, {name} = 0.5 or {name} = \"...\""),
                    ));
                    continue;
                }
            };
            known.insert(name, setting);
        }
        known
    }
}

/// Whether a domain can have this name: SQL looks for names in small letters.
fn is_name(name: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    name.starts_with(|first: char| first.is_ascii_lowercase()) && name.bytes().all(is_part) && !RESERVED.contains(&name)
}

fn unparsed(file: &SourceFile, error: &toml::de::Error) -> Diagnostic {
    let start = error.span().map_or(0, |span| span.start);
    let before = file.text.get(..start).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    let line = before.matches('\n').count() as u64 + 1;
    let column = before[line_start..].chars().count() as u64 + 1;
    Position::file(&file.path).at_line(line, column).error(error.message(), FORM.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wrong_key_is_an_error_and_the_others_hold() {
        let text =
            "name = 'A b'\ntitle = 3\ntime_zone = 'UTC'\nzone = 'x'\n[settings]\ncover = [1]\n  share = nan\ndays = 3";
        let file = SourceFile { path: "domain.toml".to_owned(), text: text.to_owned() };
        let DomainFile { name, options, errors } = DomainFile::read(&file);
        let mut errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        errors.sort();
        assert_eq!(errors.len(), 5, "{errors:#?}");
        for (error, words) in errors.iter().zip([
            "domain.toml:1:1: name is \"A b\", which cannot be a domain's name",
            "domain.toml:2:1: title is 3, which is not a string",
            "domain.toml:4:1: zone is not a key of a domain",
            "domain.toml:6:1: setting cover is [1], which is neither a number nor a string",
            "domain.toml:7:3: setting share is nan, which is neither a number nor a string",
        ]) {
            assert!(error.starts_with(words) && error.contains("remedy: "), "{error}");
        }
        assert_eq!((name, options.title, options.time_zone.as_deref()), (None, None, Some("UTC")));
        assert_eq!(options.settings, BTreeMap::from([("days".to_owned(), Setting::Integer(3))]));
    }

    #[test]
    fn what_is_not_toml_has_its_place() {
        let file = SourceFile { path: "domain.toml".to_owned(), text: "title = 'x'\ncurrency = BRL".to_owned() };
        let DomainFile { errors, .. } = DomainFile::read(&file);
        assert!(errors.len() == 1 && errors[0].to_string().starts_with("domain.toml:2:"), "{errors:?}");
    }
}
