//! The catalog that ships inside the binary: domains, which are folders of SQL files with a `domain.toml`, and what all have.

use std::path::Path;

use include_dir::{Dir, DirEntry, include_dir};

use super::{SourceFile, domain};

static CATALOG: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../catalog");

/// What every catalog has, whatever its domains.
const SHARED: &str = "shared";

/// The names of all domains.
pub fn domains() -> Vec<&'static str> {
    let mut names: Vec<_> = CATALOG
        .dirs()
        .filter(|folder| folder.get_file(folder.path().join(domain::FILE)).is_some())
        .filter_map(|folder| folder.path().to_str())
        .collect();
    names.sort_unstable();
    names
}

/// The SQL of domains and of what all have, to be parsed below other files. A domain that does not exist has none.
pub fn files(domains: &[impl AsRef<str>]) -> Vec<SourceFile> {
    let mut files = Vec::new();
    for folder in domains.iter().filter_map(|domain| folder(domain.as_ref())).chain(CATALOG.get_dir(SHARED)) {
        collect(folder, &mut files);
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

pub(super) fn settings_file(domain: &str) -> Option<SourceFile> {
    let folder = folder(domain)?;
    let file = folder.get_file(folder.path().join(domain::FILE))?;
    Some(source(file.path(), file.contents_utf8()?))
}

fn folder(domain: &str) -> Option<&'static Dir<'static>> {
    domains().contains(&domain).then(|| CATALOG.get_dir(domain))?
}

fn collect(dir: &Dir<'_>, files: &mut Vec<SourceFile>) {
    for entry in dir.entries() {
        match entry {
            DirEntry::Dir(dir) => collect(dir, files),
            DirEntry::File(file) => {
                if let (Some(text), Some("sql")) =
                    (file.contents_utf8(), file.path().extension().and_then(|extension| extension.to_str()))
                {
                    files.push(source(file.path(), text));
                }
            }
        }
    }
}

fn source(path: &Path, text: &str) -> SourceFile {
    SourceFile { path: format!("catalog/{}", path.display()), text: text.to_owned() }
}
