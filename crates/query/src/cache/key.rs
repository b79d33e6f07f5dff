//! What tells a question from others, and under which name its answer is shared.
//!
//! `vitral:{domain}:{endpoint}:{hash}`: the hash is over the catalog and the program, what the one
//! who asks may see, the parameters, the format, and the commits of all that is read.

use std::fmt::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use vitral_catalog::{Catalog, DomainSettings};

use crate::principal::Principal;
use crate::rows::Format;

/// How many digits of a hash a name has: 128 bits.
const HASH_DIGITS: usize = 32;

/// Who asked for what, and how it is written. Those who see the same have the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    path: Arc<str>,
    hash: [u8; 32],
}

/// The domain, and what its answers depend on besides rows: the catalog, its settings, and the
/// program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogVersion {
    domain: String,
    hash: [u8; 32],
}

impl Key {
    /// Of an endpoint's path and its parameters by name, in order; `names` is the version of what
    /// is added to its rows.
    pub fn new<'a>(
        principal: &Principal,
        path: &str,
        parameters: impl IntoIterator<Item = (&'a str, &'a str)>,
        format: Format,
        names: Option<&str>,
    ) -> Self {
        let mut parts = Parts::default();
        parts.add(path);
        // Not who they are: only what they may see.
        principal.scopes().iter().for_each(|scope| parts.add(scope));
        parts.end();
        for (column, values) in principal.filters().iter() {
            parts.add(column);
            values.iter().for_each(|value| parts.add(value));
            parts.end();
        }
        parts.end();
        for (name, value) in parameters {
            parts.add(name);
            parts.add(value);
        }
        parts.end();
        parts.add(&format!("{format:?}"));
        names.into_iter().for_each(|version| parts.add(version));
        Self { path: path.into(), hash: parts.hash() }
    }

    /// What an answer of these versions is called among those that are shared.
    pub(super) fn shared_name(&self, catalog: &CatalogVersion, versions: &str) -> String {
        let mut hash = Sha256::new();
        hash.update(catalog.hash);
        hash.update(self.hash);
        hash.update(versions);
        let mut name = format!("vitral:{}:{}:", catalog.domain, self.path.trim_start_matches('/'));
        for byte in &hash.finalize()[..HASH_DIGITS / 2] {
            // A text takes everything.
            let _ = write!(name, "{byte:02x}");
        }
        name
    }

    /// Up to a tenth less than `ttl`, the same for the same question: what was computed together is
    /// not computed again together.
    pub(super) fn spread(&self, ttl: Duration) -> Duration {
        ttl.saturating_sub(ttl / 10 * u32::from(self.hash[0]) / 255)
    }

    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + self.path.len()
    }
}

impl CatalogVersion {
    /// Of what is served from this catalog by this version of the program.
    pub fn of(catalog: &Catalog, settings: &DomainSettings) -> Self {
        let mut text = Text(Sha256::new());
        // Hashing takes everything.
        let _ = write!(text, "{} {settings:?} {catalog:?}", env!("CARGO_PKG_VERSION"));
        Self { domain: settings.domain().to_owned(), hash: text.0.finalize().into() }
    }
}

/// A hash over parts of which none runs into the next.
#[derive(Default)]
struct Parts(Sha256);

impl Parts {
    fn add(&mut self, part: &str) {
        self.0.update([1]);
        self.0.update(part.len().to_le_bytes());
        self.0.update(part);
    }

    fn end(&mut self) {
        self.0.update([0]);
    }

    fn hash(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

/// Hashes what is written.
struct Text(Sha256);

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.update(text);
        Ok(())
    }
}
