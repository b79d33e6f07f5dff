//! What computes: this process, or a cluster of others.

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::dataframe::DataFrame;
use datafusion::datasource::MemTable;
use datafusion::error::Result;
use datafusion::prelude::SessionContext;
use vitral_engine::add_functions;
use vitral_store::{Location, bulk_session};

#[cfg(feature = "distributed")]
use crate::cluster;
use crate::parallelism::PARALLELISM;

/// What computes a query over history.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Engine {
    /// This process.
    #[default]
    Local,
    /// The executors of a scheduler, `http://HOST:PORT`.
    #[cfg(feature = "distributed")]
    Ballista {
        /// Where the scheduler listens.
        scheduler: url::Url,
    },
}

impl Engine {
    /// A session whose queries are computed there.
    pub fn session(&self) -> Result<SessionContext> {
        let mut context = match self {
            Self::Local => bulk_session(PARALLELISM),
            #[cfg(feature = "distributed")]
            Self::Ballista { scheduler } => cluster::session(scheduler)?,
        };
        add_functions(&mut context)?;
        Ok(context)
    }

    /// The place, with tables that the session can read.
    pub fn prepare_location(&self, store: &Location) -> Location {
        match self {
            Self::Local => store.clone(),
            #[cfg(feature = "distributed")]
            Self::Ballista { .. } => store.plain_parquet(),
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

    /// The rows of a query of the session, computed there, for further work here.
    pub(crate) fn collect_locally(&self, rows: DataFrame) -> Result<DataFrame> {
        match self {
            Self::Local => Ok(rows),
            #[cfg(feature = "distributed")]
            Self::Ballista { .. } => cluster::collect_locally(rows),
        }
    }
}
