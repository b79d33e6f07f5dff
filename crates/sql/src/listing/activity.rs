//! `pg_stat_activity` and `pg_cancel_backend`, of what one principal may see.

use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use datafusion::catalog::{Session as EngineSession, TableProvider};
use datafusion::datasource::TableType;
use datafusion::error::{DataFusionError, Result as EngineResult};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::scalar::ScalarValue;
use vitral_query::Principal;

use super::filled::{SaidRow, filled, in_memory};
use super::{DATABASE, DATABASE_OID};
use crate::activity::Activity;
use crate::session::Session;

/// The connections that are open, as they are when a statement reads them.
#[derive(Debug)]
pub(super) struct ActivityTable {
    activity: Arc<Activity>,
    principal: Principal,
    columns: SchemaRef,
}

impl ActivityTable {
    pub(super) fn new(activity: &Arc<Activity>, principal: &Principal) -> Self {
        Self { activity: Arc::clone(activity), principal: principal.clone(), columns: columns() }
    }
}

#[async_trait]
impl TableProvider for ActivityTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.columns)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn EngineSession,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> EngineResult<Arc<dyn ExecutionPlan>> {
        let rows: Vec<SaidRow> = self.activity.seen_by(&self.principal).iter().map(|session| row(session)).collect();
        in_memory(filled(&self.columns, &rows)?)?.scan(state, projection, filters, limit).await
    }
}

/// The columns of PostgreSQL 17.
fn columns() -> SchemaRef {
    let number = |name: &str| Field::new(name, DataType::Int32, true);
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let time = |name: &str| Field::new(name, DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true);
    Arc::new(Schema::new(vec![
        number("datid"),
        text("datname"),
        number("pid"),
        number("leader_pid"),
        number("usesysid"),
        text("usename"),
        text("application_name"),
        text("client_addr"),
        text("client_hostname"),
        number("client_port"),
        time("backend_start"),
        time("xact_start"),
        time("query_start"),
        time("state_change"),
        text("wait_event_type"),
        text("wait_event"),
        text("state"),
        number("backend_xid"),
        number("backend_xmin"),
        Field::new("query_id", DataType::Int64, true),
        text("query"),
        text("backend_type"),
    ]))
}

fn row(session: &Session) -> SaidRow {
    let number = |number: i32| ScalarValue::Int32(Some(number));
    let text = |text: &str| ScalarValue::Utf8(Some(text.to_owned()));
    let time = |at: Option<DateTime<Utc>>| {
        ScalarValue::TimestampMicrosecond(at.map(|at| at.timestamp_micros()), Some("UTC".into()))
    };
    let (doing, peer) = (session.doing(), &session.peer);
    let application = session.settings().show("application_name").unwrap_or_default();
    vec![
        ("datid", number(DATABASE_OID)),
        ("datname", text(DATABASE)),
        ("pid", number(peer.pid)),
        ("usename", text(session.principal.id())),
        ("application_name", text(&application)),
        ("client_addr", text(&peer.address.ip().to_canonical().to_string())),
        ("client_port", number(peer.address.port().into())),
        ("backend_start", time(Some(peer.since))),
        ("query_start", time(doing.began)),
        ("state_change", time(Some(doing.changed))),
        ("state", text(doing.state)),
        ("query", text(&doing.query)),
        ("backend_type", text("client backend")),
    ]
}

/// `pg_cancel_backend(pid)`: whether there was such a connection.
pub(super) fn cancel_backend(activity: &Arc<Activity>, principal: &Principal) -> ScalarUDF {
    ScalarUDF::new_from_impl(CancelBackend {
        activity: Arc::clone(activity),
        principal: principal.clone(),
        signature: Signature::exact(vec![DataType::Int64], Volatility::Volatile),
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct CancelBackend {
    activity: Arc<Activity>,
    principal: Principal,
    signature: Signature,
}

impl ScalarUDFImpl for CancelBackend {
    fn name(&self) -> &str {
        "pg_cancel_backend"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> EngineResult<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
        let Some(pids) = arguments.args.first() else {
            return Err(DataFusionError::Plan("pg_cancel_backend has no argument".to_owned()));
        };
        let pids = cast(&pids.to_array(arguments.number_rows)?, &DataType::Int64)?;
        let stopped =
            pids.as_primitive::<Int64Type>().iter().map(|pid| Some(self.activity.stop(pid?, &self.principal)));
        Ok(ColumnarValue::Array(Arc::new(stopped.collect::<BooleanArray>())))
    }
}
