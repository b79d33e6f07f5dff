//! What `SET` sets and `SHOW` shows. Few settings change anything here: the others are kept, so
//! that clients find what they have set.

use std::collections::BTreeMap;
use std::time::Duration;

use datafusion_postgres::pgwire::error::PgWireError;

use crate::error::{code, fault};

/// What clients hear of the server's version: they choose their queries by it.
pub(crate) const SERVER_VERSION: &str = "17.0 (Vitral)";
const SERVER_VERSION_NUMBER: &str = "170000";

/// Settings that clients of PostgreSQL know, and what they are at first.
const KNOWN: [(&str, &str); 83] = [
    ("allow_system_table_mods", "off"),
    ("application_name", ""),
    ("array_nulls", "on"),
    ("backslash_quote", "safe_encoding"),
    ("bytea_output", "hex"),
    ("check_function_bodies", "on"),
    ("client_encoding", "UTF8"),
    ("client_min_messages", "notice"),
    ("constraint_exclusion", "partition"),
    ("cursor_tuple_fraction", "0.1"),
    ("datestyle", "ISO, MDY"),
    ("default_table_access_method", "heap"),
    ("default_tablespace", ""),
    ("default_text_search_config", "pg_catalog.simple"),
    ("default_transaction_deferrable", "off"),
    ("default_transaction_isolation", "read committed"),
    ("default_transaction_read_only", "on"),
    ("effective_cache_size", "4GB"),
    ("enable_bitmapscan", "on"),
    ("enable_hashagg", "on"),
    ("enable_hashjoin", "on"),
    ("enable_indexscan", "on"),
    ("enable_material", "on"),
    ("enable_mergejoin", "on"),
    ("enable_nestloop", "on"),
    ("enable_seqscan", "on"),
    ("enable_sort", "on"),
    ("escape_string_warning", "on"),
    ("extra_float_digits", "1"),
    ("from_collapse_limit", "8"),
    ("geqo", "on"),
    ("idle_in_transaction_session_timeout", "0"),
    ("idle_session_timeout", "0"),
    ("in_hot_standby", "off"),
    ("integer_datetimes", "on"),
    ("intervalstyle", "postgres"),
    ("is_superuser", "off"),
    ("jit", "off"),
    ("join_collapse_limit", "8"),
    ("lc_collate", "C.UTF-8"),
    ("lc_ctype", "C.UTF-8"),
    ("lc_messages", "C.UTF-8"),
    ("lc_monetary", "C.UTF-8"),
    ("lc_numeric", "C.UTF-8"),
    ("lc_time", "C.UTF-8"),
    ("lo_compat_privileges", "off"),
    ("lock_timeout", "0"),
    ("log_min_duration_statement", "-1"),
    ("log_min_messages", "warning"),
    ("log_statement", "none"),
    ("maintenance_work_mem", "64MB"),
    ("max_identifier_length", "63"),
    ("max_index_keys", "32"),
    ("max_parallel_workers_per_gather", "0"),
    ("password_encryption", "scram-sha-256"),
    ("plan_cache_mode", "auto"),
    ("quote_all_identifiers", "off"),
    ("random_page_cost", "4"),
    ("role", "none"),
    ("row_security", "on"),
    ("search_path", "\"$user\", public"),
    ("seq_page_cost", "1"),
    ("server_encoding", "UTF8"),
    ("server_version", SERVER_VERSION),
    ("server_version_num", SERVER_VERSION_NUMBER),
    ("session_authorization", ""),
    ("session_replication_role", "origin"),
    ("ssl_renegotiation_limit", "0"),
    ("standard_conforming_strings", "on"),
    ("statement_timeout", "0"),
    ("synchronize_seqscans", "on"),
    ("synchronous_commit", "on"),
    ("tcp_keepalives_idle", "0"),
    ("temp_buffers", "8MB"),
    ("temp_tablespaces", ""),
    ("timezone", "UTC"),
    ("timezone_abbreviations", "Default"),
    ("transaction_deferrable", "off"),
    ("transaction_isolation", "read committed"),
    ("transaction_read_only", "on"),
    ("transaction_timeout", "0"),
    ("transform_null_equals", "off"),
    ("work_mem", "4MB"),
];

/// Those whose values clients hear of when a connection begins, as they call them.
const REPORTED: [(&str, &str); 14] = [
    ("application_name", "application_name"),
    ("client_encoding", "client_encoding"),
    ("datestyle", "DateStyle"),
    ("default_transaction_read_only", "default_transaction_read_only"),
    ("in_hot_standby", "in_hot_standby"),
    ("integer_datetimes", "integer_datetimes"),
    ("intervalstyle", "IntervalStyle"),
    ("is_superuser", "is_superuser"),
    ("search_path", "search_path"),
    ("server_encoding", "server_encoding"),
    ("server_version", "server_version"),
    ("session_authorization", "session_authorization"),
    ("standard_conforming_strings", "standard_conforming_strings"),
    ("timezone", "TimeZone"),
];

/// Those that say how values are written, which is always the same.
const FIXED: [&str; 6] =
    ["bytea_output", "datestyle", "intervalstyle", "standard_conforming_strings", "timezone", "client_encoding"];
/// Those that cannot be set.
const INTERNAL: [&str; 10] = [
    "in_hot_standby",
    "integer_datetimes",
    "is_superuser",
    "lc_collate",
    "lc_ctype",
    "max_identifier_length",
    "max_index_keys",
    "server_encoding",
    "server_version",
    "server_version_num",
];
/// How many of their own clients may keep.
const OWN_MAX: usize = 100;
const VALUE_MAX: usize = 4096;

/// What has become of a `SET`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Change {
    /// What the client has to hear: the name as it calls it, and the value.
    pub reported: Option<(&'static str, String)>,
    /// That it has no effect.
    pub notice: Option<String>,
}

/// The settings of one connection.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    changed: BTreeMap<String, String>,
    /// What was set for a transaction alone, and what it was before.
    local: Vec<(String, Option<String>)>,
    timeout_max: Duration,
}

impl Settings {
    pub(crate) fn new(user: &str, timeout_max: Duration) -> Self {
        let changed = BTreeMap::from([("session_authorization".to_owned(), user.to_owned())]);
        Self { changed, local: Vec::new(), timeout_max }
    }

    /// What a client has asked for with its first message. Names that are unknown are left out.
    pub(crate) fn begin(&mut self, name: &str, value: &str) {
        let name = name.to_lowercase();
        if known(&name).is_some() && !INTERNAL.contains(&name.as_str()) && name != "session_authorization" {
            // A value that makes no sense is as if it were not there.
            let _ = self.set(&name, Some(value), false);
        }
    }

    /// Sets one, or sets it back.
    pub(crate) fn set(&mut self, name: &str, value: Option<&str>, is_local: bool) -> Result<Change, PgWireError> {
        if known(name).is_none() && !name.contains('.') {
            return Err(unknown(name));
        }
        if INTERNAL.contains(&name) {
            return Err(fault("55P02", format!("parameter \"{name}\" cannot be changed"), ""));
        }
        let Some(value) = value else { return Ok(self.reset(name)) };
        if let Some(change) = fixed(name, value)? {
            return Ok(change);
        }
        if value.len() > VALUE_MAX || !self.changed.contains_key(name) && self.changed.len() >= KNOWN.len() + OWN_MAX {
            return Err(fault(code::TOO_LARGE, format!("no more can be kept of the setting {name}"), ""));
        }
        if name == "statement_timeout" && duration(value).is_none() {
            return Err(wrong(name, value));
        }
        let before = self.changed.insert(name.to_owned(), value.to_owned());
        if is_local {
            self.local.push((name.to_owned(), before));
        }
        Ok(self.change(name))
    }

    fn reset(&mut self, name: &str) -> Change {
        if name != "session_authorization" {
            self.changed.remove(name);
        }
        self.change(name)
    }

    /// Sets all of them back, and says what clients have to hear.
    pub(crate) fn reset_all(&mut self) -> Vec<Change> {
        let names: Vec<String> = self.changed.keys().cloned().collect();
        self.local.clear();
        names.iter().map(|name| self.reset(name)).collect()
    }

    /// Sets back what was set for a transaction.
    pub(crate) fn end_transaction(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        while let Some((name, before)) = self.local.pop() {
            match before {
                Some(before) => drop(self.changed.insert(name.clone(), before)),
                None => drop(self.changed.remove(&name)),
            }
            changes.push(self.change(&name));
        }
        changes
    }

    fn change(&self, name: &str) -> Change {
        let reported = REPORTED.iter().find(|(known, _)| *known == name);
        let reported = reported.and_then(|(_, described)| Some((*described, self.get(name)?)));
        Change { reported, notice: None }
    }

    /// The value of one, as it is shown.
    pub(crate) fn show(&self, name: &str) -> Result<String, PgWireError> {
        self.get(name).ok_or_else(|| unknown(name))
    }

    fn get(&self, name: &str) -> Option<String> {
        if name == "statement_timeout" {
            return Some(format!("{}ms", self.timeout().as_millis()));
        }
        self.changed.get(name).cloned().or_else(|| known(name).map(str::to_owned))
    }

    /// All of them, in order.
    pub(crate) fn all(&self) -> Vec<Vec<String>> {
        let own = self.changed.keys().map(String::as_str).filter(|name| known(name).is_none());
        let names = KNOWN.iter().map(|(name, _)| *name).chain(own);
        names.map(|name| vec![name.to_owned(), self.get(name).unwrap_or_default(), String::new()]).collect()
    }

    /// What a client hears when its connection begins.
    pub(crate) fn reported(&self) -> BTreeMap<&'static str, String> {
        REPORTED.iter().filter_map(|(name, described)| Some((*described, self.get(name)?))).collect()
    }

    /// How long a statement may take: what the client wants, and at most what the server allows.
    pub(crate) fn timeout(&self) -> Duration {
        let wanted = self.changed.get("statement_timeout").and_then(|value| duration(value));
        wanted.filter(|wanted| !wanted.is_zero()).map_or(self.timeout_max, |wanted| wanted.min(self.timeout_max))
    }
}

/// Values in one form only: what sets it is done, and what would change it is not.
fn fixed(name: &str, value: &str) -> Result<Option<Change>, PgWireError> {
    if !FIXED.contains(&name) {
        return Ok(None);
    }
    let own = known(name).unwrap_or_default();
    let plain = |text: &str| text.to_lowercase().replace([' ', '-', '_', '\''], "");
    let is_same = match name {
        "client_encoding" => matches!(plain(value).as_str(), "utf8" | "unicode" | "sqlascii" | "auto"),
        "datestyle" => plain(value).starts_with("iso"),
        "timezone" => matches!(plain(value).as_str(), "utc" | "etc/utc" | "gmt" | "0" | "+00:00" | "zulu"),
        "standard_conforming_strings" => matches!(plain(value).as_str(), "on" | "true" | "1" | "yes"),
        _ => plain(value) == plain(own),
    };
    if is_same {
        return Ok(Some(Change::default()));
    }
    if name == "client_encoding" {
        let remedy = "set client_encoding to UTF8";
        return Err(fault(code::NOT_SUPPORTED, format!("encoding {value} is not supported"), remedy));
    }
    let notice = format!("{name} stays {own}: {value} is not used");
    Ok(Some(Change { reported: None, notice: Some(notice) }))
}

fn known(name: &str) -> Option<&'static str> {
    KNOWN.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
}

/// All of them with what they are at first.
pub(crate) fn defaults() -> impl Iterator<Item = (&'static str, &'static str)> {
    KNOWN.into_iter()
}

/// What a setting is at first; none if there is no such setting.
pub(crate) fn default_of(name: &str) -> Option<&'static str> {
    known(&name.to_lowercase())
}

fn unknown(name: &str) -> PgWireError {
    fault(code::NO_SETTING, format!("unrecognized configuration parameter \"{name}\""), "SHOW ALL lists them")
}

fn wrong(name: &str, value: &str) -> PgWireError {
    fault(code::WRONG_VALUE, format!("invalid value for parameter \"{name}\": \"{value}\""), "")
}

/// A number of milliseconds, or with a unit of PostgreSQL.
fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    let millis = match text[digits..].trim() {
        "" | "ms" => number,
        "us" => number / 1_000,
        "s" => number.checked_mul(1_000)?,
        "min" => number.checked_mul(60_000)?,
        "h" => number.checked_mul(3_600_000)?,
        "d" => number.checked_mul(86_400_000)?,
        _ => return None,
    };
    Some(Duration::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use datafusion_postgres::pgwire::error::ErrorInfo;

    use super::*;

    fn settings() -> Settings {
        Settings::new("ana", Duration::from_secs(10))
    }

    #[test]
    fn a_clients_timeout_is_at_most_that_of_the_server() {
        let mut settings = settings();
        for (value, seconds) in [("0", 10), ("5000", 5), ("5s", 5), ("1min", 10), ("250ms", 0)] {
            settings.set("statement_timeout", Some(value), false).expect(value);
            assert_eq!(settings.timeout().as_secs(), seconds, "{value}");
        }
        assert!(settings.set("statement_timeout", Some("soon"), false).is_err());
    }

    #[test]
    fn known_names_are_set_and_shown_and_unknown_ones_are_errors() {
        let mut settings = settings();
        let change = settings.set("application_name", Some("psql"), false).expect("set");
        assert_eq!(change.reported, Some(("application_name", "psql".to_owned())));
        settings.set("vitral.own", Some("1"), false).expect("with a prefix");
        assert_eq!(settings.show("vitral.own").expect("shown"), "1");
        let refused = ErrorInfo::from(settings.set("nada", Some("1"), false).expect_err("unknown"));
        assert_eq!(refused.code, code::NO_SETTING);
        assert!(settings.show("nada").is_err());
        settings.reset_all();
        assert_eq!(settings.show("application_name").expect("shown"), "");
        assert_eq!(settings.show("session_authorization").expect("shown"), "ana");
    }

    #[test]
    fn what_is_set_for_a_transaction_ends_with_it() {
        let mut settings = settings();
        settings.set("work_mem", Some("1GB"), false).expect("set");
        settings.set("work_mem", Some("2GB"), true).expect("set");
        settings.end_transaction();
        assert_eq!(settings.show("work_mem").expect("shown"), "1GB");
    }

    #[test]
    fn times_stay_in_utc_and_texts_in_utf8() {
        let mut settings = settings();
        let change = settings.set("timezone", Some("America/Sao_Paulo"), false).expect("taken");
        assert!(change.notice.is_some() && change.reported.is_none());
        assert_eq!(settings.show("timezone").expect("shown"), "UTC");
        assert!(settings.set("client_encoding", Some("LATIN1"), false).is_err());
        assert_eq!(settings.set("client_encoding", Some("utf-8"), false).expect("the same"), Change::default());
    }
}
