//! What a statement answers: rows, rows of a cursor, a copy, or that it is done.

use std::sync::Arc;

use bytes::BytesMut;
use datafusion_postgres::pgwire::api::results::{FieldInfo, Tag};
use datafusion_postgres::pgwire::error::PgWireError;
use datafusion_postgres::pgwire::messages::PgWireBackendMessage;
use datafusion_postgres::pgwire::messages::copy::{CopyData, CopyDone, CopyOutResponse};
use datafusion_postgres::pgwire::messages::data::{DataRow, RowDescription};
use datafusion_postgres::pgwire::messages::response::{CommandComplete, TransactionStatus};
use datafusion_postgres::pgwire::messages::startup::ParameterStatus;
use tokio::sync::OwnedMutexGuard;

use crate::copy::CopyOptions;
use crate::error::code;
use crate::rows::Rows;
use crate::session::Cursor;
use crate::settings::Change;
use crate::wire::{Wire, notice};

/// Rows that are sent together.
const ROWS: usize = 128;
/// Bytes of a copy that are sent together, each row in a message of its own, as clients expect.
const COPY_BYTES: usize = 64 << 10;

/// The answer to one statement.
pub(crate) enum Answer {
    Rows(RowsAnswer),
    Copy { rows: Rows, options: CopyOptions },
    Done(Done),
}

/// Rows on their way.
pub(crate) struct RowsAnswer {
    pub source: Source,
    pub tag: &'static str,
    /// Whether the tag says how many they were.
    pub is_counted: bool,
}

/// Where rows come from.
pub(crate) enum Source {
    Own(Rows),
    /// So many of a cursor's at most; all of them without a number.
    Cursor {
        cursor: OwnedMutexGuard<Cursor>,
        left: Option<usize>,
    },
}

/// A statement without rows.
#[derive(Debug, Default)]
pub(crate) struct Done {
    pub tag: String,
    /// What the connection's transaction is from now on.
    pub status: Option<TransactionStatus>,
    pub changes: Vec<Change>,
    pub warning: Option<(&'static str, &'static str)>,
    pub forgets_portals: bool,
    /// Names of statements.
    pub forgets: Vec<String>,
}

impl Done {
    pub(crate) fn tag(tag: &str) -> Self {
        Self { tag: tag.to_owned(), ..Self::default() }
    }

    /// Tells the client.
    pub(crate) async fn send(self, client: &mut dyn Wire) -> Result<(), PgWireError> {
        let mut messages = Vec::new();
        if let Some((code, message)) = self.warning {
            messages.push(notice("WARNING", code, message));
        }
        for change in self.changes {
            messages.extend(change.notice.map(|text| notice("NOTICE", "00000", &text)));
            let status = |(name, value): (&'static str, String)| {
                PgWireBackendMessage::ParameterStatus(ParameterStatus::new(name.to_owned(), value))
            };
            messages.extend(change.reported.map(status));
        }
        if self.forgets_portals {
            client.forget_portals();
        }
        for name in &self.forgets {
            client.forget_statement(name);
        }
        messages.push(complete(Tag::new(&self.tag)));
        if let Some(status) = self.status {
            client.set_transaction_status(status);
        }
        client.put(messages).await
    }
}

impl RowsAnswer {
    /// Of a statement's own rows.
    pub(crate) fn own(rows: Rows, tag: &'static str, is_counted: bool) -> Self {
        Self { source: Source::Own(rows), tag, is_counted }
    }

    /// The columns of its rows.
    pub(crate) fn rows(&self) -> &Rows {
        match &self.source {
            Source::Own(rows) => rows,
            Source::Cursor { cursor, .. } => &cursor.rows,
        }
    }

    pub(crate) async fn next(&mut self, fields: &[FieldInfo]) -> Result<Option<DataRow>, PgWireError> {
        match &mut self.source {
            Source::Own(rows) => rows.next_data(fields).await,
            Source::Cursor { left: Some(0), .. } => Ok(None),
            Source::Cursor { cursor, left } => {
                let row = cursor.rows.next_data(fields).await?;
                if let (Some(_), Some(left)) = (&row, left.as_mut()) {
                    *left -= 1;
                }
                Ok(row)
            }
        }
    }

    /// Tells the client what it should know before it gets the rows.
    pub(crate) async fn tell(&mut self, client: &mut dyn Wire) -> Result<(), PgWireError> {
        let Source::Own(rows) = &mut self.source else { return Ok(()) };
        match rows.notice.take() {
            Some(said) => client.put(vec![notice("WARNING", code::WARNING, &said)]).await,
            None => Ok(()),
        }
    }

    /// Sends all rows, after what they are.
    pub(crate) async fn send(mut self, fields: &Arc<Vec<FieldInfo>>, client: &mut dyn Wire) -> Result<(), PgWireError> {
        self.tell(client).await?;
        client.put(vec![description(fields)]).await?;
        let mut sent = 0;
        let mut waiting = Vec::with_capacity(ROWS);
        while let Some(row) = self.next(fields).await? {
            waiting.push(PgWireBackendMessage::DataRow(row));
            sent += 1;
            if waiting.len() == ROWS {
                client.put(std::mem::replace(&mut waiting, Vec::with_capacity(ROWS))).await?;
            }
        }
        waiting.push(complete(self.tag(sent)));
        client.put(waiting).await
    }

    fn tag(&self, sent: usize) -> Tag {
        let tag = Tag::new(self.tag);
        if self.is_counted { tag.with_rows(sent) } else { tag }
    }
}

/// Sends the rows of a copy.
pub(crate) async fn send_copy(
    mut rows: Rows,
    options: &CopyOptions,
    fields: &[FieldInfo],
    client: &mut dyn Wire,
) -> Result<(), PgWireError> {
    let format = i16::from(options.is_binary());
    let columns = i16::try_from(fields.len()).unwrap_or(i16::MAX);
    let response = CopyOutResponse::new(i8::from(options.is_binary()), columns, vec![format; fields.len()]);
    client.put(vec![PgWireBackendMessage::CopyOutResponse(response)]).await?;
    let data = |out: &mut BytesMut| PgWireBackendMessage::CopyData(CopyData::new(out.split().freeze()));
    let (mut messages, mut waiting, mut sent) = (Vec::new(), 0, 0);
    let mut out = BytesMut::from(options.start(fields).as_ref());
    // What a binary file begins with is sent with its first row, names of columns are a row.
    if !out.is_empty() && !options.is_binary() {
        messages.push(data(&mut out));
    }
    loop {
        let before = out.len();
        let Some(row) = rows.next().await? else { break };
        options.write(row, &mut out)?;
        rows.count(out.len() - before)?;
        sent += 1;
        waiting += out.len();
        messages.push(data(&mut out));
        if waiting >= COPY_BYTES {
            client.put(std::mem::take(&mut messages)).await?;
            waiting = 0;
        }
    }
    out.extend_from_slice(&options.end());
    if !out.is_empty() {
        messages.push(data(&mut out));
    }
    messages.push(PgWireBackendMessage::CopyDone(CopyDone::new()));
    messages.push(complete(Tag::new("COPY").with_rows(sent)));
    client.put(messages).await
}

pub(crate) fn complete(tag: Tag) -> PgWireBackendMessage {
    PgWireBackendMessage::CommandComplete(CommandComplete::from(tag))
}

pub(crate) fn description(fields: &[FieldInfo]) -> PgWireBackendMessage {
    PgWireBackendMessage::RowDescription(RowDescription::new(fields.iter().map(Into::into).collect()))
}
