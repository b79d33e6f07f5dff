//! The fuzzer of one target, which `VITRAL_FUZZ_TARGET` names; its arguments are libFuzzer's.
//! `scripts/fuzz` builds and runs it.

#![no_main]

use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::LazyLock;

use vitral_fuzz::{Target, target};

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    // The runtime's own hook ends the process at any panic, also at one that is caught and becomes
    // an error.
    drop(take_hook());
    let whole = take_hook();
    set_hook(Box::new(move |panic| whole(panic)));
    let name = std::env::var("VITRAL_FUZZ_TARGET").unwrap_or_default();
    target(&name).expect("VITRAL_FUZZ_TARGET names a target")
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let check = TARGET.check;
    if catch_unwind(AssertUnwindSafe(|| check(data))).is_err() {
        // libFuzzer keeps the input of a process that aborts.
        std::process::abort();
    }
});
