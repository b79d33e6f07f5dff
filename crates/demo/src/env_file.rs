//! Where a script finds the demo: a file of the data directory, whole or not there.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;

const FILE: &str = "demo.env";

/// Once everything answers, at these addresses.
pub fn write(data_dir: &Path, kafka: SocketAddr, api_url: &str, sql_url: Option<&str>) -> anyhow::Result<()> {
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
    let sql = sql_url.map(|url| format!("VITRAL_SQL_URL={url}\n")).unwrap_or_default();
    write!(file, "VITRAL_KAFKA={kafka}\nVITRAL_API_URL={api_url}\n{sql}").with_context(|| failed(&partial))?;
    file.sync_all().with_context(|| failed(&partial))?;
    std::fs::rename(&partial, &path).with_context(|| failed(&path))
}

/// As clients of PostgreSQL take it. Without access control anybody is let in, under any name; with
/// it, user and password are those of a key, which only its owner has.
pub fn sql_url(address: SocketAddr, needs_key: bool) -> String {
    let user = if needs_key { "" } else { "vitral:vitral@" };
    format!("postgresql://{user}{address}/vitral")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_keys_are_needed_no_user_is_named() {
        let address = SocketAddr::from(([127, 0, 0, 1], 5433));
        assert_eq!(sql_url(address, false), "postgresql://vitral:vitral@127.0.0.1:5433/vitral");
        assert_eq!(sql_url(address, true), "postgresql://127.0.0.1:5433/vitral");
    }
}
