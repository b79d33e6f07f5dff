//! Domains: which are in use, and what their `domain.toml` says for all of their tables.

mod file;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use self::file::DomainFile;
use super::builtin::SETTINGS_FILE;
use super::settings::{PutSettings, Setting, Settings};
use super::{Diagnostic, Diagnostics, Position, SourceFile, builtin};

/// The domain that is in use where none is chosen.
pub const DEFAULT_DOMAIN: &str = "ecommerce";

/// As diagnostics name what does not come from a file of the catalog.
pub const CONFIGURATION: &str = "configuration";

/// ISO 4217's code for amounts without a currency: that of a catalog which names none.
const NO_CURRENCY: &str = "XXX";

/// What the configuration may say of the domains in use.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DomainOptions {
    /// The title that people see.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The IANA name of the time zone in which days and months begin, and in which times without an
    /// offset are read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// The currency of amounts that name none: three letters, ISO 4217.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    /// A setting of a domain's own, by the name that its `domain.toml` gives it below `[settings]`,
    /// where it also says what it means.
    #[serde(flatten)]
    pub settings: BTreeMap<String, Setting>,
}

/// The domains in use, and what holds for the whole catalog. Its files read zone and currency by
/// `current_setting('domain.time_zone')` and `current_setting('domain.currency')`, and likewise the
/// settings of a domain's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainSettings {
    /// In order: the first is the one that the page is of, and whose names need no domain before
    /// them.
    pub domains: Vec<String>,
    /// Folders of the configuration that are domains of their own.
    pub(super) folders: Vec<(PathBuf, String)>,
    /// The title that people see.
    pub title: String,
    /// The zone in which days and months begin.
    pub time_zone: Tz,
    /// The currency of amounts that name none: three capital letters, ISO 4217.
    pub currency: String,
    /// What the domains declare for their own files.
    pub settings: BTreeMap<String, Setting>,
    /// Whether all that is said of them could be read: else a setting that is missing may stand
    /// there.
    pub(super) is_whole: bool,
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
    /// Those of the domains, with what the `domain.toml` of other catalog folders says over them,
    /// and `configured` over all. A folder whose `domain.toml` has a name is a domain, after the
    /// named ones if it is not among them. One process has one zone and one currency: domains that
    /// differ need a word of the configuration.
    pub fn load(domains: &[String], dirs: &[PathBuf], configured: &DomainOptions) -> Result<Self, Diagnostics> {
        let (settings, errors) = Self::load_part(domains, dirs, configured);
        if errors.is_empty() { Ok(settings) } else { Err(Diagnostics(errors)) }
    }

    /// The same with what could be read, so that the catalog can be checked further, and every
    /// error.
    pub fn load_part(domains: &[String], dirs: &[PathBuf], configured: &DomainOptions) -> (Self, Vec<Diagnostic>) {
        let mut layers = Layers::default();
        let folders = dirs.iter().filter_map(|dir| layers.read_folder(dir)).collect::<Vec<_>>();
        for (index, domain) in domains.iter().enumerate() {
            if domains[..index].contains(domain) {
                let error = format!("catalog.domains names {domain} twice");
                layers.errors.push(Position::file(CONFIGURATION).error(error, "name each domain once".into()));
                continue;
            }
            match builtin::settings_file(domain) {
                Some(file) => layers.add_domain(&file),
                None if named(&folders, domain).next().is_some() => {}
                None => layers.errors.push(unknown(domain)),
            }
            named(&folders, domain).for_each(|folder| layers.add_options(&folder.place, folder.options.clone()));
        }
        let mut order = domains.to_vec();
        for folder in &folders {
            match &folder.name {
                Some(name) if order.contains(name) => {}
                Some(name) => {
                    order.push(name.clone());
                    layers.add_options(&folder.place, folder.options.clone());
                }
                None => layers.put_over(&folder.place, folder.options.clone(), Settings::redeclare),
            }
        }
        layers.put_over(&Place::configuration(), configured.clone(), Settings::change);
        let named = folders.into_iter().filter_map(|folder| Some((folder.dir, folder.name?)));
        layers.finish(order, named.collect())
    }

    /// The domain that a folder of the configuration is; none if it goes over all of them.
    pub(super) fn domain_of(&self, dir: &Path) -> Option<&str> {
        self.folders.iter().find(|(folder, _)| folder == dir).map(|(_, domain)| domain.as_str())
    }

    /// The first domain in use; empty without one.
    pub fn domain(&self) -> &str {
        self.domains.first().map_or("", String::as_str)
    }
}

/// Where options were said: a file's text tells the line of each.
#[derive(Debug, Clone)]
struct Place {
    file: Position,
    text: String,
}

impl Place {
    fn of(file: &SourceFile) -> Self {
        Self { file: Position::file(&file.path), text: file.text.clone() }
    }

    fn configuration() -> Self {
        Self { file: Position::file(CONFIGURATION), text: String::new() }
    }

    fn of_key(&self, key: &str) -> Position {
        let begins =
            |line: &str| line.trim_start().strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('='));
        let found = self.text.lines().zip(1..).find(|(line, _)| begins(line));
        let at =
            |(line, number): (&str, u64)| self.file.at_line(number, (line.len() - line.trim_start().len() + 1) as u64);
        found.map_or_else(|| self.file.clone(), at)
    }
}

/// A folder of the configuration that has a `domain.toml`.
struct Folder {
    dir: PathBuf,
    place: Place,
    name: Option<String>,
    options: DomainOptions,
}

/// The folders that are this domain.
fn named<'a>(folders: &'a [Folder], domain: &'a str) -> impl Iterator<Item = &'a Folder> {
    folders.iter().filter(move |folder| folder.name.as_deref() == Some(domain))
}

/// An option with the place that said it.
type Said = Option<(Position, String)>;

#[derive(Default)]
struct Layers {
    title: Said,
    time_zone: Said,
    currency: Said,
    settings: Settings,
    /// Options on which a domain differs from one before it, unless a folder or the configuration
    /// decides.
    differing: Vec<(&'static str, Diagnostic)>,
    errors: Vec<Diagnostic>,
}

impl Layers {
    fn add_domain(&mut self, file: &SourceFile) {
        let DomainFile { options, errors, .. } = DomainFile::read(file);
        self.errors.extend(errors);
        self.add_options(&Place::of(file), options);
    }

    fn add_options(&mut self, place: &Place, options: DomainOptions) {
        self.title = self.title.take().or(options.title.map(|title| (place.of_key("title"), title)));
        self.errors.extend(self.settings.declare(&place.file, options.settings));
        let parts =
            [("time_zone", &mut self.time_zone, options.time_zone), ("currency", &mut self.currency, options.currency)];
        for (key, first, value) in parts {
            let Some(value) = value else { continue };
            match first {
                None => *first = Some((place.of_key(key), value)),
                Some((at, other)) if *other != value => {
                    let error = place.of_key(key).error(
                        format!("{key} is {value}, but {other} in {}: both domains are in use", at.file),
                        format!("set domain.{key} in the configuration, or run the domains separately"),
                    );
                    self.differing.push((key, error));
                }
                Some(_) => {}
            }
        }
    }

    /// None if the folder has no `domain.toml`, or one that cannot be opened.
    fn read_folder(&mut self, dir: &Path) -> Option<Folder> {
        let path = dir.join(SETTINGS_FILE);
        let shown = path.display().to_string();
        let file = match std::fs::read_to_string(&path) {
            Ok(text) => SourceFile { path: shown, text },
            // A folder may have none; one that is not there itself, or is a file, is found where
            // its SQL is read.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return None,
            Err(error) => {
                let error =
                    Position::file(&shown).error(format!("cannot be read: {error}"), "let this user read it".into());
                self.errors.push(error);
                return None;
            }
        };
        let DomainFile { name, options, errors } = DomainFile::read(&file);
        self.errors.extend(errors);
        Some(Folder { dir: dir.to_owned(), place: Place::of(&file), name, options })
    }

    fn put_over(&mut self, place: &Place, options: DomainOptions, put_settings: PutSettings) {
        let DomainOptions { title, time_zone, currency, settings } = options;
        self.errors.extend(put_settings(&mut self.settings, &place.file, settings));
        for (key, value) in [("time_zone", &time_zone), ("currency", &currency)] {
            if value.is_some() {
                self.differing.retain(|(differs, _)| *differs != key);
            }
        }
        let parts = [
            ("title", &mut self.title, title),
            ("time_zone", &mut self.time_zone, time_zone),
            ("currency", &mut self.currency, currency),
        ];
        for (key, said, value) in parts {
            if let Some(value) = value {
                *said = Some((place.of_key(key), value));
            }
        }
    }

    fn finish(mut self, domains: Vec<String>, folders: Vec<(PathBuf, String)>) -> (DomainSettings, Vec<Diagnostic>) {
        let zone = self.time_zone.as_ref().map_or(Ok(Tz::UTC), |(position, name)| zone(position, name));
        let currency = self.currency.as_ref().map_or(Ok(NO_CURRENCY.to_owned()), |(at, code)| currency(at, code));
        let mut errors = self.errors;
        errors.extend(self.differing.into_iter().map(|(_, error)| error));
        let time_zone = zone.unwrap_or_else(|error| {
            errors.push(error);
            Tz::UTC
        });
        let currency = currency.unwrap_or_else(|error| {
            errors.push(error);
            NO_CURRENCY.to_owned()
        });
        let title = self.title.take().map_or_else(|| "Vitral".to_owned(), |(_, title)| title);
        let settings = self.settings.finish();
        let is_whole = errors.is_empty();
        (DomainSettings { domains, folders, title, time_zone, currency, settings, is_whole }, errors)
    }
}

fn zone(position: &Position, name: &str) -> Result<Tz, Diagnostic> {
    name.parse().map_err(|_| {
        let remedy = "write its name as America/New_York, Europe/Lisbon or UTC".to_owned();
        let key = shown(position, "time_zone");
        position.error(format!("{key} is {name:?}, which is not an IANA time zone"), remedy)
    })
}

fn currency(position: &Position, code: &str) -> Result<String, Diagnostic> {
    if code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return Ok(code.to_owned());
    }
    let remedy = "write its ISO 4217 code, such as USD or EUR".to_owned();
    let key = shown(position, "currency");
    Err(position.error(format!("{key} is {code:?}, which is not a code of three capital letters"), remedy))
}

/// A key as people find it: the configuration has it in a section, whether a file, the environment
/// or a flag says it.
fn shown(position: &Position, key: &str) -> String {
    if position.file == CONFIGURATION { format!("domain.{key}") } else { key.to_owned() }
}

fn unknown(domain: &str) -> Diagnostic {
    Position::file(CONFIGURATION).error(
        format!("catalog.domains names {domain}, which is not a domain"),
        format!(
            "name {}, or a folder in catalog.dirs whose {SETTINGS_FILE} says name = \"{domain}\"",
            builtin::domains().join(", ")
        ),
    )
}

#[cfg(test)]
mod tests;
