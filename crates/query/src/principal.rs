//! Who asks.

/// The one for whom a query runs. Every read point has one, and answers are kept for each apart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Principal {
    /// Nobody has said who asks: anyone who reaches the listener.
    #[default]
    Anonymous,
    /// The user of this machine who can read the stored files anyway.
    Operator,
}
