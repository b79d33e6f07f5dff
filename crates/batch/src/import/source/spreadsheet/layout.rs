//! What a workbook shows that its cells do not tell: rows that are hidden, and cells that are
//! merged.
//!
//! Hidden rows are rows all the same, as a filter hides those that somebody does not want to see;
//! of merged cells only the first has the value. Both are read as the file has them, and said.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use zip::ZipArchive;

use super::sheets::Sheet;

/// A tag that matters holds no more than this.
const TAG_BYTES: usize = 4096;

type Archive = ZipArchive<BufReader<File>>;

/// What is to be said of the sheets.
pub(super) fn notes(path: &Path, sheets: &[Sheet]) -> io::Result<Vec<String>> {
    let mut archive = ZipArchive::new(BufReader::new(File::open(path)?)).map_err(io::Error::other)?;
    let parts = parts(&mut archive)?;
    let mut notes = Vec::new();
    for sheet in sheets {
        let Some(part) = parts.get(sheet.name.as_ref()) else { continue };
        let mut layout = Layout::below(sheet.header_line);
        each_tag(&mut archive, part, &mut |tag| layout.see(tag))?;
        notes.extend(layout.notes(&sheet.name));
    }
    Ok(notes)
}

/// The part of the archive that each sheet is in.
fn parts(archive: &mut Archive) -> io::Result<HashMap<String, String>> {
    let mut targets = HashMap::new();
    each_tag(archive, "xl/_rels/workbook.xml.rels", &mut |tag| {
        if tag.name() == b"Relationship"
            && let (Some(id), Some(target)) = (tag.attribute("Id"), tag.attribute("Target"))
        {
            let target = target.strip_prefix('/').map_or_else(|| format!("xl/{target}"), str::to_owned);
            targets.insert(id, target);
        }
    })?;
    let mut parts = HashMap::new();
    each_tag(archive, "xl/workbook.xml", &mut |tag| {
        if tag.name() == b"sheet"
            && let (Some(name), Some(id)) = (tag.attribute("name"), tag.attribute("r:id"))
            && let Some(target) = targets.get(&id)
        {
            parts.insert(name, target.clone());
        }
    })?;
    Ok(parts)
}

/// Calls `see` with each tag of a part that has attributes and is one of those that matter here. A
/// part that is not there has none.
fn each_tag(archive: &mut Archive, name: &str, see: &mut dyn FnMut(Tag<'_>)) -> io::Result<()> {
    let Some(index) = archive.file_names().position(|part| part.is_ok_and(|part| part.eq_ignore_ascii_case(name)))
    else {
        return Ok(());
    };
    let mut part = BufReader::with_capacity(64 << 10, archive.by_index(index).map_err(io::Error::other)?);
    let mut tag = Vec::new();
    loop {
        if part.skip_until(b'<')? == 0 {
            return Ok(());
        }
        tag.clear();
        // Most tags are of cells, which need not be copied.
        if !matches!(part.fill_buf()?.first(), Some(b'c' | b'v' | b'/' | b'f')) {
            io::Read::take(&mut part, TAG_BYTES as u64).read_until(b'>', &mut tag)?;
            see(Tag(&tag));
        }
    }
}

/// What is between `<` and `>`.
#[derive(Clone, Copy)]
struct Tag<'a>(&'a [u8]);

impl Tag<'_> {
    /// Without the namespace.
    fn name(&self) -> &[u8] {
        let name = self.0.split(|byte| byte.is_ascii_whitespace() || b"/>".contains(byte)).next().unwrap_or_default();
        name.rsplit(|byte| *byte == b':').next().unwrap_or_default()
    }

    fn attribute(&self, name: &str) -> Option<String> {
        let text = std::str::from_utf8(self.0).ok()?;
        let mut rest = text;
        loop {
            let (before, value) = rest.split_once('=')?;
            let value = value.trim_start();
            let quote = value.chars().next().filter(|first| ['"', '\''].contains(first))?;
            let (value, after) = value[1..].split_once(quote)?;
            if before.split_ascii_whitespace().next_back() == Some(name) {
                return Some(unescaped(value));
            }
            rest = after;
        }
    }
}

fn unescaped(text: &str) -> String {
    let named = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&amp;", "&")];
    named.iter().fold(text.to_owned(), |text, (escaped, plain)| text.replace(escaped, plain))
}

/// What is found in a sheet, below its header.
struct Layout {
    header_line: i64,
    line: i64,
    hidden: u64,
    first_hidden: i64,
    merged: u64,
    first_merged: String,
}

impl Layout {
    fn below(header_line: i64) -> Self {
        Self { header_line, line: 0, hidden: 0, first_hidden: 0, merged: 0, first_merged: String::new() }
    }

    fn see(&mut self, tag: Tag<'_>) {
        match tag.name() {
            b"row" => {
                self.line = tag.attribute("r").and_then(|line| line.parse().ok()).unwrap_or(self.line + 1);
                let is_hidden = tag.attribute("hidden").is_some_and(|hidden| hidden == "1" || hidden == "true");
                if is_hidden && self.line > self.header_line {
                    self.first_hidden = if self.hidden == 0 { self.line } else { self.first_hidden };
                    self.hidden += 1;
                }
            }
            b"mergeCell" => {
                let Some(range) = tag.attribute("ref") else { return };
                let last = range.rsplit(':').next().unwrap_or_default();
                let line = last.trim_start_matches(|character: char| !character.is_ascii_digit()).parse();
                if line.is_ok_and(|line: i64| line > self.header_line) {
                    if self.merged == 0 {
                        self.first_merged = range;
                    }
                    self.merged += 1;
                }
            }
            _ => {}
        }
    }

    fn notes(self, sheet: &str) -> Vec<String> {
        let mut notes = Vec::new();
        if self.hidden > 0 {
            let (rows, are) = if self.hidden == 1 { ("row is", "it is") } else { ("rows are", "they are") };
            notes.push(format!(
                "sheet {sheet}: {} {rows} hidden, perhaps by a filter (the first is line {}), and {are} read like all others",
                self.hidden, self.first_hidden
            ));
        }
        if self.merged > 0 {
            let others = match self.merged - 1 {
                0 => String::new(),
                1 => " and one other range".to_owned(),
                others => format!(" and {others} other ranges"),
            };
            notes.push(format!(
                "sheet {sheet}: cells {}{others} are merged: the value counts only for the first row and column of each, and the rest is empty",
                self.first_merged
            ));
        }
        notes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_by_their_whole_name() {
        let tag = Tag(br#"x:sheet name="A &amp; B" sheetId='2' r:id="s1"/>"#);
        assert_eq!(tag.name(), b"sheet");
        assert_eq!(tag.attribute("name").as_deref(), Some("A & B"));
        assert_eq!(tag.attribute("sheetId").as_deref(), Some("2"));
        assert_eq!(tag.attribute("id"), None);
        assert_eq!(tag.attribute("r:id").as_deref(), Some("s1"));
        assert_eq!(Tag(b"row>").attribute("r"), None);
    }
}
