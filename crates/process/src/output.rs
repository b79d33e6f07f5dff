//! What commands say: answers on standard output, and the words of an error or a panic.

pub mod terminal;

use std::any::Any;
use std::error::Error;
use std::io::IsTerminal;

use self::terminal::visible;

/// The error and its causes, each said once.
pub fn describe(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    let chain = std::iter::successors(Some(error), |error| (*error).source());
    for cause in chain.map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}\n  caused by: {}", each_a_cause(&cause));
        }
    }
    text
}

/// What a panic said.
pub fn panic_words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without words")
}

/// Of several errors in one text each ends with its remedy: what follows one is a cause like the
/// first.
fn each_a_cause(text: &str) -> String {
    let mut is_behind_remedy = false;
    let lines = text.lines().map(|line| {
        let begins = is_behind_remedy && !line.starts_with(' ');
        is_behind_remedy = line.starts_with("    remedy: ");
        if begins { format!("  caused by: {line}") } else { line.to_owned() }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// What the command answers, to standard output. No control characters in it reach a terminal.
///
/// The reader may have had enough, as `head` does: then the command goes on with its work in
/// silence.
pub fn answer(text: &str) {
    put(&visible(text));
}

/// The same, over the status line of a terminal, which is drawn again below.
pub fn answer_over_status(text: &str) {
    let clear = if std::io::stdout().is_terminal() { "\r\x1b[2K" } else { "" };
    put(&format!("{clear}{}\n", visible(text)));
}

/// The same as JSON.
pub fn answer_json(value: &impl serde::Serialize) -> serde_json::Result<()> {
    put(&terminal::visible_json(&serde_json::to_string_pretty(value)?));
    Ok(())
}

/// What people should know of an answer and programs that read it need not, to standard error.
pub fn note(text: &str) {
    use std::io::Write as _;
    // There is nobody to report it to.
    let _ = writeln!(std::io::stderr().lock(), "{}", visible(text));
}

fn put(text: &str) {
    use std::io::Write as _;
    if let Err(error) = writeln!(std::io::stdout().lock(), "{text}")
        && error.kind() != std::io::ErrorKind::BrokenPipe
    {
        tracing::warn!(%error, "standard output cannot be written to");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the catalog is broken")]
    struct Broken(#[source] Several);

    #[derive(Debug, thiserror::Error)]
    #[error("a.sql:1:2: one\n    remedy: do this\nb.sql:3:4: two\nof two lines\n    remedy: do that")]
    struct Several;

    #[test]
    fn each_of_several_errors_is_a_cause() {
        assert_eq!(
            describe(&Broken(Several)),
            "the catalog is broken\n  caused by: a.sql:1:2: one\n    remedy: do this\n  caused by: b.sql:3:4: two\nof two lines\n    \
             remedy: do that"
        );
    }
}
