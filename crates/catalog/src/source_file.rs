//! The files of a catalog, and how a folder's are read.

use std::collections::BTreeSet;
use std::path::Path;

use crate::{Diagnostic, Position};

/// One SQL file, wherever it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// As shown in diagnostics.
    pub path: String,
    /// All of its SQL.
    pub text: String,
}

/// Every `.sql` file below `dir`, in the order of their paths, and what cannot be read. Hidden
/// files and folders are not a catalog's: a mounted one has its files in such a folder once more.
pub(super) fn read_dir(dir: &Path) -> (Vec<SourceFile>, Vec<Diagnostic>) {
    if dir.is_file() {
        let folder = dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let remedy = format!("name the folder that it is in: {}", folder.display());
        let error = "is a file, and catalogs are folders of SQL files".to_owned();
        return (Vec::new(), vec![Position::file(dir.display().to_string()).error(error, remedy)]);
    }
    let failed = |path: &Path, source: std::io::Error| {
        let remedy = match source.kind() {
            std::io::ErrorKind::InvalidData => "save it as UTF-8",
            _ => "name folders of SQL files that this user may read; relative ones start where vitral is started",
        };
        Position::file(path.display().to_string()).error(format!("cannot be read: {source}"), remedy.into())
    };
    let (mut files, mut errors) = (Vec::new(), Vec::new());
    let mut folders = vec![dir.to_path_buf()];
    let mut seen = BTreeSet::new();
    while let Some(folder) = folders.pop() {
        // A link to a folder above leads here again.
        if folder.canonicalize().is_ok_and(|place| !seen.insert(place)) {
            continue;
        }
        let entries = std::fs::read_dir(&folder).and_then(|entries| entries.collect::<Result<Vec<_>, _>>());
        let entries = entries.unwrap_or_else(|source| {
            errors.push(failed(&folder, source));
            Vec::new()
        });
        for entry in entries.into_iter().filter(|entry| !entry.file_name().as_encoded_bytes().starts_with(b".")) {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("sql")) {
                match std::fs::read_to_string(&path) {
                    Ok(text) => {
                        // Some editors put a byte order mark first.
                        let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
                        files.push(SourceFile { path: path.display().to_string(), text });
                    }
                    Err(source) => errors.push(failed(&path, source)),
                }
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    (files, errors)
}
