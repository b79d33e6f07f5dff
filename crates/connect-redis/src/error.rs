//! Why an address cannot be used. No message contains a value of it.

use vitral_connect::ConnectionError;

/// What is wrong with how Redis is to be reached.
#[derive(Debug, thiserror::Error)]
pub enum RedisConfigError {
    /// It is not an address of Redis.
    #[error(
        "the address of Redis {0}: write redis://host:port, rediss://host:port for TLS, redis+sentinel://host:port,host:port/service \
         or redis+cluster://host:port,host:port"
    )]
    Address(String),
    /// A part of its connection is not what Redis takes.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// A file of certificates cannot be used.
    #[error("the certificates of {file} cannot be read: {reason}; name a file of PEM certificates")]
    Certificates {
        /// The file.
        file: String,
        /// Why not.
        reason: String,
    },
    /// The client refuses it.
    #[error("the client of Redis refuses its address: {0}")]
    Client(String),
}
