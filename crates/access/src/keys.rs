//! The keys of a store: `access/keys/ID.json` is written once for each and never changed, and
//! `access/revoked/ID.json` is added for one that is revoked. So processes never overwrite what
//! others have written, and a look at the names shows what is new.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use secrecy::SecretString;
use vitral_query::Principal;
use vitral_schemas::time::Clock;
use vitral_store::{Act, Layout, Location};

use crate::config::AccessError;
use crate::denied::Denied;
use crate::key::{Key, KeyFile, NewKey};
use crate::scram::ScramVerifier;
use crate::secrets::{is_key_id, key_id, random_text};

const KEYS: &str = "keys";
const REVOKED: &str = "revoked";
const SUFFIX: &str = ".json";
/// How often a running process looks for what others have made or revoked.
const POLL_EVERY: Duration = Duration::from_secs(5);
/// How long a look may take; then it is tried again.
const LOOK_TIMEOUT: Duration = Duration::from_secs(4);
/// How long keys are believed that could not be read again.
const BELIEVED_MS: i64 = 60_000;
/// How many files are read at the same time.
const READS: usize = 16;

/// The keys of a store, as of the last look.
#[derive(Debug)]
pub struct Keys {
    store: Location,
    place: Location,
    clock: Arc<dyn Clock>,
    known: RwLock<Arc<Known>>,
    /// Held while what is known is replaced.
    changing: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default, Clone)]
struct Known {
    keys: BTreeMap<String, Arc<Key>>,
    /// Files that are not keys; each was reported once.
    unreadable: BTreeSet<String>,
    /// On the clock for lengths of time; none before the first look.
    looked_ms: Option<i64>,
}

/// What is shown to the key's owner, once.
#[derive(Debug)]
pub struct CreatedKey {
    /// The user.
    pub id: String,
    /// The password.
    pub secret: SecretString,
}

impl Keys {
    /// Of this store; nothing is read yet.
    pub fn of(store: &Location, clock: Arc<dyn Clock>) -> Self {
        Self {
            store: store.clone(),
            place: Layout::of(store).access(),
            clock,
            known: RwLock::default(),
            changing: tokio::sync::Mutex::default(),
        }
    }

    /// Makes a key. Other processes know it within ten seconds.
    pub async fn create(&self, new: &NewKey) -> Result<CreatedKey, AccessError> {
        let (id, secret) = (key_id()?, random_text::<32>()?);
        let file = KeyFile::of(new, self.clock.now_ms(), &secret)?;
        let after = serde_json::json!({
            "nome": &new.name,
            "escopos": new.scopes.iter().collect::<Vec<_>>(),
            "filtros": new.filters.iter().collect::<BTreeMap<_, _>>(),
            "expira": new.expires_ms,
        });
        let act = Act::of_command("criar_chave", &id).after(after.to_string());
        self.put(KEYS, &id, &serde_json::to_string(&file)?, act).await?;
        if let Ok(key) = file.key(&id) {
            self.change(|known| drop(known.keys.insert(id.clone(), Arc::new(key)))).await;
        }
        Ok(CreatedKey { id, secret: secret.into() })
    }

    /// Revokes a key for good. Other processes know it within ten seconds.
    pub async fn revoke(&self, id: &str) -> Result<Arc<Key>, AccessError> {
        self.refresh().await?;
        let key = self.known().keys.get(id).cloned().ok_or_else(|| AccessError::NoKey(id.to_owned()))?;
        if key.is_revoked {
            return Ok(key);
        }
        let act = Act::of_command("revogar_chave", id)
            .before(serde_json::json!({ "nome": &key.name, "revogada": false }).to_string())
            .after(serde_json::json!({ "revogada": true }).to_string());
        let text = serde_json::json!({ "revoked_ms": self.clock.now_ms() }).to_string();
        self.put(REVOKED, id, &text, act).await?;
        let revoked = Arc::new(key.revoked());
        self.change(|known| drop(known.keys.insert(id.to_owned(), Arc::clone(&revoked)))).await;
        Ok(revoked)
    }

    /// All keys, the oldest first, as they are now.
    pub async fn list(&self) -> Result<Vec<Arc<Key>>, AccessError> {
        self.refresh().await?;
        let mut keys: Vec<_> = self.known().keys.values().cloned().collect();
        keys.sort_by_key(|key| key.created_ms);
        // Where there are none, there may be no store either, and none is made by looking.
        if !keys.is_empty() {
            Act::of_command("listar_chaves", KEYS).record(&self.store).await?;
        }
        Ok(keys)
    }

    /// Looks for what other processes have made or revoked.
    pub async fn refresh(&self) -> Result<(), AccessError> {
        let _changing = self.changing.lock().await;
        let began_ms = self.clock.steady_ms();
        let names = self.place.files().await?;
        let ids = |folder| -> BTreeSet<String> { names.iter().filter_map(|(name, _)| id_in(folder, name)).collect() };
        let (there, revoked) = (ids(KEYS), ids(REVOKED));
        let mut known = Known::clone(&self.known());
        known.keys.retain(|id, _| there.contains(id));
        known.unreadable.retain(|id| there.contains(id));
        let is_new = |id: &String| !known.keys.contains_key(id) && !known.unreadable.contains(id);
        let new: Vec<String> = there.iter().filter(|id| is_new(id)).cloned().collect();
        let reads = futures::stream::iter(new).map(|id| async move { self.read(id).await });
        let read: Vec<_> = reads.buffer_unordered(READS).try_collect().await?;
        for (id, key) in read {
            match key {
                Some(key) => {
                    known.keys.insert(id, Arc::new(key));
                }
                None => {
                    known.unreadable.insert(id);
                }
            }
        }
        for key in known.keys.values_mut().filter(|key| !key.is_revoked && revoked.contains(&key.id)) {
            *key = Arc::new(key.revoked());
        }
        known.looked_ms = Some(began_ms);
        self.set(known);
        Ok(())
    }

    /// Looks again and again, for as long as somebody has the keys.
    pub(crate) fn follow(keys: &Arc<Self>) {
        let keys = Arc::downgrade(keys);
        tokio::spawn(async move {
            let mut was_read = true;
            loop {
                tokio::time::sleep(POLL_EVERY).await;
                let Some(keys) = keys.upgrade() else { return };
                let error = match tokio::time::timeout(LOOK_TIMEOUT, keys.refresh()).await {
                    Ok(Ok(())) => None,
                    Ok(Err(error)) => Some(causes(&error)),
                    Err(_) => Some(format!("the store has not answered for {} s", LOOK_TIMEOUT.as_secs())),
                };
                if let Some(error) = error.as_ref().filter(|_| was_read) {
                    let believed_s = BELIEVED_MS / 1000;
                    tracing::warn!(%error, believed_s, "keys cannot be read; the last known ones hold for a while");
                }
                was_read = error.is_none();
            }
        });
    }

    /// The principal of a key, if this is its secret. An unknown id and a wrong secret take the
    /// same way.
    pub(crate) fn authenticate(&self, id: &str, secret: &str) -> Result<Principal, Denied> {
        let known = self.believed()?;
        let key = known.keys.get(id);
        let is_right = Key::has_secret(key.map(AsRef::as_ref), secret);
        // Only those who know the secret hear what became of the key.
        key.filter(|_| is_right).ok_or(Denied::Wrong)?.principal_at(self.clock.now_ms())
    }

    /// The principal of a key whose secret was checked elsewhere.
    pub(crate) fn principal(&self, id: &str) -> Result<Principal, Denied> {
        let known = self.believed()?;
        known.keys.get(id).ok_or(Denied::Wrong)?.principal_at(self.clock.now_ms())
    }

    pub(crate) fn scram(&self, id: &str) -> Option<ScramVerifier> {
        Some(self.believed().ok()?.keys.get(id)?.scram.clone())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.known().keys.is_empty()
    }

    /// What is known, unless that is too old to let anybody in.
    fn believed(&self) -> Result<Arc<Known>, Denied> {
        let known = self.known();
        let age_ms = known.looked_ms.map(|looked_ms| self.clock.steady_ms() - looked_ms);
        match age_ms {
            Some(age_ms) if age_ms <= BELIEVED_MS => Ok(known),
            _ => Err(Denied::Unavailable("the keys cannot be read from the store".to_owned())),
        }
    }

    /// None for a file that is not a key, which keeps nobody else out.
    async fn read(&self, id: String) -> Result<(String, Option<Key>), AccessError> {
        let name = format!("{id}{SUFFIX}");
        let text = self.place.join(KEYS).read_text(&name).await?.unwrap_or_default();
        let file = serde_json::from_str::<KeyFile>(&text).map_err(|error| error.to_string());
        let key = match is_key_id(&id) {
            true => file.and_then(|file| file.key(&id)),
            false => Err("its name is not the id of a key".to_owned()),
        };
        if let Err(error) = &key {
            let file = format!("{}{name}", self.place.join(KEYS));
            tracing::warn!(file, %error, "a key cannot be read; it lets nobody in");
        }
        Ok((id, key.ok()))
    }

    async fn put(&self, folder: &str, id: &str, text: &str, act: Act) -> Result<(), AccessError> {
        match self.place.join(folder).create_private(&format!("{id}{SUFFIX}"), text).await {
            // False: another process has revoked it at the same time.
            Ok(_) => Ok(act.record(&self.store).await?),
            Err(error) => {
                if let Err(unrecorded) = act.failed(&error).record(&self.store).await {
                    tracing::warn!(error = %unrecorded, "an act that failed is not in the audit trail");
                }
                Err(error.into())
            }
        }
    }

    async fn change(&self, change: impl FnOnce(&mut Known)) {
        let _changing = self.changing.lock().await;
        let mut known = Known::clone(&self.known());
        change(&mut known);
        self.set(known);
    }

    fn known(&self) -> Arc<Known> {
        Arc::clone(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn set(&self, known: Known) {
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(known);
    }
}

/// The id of the key whose file of a folder has this name.
fn id_in(folder: &str, name: &str) -> Option<String> {
    name.strip_prefix(folder)?.strip_prefix('/')?.strip_suffix(SUFFIX).map(str::to_owned)
}

pub(crate) fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let chain = std::iter::successors(Some(error), |error| (*error).source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
