//! An OIDC provider: its tokens, and signing in with it.

mod claims;
mod http;
mod key_set;
mod provider;
mod sign_in;

pub(crate) use self::provider::Provider;
pub use self::sign_in::{Begun, Finished, SignIn, SignInError};
