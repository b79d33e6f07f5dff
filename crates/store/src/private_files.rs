//! Small files that nobody else of this machine may read, and that are written once.

use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::PathBuf;

use object_store::{PutMode, PutOptions};

use crate::error::StoreError;
use crate::location::Location;

impl Location {
    /// Writes a small file here unless there is one of this name; true if it holds this text
    /// afterwards. In a folder nobody but its owner may read it; who may read a bucket's objects is
    /// the bucket's own matter.
    ///
    /// Of several processes that do so at once, one succeeds.
    pub async fn create_private(&self, name: &str, text: &str) -> Result<bool, StoreError> {
        let folder = self.as_folder();
        if let Some(folder) = &folder {
            make_private(folder)?;
        }
        let path = self.file(name)?;
        let options = PutOptions::from(PutMode::Create);
        match self.store().put_opts(&path, text.to_owned().into_bytes().into(), options).await {
            Ok(_) => {}
            // A client that never received the answer to its first request has sent it twice.
            Err(object_store::Error::AlreadyExists { .. }) => {
                return Ok(self.read_text(name).await?.is_some_and(|there| there == text));
            }
            Err(source) => {
                let (path, action) = (path.to_string(), "written");
                return Err(StoreError::Object { path, action, source: Box::new(source) });
            }
        }
        if let Some(file) = folder.map(|folder| folder.join(name)) {
            restrict(file, 0o600)?;
        }
        Ok(true)
    }
}

/// With its parents. It is private before the first file is in it.
fn make_private(folder: &PathBuf) -> Result<(), StoreError> {
    if !folder.is_dir() {
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|source| StoreError::Io { path: folder.clone(), source })?;
    }
    restrict(folder.clone(), 0o700)
}

fn restrict(path: PathBuf, mode: u32) -> Result<(), StoreError> {
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode))
        .map_err(|source| StoreError::Io { path, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_of_a_name_stays_and_is_its_owner_s_alone() {
        let dir = tempfile::tempdir().expect("a folder");
        let place = Location::folder(dir.path()).expect("a store").join("access").join("keys");
        assert!(place.create_private("a.json", "one").await.expect("written"));
        assert!(place.create_private("a.json", "one").await.expect("sent twice"));
        assert!(!place.create_private("a.json", "two").await.expect("answered"));
        assert_eq!(place.read_text("a.json").await.expect("read").as_deref(), Some("one"));
        for (path, mode) in [("access", 0o700), ("access/keys", 0o700), ("access/keys/a.json", 0o600)] {
            let found = std::fs::metadata(dir.path().join(path)).expect(path).permissions().mode();
            assert_eq!(found & 0o777, mode, "{path}");
        }
    }

    #[tokio::test]
    async fn of_several_at_once_one_succeeds() {
        let dir = tempfile::tempdir().expect("a folder");
        let place = Location::folder(dir.path()).expect("a store").join("access");
        let texts: Vec<String> = (0..16).map(|number| format!("text {number}")).collect();
        let puts = futures::future::join_all(texts.iter().map(|text| place.create_private("key", text))).await;
        assert_eq!(puts.into_iter().filter(|put| *put.as_ref().expect("answered")).count(), 1);
    }
}
