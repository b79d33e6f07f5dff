//! What computes: this process, or a cluster of others.

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::dataframe::DataFrame;
use datafusion::datasource::MemTable;
use datafusion::error::Result;
use datafusion::logical_expr::ScalarUDF;
use datafusion::prelude::SessionContext;
use vitral_panes::divide_half_up;
use vitral_store::{Location, read_session};

use crate::civil_date::civil_date;
#[cfg(feature = "distributed")]
use crate::cluster;
use crate::window_starts::window_starts;

/// Parts of a query that this process computes at once.
pub(crate) const PARALLELISM: usize = 2;
const BATCH_ROWS: usize = 16 * 1024;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Engine {
    /// This process.
    #[default]
    Local,
    /// The executors of a scheduler, `http://HOST:PORT`.
    #[cfg(feature = "distributed")]
    Ballista { scheduler: url::Url },
}

impl Engine {
    /// A session whose queries are computed there.
    pub fn session(&self) -> Result<SessionContext> {
        let context = match self {
            Self::Local => whole_days(read_session(PARALLELISM)),
            #[cfg(feature = "distributed")]
            Self::Ballista { scheduler } => cluster::session(scheduler)?,
        };
        for function in functions() {
            context.register_udf(function);
        }
        Ok(context)
    }

    /// The place, with tables that the session can read.
    pub fn readable(&self, store: &Location) -> Location {
        match self {
            Self::Local => store.clone(),
            #[cfg(feature = "distributed")]
            Self::Ballista { .. } => store.as_plain_files(),
        }
    }

    /// A table of rows that this process has.
    pub(crate) fn table(&self, rows: RecordBatch) -> Result<Arc<dyn TableProvider>> {
        match self {
            Self::Local => Ok(Arc::new(MemTable::try_new(rows.schema(), vec![vec![rows]])?)),
            #[cfg(feature = "distributed")]
            Self::Ballista { .. } => cluster::values(&rows),
        }
    }

    /// The rows of a query of the session, computed there, to go on with here.
    pub(crate) fn here(&self, rows: DataFrame) -> Result<DataFrame> {
        match self {
            Self::Local => Ok(rows),
            #[cfg(feature = "distributed")]
            Self::Ballista { .. } => cluster::here(rows),
        }
    }
}

/// Most of what is read counts, as files and row groups of other days are passed over: to look for the rows that do before the other
/// columns are read costs more than it saves. Batches are small enough to stay in the processor's caches.
fn whole_days(context: SessionContext) -> SessionContext {
    let mut state = context.state();
    let config = state.config_mut();
    *config = config.clone().with_batch_size(BATCH_ROWS);
    config.options_mut().execution.parquet.pushdown_filters = false;
    SessionContext::new_with_state(state)
}

/// What the catalog's SQL can use beside DataFusion's own functions, and what reconciliation does.
pub(crate) fn functions() -> [ScalarUDF; 3] {
    [divide_half_up(), window_starts(), civil_date()]
}
