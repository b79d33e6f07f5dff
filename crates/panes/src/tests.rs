//! Golden cases, the differential gate against DataFusion's plain aggregate, and proptests over
//! splits.

mod bounds;
mod differential;
mod golden;
mod open_windows;
pub(crate) mod rows;
mod sessions;
