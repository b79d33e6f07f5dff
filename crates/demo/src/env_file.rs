//! Where a script finds the demo: a file of the data directory, whole or not there.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;

const FILE: &str = "demo.env";

/// Once everything answers.
pub fn write(data_dir: &Path, kafka: SocketAddr, api: SocketAddr, sql: Option<SocketAddr>) -> anyhow::Result<()> {
    let path = data_dir.join(FILE);
    let partial = data_dir.join(format!(".{FILE}.partial"));
    let failed = |path: &PathBuf| format!("{} cannot be written", path.display());
    let mut file: File = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(&partial)
        .with_context(|| failed(&partial))?;
    let sql = sql.map(|sql| format!("VITRAL_SQL_URL={}\n", sql_url(sql))).unwrap_or_default();
    write!(file, "VITRAL_KAFKA={kafka}\nVITRAL_API_URL=http://{api}\n{sql}").with_context(|| failed(&partial))?;
    file.sync_all().with_context(|| failed(&partial))?;
    std::fs::rename(&partial, &path).with_context(|| failed(&path))
}

/// As clients of PostgreSQL take it. On this machine anybody is let in, under any name.
pub fn sql_url(address: SocketAddr) -> String {
    format!("postgresql://vitral:vitral@{address}/vitral")
}

/// Nothing is there any more, or not yet.
pub fn remove(data_dir: &Path) -> anyhow::Result<()> {
    match std::fs::remove_file(data_dir.join(FILE)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{FILE} in {} cannot be removed", data_dir.display()))
        }
        _ => Ok(()),
    }
}
