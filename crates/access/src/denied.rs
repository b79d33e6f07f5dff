//! Why somebody is not let in.

/// Why somebody is not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Nothing was shown.
    #[error("a key or a token is needed: send `Authorization: Bearer ID.SECRET`; `vitral keys create` makes a key")]
    Missing,
    /// What was shown has no form that is known.
    #[error("{0}: send one `Authorization: Bearer ID.SECRET`")]
    Unreadable(&'static str),
    /// There is no such key, its secret is another, or the token is not one of ours.
    #[error("the key or token is not valid: check its id and secret; `vitral keys list` shows the keys there are")]
    Wrong,
    /// It was valid once.
    #[error("the key, token or session has expired: make a new key, or sign in again")]
    Expired,
    /// Somebody has revoked it.
    #[error("the key has been revoked: ask for a new one")]
    Revoked,
    /// Nobody can say now.
    #[error("who asks cannot be checked now ({0}): try again in a while")]
    Unavailable(String),
}
