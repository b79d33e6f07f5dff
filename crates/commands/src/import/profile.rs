//! Which profile a file is imported by, and into which tables.

use anyhow::{anyhow, bail};
use vitral_batch::import::{Ask, File, recognise};
use vitral_catalog::{Catalog, Profile};
use vitral_process::output::answer;

use super::Forms;
use crate::args::BadArguments;

/// What `--profile` says for none.
const NONE: &str = "none";

/// The tables that a file is to be imported into, and what is asked of it for each.
pub(super) fn tasks(catalog: &Catalog, forms: &Forms, file: &File, table: &str) -> anyhow::Result<Vec<(String, Ask)>> {
    let condition = match &forms.condition {
        Some(text) => {
            Some(Ask::parse_condition(text).map_err(|error| BadArguments(format!("--where {text}: {error}")))?)
        }
        None => None,
    };
    let plain = vec![(table.to_owned(), Ask { profile: None, condition: condition.clone() })];
    let views = match forms.profile.as_deref() {
        Some(NONE) => return Ok(plain),
        Some(name) => named(catalog, name)?,
        // Who maps columns by hand has the file's own in mind.
        None if !forms.map.is_empty() => return Ok(plain),
        None => recognise(file, &catalog.profiles, forms.header_row, &forms.sheet)?,
    };
    let Some(first) = views.first() else { return Ok(plain) };
    let profile = first.profile.clone();
    // The main table of a file brings its other tables along; else it is that table alone.
    let is_main = first.table == table;
    let tables =
        |view: &Profile| (view.table.clone(), Ask { profile: Some(view.clone()), condition: condition.clone() });
    let wanted: Vec<_> = views.iter().filter(|view| is_main || view.table == table).map(tables).collect();
    if wanted.is_empty() {
        if forms.profile.is_some() {
            let known: Vec<_> = views.iter().map(|view| view.table.as_str()).collect();
            bail!("profile {profile} has no rows for {table}: name one of {} with --table", known.join(", "));
        }
        return Ok(plain);
    }
    if forms.profile.is_none() {
        answer(&format!(
            "{}: recognised as an export of {profile} (--profile {NONE} reads it as any other file)",
            file.name
        ));
    }
    Ok(wanted)
}

fn named(catalog: &Catalog, name: &str) -> anyhow::Result<Vec<Profile>> {
    let views: Vec<_> = catalog.profiles.iter().filter(|profile| profile.profile == name).cloned().collect();
    if views.is_empty() {
        let mut known: Vec<_> = catalog.profiles.iter().map(|profile| profile.profile.as_str()).collect();
        known.dedup();
        return Err(anyhow!(BadArguments(format!(
            "there is no profile {name}: name one of {}, or {NONE}",
            known.join(", ")
        ))));
    }
    Ok(views)
}
