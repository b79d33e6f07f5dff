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

/// The body itself, or the elements of one list.
struct Level<'a> {
    /// The input's fields that are read from its elements, and their paths there.
    fields: Vec<(usize, Vec<&'a str>)>,
    /// Where the next list lies in them, if there is one.
    next: Option<Vec<&'a str>>,
}

/// The rows of a body; none if there are more than so many.
pub(super) fn rows(body: &RawValue, input: &Input, rows_max: usize) -> Option<Vec<Row>> {
    let levels = levels(input);
    let mut walk = Walk { levels: &levels, texts: vec![None; input.fields.len()], rows: Vec::new(), rows_max };
    walk.element(0, body, None);
    (walk.rows.len() <= rows_max).then_some(walk.rows)
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
    rows_max: usize,
}

impl Walk<'_> {
    fn element(&mut self, depth: usize, element: &RawValue, place: Option<i64>) {
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
        pick(element, &wanted, &mut found);
        for (slot, (index, _)) in level.fields.iter().enumerate() {
            self.texts[*index] = found[slot].and_then(text);
        }
        let Some(_) = &level.next else { return self.push(place) };
        let list = found.pop().flatten().and_then(|list| serde_json::from_str::<Vec<&RawValue>>(list.get()).ok());
        match list.filter(|elements| !elements.is_empty()) {
            Some(elements) => {
                for (number, element) in (1..).zip(elements) {
                    if self.rows.len() > self.rows_max {
                        return;
                    }
                    self.element(depth + 1, element, Some(number));
                }
            }
            // Without its list a body has no rows, and an element of a list is one.
            None if depth == 0 => {}
            None => self.push(None),
        }
    }

    fn push(&mut self, place: Option<i64>) {
        self.rows.push(Row { texts: self.texts.clone(), place });
    }
}

/// Puts the values at these paths into their slots. Each object is read once, whatever is wanted of
/// it.
fn pick<'a>(value: &'a RawValue, wanted: &[(usize, &[&str])], found: &mut [Option<&'a RawValue>]) {
    let Ok(object) = serde_json::from_str::<BTreeMap<String, &'a RawValue>>(value.get()) else { return };
    let mut nested: BTreeMap<&str, Vec<(usize, &[&str])>> = BTreeMap::new();
    for (slot, path) in wanted {
        let Some((head, rest)) = path.split_first() else { continue };
        match object.get(*head) {
            None => {}
            Some(value) if rest.is_empty() => found[*slot] = Some(value),
            Some(_) => nested.entry(head).or_default().push((*slot, rest)),
        }
    }
    for (head, wanted) in nested {
        if let Some(value) = object.get(head) {
            pick(value, &wanted, found);
        }
    }
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

    fn of(body: &str) -> Option<Vec<(String, Option<i64>)>> {
        let body: &RawValue = serde_json::from_str(body).expect("JSON");
        let line = |row: Row| {
            let texts: Vec<String> = row.texts.into_iter().map(|text| text.unwrap_or_else(|| "-".to_owned())).collect();
            (texts.join(" "), row.place)
        };
        Some(rows(body, &input(), 4)?.into_iter().map(line).collect())
    }

    #[test]
    fn each_element_is_a_row_with_what_is_around_it() {
        let body =
            r#"{"u":"é","a":[{"n":1,"p":{"x":10.10,"c":[{"d":"y"},{"d":null},{"e":1}]}},{"n":"b"},{"p":{"c":[]}}]}"#;
        let row = |text: &str, place| (text.to_owned(), place);
        assert_eq!(
            of(&body.replace(r#",{"p":{"c":[]}}"#, "")),
            Some(vec![
                row("é 1 10.10 y", Some(1)),
                row("é 1 10.10 -", Some(2)),
                row("é 1 10.10 -", Some(3)),
                row("é b - -", None),
            ])
        );
        assert_eq!(of(body), None, "more rows than there may be");
        for none in [r#"{"u":1}"#, r#"{"a":[]}"#, r#"{"a":1}"#] {
            assert_eq!(of(none), Some(Vec::new()), "{none}");
        }
        assert_eq!(of(r#"{"a":[7]}"#), Some(vec![row("- - - -", None)]));
    }
}
