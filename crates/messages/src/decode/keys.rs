//! Which column a field belongs to, predicted: the events of one producer carry the same keys in
//! the same order with the same whitespace, so the bytes between two values repeat, and comparing
//! them replaces parsing and finding a key.

use std::collections::HashMap;

use super::scan::{Fault, Kind, Scanner, unescape};

/// Longer ones are parsed each time: they are rare, and each one is kept.
const LEAD_BYTES_MAX: usize = 256;
/// Bounds what odd producers can make this remember; beyond that it is forgotten and learned again.
const LEADS_MAX: usize = 1024;
/// How many leads are tried after one lead. Optional fields and several producers need some, a
/// mismatch costs little.
const NEXT_MAX: usize = 16;

/// Leads up to this length are compared without a loop.
const SHORT: usize = 32;
type Words = [u64; SHORT / 8];

/// The bytes from the end of a value, or of the opening brace, to the start of the next value.
struct Lead {
    bytes: Box<[u8]>,
    /// The first bytes again, and ones where they count.
    head: Words,
    mask: Words,
    column: Option<usize>,
    /// The leads seen after this one; those that match move to the front.
    next: Vec<usize>,
    /// Which of a full `next` gives way.
    replaced: usize,
}

impl Lead {
    fn new(bytes: &[u8], column: Option<usize>) -> Self {
        let (mut head, mut mask) = ([0; SHORT], [0; SHORT]);
        for (index, &byte) in bytes.iter().take(SHORT).enumerate() {
            (head[index], mask[index]) = (byte, 0xFF);
        }
        Self { bytes: bytes.into(), head: words(&head), mask: words(&mask), column, next: Vec::new(), replaced: 0 }
    }

    #[inline(always)]
    fn starts(&self, rest: &[u8]) -> bool {
        match rest.first_chunk() {
            Some(chunk) if self.bytes.len() <= SHORT => {
                let found = words(chunk);
                (0..found.len()).fold(0, |differ, index| differ | (found[index] ^ self.head[index]) & self.mask[index])
                    == 0
            }
            _ => rest.starts_with(&self.bytes),
        }
    }
}

#[inline(always)]
fn words(bytes: &[u8; SHORT]) -> Words {
    let (chunks, _) = bytes.as_chunks();
    std::array::from_fn(|index| u64::from_ne_bytes(chunks[index]))
}

pub(super) struct Keys {
    columns: HashMap<Vec<u8>, usize>,
    /// The first stands for the opening brace.
    leads: Vec<Lead>,
    known: HashMap<Box<[u8]>, usize>,
    name: Vec<u8>,
}

impl Keys {
    pub const START: usize = 0;

    /// The names of the columns in their order; none for a column that no field can fill.
    pub fn new(names: impl IntoIterator<Item = Option<String>>) -> Self {
        let names = names.into_iter().enumerate();
        let columns = names.filter_map(|(index, name)| Some((name?.into_bytes(), index))).collect();
        let mut keys = Self { columns, leads: Vec::new(), known: HashMap::new(), name: Vec::new() };
        keys.forget();
        keys
    }

    fn forget(&mut self) {
        self.known.clear();
        self.leads.clear();
        self.leads.push(Lead::new(b"", None));
    }

    /// To be called between messages, as the leads given before become void.
    pub fn forget_if_full(&mut self) {
        if self.leads.len() >= LEADS_MAX {
            self.forget();
        }
    }

    /// What is at the start of `rest`, after the lead `from`, if it was seen there before.
    #[inline(always)]
    pub fn predicted(&mut self, from: usize, rest: &[u8]) -> Option<Predicted> {
        let tried = &self.leads[from].next;
        for (place, &found) in tried.iter().enumerate() {
            let lead = &self.leads[found];
            if lead.starts(rest) {
                let predicted = Predicted { column: lead.column, lead: found, length: lead.bytes.len() };
                if place > 0 {
                    self.leads[from].next.swap(place - 1, place);
                }
                return Some(predicted);
            }
        }
        None
    }

    /// Parses the key at `at`, whose lead began at `start`. Gives its column, the lead if it is
    /// remembered, and where the value starts.
    pub fn parsed(&mut self, from: Option<usize>, text: &[u8], start: usize, at: usize) -> Result<Parsed, Fault> {
        let mut scanner = Scanner::new(text, at);
        let key = scanner.key()?;
        let column = if key.kind == Kind::Escaped {
            self.name.clear();
            unescape(key.text, &mut self.name);
            self.columns.get(&self.name).copied()
        } else {
            self.columns.get(key.text).copied()
        };
        let end = scanner.at();
        let lead = self.remembered(from, &text[start..end], column);
        Ok(Parsed { column, lead, end })
    }

    fn remembered(&mut self, from: Option<usize>, bytes: &[u8], column: Option<usize>) -> Option<usize> {
        let lead = match self.known.get(bytes) {
            Some(&lead) => lead,
            None if bytes.len() > LEAD_BYTES_MAX || self.leads.len() >= LEADS_MAX => return None,
            None => {
                self.leads.push(Lead::new(bytes, column));
                self.known.insert(bytes.into(), self.leads.len() - 1);
                self.leads.len() - 1
            }
        };
        if let Some(from) = from {
            let from = &mut self.leads[from];
            if from.next.len() < NEXT_MAX {
                from.next.push(lead);
            } else {
                from.next[from.replaced] = lead;
                from.replaced = (from.replaced + 1) % NEXT_MAX;
            }
        }
        Some(lead)
    }
}

pub(super) struct Predicted {
    pub column: Option<usize>,
    pub lead: usize,
    pub length: usize,
}

pub(super) struct Parsed {
    pub column: Option<usize>,
    pub lead: Option<usize>,
    pub end: usize,
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray};
    use chrono_tz::America::Sao_Paulo;

    use super::super::Decoder;
    use super::super::tests::{all_kinds, decode};

    #[test]
    fn predictions_allow_other_blanks_and_orders() {
        let payloads = [
            r#"{"n": "1", "t": "a"}"#,
            r#"{"n":  "2",  "t":"b" }"#,
            r#"{"n": "3" , "t" : "c"}"#,
            r#"{"t": "d", "n": "4"}"#,
            r#"{"n": "5", "tt": "x", "t": "e"}"#,
            r#"{"n": "6","t":"f"}"#,
            r#"{  "n": "7", "t": "g"  }"#,
            r#"{"n": "8", "a key that is longer than the bytes that are compared at once": 1, "t": "h"}"#,
            r#"{"n": "9", "a key that is longer than the bytes that are compared, too": 1, "t": "i"}"#,
        ];
        let twice: Vec<_> = payloads.iter().chain(&payloads).collect();
        let decoded = decode(&all_kinds(), &twice);
        assert_eq!(decoded.refused, []);
        let names: String = decoded.columns[0].as_string::<i32>().iter().flatten().collect();
        let texts: String = decoded.columns[1].as_string::<i32>().iter().flatten().collect();
        assert_eq!((names.as_str(), texts.as_str()), ("123456789123456789", "abcdefghiabcdefghi"));
    }

    #[test]
    fn ever_new_keys_are_forgotten_again() {
        let topic = all_kinds();
        let mut decoder = Decoder::new(&topic, Sao_Paulo);
        for batch in 0..5 {
            let payloads: Vec<_> =
                (0..700).map(|row| format!(r#"{{"k{batch}-{row}": 1, "n": "x", "l{batch}-{row}": 2}}"#)).collect();
            let decoded = decoder.decode(payloads.iter().map(|payload| Some(payload.as_bytes())));
            assert_eq!((decoded.refused.len(), decoded.columns[0].null_count()), (0, 0));
        }
    }
}
