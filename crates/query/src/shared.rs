//! What all read points share.

use std::sync::Arc;

use vitral_catalog::{Catalog, Names, Scope};

use crate::made_rows::MadeRows;
use crate::recent_rows::RecentRows;
use crate::reference::References;
use crate::rollup::Rollups;

/// What all read points share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub catalog: Arc<Catalog>,
    pub names: Names,
    pub references: References,
    pub scope: Scope,
    pub rollups: Rollups,
    pub recent: RecentRows,
    pub made: MadeRows,
}
