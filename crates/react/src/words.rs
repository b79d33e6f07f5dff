//! A transition in words, for those who are notified.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use vitral_connect::{Event, Notification};
use vitral_store::alerts::{Transition, TransitionKind};

/// The notification of a transition, with times of this zone.
pub fn notification(transition: &Transition, zone: Tz) -> Notification {
    let Transition { alert, key, kind, .. } = transition;
    let (event, word) = match kind {
        TransitionKind::Resolved => (Event::Resolved, "Resolvido"),
        TransitionKind::Repeated => (Event::Repeated, "Continua"),
        TransitionKind::Reported => (Event::Reported, "Relatório"),
        _ => (Event::Fired, "Disparado"),
    };
    let mut text = Vec::new();
    if event != Event::Reported {
        text.push(format!("severidade {}, desde {}", transition.severity, local(transition.since_ms, zone)));
    }
    text.extend(lines(&transition.content));
    if event == Event::Reported && transition.rows == 0 {
        text.push("sem linhas".to_owned());
    }
    let shown = i64::try_from(text.len()).unwrap_or(i64::MAX) - i64::from(event != Event::Reported);
    if transition.rows > shown {
        text.push(format!("e mais {} linhas", transition.rows - shown));
    }
    Notification {
        id: transition.id.clone(),
        title: format!("{word}: {alert}, {key}"),
        text: text.join("\n"),
        event,
        subject: alert.clone(),
        key: key.clone(),
        severity: transition.severity.clone(),
        since_ms: transition.since_ms,
        at_ms: transition.at_ms,
        rows: transition.content.clone(),
    }
}

/// A notification by which somebody tries whether they arrive. Its id is new each time.
pub fn test_notification(alert: &str, now_ms: i64) -> Notification {
    Notification {
        id: format!("teste/{now_ms}/1/teste"),
        title: format!("Teste: {alert}"),
        text: "Esta é uma mensagem de teste: nada disparou.".to_owned(),
        event: Event::Test,
        subject: alert.to_owned(),
        key: "teste".to_owned(),
        severity: "info".to_owned(),
        since_ms: now_ms,
        at_ms: now_ms,
        rows: String::new(),
    }
}

fn local(ms: i64, zone: Tz) -> String {
    let time = DateTime::<Utc>::from_timestamp_millis(ms).unwrap_or_default();
    time.with_timezone(&zone).format("%d/%m/%Y %H:%M:%S").to_string()
}

/// A line for each object of an array: its values as they stand there, so that money keeps its
/// decimals; nulls are left out.
fn lines(json: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut cells: Vec<String> = Vec::new();
    // Where the part at hand began, and the key that it belongs to.
    let (mut begin, mut key) = (0, None);
    let (mut depth, mut is_text, mut is_escaped) = (0, false, false);
    for (at, sign) in json.char_indices() {
        if is_text {
            is_text = is_escaped || sign != '"';
            is_escaped = !is_escaped && sign == '\\';
            continue;
        }
        match sign {
            '"' => is_text = true,
            '[' | '{' => {
                depth += 1;
                if depth == 2 {
                    begin = at + 1;
                }
            }
            ':' if depth == 2 && key.is_none() => {
                key = Some(plain(&json[begin..at]));
                begin = at + 1;
            }
            ',' | '}' if depth == 2 => {
                if let Some(key) = key.take()
                    && json[begin..at].trim() != "null"
                {
                    cells.push(format!("{key}: {}", plain(&json[begin..at])));
                }
                begin = at + 1;
                if sign == '}' {
                    depth -= 1;
                    lines.push(std::mem::take(&mut cells).join(" · "));
                }
            }
            ']' | '}' => depth -= 1,
            _ => {}
        }
    }
    lines
}

/// A text without its quotes, anything else as it stands.
fn plain(json: &str) -> String {
    serde_json::from_str::<String>(json.trim()).unwrap_or_else(|_| json.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transition(kind: TransitionKind, content: &str) -> Transition {
        Transition {
            alert: "ruptura".to_owned(),
            key: "p1".to_owned(),
            episode: 1,
            number: 2,
            kind,
            at_ms: 0,
            since_ms: 0,
            severity: "warning".to_owned(),
            rows: 3,
            content: content.to_owned(),
            versions: String::new(),
            destinations: Vec::new(),
            hush: None,
            id: "ruptura/p1/1/disparo".to_owned(),
        }
    }

    #[test]
    fn rows_become_lines_with_their_decimals() {
        let json = r#"[{"id":"a \"b\", {c}","preco":12.50,"x":null,"lista":[1,{"y":2}]},{"id":"ç"}]"#;
        assert_eq!(lines(json), [r#"id: a "b", {c} · preco: 12.50 · lista: [1,{"y":2}]"#, "id: ç"]);
        assert!(lines("[]").is_empty() && lines("").is_empty());
    }

    #[test]
    fn a_notification_says_what_happened_since_when_and_what_is_not_shown() {
        let fired = notification(&transition(TransitionKind::Fired, r#"[{"n":0}]"#), chrono_tz::America::Sao_Paulo);
        assert_eq!((fired.title.as_str(), fired.event), ("Disparado: ruptura, p1", Event::Fired));
        assert_eq!(fired.text, "severidade warning, desde 31/12/1969 21:00:00\nn: 0\ne mais 2 linhas");
        let report = notification(&transition(TransitionKind::Reported, r#"[{"n":0}]"#), chrono_tz::UTC);
        assert_eq!(report.text, "n: 0\ne mais 2 linhas");
        let empty = Transition { rows: 0, ..transition(TransitionKind::Reported, "[]") };
        assert_eq!(notification(&empty, chrono_tz::UTC).text, "sem linhas");
    }
}
