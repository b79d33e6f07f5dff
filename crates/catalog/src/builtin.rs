//! The e-commerce catalog that ships inside the binary.

use include_dir::{Dir, DirEntry, include_dir};

use super::SourceFile;

static ECOMMERCE: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../catalog/ecommerce");

/// Its files, to be parsed below others.
pub fn files() -> Vec<SourceFile> {
    let mut files = Vec::new();
    collect(&ECOMMERCE, &mut files);
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
                    let path = format!("catalog/ecommerce/{}", file.path().display());
                    files.push(SourceFile { path, text: text.to_owned() });
                }
            }
        }
    }
}
