//! The process's allocator, the C libraries' included.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// Few arenas, as few threads allocate much at once; a thread gives freed memory back soon.
// SAFETY: jemalloc reads this symbol as a C string when it starts; no other crate defines it.
#[unsafe(export_name = "_rjem_malloc_conf")]
pub static MALLOC_CONF: Option<&'static std::ffi::c_char> = Some(
    // SAFETY: the text ends with a zero byte and lives forever.
    unsafe { &*c"narenas:2,background_thread:true,dirty_decay_ms:200,muzzy_decay_ms:0".as_ptr() },
);

/// Overrides of these settings, which jemalloc reads from the environment when a process starts.
const OVERRIDES: &str = "_RJEM_MALLOC_CONF";
/// Who freed a batch's columns keeps them, in large pages: too much memory for a stream.
const HISTORY: &str = "tcache_max:524288,thp:always";

/// Work over history passes batches on as fast as it can: a fifth of its time would go into getting
/// memory from the system and back. Restarts the process with other settings, unless it has some.
pub fn start_for_history() {
    if std::env::var_os(OVERRIDES).is_some() {
        return;
    }
    let Ok(program) = std::env::current_exe() else { return };
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let error = Command::new(program).args(arguments).env(OVERRIDES, HISTORY).exec();
    // Logs have not begun yet.
    eprintln!("vitral: running slower: allocator settings could not be applied: {error}");
}
