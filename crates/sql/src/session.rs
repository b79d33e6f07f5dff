//! What the server knows of one connection.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use datafusion_postgres::pgwire::api::{ClientInfo, ConnectionGuard, ConnectionHandle};
use datafusion_postgres::pgwire::error::PgWireError;
use datafusion_postgres::pgwire::messages::response::TransactionStatus;
use tokio::sync::{Notify, OwnedSemaphorePermit};
use vitral_query::Principal;

use crate::doing::{Doing, Peer};
use crate::error::{cancelled, code, fatal, fault, timed_out};
use crate::rows::Rows;
use crate::settings::Settings;

/// Cursors that a connection may have open; each may hold rows in memory.
const CURSORS_MAX: usize = 32;
/// Statements that it may have prepared.
const STATEMENTS_MAX: usize = 4096;

/// One connection whose user is known.
pub(crate) struct Session {
    pub principal: Principal,
    pub peer: Peer,
    doing: Mutex<Doing>,
    /// Rung by another connection that ends this one's statement.
    stop: Notify,
    settings: Mutex<Settings>,
    savepoints: Mutex<Vec<String>>,
    statements: Mutex<HashSet<String>>,
    cursors: tokio::sync::Mutex<HashMap<String, OpenCursor>>,
    portals: Mutex<HashSet<String>>,
    cancel: Arc<ConnectionHandle>,
    _registered: (ConnectionGuard, OwnedSemaphorePermit),
}

/// A cursor, and whether it outlives its transaction.
struct OpenCursor {
    is_held: bool,
    cursor: Arc<tokio::sync::Mutex<Cursor>>,
}

/// Rows that are fetched a few at a time.
pub(crate) struct Cursor {
    pub rows: Rows,
    pub is_held: bool,
    pub is_binary: bool,
}

impl Session {
    pub(crate) fn new(
        principal: Principal,
        peer: Peer,
        settings: Settings,
        cancel: Arc<ConnectionHandle>,
        registered: (ConnectionGuard, OwnedSemaphorePermit),
    ) -> Self {
        Self {
            principal,
            doing: Mutex::new(Doing::nothing(peer.since)),
            peer,
            stop: Notify::new(),
            settings: Mutex::new(settings),
            savepoints: Mutex::default(),
            statements: Mutex::default(),
            cursors: tokio::sync::Mutex::default(),
            portals: Mutex::default(),
            cancel,
            _registered: registered,
        }
    }

    /// That of a client. Without one nobody has signed in, whatever else the client sends.
    pub(crate) fn of<C: ClientInfo + ?Sized>(client: &C) -> Result<Arc<Self>, PgWireError> {
        let session = client.session_extensions().get::<Self>();
        session.ok_or_else(|| fatal(code::NOT_ALLOWED, "nobody has signed in on this connection", ""))
    }

    pub(crate) fn settings(&self) -> MutexGuard<'_, Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn savepoints(&self) -> MutexGuard<'_, Vec<String>> {
        self.savepoints.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn statements(&self) -> MutexGuard<'_, HashSet<String>> {
        self.statements.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn doing_mut(&self) -> MutexGuard<'_, Doing> {
        self.doing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it runs, or has run last.
    pub(crate) fn doing(&self) -> Doing {
        self.doing_mut().clone()
    }

    /// A statement begins.
    pub(crate) fn runs(&self, text: &Arc<str>) {
        self.doing_mut().begin(text);
    }

    /// Nothing runs any more.
    pub(crate) fn rests(&self, status: TransactionStatus) {
        self.doing_mut().end(status);
    }

    /// Ends the statement that runs now, if one does.
    pub(crate) fn stop(&self) {
        self.stop.notify_waiters();
    }

    /// Runs work of one statement until it is done, cancelled or out of time. What it holds is
    /// given back in each case.
    pub(crate) async fn bounded<T>(
        &self,
        timeout: Duration,
        work: impl Future<Output = Result<T, PgWireError>>,
    ) -> Result<T, PgWireError> {
        let (cancel, stopped) = (self.cancel.start_query().await, self.stop.notified());
        tokio::select! {
            biased;
            Ok(()) = cancel => Err(cancelled()),
            () = stopped => Err(cancelled()),
            done = tokio::time::timeout(timeout, work) => done.unwrap_or_else(|_| Err(timed_out())),
        }
    }

    pub(crate) fn save(&self, name: String) -> Result<(), PgWireError> {
        let mut savepoints = self.savepoints();
        if savepoints.len() >= STATEMENTS_MAX {
            return Err(fault(code::TOO_LARGE, "too many savepoints in one transaction", "release some, or commit"));
        }
        savepoints.push(name);
        Ok(())
    }

    /// Forgets a savepoint and those after it, or only those after it.
    pub(crate) fn back_to(&self, name: &str, is_released: bool) -> Result<(), PgWireError> {
        let mut savepoints = self.savepoints();
        let Some(place) = savepoints.iter().rposition(|known| known == name) else {
            return Err(fault(code::NO_SAVEPOINT, format!("savepoint \"{name}\" does not exist"), ""));
        };
        savepoints.truncate(if is_released { place } else { place + 1 });
        Ok(())
    }

    /// What ends with a transaction.
    pub(crate) async fn end_transaction(&self) {
        self.savepoints().clear();
        self.unbind(None);
        self.cursors.lock().await.retain(|_, open| open.is_held);
    }

    pub(crate) async fn open_cursor(&self, name: String, cursor: Cursor) -> Result<(), PgWireError> {
        let mut cursors = self.cursors.lock().await;
        if cursors.contains_key(&name) {
            return Err(fault(code::CURSOR_EXISTS, format!("cursor \"{name}\" already exists"), "close it first"));
        }
        if cursors.len() >= CURSORS_MAX {
            let message = format!("a connection may have {CURSORS_MAX} cursors open");
            return Err(fault(code::TOO_LARGE, message, "close those that are not read any more"));
        }
        let is_held = cursor.is_held;
        cursors.insert(name, OpenCursor { is_held, cursor: Arc::new(tokio::sync::Mutex::new(cursor)) });
        Ok(())
    }

    /// A cursor by its name.
    pub(crate) async fn cursor(&self, name: &str) -> Option<Arc<tokio::sync::Mutex<Cursor>>> {
        self.cursors.lock().await.get(name).map(|open| Arc::clone(&open.cursor))
    }

    /// Closes one, or all of them. False if there is none of this name.
    pub(crate) async fn close_cursors(&self, name: Option<&str>) -> bool {
        let mut cursors = self.cursors.lock().await;
        match name {
            Some(name) => cursors.remove(name).is_some(),
            None => {
                cursors.clear();
                true
            }
        }
    }

    /// Remembers that something was bound under this name.
    pub(crate) fn bind(&self, name: &str) -> Result<(), PgWireError> {
        let mut portals = self.portals.lock().unwrap_or_else(PoisonError::into_inner);
        if portals.len() >= CURSORS_MAX && !portals.contains(name) {
            let message = format!("a connection may have {CURSORS_MAX} portals");
            return Err(fault(code::TOO_LARGE, message, "close those that are not read any more"));
        }
        portals.insert(name.to_owned());
        Ok(())
    }

    /// Forgets that, or all of it.
    pub(crate) fn unbind(&self, name: Option<&str>) {
        let mut portals = self.portals.lock().unwrap_or_else(PoisonError::into_inner);
        match name {
            Some(name) => drop(portals.remove(name)),
            None => portals.clear(),
        }
    }

    /// Remembers that a statement has this name.
    pub(crate) fn prepare(&self, name: &str) -> Result<(), PgWireError> {
        let mut statements = self.statements();
        if statements.contains(name) {
            let message = format!("prepared statement \"{name}\" already exists");
            return Err(fault(code::STATEMENT_EXISTS, message, "close it first, or give this one another name"));
        }
        if statements.len() >= STATEMENTS_MAX {
            let message = format!("a connection may have {STATEMENTS_MAX} prepared statements");
            return Err(fault(code::TOO_LARGE, message, "close those that are not needed any more"));
        }
        statements.insert(name.to_owned());
        Ok(())
    }

    /// Whether there was a statement of this name.
    pub(crate) fn forget(&self, name: &str) -> bool {
        self.statements().remove(name)
    }

    /// Forgets all statements, and says their names.
    pub(crate) fn forget_all(&self) -> Vec<String> {
        self.statements().drain().collect()
    }
}

/// What is said of a cursor that is not there.
pub(crate) fn no_cursor(name: &str) -> PgWireError {
    let remedy = "declare it first; cursors without WITH HOLD end with their transaction";
    fault(code::NO_CURSOR, format!("cursor \"{name}\" does not exist"), remedy)
}

/// What is said of a cursor that is in use.
pub(crate) fn busy_cursor(name: &str) -> PgWireError {
    let message = format!("cursor \"{name}\" is being read by another portal");
    fault("55006", message, "read that portal to its end, or close it")
}
