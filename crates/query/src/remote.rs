//! What a stream tells processes next to it that answer too: all that it shows and has not stored
//! yet, and of which commits of the stored tables that is the continuation (docs/adr/0048).
//!
//! A reader opens exactly these commits: what it shows then is what the stream showed, without
//! overlap and without a gap.

mod encode;
mod frame;
mod part;

pub use self::encode::Encoder;
pub use self::frame::{FORMAT, FrameError};
pub use self::part::{CompletenessPart, FailurePart, KeyedPart, LivePart, MetricPart, Rows, TopicPart, TroublePart};

/// What a principal needs to hear the live part of everything: processes of the same
/// installation have it. Who may read all that is served does not have it by that.
pub const SCOPE: &str = "interno";
/// Where a stream's API answers with it.
pub const PATH: &str = "/interno/visao";
/// The parameter that names the live part that the reader has.
pub const SINCE: &str = "desde";
