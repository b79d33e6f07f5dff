//! Settings of a domain's own: numbers and texts that its `domain.toml` declares, that the
//! configuration may change, and that its SQL reads by `current_setting('domain.NAME')`.

use std::collections::BTreeMap;

use datafusion::sql::sqlparser::ast::{Expr, Value};
use serde::{Deserialize, Serialize};

use super::{Diagnostic, Position};

/// What a setting says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Setting {
    /// A whole number.
    Integer(i64),
    /// Another number, as it is written in SQL.
    Decimal(Decimal),
    /// A text.
    Text(String),
}

/// A number with a fraction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "f64", into = "f64")]
pub struct Decimal(String);

impl From<f64> for Decimal {
    fn from(number: f64) -> Self {
        Self(number.to_string())
    }
}

impl From<Decimal> for f64 {
    fn from(Decimal(text): Decimal) -> Self {
        // It was made of one.
        text.parse().unwrap_or(Self::NAN)
    }
}

/// How what a file or the configuration says is put over what was said before it.
pub(super) type PutSettings = fn(&mut Settings, &Position, BTreeMap<String, Setting>) -> Vec<Diagnostic>;

/// Settings of every domain, which cannot be declared.
const OF_ALL: [&str; 3] = ["title", "time_zone", "currency"];

/// What was declared, and where.
#[derive(Debug, Default)]
pub(super) struct Settings(BTreeMap<String, (Position, Setting)>);

impl Setting {
    /// As it is written in SQL.
    pub(super) fn expression(&self) -> Expr {
        let value = match self {
            Self::Integer(number) => Value::Number(number.to_string(), false),
            Self::Decimal(Decimal(number)) => Value::Number(number.clone(), false),
            Self::Text(text) => Value::SingleQuotedString(text.clone()),
        };
        Expr::Value(value.into())
    }

    fn is_text(&self) -> bool {
        matches!(self, Self::Text(_))
    }
}

impl Settings {
    /// What a domain declares. Two domains cannot mean two things by one name.
    pub(super) fn declare(&mut self, position: &Position, settings: BTreeMap<String, Setting>) -> Vec<Diagnostic> {
        let mut errors = Vec::new();
        for (name, setting) in settings {
            match self.0.get(&name) {
                _ if OF_ALL.contains(&name.as_str()) => errors.push(position.error(
                    format!("{name} is below [settings], but every domain has it"),
                    format!("write {name} above [settings]"),
                )),
                Some((at, other)) if *other != setting => errors.push(position.error(
                    format!("{name} is declared in {} too: both domains are in use", at.file),
                    format!("give {name} another name in one of them"),
                )),
                Some(_) => {}
                None => drop(self.0.insert(name, (position.clone(), setting))),
            }
        }
        errors
    }

    /// What a folder over the domains declares: what it adds, and what it says otherwise.
    pub(super) fn redeclare(&mut self, position: &Position, settings: BTreeMap<String, Setting>) -> Vec<Diagnostic> {
        let (of_all, own): (Vec<_>, Vec<_>) =
            settings.into_iter().partition(|(name, _)| OF_ALL.contains(&name.as_str()));
        self.0.extend(own.into_iter().map(|(name, setting)| (name, (position.clone(), setting))));
        self.declare(position, of_all.into_iter().collect())
    }

    /// What the configuration says of settings that are declared.
    pub(super) fn change(&mut self, position: &Position, settings: BTreeMap<String, Setting>) -> Vec<Diagnostic> {
        let mut errors = Vec::new();
        let own: Vec<String> = self.0.keys().cloned().collect();
        let known = OF_ALL.into_iter().chain(own.iter().map(String::as_str));
        let known = known.collect::<Vec<_>>().join(", ");
        for (name, setting) in settings {
            match self.0.get_mut(&name) {
                None => {
                    errors.push(position.error(format!("domain.{name} is not a key"), format!("write one of {known}")))
                }
                Some((_, declared)) if declared.is_text() != setting.is_text() => {
                    let kind = if declared.is_text() { "a string in quotes" } else { "a number" };
                    let said = setting.expression();
                    errors
                        .push(position.error(format!("domain.{name} is {said}, not {kind}"), format!("write {kind}")));
                }
                Some((at, declared)) => (*at, *declared) = (position.clone(), setting),
            }
        }
        errors
    }

    pub(super) fn finish(self) -> BTreeMap<String, Setting> {
        self.0.into_iter().map(|(name, (_, setting))| (name, setting)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(settings: &[(&str, Setting)]) -> BTreeMap<String, Setting> {
        settings.iter().map(|(name, setting)| ((*name).to_owned(), setting.clone())).collect()
    }

    #[test]
    fn the_configuration_changes_what_is_declared_and_nothing_else() {
        let mut settings = Settings::default();
        let at = |file: &str| Position::file(file);
        let declared = of(&[("cover_days", Setting::Integer(3)), ("service_level", Setting::Decimal(0.95.into()))]);
        assert!(settings.declare(&at("a/domain.toml"), declared).is_empty());
        assert!(settings.change(&at("configuration"), of(&[("cover_days", Setting::Integer(7))])).is_empty());
        let errors = settings.change(&at("configuration"), of(&[("cover_day", Setting::Integer(7))]));
        assert!(errors[0].to_string().contains("cover_day") && errors[0].to_string().contains("cover_days"));
        let errors = settings.change(&at("configuration"), of(&[("cover_days", Setting::Text("x".into()))]));
        assert!(errors[0].to_string().contains("domain.cover_days is 'x', not a number"), "{}", errors[0]);
        assert_eq!(settings.declare(&at("b/domain.toml"), of(&[("cover_days", Setting::Integer(9))])).len(), 1);
        let held = settings.finish();
        assert_eq!(held["cover_days"].expression().to_string(), "7");
        assert_eq!(held["service_level"].expression().to_string(), "0.95");
    }
}
