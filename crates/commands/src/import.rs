//! `vitral import FILE... --table T`: sales history from files; `import list|undo|replace`: what was imported, and taking it back.

mod limit;
mod manage;
mod preview;
mod profile;
mod report;

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use chrono::Utc;
use chrono_tz::Tz;
use clap::{Args, Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use vitral_batch::BatchError;
use vitral_batch::import::wording::{counted, listed};
use vitral_batch::import::{Ask, Dates, File, Files, Import, Imported, Numbers, understand};
use vitral_catalog::Catalog;
use vitral_config::{Config, REFERENCE_DIR};
use vitral_connect::{Lookups, TopicLookups};
use vitral_process::output::terminal::one_line;
use vitral_process::output::{answer, describe};
use vitral_store::{Act, Location, StoreError};

use self::limit::Limit;
use crate::args::{BadArguments, Common};
use crate::lookups;

/// Which files, and how they are to be understood.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Flags {
    /// CSV, Parquet or XLSX: files, folders, or URLs of a bucket (s3://, gs://, az://). Hidden files of a folder are not read. A file that
    /// fails does not keep the others from being imported.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    /// The table whose rows they are: a topic, or a view that says how.
    #[arg(long, required = true, value_name = "T")]
    table: Option<String>,
    /// Show how the files would be understood, and what would be refused and why; nothing is written.
    #[arg(long)]
    preview: bool,
    #[command(flatten)]
    forms: Forms,
    #[command(flatten)]
    refused: Refused,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// What was imported, newest last.
    List,
    /// Take back what an import has added, in every table and answer.
    Undo {
        /// Its id, or the beginning of it, as `list` shows it.
        id: String,
    },
    /// Replace what an import has added with a file, such as the same file understood in another way.
    Replace {
        /// The import's id, or the beginning of it, as `list` shows it.
        id: String,
        /// CSV, Parquet or XLSX: a file, or a URL of a bucket.
        file: String,
        /// The table, if not the one that was imported into.
        #[arg(long, value_name = "T")]
        table: Option<String>,
        #[command(flatten)]
        forms: Forms,
        #[command(flatten)]
        refused: Refused,
    },
}

/// How files are to be understood.
#[derive(Debug, Args)]
struct Forms {
    /// A column of the files, and the table's that it fills; names that are alike need none. What is given here wins: THEIRS= leaves a
    /// column out, =OURS says that no column fills one. A name that occurs twice is Valor, then Valor_2; #5 is the fifth column; hora is the time of day of a date.
    #[arg(long, value_name = "THEIRS=OURS", value_parser = pair)]
    map: Vec<(String, String)>,
    /// How numbers are written; otherwise this is inferred from the whole column, or asked for.
    #[arg(long, value_name = "FORM")]
    numbers: Option<Form>,
    /// The order of day, month and year, where the year is not first in four digits; otherwise this is inferred from the whole column, or asked for.
    #[arg(long, value_name = "ORDER")]
    dates: Option<Order>,
    /// The zone of times without an offset, such as America/Manaus; otherwise domain.time_zone.
    #[arg(long, value_name = "Z", value_parser = zone)]
    time_zone: Option<Tz>,
    /// The line of the headings; otherwise the first that names the required columns.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    header_row: Option<u32>,
    /// A sheet of the workbooks, once for each; all means every visible one. Without it, all visible ones, if they have the same columns.
    #[arg(long, value_name = "S")]
    sheet: Vec<String>,
    /// The program that wrote the files, such as shopify; otherwise it is recognised by their headings, unless --map is given. none reads them
    /// as any other file.
    #[arg(long, value_name = "P")]
    profile: Option<String>,
    /// A condition on the file's own columns, all of them texts, such as "coalesce(\"Status\", '') <> 'cancelled'": other rows are left
    /// out. A blank cell is null.
    #[arg(long = "where", value_name = "SQL")]
    condition: Option<String>,
}

#[derive(Debug, Args)]
struct Refused {
    /// Exit 3 if more rows of a file are refused: a number, or a share such as 2%. The other rows are imported anyway.
    /// [default: 1% of the rows, at most 100]
    #[arg(long, value_name = "N|N%")]
    max_refused: Option<Limit>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Order {
    /// 31/12/2025
    Dmy,
    /// 12/31/2025
    Mdy,
    /// 25-12-31
    Ymd,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Form {
    /// 1234.56 or 1,234.56
    Plain,
    /// 1.234,56
    Brazilian,
}

/// More rows were refused than allowed; what was accepted is in.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct TooManyRefused(String);

fn pair(text: &str) -> Result<(String, String), String> {
    let (theirs, ours) = text.split_once('=').ok_or("write THEIRS=OURS")?;
    Ok((theirs.trim().to_owned(), ours.trim().to_owned()))
}

fn zone(text: &str) -> Result<Tz, String> {
    text.parse().map_err(|_| format!("{text} is not the name of a time zone, such as America/Sao_Paulo"))
}

impl Forms {
    fn import(&self, world: &World<'_>, table: &str, ask: Ask) -> anyhow::Result<Import> {
        let World { config, catalog, lookups, .. } = world;
        let Some((topic, target)) = catalog.import_target(table) else {
            let topics = catalog.topics.iter().map(|topic| topic.name.as_str());
            let views = catalog.views.iter().filter(|view| view.import.is_some()).map(|view| view.name.as_str());
            let known: Vec<_> = topics.chain(views).collect();
            bail!("nothing can be imported into {table}: name one of {}", known.join(", "));
        };
        let settings = config.settings()?;
        let mut named = BTreeMap::new();
        for (theirs, ours) in &self.map {
            if let Some(before) = named.insert(theirs.clone(), ours.clone()).filter(|before| before != ours) {
                let twice = format!("--map says both {theirs}={before} and {theirs}={ours}: give one of them");
                return Err(BadArguments(twice).into());
            }
        }
        Ok(Import {
            topic: topic.clone(),
            table: table.to_owned(),
            target,
            named,
            numbers: self.numbers.map(|form| match form {
                Form::Plain => Numbers::Plain,
                Form::Brazilian => Numbers::Brazilian,
            }),
            dates: self.dates.map(|order| match order {
                Order::Dmy => Dates::Dmy,
                Order::Mdy => Dates::Mdy,
                Order::Ymd => Dates::Ymd,
            }),
            header_row: self.header_row,
            sheets: self.sheet.clone(),
            zone: self.time_zone.unwrap_or(settings.time_zone),
            is_zone_named: self.time_zone.is_some(),
            currency: settings.currency,
            ask,
            understood: None,
            lookups: TopicLookups::new(topic, lookups)?,
            now_ms: Utc::now().timestamp_millis(),
        })
    }
}

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
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
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
    let mut done = Done::default();
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
struct Done {
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

impl Done {
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
async fn one(world: &World<'_>, flags: &Flags, file: &File, table: &str, done: &mut Done) -> anyhow::Result<()> {
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

/// How a file is to be understood for each of its tables. With several of them that is found out before any row comes into the first: none
/// is filled if another has a question.
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
    outcome: Result<Imported, BatchError>,
    file: &File,
    before: Option<String>,
    world: &World<'_>,
) -> anyhow::Result<Imported> {
    let act = Act { before, ..act };
    match outcome.map_err(|error| of_file(error, &file.name)) {
        Ok(imported) => {
            let after = json!({
                "arquivo": file.name, "contadas": imported.own_before + imported.accepted,
                "duplicadas": imported.duplicate, "recusadas": imported.refused, "conhecidas": imported.known,
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
