//! The engine's session in which a metric is computed again.

use std::sync::Arc;

use datafusion::error::Result;
use datafusion::prelude::SessionContext;
use vitral_engine::DistinctTexts;

use crate::engine::Engine;

/// What computes, and how.
#[derive(Clone, Copy)]
pub(in crate::reconcile) struct Session<'a> {
    pub(in crate::reconcile) engine: &'a Engine,
    /// See [`Selection::is_frequent`](crate::reconcile::Selection::is_frequent).
    pub(in crate::reconcile) is_frequent: bool,
}

impl Session<'_> {
    pub(super) fn open(self) -> Result<SessionContext> {
        let session = self.engine.session()?;
        if self.is_frequent {
            session.add_analyzer_rule(Arc::new(DistinctTexts::default()));
        }
        Ok(session)
    }

    /// A session of this process, which is the given one if that is.
    pub(super) fn local(self, given: &SessionContext) -> Result<SessionContext> {
        match self.engine {
            Engine::Local => Ok(given.clone()),
            #[cfg(feature = "distributed")]
            Engine::Ballista { .. } => Session { engine: &Engine::Local, ..self }.open(),
        }
    }
}
