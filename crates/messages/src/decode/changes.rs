//! Messages that replace and delete rows: Debezium's envelopes, and messages without a value, whose
//! key says what they delete.
//!
//! An envelope may stand alone or as the `payload` next to its `schema`. `after` is the row of `c`,
//! `u` and `r`; of `d` only the primary key is read, from `before` or else from the message's key.
//! Everything else, `t` (the table was emptied) included, is refused: it says nothing of one row.

use vitral_schemas::changes::{self, Debezium};
use vitral_schemas::topic::{ColumnKind, Topic};
use vitral_schemas::verdict::Reason;

use super::column::{Column, Misfit};
use super::keys::Keys;
use super::number::scaled;
use super::scan::{Kind, Raw, Scanner, number_end, unescape};
use super::schema::{Form, Forms, decimal_text, variable_decimal};
use super::time::Zone;
use super::{Decoder, misfit, scan, time};

type Refused = (Reason, String);

const ENVELOPE: [&str; 8] = ["schema", "payload", "before", "after", "op", "source", "ts_ms", "ts_us"];
const SOURCE: [&str; 5] = ["ts_us", "ts_ms", "lsn", "sequence", "ts_ns"];
/// In the place of a large value that did not change, which PostgreSQL does not log.
const UNAVAILABLE: &[u8] = b"__debezium_unavailable_value";
const NOT_SENT: &str = "is not in the message, as it did not change: ALTER TABLE ... REPLICA IDENTITY FULL sends it";
const NO_UNIT: &str = "is a number, and no schema says what it counts: times = 'micros', 'millis' or 'nanos' does";

/// What is known of the topic, and learned of its messages.
pub(super) struct Changes {
    key: Vec<usize>,
    kinds: Vec<ColumnKind>,
    debezium: Option<Debezium>,
    envelope: Keys,
    source: Keys,
    forms: Forms,
    /// Times without an offset are UTC, as Debezium writes them.
    utc: Zone,
    /// Holds a value as it is written in other messages.
    converted: Vec<u8>,
}

/// What an envelope says besides its row.
struct Change<'a> {
    row: Raw<'a>,
    schema: Raw<'a>,
    deletes: bool,
    micros: i64,
    position: Option<i64>,
}

impl Changes {
    pub fn new(changes: &changes::Changes, topic: &Topic) -> Self {
        let names = |names: &[&str]| Keys::new(names.iter().map(|name| Some((*name).to_owned())).collect::<Vec<_>>());
        Self {
            key: changes.key.clone(),
            kinds: topic.columns.iter().map(|column| column.kind).collect(),
            debezium: changes.debezium,
            envelope: names(&ENVELOPE),
            source: names(&SOURCE),
            forms: Forms::new(topic.columns.iter().map(|column| column.name.clone())),
            utc: Zone::new(chrono_tz::UTC),
            converted: Vec::new(),
        }
    }

    /// Where messages are envelopes.
    pub fn debezium(&self) -> Option<Debezium> {
        self.debezium
    }

    fn read<'a>(&mut self, payload: &'a [u8]) -> Result<Change<'a>, Refused> {
        self.envelope.forget_if_full();
        self.source.forget_if_full();
        let mut outer = [Raw::ABSENT; ENVELOPE.len()];
        object(payload, &mut self.envelope, &mut outer)?;
        let [schema, inner, ..] = outer;
        let mut fields = outer;
        if inner.kind == Kind::Object {
            fields = [Raw::ABSENT; ENVELOPE.len()];
            object(inner.text, &mut self.envelope, &mut fields)?;
        }
        let [_, _, before, after, op, source, ts_ms, ts_us] = fields;
        let deletes = match (op.kind, op.text) {
            (Kind::Text, b"c" | b"u" | b"r") => false,
            (Kind::Text, b"d") => true,
            (Kind::Text, b"t") => {
                let what = "op: \"t\" empties a whole table, and names no row: DELETE names each";
                return Err((Reason::Value, what.to_owned()));
            }
            (Kind::Absent, _) => {
                let what = "op is missing: this is not an envelope of Debezium, which has op, before and after";
                return Err((Reason::MissingField, what.to_owned()));
            }
            _ => return Err((Reason::Value, misfit("op", op, "is none of c, u, r and d"))),
        };
        if !deletes && after.kind != Kind::Object {
            return Err((
                Reason::MissingField,
                misfit("after", after, "is not the row that is there after the change"),
            ));
        }
        if source.kind != Kind::Object {
            return Err((Reason::MissingField, misfit("source", source, "does not say where the change was made")));
        }
        let mut origin = [Raw::ABSENT; SOURCE.len()];
        object(source.text, &mut self.source, &mut origin)?;
        let [source_us, source_ms, lsn, sequence, source_ns] = origin;
        let times = [(source_us, 1), (source_ms, 1_000), (ts_us, 1), (ts_ms, 1_000)];
        let micros = times.iter().find_map(|(raw, micros)| integer(*raw)?.checked_mul(*micros));
        let micros = micros.or_else(|| Some(integer(source_ns)?.div_euclid(1_000)));
        let micros = micros.ok_or_else(|| {
            (Reason::MissingField, "source.ts_ms is missing: nothing says when the change was made".to_owned())
        })?;
        let position = integer(lsn).or_else(|| last_of(sequence));
        Ok(Change { row: if deletes { before } else { after }, schema, deletes, micros, position })
    }

    /// Appends a value that Debezium has written to its column.
    fn push(
        &mut self,
        (index, column): (usize, &mut Column),
        raw: Raw<'_>,
        form: Form,
        debezium: Debezium,
        scratch: &mut Vec<u8>,
    ) -> Result<(), Misfit> {
        match converted(raw, self.kinds[index], form, debezium, &mut self.converted)? {
            Converted::Same => column.push(raw, &mut self.utc, scratch),
            Converted::Micros(micros) => column.push_micros(micros),
            Converted::Text(kind) => column.push(Raw { kind, text: &self.converted }, &mut self.utc, scratch),
        }
    }
}

impl Decoder {
    /// Appends the row of a message without a value: the primary key alone, which its message key
    /// says.
    #[cold]
    pub(super) fn tombstone<'a>(
        &mut self,
        changes: &mut Changes,
        key: Option<&'a [u8]>,
        row: usize,
        slots: &mut [Raw<'a>],
    ) -> Result<(), Refused> {
        slots.fill(Raw::ABSENT);
        let schema = self.message_key(changes, key, slots)?;
        self.push_key(changes, schema, row, slots)
    }

    /// Appends the row of an envelope, or nothing where it is refused.
    pub(super) fn envelope<'a>(
        &mut self,
        (debezium, changes): (Debezium, &mut Changes),
        payload: &'a [u8],
        key: Option<&'a [u8]>,
        row: usize,
        slots: &mut [Raw<'a>],
    ) -> Result<(), Refused> {
        let change = changes.read(payload)?;
        slots.fill(Raw::ABSENT);
        if change.row.kind == Kind::Object {
            object(change.row.text, &mut self.keys, slots)?;
        }
        let mut schema = change.schema;
        if change.deletes && changes.key.iter().any(|index| slots[*index].kind == Kind::Absent) {
            let of_key = self.message_key(changes, key, slots)?;
            // A key's schema says what it can, where the envelope has none.
            schema = if schema.kind == Kind::Object { schema } else { of_key };
        }
        let forms = changes.forms.of(schema);
        for (index, column) in self.columns.iter_mut().enumerate() {
            let raw = slots[index];
            let pushed = if index == debezium.instant {
                column.push_micros(change.micros)
            } else if index == debezium.position {
                column.push_integer(change.position)
            } else if index == debezium.deleted {
                let kind = if change.deletes { Kind::True } else { Kind::False };
                column.push(Raw { kind, text: b"" }, &mut self.zone, &mut self.scratch)
            } else if change.deletes && !changes.key.contains(&index) {
                column.push_null();
                Ok(())
            } else {
                let form = forms.as_ref().map_or(Form::Unknown, |forms| forms[index]);
                changes.push((index, column), raw, form, debezium, &mut self.scratch)
            };
            if let Err((reason, what)) = pushed {
                self.columns[..index].iter_mut().for_each(|column| column.truncate(row));
                return Err(self.does_not_fit(index, raw, reason, what));
            }
        }
        Ok(())
    }

    /// Appends the primary key alone, which was written as the schema says.
    fn push_key(
        &mut self,
        changes: &mut Changes,
        schema: Raw<'_>,
        row: usize,
        slots: &[Raw<'_>],
    ) -> Result<(), Refused> {
        let forms = changes.forms.of(schema);
        for (index, slot) in slots.iter().copied().enumerate().take(self.columns.len()) {
            if !changes.key.contains(&index) {
                self.columns[index].push_null();
                continue;
            }
            let column = &mut self.columns[index];
            let pushed = match changes.debezium {
                Some(debezium) => {
                    let form = forms.as_ref().map_or(Form::Unknown, |forms| forms[index]);
                    changes.push((index, column), slot, form, debezium, &mut self.scratch)
                }
                None => column.push(slot, &mut self.zone, &mut self.scratch),
            };
            if let Err((reason, what)) = pushed {
                self.columns[..index].iter_mut().for_each(|column| column.truncate(row));
                let (reason, detail) = self.does_not_fit(index, slot, reason, what);
                return Err((reason, format!("the message's key: {detail}")));
            }
        }
        Ok(())
    }

    /// Puts the primary key as the message's key has it into its slots: the object that Debezium
    /// writes, with or without its schema, or, of a key of one column, its text alone. Gives the
    /// schema, if there is one.
    fn message_key<'a>(
        &mut self,
        changes: &mut Changes,
        key: Option<&'a [u8]>,
        slots: &mut [Raw<'a>],
    ) -> Result<Raw<'a>, Refused> {
        let Some(key) = key.filter(|key| !key.is_empty()) else {
            let what = "the message has neither a value nor a key that says which row it deletes";
            return Err((Reason::MissingField, what.to_owned()));
        };
        if key.trim_ascii_start().starts_with(b"{") {
            let mut outer = [Raw::ABSENT; ENVELOPE.len()];
            object(key, &mut changes.envelope, &mut outer)?;
            let [schema, inner, ..] = outer;
            let (schema, fields) = match (schema.kind, inner.kind) {
                (Kind::Object, Kind::Object) => (schema, inner.text),
                _ => (Raw::ABSENT, key),
            };
            object(fields, &mut self.keys, slots)?;
            return Ok(schema);
        }
        let &[index] = changes.key.as_slice() else {
            let what = "the message's key is not an object with the columns of the primary key";
            return Err((Reason::Type, what.to_owned()));
        };
        slots[index] = scalar(key, changes.kinds[index])?;
        Ok(Raw::ABSENT)
    }

    #[cold]
    fn does_not_fit(&self, index: usize, raw: Raw<'_>, reason: Reason, what: &str) -> Refused {
        let mut detail = misfit(&self.names[index], raw, what);
        if reason == Reason::Size {
            detail += &format!(" ({} bytes)", self.columns[index].bytes_max());
        }
        (reason, detail)
    }
}

/// How a value goes into its column.
enum Converted {
    /// As it is.
    Same,
    /// As what was written, of this kind.
    Text(Kind),
    /// As a time.
    Micros(i64),
}

/// Values that Debezium writes otherwise than other producers: times as numbers, decimals as bytes,
/// and what it does not know.
fn converted(
    raw: Raw<'_>,
    kind: ColumnKind,
    form: Form,
    debezium: Debezium,
    out: &mut Vec<u8>,
) -> Result<Converted, Misfit> {
    match (kind, raw.kind) {
        (ColumnKind::Timestamp, Kind::Number) => {
            let unit = match form {
                Form::Time(unit) => Some(unit),
                _ => debezium.times,
            };
            let unit = unit.ok_or((Reason::Type, NO_UNIT))?;
            let number = integer(raw).ok_or((Reason::Time, "is not a possible time"))?;
            unit.micros(number).map(Converted::Micros).ok_or((Reason::Time, "is not a possible time"))
        }
        (_, Kind::Text) if raw.text == UNAVAILABLE => Err((Reason::Value, NOT_SENT)),
        // `io.debezium.time.IsoDate`, whose times of day are as other producers write them.
        (ColumnKind::Timestamp, Kind::Text) => {
            Ok(time::midnight_micros(raw.text).map_or(Converted::Same, Converted::Micros))
        }
        (_, Kind::Text) => match form {
            Form::Decimal { scale } => {
                decimal_text(raw.text, scale, out)?;
                Ok(Converted::Text(if is_text(kind) { Kind::Text } else { Kind::Number }))
            }
            _ => Ok(Converted::Same),
        },
        (ColumnKind::Decimal { .. } | ColumnKind::Integer | ColumnKind::TextOrNumber, Kind::Object) => {
            variable_decimal(raw, out)?;
            Ok(Converted::Text(if is_text(kind) { Kind::Text } else { Kind::Number }))
        }
        _ => Ok(Converted::Same),
    }
}

fn is_text(kind: ColumnKind) -> bool {
    matches!(kind, ColumnKind::Text | ColumnKind::TextOrNumber | ColumnKind::Currency)
}

/// Leaves the last value of each known field of an object in its slot.
fn object<'a>(text: &'a [u8], keys: &mut Keys, slots: &mut [Raw<'a>]) -> Result<(), Refused> {
    scan(text, keys, slots).map_err(|fault| (Reason::Json, format!("byte {}: {}", fault.at, fault.what)))
}

/// A key that is not an object: a JSON text, or bytes as other serializers write them.
fn scalar(key: &[u8], kind: ColumnKind) -> Result<Raw<'_>, Refused> {
    if key.first() == Some(&b'"') {
        let mut scanner = Scanner::new(key, 0);
        if let Ok(raw) = scanner.value()
            && scanner.end().is_ok()
        {
            return Ok(raw);
        }
    }
    if !is_text(kind) && number_end(key, 0) == Ok(key.len()) {
        return Ok(Raw { kind: Kind::Number, text: key });
    }
    let is_plain = std::str::from_utf8(key).is_ok() && !key.contains(&0);
    if is_plain {
        return Ok(Raw { kind: Kind::Text, text: key });
    }
    Err((Reason::Type, "the message's key is not a string".to_owned()))
}

fn integer(raw: Raw<'_>) -> Option<i64> {
    if raw.kind != Kind::Number {
        return None;
    }
    i64::try_from(scaled(raw.text, 0, 19).ok()?).ok()
}

/// The last number of a list within a text, such as `"[\"24023119\",\"24023128\"]"`.
#[cold]
fn last_of(raw: Raw<'_>) -> Option<i64> {
    let mut text = Vec::new();
    match raw.kind {
        Kind::Text => text.extend_from_slice(raw.text),
        Kind::Escaped => unescape(raw.text, &mut text),
        _ => return None,
    }
    let last = std::str::from_utf8(&text).ok()?.rsplit(',').next()?;
    last.trim_matches(|c: char| !c.is_ascii_digit()).parse().ok()
}

#[cfg(test)]
mod tests;
