//! Who may ask: keys, tokens and sign-in become principals, for all fronts; how often they may.
//!
//! Keys are kept in the store, one file each, so that all processes of a store know them. Nothing
//! that would let somebody in is kept: of a secret there is its hash, and the verifier by which SQL
//! clients prove that they know it.
//!
//! Architecture invariant: nothing here knows HTTP's requests or PostgreSQL's messages; fronts
//! bring [`Credentials`] and turn a [`Denied`] into an answer. What cannot be checked is denied.

#![warn(missing_docs)]
#![warn(clippy::too_many_lines)]

mod access;
mod config;
mod denied;
mod failures;
mod grants;
mod key;
mod keys;
mod listening;
mod oidc;
mod rates;
mod scram;
mod secrets;
mod sessions;
mod signing;
mod trail;

/// To read what is never shown, such as the secret of a new key.
pub use secrecy::ExposeSecret;

pub use access::{Access, Credentials};
pub use config::{AccessConfig, AccessError, AccessMode, OidcConfig, SignInConfig};
pub use denied::Denied;
pub use failures::Failures;
pub use grants::{WrongGrant, row_filters, scopes};
pub use key::{Key, NewKey};
pub use keys::{CreatedKey, Keys};
pub use listening::may_listen;
pub use oidc::{Begun, Finished, SignIn, SignInError};
pub use rates::{Limit, Rate, Rates, SharedRates, SharedRatesError};
pub use scram::ScramVerifier;
pub use sessions::{Session, Sessions};
pub use trail::{DENIAL, Seen, Trail};
