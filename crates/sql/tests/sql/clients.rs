//! What clients send when they connect and look around, as files: each statement has an answer.

use std::fs;
use std::path::Path;

use crate::world::{World, said};

/// Between statements.
const END: &str = "\n;\n";

#[tokio::test]
async fn everything_that_clients_send_is_answered() {
    let world = World::new().await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    let mut failed = Vec::new();
    let mut files: Vec<_> = fs::read_dir(folder).expect("a folder").map(|file| file.expect("a file").path()).collect();
    files.sort();
    assert!(files.len() > 10);
    for file in files {
        let text = fs::read_to_string(&file).expect("a text");
        let client = world.client().await;
        for sql in text.split(END).map(str::trim).filter(|sql| !sql.is_empty()) {
            if let Err(error) = client.simple_query(sql).await {
                let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
                failed.push(format!("{name}: {}\n{sql}\n", said(&error)));
            }
        }
    }
    assert!(failed.is_empty(), "{} statements without an answer:\n{}", failed.len(), failed.join("\n"));
}
