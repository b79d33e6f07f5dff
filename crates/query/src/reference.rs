//! Reference tables, read again when their files change.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arrow::error::ArrowError;
use datafusion::catalog::{MemTable, TableProvider};
use vitral_catalog::reference;
use vitral_catalog::{Naming, Reference};

use crate::error::QueryError;
use crate::known_names::{Known, KnownNames};

/// The reference tables' files, read again when they change.
#[derive(Debug)]
pub struct References {
    /// None: every table is without rows.
    dir: Option<PathBuf>,
    /// By path.
    loaded: Mutex<HashMap<PathBuf, Loaded>>,
    names: KnownNames,
}

#[derive(Debug)]
struct Loaded {
    stamp: Stamp,
    table: Arc<MemTable>,
}

/// Tells one state of a file from the next; `None` is a missing file.
type Stamp = Option<(SystemTime, u64)>;

impl References {
    /// Of files in this folder.
    pub fn new(dir: PathBuf) -> Self {
        Self { dir: Some(dir), loaded: Mutex::default(), names: KnownNames::default() }
    }

    /// For planning alone.
    pub fn without_rows() -> Self {
        Self { dir: None, loaded: Mutex::default(), names: KnownNames::default() }
    }

    pub(crate) async fn table(&self, declared: &Reference) -> Result<Arc<dyn TableProvider>, QueryError> {
        Ok(self.rows(declared).await?)
    }

    /// The names that a table gives, as of a moment ago: to look whether a file has changed costs
    /// more than many an answer.
    pub(crate) async fn names(&self, declared: &Reference, naming: &Naming) -> Arc<Known> {
        match self.names.recent(&declared.name) {
            Some(known) => known,
            None => self.names.of(&declared.name, self.rows(declared).await, naming).await,
        }
    }

    /// The same table as long as its file is the same.
    async fn rows(&self, declared: &Reference) -> Result<Arc<MemTable>, QueryError> {
        let (Some(dir), Some(path)) = (&self.dir, &declared.path) else {
            return Ok(Arc::new(MemTable::try_new(reference::schema(declared), vec![Vec::new()])?));
        };
        let path = dir.join(path);
        let failed = |source: ArrowError| QueryError::Reference { path: path.clone(), source };
        let stamp = stamp(&path).await.map_err(|error| failed(error.into()))?;
        let known = self
            .loaded
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&path)
            .and_then(|loaded| (loaded.stamp == stamp).then(|| Arc::clone(&loaded.table)));
        if let Some(table) = known {
            return Ok(table);
        }
        let (folder, wanted) = (dir.clone(), declared.clone());
        let read = tokio::task::spawn_blocking(move || reference::read(&folder, &wanted));
        let read = read.await.unwrap_or_else(|error| Err(ArrowError::ExternalError(Box::new(error))));
        let (schema, batches) = (reference::schema(declared), read.map_err(failed)?);
        let table = Arc::new(MemTable::try_new(schema, vec![batches])?);
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.insert(path, Loaded { stamp, table: Arc::clone(&table) });
        Ok(table)
    }
}

async fn stamp(path: &Path) -> std::io::Result<Stamp> {
    match tokio::fs::metadata(path).await {
        Ok(metadata) => Ok(Some((metadata.modified()?, metadata.len()))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use arrow::util::pretty::pretty_format_batches;
    use datafusion::prelude::SessionContext;
    use vitral_catalog::{Catalog, DomainSettings, SourceFile};

    use super::*;

    fn reference() -> Reference {
        let text = "CREATE TABLE produtos (id_produto TEXT NOT NULL, nome TEXT, preco DECIMAL(18, 2))
            WITH (connector = 'file', path = 'produtos.csv');";
        let file = SourceFile { path: "a.sql".into(), text: text.into() };
        Catalog::parse(&[vec![file]], &DomainSettings::default()).expect("a catalog").references.remove(0)
    }

    async fn rows(references: &References) -> Result<String, QueryError> {
        let table = references.table(&reference()).await?;
        let batches = SessionContext::new().read_table(table)?.collect().await?;
        Ok(pretty_format_batches(&batches)?.to_string())
    }

    #[tokio::test]
    async fn a_file_appears_changes_and_breaks() {
        let dir = tempfile::tempdir().expect("a folder");
        let references = References::new(dir.path().to_owned());
        let path = dir.path().join("produtos.csv");
        assert!(!rows(&references).await.expect("empty").contains("p1"));

        std::fs::write(&path, "\u{feff}nome,outra,id_produto\nCafé,1,p1\n,2,p2\n").expect("written");
        let text = rows(&references).await.expect("rows");
        assert!(text.contains("| p1         | Café |       |"), "{text}");
        assert!(text.contains("| p2         |      |       |"), "{text}");

        std::fs::write(&path, "id_produto,preco\np1,12.5\n").expect("written");
        let text = rows(&references).await.expect("rows");
        assert!(text.contains("12.50") && !text.contains("p2"), "{text}");

        std::fs::write(&path, "id_produto;nome;preco\np1;Café, moído;7.5\n").expect("written");
        let text = rows(&references).await.expect("rows");
        assert!(text.contains("| p1         | Café, moído | 7.50  |"), "{text}");

        std::fs::write(&path, "produto\np1\n").expect("written");
        assert!(matches!(rows(&references).await, Err(QueryError::Reference { .. })));
    }
}
