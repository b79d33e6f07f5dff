//! `CREATE VIEW name WITH (path = '/...') AS SELECT ...`: an endpoint of the API whose answer is
//! one SQL statement.
//!
//! Placeholders are the query parameters: `$de` and `$ate` are times, `$limite` a count, `$agora`
//! the time of the request, every other one a text. A parameter that was not given is null.

mod uses;

use std::collections::BTreeSet;

use datafusion::sql::sqlparser::ast::Query;

pub use self::uses::ParameterUses;
use super::Position;
use super::options::{Options, Read};

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
        let endpoint = Self {
            name,
            path,
            description: description.map(|(text, _)| text).unwrap_or_default(),
            parameters: uses::placeholders(&query).into_iter().collect(),
            uses: ParameterUses::of(&query),
            query: Box::new(query),
            limit_default,
            position: position.clone(),
        };
        options.finish(Ok(endpoint))
    }
}
