//! Which profile a file is of, by its headings, and whether a profile can be planned at all.

use std::cell::Cell;
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use datafusion::datasource::empty::EmptyTable;
use datafusion::error::DataFusionError;
use vitral_catalog::{Diagnostic, FILE_TABLE, MissingHeading, Profile};
use vitral_schemas::topic::Topic;

use super::columns;
use super::file_table::schema_of;
use super::question::session;
use crate::import::mapping::key;
use crate::import::source::{Fit, Headings, Opening, distinct, open};
use crate::import::{File, ImportError};

/// The headings that profiles know.
pub(super) struct ProfileHeadings<'a> {
    profiles: &'a [&'a Profile],
    /// Whether any header that was looked at is one of theirs.
    has_fitted: Cell<bool>,
}

impl<'a> ProfileHeadings<'a> {
    pub(super) fn new(profiles: &'a [&'a Profile]) -> Self {
        Self { profiles, has_fitted: Cell::new(false) }
    }

    fn has_all(profile: &Profile, keys: &HashSet<String>) -> bool {
        profile.headings.iter().all(|needed| keys.contains(&key(needed)))
    }
}

impl Headings for ProfileHeadings<'_> {
    /// What profiles ask for: sheets that differ in other columns are alike to them.
    fn fills(&self, row: &[String]) -> Vec<Option<String>> {
        let keys = row.iter().map(|name| key(name)).collect();
        let fitting = self.profiles.iter().filter(|it| Self::has_all(it, &keys));
        let asked: BTreeSet<_> =
            fitting.flat_map(|it| it.headings.iter().chain(&it.optional)).map(|name| key(name)).collect();
        let is_asked = |key: &String| !key.is_empty() && (asked.is_empty() || asked.contains(key));
        row.iter().map(|name| Some(key(name)).filter(is_asked)).collect()
    }

    fn fit(&self, row: &[String]) -> Fit {
        let keys = row.iter().map(|name| key(name)).collect();
        let is_fit = self.profiles.iter().any(|profile| Self::has_all(profile, &keys));
        self.has_fitted.set(self.has_fitted.get() || is_fit);
        if is_fit { Fit::Well } else { Fit::No }
    }
}

/// The profile whose headings a file has, as its views; of several that of the most headings. None
/// where no profile fits, or two fit equally well.
pub fn recognise(
    file: &File,
    profiles: &[Profile],
    header_row: Option<u32>,
    sheets: &[String],
) -> Result<Vec<Profile>, ImportError> {
    let all: Vec<&Profile> = profiles.iter().collect();
    let headings = ProfileHeadings::new(&all);
    let source = match open(&file.path, &file.name, &Opening { header_row, sheets, headings: &headings }) {
        Ok(source) => source,
        // What the sheets of a workbook that is of no profile have in common is another question.
        Err(ImportError::Sheets { .. }) if !headings.has_fitted.get() => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let keys = source.header().iter().map(|name| key(name)).collect();
    let fitting: Vec<&Profile> = profiles.iter().filter(|it| ProfileHeadings::has_all(it, &keys)).collect();
    let most = fitting.iter().map(|profile| profile.headings.len()).max();
    let of_most = fitting.iter().filter(|it| Some(it.headings.len()) == most);
    let mut best: Vec<&str> = of_most.map(|it| it.profile.as_str()).collect();
    best.dedup();
    match best.as_slice() {
        [only] => Ok(fitting.iter().filter(|it| it.profile == *only).map(|it| Profile::clone(it)).collect()),
        _ => Ok(Vec::new()),
    }
}

/// Plans a profile's query over a file of just its headings, and looks whether its columns are
/// those of what it is for.
pub(crate) async fn check(profile: &Profile, topic: &Topic) -> Result<(), Box<Diagnostic>> {
    let wrong = |message: String, remedy: &str| Box::new(profile.source.error(message, remedy.to_owned()));
    let planned = async {
        let context = session()?;
        let file = EmptyTable::new(schema_of(&profile.headings));
        context.register_table(FILE_TABLE, Arc::new(file))?;
        let query = profile.over(&profile.headings, key);
        let query = query.map_err(|MissingHeading(name)| DataFusionError::Plan(format!("no column {name}")))?;
        crate::tables::plan_query(&context, &query).await
    };
    let plan = planned.await.map_err(|error| {
        wrong(
            vitral_engine::words(&error),
            "correct the query; the file's columns are text, and its headings go in double quotes",
        )
    })?;
    for (_, name) in columns(&plan) {
        if topic.columns.iter().all(|column| column.name != name) {
            let known: Vec<_> = topic.columns.iter().map(|column| column.name.as_str()).collect();
            return Err(wrong(
                format!("profile {}: {} has no column {name}", profile.name, profile.table),
                &format!("name the query's columns with AS, as one of {}", known.join(", ")),
            ));
        }
    }
    Ok(())
}

/// The header that a file was found to have.
pub(super) struct SameHeader<'a>(pub(super) &'a [String]);

impl Headings for SameHeader<'_> {
    fn fills(&self, row: &[String]) -> Vec<Option<String>> {
        row.iter().map(|name| (!name.is_empty()).then(|| key(name))).collect()
    }

    fn fit(&self, row: &[String]) -> Fit {
        let found = distinct(row);
        if self.0.iter().zip(&found).all(|(ours, theirs)| ours == theirs) && found.len() >= self.0.len() {
            Fit::Well
        } else {
            Fit::No
        }
    }
}
