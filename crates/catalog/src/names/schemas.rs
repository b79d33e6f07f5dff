//! Domains as schemas: what a name means in each, and which tables each lists.

use super::walk::Sees;
use super::{Name, Names, SCHEMA, Scope, WAREHOUSE_SCHEMA, is_warehouse_name, is_word_of, refusal, warehouse_name};
use crate::Position;
use crate::domains::{NameMatch, plain};

impl Names {
    /// The domains in use, each a schema.
    pub fn domains(&self) -> impl Iterator<Item = &str> {
        self.domains.all()
    }

    /// Where the plain names of a statement are looked up.
    pub fn schema_of(&self, position: &Position) -> &str {
        self.domains.of_file(&position.file).unwrap_or(SCHEMA)
    }

    /// What the catalog calls a table of a schema, [`SCHEMA`], [`WAREHOUSE_SCHEMA`] or a domain;
    /// none if it does not have it.
    pub fn in_schema<'a>(&'a self, schema: &str, name: &'a str) -> Option<&'a str> {
        if schema == WAREHOUSE_SCHEMA {
            return self.declared.get_key_value(&warehouse_name(name)).map(|(id, _)| id.as_str());
        }
        match self.domains.find(Some(schema), name) {
            NameMatch::One(id) => Some(id),
            NameMatch::None if self.declared.contains_key(name) => Some(name),
            NameMatch::None | NameMatch::Several(_) => None,
        }
    }

    /// The schemas in which a plain name means what the catalog calls so.
    pub fn schemas_with<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a str> {
        let has = move |schema: &&str| self.in_schema(schema, plain(id)) == Some(id);
        [SCHEMA].into_iter().chain(self.domains()).filter(has)
    }

    /// The tables that a schema lists, by their names in it and those of the catalog. Each table is
    /// listed once: in [`SCHEMA`] if its plain name means it there, else in that of its domain.
    pub fn listed(&self, schema: &str, scope: Scope) -> Vec<(&str, &str)> {
        let is_plain = |id: &str| self.in_schema(SCHEMA, plain(id)) == Some(id);
        if schema == WAREHOUSE_SCHEMA {
            let of_warehouse = self.of(scope).map(|(id, _)| id).filter(|id| is_warehouse_name(id));
            return of_warehouse.map(|id| (plain(id), id)).collect();
        }
        let is_readable = |id: &str| self.get(id).is_some_and(|meaning| refusal(meaning, scope).is_none());
        if schema == SCHEMA {
            return self.of(scope).map(|(id, _)| (plain(id), id)).filter(|(_, id)| is_plain(id)).collect();
        }
        self.domains.members(schema).filter(|(_, id)| is_readable(id) && !is_plain(id)).collect()
    }

    /// What a plain name means in a statement of this domain; an error is a message with its
    /// remedy.
    pub(super) fn resolve(&self, home: Option<&str>, name: &str) -> Result<Name, (String, String)> {
        match self.domains.find(home, name) {
            NameMatch::One(id) => Ok(Name::Table(id.to_owned())),
            // Of no domain, or of nothing: the latter is found when it is looked up.
            NameMatch::None => Ok(Name::Table(name.to_owned())),
            NameMatch::Several(candidates) => Err((
                format!("{name} is a table of several domains"),
                format!("write one of {}", candidates.join(", ")),
            )),
        }
    }

    pub(super) fn resolve_in(&self, domain: &str, name: &str, sees: Sees<'_>) -> Result<Name, (String, String)> {
        match self.domains.member(domain, name).filter(|id| sees(id)) {
            Some(id) => Ok(Name::Table(id.to_owned())),
            None if is_word_of(name, &self.unread) => Ok(Name::Table(name.to_owned())),
            None => {
                let members = self.domains.members(domain).filter(|(_, id)| sees(id));
                let known: Vec<_> = members.map(|(name, _)| name).collect();
                let remedy = format!("read one of {}, or declare it in {domain}", known.join(", "));
                Err((format!("there is no table {domain}.{name}"), remedy))
            }
        }
    }

    /// As it is written where only the first domain's names, and those of one domain alone, need no
    /// domain.
    pub(super) fn written(&self, id: &str) -> String {
        let name = plain(id);
        if self.in_schema(SCHEMA, name) == Some(id) {
            return name.to_owned();
        }
        let of = |domain: &&str| self.domains.member(domain, name) == Some(id);
        self.domains().find(of).map_or_else(|| id.to_owned(), |domain| format!("{domain}.{name}"))
    }
}
