//! What an examination of Vitral's surroundings finds, and what to do about it.

use std::fmt::{self, Display};

use serde::Serialize;

/// How good or bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Ok,
    /// Works, but not as well or as safely as it should.
    Warn,
    /// Does not work.
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How it stands.
    pub state: State,
    /// The part: `kafka`, `clock`.
    pub about: &'static str,
    /// What was found, in words.
    pub found: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Finding {
    /// Nothing is to be done.
    pub fn ok(about: &'static str, found: impl Into<String>) -> Self {
        Self { state: State::Ok, about, found: found.into(), remedy: None }
    }

    /// Something should be done.
    pub fn warn(about: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { state: State::Warn, about, found: found.into(), remedy: Some(remedy.into()) }
    }

    /// Something must be done.
    pub fn fail(about: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { state: State::Fail, about, found: found.into(), remedy: Some(remedy.into()) }
    }
}

impl Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Ok => "ok",
            State::Warn => "warn",
            State::Fail => "FAIL",
        };
        write!(f, "{state:<4}  {:<14}  {}", self.about, self.found)?;
        match &self.remedy {
            Some(remedy) => write!(f, "\n                      -> {remedy}"),
            None => Ok(()),
        }
    }
}

/// A clock that is this far off puts events into the future, or closes windows before their events
/// come.
pub const SKEW_MS: i64 = 5_000;

/// Compares another's clock with this machine's.
pub fn clock(about: &'static str, of: &str, ahead_ms: i64) -> Finding {
    let seconds = ahead_ms as f64 / 1000.0;
    if ahead_ms.abs() <= SKEW_MS {
        return Finding::ok(about, format!("agrees with that of {of}, within {} s", SKEW_MS / 1000));
    }
    let which = if ahead_ms > 0 { "ahead of" } else { "behind" };
    Finding::warn(
        about,
        format!("that of {of} is {:.0} s {which} this machine's", seconds.abs()),
        "set both by NTP (timedatectl set-ntp true): event times are compared with this machine's clock",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_read_as_lines() {
        let text = Finding::fail("kafka", "no answer", "start it").to_string();
        assert_eq!(text, "FAIL  kafka           no answer\n                      -> start it");
        assert_eq!(Finding::ok("disk", "5 GiB free").to_string(), "ok    disk            5 GiB free");
    }

    #[test]
    fn clocks_that_differ_are_named() {
        assert_eq!(clock("clock", "the bucket", 4_999).state, State::Ok);
        let ahead = clock("clock", "the bucket", 61_000);
        assert!(ahead.state == State::Warn && ahead.found.contains("61 s ahead of"), "{ahead}");
        assert!(clock("clock", "the bucket", -9_000).found.contains("9 s behind"));
    }
}
