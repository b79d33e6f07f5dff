//! Golden cases, the differential gate against DataFusion's plain aggregate, and proptests over splits.

mod bounds;
mod differential;
mod golden;
pub(crate) mod rows;
