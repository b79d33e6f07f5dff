//! A JSON object as rows of texts: one for each element of its lists, a text for each path.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use vitral_catalog::Input;

/// One row of the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    /// In the order of the input's fields; none for what is not there.
    pub texts: Vec<Option<String>>,
    /// The place in the innermost list, from 1; none of a row without that list.
    pub place: Option<i64>,
}

/// Why a body has no rows.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    TooMany,
    /// Each in the order of its row.
    Odd(Vec<Odd>),
}

/// A part of the body that is neither absent nor of the form that the input's paths lead through.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Odd {
    /// The row that it would belong to, from 0.
    pub row: usize,
    /// Where it is, with the places in lists from 0.
    pub path: String,
    pub what: &'static str,
}

/// The body itself, or the elements of one list.
struct Level<'a> {
    /// The input's fields that are read from its elements, and their paths there.
    fields: Vec<(usize, Vec<&'a str>)>,
    /// Where the next list lies in them, if there is one.
    next: Option<Vec<&'a str>>,
}

/// The rows of a body, no more than so many.
pub(super) fn rows(body: &RawValue, input: &Input, rows_max: usize) -> Result<Vec<Row>, Unfit> {
    let levels = levels(input);
    let texts = vec![None; input.fields.len()];
    let mut walk = Walk { levels: &levels, texts, rows: Vec::new(), odd: Vec::new(), rows_max };
    walk.element(0, body, None, "");
    match walk {
        Walk { rows, .. } if rows.len() > rows_max => Err(Unfit::TooMany),
        Walk { rows, odd, .. } if odd.is_empty() => Ok(rows),
        Walk { odd, .. } => Err(Unfit::Odd(odd)),
    }
}

fn levels(input: &Input) -> Vec<Level<'_>> {
    let within = |list: &str, path: &str| path.strip_prefix(list).is_some_and(|rest| rest.starts_with('.'));
    let depth_of = |path: &str| input.lists.iter().filter(|list| within(list, path)).count();
    let below = |depth: usize| depth.checked_sub(1).map_or(0, |above| input.lists[above].len() + 1);
    let level = |depth: usize| {
        let fields = input.fields.iter().enumerate().filter(|(_, field)| depth_of(field) == depth);
        Level {
            fields: fields.map(|(index, field)| (index, field[below(depth)..].split('.').collect())).collect(),
            next: input.lists.get(depth).map(|list| list[below(depth)..].split('.').collect()),
        }
    };
    (0..=input.lists.len()).map(level).collect()
}

struct Walk<'a> {
    levels: &'a [Level<'a>],
    /// Of the elements that are walked through now.
    texts: Vec<Option<String>>,
    rows: Vec<Row>,
    odd: Vec<Odd>,
    rows_max: usize,
}

impl Walk<'_> {
    /// `path` leads to the element.
    fn element(&mut self, depth: usize, element: &RawValue, place: Option<i64>, path: &str) {
        let levels = self.levels;
        let level = &levels[depth];
        // Of the element before.
        for (index, _) in levels[depth..].iter().flat_map(|level| &level.fields) {
            self.texts[*index] = None;
        }
        let mut wanted: Vec<(usize, &[&str])> = Vec::with_capacity(level.fields.len() + 1);
        wanted.extend(level.fields.iter().enumerate().map(|(slot, (_, path))| (slot, path.as_slice())));
        wanted.extend(level.next.iter().map(|path| (level.fields.len(), path.as_slice())));
        let mut found = vec![None; wanted.len()];
        if let Err(below) = pick(element, &wanted, &mut found) {
            return self.push_odd(format!("{path}{below}"), "is not an object");
        }
        for (slot, (index, own)) in level.fields.iter().enumerate() {
            if found[slot].is_some_and(is_nested) && !goes_on(own, &wanted) {
                return self.push_odd(format!("{path}.{}", own.join(".")), "is neither a text nor a number");
            }
            self.texts[*index] = found[slot].and_then(text);
        }
        let Some(next) = &level.next else { return self.push(place) };
        let next = next.join(".");
        let list = found.pop().flatten().filter(|list| list.get() != "null");
        let elements = list.map_or(Ok(Vec::new()), |list| serde_json::from_str::<Vec<&RawValue>>(list.get()));
        let Ok(elements) = elements else { return self.push_odd(format!("{path}.{next}"), "is not a list") };
        // Without its list a body has no rows, and an element of a list is one.
        if elements.is_empty() && depth > 0 {
            return self.push(None);
        }
        for (number, element) in (1..).zip(elements) {
            if self.rows.len() > self.rows_max {
                return;
            }
            self.element(depth + 1, element, Some(number), &format!("{path}.{next}[{}]", number - 1));
        }
    }

    fn push(&mut self, place: Option<i64>) {
        self.rows.push(Row { texts: self.texts.clone(), place });
    }

    /// Its row stays among the others, so that they are counted right.
    fn push_odd(&mut self, path: String, what: &'static str) {
        let path = path.trim_start_matches('.').to_owned();
        self.odd.push(Odd { row: self.rows.len(), path, what });
        self.push(None);
    }
}

/// Puts the values at these paths into their slots. Each object is read once, whatever is wanted of
/// it. An error with the path of what should be an object and is not.
fn pick<'a>(
    value: &'a RawValue,
    wanted: &[(usize, &[&str])],
    found: &mut [Option<&'a RawValue>],
) -> Result<(), String> {
    let object = serde_json::from_str::<BTreeMap<String, &'a RawValue>>(value.get()).map_err(|_| String::new())?;
    let mut nested: BTreeMap<&str, Vec<(usize, &[&str])>> = BTreeMap::new();
    for (slot, path) in wanted {
        let Some((head, rest)) = path.split_first() else { continue };
        match object.get(*head) {
            None => {}
            Some(value) if rest.is_empty() => found[*slot] = Some(value),
            Some(_) => nested.entry(head).or_default().push((*slot, rest)),
        }
    }
    for (head, below) in nested {
        // What is also wanted by itself may be a text here and an object there.
        let is_wanted = wanted.iter().any(|(_, path)| *path == [head]);
        let value = object.get(head).filter(|value| value.get() != "null" && (is_object(value) || !is_wanted));
        if let Some(value) = value {
            pick(value, &below, found).map_err(|rest| format!(".{head}{rest}"))?;
        }
    }
    Ok(())
}

fn is_object(value: &RawValue) -> bool {
    value.get().starts_with('{')
}

fn is_nested(value: &RawValue) -> bool {
    value.get().starts_with(['{', '['])
}

/// Whether something is wanted from within what lies at this path.
fn goes_on(path: &[&str], wanted: &[(usize, &[&str])]) -> bool {
    wanted.iter().any(|(_, other)| other.len() > path.len() && other.starts_with(path))
}

/// A text without its quotes, and everything else as it is written.
fn text(value: &RawValue) -> Option<String> {
    match value.get() {
        "null" => None,
        quoted if quoted.starts_with('"') => Some(serde_json::from_str(quoted).unwrap_or_else(|_| quoted.to_owned())),
        other => Some(other.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use vitral_catalog::{Catalog, DomainSettings, SourceFile};

    use super::*;

    fn input() -> Input {
        let text = "CREATE TABLE e (u TEXT, t TIMESTAMP NOT NULL)
             WITH (connector = 'kafka', event_time = 't', path = '/e', scope = 'e:write');
             CREATE VIEW w WITH (input_for = 'e', rows = 'a, a.p.c')
             AS SELECT \"u\" AS u, \"a.n\" AS n, \"a.p.x\" AS x, \"a.p.c.d\" AS d FROM corpo;";
        let file = SourceFile { path: "a.sql".to_owned(), text: text.to_owned() };
        let catalog = Catalog::parse(&[vec![file]], &DomainSettings::default()).expect("a catalog");
        catalog.inputs.into_iter().next().expect("an input")
    }

    fn of(body: &str) -> Result<Vec<(String, Option<i64>)>, Unfit> {
        let body: &RawValue = serde_json::from_str(body).expect("JSON");
        let line = |row: Row| {
            let texts: Vec<String> = row.texts.into_iter().map(|text| text.unwrap_or_else(|| "-".to_owned())).collect();
            (texts.join(" "), row.place)
        };
        Ok(rows(body, &input(), 4)?.into_iter().map(line).collect())
    }

    #[test]
    fn each_element_is_a_row_with_what_is_around_it() {
        let body =
            r#"{"u":"é","a":[{"n":1,"p":{"x":10.10,"c":[{"d":"y"},{"d":null},{"e":1}]}},{"n":"b"},{"p":{"c":[]}}]}"#;
        let row = |text: &str, place| (text.to_owned(), place);
        assert_eq!(
            of(&body.replace(r#",{"p":{"c":[]}}"#, "")),
            Ok(vec![
                row("é 1 10.10 y", Some(1)),
                row("é 1 10.10 -", Some(2)),
                row("é 1 10.10 -", Some(3)),
                row("é b - -", None),
            ])
        );
        assert_eq!(of(body), Err(Unfit::TooMany), "more rows than there may be");
        for none in [r#"{"u":1}"#, r#"{"a":[]}"#, r#"{"a":null}"#] {
            assert_eq!(of(none), Ok(Vec::new()), "{none}");
        }
        for one in [r#"{"a":[{}]}"#, r#"{"a":[{"p":null}]}"#, r#"{"a":[{"p":{"c":null}}]}"#] {
            assert_eq!(of(one), Ok(vec![row("- - - -", None)]), "{one}");
        }
    }

    #[test]
    fn what_paths_do_not_lead_through_is_named() {
        let odd = |row: usize, path: &str, what: &'static str| Odd { row, path: path.to_owned(), what };
        for (body, expected) in [
            (r#"{"a":"x"}"#, vec![odd(0, "a", "is not a list")]),
            (r#"{"u":{},"a":[]}"#, vec![odd(0, "u", "is neither a text nor a number")]),
            (
                r#"{"a":[{},7,{"p":[]},{"n":[1]}]}"#,
                vec![
                    odd(1, "a[1]", "is not an object"),
                    odd(2, "a[2].p", "is not an object"),
                    odd(3, "a[3].n", "is neither a text nor a number"),
                ],
            ),
            (
                r#"{"a":[{"p":{"c":[{},null]}},{"p":{"c":{}}},{"p":{"c":[[{}]]}}]}"#,
                vec![
                    odd(1, "a[0].p.c[1]", "is not an object"),
                    odd(2, "a[1].p.c", "is not a list"),
                    odd(3, "a[2].p.c[0]", "is not an object"),
                ],
            ),
        ] {
            assert_eq!(of(body), Err(Unfit::Odd(expected)), "{body}");
        }
    }
}
