//! Where tables and snapshots lie: a folder, or a prefix of a bucket.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use datafusion::execution::runtime_env::RuntimeEnv;
use deltalake::logstore::{
    LogStore, LogStoreFactory, ObjectStoreRef, StorageConfig, default_logstore, logstore_factories,
};
use deltalake::{DeltaResult, DeltaTable, DeltaTableBuilder, DeltaTableError};
use futures::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::{ObjectStore, ObjectStoreExt, path};
use url::Url;

use crate::durable::DurableFiles;
use crate::error::StoreError;

/// A place in an object store, to which names are joined.
#[derive(Debug, Clone)]
pub struct Location {
    /// Its root is the root of the URL: the bucket, or the file system.
    store: Arc<dyn ObjectStore>,
    /// Ends with a slash.
    url: Url,
    read_mode: ReadMode,
}

/// How tables are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReadMode {
    /// By Delta's own scan, which knows the smallest and largest values of each file.
    Delta,
    /// By the same scan, tuned for reading most rows of most files.
    BulkScan,
    /// As the plain Parquet files that they consist of, which a plan can name to other processes.
    PlainParquet,
}

/// Schemes of buckets. All of them offer "put if absent", on which the one commit rests.
const BUCKET_SCHEMES: [&str; 5] = ["s3", "gs", "az", "abfs", "abfss"];

/// How often loading a table's log from a bucket is attempted, and the pause after a failure.
const LOAD_ATTEMPTS: u32 = 6;
const LOAD_RETRY: Duration = Duration::from_millis(100);
/// How often a small file is asked for when the answer is cut, which the bucket's client does not
/// try again, and how long after that.
const READ_ATTEMPTS: u32 = 6;
const READ_RETRY: Duration = Duration::from_millis(100);

impl Location {
    /// A local folder, which need not exist yet.
    pub fn folder(path: &Path) -> Result<Self, StoreError> {
        let io = |source| StoreError::Io { path: path.to_owned(), source };
        let path = std::path::absolute(path).and_then(without_parents).map_err(io)?;
        let url = Url::from_directory_path(&path)
            .map_err(|()| io(std::io::Error::other("not a path that a folder can have")))?;
        Ok(Self { store: Arc::new(DurableFiles::new(LocalFileSystem::new())), url, read_mode: ReadMode::Delta })
    }

    /// A prefix of a bucket, `s3://bucket/prefix`, with the settings of object_store's clients;
    /// what is not among them is taken from the environment (`AWS_ACCESS_KEY_ID`, ...). Other URLs
    /// are those of folders.
    pub fn bucket(url: &str, options: &BTreeMap<String, String>) -> Result<Self, StoreError> {
        let wrong = |reason: String| StoreError::Location { url: url.to_owned(), reason };
        let mut parsed = Url::parse(url).map_err(|error| wrong(error.to_string()))?;
        let scheme = parsed.scheme().to_owned();
        if !BUCKET_SCHEMES.contains(&scheme.as_str()) {
            return Err(wrong(format!("its scheme is not one of {}", BUCKET_SCHEMES.join(", "))));
        }
        if !parsed.path().ends_with('/') {
            parsed.set_path(&format!("{}/", parsed.path()));
        }
        let environment = std::env::vars().map(|(key, value)| (key.to_ascii_lowercase(), value));
        let environment =
            environment.filter(|(key, _)| ["aws_", "google_", "azure_"].iter().any(|of| key.starts_with(of)));
        let options = environment.chain(options.iter().map(|(key, value)| (key.to_ascii_lowercase(), value.clone())));
        let (store, _) = object_store::parse_url_opts(&parsed, options).map_err(|error| wrong(error.to_string()))?;
        if let Ok(scheme) = Url::parse(&format!("{scheme}://")) {
            logstore_factories().insert(scheme, Arc::new(ConditionalPuts));
        }
        Ok(Self { store: store.into(), url: parsed, read_mode: ReadMode::Delta })
    }

    /// The place with this name below it.
    pub fn join(&self, name: &str) -> Self {
        let mut url = self.url.clone();
        // Only URLs that cannot be a base have no segments, and those are refused above.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push(name).push("");
        }
        Self { store: Arc::clone(&self.store), url, read_mode: self.read_mode }
    }

    /// The same place, whose tables are read in bulk (`bulk_session`): their strings are
    /// `Utf8View`, not `Utf8`.
    pub fn bulk_scan(&self) -> Self {
        Self { read_mode: ReadMode::BulkScan, ..self.clone() }
    }

    /// The same place, whose tables are read as plain Parquet files: such a plan can be sent to
    /// other processes.
    pub fn plain_parquet(&self) -> Self {
        Self { read_mode: ReadMode::PlainParquet, ..self.clone() }
    }

    pub(crate) fn as_delta(&self) -> Self {
        Self { read_mode: ReadMode::Delta, ..self.clone() }
    }

    pub(crate) fn read_mode(&self) -> ReadMode {
        self.read_mode
    }

    /// The URL of a file here, by its path from here.
    pub(crate) fn file_url(&self, file: &path::Path) -> Url {
        let mut url = self.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(file.parts());
        }
        url
    }

    /// Registers the store with an environment that runs plans over its files.
    pub fn register(&self, environment: &RuntimeEnv) {
        environment.register_object_store(&self.url, Arc::clone(&self.store));
    }

    /// Whether a table could be here.
    pub(crate) fn exists(&self) -> bool {
        self.as_folder().is_none_or(|folder| folder.is_dir())
    }

    /// Creates the folder, if this is one.
    pub(crate) fn make(&self) -> Result<(), StoreError> {
        let Some(path) = self.as_folder() else { return Ok(()) };
        std::fs::create_dir_all(&path).map_err(|source| StoreError::Io { path, source })
    }

    /// The table here; without a version if it does not exist.
    pub(crate) async fn table(&self) -> DeltaResult<DeltaTable> {
        let mut attempt = 1;
        loop {
            match self.load_table().await {
                // The client does not retry a listing that breaks off in the middle.
                Err(error) if attempt < LOAD_ATTEMPTS && self.as_folder().is_none() => {
                    tracing::warn!(location = %self, %error, attempt, "a table's log cannot be read; trying again");
                    tokio::time::sleep(LOAD_RETRY * attempt).await;
                    attempt += 1;
                }
                outcome => return outcome,
            }
        }
    }

    async fn load_table(&self) -> DeltaResult<DeltaTable> {
        let builder = DeltaTableBuilder::from_url(self.url.clone())?;
        let mut table = builder.with_storage_backend(Arc::clone(&self.store), self.url.clone()).build()?;
        match table.load().await {
            Ok(()) | Err(DeltaTableError::NotATable(_)) => Ok(table),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// The path of this place in its store.
    pub(crate) fn path(&self) -> Result<path::Path, StoreError> {
        path::Path::from_url_path(self.url.path())
            .map_err(|error| StoreError::Location { url: self.to_string(), reason: error.to_string() })
    }

    /// The path of a file here.
    pub(crate) fn file(&self, name: &str) -> Result<path::Path, StoreError> {
        Ok(self.path()?.join(name))
    }

    /// A small file here; none if there is none.
    pub async fn read_text(&self, name: &str) -> Result<Option<String>, StoreError> {
        let path = self.file(name)?;
        let failed = |source| StoreError::Object { path: path.to_string(), action: "read", source: Box::new(source) };
        let mut attempt = 1;
        loop {
            let read = async { self.store.get(&path).await?.bytes().await };
            match read.await {
                Ok(bytes) => return Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
                Err(object_store::Error::NotFound { .. }) => return Ok(None),
                Err(error @ object_store::Error::Generic { .. }) if attempt < READ_ATTEMPTS => {
                    tracing::warn!(%path, %error, attempt, "a file cannot be read; trying again");
                    tokio::time::sleep(READ_RETRY * attempt).await;
                }
                Err(error) => return Err(failed(error)),
            }
            attempt += 1;
        }
    }

    /// Writes a small file here, replacing one of this name.
    pub async fn write_text(&self, name: &str, text: &str) -> Result<(), StoreError> {
        self.write(name, text.to_owned().into_bytes()).await
    }

    /// Writes a file here, replacing one of this name.
    pub async fn write(&self, name: &str, bytes: Vec<u8>) -> Result<(), StoreError> {
        let path = self.file(name)?;
        let put = self.store.put(&path, bytes.into()).await;
        put.map(|_| ()).map_err(|source| StoreError::Object {
            path: path.to_string(),
            action: "written",
            source: Box::new(source),
        })
    }

    /// Every file here and below: its name from here, and its bytes.
    pub async fn files(&self) -> Result<Vec<(String, u64)>, StoreError> {
        let path = self.path()?;
        let failed = |source| StoreError::Object { path: path.to_string(), action: "listed", source: Box::new(source) };
        let objects: Vec<_> = self.store.list(Some(&path)).try_collect().await.map_err(failed)?;
        let named = objects.iter().filter_map(|object| {
            let parts: Vec<_> = object.location.prefix_match(&path)?.map(|part| part.as_ref().to_owned()).collect();
            Some((parts.join("/"), object.size))
        });
        let mut files: Vec<_> = named.collect();
        files.sort();
        Ok(files)
    }

    /// Copies a file from here to a local path.
    pub async fn fetch(&self, name: &str, to: &Path) -> Result<(), StoreError> {
        let path = path::Path::parse(format!("{}/{name}", self.path()?).trim_start_matches('/'))
            .map_err(|error| StoreError::Location { url: self.to_string(), reason: error.to_string() })?;
        let failed = |source| StoreError::Object { path: path.to_string(), action: "read", source: Box::new(source) };
        let io = |source| StoreError::Io { path: to.to_owned(), source };
        let mut bytes = self.store.get(&path).await.map_err(failed)?.into_stream();
        let mut file = std::fs::File::create(to).map_err(io)?;
        while let Some(part) = bytes.try_next().await.map_err(failed)? {
            std::io::Write::write_all(&mut file, &part).map_err(io)?;
        }
        Ok(())
    }

    /// Deletes the file of this name.
    pub async fn delete(&self, name: &str) -> Result<(), StoreError> {
        let path = self.file(name)?;
        let failed =
            |source| StoreError::Object { path: path.to_string(), action: "deleted", source: Box::new(source) };
        self.store.delete(&path).await.map_err(failed)
    }

    /// The names of the folders here.
    pub(crate) async fn folders(&self) -> Result<Vec<String>, StoreError> {
        let path = self.path()?;
        let listed = self.store.list_with_delimiter(Some(&path)).await;
        let listed = listed.map_err(|source| StoreError::Object {
            path: path.to_string(),
            action: "listed",
            source: Box::new(source),
        })?;
        Ok(listed.common_prefixes.iter().filter_map(|folder| folder.filename().map(str::to_owned)).collect())
    }

    /// The last part of this place.
    pub(crate) fn folder_name(&self) -> Option<String> {
        self.path().ok()?.filename().map(str::to_owned)
    }

    /// The folder, if this is one.
    pub fn as_folder(&self) -> Option<PathBuf> {
        if self.url.scheme() == "file" { self.url.to_file_path().ok() } else { None }
    }
}

impl std::fmt::Display for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.as_folder() {
            Some(folder) => folder.display().fmt(f),
            None => self.url.fmt(f),
        }
    }
}

/// A log whose commits are "put if absent".
struct ConditionalPuts;

impl LogStoreFactory for ConditionalPuts {
    fn with_options(
        &self,
        prefixed_store: ObjectStoreRef,
        root_store: ObjectStoreRef,
        location: &Url,
        options: &StorageConfig,
    ) -> DeltaResult<Arc<dyn LogStore>> {
        Ok(default_logstore(prefixed_store, root_store, location, options))
    }
}

/// A path without `..`, which a URL cannot have; links in it count. What is not there yet lies in
/// what is.
fn without_parents(path: PathBuf) -> std::io::Result<PathBuf> {
    if !path.components().any(|part| part == Component::ParentDir) {
        return Ok(path);
    }
    match path.canonicalize() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) => Ok(without_parents(parent.to_owned())?.join(name)),
            _ => Err(error),
        },
        found => found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_may_be_named_from_its_parent() {
        let dir = tempfile::tempdir().expect("a folder");
        let real = dir.path().canonicalize().expect("a path");
        std::fs::create_dir(real.join("a")).expect("a folder");
        for (named, meant) in [("a/../b", "b"), ("a/../b/c", "b/c"), ("a/..", "")] {
            let folder = Location::folder(&real.join(named)).expect("a folder");
            assert_eq!(
                folder.to_string(),
                Location::folder(&real.join(meant)).expect("a folder").to_string(),
                "{named}"
            );
        }
        assert!(Location::folder(&real.join("x/../b")).is_err(), "there is no x");
    }

    #[test]
    fn names_are_joined() {
        let folder = Location::folder(Path::new("/tmp/a b")).expect("a folder");
        assert_eq!(folder.join("x").join("y").to_string(), "/tmp/a b/x/y/");
        assert_eq!(folder.join("x").file("f").expect("a file").as_ref(), "tmp/a b/x/f");
        let options = BTreeMap::from([("aws_region".to_owned(), "us-east-1".to_owned())]);
        let bucket = Location::bucket("s3://shop/data", &options).expect("a bucket");
        assert_eq!(bucket.join("archive").to_string(), "s3://shop/data/archive/");
        assert_eq!(bucket.file("f").expect("a file").as_ref(), "data/f");
        let error = Location::bucket("ftp://shop", &options).expect_err("no bucket").to_string();
        assert!(error.contains("ftp://shop") && error.contains("s3"), "{error}");
    }
}
