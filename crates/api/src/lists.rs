//! Pages of lists that are in memory as a whole: a cursor names the last entry that was sent, so
//! entries that come or go elsewhere in the list shift nothing.

use axum::http::header::LINK;
use axum::http::{HeaderMap, HeaderValue};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use vitral_query::{LIMIT, LIMIT_MAX};

use crate::answer::TRUNCATED;
use crate::parameters::{CURSOR, Parameters};
use crate::problem::Problem;

/// What such a list can be asked for.
pub(crate) const PARAMETERS: [&str; 2] = [LIMIT, CURSOR];
/// Entries of a page unless the request says otherwise: these lists were always given whole.
pub(crate) const LIMIT_DEFAULT: usize = LIMIT_MAX;

/// One page of entries, each with a key that no other has, and what the head says of it.
pub(crate) fn page<T>(
    parameters: &Parameters,
    path: &str,
    mut entries: Vec<(String, T)>,
) -> Result<(Vec<T>, HeaderMap), Problem> {
    let limit = parameters.limit(LIMIT_DEFAULT)?;
    let fingerprint = parameters.fingerprint(path);
    if let Some(cursor) = parameters.text(CURSOR) {
        let sent = read(cursor, &fingerprint)?;
        let last = entries.iter().position(|(key, _)| *key == sent);
        let last = last.ok_or_else(|| Problem::invalid_cursor("the entry that cursor names is not there any more"))?;
        entries.drain(..=last);
    }
    let mut headers = HeaderMap::new();
    if entries.len() > limit {
        entries.truncate(limit);
        headers.insert(TRUNCATED, HeaderValue::from_static("true"));
        if let Some((key, _)) = entries.last() {
            headers.insert(LINK, parameters.next_link(path, &write(key, &fingerprint))?);
        }
    }
    Ok((entries.into_iter().map(|(_, entry)| entry).collect(), headers))
}

fn write(key: &str, fingerprint: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("{fingerprint}.{key}"))
}

fn read(cursor: &str, fingerprint: &str) -> Result<String, Problem> {
    let text = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let parts = text.as_deref().and_then(|text| text.split_once('.'));
    let (asked, key) = parts.ok_or_else(Problem::foreign_cursor)?;
    if asked != fingerprint {
        return Err(Problem::invalid_cursor("cursor belongs to a request with other parameters"));
    }
    Ok(key.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(query: &str, names: &[&str]) -> Result<(Vec<String>, Option<String>), Problem> {
        let parameters = Parameters::read(Some(query), &PARAMETERS)?;
        let entries = names.iter().map(|name| ((*name).to_owned(), (*name).to_owned())).collect();
        let (entries, headers) = page(&parameters, "/x", entries)?;
        let link = headers.get(LINK).and_then(|link| link.to_str().ok());
        let next = link.and_then(|link| link.split_once("</x?")?.1.split_once('>')).map(|(query, _)| query.to_owned());
        Ok((entries, next))
    }

    #[test]
    fn pages_follow_each_other() {
        let names = ["a", "b.c", "ção", "d", "e"];
        let (mut query, mut seen) = ("limite=2".to_owned(), Vec::new());
        loop {
            let (entries, next) = ask(&query, &names).expect("a page");
            seen.extend(entries);
            match next {
                Some(next) => query = next,
                None => break,
            }
        }
        assert_eq!(seen, names);
        assert_eq!(ask("", &names).expect("all").0, names);
    }

    #[test]
    fn entries_that_come_and_go() {
        let (_, next) = ask("limite=2", &["a", "b", "c"]).expect("a page");
        let next = next.expect("another");
        assert_eq!(ask(&next, &["new", "b", "c", "d"]).expect("a page").0, ["c", "d"]);
        assert!(ask(&next, &["a", "c"]).is_err() && ask("cursor=abc", &["a"]).is_err());
    }
}
