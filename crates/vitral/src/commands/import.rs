//! `vitral import FILE... --table T`: sales history from files.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use chrono::Utc;
use chrono_tz::Tz;
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use vitral_batch::import::{Dates, Files, Import, Imported, Numbers};

use crate::cli::{Common, answer};
use crate::config::Config;

#[derive(Debug, Args)]
pub struct Flags {
    /// CSV, Parquet or XLSX: files, folders, or URLs of a bucket (s3://, gs://, az://).
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    /// The table whose rows they are: a topic, or a view that says how, such as vendas.
    #[arg(long, value_name = "T")]
    table: String,
    /// A column of the files, and the table's that it fills; names that are alike need none. What is said here wins: THEIRS= leaves a
    /// column out. A name that occurs twice is Valor, then Valor_2; #5 is the fifth column; hora is the time of day of a date.
    #[arg(long, value_name = "THEIRS=OURS", value_parser = pair)]
    map: Vec<(String, String)>,
    /// How numbers are written; else it is found from the whole column, or asked.
    #[arg(long, value_name = "FORM")]
    numbers: Option<Form>,
    /// The order of day, month and year, where the year is not first in four digits; else it is found from the whole column, or asked.
    #[arg(long, value_name = "ORDER")]
    dates: Option<Order>,
    /// The zone of times without an offset, such as America/Manaus; else shop.time_zone.
    #[arg(long, value_name = "Z", value_parser = zone)]
    time_zone: Option<Tz>,
    /// The line of the headings; else the first is taken that names the columns that are needed.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    header_row: Option<u32>,
    /// A sheet of the workbooks, once for each; all means every visible one. Else all visible ones, if they have the same columns.
    #[arg(long, value_name = "S")]
    sheet: Vec<String>,
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

fn pair(text: &str) -> Result<(String, String), String> {
    let (theirs, ours) = text.split_once('=').ok_or("write THEIRS=OURS")?;
    Ok((theirs.trim().to_owned(), ours.trim().to_owned()))
}

fn zone(text: &str) -> Result<Tz, String> {
    text.parse().map_err(|_| format!("{text} is not the name of a time zone, such as America/Sao_Paulo"))
}

pub fn run(config: &Config, common: &Common, flags: &Flags) -> anyhow::Result<()> {
    let catalog = config.catalog()?;
    let Some((topic, target)) = catalog.import_target(&flags.table) else {
        let topics = catalog.topics.iter().map(|topic| topic.name.as_str());
        let views = catalog.views.iter().filter(|view| view.import.is_some()).map(|view| view.name.as_str());
        let known: Vec<_> = topics.chain(views).collect();
        bail!("nothing can be imported into {}: name one of {}", flags.table, known.join(", "));
    };
    let settings = config.settings()?;
    let import = Import {
        topic: topic.clone(),
        target,
        named: flags.map.iter().cloned().collect(),
        numbers: flags.numbers.map(|form| match form {
            Form::Plain => Numbers::Plain,
            Form::Brazilian => Numbers::Brazilian,
        }),
        dates: flags.dates.map(|order| match order {
            Order::Dmy => Dates::Dmy,
            Order::Mdy => Dates::Mdy,
            Order::Ymd => Dates::Ymd,
        }),
        header_row: flags.header_row,
        sheets: flags.sheet.clone(),
        zone: flags.time_zone.unwrap_or(settings.time_zone),
        currency: settings.currency,
        now_ms: Utc::now().timestamp_millis(),
    };
    let store = config.location(&common.data_dir)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(all(&import, flags, &config.store.options, &store))
}

async fn all(
    import: &Import,
    flags: &Flags,
    options: &BTreeMap<String, String>,
    store: &vitral_store::Location,
) -> anyhow::Result<()> {
    let mut files = Files::new(&flags.files, options).await?;
    if files.is_empty() {
        bail!(
            "there are no files in {}: name some that end in .csv, .tsv, .txt, .parquet or .xlsx",
            flags.files.join(", ")
        );
    }
    let (mut refused, mut accepted, mut known) = (0, 0, 0);
    for index in 0..files.len() {
        let file = files.at_hand(index).await?;
        let bar = ProgressBar::new(0);
        if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {percent:>3} % {eta}") {
            bar.set_style(style);
        }
        bar.set_message(file.name.clone());
        let imported = import.run(&file, store, |done, of| {
            bar.set_length(of);
            bar.set_position(done);
        });
        let imported = imported.await.with_context(|| format!("{} is not wholly imported", file.name));
        bar.finish_and_clear();
        let imported = imported?;
        show(&file.name, &imported);
        refused += imported.refused;
        accepted += imported.accepted;
        known += imported.known;
    }
    answer(&format!("{} files: {accepted} rows imported, {refused} refused, {known} in already", files.len()));
    Ok(())
}

fn show(name: &str, imported: &Imported) {
    let Imported { accepted, refused, known, unused, notes, examples } = imported;
    answer(&format!("{name}: {accepted} rows imported, {refused} refused, {known} in already"));
    if !unused.is_empty() {
        answer(&format!("  not used: {}", unused.join(", ")));
    }
    for note in notes {
        answer(&format!("  {note}"));
    }
    for row in examples {
        let sheet = row.sheet.as_ref().map(|sheet| format!("sheet {sheet}, ")).unwrap_or_default();
        answer(&format!("  {sheet}line {}: {} ({})", row.line, row.detail, row.reason));
    }
    if *refused > examples.len() as u64 {
        answer(&format!("  ... {} more; all are kept in the topic's history", refused - examples.len() as u64));
    }
}
