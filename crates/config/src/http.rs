//! Which services may be spoken to.

use serde::{Deserialize, Serialize};

/// Which services may be spoken to.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// The hosts that requests may be sent to, such as `api.example.com`: connections of other
    /// hosts are refused, and redirects are never followed.
    pub allowed_hosts: Vec<String>,
}
