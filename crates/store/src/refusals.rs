//! Why messages were refused, in words: the archive keeps the reason and the payload, which is
//! looked into again.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::TimestampMicrosecondType;
use chrono::{DateTime, SecondsFormat};
use chrono_tz::Tz;
use datafusion::error::{DataFusionError, Result};
use vitral_engine::rules::RowRules;
use vitral_engine::{EngineConfig, engine_session};
use vitral_messages::decode::Decoder;
use vitral_schemas::event_time::EventTime;
use vitral_schemas::topic::Topic;
use vitral_schemas::verdict::{Reason, Verdict};

/// Longer payloads are not looked into among others.
pub const LOOKED_INTO_BYTES_MAX: usize = 64 * 1024;
/// At the end of a payload that was cut, there is room for what is said of it.
pub const NOTE_BYTES: usize = 128;
const CUT: &str = "[cut by vitral: ";
/// So far ahead of every event that none is of its future.
const FAR_AHEAD_MS: i64 = 1 << 52;

/// What today's catalog says of a payload, or of one without a fault its event time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reassessed {
    /// It would be refused, and why.
    Refused(Reason, String),
    /// Nothing is wrong with it.
    Counts {
        /// When it happened.
        time: EventTime,
    },
}

/// The rules of one topic, for its refused messages.
#[derive(Debug)]
pub struct Refusals {
    topic: Topic,
    zone: Option<Tz>,
    rules: RowRules,
}

impl Refusals {
    /// `zone` is that of times without an offset; without one, no time is said.
    pub fn new(topic: &Topic, zone: Option<Tz>) -> Result<Self> {
        let session = engine_session(EngineConfig::default())?;
        let rules = RowRules::new(topic, &session).map_err(|wrong| DataFusionError::Plan(wrong.to_string()))?;
        Ok(Self { topic: topic.clone(), zone, rules })
    }

    /// What is found of each payload, by its place.
    pub fn look<'a>(&self, payloads: impl Iterator<Item = Option<&'a [u8]>>) -> Result<BTreeMap<usize, Reassessed>> {
        let decoded = Decoder::new(&self.topic, self.zone.unwrap_or(Tz::UTC)).decode(payloads);
        let times = Arc::clone(&decoded.columns[self.topic.event_time]);
        let times = times.as_primitive::<TimestampMicrosecondType>();
        let counts = (0..times.len()).filter(|row| times.is_valid(*row));
        let mut found: BTreeMap<usize, Reassessed> =
            counts.map(|row| (row, Reassessed::Counts { time: EventTime::from_micros(times.value(row)) })).collect();
        let (_, forbidden) = self.rules.apply(decoded.columns, FAR_AHEAD_MS)?;
        found.extend(forbidden.into_iter().map(|(row, (reason, detail))| (row, Reassessed::Refused(reason, detail))));
        let refused = decoded.refused.into_iter();
        found.extend(refused.map(|refusal| (refusal.row, Reassessed::Refused(refusal.reason, refusal.detail))));
        Ok(found)
    }

    /// The words for a message that was refused for a reason, and of which that is found now.
    pub fn words(&self, reason: &str, found: &Reassessed) -> String {
        match found {
            Reassessed::Refused(now, detail) if now.name() == reason => detail.clone(),
            Reassessed::Refused(now, detail) => format!("would be refused as {now} now: {detail}"),
            Reassessed::Counts { time } if reason == Reason::Future.name() => {
                let name = &self.topic.columns[self.topic.event_time].name;
                let time = self.zone.map(|_| format!(" {}", time_text(*time))).unwrap_or_default();
                let ahead = length_text(self.topic.ahead_ms);
                format!("{name}{time} was more than {ahead} ahead of the clock when it arrived")
            }
            Reassessed::Counts { .. } => "would be accepted now: `vitral ledger replay` feeds it again".to_owned(),
        }
    }

    /// The words for each row of the archive; none for what was not refused or is too long to be
    /// looked into with others. A row that is asked for alone is looked into whatever its length.
    pub fn explain<'a>(
        &self,
        rows: impl Iterator<Item = (Option<&'a str>, Option<&'a str>, Option<&'a [u8]>)>,
    ) -> Result<Vec<Option<String>>> {
        let refused = rows.map(|(verdict, reason, payload)| {
            let payload = payload.filter(|_| verdict == Some(Verdict::Refused.name()));
            (reason.unwrap_or_default(), payload)
        });
        let refused: Vec<(&str, Option<&[u8]>)> = refused.collect();
        let is_alone = refused.len() == 1;
        let short = |payload: &&[u8]| is_alone || payload.len() < LOOKED_INTO_BYTES_MAX;
        let found = match refused.iter().any(|(_, payload)| payload.is_some()) {
            true => self.look(refused.iter().map(|(_, payload)| payload.filter(short)))?,
            false => BTreeMap::new(),
        };
        let words = refused.iter().enumerate().map(|(row, (reason, payload))| {
            let payload = (*payload)?;
            let note = cut_note(payload).filter(|_| *reason == Reason::Size.name());
            note.or_else(|| short(&payload).then(|| found.get(&row))?.map(|found| self.words(reason, found)))
        });
        Ok(words.collect())
    }
}

/// What was said when a payload was cut.
pub fn cut_note(payload: &[u8]) -> Option<String> {
    let end = String::from_utf8_lossy(&payload[payload.len().saturating_sub(NOTE_BYTES)..]).into_owned();
    let (_, note) = end.strip_suffix(']')?.rsplit_once(CUT)?;
    Some(format!("larger than the topic allows: {note}; its beginning was kept"))
}

/// An event time, for people.
pub fn time_text(at: EventTime) -> String {
    let time = DateTime::from_timestamp_micros(at.micros());
    time.map_or_else(|| at.micros().to_string(), |time| time.to_rfc3339_opts(SecondsFormat::AutoSi, true))
}

/// A length of time, for people.
pub fn length_text(ms: i64) -> String {
    match ms {
        ms if ms % 60_000 == 0 => format!("{} min", ms / 60_000),
        ms => format!("{} s", ms as f64 / 1_000.0),
    }
}

#[cfg(test)]
mod tests {
    use vitral_catalog::{Catalog, DomainSettings};

    use super::*;

    #[test]
    fn a_check_is_named_with_the_value() {
        let topic = Catalog::load(&[], &DomainSettings::default()).expect("the built-in catalog").topics.remove(0);
        let refusals = Refusals::new(&topic, None).expect("rules");
        let event = |rest: &str| {
            format!(r#"{{"id_usuario":"u","tipo_evento":"compra","timestamp":"2025-05-14T12:00:00",{rest}}}"#)
        };
        let payloads =
            [event(r#""quantidade":0"#), event(r#""preco":"x""#), event(r#""id_produto":"p""#), "no json".into()];
        let long = vec![b' '; LOOKED_INTO_BYTES_MAX];
        let (refused, late) = (Some(Verdict::Refused.name()), Some(Verdict::Late.name()));
        let rows = [
            (refused, Some("valor"), Some(payloads[0].as_bytes())),
            (refused, Some("valor"), Some(payloads[1].as_bytes())),
            (refused, Some("futuro"), Some(payloads[2].as_bytes())),
            (refused, Some("json"), Some(payloads[3].as_bytes())),
            (refused, Some("json"), Some(long.as_slice())),
            (late, None, Some(payloads[2].as_bytes())),
            (refused, Some("valor"), None),
        ];
        let said = refusals.explain(rows.into_iter()).expect("explained");
        let said: Vec<&str> = said.iter().map(|said| said.as_deref().unwrap_or("-")).collect();
        assert_eq!(said[0], "quantidade: quantidade BETWEEN 1 AND 1000000000 does not hold for 0");
        assert!(said[1].contains("preco"), "{said:?}");
        assert_eq!(said[2], "timestamp was more than 60 min ahead of the clock when it arrived");
        assert!(said[3].starts_with("byte 0"), "{said:?}");
        assert_eq!(said[4..], ["-"; 3]);
        // One that is asked for alone is looked into whatever its length.
        let deep = format!(r#"{{"x":{}"#, "[".repeat(100_000));
        let said = refusals.explain([(refused, Some("json"), Some(deep.as_bytes()))].into_iter()).expect("explained");
        assert_eq!(said, [Some("byte 68: nested deeper than 64 levels".to_owned())]);
    }
}
