//! The AWS keys of this process, found where AWS's other clients find them.

use std::error::Error;

use object_store::aws::AmazonS3Builder;

/// No part of it is shown in an error or a log.
pub(crate) struct AwsKeys {
    /// The access key id.
    pub(crate) id: String,
    /// The secret access key.
    pub(crate) secret: String,
    /// The session token of temporary keys.
    pub(crate) session: Option<String>,
}

/// From the environment: keys, a web identity (EKS), the container's role (ECS, EKS), or else the
/// machine's (EC2).
pub(crate) async fn aws_keys(region: &str) -> Result<AwsKeys, String> {
    let failed = |error: object_store::Error| {
        let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
        format!("the keys for AWS cannot be found in the environment or the machine's role: {error}{cause}")
    };
    // The bucket is never used.
    let builder = AmazonS3Builder::from_env().with_region(region).with_bucket_name("none");
    let keys = builder.build().map_err(failed)?.credentials().get_credential().await.map_err(failed)?;
    Ok(AwsKeys { id: keys.key_id.clone(), secret: keys.secret_key.clone(), session: keys.token.clone() })
}
