//! `CREATE VIEW name WITH (path = '/...') AS SELECT ...`: an endpoint of the API whose answer is
//! one SQL statement.
//!
//! Placeholders are the query parameters: `$de` and `$ate` are times, `$limite` a count, `$agora`
//! the time of the request, every other one a text. A parameter that was not given is null.

mod uses;

use std::collections::BTreeSet;
use std::time::Duration;

use datafusion::sql::sqlparser::ast::Query;

pub use self::uses::ParameterUses;
use super::options::{Options, Read};
use super::syntax::{duration_like, duration_ms};
use super::{Diagnostic, Position};

/// The scope that includes all others.
const ADMIN: &str = "admin";
/// What is done with what a scope names, where it is read.
const READ: &str = ":read";

/// A path of the API and the statement that answers it.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// The view's name, in diagnostics.
    pub name: String,
    /// The URL's path, `/orders/summary`.
    pub path: String,
    /// What it answers, for the API's description.
    pub description: String,
    /// The statement, its placeholders included.
    pub query: Box<Query>,
    /// The names of its placeholders, without `$`.
    pub parameters: BTreeSet<String>,
    /// What the statement says of them.
    pub uses: ParameterUses,
    /// `$limite` when the request gives none.
    pub limit_default: usize,
    /// The scope that it needs.
    pub scope: String,
    /// How old an answer may be at most; none if that is the API's to say.
    pub cache: Option<Duration>,
    /// Where it is declared.
    pub position: Position,
}

impl Endpoint {
    pub(super) fn read(name: String, query: Query, mut options: Options, position: &Position) -> Read<Self> {
        let given = options.gather(|options| options.take_text("path"));
        let (path, at) = given.unwrap_or_else(|| (format!("/{name}"), position.clone()));
        let valid = path.starts_with('/')
            && path.len() > 1
            && path.split('/').skip(1).all(|part| {
                !part.is_empty()
                    && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b))
            });
        if !valid {
            options.refuse(at.error(
                format!("path '{path}' is not usable"),
                "write lower-case words separated by slashes, such as '/orders/summary'".into(),
            ));
        }
        let limit_default = options.gather(|options| options.take_count("limite")).unwrap_or(100);
        let description = options.gather(|options| options.take_text("descricao"));
        let scope = options.gather(take_scope).unwrap_or_else(|| format!("{name}{READ}"));
        let cache = options.gather(take_cache);
        let endpoint = Self {
            name,
            path,
            description: description.map(|(text, _)| text).unwrap_or_default(),
            parameters: uses::placeholders(&query).into_iter().collect(),
            uses: ParameterUses::of(&query),
            query: Box::new(query),
            limit_default,
            scope,
            cache,
            position: position.clone(),
        };
        options.finish(Ok(endpoint))
    }
}

fn take_scope(options: &mut Options) -> Result<Option<String>, Diagnostic> {
    let Some((text, at)) = options.take_text("scope")? else { return Ok(None) };
    let is_name =
        |name: &str| !name.is_empty() && name.chars().all(|sign| sign.is_alphanumeric() || "_.".contains(sign));
    if text == ADMIN || text.strip_suffix(READ).is_some_and(is_name) {
        return Ok(Some(text));
    }
    Err(at.error(
        format!("scope = '{text}' is not a scope to read with"),
        "write the name of a table and :read, such as 'NAME:read', or 'admin'".into(),
    ))
}

fn take_cache(options: &mut Options) -> Result<Option<Duration>, Diagnostic> {
    let Some((text, at)) = options.take_text("cache")? else { return Ok(None) };
    let ms = duration_ms(&text).and_then(|ms| u64::try_from(ms).ok());
    let ms = ms.ok_or_else(|| at.error(format!("cache = '{text}' is not a duration"), duration_like("15 minutes")))?;
    Ok(Some(Duration::from_millis(ms)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Catalog, DomainSettings, SourceFile};

    fn endpoint(options: &str) -> Result<Endpoint, String> {
        let text = format!("CREATE VIEW resumo WITH (path = '/x'{options}) AS SELECT 1 AS n;");
        let catalog = Catalog::parse(&[vec![SourceFile { path: "a.sql".into(), text }]], &DomainSettings::default());
        catalog.map(|mut catalog| catalog.endpoints.remove(0)).map_err(|errors| errors.to_string())
    }

    #[test]
    fn an_endpoint_says_which_scope_it_needs_and_how_old_its_answers_may_be() {
        let own = endpoint("").expect("an endpoint");
        assert_eq!((own.scope.as_str(), own.cache), ("resumo:read", None));
        let given = endpoint(", scope = 'vendas:read', cache = '15 minutes'").expect("an endpoint");
        assert_eq!((given.scope.as_str(), given.cache), ("vendas:read", Some(Duration::from_secs(900))));
        let never = endpoint(", scope = 'admin', cache = '0 seconds'").expect("an endpoint");
        assert_eq!((never.scope.as_str(), never.cache), ("admin", Some(Duration::ZERO)));
        for wrong in ["vendas", ":read", "vendas:write", "*:read", "a b:read", "Admin", ""] {
            let error = endpoint(&format!(", scope = '{wrong}'")).expect_err(wrong);
            assert!(error.contains(&format!("scope = '{wrong}' is not a scope to read with")), "{error}");
        }
        for wrong in ["soon", "-1 minutes", "15"] {
            let error = endpoint(&format!(", cache = '{wrong}'")).expect_err(wrong);
            assert!(error.contains(&format!("cache = '{wrong}' is not a duration")), "{error}");
        }
    }
}
