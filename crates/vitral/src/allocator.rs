//! The process's allocator, the C libraries' included.

use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// Few arenas, as few threads allocate much at once; what is freed goes back to the system soon, by a thread of its own.
// SAFETY: jemalloc reads this symbol as a C string when it starts; no other crate defines it.
#[unsafe(export_name = "_rjem_malloc_conf")]
pub static MALLOC_CONF: Option<&'static std::ffi::c_char> = Some(
    // SAFETY: the text ends with a zero byte and lives for ever.
    unsafe { &*c"narenas:2,background_thread:true,dirty_decay_ms:200,muzzy_decay_ms:0".as_ptr() },
);
