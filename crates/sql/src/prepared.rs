//! Statements that a client has prepared: what it hears of them before they run.

use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use async_trait::async_trait;
use datafusion_postgres::pgwire::api::portal::Format;
use datafusion_postgres::pgwire::api::results::FieldInfo;
use datafusion_postgres::pgwire::api::stmt::QueryParser;
use datafusion_postgres::pgwire::api::{ClientInfo, Type};
use datafusion_postgres::pgwire::error::PgWireError;
use vitral_query::Planned;

use crate::command::Command;
use crate::doing::shown;
use crate::error::{code, fault, of_engine};
use crate::parameters;
use crate::rows::text_schema;
use crate::run::{PLAN_COLUMN, SETTING_COLUMNS, columns};
use crate::server::Server;
use crate::session::Session;
use crate::types::plain_schema;

/// A statement, and what is known of it.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub command: Command,
    /// The beginning of its text.
    pub text: Arc<str>,
    /// The columns of its rows, as the client hears of them.
    pub described: Option<SchemaRef>,
    /// The types that its parameters have to have, where it tells them.
    pub parameters: Vec<Option<DataType>>,
}

impl Prepared {
    /// Plans a statement as far as its description needs it: it is planned again when it runs, over
    /// what is newest then.
    pub(crate) async fn of(
        server: &Server,
        session: &Session,
        command: Command,
        text: &str,
        declared: &[Option<Type>],
    ) -> Result<Self, PgWireError> {
        let (described, parameters) = match &command {
            Command::Query(read) => {
                let planned = server.plan(session, read).await?;
                let wanted = parameters::wanted(&planned.plan)?;
                // In the forms that its rows have, or these would seem to be others.
                let described = plain_schema(&read.names.applied(&described(&planned, declared, &wanted)?));
                (Some(described), wanted)
            }
            Command::Copy { query, .. } | Command::Declare { query, .. } => {
                let planned = server.plan(session, query).await?;
                (None, parameters::wanted(&planned.plan)?)
            }
            Command::Explain { .. } => (Some(text_schema(&[PLAN_COLUMN])), Vec::new()),
            Command::Show(name) => (Some(text_schema(&[name.as_str()])), Vec::new()),
            Command::ShowAll => (Some(text_schema(&SETTING_COLUMNS)), Vec::new()),
            _ => (None, Vec::new()),
        };
        Ok(Self { described, parameters, command, text: shown(text) })
    }

    /// The columns of its rows; those of a cursor's are the cursor's.
    pub(crate) async fn schema(&self, session: &Session) -> Option<SchemaRef> {
        match &self.command {
            Command::Fetch { cursor, is_move: false, .. } => {
                let cursor = session.cursor(cursor).await?;
                let cursor = cursor.try_lock().ok()?;
                Some(Arc::clone(cursor.rows.schema()))
            }
            _ => self.described.as_ref().map(Arc::clone),
        }
    }

    /// The types of its parameters: what the client has declared goes before what is wanted.
    pub(crate) fn parameter_types(&self, declared: &[Option<Type>]) -> Vec<Type> {
        let count = self.parameters.len().max(declared.len());
        let of = |index: usize| {
            let declared = declared.get(index).cloned().flatten().filter(|declared| *declared != Type::UNKNOWN);
            declared.unwrap_or_else(|| parameters::told_type(self.parameters.get(index).and_then(Option::as_ref)))
        };
        (0..count).map(of).collect()
    }
}

/// The columns of a statement whose parameters have these types.
fn described(
    planned: &Planned,
    declared: &[Option<Type>],
    wanted: &[Option<DataType>],
) -> Result<SchemaRef, PgWireError> {
    let nulls = parameters::nulls(declared, wanted).map_err(|error| of_engine(&error, ""))?;
    Ok(match nulls.map(|nulls| planned.plan.clone().with_param_values(nulls)) {
        Some(Ok(plan)) => columns(planned, plan),
        // Which value does not fit is said when it is bound.
        Some(Err(_)) | None => columns(planned, planned.plan.clone()),
    })
}

/// Statements are prepared with what is known of the connection, which this has not.
#[derive(Debug)]
pub(crate) struct NoParser;

#[async_trait]
impl QueryParser for NoParser {
    type Statement = Arc<Prepared>;

    async fn parse_sql<C>(
        &self,
        _client: &C,
        _sql: &str,
        _types: &[Option<Type>],
    ) -> Result<Option<Self::Statement>, PgWireError>
    where
        C: ClientInfo + Unpin + Send + Sync,
    {
        Err(not_here())
    }

    fn get_parameter_types(&self, _statement: &Self::Statement) -> Result<Vec<Type>, PgWireError> {
        Err(not_here())
    }

    fn get_result_schema(
        &self,
        _statement: &Self::Statement,
        _format: Option<&Format>,
    ) -> Result<Vec<FieldInfo>, PgWireError> {
        Err(not_here())
    }
}

/// The protocol's parts call each other in one way only.
pub(crate) fn not_here() -> PgWireError {
    fault(code::INTERNAL, "this message was not expected here", "")
}
