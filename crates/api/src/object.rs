//! Bodies that are one JSON object.

use serde::de::DeserializeOwned;

/// Reads one. A list is refused: its values would be taken for an object's, in their order.
pub(crate) fn object<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err("the body does not begin with {".to_owned());
    }
    serde_json::from_slice(body).map_err(|error| error.to_string())
}
