//! What a token's claims grant.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use vitral_query::{Principal, RowFilters, Scopes};

use crate::grants;

pub(super) type Claims = Map<String, Value>;

/// In which claims scopes and filters are.
#[derive(Debug)]
pub(super) struct GrantClaims {
    pub(super) scopes: String,
    pub(super) filters: Option<String>,
}

impl GrantClaims {
    /// Whose token it is, and what it grants; why it grants nothing otherwise.
    pub(super) fn principal(&self, claims: &Claims) -> Result<Principal, String> {
        let subject = claims.get("sub").and_then(Value::as_str).filter(|subject| !subject.is_empty());
        let subject = subject.ok_or("it has no claim sub")?;
        Ok(Principal::new(&format!("oidc:{subject}"), self.scopes(claims), self.filters(claims)?))
    }

    pub(super) fn has_scopes(&self, claims: &Claims) -> bool {
        claims.contains_key(&self.scopes)
    }

    /// Those of its scopes that are ours: providers add `openid` and others.
    fn scopes(&self, claims: &Claims) -> Scopes {
        let texts: Vec<&str> = match claims.get(&self.scopes) {
            Some(Value::String(text)) => text.split_whitespace().collect(),
            Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        texts.into_iter().filter(|text| grants::is_scope(text)).collect()
    }

    /// A claim that is missing where one is expected must not open every row.
    fn filters(&self, claims: &Claims) -> Result<RowFilters, String> {
        let Some(name) = &self.filters else { return Ok(RowFilters::default()) };
        let wrong = || format!("its claim {name} is not an object of columns and values");
        let columns = claims.get(name).and_then(Value::as_object).ok_or_else(wrong)?;
        let mut filters = BTreeMap::<String, BTreeSet<String>>::new();
        for (column, values) in columns {
            let values = match values {
                Value::Array(items) => items.iter().map(text).collect(),
                value => text(value).map(|text| BTreeSet::from([text])),
            };
            let values = values.filter(|_| grants::is_column(column)).ok_or_else(wrong)?;
            filters.insert(column.clone(), values);
        }
        Ok(filters.into_iter().collect())
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(claims: &Value) -> Result<Principal, String> {
        let names = GrantClaims { scopes: "scope".to_owned(), filters: Some("vitral_filters".to_owned()) };
        names.principal(claims.as_object().expect("claims"))
    }

    #[test]
    fn scopes_are_a_text_or_a_list_and_those_of_others_are_left_out() {
        for scope in [json!("openid vendas:read  root *:write"), json!(["openid", "vendas:read", 7, "*:*"])] {
            let principal = of(&json!({ "sub": "a", "scope": scope, "vitral_filters": {} })).expect("a principal");
            assert_eq!(principal.scopes().iter().collect::<Vec<_>>(), ["vendas:read"]);
            assert_eq!(principal.id(), "oidc:a");
        }
        for claims in [
            json!({ "sub": "a", "vitral_filters": {} }),
            json!({ "sub": "a", "scope": { "admin": true }, "vitral_filters": {} }),
        ] {
            assert_eq!(of(&claims).expect("a principal").scopes().iter().count(), 0);
        }
        assert!(of(&json!({ "scope": "admin", "vitral_filters": {} })).is_err(), "nobody's");
    }

    #[test]
    fn filters_that_cannot_be_read_open_nothing() {
        let filters = json!({ "loja": ["A", "B"], "numero": 7, "regiao": [] });
        let principal = of(&json!({ "sub": "a", "vitral_filters": filters })).expect("a principal");
        let shown: Vec<_> = principal.filters().iter().map(|(column, values)| (column, values.len())).collect();
        assert_eq!(shown, [("loja", 2), ("numero", 1), ("regiao", 0)]);
        for wrong in [
            Value::Null,
            json!("loja=A"),
            json!([]),
            json!({ "loja": { "a": 1 } }),
            json!({ "loja": [["A"]] }),
            json!({ "lo ja": "A" }),
        ] {
            assert!(of(&json!({ "sub": "a", "scope": "*:read", "vitral_filters": wrong })).is_err(), "{wrong}");
        }
        assert!(of(&json!({ "sub": "a", "scope": "*:read" })).is_err(), "the claim is missing");
    }
}
