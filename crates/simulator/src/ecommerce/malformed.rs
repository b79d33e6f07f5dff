//! Messages that must be refused: what buggy clients, proxies and clocks make of a good event.

use crate::random::Random;

/// How deep nesting goes: deeper than parsers follow, far below the limit of a message.
const DEPTH: usize = 2_000;

/// One way to break an event, and the reason for which the contract has it refused.
#[derive(Debug, Clone, Copy)]
struct Fault {
    reason: &'static str,
    breakage: Breakage,
}

#[derive(Debug, Clone, Copy)]
enum Breakage {
    /// The connection broke half-way.
    Truncate,
    /// Another text in place of the event.
    Replace(&'static str),
    /// Something before and after it.
    Wrap(&'static str, &'static str),
    /// Arrays in arrays.
    Nest,
    Remove(&'static str),
    /// Another value, as raw bytes of JSON.
    Set(&'static str, &'static [u8]),
    /// A clock that is decades fast.
    ///
    /// The stream compares event times with the wall clock, which the simulator does not know:
    /// hours ahead of simulated time would be refused live, but count and push the watermark ahead
    /// when history is replayed.
    Future,
}

const fn fault(reason: &'static str, breakage: Breakage) -> Fault {
    Fault { reason, breakage }
}

const FAULTS: &[Fault] = &[
    fault("json", Breakage::Truncate),
    fault("json", Breakage::Replace("erro: tempo esgotado ao montar o evento")),
    fault("json", Breakage::Replace("\"visualizacao\"")),
    fault("json", Breakage::Replace("[]")),
    fault("json", Breakage::Wrap("[", "]")),
    fault("json", Breakage::Wrap("", "{\"id_usuario\":\"u1\"}")),
    fault("json", Breakage::Nest),
    // Latin-1 where UTF-8 is due.
    fault("json", Breakage::Set("categoria", b"\"Eletr\xF4nicos\"")),
    fault("campo_ausente", Breakage::Remove("id_usuario")),
    fault("campo_ausente", Breakage::Remove("timestamp")),
    fault("campo_ausente", Breakage::Set("tipo_evento", b"null")),
    fault("tipo", Breakage::Set("quantidade", b"\"duas\"")),
    fault("tipo", Breakage::Set("id_produto", b"{\"id\":\"p1\"}")),
    fault("tipo", Breakage::Set("preco", b"true")),
    fault("tempo", Breakage::Set("timestamp", b"\"2025-02-30T12:00:00.000Z\"")),
    fault("tempo", Breakage::Set("timestamp", "\"ontem à noite\"".as_bytes())),
    fault("futuro", Breakage::Future),
    fault("valor", Breakage::Set("preco", b"19.999")),
    fault("valor", Breakage::Set("preco", b"-19.90")),
    fault("valor", Breakage::Set("quantidade", b"-2")),
    fault("valor", Breakage::Set("quantidade", b"0")),
];

/// Breaks `event`, which is a flat JSON object with a product, a price and a quantity. Returns the
/// reason for which it must be refused.
pub(super) fn break_event(random: &mut Random, event: &mut Vec<u8>) -> &'static str {
    let Fault { reason, breakage } = FAULTS[random.below(FAULTS.len() as u64) as usize];
    match breakage {
        Breakage::Truncate => event.truncate(1 + random.below(event.len() as u64 - 1) as usize),
        Breakage::Replace(text) => *event = text.into(),
        Breakage::Wrap(before, after) => {
            event.splice(..0, before.bytes());
            event.extend_from_slice(after.as_bytes());
        }
        Breakage::Nest => {
            *event = vec![b'['; DEPTH];
            event.resize(2 * DEPTH, b']');
        }
        Breakage::Remove(key) => remove(event, key),
        Breakage::Set(key, value) => set(event, key, value),
        Breakage::Future => {
            if let Some((_, value, _)) = find(event, "timestamp") {
                // 2025 becomes 2925.
                event[value + 2] = b'9';
            }
        }
    }
    reason
}

/// Where a field's key, value and what follows it begin. None of our texts holds a comma or a
/// brace.
fn find(event: &[u8], key: &str) -> Option<(usize, usize, usize)> {
    let quoted = format!("\"{key}\":");
    let at = event.windows(quoted.len()).position(|window| window == quoted.as_bytes())?;
    let value = at + quoted.len();
    let end = value + event[value..].iter().position(|byte| matches!(byte, b',' | b'}'))?;
    Some((at, value, end))
}

fn set(event: &mut Vec<u8>, key: &str, raw: &[u8]) {
    if let Some((_, value, end)) = find(event, key) {
        event.splice(value..end, raw.iter().copied());
    }
}

fn remove(event: &mut Vec<u8>, key: &str) {
    if let Some((at, _, end)) = find(event, key) {
        // With the comma on one side, so that the rest stays an object.
        let (from, to) = if event[end] == b',' { (at, end + 1) } else { (at - 1, end) };
        event.drain(from..to);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const EVENT: &[u8] = b"{\"id_usuario\":\"u1\",\"tipo_evento\":\"adicao_carrinho\",\"id_produto\":\"p1\",\
        \"categoria\":\"Livros\",\"quantidade\":1,\"preco\":9.90,\"timestamp\":\"2025-05-14T03:00:00.000Z\"}";

    #[test]
    fn every_fault_breaks_the_event() {
        let mut random = Random::new(1);
        let mut broken = BTreeSet::new();
        let mut reasons = BTreeSet::new();
        for _ in 0..5_000 {
            let mut event = EVENT.to_vec();
            let reason = break_event(&mut random, &mut event);
            assert_ne!(event, EVENT);
            let object = serde_json::from_slice::<serde_json::Map<_, _>>(&event).is_ok();
            assert_eq!(object, reason != "json", "{}", String::from_utf8_lossy(&event));
            reasons.insert(reason);
            broken.insert(event);
        }
        assert_eq!(reasons.len(), 6);
        assert!(broken.len() >= FAULTS.len());
    }
}
