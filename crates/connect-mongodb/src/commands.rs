//! The commands that write, and that find out whether what they wrote into is still there, as
//! documents; each works on every server that speaks MongoDB's protocol.

use mongodb::bson::{Bson, Document, doc};

use crate::documents::EPOCH;
use crate::texts::ID;

/// Progress of every sink: `_id` is its name, `epoch` the last one whose documents are all there.
pub(crate) const PROGRESS: &str = "vitral_sinks";
/// A document with this `_id` is there.
pub(crate) const DUPLICATE_KEY: i32 = 11_000;

/// Writes documents that are not there; each by itself.
pub(crate) fn insert(collection: &str, documents: Vec<Document>) -> Document {
    doc! { "insert": collection, "documents": documents, "ordered": false }
}

/// Writes documents over older ones of their `_id`; nothing where the one that is there is as new.
pub(crate) fn replace(collection: &str, epoch: i64, documents: Vec<Document>) -> Document {
    let update = |document: Document| {
        let id = document.get(ID).cloned().unwrap_or(Bson::Null);
        doc! { "q": { ID: id, EPOCH: { "$lt": epoch } }, "u": document, "upsert": false, "multi": false }
    };
    let updates: Vec<Document> = documents.into_iter().map(update).collect();
    doc! { "update": collection, "updates": updates, "ordered": false }
}

/// Deletes documents that are older than the epoch.
pub(crate) fn delete(collection: &str, epoch: i64, ids: Vec<Bson>) -> Document {
    let delete = |id: Bson| doc! { "q": { ID: id, EPOCH: { "$lt": epoch } }, "limit": 1 };
    let deletes: Vec<Document> = ids.into_iter().map(delete).collect();
    doc! { "delete": collection, "deletes": deletes, "ordered": false }
}

/// Deletes what has expired.
pub(crate) fn delete_expired(collection: &str, column: &str, now: mongodb::bson::DateTime) -> Document {
    doc! { "delete": collection, "deletes": [{ "q": { column: { "$lt": now } }, "limit": 0 }] }
}

/// Has the server delete what has expired.
pub(crate) fn expire(collection: &str, column: &str) -> Document {
    let index = doc! { "key": { column: 1 }, "name": format!("vitral_{column}"), "expireAfterSeconds": 0 };
    doc! { "createIndexes": collection, "indexes": [index] }
}

/// Makes the collection; refused where it is there.
pub(crate) fn create(collection: &str) -> Document {
    doc! { "create": collection }
}

/// Whether the collection is there, for users too who may not list all of them.
pub(crate) fn list(collection: &str) -> Document {
    doc! { "listCollections": 1, "filter": { "name": collection }, "nameOnly": true, "authorizedCollections": true }
}

/// Nothing is known to be there any more.
pub(crate) fn forget(sink: &str) -> Document {
    doc! { "delete": PROGRESS, "deletes": [{ "q": { ID: sink }, "limit": 1 }], "ordered": false }
}

/// The epoch is whole. Never goes back.
pub(crate) fn progress(sink: &str, epoch: i64) -> Document {
    let progress = doc! { ID: sink, "epoch": epoch };
    let update = doc! { "q": { ID: sink, "epoch": { "$lt": epoch } }, "u": progress, "upsert": false, "multi": false };
    doc! { "update": PROGRESS, "updates": [update], "ordered": false }
}

/// The first epoch is whole.
pub(crate) fn first_progress(sink: &str, epoch: i64) -> Document {
    insert(PROGRESS, vec![doc! { ID: sink, "epoch": epoch }])
}

#[cfg(test)]
mod tests {
    use mongodb::bson::{DateTime, Decimal128, RawDocumentBuf};

    use super::*;

    fn row(id: &str) -> Document {
        let receita: Decimal128 = "10.50".parse().expect("a decimal");
        doc! { "_id": id, "receita": receita, "_epoch": 7_i64 }
    }

    #[test]
    fn commands_are_as_they_always_were() {
        for (command, expected) in [
            (
                insert("vendas", vec![row("a")]),
                r#"{ "insert": "vendas", "documents": [{ "_id": "a", "receita": 10.50, "_epoch": 7 }], "ordered": false }"#,
            ),
            (
                replace("vendas", 7, vec![row("a")]),
                r#"{ "update": "vendas", "updates": [{ "q": { "_id": "a", "_epoch": { "$lt": 7 } }, "u": { "_id": "a", "receita": 10.50, "_epoch": 7 }, "upsert": false, "multi": false }], "ordered": false }"#,
            ),
            (
                delete("vendas", 7, vec![Bson::from("a"), Bson::Int64(2)]),
                r#"{ "delete": "vendas", "deletes": [{ "q": { "_id": "a", "_epoch": { "$lt": 7 } }, "limit": 1 }, { "q": { "_id": 2, "_epoch": { "$lt": 7 } }, "limit": 1 }], "ordered": false }"#,
            ),
            (
                delete_expired("cliques", "expira_em", DateTime::from_millis(1_747_224_000_000)),
                r#"{ "delete": "cliques", "deletes": [{ "q": { "expira_em": { "$lt": DateTime("2025-05-14 12:00:00.0 +00:00:00") } }, "limit": 0 }] }"#,
            ),
            (
                expire("cliques", "expira_em"),
                r#"{ "createIndexes": "cliques", "indexes": [{ "key": { "expira_em": 1 }, "name": "vitral_expira_em", "expireAfterSeconds": 0 }] }"#,
            ),
            (create("copia"), r#"{ "create": "copia" }"#),
            (
                list("copia"),
                r#"{ "listCollections": 1, "filter": { "name": "copia" }, "nameOnly": true, "authorizedCollections": true }"#,
            ),
            (
                forget("copia"),
                r#"{ "delete": "vitral_sinks", "deletes": [{ "q": { "_id": "copia" }, "limit": 1 }], "ordered": false }"#,
            ),
            (
                progress("copia", 7),
                r#"{ "update": "vitral_sinks", "updates": [{ "q": { "_id": "copia", "epoch": { "$lt": 7 } }, "u": { "_id": "copia", "epoch": 7 }, "upsert": false, "multi": false }], "ordered": false }"#,
            ),
            (
                first_progress("copia", 7),
                r#"{ "insert": "vitral_sinks", "documents": [{ "_id": "copia", "epoch": 7 }], "ordered": false }"#,
            ),
        ] {
            assert_eq!(command.to_string(), expected);
        }
    }

    #[test]
    fn numbers_and_times_go_in_types_of_their_own() {
        let mut row = row("a");
        row.insert("quando", DateTime::from_millis(1_747_224_000_000));
        let command = RawDocumentBuf::try_from(&insert("vendas", vec![row])).expect("bytes");
        // The tags of Decimal128, UTC datetime and 64-bit integer.
        for field in [&b"\x13receita\0"[..], b"\x09quando\0", b"\x12_epoch\0"] {
            assert!(command.as_bytes().windows(field.len()).any(|bytes| bytes == field), "{field:?}");
        }
    }
}
