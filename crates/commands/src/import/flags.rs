//! What `vitral import` takes, and how it says that files are to be understood.

use std::collections::BTreeMap;

use anyhow::bail;
use chrono::Utc;
use chrono_tz::Tz;
use clap::{Args, Subcommand, ValueEnum};
use vitral_batch::import::{Ask, Dates, Import, Numbers};
use vitral_connect::TopicLookups;

use super::World;
use super::limit::Limit;
use crate::args::BadArguments;

/// Which files, and how they are to be understood.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Flags {
    /// CSV, Parquet or XLSX: files, folders, or URLs of a bucket (s3://, gs://, az://). Hidden
    /// files of a folder are not read. A file that fails does not keep the others from being
    /// imported.
    #[arg(required = true, value_name = "FILE")]
    pub(super) files: Vec<String>,
    /// The table whose rows they are: a topic, or a view that says how.
    #[arg(long, required = true, value_name = "T")]
    pub(super) table: Option<String>,
    /// Show how the files would be understood, and what would be refused and why; nothing is
    /// written.
    #[arg(long)]
    pub(super) preview: bool,
    #[command(flatten)]
    pub(super) forms: Forms,
    #[command(flatten)]
    pub(super) refused: Refused,
    #[command(subcommand)]
    pub(super) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// What was imported, newest last.
    List,
    /// Take back what an import has added, in every table and answer.
    Undo {
        /// Its id, or the beginning of it, as `list` shows it.
        id: String,
    },
    /// Replace what an import has added with a file, such as the same file understood in another
    /// way.
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
pub(super) struct Forms {
    /// A column of the files, and the table's that it fills; names that are alike need none. What
    /// is given here wins: THEIRS= leaves a column out, =OURS says that no column fills one. A name
    /// that occurs twice is Valor, then Valor_2; #5 is the fifth column; hora is the time of day of
    /// a date.
    #[arg(long, value_name = "THEIRS=OURS", value_parser = pair)]
    pub(super) map: Vec<(String, String)>,
    /// How numbers are written; otherwise this is inferred from the whole column, or asked for.
    #[arg(long, value_name = "FORM")]
    pub(super) numbers: Option<Form>,
    /// The order of day, month and year, where the year is not first in four digits; otherwise this
    /// is inferred from the whole column, or asked for.
    #[arg(long, value_name = "ORDER")]
    pub(super) dates: Option<Order>,
    /// The zone of times without an offset, such as America/Manaus; otherwise domain.time_zone.
    #[arg(long, value_name = "Z", value_parser = zone)]
    pub(super) time_zone: Option<Tz>,
    /// The line of the headings; otherwise the first that names the required columns.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) header_row: Option<u32>,
    /// A sheet of the workbooks, once for each; all means every visible one. Without it, all
    /// visible ones, if they have the same columns.
    #[arg(long, value_name = "S")]
    pub(super) sheet: Vec<String>,
    /// The program that wrote the files, such as shopify; otherwise it is recognised by their
    /// headings, unless --map is given. none reads them as any other file.
    #[arg(long, value_name = "P")]
    pub(super) profile: Option<String>,
    /// A condition on the file's own columns, all of them texts, such as "coalesce(\"Status\", '')
    /// <> 'cancelled'": other rows are left out. A blank cell is null.
    #[arg(long = "where", value_name = "SQL")]
    pub(super) condition: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct Refused {
    /// Exit 3 if more rows of a file are refused: a number, or a share such as 2%. The other rows
    /// are imported anyway. [default: 1% of the rows, at most 100]
    #[arg(long, value_name = "N|N%")]
    pub(super) max_refused: Option<Limit>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Order {
    /// 31/12/2025
    Dmy,
    /// 12/31/2025
    Mdy,
    /// 25-12-31
    Ymd,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Form {
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

impl Forms {
    /// How files are understood whose rows come into a table.
    pub(super) fn import(&self, world: &World<'_>, table: &str, ask: Ask) -> anyhow::Result<Import> {
        let World { config, catalog, lookups, .. } = world;
        let Some((topic, target)) = catalog.import_target(table) else {
            let topics = catalog.topics.iter().map(|topic| topic.name.as_str());
            let names = topics.chain(catalog.views.iter().map(|view| view.name.as_str()));
            let known: Vec<_> = names.filter(|name| catalog.import_target(name).is_some()).collect();
            let why = catalog.topic(table).map_or("", |_| ", whose rows change and go, and are not events");
            bail!("nothing can be imported into {table}{why}: name one of {}", known.join(", "));
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
