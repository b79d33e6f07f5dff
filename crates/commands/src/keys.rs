//! `vitral keys create|list|revoke`: who may ask, what, and until when.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::bail;
use arrow::array::{ArrayRef, RecordBatch, StringArray};
use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use chrono_tz::Tz;
use clap::{Args, Subcommand};
use vitral_access::{CreatedKey, Key, Keys, NewKey, row_filters, scopes};
use vitral_catalog::{Catalog, Names};
use vitral_config::{Config, Mode};
use vitral_process::output::terminal::table;
use vitral_process::output::{answer, note};
use vitral_query::{RowFilters, Scopes, TRACE_SCOPE};
use vitral_schemas::time::{SystemClock, day_start_ms};

use crate::args::{BadArguments, Common};
use crate::length::length_ms;

/// What is done with keys.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a key: an id and a secret, which is shown only now. They are the user and the password
    /// of the SQL endpoint too. Running processes know it within 10 seconds.
    Create(CreateFlags),
    /// Show the keys that there are, without their secrets.
    List,
    /// Revoke a key for good. Running processes refuse it within 10 seconds.
    Revoke(RevokeFlags),
}

/// What it may do.
#[derive(Debug, Args)]
pub struct CreateFlags {
    /// What people call it: who has it, and what for.
    #[arg(long)]
    name: String,
    /// What it may do: NAME:read, *:read, NAME:write or admin; may be given several times (default:
    /// nothing).
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// Which rows it sees: those that have this value in this column; may be given several times,
    /// and several values of one column are all seen (default: all rows).
    #[arg(long = "filter", value_name = "COLUMN=VALUE")]
    filters: Vec<String>,
    /// Until when it holds: for so long (90d), or until the beginning of a day (2026-12-31) in the
    /// domain's zone (default: until it is revoked).
    #[arg(long, value_name = "90d|DATE")]
    expires: Option<String>,
}

/// Which one.
#[derive(Debug, Args)]
pub struct RevokeFlags {
    /// Its id, as `vitral keys list` shows it.
    id: String,
}

/// Makes, shows or revokes keys.
pub fn run(config: &Config, common: &Common, command: &Command) -> anyhow::Result<()> {
    let store = config.location(&common.data_dir)?;
    let keys = Keys::of(&store, Arc::new(SystemClock));
    let runtime = vitral_process::runtimes::of_command()?;
    match command {
        Command::Create(flags) => {
            let new = new_key(flags, config.settings()?.time_zone, Utc::now())?;
            match config.catalog() {
                Ok(catalog) => warn_of_unknown(&catalog, &new),
                Err(_) => note("warning: the catalog is broken, so scopes and filters were not compared with it"),
            }
            show(&runtime.block_on(keys.create(&new))?, config);
            Ok(())
        }
        Command::List => {
            let keys = runtime.block_on(keys.list())?;
            if keys.is_empty() {
                answer("there are no keys yet: `vitral keys create --name NAME --scope '*:read'` makes one");
                return Ok(());
            }
            answer(&table(&[listed(&keys, Utc::now())?])?);
            Ok(())
        }
        Command::Revoke(flags) => {
            let key = runtime.block_on(keys.revoke(&flags.id))?;
            answer(&format!("{} ({}) is revoked; running processes refuse it within 10 seconds", key.id, key.name));
            Ok(())
        }
    }
}

fn new_key(flags: &CreateFlags, zone: Tz, now: DateTime<Utc>) -> anyhow::Result<NewKey> {
    let wrong = |error: vitral_access::WrongGrant| BadArguments(error.to_string());
    let expires_ms = flags.expires.as_deref().map(|text| expiry_ms(text, zone, now)).transpose()?;
    Ok(NewKey {
        name: flags.name.trim().to_owned(),
        scopes: scopes(flags.scopes.iter().map(String::as_str)).map_err(wrong)?,
        filters: row_filters(flags.filters.iter().map(String::as_str)).map_err(wrong)?,
        expires_ms,
    })
}

fn expiry_ms(text: &str, zone: Tz, now: DateTime<Utc>) -> anyhow::Result<i64> {
    let of_day = || text.parse::<NaiveDate>().ok().map(|day| day_start_ms(zone, day));
    let now_ms = now.timestamp_millis();
    let after = |length: i64| now_ms.checked_add(length);
    match length_ms(text).and_then(after).or_else(of_day) {
        None => {
            Err(BadArguments(format!("--expires {text}: write a time such as 90d, or a day such as 2026-12-31")).into())
        }
        Some(expires_ms) if expires_ms <= now_ms => {
            Err(BadArguments(format!("--expires {text} is in the past: name a later day")).into())
        }
        // Beyond that it could not be shown.
        Some(expires_ms) if DateTime::from_timestamp_millis(expires_ms).is_none() => {
            bail!("--expires {text} is too far")
        }
        Some(expires_ms) => Ok(expires_ms),
    }
}

/// A key may be made before what it is for; one that is mistyped opens nothing.
fn warn_of_unknown(catalog: &Catalog, new: &NewKey) {
    let names = Names::new(catalog, []);
    let paths: BTreeSet<&str> = catalog.endpoints.iter().map(|endpoint| endpoint.scope.as_str()).collect();
    let tables: BTreeSet<&str> = catalog.job_tables.iter().map(|table| table.table.as_str()).collect();
    for scope in new.scopes.iter().filter(|scope| *scope != Scopes::READ_ALL && !paths.contains(scope)) {
        let Some((name, act)) = scope.split_once(':') else { continue };
        let is_table = name.strip_prefix("armazem.").is_some_and(|table| tables.contains(table));
        let is_known = match act {
            "write" => catalog.entrances().any(|(_, entrance)| entrance.scope == *scope),
            _ if [Scopes::METRICS, TRACE_SCOPE].contains(&scope) => true,
            _ => is_table || names.get(name).is_some() || catalog.endpoints.iter().any(|of| of.name == name),
        };
        if !is_known {
            note(&format!("warning: {name} is not in the catalog, so {scope} allows nothing yet"));
        }
    }
    let columns: BTreeSet<&str> =
        catalog.topics.iter().flat_map(|topic| &topic.columns).map(|column| column.name.as_str()).collect();
    for (column, _) in new.filters.iter().filter(|(column, _)| !columns.contains(column)) {
        note(&format!("warning: no topic of the catalog has a column {column}, so this key may see no rows at all"));
    }
    if new.scopes.iter().next().is_none() {
        note("warning: without --scope the key may do nothing; '*:read' reads everything");
    }
}

fn show(created: &CreatedKey, config: &Config) {
    use vitral_access::ExposeSecret as _;
    answer(&format!("id      {}\nsecret  {}", created.id, created.secret.expose_secret()));
    note(
        "the secret is not kept and cannot be shown again; send both as `Authorization: Bearer ID.SECRET`, or log in to the SQL endpoint \
         with the id as user and the secret as password",
    );
    if config.access.mode == Mode::Off {
        note("access control is off, so nobody is asked for a key: set access.mode = \"keys\"");
    }
}

fn listed(keys: &[Arc<Key>], now: DateTime<Utc>) -> anyhow::Result<RecordBatch> {
    let column = |text: &dyn Fn(&Key) -> Option<String>| -> ArrayRef {
        Arc::new(StringArray::from_iter(keys.iter().map(|key| text(key))))
    };
    let state = |key: &Key| match () {
        () if key.is_revoked => "revogada",
        () if key.has_expired(now.timestamp_millis()) => "expirada",
        () => "ativa",
    };
    Ok(RecordBatch::try_from_iter_with_nullable([
        ("id", column(&|key| Some(key.id.clone())), false),
        ("nome", column(&|key| Some(key.name.clone())), false),
        ("escopos", column(&|key| Some(key.scopes().iter().collect::<Vec<_>>().join(" "))), false),
        ("filtros", column(&|key| shown_filters(key.filters())), true),
        ("criada", column(&|key| Some(time(key.created_ms))), false),
        ("expira", column(&|key| key.expires_ms.map(time)), true),
        ("estado", column(&|key| Some(state(key).to_owned())), false),
    ])?)
}

fn shown_filters(filters: &RowFilters) -> Option<String> {
    let each = filters.iter().flat_map(|(column, values)| values.iter().map(move |value| format!("{column}={value}")));
    (!filters.is_empty()).then(|| each.collect::<Vec<_>>().join(" "))
}

fn time(ms: i64) -> String {
    DateTime::<Utc>::from_timestamp_millis(ms).unwrap_or_default().to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(scopes: &[&str], filters: &[&str], expires: Option<&str>) -> CreateFlags {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        CreateFlags {
            name: "painel".to_owned(),
            scopes: texts(scopes),
            filters: texts(filters),
            expires: expires.map(str::to_owned),
        }
    }

    fn of(flags: &CreateFlags) -> anyhow::Result<NewKey> {
        let now = "2026-11-29T12:00:00Z".parse().expect("a time");
        new_key(flags, chrono_tz::America::Sao_Paulo, now)
    }

    #[test]
    fn a_key_ends_after_a_while_or_with_a_day_of_the_zone() {
        let expires = |text| of(&flags(&[], &[], Some(text))).map(|key| key.expires_ms.map(time));
        assert_eq!(expires("90d").expect("a while").as_deref(), Some("2027-02-27T12:00:00Z"));
        assert_eq!(expires("2026-12-31").expect("a day").as_deref(), Some("2026-12-31T03:00:00Z"));
        for wrong in ["2026-11-29", "2020-01-01", "soon", "0d", "", "31/12/2026"] {
            let error = expires(wrong).expect_err(wrong);
            assert!(error.is::<BadArguments>() && error.to_string().contains("--expires"), "{wrong}: {error}");
        }
    }

    #[test]
    fn what_cannot_be_granted_is_named() {
        for (scopes, filters, named) in
            [(vec!["vendas:drop"], vec![], "vendas:drop"), (vec!["*:read"], vec!["regiao"], "regiao")]
        {
            let error = of(&flags(&scopes, &filters, None)).expect_err(named);
            assert!(error.is::<BadArguments>() && error.to_string().contains(named), "{error}");
        }
        let key = of(&flags(&["vendas:read"], &["regiao=Sul", "regiao=Norte"], None)).expect("a key");
        assert_eq!(shown_filters(&key.filters).as_deref(), Some("regiao=Norte regiao=Sul"));
    }
}
