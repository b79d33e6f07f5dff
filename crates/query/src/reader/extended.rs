//! A reader whose sessions have more than the namespace: functions and schemas that a front's
//! clients look for.

use std::sync::Arc;

use datafusion::catalog::SchemaProvider;
use datafusion::execution::SessionState;

use super::Reader;
use crate::error::QueryError;
use crate::namespace;

/// Schemas besides those of the namespace, by name.
pub type ExtraSchemas = Vec<(String, Arc<dyn SchemaProvider>)>;

impl Reader {
    /// A session as statements are planned in, without tables.
    pub fn session(&self) -> SessionState {
        self.state.clone()
    }

    /// The same reader, within the same limits, whose sessions are made from this one, with these
    /// schemas besides the namespace.
    pub fn with_session(&self, state: SessionState, schemas: ExtraSchemas) -> Self {
        Self {
            state,
            namespace: Arc::clone(&self.namespace),
            scope: self.scope,
            permits: self.permits.clone(),
            planning: self.planning.clone(),
            timeout: self.timeout,
            schemas,
        }
    }

    /// Adds them to a session that was just made.
    pub(super) fn extended(&self, state: Arc<SessionState>) -> Result<Arc<SessionState>, QueryError> {
        if let Some(catalog) = state.catalog_list().catalog(namespace::CATALOG) {
            for (name, schema) in &self.schemas {
                catalog.register_schema(name, Arc::clone(schema))?;
            }
        }
        Ok(state)
    }
}
