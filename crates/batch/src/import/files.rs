//! The files that a user names: paths, folders, and URLs of buckets.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tempfile::TempDir;
use vitral_store::Location;

use super::{ImportError, source};
use crate::error::BatchError;

/// Of a hash: enough to tell files apart.
const HALF_BYTES: usize = 16;

/// What of an import's id is that of its file's content.
pub(super) fn content_of(id: &str) -> Option<&str> {
    id.get(2 * HALF_BYTES..)
}

/// A file at hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// As people call it.
    pub name: String,
    pub path: PathBuf,
}

/// Files, of which those of buckets are copied here one after the other.
#[derive(Debug)]
pub struct Files {
    names: Vec<Named>,
    fetched: Option<TempDir>,
}

#[derive(Debug)]
enum Named {
    Local(PathBuf),
    Remote { folder: Location, name: String, shown: String },
}

impl Files {
    /// What the words name; a folder stands for the files in it and below that can be imported. `options` are those of the buckets.
    pub async fn new(words: &[String], options: &BTreeMap<String, String>) -> Result<Self, BatchError> {
        let mut names = Vec::new();
        let mut folders = BTreeSet::new();
        for word in words {
            match word.split_once("://") {
                Some(_) => remote(word, options, &mut names).await?,
                None => local(Path::new(word), &mut names, &mut folders)?,
            }
        }
        Ok(Self { names, fetched: None })
    }

    pub fn len(&self) -> usize {
        self.names.len()
    }

    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The file of this number, which is at hand until the next is asked for.
    pub async fn at_hand(&mut self, index: usize) -> Result<File, BatchError> {
        match &self.names[index] {
            Named::Local(path) => Ok(File { name: path.display().to_string(), path: path.clone() }),
            Named::Remote { folder, name, shown } => {
                let dir = tempfile::tempdir().map_err(ImportError::read(shown))?;
                let path = dir.path().join("file");
                folder.fetch(name, &path).await?;
                self.fetched = Some(dir);
                Ok(File { name: shown.clone(), path })
            }
        }
    }
}

impl File {
    /// The id of its import: the same content for the same table has the same, whatever the file is called. Its second half is the
    /// content's alone: by it the imports of one file into several tables are known.
    pub(super) fn import_id(&self, table: &str) -> Result<String, ImportError> {
        let failed = ImportError::read(&self.name);
        let mut hash = Sha256::new();
        let mut file = std::fs::File::open(&self.path).map_err(&failed)?;
        let mut part = vec![0; 1 << 20];
        loop {
            let read = file.read(&mut part).map_err(&failed)?;
            if read == 0 {
                let content = hash.finalize();
                let of_table = Sha256::new().chain_update(table.as_bytes()).chain_update([0]).chain_update(&content);
                let of_table = of_table.finalize();
                let halves = of_table.iter().take(HALF_BYTES).chain(content.iter().take(HALF_BYTES));
                return Ok(halves.map(|byte| format!("{byte:02x}")).collect());
            }
            hash.update(&part[..read]);
        }
    }
}

/// A folder is looked into once: links may lead back to it.
fn local(path: &Path, names: &mut Vec<Named>, folders: &mut BTreeSet<PathBuf>) -> Result<(), BatchError> {
    let shown = path.display().to_string();
    if !path.is_dir() {
        std::fs::metadata(path).map_err(ImportError::read(&shown))?;
        names.push(Named::Local(path.to_owned()));
        return Ok(());
    }
    if !folders.insert(path.canonicalize().map_err(ImportError::read(&shown))?) {
        return Ok(());
    }
    let entries = std::fs::read_dir(path).map_err(ImportError::read(&shown))?;
    let mut entries: Vec<PathBuf> = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()
        .map_err(ImportError::read(&shown))?;
    entries.sort();
    for entry in entries {
        if entry.is_dir() || source::is_known(&entry.to_string_lossy()) {
            local(&entry, names, folders)?;
        }
    }
    Ok(())
}

async fn remote(url: &str, options: &BTreeMap<String, String>, names: &mut Vec<Named>) -> Result<(), BatchError> {
    if source::is_known(url) {
        let (folder, name) = url.rsplit_once('/').unwrap_or((url, ""));
        let folder = Location::bucket(folder, options)?;
        names.push(Named::Remote { folder, name: name.to_owned(), shown: url.to_owned() });
        return Ok(());
    }
    let folder = Location::bucket(url, options)?;
    for (name, _) in folder.files().await?.into_iter().filter(|(name, _)| source::is_known(name)) {
        let shown = format!("{}/{name}", url.trim_end_matches('/'));
        names.push(Named::Remote { folder: folder.clone(), name, shown });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    #[cfg(unix)]
    async fn links_that_lead_back_are_not_followed_for_ever() {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(dir.path().join("maio")).expect("made");
        std::fs::write(dir.path().join("maio/a.csv"), "x").expect("written");
        std::os::unix::fs::symlink(dir.path(), dir.path().join("maio/volta")).expect("linked");
        let files = Files::new(&[dir.path().display().to_string()], &BTreeMap::new()).await.expect("found");
        assert_eq!(files.len(), 1);
    }
}
