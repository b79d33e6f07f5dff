//! Sessions of browsers: everything about one is in its cookie, signed, so that no process has to
//! remember any.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use vitral_query::Principal;
use vitral_schemas::time::Clock;

use crate::config::AccessError;
use crate::denied::Denied;
use crate::grants;
use crate::scram::ScramVerifier;
use crate::signing::SigningKey;

const PURPOSE: &str = "session";
/// A working day; then people sign in again.
const LIFETIME_MS: i64 = 8 * 3600 * 1000;
/// Browsers drop cookies of more than 4096 bytes, with their name and attributes, without a word.
const BYTES_MAX: usize = 3600;

/// Whose session it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Session {
    /// Of a key that was pasted, by its id: what it may do, and whether it still holds, is looked
    /// up at each use.
    Key(String),
    /// Of somebody who signed in with the provider.
    Principal(Principal),
}

/// Makes and reads the values of sessions' cookies.
#[derive(Debug)]
pub struct Sessions {
    key: SigningKey,
    clock: Arc<dyn Clock>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload {
    of: Of,
    expires_ms: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Of {
    Key(String),
    Principal { id: String, scopes: Vec<String>, filters: BTreeMap<String, BTreeSet<String>> },
}

impl Sessions {
    pub(crate) fn new(key: SigningKey, clock: Arc<dyn Clock>) -> Self {
        Self { key, clock }
    }

    /// What SQL users get who do not exist.
    pub(crate) fn scram_of_nobody(&self, user: &str) -> ScramVerifier {
        ScramVerifier::of_nobody(|part| self.key.derived(&format!("scram {part} {user}")))
    }

    /// For how long a session holds, in seconds.
    pub fn lifetime_seconds(&self) -> i64 {
        LIFETIME_MS / 1000
    }

    /// The value of the cookie.
    ///
    /// # Errors
    /// The principal has so many scopes and filters that no cookie holds them.
    pub fn make(&self, session: &Session) -> Result<String, AccessError> {
        let of = match session {
            Session::Key(id) => Of::Key(id.clone()),
            Session::Principal(principal) => Of::Principal {
                id: principal.id().to_owned(),
                scopes: principal.scopes().iter().map(str::to_owned).collect(),
                filters: principal
                    .filters()
                    .iter()
                    .map(|(column, values)| (column.to_owned(), values.clone()))
                    .collect(),
            },
        };
        let sealed = self.key.seal(PURPOSE, &Payload { of, expires_ms: self.clock.now_ms() + LIFETIME_MS })?;
        if sealed.len() > BYTES_MAX {
            return Err(AccessError::Config(
                "the scopes and filters of this sign-in do not fit into a cookie: let the provider give fewer of them, \
                 such as *:read in place of one for each name"
                    .to_owned(),
            ));
        }
        Ok(sealed)
    }

    /// Whose session it is. Whether a key still holds is not known here.
    ///
    /// # Errors
    /// It is over, or was not made here.
    pub fn read(&self, cookie: &str) -> Result<Session, Denied> {
        let Payload { of, expires_ms } = self.key.open(PURPOSE, cookie).ok_or(Denied::Wrong)?;
        if expires_ms <= self.clock.now_ms() {
            return Err(Denied::Expired);
        }
        Ok(match of {
            Of::Key(id) => Session::Key(id),
            Of::Principal { id, scopes, filters } => {
                let scopes = grants::scopes(scopes.iter().map(String::as_str)).map_err(|_| Denied::Wrong)?;
                Session::Principal(Principal::new(&id, scopes, filters.into_iter().collect()))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use vitral_schemas::time::ManualClock;

    use super::*;

    fn sessions() -> (Sessions, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::new(1_000));
        (Sessions::new(SigningKey::random().expect("a key"), Arc::clone(&clock) as Arc<dyn Clock>), clock)
    }

    fn principal() -> Principal {
        let scopes = grants::scopes(["vendas:read"]).expect("a scope");
        Principal::new("oidc:maria", scopes, grants::row_filters(["loja=A", "loja=B"]).expect("filters"))
    }

    #[test]
    fn a_session_is_read_as_it_was_made_until_it_is_over() {
        let (sessions, clock) = sessions();
        for session in [Session::Key("vk_a".to_owned()), Session::Principal(principal())] {
            clock.set_ms(1_000);
            let cookie = sessions.make(&session).expect("made");
            assert_eq!(sessions.read(&cookie).expect("read"), session);
            clock.set_ms(1_000 + LIFETIME_MS - 1);
            assert!(sessions.read(&cookie).is_ok());
            clock.set_ms(1_000 + LIFETIME_MS);
            assert!(matches!(sessions.read(&cookie), Err(Denied::Expired)));
        }
    }

    #[test]
    fn nobody_else_makes_one() {
        use base64::Engine as _;
        use base64::prelude::BASE64_URL_SAFE_NO_PAD;
        let (one, _) = sessions();
        let (other, _) = sessions();
        let cookie = one.make(&Session::Principal(principal())).expect("made");
        assert!(matches!(other.read(&cookie), Err(Denied::Wrong)));
        let (payload, tag) = cookie.split_once('.').expect("two parts");
        let text = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(payload).expect("base64")).expect("JSON");
        let raised = BASE64_URL_SAFE_NO_PAD.encode(text.replace("vendas:read", "admin"));
        for forged in [format!("{raised}.{tag}"), format!("{raised}."), payload.to_owned(), String::new()] {
            assert!(matches!(one.read(&forged), Err(Denied::Wrong)), "{forged}");
        }
        let for_something_else = one.key.seal("sign-in", &"x").expect("sealed");
        assert!(matches!(one.read(&for_something_else), Err(Denied::Wrong)));
    }

    #[test]
    fn what_no_browser_would_keep_is_refused() {
        let (sessions, _) = sessions();
        let names: Vec<String> = (0..400).map(|number| format!("tabela_{number}:read")).collect();
        let scopes = grants::scopes(names.iter().map(String::as_str)).expect("scopes");
        let many = Principal::new("oidc:maria", scopes, vitral_query::RowFilters::default());
        let error = sessions.make(&Session::Principal(many)).expect_err("too long").to_string();
        assert!(error.contains("cookie") && error.contains("*:read"), "{error}");
    }
}
