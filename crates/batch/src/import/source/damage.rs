//! Readers of formats panic on some files that are damaged, or made to look so: for those who
//! import one, that is an error of the file.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What is read, or the error; a panic is the error that `failed` makes of it. After one, what was
/// read from is not to be used again.
pub(super) fn caught<T, E>(failed: impl Fn(io::Error) -> E, read: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| {
        Err(failed(io::Error::other("it is damaged, or not what its extension says: export or copy it again")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_a_reader_is_an_error_of_the_file() {
        let failed = |error: io::Error| error.to_string();
        assert_eq!(caught(failed, || Ok(1)), Ok(1));
        assert_eq!(caught(failed, || Err::<(), _>("no such file".to_owned())), Err("no such file".to_owned()));
        let error = caught(failed, || -> Result<(), String> { panic!("an unknown type") }).expect_err("a panic");
        assert!(error.contains("damaged") && error.contains("export or copy it"), "{error}");
    }
}
