//! Lists that are written as texts.

/// The items of an array that is written as `{a,"b c",NULL}`.
pub(crate) fn array_items(text: &str) -> Option<Vec<Option<String>>> {
    let inner = text.trim().strip_prefix('{')?.strip_suffix('}')?;
    let mut items = Vec::new();
    if inner.trim().is_empty() {
        return Some(items);
    }
    let (mut item, mut is_quoted, mut is_inside) = (String::new(), false, false);
    let mut characters = inner.chars();
    let finish = |item: &mut String, is_quoted: bool| {
        let found = std::mem::take(item);
        let found = if is_quoted { found } else { found.trim().to_owned() };
        (is_quoted || !found.eq_ignore_ascii_case("null")).then_some(found)
    };
    while let Some(character) = characters.next() {
        match character {
            '"' if !is_inside && (is_quoted || !item.trim().is_empty()) => return None,
            '"' => {
                if !is_inside {
                    item.clear();
                }
                is_inside = !is_inside;
                is_quoted = true;
            }
            // Around quotes.
            space if space.is_whitespace() && is_quoted && !is_inside => {}
            '\\' => item.push(characters.next()?),
            ',' if !is_inside => {
                items.push(finish(&mut item, is_quoted));
                is_quoted = false;
            }
            '{' | '}' if !is_inside => return None,
            _ if is_quoted && !is_inside => return None,
            other => item.push(other),
        }
    }
    items.push(finish(&mut item, is_quoted));
    (!is_inside).then_some(items)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_told_apart() {
        assert_eq!(array_items(r#"{a,"b,\"c",""}"#).expect("items").len(), 3);
        let items = array_items(r#"{ "p" , "f g", m n ,NULL,"NULL"}"#).expect("items");
        assert_eq!(
            items.iter().map(Option::as_deref).collect::<Vec<_>>(),
            [Some("p"), Some("f g"), Some("m n"), None, Some("NULL")]
        );
        assert!(array_items(r#"{"a"b}"#).is_none() && array_items(r#"{a"b"}"#).is_none());
        assert!(array_items("{1,2").is_none() && array_items("{{1}}").is_none());
    }
}
