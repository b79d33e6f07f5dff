//! A Ballista cluster: a scheduler, and executors that compute parts of queries.
//!
//! Its processes are this binary too, with the same functions and the same way to the store. They
//! trust each other, and anyone who can reach them: they belong in a network of their own.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use ballista_core::config::TaskSchedulingPolicy;
use ballista_core::extension::{SessionConfigExt, SessionStateExt};
use ballista_core::registry::BallistaFunctionRegistry;
use ballista_core::utils::default_session_builder;
use ballista_executor::executor_process::{ExecutorProcessConfig, start_executor_process};
use ballista_scheduler::cluster::BallistaCluster;
use ballista_scheduler::config::SchedulerConfig;
use ballista_scheduler::scheduler_process::start_server;
use datafusion::catalog::TableProvider;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::common::ScalarValue;
use datafusion::dataframe::DataFrame;
use datafusion::datasource::ViewTable;
use datafusion::datasource::empty::EmptyTable;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::execution::{FunctionRegistry, TaskContext};
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, ident, lit};
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::TryStreamExt;
use url::Url;
use vitral_engine::{aggregates, functions};
use vitral_store::{Location, read_session};

use crate::error::BatchError;
use crate::parallelism::PARALLELISM;

/// Parts that a query is cut into: enough for some machines.
const PARTITIONS: usize = 16;
/// Anything but 0 makes an executor that starts before its scheduler wait for it.
const CONNECT_SECONDS: u16 = 60;
/// How long rows between the stages of a query, and its answer, are kept, and how often expired
/// ones are removed, in seconds. The process that asked writes what it fetches, so the answer may
/// be needed for hours.
const STAGES_KEPT_SECONDS: u64 = 6 * 3_600;
const CLEAN_UP_SECONDS: u64 = 600;
/// How often an executor sends a heartbeat, and after how long without one its parts are given to
/// others, in seconds.
const HEARTBEAT_SECONDS: u64 = 5;
const LOST_AFTER_SECONDS: u64 = 20;

/// Executors ask for their parts. A scheduler that pushes them loses track of their cores whenever
/// another executor is lost, eventually of all.
const POLICY: TaskSchedulingPolicy = TaskSchedulingPolicy::PullStaged;

/// A session whose queries the scheduler gets.
///
/// Ballista's adaptive planner is not used: a stage that it has to recompute, because its executor
/// was lost, never ends.
pub(crate) fn session(scheduler: &Url) -> Result<SessionContext> {
    let mut state = read_session(PARTITIONS).state().upgrade_for_ballista(scheduler.to_string())?;
    let config = state.config_mut();
    *config = config.clone().with_ballista_adaptive_query_planner(false);
    Ok(SessionContext::new_with_state(state))
}

/// Rows as a part of the plan, which goes to the scheduler whole.
pub(crate) fn values(rows: &RecordBatch) -> Result<Arc<dyn TableProvider>> {
    let schema = rows.schema();
    let row = |row: usize| -> Result<Vec<Expr>> {
        rows.columns().iter().map(|column| Ok(lit(ScalarValue::try_from_array(column, row)?))).collect()
    };
    if rows.num_rows() == 0 {
        return Ok(Arc::new(EmptyTable::new(schema)));
    }
    let all = (0..rows.num_rows()).map(row).collect::<Result<Vec<_>>>()?;
    let named = schema.fields().iter().enumerate();
    let named = named.map(|(nth, field)| ident(format!("column{}", nth + 1)).alias(field.name()));
    let plan = LogicalPlanBuilder::values(all)?.project(named.collect::<Vec<_>>())?.build()?;
    Ok(Arc::new(ViewTable::new(plan, None)))
}

/// A query of a session here that reads what a query of a session there answers.
pub(crate) fn collect_locally(rows: DataFrame) -> Result<DataFrame> {
    // Not the frame's own types: before it is analysed, CASE has that of its first branch.
    let schema = Arc::new(rows.clone().into_optimized_plan()?.schema().as_arrow().clone());
    let answer = Answer { schema: Arc::clone(&schema), rows };
    let table = StreamingTable::try_new(schema, vec![Arc::new(answer)])?;
    read_session(PARALLELISM).read_table(Arc::new(table))
}

struct Answer {
    schema: SchemaRef,
    rows: DataFrame,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("schema", &self.schema).finish_non_exhaustive()
    }
}

impl PartitionStream for Answer {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let rows = self.rows.clone();
        let batches = futures::stream::once(async move { rows.execute_stream().await }).try_flatten();
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches))
    }
}

/// Runs a scheduler until the process is stopped.
pub async fn schedule(listen: SocketAddr, host: &str, store: &Location) -> Result<(), BatchError> {
    let failed = BatchError::engine("the cluster's scheduler", "run");
    let store = store.clone();
    let session = move |config: SessionConfig| {
        let mut state = SessionStateBuilder::new_from_existing(default_session_builder(config)?)
            .with_runtime_env(environment(None, &store)?)
            .build();
        for function in functions() {
            state.register_udf(Arc::new(function))?;
        }
        for aggregate in aggregates() {
            state.register_udaf(aggregate)?;
        }
        Ok(state)
    };
    let config = SchedulerConfig {
        bind_host: in_address(listen.ip()),
        bind_port: listen.port(),
        external_host: host.to_owned(),
        scheduling_policy: POLICY,
        finished_job_data_clean_up_interval_seconds: STAGES_KEPT_SECONDS,
        executor_timeout_seconds: LOST_AFTER_SECONDS,
        expire_dead_executor_interval_seconds: HEARTBEAT_SECONDS,
        no_executors_grace_period_seconds: 3 * LOST_AFTER_SECONDS,
        override_session_builder: Some(Arc::new(session)),
        ..SchedulerConfig::default()
    };
    let cluster = BallistaCluster::new_from_config(&config).await.map_err(|error| failed(external(error)))?;
    start_server(cluster, listen, Arc::new(config)).await.map_err(|error| failed(external(error)))
}

/// How an executor takes part.
#[derive(Debug, Clone)]
pub struct ExecutorConfig {
    /// The scheduler, `http://HOST:PORT`.
    pub scheduler: Url,
    /// Where other processes fetch its rows.
    pub listen: SocketAddr,
    /// The name under which others reach it.
    pub host: String,
    /// Parts of queries that it computes at once.
    pub cores: usize,
    /// What they may use together.
    pub memory_bytes: u64,
    /// Where rows between the stages of a query are kept. Nothing else may be in it: all of it is
    /// deleted.
    pub work_dir: PathBuf,
}

/// Runs an executor until the process is asked to stop.
pub async fn execute(config: ExecutorConfig, store: &Location) -> Result<(), BatchError> {
    let failed = BatchError::engine("the cluster's executor", "run");
    let work_dir = config.work_dir.to_string_lossy().into_owned();
    std::fs::create_dir_all(&config.work_dir).map_err(|error| failed(error.into()))?;
    let mut registry = BallistaFunctionRegistry::from(&read_session(1).state());
    for function in functions() {
        registry.scalar_functions.insert(function.name().to_owned(), Arc::new(function));
    }
    for aggregate in aggregates() {
        for alias in aggregate.aliases() {
            registry.aggregate_functions.insert(alias.clone(), Arc::clone(&aggregate));
        }
        registry.aggregate_functions.insert(aggregate.name().to_owned(), aggregate);
    }
    let (store, temporary) = (store.clone(), config.work_dir.clone());
    let process = ExecutorProcessConfig {
        bind_host: in_address(config.listen.ip()),
        external_host: Some(config.host),
        port: config.listen.port(),
        // Nobody calls it, as it asks for its parts.
        grpc_port: 0,
        scheduler_host: config.scheduler.host_str().unwrap_or_default().to_owned(),
        scheduler_port: config.scheduler.port_or_known_default().unwrap_or_default(),
        scheduler_connect_timeout_seconds: CONNECT_SECONDS,
        task_scheduling_policy: POLICY,
        vcores: config.cores,
        memory_pool_size: Some(config.memory_bytes),
        work_dir: Some(work_dir),
        executor_heartbeat_interval_seconds: HEARTBEAT_SECONDS,
        job_data_ttl_seconds: STAGES_KEPT_SECONDS,
        job_data_clean_up_interval_seconds: CLEAN_UP_SECONDS,
        override_function_registry: Some(Arc::new(registry)),
        override_runtime_producer: Some(Arc::new(move |_: &SessionConfig| environment(Some(&temporary), &store))),
        override_config_producer: Some(Arc::new(SessionConfig::new_with_ballista)),
        ..ExecutorProcessConfig::default()
    };
    start_executor_process(Arc::new(process)).await.map_err(|error| failed(external(error)))
}

/// As it stands before a port.
fn in_address(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

/// One that can read the store's files.
fn environment(temporary: Option<&PathBuf>, store: &Location) -> Result<Arc<RuntimeEnv>> {
    let mut builder = RuntimeEnvBuilder::new();
    if let Some(path) = temporary {
        builder = builder.with_temp_file_path(path);
    }
    let environment = builder.build_arc()?;
    store.register(&environment);
    Ok(environment)
}

fn external(error: ballista_core::error::BallistaError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
