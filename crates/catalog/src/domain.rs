//! Domains: which are in use, and what their `domain.toml` says for all of their tables.

use std::path::{Path, PathBuf};

use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::{Diagnostic, Diagnostics, Position, SourceFile, builtin};

/// The domain that is in use where none is chosen.
pub const DEFAULT_DOMAIN: &str = "ecommerce";

pub(super) const FILE: &str = "domain.toml";
/// As diagnostics name what does not come from a file of the catalog.
const CONFIGURATION: &str = "configuration";

/// ISO 4217's code for amounts without a currency: that of a catalog which names none.
const NO_CURRENCY: &str = "XXX";

/// What a `domain.toml` may say, and the configuration over it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DomainOptions {
    /// The title that people see.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The IANA name of the time zone in which days and months begin, and in which times without an offset are read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// The currency of amounts that name none: three letters, ISO 4217.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
}

/// The built-in domains in use, and what holds for the whole catalog. Its files read zone and currency by
/// `current_setting('domain.time_zone')` and `current_setting('domain.currency')`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainSettings {
    /// In order: the first is the one that the page is of.
    pub domains: Vec<String>,
    pub title: String,
    pub time_zone: Tz,
    pub currency: String,
}

impl Default for DomainSettings {
    /// The default domain's, as shipped.
    fn default() -> Self {
        let domains = [DEFAULT_DOMAIN.to_owned()];
        Self::load(&domains, &[], &DomainOptions::default())
            .unwrap_or_else(|errors| unreachable!("the built-in domain is sound: {errors}"))
    }
}

impl DomainSettings {
    /// Those of built-in domains, with what the `domain.toml` of catalog folders says over them, and `configured` over all. One
    /// process has one zone and one currency: domains that differ need a word of the configuration.
    pub fn load(domains: &[String], dirs: &[PathBuf], configured: &DomainOptions) -> Result<Self, Diagnostics> {
        let mut layers = Layers::default();
        for (index, domain) in domains.iter().enumerate() {
            if domains[..index].contains(domain) {
                let error = format!("catalog.domains names {domain} twice");
                layers.errors.push(Position::file(CONFIGURATION).error(error, "name each domain once".into()));
                continue;
            }
            match builtin::settings_file(domain) {
                Some(file) => layers.add_domain(&file),
                None => layers.errors.push(unknown(domain)),
            }
        }
        for dir in dirs {
            layers.add_folder(dir);
        }
        layers.put_over(Position::file(CONFIGURATION), configured.clone());
        layers.finish(domains)
    }

    /// The first domain in use; empty without one.
    pub fn domain(&self) -> &str {
        self.domains.first().map_or("", String::as_str)
    }
}

/// An option with the place that said it.
type Said = Option<(Position, String)>;

#[derive(Default)]
struct Layers {
    title: Said,
    time_zone: Said,
    currency: Said,
    /// Options of which a domain says something else than one before it, unless a folder or the configuration decides.
    differing: Vec<(&'static str, Diagnostic)>,
    errors: Vec<Diagnostic>,
}

impl Layers {
    fn add_domain(&mut self, file: &SourceFile) {
        let options = match read(file) {
            Ok(options) => options,
            Err(error) => return self.errors.push(error),
        };
        let position = Position::file(&file.path);
        self.title = self.title.take().or(options.title.map(|title| (position.clone(), title)));
        let parts =
            [("time_zone", &mut self.time_zone, options.time_zone), ("currency", &mut self.currency, options.currency)];
        for (key, first, value) in parts {
            let Some(value) = value else { continue };
            match first {
                None => *first = Some((position.clone(), value)),
                Some((at, other)) if *other != value => {
                    let error = position.error(
                        format!("{key} is {value}, but {other} in {}: both domains are in use", at.file),
                        format!("set domain.{key} in the configuration, or run the domains apart"),
                    );
                    self.differing.push((key, error));
                }
                Some(_) => {}
            }
        }
    }

    fn add_folder(&mut self, dir: &Path) {
        let path = dir.join(FILE);
        let shown = path.display().to_string();
        match std::fs::read_to_string(&path) {
            Ok(text) => match read(&SourceFile { path: shown.clone(), text }) {
                Ok(options) => self.put_over(Position::file(shown), options),
                Err(error) => self.errors.push(error),
            },
            // A folder may have none; one that is not there itself is found where its SQL is read.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => self.errors.push(
                Position::file(shown).error(format!("cannot be read: {error}"), "let this user read it".to_owned()),
            ),
        }
    }

    fn put_over(&mut self, position: Position, options: DomainOptions) {
        let DomainOptions { title, time_zone, currency } = options;
        for (key, value) in [("time_zone", &time_zone), ("currency", &currency)] {
            if value.is_some() {
                self.differing.retain(|(differs, _)| *differs != key);
            }
        }
        let parts = [(&mut self.title, title), (&mut self.time_zone, time_zone), (&mut self.currency, currency)];
        for (said, value) in parts {
            if let Some(value) = value {
                *said = Some((position.clone(), value));
            }
        }
    }

    fn finish(mut self, domains: &[String]) -> Result<DomainSettings, Diagnostics> {
        let zone = self.time_zone.as_ref().map_or(Ok(Tz::UTC), |(position, name)| zone(position, name));
        let currency = self.currency.as_ref().map_or(Ok(NO_CURRENCY.to_owned()), |(at, code)| currency(at, code));
        self.errors.extend(self.differing.into_iter().map(|(_, error)| error));
        match (zone, currency) {
            (Ok(time_zone), Ok(currency)) if self.errors.is_empty() => {
                let title = self.title.map_or_else(|| "Vitral".to_owned(), |(_, title)| title);
                Ok(DomainSettings { domains: domains.to_vec(), title, time_zone, currency })
            }
            (zone, currency) => {
                self.errors.extend(zone.err().into_iter().chain(currency.err()));
                Err(Diagnostics(self.errors))
            }
        }
    }
}

fn zone(position: &Position, name: &str) -> Result<Tz, Diagnostic> {
    name.parse().map_err(|_| {
        let remedy = "write its name as America/New_York, Europe/Lisbon or UTC".to_owned();
        position.error(format!("time_zone is {name:?}, which is not an IANA time zone"), remedy)
    })
}

fn currency(position: &Position, code: &str) -> Result<String, Diagnostic> {
    if code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return Ok(code.to_owned());
    }
    let remedy = "write its ISO 4217 code, such as USD or EUR".to_owned();
    Err(position.error(format!("currency is {code:?}, which is not a code of three capital letters"), remedy))
}

fn read(file: &SourceFile) -> Result<DomainOptions, Diagnostic> {
    toml::from_str(&file.text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        let before = file.text.get(..start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |end| end + 1);
        let line = before.matches('\n').count() as u64 + 1;
        let column = before[line_start..].chars().count() as u64 + 1;
        let remedy = "a domain has title, time_zone and currency, each a text in quotes".to_owned();
        Position::file(&file.path).at_line(line, column).error(error.message(), remedy)
    })
}

fn unknown(domain: &str) -> Diagnostic {
    Position::file(CONFIGURATION).error(
        format!("catalog.domains names {domain}, which is not a built-in domain"),
        format!("name {}, or have its folder in catalog.dirs", builtin::domains().join(", ")),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(domains: &[&str], dirs: &[PathBuf], configured: DomainOptions) -> Result<DomainSettings, String> {
        let domains: Vec<String> = domains.iter().map(|&domain| domain.to_owned()).collect();
        DomainSettings::load(&domains, dirs, &configured).map_err(|errors| errors.to_string())
    }

    fn folder(text: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::write(dir.path().join(FILE), text).expect("written");
        dir
    }

    #[test]
    fn the_last_to_speak_is_heard() {
        let shipped = load(&["ecommerce"], &[], DomainOptions::default()).expect("sound");
        assert_eq!(shipped, DomainSettings::default());
        assert_eq!((shipped.time_zone.name(), shipped.currency.as_str()), ("America/Sao_Paulo", "BRL"));
        let dir = folder("title = 'Matriz'\ntime_zone = 'Europe/Lisbon'");
        let dirs = [dir.path().to_owned(), PathBuf::from("/nowhere")];
        let over = load(&["ecommerce"], &dirs, DomainOptions::default()).expect("sound");
        assert_eq!(
            (over.title.as_str(), over.time_zone.name(), over.currency.as_str()),
            ("Matriz", "Europe/Lisbon", "BRL")
        );
        let configured = DomainOptions { time_zone: Some("UTC".to_owned()), ..DomainOptions::default() };
        assert_eq!(load(&["ecommerce"], &dirs, configured).expect("sound").time_zone, Tz::UTC);
    }

    #[test]
    fn without_a_domain_there_is_neither_zone_nor_currency() {
        let none = load(&[], &[], DomainOptions::default()).expect("sound");
        assert_eq!((none.domain(), none.time_zone, none.currency.as_str()), ("", Tz::UTC, "XXX"));
    }

    #[test]
    fn all_errors_are_named_with_their_places() {
        let error = load(&["commerce", "ecommerce", "ecommerce"], &[], DomainOptions::default()).expect_err("unknown");
        assert!(error.contains("names commerce") && error.contains("ecommerce twice"), "{error}");
        let dir = folder("title = 'x'\n  zone = 'UTC'");
        let error = load(&[], &[dir.path().to_owned()], DomainOptions::default()).expect_err("a wrong key");
        assert!(error.contains("domain.toml:2:3: ") && error.contains("zone"), "{error}");
        let dir = folder("time_zone = 'Mars/Olympus'\ncurrency = 'R$'");
        let error = load(&[], &[dir.path().to_owned()], DomainOptions::default()).expect_err("wrong values");
        assert!(error.contains("domain.toml: ") && error.contains("Mars/Olympus") && error.contains("R$"), "{error}");
    }

    #[test]
    fn domains_that_differ_need_a_word_of_the_configuration() {
        let file = |path: &str, text: &str| SourceFile { path: path.to_owned(), text: text.to_owned() };
        let both = |configured: DomainOptions| {
            let mut layers = Layers::default();
            layers.add_domain(&file("a/domain.toml", "time_zone = 'UTC'\ncurrency = 'EUR'"));
            layers.add_domain(&file("b/domain.toml", "time_zone = 'UTC'\ncurrency = 'USD'"));
            layers.put_over(Position::file(CONFIGURATION), configured);
            layers.finish(&[]).map_err(|errors| errors.to_string())
        };
        let error = both(DomainOptions::default()).expect_err("two currencies");
        assert!(error.contains("b/domain.toml: currency is USD, but EUR in a/domain.toml"), "{error}");
        let settled = both(DomainOptions { currency: Some("GBP".to_owned()), ..DomainOptions::default() });
        assert_eq!(settled.expect("settled").currency, "GBP");
    }
}
