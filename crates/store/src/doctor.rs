//! Checks the object store step by step.

use std::collections::BTreeMap;
use std::error::Error;

use vitral_schemas::finding::{Finding, clock};

use crate::location::Location;
use crate::probe::{StoreProbe, probe};

/// Findings about the bucket that the setting `key` names, such as `store.url`.
pub async fn bucket(about: &'static str, key: &str, url: &str, options: &BTreeMap<String, String>) -> Vec<Finding> {
    match Location::bucket(url, options) {
        Ok(location) => stored(about, &location, &probe(&location).await),
        Err(error) => vec![Finding::fail(about, chain(&error), format!("correct {key} and store.options"))],
    }
}

fn stored(about: &'static str, location: &Location, probed: &StoreProbe) -> Vec<Finding> {
    let failed = probed.steps.iter().find_map(|(step, outcome)| Some((*step, outcome.as_ref().err()?)));
    let mut findings = vec![match failed {
        None => Finding::ok(about, format!("{location}: list, write, write if absent, read and delete work")),
        Some((step, reason)) => {
            Finding::fail(about, format!("{location}: {step} fails: {reason}"), remedy(step, reason))
        }
    }];
    findings.extend(probed.clock_ahead_ms.map(|ahead_ms| clock("clock", "the object store", ahead_ms)));
    findings
}

fn remedy(step: &str, reason: &str) -> String {
    let reason = reason.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| reason.contains(word));
    if has(&["timed out", "no answer", "connect", "dns"]) {
        return "check the network, and aws_endpoint in store.options".to_owned();
    }
    if has(&["nosuchbucket", "container not found"]) {
        return "create the bucket, or correct its name in store.url".to_owned();
    }
    let right = match step {
        "list" => "s3:ListBucket",
        "read" => "s3:GetObject",
        "delete" => "s3:DeleteObject",
        "write if absent" => {
            return "every commit depends on \"put if absent\": use a store that supports it (If-None-Match: *), in a version that is recent enough"
                .to_owned();
        }
        _ => "s3:PutObject",
    };
    format!(
        "give these credentials the right to {step} ({right} or its equivalent); they come from store.options and the environment"
    )
}

/// An error and its causes.
pub fn chain(error: &dyn Error) -> String {
    let (mut text, mut source) = (error.to_string(), error.source());
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use vitral_schemas::finding::State;

    use super::*;

    #[test]
    fn what_a_store_cannot_do_names_the_right() {
        let location = Location::folder(Path::new("/tmp/shop")).expect("a folder");
        let probed = StoreProbe {
            steps: vec![("list", Ok(())), ("write", Err("403 AccessDenied".into()))],
            clock_ahead_ms: Some(60_000),
        };
        let findings = stored("store", &location, &probed);
        assert_eq!(findings.iter().map(|finding| finding.state).collect::<Vec<_>>(), [State::Fail, State::Warn]);
        assert!(findings[0].remedy.as_ref().is_some_and(|remedy| remedy.contains("s3:PutObject")), "{findings:?}");
        assert!(remedy("list", "error sending request: connect refused").contains("network"));
        assert!(remedy("list", "NoSuchBucket").contains("create the bucket"));
        assert!(remedy("write if absent", "it wrote over").contains("put if absent"));
    }
}
