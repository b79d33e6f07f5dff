//! Why an operation failed, and whether another attempt is worth it.

use mongodb::error::{Error, ErrorKind};
use vitral_connect::ConnectError;

/// An operation on a collection failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MongoError {
    /// The server, or the way to it.
    #[error("collection {collection} cannot be {what}")]
    Driver {
        collection: String,
        /// `read`, `written`.
        what: &'static str,
        #[source]
        source: Error,
    },
    /// The server has done a part of it.
    #[error("collection {collection} was not written: {message} (code {code})")]
    Refused { collection: String, code: i32, message: String },
    /// The runtime ends, or the operation panicked.
    #[error("an operation on collection {collection} was ended")]
    Ended {
        collection: String,
        #[source]
        source: tokio::task::JoinError,
    },
    #[error(
        "collection {collection} has a document with the _id {id} that was written by somebody else, without an _epoch: rename it, or \
         write into another collection"
    )]
    Foreign { collection: String, id: String },
    #[error("column {column} cannot be written: {why}")]
    Value { column: String, why: String },
    #[error("a key has two documents or more, {found} were found for {asked} keys in collection {collection}")]
    TooMany { collection: String, asked: usize, found: usize },
    #[error("documents of collection {collection} are written by somebody else at the same time")]
    Contended { collection: String },
    #[error("collection {collection} was dropped after documents had been written into it")]
    Dropped { collection: String },
}

/// What is wrong with a command or a right, which waiting does not fix: BadValue, FailedToParse,
/// Unauthorized, TypeMismatch, AuthenticationFailed, IllegalOperation, CommandNotFound,
/// InvalidNamespace, CannotCreateIndex, DocumentValidationFailure, CommandNotSupportedOnView,
/// InvalidOptions, NotImplemented.
const PERMANENT: [i32; 13] = [2, 9, 13, 14, 18, 20, 59, 67, 72, 73, 121, 166, 238];
/// ExceededTimeLimit of a busy server.
const MAX_TIME: i32 = 50;
/// What another attempt may find otherwise: servers that are not reached, end, are busy, or are
/// between two primaries.
const OF_THE_MOMENT: [i32; 15] =
    [6, 7, MAX_TIME, 89, 91, 134, 189, 262, 9_001, 10_058, 10_107, 11_600, 11_602, 13_435, 13_436];

/// Whether the server has refused a command for good, if this is the code of its answer.
pub(crate) fn is_refusal(code: i32) -> bool {
    !OF_THE_MOMENT.contains(&code)
}

impl From<MongoError> for ConnectError {
    fn from(error: MongoError) -> Self {
        match &error {
            MongoError::Driver { source, .. } => match &*source.kind {
                ErrorKind::Io(_)
                | ErrorKind::ServerSelection { .. }
                | ErrorKind::ConnectionPoolCleared { .. }
                | ErrorKind::DnsResolve { .. } => Self::outage(error),
                ErrorKind::Command(command) if PERMANENT.contains(&command.code) => Self::permanent(error),
                ErrorKind::Command(command) if command.code == MAX_TIME => Self::passing(error),
                // Elections, shutdowns: a replica set is between two primaries.
                ErrorKind::Command(_) if source.contains_label(mongodb::error::RETRYABLE_WRITE_ERROR) => {
                    Self::outage(error)
                }
                ErrorKind::Authentication { .. }
                | ErrorKind::InvalidArgument { .. }
                | ErrorKind::InvalidTlsConfig { .. }
                | ErrorKind::IncompatibleServer { .. }
                | ErrorKind::Bson(_) => Self::permanent(error),
                _ => Self::passing(error),
            },
            MongoError::Refused { code, .. } if PERMANENT.contains(code) => Self::permanent(error),
            MongoError::Refused { .. } | MongoError::Contended { .. } | MongoError::Dropped { .. } => {
                Self::passing(error)
            }
            MongoError::Ended { .. } => Self::outage(error),
            MongoError::Foreign { .. } | MongoError::Value { .. } => Self::permanent(error),
            // One key has them all.
            MongoError::TooMany { .. } => Self::permanent(error).of_keys(),
        }
    }
}
