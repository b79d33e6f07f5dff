//! What is said where the driver is not part of the build.

use vitral_connect::{Connection, ConnectionError};

/// Nothing can be opened.
pub(crate) fn error(connection: &Connection) -> ConnectionError {
    connection
        .error("url", "leads to MongoDB, and this program was built without the feature mongodb: use one that has it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_feature_is_named() {
        let target =
            crate::SinkTarget { name: "a".into(), collection: "a".into(), key: vec!["k".into()], expires: None };
        let error = crate::sink(target, &Connection::to("mongodb://127.0.0.1/d")).expect_err("no driver");
        assert!(error.to_string().contains("feature mongodb"), "{error}");
    }
}
