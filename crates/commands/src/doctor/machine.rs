//! This machine: configuration, catalog, data directory, disk, descriptors, clock, time zone, the
//! API's port.

use std::ffi::CString;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::{Offset, Utc};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use vitral_batch::import::wording::counted;
use vitral_catalog::Catalog;
use vitral_config::Config;
use vitral_process as process;
use vitral_process::listening;
use vitral_schemas::finding::Finding;

use crate::check;

const GIB: f64 = (1_u64 << 30) as f64;
/// Less free space, or fewer free inodes, than these is soon none.
const FREE_BYTES_LEAST: u64 = 1 << 30;
const FREE_BYTES_GOOD: u64 = 10 << 30;
const FREE_INODES_GOOD: u64 = 100_000;
const DESCRIPTORS_GOOD: u64 = 1024;
const ANSWER: Duration = Duration::from_secs(5);

/// The configuration was read, or nothing would be examined.
pub fn catalog(config: &Config) -> (Vec<Finding>, Option<Catalog>) {
    let read = config.catalog().map_err(anyhow::Error::from).map(Arc::new).and_then(|catalog| {
        check::plan(&catalog, config)?;
        Ok(Arc::unwrap_or_clone(catalog))
    });
    match read {
        Ok(catalog) => {
            let found = format!(
                "{} and {} parse and plan",
                counted(catalog.topics.len() as u64, "topic"),
                counted(catalog.metrics.len() as u64, "metric")
            );
            (vec![Finding::ok("configuration", "is read"), Finding::ok("catalog", found)], Some(catalog))
        }
        Err(error) => {
            let finding = Finding::fail("catalog", format!("{error:#}"), "vitral check names every place");
            (vec![Finding::ok("configuration", "is read"), finding], None)
        }
    }
}

pub fn examine(config: &Config, data_dir: &Path) -> Vec<Finding> {
    let mut findings = vec![directory(data_dir)];
    findings.extend(disk(data_dir));
    findings.push(descriptors());
    findings.push(synchronised());
    findings.push(zone(config));
    findings
}

fn directory(dir: &Path) -> Finding {
    const ABOUT: &str = "data directory";
    let shown = dir.display();
    let found = match fs::metadata(dir) {
        Ok(found) if found.is_dir() => found,
        Ok(_) => return Finding::fail(ABOUT, format!("{shown} is a file"), "name a folder with --data-dir"),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Finding::ok(ABOUT, format!("{shown} does not exist yet; the first start creates it"));
        }
        Err(error) => {
            let remedy = "let this user enter the folders above it, or name another with --data-dir";
            return Finding::fail(ABOUT, format!("{shown}: {error}"), remedy);
        }
    };
    let probe = dir.join(".doctor");
    if let Err(error) = fs::write(&probe, b"").and_then(|()| fs::remove_file(&probe)) {
        let (owner, me) = (found.uid(), process::user_id());
        let remedy = format!("it belongs to user {owner}, this is user {me}: run as its owner, or chown it");
        return Finding::fail(ABOUT, format!("{shown} cannot be written: {error}"), remedy);
    }
    let mode = found.mode() & 0o777;
    if mode & 0o077 != 0 {
        let remedy = format!("chmod 700 {shown}: the archive holds what people did");
        return Finding::warn(ABOUT, format!("{shown} may be read by others (mode {mode:o})"), remedy);
    }
    Finding::ok(ABOUT, format!("{shown} is accessible only to this user"))
}

fn disk(dir: &Path) -> Vec<Finding> {
    // One that is not there yet will be on the disk of the first folder above it that is.
    let there =
        std::path::absolute(dir).ok().and_then(|dir| dir.ancestors().find(|dir| dir.exists()).map(Path::to_owned));
    let Some((bytes, inodes)) = there.as_deref().and_then(free) else {
        return vec![Finding::warn("disk", "the free space is unknown", "check df")];
    };
    let shown = format!("{:.1} GiB free", bytes as f64 / GIB);
    let remedy =
        "free some, or name a data directory on another disk: a stream stops when the disk is full, and names it";
    let space = if bytes < FREE_BYTES_LEAST {
        Finding::fail("disk", shown, remedy)
    } else if bytes < FREE_BYTES_GOOD {
        Finding::warn("disk", shown, remedy)
    } else {
        Finding::ok("disk", shown)
    };
    // Some file systems have no bound on them, and say 0 of 0.
    let few = inodes.is_some_and(|inodes| inodes < FREE_INODES_GOOD);
    let files = few.then(|| {
        let found = format!("room for {} more files", inodes.unwrap_or_default());
        Finding::warn("disk", found, "delete small files elsewhere on this disk (df --inodes)")
    });
    [Some(space), files].into_iter().flatten().collect()
}

/// Bytes and, where they are bounded, inodes that this user may still take.
fn free(dir: &Path) -> Option<(u64, Option<u64>)> {
    let path = CString::new(dir.as_os_str().as_bytes()).ok()?;
    let mut found = std::mem::MaybeUninit::<libc::statvfs>::zeroed();
    // SAFETY: the path ends with a zero byte, and the struct is read only if the call filled it.
    let found = unsafe {
        if libc::statvfs(path.as_ptr(), found.as_mut_ptr()) != 0 {
            return None;
        }
        found.assume_init()
    };
    let inodes = (found.f_files > 0).then_some(found.f_favail);
    Some((found.f_bavail.saturating_mul(found.f_frsize), inodes))
}

fn descriptors() -> Finding {
    const ABOUT: &str = "descriptors";
    match process::descriptor_limit() {
        Some(limit) if limit >= DESCRIPTORS_GOOD => Finding::ok(ABOUT, format!("{limit} may be open")),
        Some(limit) => Finding::warn(
            ABOUT,
            format!("only {limit} may be open"),
            "raise the hard limit (ulimit -Hn, LimitNOFILE= of the service) to 65536: the API accepts fewer connections",
        ),
        None => Finding::warn(ABOUT, "the limit is unknown", "check ulimit -n"),
    }
}

/// Whether the kernel says that its clock is synchronised.
fn synchronised() -> Finding {
    let mut asked = std::mem::MaybeUninit::<libc::timex>::zeroed();
    // SAFETY: with no modes set, the call only fills the struct.
    let state = unsafe { libc::adjtimex(asked.as_mut_ptr()) };
    match state {
        libc::TIME_ERROR => Finding::warn(
            "clock",
            "this machine's clock is not synchronised",
            "timedatectl set-ntp true, or chrony: events will be off by the clock's error",
        ),
        ..0 => Finding::warn("clock", "whether it is synchronised is unknown", "check timedatectl"),
        _ => Finding::ok("clock", "is synchronised by NTP"),
    }
}

fn zone(config: &Config) -> Finding {
    match config.settings().map_err(anyhow::Error::from) {
        Ok(settings) => {
            let now = Utc::now().with_timezone(&settings.time_zone);
            let found =
                format!("{}: now {} (UTC{})", settings.time_zone, now.format("%d/%m/%Y %H:%M"), now.offset().fix());
            Finding::ok("time zone", found)
        }
        Err(error) => Finding::fail("time zone", format!("{error:#}"), "domain.time_zone = \"Europe/Lisbon\""),
    }
}

/// The API's address is free, or a stream serves there.
pub async fn api(config: &Config) -> Vec<Finding> {
    const ABOUT: &str = "api";
    let listen = &config.api.listen;
    let Ok(address) = listen.parse::<SocketAddr>() else {
        return vec![Finding::fail(
            ABOUT,
            format!("api.listen is {listen:?}"),
            "give an address and port: 127.0.0.1:8080",
        )];
    };
    let mut findings = Vec::new();
    if !address.ip().is_loopback() {
        findings.push(Finding::warn(
            ABOUT,
            format!("anyone who can reach {address} may read everything: the API does not ask who they are"),
            "listen on 127.0.0.1 behind a proxy that does, or let a firewall choose who reaches it",
        ));
    }
    let finding = match TcpListener::bind(address).await {
        Ok(_) => Finding::ok(ABOUT, format!("{address} is free")),
        Err(error) => match tokio::time::timeout(ANSWER, readiness(address)).await {
            Ok(Some((true, _))) => Finding::ok(ABOUT, format!("a stream serves at {address} and is ready")),
            Ok(Some((false, body))) => {
                Finding::fail(ABOUT, format!("a stream at {address} is not ready: {body}"), "its log says more")
            }
            Ok(None) | Err(_) => Finding::fail(
                ABOUT,
                listening::why(address, &error),
                "stop what uses it (ss --listening --tcp --processes), or choose another with api.listen",
            ),
        },
    };
    findings.push(finding);
    findings
}

/// What the Vitral that listens there says; none if it is something else.
async fn readiness(address: SocketAddr) -> Option<(bool, String)> {
    let mut connection = TcpStream::connect(address).await.ok()?;
    connection.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.ok()?;
    let mut answer = Vec::new();
    connection.take(64 << 10).read_to_end(&mut answer).await.ok()?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (_, body) = answer.split_once("\r\n\r\n")?;
    let said: serde_json::Value = serde_json::from_str(body).ok()?;
    Some((said.get("pronto")?.as_bool()?, body.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use vitral_schemas::finding::State;

    use super::*;

    #[test]
    fn data_directories() {
        let dir = tempfile::tempdir().expect("a folder");
        let set = |mode| fs::set_permissions(dir.path(), fs::Permissions::from_mode(mode)).expect("set");
        set(0o700);
        assert_eq!(directory(dir.path()).state, State::Ok);
        set(0o755);
        let wide = directory(dir.path());
        assert!(wide.state == State::Warn && wide.remedy.is_some_and(|remedy| remedy.contains("chmod 700")));
        assert_eq!(directory(&dir.path().join("later")).state, State::Ok);
        let file = dir.path().join("file");
        fs::write(&file, "x").expect("written");
        assert_eq!(directory(&file).state, State::Fail);
        assert!(!disk(&dir.path().join("later")).is_empty());
        assert!(free(dir.path()).is_some_and(|(bytes, _)| bytes > 0));
    }

    #[tokio::test]
    async fn a_port_that_is_taken_by_something_else() {
        let taken = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let mut config = Config::default();
        config.api.listen = taken.local_addr().expect("an address").to_string();
        let answer = async {
            let (mut connection, _) = taken.accept().await.expect("a connection");
            connection.write_all(b"HTTP/1.1 200 OK\r\n\r\n<html>").await.expect("written");
        };
        let (findings, ()) = tokio::join!(api(&config), answer);
        assert!(findings[0].state == State::Fail && findings[0].found.contains("is already in use"), "{findings:?}");
        config.api.listen = "somewhere".to_owned();
        assert_eq!(api(&config).await[0].state, State::Fail);
        config.api.listen = "0.0.0.0:0".to_owned();
        assert_eq!(
            api(&config).await.iter().map(|finding| finding.state).collect::<Vec<_>>(),
            [State::Warn, State::Ok]
        );
    }
}
