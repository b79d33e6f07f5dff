//! Golden cases, the differential gate against DataFusion's plain aggregate, and proptests over splits.

mod differential;
mod golden;
mod rows;
