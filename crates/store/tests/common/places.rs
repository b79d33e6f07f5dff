//! Where tests keep tables.

use std::collections::BTreeMap;

use vitral_store::Location;

/// A folder, and a bucket if a store is there: `scripts/services start s3`. In CI its absence is a
/// failure.
pub fn places() -> (tempfile::TempDir, Vec<Location>) {
    let dir = tempfile::tempdir().expect("a folder");
    let mut places = vec![Location::folder(dir.path()).expect("a location")];
    let setting = |name: &str| std::env::var(format!("VITRAL_TEST_S3{name}"));
    match setting("") {
        Ok(endpoint) => {
            let [bucket, key, secret] =
                ["_BUCKET", "_KEY", "_SECRET"].map(|name| setting(name).expect("set with the other"));
            let options = BTreeMap::from(
                [
                    ("aws_endpoint", endpoint.as_str()),
                    ("aws_access_key_id", &key),
                    ("aws_secret_access_key", &secret),
                    ("aws_region", "us-east-1"),
                    ("aws_allow_http", "true"),
                ]
                .map(|(name, value)| (name.to_owned(), value.to_owned())),
            );
            let prefix =
                format!("s3://{bucket}/{}", dir.path().file_name().and_then(|name| name.to_str()).expect("a name"));
            places.push(Location::bucket(&prefix, &options).expect("a bucket"));
        }
        Err(_) if std::env::var_os("CI").is_some() => {
            panic!("VITRAL_TEST_S3 is not set: run scripts/services start s3")
        }
        Err(_) => eprintln!("buckets are left out: VITRAL_TEST_S3 is not set (scripts/services start s3)"),
    }
    (dir, places)
}
