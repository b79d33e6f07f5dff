//! The process among others: its descriptors, its memory, whom its files are for, which of its
//! threads go first, and what it writes.

#![warn(missing_docs)]
#![warn(clippy::too_many_lines)]

pub mod listening;
pub mod output;
pub mod runtimes;
pub mod telemetry;

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Raises the bound on open descriptors as far as the process itself may; what it is then.
pub fn raise_descriptor_limit() -> u64 {
    let Ok((soft, hard)) = rlimit::Resource::NOFILE.get() else { return FEW };
    // Some systems say "no bound" and refuse to set it.
    let wanted = hard.min(MANY);
    if soft >= wanted || rlimit::Resource::NOFILE.set(wanted, hard).is_ok() { soft.max(wanted) } else { soft }
}

/// What every system gives a process, and more than connections and files will need.
const FEW: u64 = 256;
const MANY: u64 = 1 << 20;

/// How many descriptors may be open.
pub fn descriptor_limit() -> Option<u64> {
    rlimit::Resource::NOFILE.get_soft().ok()
}

/// How many are.
pub fn open_descriptors() -> Option<usize> {
    Some(fs::read_dir("/proc/self/fd").ok()?.count())
}

/// The process's memory.
pub fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(kilobytes.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// What the process writes is for its own user alone: archives hold what people did.
pub fn keep_files_private() {
    // SAFETY: only sets a number of the process.
    unsafe { libc::umask(0o077) };
}

/// Whose process it is.
pub fn user_id() -> u32 {
    // SAFETY: only reads a number of the process.
    unsafe { libc::geteuid() }
}

/// How long the calling thread has computed.
pub fn thread_cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: only writes to `time`, which lives as long as the call.
    if unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) } != 0 {
        return Duration::ZERO;
    }
    Duration::new(u64::try_from(time.tv_sec).unwrap_or_default(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// Lets other threads go first where there is not enough for all: with each step they get a quarter
/// more. Called on the thread itself.
pub fn go_behind_others(steps: i32) {
    // SAFETY: only sets a number; on Linux of the calling thread alone.
    if unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, steps) } != 0 {
        tracing::debug!(steps, "a thread has the same priority as all others");
    }
}

/// Makes the data directory, for this user alone. From one that was there every other user's rights
/// are taken, if it is ours; those of its group are left as somebody chose them.
pub fn make_private_dir(dir: &Path) -> Result<(), NotPrivate> {
    let failed = |source| NotPrivate { dir: dir.to_owned(), source };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
    let found = fs::metadata(dir).map_err(failed)?;
    let mode = found.mode() & 0o7777;
    if mode & 0o007 == 0 {
        return Ok(());
    }
    if found.uid() != user_id() {
        tracing::warn!(dir = %dir.display(), mode = format!("{mode:o}"), "every user may enter the data directory, and it belongs to another user: chmod o-rwx it");
        return Ok(());
    }
    fs::set_permissions(dir, fs::Permissions::from_mode(mode & !0o007)).map_err(failed)?;
    tracing::warn!(dir = %dir.display(), mode = format!("{mode:o}"), "every user could enter the data directory; from now on only its owner and group can");
    Ok(())
}

/// A folder that others may go on reading, or that is not there.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot be made private", dir.display())]
pub struct NotPrivate {
    dir: PathBuf,
    source: io::Error,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(dir: &Path) -> u32 {
        fs::metadata(dir).expect("a folder").mode() & 0o777
    }

    #[test]
    fn a_data_directory_is_for_its_owner() {
        let parent = tempfile::tempdir().expect("a folder");
        let made = parent.path().join("a").join("data");
        make_private_dir(&made).expect("made");
        assert_eq!(mode(&made), 0o700);
        for (before, after) in [(0o755, 0o750), (0o777, 0o770), (0o750, 0o750), (0o700, 0o700)] {
            fs::set_permissions(&made, fs::Permissions::from_mode(before)).expect("set");
            make_private_dir(&made).expect("there");
            assert_eq!(mode(&made), after, "{before:o}");
        }
    }

    #[test]
    fn descriptors_and_memory_are_known() {
        let limit = raise_descriptor_limit();
        assert_eq!(descriptor_limit(), Some(limit));
        assert!(
            open_descriptors().is_some_and(|open| open > 2) && resident_bytes().is_some_and(|bytes| bytes > 1 << 20)
        );
    }
}
