//! Rows to standard output or a file, as they come.

use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, IsTerminal, Write};

use anyhow::Context;
use arrow::array::RecordBatch;
use arrow::util::pretty::pretty_format_batches;
use futures::StreamExt;
use vitral_process::output::answer;
use vitral_query::{RowStream, Rows, write_parquet};

use super::{Flags, Format, broken};
use crate::args::BadArguments;

/// Columns are as wide as their widest cell: all rows of a table are held.
const TABLE_ROWS_MAX: usize = 10_000;
const PIECE_BYTES: usize = 64 << 10;

/// Bytes of a file would only disturb a terminal.
pub(super) fn check(flags: &Flags) -> Result<(), BadArguments> {
    let is_shown = flags.output.is_none() && io::stdout().is_terminal();
    if flags.format() == Format::Parquet && is_shown {
        return Err(BadArguments("parquet is not for terminals: name a file with --output, or redirect".to_owned()));
    }
    Ok(())
}

pub(super) async fn write(rows: RowStream, flags: &Flags) -> anyhow::Result<()> {
    let to: Box<dyn Write + Send> = match &flags.output {
        None if flags.format() == Format::Table => return table(rows, answer).await,
        None => Box::new(io::stdout()),
        Some(path) => {
            let file = File::create(path).with_context(|| format!("{} cannot be written", path.display()))?;
            Box::new(file)
        }
    };
    let mut to = BufWriter::new(to);
    let written = match flags.format() {
        Format::Table => {
            let mut text = String::new();
            table(rows, |part| text.push_str(&format!("{part}\n"))).await?;
            to.write_all(text.as_bytes()).map_err(anyhow::Error::from)
        }
        Format::Csv => pieces(rows, vitral_query::Format::Csv, &mut to).await,
        Format::Json => pieces(rows, vitral_query::Format::Json, &mut to).await,
        Format::Parquet => broken(write_parquet(rows, &mut to).await),
    };
    let written = written.and_then(|()| to.flush().map_err(anyhow::Error::from));
    match written {
        // The reader may have had enough, as `head` does.
        Err(error) if is_broken_pipe(&error) => Ok(()),
        outcome => outcome,
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|error| error.kind() == ErrorKind::BrokenPipe)
}

async fn table(mut rows: RowStream, mut say: impl FnMut(&str)) -> anyhow::Result<()> {
    let mut shown = vec![RecordBatch::new_empty(rows.schema())];
    let (mut count, mut left_out) = (0, false);
    while let Some(batch) = broken(rows.next().await.transpose())? {
        let taken = batch.num_rows().min(TABLE_ROWS_MAX - count);
        left_out |= taken < batch.num_rows();
        count += taken;
        shown.push(batch.slice(0, taken));
        if left_out {
            break;
        }
    }
    say(&broken(pretty_format_batches(&shown))?.to_string());
    if left_out {
        say(&format!("the first {TABLE_ROWS_MAX} rows; --format csv, json or parquet writes all of them"));
    } else {
        say(&format!("{count} {}", if count == 1 { "row" } else { "rows" }));
    }
    Ok(())
}

async fn pieces(mut batches: RowStream, format: vitral_query::Format, to: &mut impl Write) -> anyhow::Result<()> {
    let mut rows = Rows::new(format, &batches.schema());
    while let Some(batch) = broken(batches.next().await.transpose())? {
        let mut row = 0;
        while row < batch.num_rows() {
            row = broken(rows.push(&batch, row, PIECE_BYTES))?;
            if rows.waiting() >= PIECE_BYTES {
                to.write_all(&rows.take())?;
            }
        }
    }
    to.write_all(&rows.finish())?;
    if format == vitral_query::Format::Json {
        to.write_all(b"\n")?;
    }
    Ok(())
}
