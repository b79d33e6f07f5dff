//! How processes of `vitral serve` find the stream that they follow.

use serde::{Deserialize, Serialize};

/// What `vitral serve` follows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Serve {
    /// Where the API of `vitral stream` answers, such as `http://stream:8080`; without it, where
    /// the stream itself has noted in the store that it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_url: Option<String>,
}
