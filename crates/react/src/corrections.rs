//! Corrections of the past that a start finds: what changes by them is known to nobody as news.

use vitral_catalog::Catalog;
use vitral_store::{Archive, Location, StoreError};

/// How often each topic's rows have been replayed, in a form to be compared with that of an earlier start.
pub(crate) async fn corrections(catalog: &Catalog, store: &Location) -> Result<String, StoreError> {
    let mut known = Vec::new();
    for topic in &catalog.topics {
        if let Some(archive) = Archive::read(topic, store).await? {
            known.push(format!("{}={}", topic.name, archive.replays().await?));
        }
    }
    Ok(known.join("\n"))
}
