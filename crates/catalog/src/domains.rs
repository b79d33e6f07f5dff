//! Which domain a name belongs to, and what a name means where it is written.
//!
//! `domain.name` is that domain's. A plain name is looked up in the domain of the statement, then
//! in the first domain in use, then in all others: if several of these have it, the statement must
//! say which.

use std::collections::BTreeMap;
use std::fmt;

use super::builtin::is_shipped;
use super::{Diagnostic, Position};

/// Where statements of the first domain, and of none, look up plain names. Those of another domain
/// have the schema of its name.
pub const SCHEMA: &str = "public";
/// `agora.metric` is the newest window of a metric that has begun. To ask the metric itself for it
/// would mean reading its whole history for the last start, at each request.
pub const NOW_SCHEMA: &str = "agora";
/// `soma.table` has sums of the rows of a table that declares `rollup`, in a range of time.
pub const SUMS_SCHEMA: &str = "soma";
/// `armazem.table` is a table that a job writes.
pub const WAREHOUSE_SCHEMA: &str = "armazem";
/// The names and columns of everything, as every SQL client expects them.
pub const INFORMATION_SCHEMA: &str = "information_schema";

/// Names that no domain can have, as SQL uses them for something else.
pub(super) const RESERVED: [&str; 6] =
    [SCHEMA, NOW_SCHEMA, SUMS_SCHEMA, WAREHOUSE_SCHEMA, INFORMATION_SCHEMA, "vitral"];

/// The domains in use, and what they declare.
#[derive(Debug, Clone, Default)]
pub(super) struct Domains {
    /// Names of the first need no domain before them.
    order: Vec<String>,
    /// By domain: each name as the domain writes it, and what the catalog calls it.
    members: BTreeMap<String, BTreeMap<String, String>>,
    /// The domains of files, where these are not of the first.
    files: BTreeMap<String, String>,
    owners: BTreeMap<(Space, String), Owner>,
    pub(super) replaced: Vec<Replaced>,
}

/// A statement in the place of an earlier file's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replaced {
    /// What both declare.
    pub what: &'static str,
    /// Its name, or its path.
    pub name: String,
    /// Where it is declared.
    pub position: Position,
    /// Where the other was.
    pub earlier: Position,
}

impl fmt::Display for Replaced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, name, position, earlier } = self;
        let shipped = if is_shipped(&earlier.file) { "the shipped one" } else { "that" };
        write!(f, "{position}: the {what} {name} replaces {shipped} of {}", earlier.file)
    }
}

#[derive(Debug, Clone)]
struct Owner {
    domain: Option<String>,
    position: Position,
}

/// What a statement declares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Topic,
    Metric,
    Keyed,
    RowLog,
    Reference,
    View,
    Endpoint,
    Job,
    Check,
    Profile,
    Input,
}

/// Things that may not have the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Space {
    Tables,
    Endpoints,
    Jobs,
    Checks,
    Profiles,
    Inputs,
}

/// What a plain name may mean.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NameMatch<'a> {
    One(&'a str),
    /// All of them, each with its domain.
    Several(Vec<String>),
    /// A name of no domain, or of nothing.
    None,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Topic => "topic",
            Self::Metric => "metric",
            Self::Keyed => "table",
            Self::RowLog => "log",
            Self::Reference => "reference table",
            Self::View => "view",
            Self::Endpoint => "endpoint",
            Self::Job => "job table",
            Self::Check => "check",
            Self::Profile => "profile",
            Self::Input => "input",
        }
    }

    fn space(self) -> Space {
        match self {
            Self::Topic | Self::Metric | Self::Keyed | Self::RowLog | Self::Reference | Self::View => Space::Tables,
            Self::Endpoint => Space::Endpoints,
            Self::Job => Space::Jobs,
            Self::Check => Space::Checks,
            Self::Profile => Space::Profiles,
            Self::Input => Space::Inputs,
        }
    }

    /// Whether two domains can have one of the same name. All others are stored, served or reported
    /// under their names.
    fn may_repeat(self) -> bool {
        matches!(self, Self::Reference | Self::View)
    }
}

impl Domains {
    pub(super) fn in_order(order: &[String]) -> Self {
        Self { order: order.to_vec(), ..Self::default() }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &str> {
        self.order.iter().map(String::as_str)
    }

    fn first(&self) -> Option<&str> {
        self.order.first().map(String::as_str)
    }

    /// The domain of the statements in this file; none for the first one and for statements of no
    /// file.
    pub(super) fn of_file(&self, file: &str) -> Option<&str> {
        self.files.get(file).map(String::as_str)
    }

    pub(super) fn add_file(&mut self, file: &str, domain: &str) {
        if self.first() != Some(domain) {
            self.files.insert(file.to_owned(), domain.to_owned());
        }
    }

    /// What the catalog calls a domain's own name.
    pub(super) fn member(&self, domain: &str, name: &str) -> Option<&str> {
        self.members.get(domain)?.get(name).map(String::as_str)
    }

    /// The names of a domain, each with what the catalog calls it.
    pub(super) fn members(&self, domain: &str) -> impl Iterator<Item = (&str, &str)> {
        self.members.get(domain).into_iter().flatten().map(|(name, id)| (name.as_str(), id.as_str()))
    }

    /// What a plain name means in a statement of this domain, or in one of the first.
    pub(super) fn find(&self, domain: Option<&str>, name: &str) -> NameMatch<'_> {
        if let Some(id) = domain.into_iter().chain(self.first()).find_map(|domain| self.member(domain, name)) {
            return NameMatch::One(id);
        }
        let all: Vec<_> = self.all().filter_map(|domain| Some((domain, self.member(domain, name)?))).collect();
        match all.as_slice() {
            [] => NameMatch::None,
            [(_, id)] => NameMatch::One(id),
            all => NameMatch::Several(all.iter().map(|(domain, _)| format!("{domain}.{name}")).collect()),
        }
    }

    /// What the catalog calls `name` or `domain.name`; none if there is no such member, or several.
    pub(super) fn find_written(&self, domain: Option<&str>, written: &str) -> Option<&str> {
        match written.split_once('.') {
            Some((domain, name)) => self.member(domain, name),
            None => match self.find(domain, written) {
                NameMatch::One(id) => Some(id),
                NameMatch::Several(_) | NameMatch::None => None,
            },
        }
    }

    /// What the catalog calls something that is declared, by this domain or over all of them. Of
    /// two domains' views or reference tables of one name the later one is called `domain.name`.
    pub(super) fn place(
        &mut self,
        kind: Kind,
        name: &str,
        domain: Option<&str>,
        position: &Position,
    ) -> Result<String, Diagnostic> {
        let space = kind.space();
        let owner = self.owners.get(&(space, name.to_owned()));
        let own = domain.filter(|_| space == Space::Tables).and_then(|domain| self.member(domain, name));
        let id = match (domain, own) {
            (_, Some(own)) => own.to_owned(),
            (None, None) if space == Space::Tables => match self.find(None, name) {
                NameMatch::One(id) => id.to_owned(),
                NameMatch::None => name.to_owned(),
                NameMatch::Several(candidates) => {
                    return Err(position.error(
                        format!("{name} would replace a table of several domains: {}", candidates.join(", ")),
                        "give this folder a domain.toml with the name of one of them".to_owned(),
                    ));
                }
            },
            (None, None) => name.to_owned(),
            (Some(domain), None) => match owner {
                Some(owner) if owner.domain.as_deref() != Some(domain) => format!("{domain}.{name}"),
                _ => name.to_owned(),
            },
        };
        if id != name && !kind.may_repeat() {
            let other = owner.map(|owner| format!(" and at {}", owner.position)).unwrap_or_default();
            return Err(position.error(
                format!("{name} is declared by two domains: here{other}"),
                "rename one of the two: domains may share only the names of views and reference tables".to_owned(),
            ));
        }
        let domain = domain.map(str::to_owned);
        let domain = domain.or_else(|| self.owners.get(&(space, id.clone()))?.domain.clone());
        let domain = domain.or_else(|| self.first().map(str::to_owned));
        if space == Space::Tables
            && let Some(domain) = &domain
        {
            self.members.entry(domain.clone()).or_default().insert(name.to_owned(), id.clone());
        }
        let earlier = self.owners.insert((space, id.clone()), Owner { domain, position: position.clone() });
        if let Some(Owner { position: earlier, .. }) = earlier.filter(|earlier| earlier.position.file != position.file)
        {
            let (what, name) = (kind.word(), id.clone());
            self.replaced.push(Replaced { what, name, position: position.clone(), earlier });
        }
        Ok(id)
    }
}

/// The name without its domain.
pub fn plain(id: &str) -> &str {
    id.rsplit_once('.').map_or(id, |(_, name)| name)
}

#[cfg(test)]
mod tests;
