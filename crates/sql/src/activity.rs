//! Who is connected.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use vitral_query::{Principal, Scopes};

use crate::session::Session;

/// The connections that are open, by their numbers.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    sessions: Mutex<BTreeMap<i32, Weak<Session>>>,
}

impl Activity {
    /// Lists a connection for as long as it is open.
    pub(crate) fn add(&self, session: &Arc<Session>) {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|_, session| session.strong_count() > 0);
        sessions.insert(session.peer.pid, Arc::downgrade(session));
    }

    /// Those that somebody sees: their own, and all of them with the scope `admin`.
    pub(crate) fn seen_by(&self, principal: &Principal) -> Vec<Arc<Session>> {
        let sees_all = principal.scopes().has(Scopes::ADMIN);
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let open = sessions.values().filter_map(Weak::upgrade);
        open.filter(|session| sees_all || session.principal.id() == principal.id()).collect()
    }

    /// Ends the statement of a connection that somebody sees. False if there is no such one.
    pub(crate) fn stop(&self, pid: i64, principal: &Principal) -> bool {
        let found = self.seen_by(principal).into_iter().find(|session| i64::from(session.peer.pid) == pid);
        found.inspect(|session| session.stop()).is_some()
    }
}

/// There is one for each server, and it is equal to itself alone.
impl PartialEq for Activity {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for Activity {}

impl Hash for Activity {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::ptr::hash(self, state);
    }
}
