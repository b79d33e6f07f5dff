//! Who asks, what they may read, and which rows of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The one for whom a query runs. Every read point has one, and answers are kept for each apart.
/// Copies are cheap.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Principal {
    id: Arc<str>,
    scopes: Arc<Scopes>,
    filters: Arc<RowFilters>,
}

/// What a principal may do: `NAME:read` for each name that SQL or a path has, `*:read` for all of
/// them, `eventos:write` and the like, and `admin`, which may do everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Scopes(BTreeSet<String>);

/// Columns, and the values that rows must have in them to be seen. Without columns every row is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct RowFilters(BTreeMap<String, BTreeSet<String>>);

impl Principal {
    /// Someone who is known by this name in logs and in `auditoria`.
    pub fn new(id: &str, scopes: Scopes, filters: RowFilters) -> Self {
        Self { id: id.into(), scopes: Arc::new(scopes), filters: Arc::new(filters) }
    }

    /// Anyone who reaches a listener without access control, which is this machine's alone: they
    /// may do everything.
    pub fn anonymous() -> Self {
        Self::new("anonymous", Scopes::all(), RowFilters::default())
    }

    /// The user of this machine, who can read the stored files anyway, and the process itself.
    pub fn operator() -> Self {
        Self::new("operator", Scopes::all(), RowFilters::default())
    }

    /// The name under which they are known.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What they may do.
    pub fn scopes(&self) -> &Scopes {
        &self.scopes
    }

    /// Which rows they see.
    pub fn filters(&self) -> &RowFilters {
        &self.filters
    }
}

impl Scopes {
    /// The scope that includes all others.
    pub const ADMIN: &'static str = "admin";
    /// The scope to read everything but what only administrators may.
    pub const READ_ALL: &'static str = "*:read";
    /// The scope to read the process's own figures.
    pub const METRICS: &'static str = "metrics:read";

    /// Everything.
    pub fn all() -> Self {
        Self(BTreeSet::from([Self::ADMIN.to_owned()]))
    }

    /// Whether one of them is this scope, or includes it.
    pub fn has(&self, scope: &str) -> bool {
        self.0.contains(Self::ADMIN)
            || self.0.contains(scope)
            || scope.ends_with(":read") && self.0.contains(Self::READ_ALL)
    }

    /// Whether what has this name may be read.
    pub fn may_read(&self, name: &str) -> bool {
        self.has(Self::ADMIN) || self.0.contains(Self::READ_ALL) || self.0.contains(&format!("{name}:read"))
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl<T: Into<String>> FromIterator<T> for Scopes {
    fn from_iter<I: IntoIterator<Item = T>>(scopes: I) -> Self {
        Self(scopes.into_iter().map(Into::into).collect())
    }
}

impl RowFilters {
    /// Whether every row is seen.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Columns, and the values that are seen of them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &BTreeSet<String>)> {
        self.0.iter().map(|(column, values)| (column.as_str(), values))
    }
}

impl FromIterator<(String, BTreeSet<String>)> for RowFilters {
    fn from_iter<I: IntoIterator<Item = (String, BTreeSet<String>)>>(filters: I) -> Self {
        Self(filters.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_include_each_other() {
        let scopes: Scopes = ["vendas:read", "eventos:write"].into_iter().collect();
        assert!(scopes.may_read("vendas") && scopes.has("vendas:read") && scopes.has("eventos:write"));
        assert!(!scopes.may_read("livro") && !scopes.has("estoque:write") && !scopes.has("admin"));
        let reader: Scopes = [Scopes::READ_ALL].into_iter().collect();
        assert!(reader.may_read("livro") && reader.has("vendas:read"));
        assert!(!reader.has("eventos:write") && !reader.has("admin"));
        assert!(Scopes::all().may_read("auditoria") && Scopes::all().has("eventos:write"));
    }
}
