//! The catalog that ships inside the binary: domains, which are folders of SQL files with a
//! `domain.toml`, and what all have.

use std::path::Path;

use include_dir::{Dir, DirEntry, include_dir};

use super::SourceFile;

static CATALOG: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../catalog");

/// What holds for a whole domain, in its folder.
pub(super) const SETTINGS_FILE: &str = "domain.toml";
/// What every catalog has, whatever its domains.
const SHARED: &str = "shared";
/// As diagnostics name built-in files.
const PREFIX: &str = "catalog/";

/// The names of all domains.
pub fn domains() -> Vec<&'static str> {
    let mut names: Vec<_> = CATALOG
        .dirs()
        .filter(|folder| folder.get_file(folder.path().join(SETTINGS_FILE)).is_some())
        .filter_map(|folder| folder.path().to_str())
        .collect();
    names.sort_unstable();
    names
}

/// The SQL of domains and of what all have, to be parsed below other files. A domain that does not
/// exist has none.
pub fn files(domains: &[impl AsRef<str>]) -> Vec<SourceFile> {
    let mut files = shared_files();
    files.extend(domains.iter().flat_map(|domain| files_of(domain.as_ref())));
    files
}

pub(super) fn shared_files() -> Vec<SourceFile> {
    CATALOG.get_dir(SHARED).map(in_order).unwrap_or_default()
}

pub(super) fn files_of(domain: &str) -> Vec<SourceFile> {
    folder(domain).map(in_order).unwrap_or_default()
}

/// The domain of a built-in file; none for what all have, and for files of others.
pub(super) fn domain_of(file: &SourceFile) -> Option<&'static str> {
    let path = file.path.strip_prefix(PREFIX)?;
    let (domain, _) = path.split_once('/')?;
    let domain = domains().into_iter().find(|known| *known == domain)?;
    CATALOG.get_file(path).map(|_| domain)
}

/// Whether a file, as diagnostics name it, is built in.
pub(super) fn is_shipped(path: &str) -> bool {
    path.strip_prefix(PREFIX).is_some_and(|path| CATALOG.get_file(path).is_some())
}

pub(super) fn settings_file(domain: &str) -> Option<SourceFile> {
    let folder = folder(domain)?;
    let file = folder.get_file(folder.path().join(SETTINGS_FILE))?;
    Some(source(file.path(), file.contents_utf8()?))
}

fn folder(domain: &str) -> Option<&'static Dir<'static>> {
    domains().contains(&domain).then(|| CATALOG.get_dir(domain))?
}

fn in_order(dir: &Dir<'_>) -> Vec<SourceFile> {
    let mut files = Vec::new();
    collect(dir, &mut files);
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
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
    SourceFile { path: format!("{PREFIX}{}", path.display()), text: text.to_owned() }
}
