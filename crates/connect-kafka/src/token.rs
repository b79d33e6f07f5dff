//! What a broker is shown instead of a password.

use std::time::Duration;

pub(crate) struct Token {
    pub(crate) token: String,
    pub(crate) principal: String,
    pub(crate) lifetime: Duration,
    /// Names and values, which are sent to the broker along with the token.
    pub(crate) extensions: Vec<(String, String)>,
}
