//! `vitral import FILE... --table T`: sales history from files; `import list|undo|replace`: what
//! was imported, and taking it back.

mod flags;
mod limit;
mod manage;
mod preview;
mod profile;
mod report;

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use vitral_batch::BatchError;
use vitral_batch::import::wording::{counted, listed};
use vitral_batch::import::{Ask, File, Files, Import, ImportReport, understand};
use vitral_catalog::Catalog;
use vitral_config::{Config, REFERENCE_DIR};
use vitral_connect::Lookups;
use vitral_process::output::terminal::one_line;
use vitral_process::output::{answer, describe};
use vitral_store::{Act, Location, StoreError};

pub use self::flags::Flags;
use self::flags::{Command, Forms, Refused};
use crate::args::{BadArguments, Common};
use crate::lookups;

/// More rows were refused than allowed; what was accepted is in.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct TooManyRefused(String);

/// What the command works with.
struct World<'a> {
    config: &'a Config,
    catalog: Catalog,
    lookups: Lookups,
    store: Location,
    data_dir: &'a Path,
}

/// Imports files, or says or changes what was imported.
pub fn run(config: &Config, common: &Common, flags: &Flags) -> anyhow::Result<()> {
    let catalog = config.catalog()?;
    let lookups = lookups::open(config, &catalog, &common.data_dir.join(REFERENCE_DIR))?;
    let world =
        World { config, catalog, lookups, store: config.location(&common.data_dir)?, data_dir: &common.data_dir };
    let runtime = vitral_process::runtimes::of_command()?;
    runtime.block_on(async {
        match &flags.command {
            None => all(&world, flags).await,
            Some(Command::List) => manage::list(&world).await,
            Some(Command::Undo { id }) => manage::undo(&world, id).await,
            Some(Command::Replace { id, file, table, forms, refused }) => {
                manage::replace(&world, id, file, table.as_deref(), forms, refused).await
            }
        }
    })
}

async fn all(world: &World<'_>, flags: &Flags) -> anyhow::Result<()> {
    let table = flags.table.as_deref().unwrap_or_default();
    // What is wrong with the table's name is said before any file is looked at.
    flags.forms.import(world, table, Ask::default())?;
    let mut files = Files::new(&flags.files, &world.config.store.options).await?;
    if files.is_empty() {
        bail!(
            "there are no files in {}: name some that end in .csv, .tsv, .txt, .parquet or .xlsx",
            flags.files.join(", ")
        );
    }
    if !files.others().is_empty() {
        answer(&format!("not read, as their format is not known: {}", listed(files.others())));
    }
    let mut done = Totals::default();
    for index in 0..files.len() {
        let came = match files.at_hand(index).await {
            Ok(file) => one(world, flags, &file, table, &mut done).await,
            Err(error) => Err(error.into()),
        };
        match came {
            Ok(()) => {}
            Err(error) if files.len() == 1 || is_of_all_files(&error) => return Err(error),
            // The others are imported all the same.
            Err(error) => {
                let error = describe(error.as_ref());
                let name = one_line(&files.name(index)).into_owned();
                // Most errors begin with the file's name.
                let error = error.strip_prefix(&name).map_or_else(|| format!(": {error}"), str::to_owned);
                answer(&format!("{name}{error}"));
                done.failed.push(format!("{name}{error}"));
            }
        }
    }
    done.end(files.len(), flags.preview)
}

/// What the files have come to so far.
#[derive(Default)]
struct Totals {
    refused: u64,
    accepted: u64,
    known: u64,
    /// What to say of files with more refused rows than allowed.
    above: Vec<String>,
    /// Files that could not be imported, or not wholly, and why.
    failed: Vec<String>,
    /// What to say of rows that could not be looked up.
    unanswered: Vec<String>,
}

impl Totals {
    fn end(self, files: usize, is_preview: bool) -> anyhow::Result<()> {
        let Self { refused, accepted, known, above, failed, unanswered } = self;
        if !is_preview {
            let failed = if failed.is_empty() { String::new() } else { format!(", {} failed", failed.len()) };
            answer(&format!(
                "{}{failed}: {} imported, {refused} refused, {known} already imported",
                counted(files as u64, "file"),
                counted(accepted, "row")
            ));
        }
        if !failed.is_empty() {
            let shown = failed.iter().chain(&unanswered).chain(&above).map(|each| format!("\n{each}"));
            bail!("{} of {files} files failed:{}", failed.len(), shown.collect::<String>());
        }
        if !unanswered.is_empty() {
            bail!("{}", [unanswered, above].concat().join("\n"));
        }
        if above.is_empty() { Ok(()) } else { Err(TooManyRefused(above.join("\n")).into()) }
    }
}

/// Imports one file, or shows what would come of it.
async fn one(world: &World<'_>, flags: &Flags, file: &File, table: &str, done: &mut Totals) -> anyhow::Result<()> {
    let (limit, name) = (flags.refused.max_refused.unwrap_or_default(), one_line(&file.name));
    let tasks = profile::tasks(&world.catalog, &flags.forms, file, table)?;
    for import in imports(world, &flags.forms, file, tasks)? {
        if flags.preview || std::io::stdout().is_terminal() {
            let seen = import.preview(file, &world.store, true, &mut progress(file)).await?;
            preview::show(&import, &name, &seen)?;
            if flags.preview {
                preview::show_counts(&name, &import, &seen);
                continue;
            }
            // While an interruption still keeps everything out.
            report::twice(&seen.imported, "would count twice");
        }
        let act = Act::of_command("importar", "");
        let outcome = import.run(file, &world.store, progress(file)).await;
        let imported = recorded(act, outcome, file, None, world).await?;
        done.refused += imported.mistaken();
        done.accepted += imported.accepted;
        done.known += imported.known;
        done.above.extend(limit.exceeded_by(&name, &imported));
        done.unanswered.extend(report::without_answer(&name, &imported));
        report::show(world, &import, &name, &imported).await?;
    }
    Ok(())
}

/// Whether every file would fail like that: by what was asked for, or by the store.
fn is_of_all_files(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let is_of_store = matches!(cause.downcast_ref(), Some(BatchError::Store(_))) || cause.is::<StoreError>();
        is_of_store || cause.is::<BadArguments>()
    })
}

/// How a file is to be understood for each of its tables. With several of them that is found out
/// before any row comes into the first: none is filled if another has a question.
fn imports(world: &World<'_>, forms: &Forms, file: &File, tasks: Vec<(String, Ask)>) -> anyhow::Result<Vec<Import>> {
    let imports = tasks.into_iter().map(|(table, ask)| forms.import(world, &table, ask));
    let mut imports: Vec<Import> = imports.collect::<anyhow::Result<_>>()?;
    if imports.len() > 1 {
        understand(&mut imports, file, progress(file))?;
    }
    Ok(imports)
}

fn progress(file: &File) -> impl FnMut(u64, u64) + use<> {
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {percent:>3} % {eta}") {
        bar.set_style(style);
    }
    bar.set_message(one_line(&file.name).into_owned());
    move |done, of| {
        bar.set_length(of);
        bar.set_position(done);
        if done >= of {
            bar.finish_and_clear();
        }
    }
}

/// Writes the act down, whatever came of it.
async fn recorded(
    act: Act,
    outcome: Result<ImportReport, BatchError>,
    file: &File,
    before: Option<String>,
    world: &World<'_>,
) -> anyhow::Result<ImportReport> {
    let act = Act { before, ..act };
    match outcome.map_err(|error| of_file(error, &file.name)) {
        Ok(imported) => {
            let after = json!({
                "arquivo": file.name, "contadas": imported.own_before + imported.accepted,
                "duplicadas": imported.duplicate, "recusadas": imported.mistaken(), "conhecidas": imported.known,
            });
            let before = act.before.clone().unwrap_or_else(|| counts(&[("contadas", imported.own_before)]));
            let act = Act { target: imported.id.clone(), ..act }.before(before).after(after.to_string());
            act.record(&world.store).await.context("the import is done, but not written to the audit trail")?;
            Ok(imported)
        }
        Err(error) => {
            let act = Act { target: file.name.clone(), ..act };
            if let Err(unrecorded) = act.failed(format!("{error:#}")).record(&world.store).await {
                tracing::warn!(error = %unrecorded, "the failed import is not written to the audit trail");
            }
            Err(error)
        }
    }
}

/// The error, with the file's name if it does not begin with it.
fn of_file(error: BatchError, file: &str) -> anyhow::Error {
    let is_named = error.to_string().starts_with(file);
    let error = anyhow::Error::from(error);
    if is_named { error } else { error.context(format!("{file} was not imported completely")) }
}

/// Counts by name, for the audit trail.
fn counts(of: &[(&str, u64)]) -> String {
    let of: BTreeMap<&str, u64> = of.iter().copied().collect();
    json!(of).to_string()
}
