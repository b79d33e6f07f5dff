//! Views that tell people: alerts, which fire while a key is among the rows, and reports, whose
//! rows are sent each day.
//!
//! `CREATE VIEW name WITH (alert = 'column', severity = 'warning', after = '2 minutes', repeat = '4
//! hours', notify = 'operacao') AS SELECT ...` and `CREATE VIEW name WITH (report = '08:00', notify
//! = 'operacao') AS SELECT ...`. Either is a view like others, too.

use std::fmt;

use chrono::NaiveTime;

use super::options::Options;
use super::syntax::{TOPIC_BYTES_MAX, duration_like, duration_ms};
use super::{Diagnostic, Position};

/// The alert that every process has: a watermark that stands still though there is more to read.
pub const WATERMARK_ALERT: &str = "marca_dagua_parada";
/// Where notifications through Kafka go, if nothing else is said.
const TOPIC_DEFAULT: &str = "alertas";
/// More often would be a nuisance, and rather a mistake than a wish.
const REPEAT_MIN_MS: i64 = 60_000;

/// How much an alert matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Severity {
    /// For the record.
    Info,
    /// Somebody should look.
    #[default]
    Warning,
    /// Somebody should look now.
    Critical,
}

/// Who is notified of a view, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audience {
    /// Names of connections; none if the configuration decides.
    pub connections: Option<Vec<String>>,
    /// The topic of those that are Kafka.
    pub topic: String,
    /// Where they are named, or the view is declared.
    pub position: Position,
}

/// A view whose rows are a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// The columns that say what it is about: each key has a life of its own.
    pub key: Vec<String>,
    /// Where the key is named.
    pub key_position: Position,
    /// How much it matters.
    pub severity: Severity,
    /// How long a key must be among the rows before it fires.
    pub after_ms: i64,
    /// How often to tell again while it fires; none for never.
    pub repeat_ms: Option<i64>,
    /// Who is notified.
    pub audience: Audience,
}

/// A view whose rows are sent each day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// When, in the domain's zone.
    pub at: NaiveTime,
    /// To whom.
    pub audience: Audience,
}

impl Severity {
    /// As SQL, tables and notifications write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }

    fn read(options: &mut Options) -> Result<Self, Diagnostic> {
        let Some((text, at)) = options.take_text("severity")? else { return Ok(Self::default()) };
        let known = [Self::Info, Self::Warning, Self::Critical];
        known.into_iter().find(|severity| severity.name() == text).ok_or_else(|| {
            at.error(format!("severity = '{text}' is not known"), "use 'info', 'warning' or 'critical'".into())
        })
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Audience {
    fn read(options: &mut Options, position: &Position) -> Self {
        let topic = options.take_topic(TOPIC_DEFAULT, position, TOPIC_BYTES_MAX);
        let notify = options.gather(|options| match options.take_text("notify")? {
            Some((notify, at)) if names(&notify).is_empty() => Err(at.error(
                "notify names nobody",
                "name connections, such as notify = 'operacao', or leave it out: then alerts.notify of the configuration decides".into(),
            )),
            notify => Ok(notify),
        });
        match notify {
            None => Self { connections: None, topic, position: position.clone() },
            Some((notify, at)) => Self { connections: Some(names(&notify)), topic, position: at },
        }
    }
}

impl Alert {
    /// None if the view is not an alert.
    fn read(name: &str, options: &mut Options, position: &Position) -> Option<Self> {
        if !options.contains("alert") {
            return None;
        }
        if name == WATERMARK_ALERT {
            options.refuse(position.error(format!("{name} is an alert of the engine"), "choose another name".into()));
        }
        let key = options.gather(|options| Self::read_key(name, options));
        let (key, key_position) = key.unwrap_or_else(|| (Vec::new(), position.clone()));
        let severity = options.gather(Severity::read);
        let after_ms = options.gather(|options| duration(options, "after", 0)).unwrap_or_default();
        let repeat_ms = options.gather(|options| duration(options, "repeat", REPEAT_MIN_MS));
        let audience = Audience::read(options, position);
        Some(Self { key, key_position, severity, after_ms, repeat_ms, audience })
    }

    fn read_key(name: &str, options: &mut Options) -> Result<Option<(Vec<String>, Position)>, Diagnostic> {
        let Some((key, at)) = options.take_text("alert")? else { return Ok(None) };
        let key = names(&key);
        if key.is_empty() {
            return Err(at.error(
                format!("alert {name} has no key"),
                "name the column that says what each row is about, such as alert = 'region', or several columns".into(),
            ));
        }
        if let Some((_, twice)) = key.iter().enumerate().find(|(index, column)| key[..*index].contains(column)) {
            return Err(at.error(format!("alert {name} names {twice} twice"), "name it once".into()));
        }
        Ok(Some((key, at)))
    }
}

impl Report {
    /// None if the view is not a report.
    fn read(options: &mut Options, position: &Position) -> Option<Self> {
        if !options.contains("report") {
            return None;
        }
        let at = options.gather(|options| {
            let Some((text, at)) = options.take_text("report")? else { return Ok(NaiveTime::default()) };
            NaiveTime::parse_from_str(&text, "%H:%M").map_err(|_| {
                at.error(format!("report = '{text}' is not a time of day"), "write for example '08:00'".into())
            })
        });
        Some(Self { at, audience: Audience::read(options, position) })
    }
}

/// What both need: a view is one of them at most.
pub(super) fn read(name: &str, options: &mut Options, position: &Position) -> (Option<Alert>, Option<Report>) {
    if options.contains("alert") && options.contains("report") {
        options.refuse(position.error(
            format!("{name} is an alert and a report"),
            "declare two views, one of which selects from the other".into(),
        ));
    }
    (Alert::read(name, options, position), Report::read(options, position))
}

fn duration(options: &mut Options, key: &str, min_ms: i64) -> Result<Option<i64>, Diagnostic> {
    let Some((text, at)) = options.take_text(key)? else { return Ok(None) };
    match duration_ms(&text) {
        None => Err(at.error(format!("{key} = '{text}' is not a duration"), duration_like("2 minutes"))),
        Some(ms) if ms < min_ms => {
            Err(at.error(format!("{key} = '{text}' is too short"), "write '1 minute' or more, or leave it out".into()))
        }
        Some(ms) => Ok(Some(ms)),
    }
}

fn names(text: &str) -> Vec<String> {
    text.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use crate::{Catalog, DomainSettings, SourceFile};

    use super::*;

    const TOPIC: &str =
        "CREATE TABLE eventos (p TEXT, t TIMESTAMP NOT NULL) WITH (connector = 'kafka', event_time = 't');\n";

    fn parse(options: &str) -> Result<Catalog, String> {
        let text = format!("{TOPIC}CREATE VIEW falta WITH ({options}) AS SELECT p FROM eventos;");
        let file = SourceFile { path: "a.sql".to_owned(), text };
        Catalog::parse(&[vec![file]], &DomainSettings::default()).map_err(|errors| errors.to_string())
    }

    #[test]
    fn an_alert_is_a_view_with_a_key_and_its_times() {
        let catalog = parse(
            "alert = 'p', severity = 'critical', after = '2 minutes', repeat = '4 hours', notify = 'operacao, kafka', topic = 'avisos'",
        )
        .expect("sound");
        let (view, alert) = catalog.alerts().next().expect("an alert");
        assert_eq!((view.name.as_str(), alert.key.as_slice()), ("falta", &["p".to_owned()][..]));
        assert_eq!((alert.severity, alert.after_ms, alert.repeat_ms), (Severity::Critical, 120_000, Some(14_400_000)));
        let names = ["operacao".to_owned(), "kafka".to_owned()];
        assert_eq!(
            (alert.audience.connections.as_deref(), alert.audience.topic.as_str()),
            (Some(&names[..]), "avisos")
        );
        let catalog = parse("alert = 'p'").expect("sound");
        let (_, alert) = catalog.alerts().next().expect("an alert");
        assert_eq!((alert.severity, alert.after_ms, alert.repeat_ms), (Severity::Warning, 0, None));
        assert_eq!((alert.audience.connections.as_ref(), alert.audience.topic.as_str()), (None, "alertas"));
    }

    #[test]
    fn a_report_has_a_time_of_day() {
        let catalog = parse("report = '08:30', notify = 'operacao'").expect("sound");
        let (view, report) = catalog.reports().next().expect("a report");
        assert_eq!((view.name.as_str(), report.at.to_string().as_str()), ("falta", "08:30:00"));
        assert_eq!(catalog.alerts().count(), 0);
    }

    #[test]
    fn what_is_wrong_has_its_place_and_a_remedy() {
        for (options, words) in [
            ("alert = ''", "falta has no key"),
            ("alert = 'p, p'", "names p twice"),
            ("alert = 'p', severity = 'urgente'", "severity = 'urgente' is not known"),
            ("alert = 'p', after = '2 horas'", "after = '2 horas' is not a duration"),
            ("alert = 'p', repeat = 'often'", "repeat = 'often' is not a duration"),
            ("alert = 'p', repeat = '1 second'", "repeat = '1 second' is too short"),
            ("alert = 'p', notify = ' '", "notify names nobody"),
            ("alert = 'p', topic = 'avisos do dia'", "topic = 'avisos do dia' is not a name that a topic can have"),
            ("alert = 'p', channel = 'x'", "option channel is not known here"),
            ("report = '8 am'", "report = '8 am' is not a time of day"),
            ("report = '25:00'", "report = '25:00' is not a time of day"),
            ("report = '08:00', alert = 'p'", "an alert and a report"),
            ("severity = 'critical'", "option severity is not known here"),
        ] {
            let error = parse(options).expect_err(options);
            assert!(
                error.starts_with("a.sql:2:") && error.contains(words) && error.contains("remedy"),
                "{options}: {error}"
            );
        }
        let text = format!("{TOPIC}CREATE VIEW {WATERMARK_ALERT} WITH (alert = 'p') AS SELECT p FROM eventos;");
        let file = SourceFile { path: "a.sql".to_owned(), text };
        let error = Catalog::parse(&[vec![file]], &DomainSettings::default()).expect_err("taken").to_string();
        assert!(error.contains("is an alert of the engine"), "{error}");
    }
}
