//! The keys by which this process is known to AWS, from where the object store's client finds them.

use object_store::aws::AmazonS3Builder;

use crate::error::StoreError;

/// No part of it is shown in an error or a log.
pub struct AwsKeys {
    /// The access key id.
    pub id: String,
    /// The secret access key.
    pub secret: String,
    /// Of keys that end.
    pub session: Option<String>,
}

/// Of the environment: keys, a web identity (EKS), the container's role (ECS, EKS), or else the machine's (EC2).
pub async fn aws_keys(region: &str) -> Result<AwsKeys, StoreError> {
    let failed = |source| StoreError::Object {
        path: "the keys for AWS".to_owned(),
        action: "found in the environment or the machine's role",
        source: Box::new(source),
    };
    // The bucket is never asked for anything.
    let builder = AmazonS3Builder::from_env().with_region(region).with_bucket_name("none");
    let keys = builder.build().map_err(failed)?.credentials().get_credential().await.map_err(failed)?;
    Ok(AwsKeys { id: keys.key_id.clone(), secret: keys.secret_key.clone(), session: keys.token.clone() })
}
