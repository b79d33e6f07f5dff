//! From a statement through the views that it reads to what these are made of.

use datafusion::sql::sqlparser::ast::Query;

use super::place::place_of;
use super::{
    INFORMATION_SCHEMA, Meaning, NOW_SCHEMA, Name, Names, Needs, Scope, ViewQuery, is_warehouse_name, plain, push_new,
    refusal,
};
use crate::{Diagnostic, Position};

/// Which names there are for the one who asks, by what the catalog calls them.
pub(super) type Sees<'a> = &'a dyn Fn(&str) -> bool;

impl Names {
    /// What a statement reads. Errors name its place, or that of the view that is wrong; there are
    /// none where all that is missing is declared by statements that could not be read.
    pub fn needs(&self, query: &Query, position: &Position, scope: Scope) -> Result<Needs, Vec<Diagnostic>> {
        self.needs_seen(query, position, scope, &|_| true)
    }

    /// The same for one who may name only what `sees` says, by what the catalog calls it: all else
    /// is missing. What views read is not asked.
    pub fn needs_seen(
        &self,
        query: &Query,
        position: &Position,
        scope: Scope,
        sees: &dyn Fn(&str) -> bool,
    ) -> Result<Needs, Vec<Diagnostic>> {
        let (names, mut errors) = self.named_by(query, position, sees);
        let mut needs = Needs { domain: self.domains.of_file(&position.file).map(str::to_owned), ..Needs::default() };
        let Some(names) = names else { return Err(errors) };
        let mut complete = errors.is_empty();
        let behind = self.behind_sums(query);
        for name in &behind {
            let at = || place_of(query, name, position);
            // Who may read the sums need not be able to name their topic.
            let mut walk = Walk { names: self, scope, sees: &|_| true, statement: (query, position), path: Vec::new() };
            complete &= walk.add(name, &at, &mut needs, &mut errors);
        }
        // Last, so that what only they name is known.
        let (listings, named): (Vec<_>, Vec<_>) = names.iter().partition(|name| matches!(name, Name::Information(_)));
        for name in named.into_iter().chain(listings) {
            let mut walk = Walk { names: self, scope, sees, statement: (query, position), path: Vec::new() };
            let at = || place_of(query, name, position);
            complete &= walk.add(name, &at, &mut needs, &mut errors);
        }
        if complete { Ok(needs) } else { Err(errors) }
    }
}

/// The way from a statement through views to what they read.
struct Walk<'a> {
    names: &'a Names,
    scope: Scope,
    sees: Sees<'a>,
    /// The statement that is looked into, and where it is.
    statement: (&'a Query, &'a Position),
    /// The views that are being looked into.
    path: Vec<&'a str>,
}

impl<'a> Walk<'a> {
    /// Depth first. False if something is missing.
    fn add(
        &mut self,
        name: &'a Name,
        at: &dyn Fn() -> Position,
        needs: &mut Needs,
        errors: &mut Vec<Diagnostic>,
    ) -> bool {
        match name {
            Name::Newest(hidden) if self.hides(hidden) => return self.miss(plain(hidden), true, at, errors),
            Name::Table(hidden) if self.hides(hidden) => return self.miss(unqualified(hidden), false, at, errors),
            _ if needs.names.contains(name) => return true,
            _ => {}
        }
        let found = match name {
            Name::Information(_) => self.add_all(name, needs, errors),
            Name::Newest(metric) => match self.names.get(metric) {
                Some(Meaning::Metric { topic }) if self.scope != Scope::History => {
                    needs.topics.insert(topic.clone());
                    true
                }
                Some(Meaning::Metric { .. }) => self.refuse_newest(metric, at, errors),
                _ => self.miss(metric, true, at, errors),
            },
            Name::Table(table) => match self.names.get(table) {
                None => self.miss(table, false, at, errors),
                Some(meaning) if refusal(meaning, self.scope).is_some() => self.refuse(table, meaning, errors),
                Some(Meaning::View(view)) => self.add_view(table, view, needs, errors),
                Some(meaning) => {
                    self.names.add_topics(table, meaning, needs);
                    true
                }
            },
        };
        if found && !needs.names.contains(name) {
            needs.names.push(name.clone());
        }
        found
    }

    /// Whether the statement itself names what is not there for the one who asks.
    fn hides(&self, name: &str) -> bool {
        self.path.is_empty() && !(self.sees)(name)
    }

    fn add_view(
        &mut self,
        name: &'a str,
        view: &'a ViewQuery,
        needs: &mut Needs,
        errors: &mut Vec<Diagnostic>,
    ) -> bool {
        if let Some(begin) = self.path.iter().position(|known| *known == name) {
            push_new(errors, self.names.circle(&self.path[begin..]));
            return false;
        }
        self.path.push(name);
        let mut complete = true;
        for inner in &view.reads {
            let at = || place_of(&view.query, inner, &view.position);
            complete &= self.add(inner, &at, needs, errors);
        }
        self.path.pop();
        complete
    }

    /// A table that lists all others has to know them.
    fn add_all(&mut self, name: &Name, needs: &mut Needs, errors: &mut Vec<Diagnostic>) -> bool {
        // A view that listed all tables would list itself.
        if self.scope != Scope::Stored || !self.path.is_empty() {
            let (query, position) = self.statement;
            let at = place_of(query, name, position);
            errors.push(at.error(
                format!("{INFORMATION_SCHEMA} is not available to statements of the catalog"),
                "name the tables that you need; `vitral query` reads it".into(),
            ));
            return false;
        }
        for (table, meaning) in self.names.of(self.scope).filter(|(table, _)| (self.sees)(table)) {
            let known = Name::Table(table.to_owned());
            if needs.names.contains(&known) {
                continue;
            }
            // A view that is itself wrong is left out.
            let inner = match meaning {
                Meaning::View(view) => {
                    let statement = (view.query.as_ref(), &view.position);
                    let (names, scope, sees) = (self.names, self.scope, self.sees);
                    let mut walk = Walk { names, scope, sees, statement, path: Vec::new() };
                    let mut inner = Needs::default();
                    walk.add_view(table, view, &mut inner, &mut Vec::new()).then_some(inner)
                }
                other => {
                    let mut own = Needs::default();
                    self.names.add_topics(table, other, &mut own);
                    Some(own)
                }
            };
            if let Some(inner) = inner {
                needs.topics.extend(inner.topics);
                needs.names.push(known);
                needs.listed.insert(table.to_owned());
            }
        }
        true
    }

    fn miss(&self, name: &str, only_metrics: bool, at: &dyn Fn() -> Position, errors: &mut Vec<Diagnostic>) -> bool {
        if let Some(error) = self.names.unknown(name, only_metrics, (self.scope, self.sees), &at()) {
            push_new(errors, error);
        }
        false
    }

    /// Jobs and checks see windows that are final; the newest one seldom is.
    fn refuse_newest(&self, metric: &str, at: &dyn Fn() -> Position, errors: &mut Vec<Diagnostic>) -> bool {
        let message =
            format!("{NOW_SCHEMA}.{metric} is a window that can still change, which jobs and checks cannot read");
        push_new(errors, at().error(message, format!("read {metric}, whose windows are final here")));
        false
    }

    /// The statement itself is what must change, not the views on the way.
    fn refuse(&self, name: &str, meaning: &Meaning, errors: &mut Vec<Diagnostic>) -> bool {
        let Some(why) = refusal(meaning, self.scope) else { return true };
        let (query, position) = self.statement;
        let (at, through) = match self.path.first() {
            None => (place_of(query, &Name::Table(name.to_owned()), position), String::new()),
            Some(first) => (
                place_of(query, &Name::Table((*first).to_owned()), position),
                format!(", which is read by {},", self.path.join(" -> ")),
            ),
        };
        let remedy = match self.scope {
            _ if matches!(meaning, Meaning::Lookup { .. }) => {
                "read the topic's columns that are looked up in it".to_owned()
            }
            Scope::History => {
                "read topics, metrics, tables that are kept up to date, reference tables, and views of these".to_owned()
            }
            _ => "`vitral query` reads it".to_owned(),
        };
        push_new(errors, at.error(format!("{name}{through} {why}"), remedy));
        false
    }
}

/// As a name is said that nobody has declared: what is hidden looks the same.
fn unqualified(name: &str) -> &str {
    if is_warehouse_name(name) { name } else { plain(name) }
}
