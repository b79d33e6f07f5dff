//! The files that a user names: paths, folders, and URLs of buckets.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
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
    /// Where it can be read.
    pub path: PathBuf,
}

/// Files, of which those of buckets are copied here one after the other.
#[derive(Debug)]
pub struct Files {
    names: Vec<Named>,
    /// Files of folders that are of no known format.
    others: Vec<String>,
    fetched: Option<TempDir>,
}

#[derive(Debug)]
enum Named {
    Local(PathBuf),
    Remote {
        folder: Location,
        name: String,
        shown: String,
    },
    /// A part of a folder that cannot be looked into, and why.
    Unreadable(PathBuf, String),
}

/// Folders of programs among the files of people.
const PROGRAMS_FOLDERS: [&str; 4] = ["__MACOSX", "_delta_log", "_temporary", "$RECYCLE.BIN"];
/// What file managers put into folders.
const PROGRAMS_FILES: [&str; 3] = ["Thumbs.db", "ehthumbs.db", "desktop.ini"];

impl Files {
    /// What the words name; a folder stands for the files in it and below that can be imported, but
    /// for hidden ones and those that programs keep there. `options` are those of the buckets.
    pub async fn new(words: &[String], options: &BTreeMap<String, String>) -> Result<Self, BatchError> {
        let mut files = Self { names: Vec::new(), others: Vec::new(), fetched: None };
        let mut folders = BTreeSet::new();
        for word in words {
            if word.contains("://") {
                files.add_remote(word, options).await?;
                continue;
            }
            let path = Path::new(word);
            let failed = ImportError::read(word);
            let metadata = std::fs::metadata(path).map_err(&failed)?;
            if metadata.is_dir() {
                files.add_folder(path, &mut folders).map_err(&failed)?;
            } else if metadata.is_file() {
                files.names.push(Named::Local(path.to_owned()));
            } else {
                // It is read more than once, and a pipe may be waited for without end.
                let why = "it is a pipe or a device: write its output to a file, and import that";
                files.names.push(Named::Unreadable(path.to_owned(), why.to_owned()));
            }
        }
        Ok(files)
    }

    /// Files of the folders that are not read, since they are of no known format.
    pub fn others(&self) -> &[String] {
        &self.others
    }

    /// How many files there are, those that cannot be read included.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The file of this number, which is at hand until the next is asked for.
    pub async fn at_hand(&mut self, index: usize) -> Result<File, BatchError> {
        match &self.names[index] {
            Named::Local(path) => Ok(File { name: path.display().to_string(), path: path.clone() }),
            Named::Unreadable(path, why) => {
                Err(ImportError::read(&path.display().to_string())(io::Error::other(why.clone())).into())
            }
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
    /// The id of its import: the same content for the same table has the same, whatever the file is
    /// called. Its second half is the content's alone: by it the imports of one file into several
    /// tables are known.
    pub(super) fn import_id(&self, table: &str) -> Result<String, ImportError> {
        let failed = ImportError::read(&self.name);
        let mut hash = Sha256::new();
        let mut file = std::fs::File::open(&self.path).map_err(&failed)?;
        let mut part = vec![0; 1 << 20];
        loop {
            let read = file.read(&mut part).map_err(&failed)?;
            if read == 0 {
                let content = hash.finalize();
                let of_table = Sha256::new().chain_update(table.as_bytes()).chain_update([0]).chain_update(content);
                let of_table = of_table.finalize();
                let halves = of_table.iter().take(HALF_BYTES).chain(content.iter().take(HALF_BYTES));
                return Ok(halves.map(|byte| format!("{byte:02x}")).collect());
            }
            hash.update(&part[..read]);
        }
    }
}

impl Files {
    /// What people call the file of this number.
    pub fn name(&self, index: usize) -> String {
        match &self.names[index] {
            Named::Local(path) | Named::Unreadable(path, _) => path.display().to_string(),
            Named::Remote { shown, .. } => shown.clone(),
        }
    }

    /// A folder is looked into once: links may lead back to it.
    fn add_folder(&mut self, path: &Path, folders: &mut BTreeSet<PathBuf>) -> io::Result<()> {
        if !folders.insert(path.canonicalize()?) {
            return Ok(());
        }
        let mut entries: Vec<PathBuf> =
            std::fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
        entries.sort();
        for entry in entries {
            let name = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if is_hidden(&name) {
                continue;
            }
            if entry.is_dir() {
                if let Err(error) = self.add_folder(&entry, folders) {
                    self.names.push(Named::Unreadable(entry, error.to_string()));
                }
            } else if source::is_known(&name) && is_readable(&entry) {
                self.names.push(Named::Local(entry));
            } else {
                self.others.push(entry.display().to_string());
            }
        }
        Ok(())
    }

    async fn add_remote(&mut self, url: &str, options: &BTreeMap<String, String>) -> Result<(), BatchError> {
        if source::is_known(url) {
            let (folder, name) = url.rsplit_once('/').unwrap_or((url, ""));
            let folder = Location::bucket(folder, options)?;
            self.names.push(Named::Remote { folder, name: name.to_owned(), shown: url.to_owned() });
            return Ok(());
        }
        let folder = Location::bucket(url, options)?;
        for (name, _) in folder.files().await?.into_iter().filter(|(name, _)| !name.split('/').any(is_hidden)) {
            let shown = format!("{}/{name}", url.trim_end_matches('/'));
            match source::is_known(&name) {
                true => self.names.push(Named::Remote { folder: folder.clone(), name, shown }),
                false => self.others.push(shown),
            }
        }
        Ok(())
    }
}

/// Reading a pipe could wait forever. A file that has disappeared fails when it is opened.
fn is_readable(path: &Path) -> bool {
    std::fs::metadata(path).map_or(true, |metadata| metadata.is_file())
}

/// Whether someone who names a folder does not mean a file or folder of this name in it. `~$x.xlsx`
/// is the lock of an open workbook.
fn is_hidden(name: &str) -> bool {
    let is_any_of = |names: &[&str]| names.iter().any(|known| known.eq_ignore_ascii_case(name));
    name.starts_with('.') || name.starts_with("~$") || is_any_of(&PROGRAMS_FOLDERS) || is_any_of(&PROGRAMS_FILES)
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

    #[tokio::test]
    #[cfg(unix)]
    async fn a_device_or_pipe_is_not_waited_for() {
        let dir = tempfile::tempdir().expect("a folder");
        let link = dir.path().join("a.csv");
        std::os::unix::fs::symlink("/dev/zero", &link).expect("linked");
        let mut files = Files::new(&[link.display().to_string()], &BTreeMap::new()).await.expect("found");
        let error = files.at_hand(0).await.expect_err("refused");
        let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        assert!(format!("{error} {source}").contains("a pipe or a device"), "{error}: {source}");
    }

    #[tokio::test]
    async fn hidden_files_and_those_of_programs_are_not_meant_by_their_folder() {
        let dir = tempfile::tempdir().expect("a folder");
        let write = |name: &str| {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            std::fs::write(&path, "x").expect("written");
            path.display().to_string()
        };
        let meant = [write("a.csv"), write("maio/b.XLSX")];
        let other = write("notas.docx");
        let hidden = [".a.csv", "__MACOSX/._a.csv", "~$b.xlsx", "Thumbs.db", ".git/c.csv", "_delta_log/00.parquet"];
        let hidden = hidden.map(write);
        let all = |names: &[String]| names.to_vec();
        let files = Files::new(&[dir.path().display().to_string()], &BTreeMap::new()).await.expect("found");
        let names: Vec<String> = (0..files.len()).map(|index| files.name(index)).collect();
        assert_eq!((names, all(files.others())), (all(&meant), vec![other]));
        let named = Files::new(&hidden[..1], &BTreeMap::new()).await.expect("found");
        assert_eq!(named.len(), 1, "who names a file means it");
    }
}
