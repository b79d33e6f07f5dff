//! What is granted, as it is written: scopes and row filters.

use std::collections::{BTreeMap, BTreeSet};

use vitral_query::{RowFilters, Scopes};

/// What cannot be granted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each variant says what it is")]
pub enum WrongGrant {
    #[error("{0:?} is not a scope: write NAME:read, *:read, NAME:write or admin")]
    Scope(String),
    #[error("{0:?} is not a filter: write COLUMN=VALUE")]
    Filter(String),
}

/// The scopes that are written so.
///
/// # Errors
/// The first that is none.
pub fn scopes<'a>(written: impl IntoIterator<Item = &'a str>) -> Result<Scopes, WrongGrant> {
    let checked = written.into_iter().map(|scope| match is_scope(scope) {
        true => Ok(scope.to_owned()),
        false => Err(WrongGrant::Scope(scope.to_owned())),
    });
    Ok(checked.collect::<Result<Vec<String>, _>>()?.into_iter().collect())
}

/// The filters that are written as `COLUMN=VALUE`; several values of one column are all seen.
///
/// # Errors
/// The first that is none.
pub fn row_filters<'a>(written: impl IntoIterator<Item = &'a str>) -> Result<RowFilters, WrongGrant> {
    let mut filters = BTreeMap::<String, BTreeSet<String>>::new();
    for filter in written {
        let parts = filter.split_once('=').filter(|(column, _)| is_column(column));
        let (column, value) = parts.ok_or_else(|| WrongGrant::Filter(filter.to_owned()))?;
        filters.entry(column.to_owned()).or_default().insert(value.to_owned());
    }
    Ok(filters.into_iter().collect())
}

/// Whether it is one of the forms that scopes have.
pub(crate) fn is_scope(text: &str) -> bool {
    match text.split_once(':') {
        Some(("*", "read")) => true,
        Some((name, "read" | "write")) => is_name(name),
        Some(_) => false,
        None => text == Scopes::ADMIN,
    }
}

/// `name`, or `domain.name`.
fn is_name(text: &str) -> bool {
    text.split('.').all(is_column)
}

pub(crate) fn is_column(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|char| char.is_alphanumeric() || matches!(char, '_' | '-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_of_another_form_is_named() {
        let granted =
            scopes(["vendas:read", "*:read", "eventos:write", "armazem.vendas:read", "admin"]).expect("scopes");
        assert_eq!(granted.iter().count(), 5);
        for wrong in ["", "*", "vendas", "vendas:", ":read", "*:write", "vendas:drop", "ADMIN", "a b:read", "a:read:b"]
        {
            assert_eq!(scopes(["admin", wrong]), Err(WrongGrant::Scope(wrong.to_owned())), "{wrong}");
        }
    }

    #[test]
    fn a_filter_has_a_column_and_a_value() {
        let filters = row_filters(["loja=A", "loja=B=C", "regiao="]).expect("filters");
        let shown: Vec<_> = filters.iter().map(|(column, values)| (column, values.len())).collect();
        assert_eq!(shown, [("loja", 2), ("regiao", 1)]);
        for wrong in ["", "loja", "=A", "lo ja=A", "loja;x=1"] {
            assert_eq!(row_filters([wrong]), Err(WrongGrant::Filter(wrong.to_owned())), "{wrong}");
        }
    }
}
