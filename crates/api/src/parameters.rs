//! Query parameters: everything that is not exactly right is a 400 that says what would be.

use std::collections::BTreeMap;

use axum::http::HeaderValue;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Timelike};
use sha2::{Digest, Sha256};
use vitral_query::{FROM, LIMIT, LIMIT_MAX, ParameterRule, QueryError, TimeRange, UNTIL};

use crate::problem::Problem;

pub(crate) const CURSOR: &str = "cursor";

/// The parameters of one request, in the order of their names.
#[derive(Debug)]
pub(crate) struct Parameters(BTreeMap<String, String>);

impl Parameters {
    pub(crate) fn read(query: Option<&str>, allowed: &[&str]) -> Result<Self, Problem> {
        let query = query.unwrap_or_default();
        if !is_text(query) {
            return Err(Problem::invalid_parameter(
                "a parameter is not text".to_owned(),
                "encode parameters as UTF-8, without the character NUL".to_owned(),
            ));
        }
        let mut given = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if !allowed.contains(&name.as_ref()) {
                return Err(Problem::unknown_parameter(&name, allowed));
            }
            if given.insert(name.to_string(), value.into_owned()).is_some() {
                return Err(Problem::repeated_parameter(&name));
            }
        }
        Ok(Self(given))
    }

    /// For what takes no parameters.
    pub(crate) fn none(query: Option<&str>) -> Result<(), Problem> {
        Self::read(query, &[]).map(|_| ())
    }

    /// Holds each text against what it may be. Currencies are in capitals from here on, as they are
    /// stored.
    pub(crate) fn held_against(mut self, rules: &[(String, ParameterRule)]) -> Result<Self, Problem> {
        for (name, rule) in rules {
            let Some(text) = self.0.get_mut(name) else { continue };
            if !rule.allows(text) {
                return Err(Problem::invalid_parameter(
                    format!("{name} is '{text}'"),
                    format!("give {name} as {}, or leave it out", rule.allowed()),
                ));
            }
            if *rule == ParameterRule::Currency {
                text.make_ascii_uppercase();
            }
        }
        Ok(self)
    }

    /// The problem that a failed query is: a text that could not be read as what the statement
    /// makes of it, if the engine names one.
    pub(crate) fn problem_of(&self, error: QueryError) -> Problem {
        let unreadable = error.unreadable_text().and_then(|said| {
            let (name, text) = self.iter().find(|(_, text)| !text.is_empty() && said.contains(&format!("'{text}'")))?;
            Some(Problem::invalid_parameter(
                format!("{name} is '{text}', which cannot be read"),
                format!("give {name} in the type that the statement expects, or leave it out"),
            ))
        });
        unreadable.unwrap_or_else(|| error.into())
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// A short text that differs when the path or a parameter differs; pages may differ in size.
    pub(crate) fn fingerprint(&self, path: &str) -> String {
        let mut hash = Sha256::new();
        let fixed = self.iter().filter(|(name, _)| ![CURSOR, LIMIT].contains(name));
        for part in std::iter::once(path).chain(fixed.flat_map(|(name, value)| [name, value])) {
            hash.update(part.len().to_le_bytes());
            hash.update(part);
        }
        URL_SAFE_NO_PAD.encode(&hash.finalize()[..6])
    }

    /// The value of a `Link` header: the same request, from the cursor on.
    pub(crate) fn next_link(&self, path: &str, cursor: &str) -> Result<HeaderValue, Problem> {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(self.iter().filter(|(name, _)| *name != CURSOR));
        query.append_pair(CURSOR, cursor);
        let link = format!("<{path}?{}>; rel=\"next\"", query.finish());
        HeaderValue::try_from(link).map_err(|error| {
            tracing::error!(%error, "link header failed");
            Problem::internal()
        })
    }

    pub(crate) fn range(&self) -> Result<TimeRange, Problem> {
        let (from, until) = (self.time(FROM)?, self.time(UNTIL)?);
        if let (Some(start), Some(end)) = (from, until)
            && start >= end
        {
            return Err(Problem::invalid_parameter(
                "de is not before ate",
                "give a de that is earlier than ate: rows with de <= time < ate are returned",
            ));
        }
        Ok(TimeRange { from, until })
    }

    pub(crate) fn limit(&self, default: usize) -> Result<usize, Problem> {
        let Some(text) = self.text(LIMIT) else { return Ok(default) };
        text.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit)).ok_or_else(|| {
            Problem::invalid_parameter(
                format!("limite is '{text}'"),
                format!("give limite as a whole number from 1 to {LIMIT_MAX}, or leave it out for {default}"),
            )
        })
    }

    fn time(&self, name: &str) -> Result<Option<i64>, Problem> {
        let Some(text) = self.text(name) else { return Ok(None) };
        micros(text).map(Some).ok_or_else(|| {
            Problem::invalid_parameter(
                format!("{name} is '{text}', which is not an RFC 3339 time"),
                format!(
                    "give {name} with date, time and offset, such as 2025-05-14T22:16:00Z or 2025-05-14T19:16:00-03:00"
                ),
            )
        })
    }
}

/// Rounded up to microseconds: stored times have no more digits, so `time >= t` and `time < t` keep
/// their meaning.
fn micros(text: &str) -> Option<i64> {
    let mut text = text.to_owned();
    // An unescaped + of an offset arrives as a space.
    if let Some(sign) = text.len().checked_sub("+00:00".len())
        && text.as_bytes()[sign] == b' '
    {
        text.replace_range(sign..=sign, "+");
    }
    let time = DateTime::parse_from_rfc3339(&text).ok()?;
    time.timestamp_micros().checked_add(i64::from(time.nanosecond() % 1_000 > 0))
}

/// Whether what is encoded is text of which there may be some somewhere.
fn is_text(query: &str) -> bool {
    let bytes = percent_encoding::percent_decode_str(query);
    bytes.decode_utf8().is_ok_and(|text| !text.contains('\0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<Parameters, Problem> {
        Parameters::read(Some(query), &[FROM, UNTIL, LIMIT, "regiao"])
    }

    #[test]
    fn times_in_any_offset() {
        let expected = 1_747_260_960_000_000;
        for text in [
            "2025-05-14T22:16:00Z",
            "2025-05-14T19:16:00-03:00",
            "2025-05-15T00:16:00%2B02:00",
            "2025-05-15T00:16:00+02:00",
        ] {
            let range = read(&format!("de={text}")).expect("known").range().expect("a range");
            assert_eq!(range, TimeRange { from: Some(expected), until: None }, "{text}");
        }
        assert_eq!(micros("2025-05-14T22:16:00.0000001Z"), Some(expected + 1));
    }

    #[test]
    fn wrong_times_and_ranges() {
        for query in [
            "de=ontem",
            "de=",
            "ate=2025-05-14",
            "de=2025-05-14T22:16:00",
            "ate=2025-13-01T00:00:00Z",
            "de=%C3%A9%20%20%20%20%20",
        ] {
            assert!(read(query).expect("known").range().is_err(), "{query}");
        }
        let same = "de=2025-05-14T22:16:00Z&ate=2025-05-14T19:16:00-03:00";
        assert!(read(same).expect("known").range().is_err());
    }

    #[test]
    fn limits() {
        assert_eq!(read("").expect("known").limit(5), Ok(5));
        assert_eq!(read("limite=1000").expect("known").limit(5), Ok(1000));
        for query in ["limite=0", "limite=1001", "limite=-1", "limite=1.5", "limite=", "limite=99999999999999999999"] {
            assert!(read(query).expect("known").limit(5).is_err(), "{query}");
        }
    }

    #[test]
    fn each_known_and_once() {
        assert_eq!(read("regiao=S%C3%A3o+Paulo").expect("known").text("regiao"), Some("São Paulo"));
        assert!(read("Regiao=x").is_err());
        assert!(read("limite=1&limite=1").is_err());
    }
}
