//! Which requests are served: what every client asks first.

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};

use super::{Request, SERVED, frame, not_understood};
use crate::connection::End;

pub fn answer(mut request: Request) -> Result<Option<Bytes>, End> {
    let _: ApiVersionsRequest = request.decode()?;
    request.encode(&served())
}

/// A client that is newer than this broker asks again in a version from this response, which every
/// client can read.
pub fn unknown_version(frame_bytes: &Bytes) -> Result<Bytes, End> {
    let Some(correlation_id) = frame_bytes.get(4..8).and_then(|bytes| bytes.first_chunk()) else {
        return Err(not_understood("it has no header"));
    };
    let answer = served().with_error_code(ResponseError::UnsupportedVersion.code());
    frame(i32::from_be_bytes(*correlation_id), 0, &answer)
}

fn served() -> ApiVersionsResponse {
    let api_keys = SERVED
        .iter()
        .map(|&(api, oldest, newest)| {
            ApiVersion::default().with_api_key(api as i16).with_min_version(oldest).with_max_version(newest)
        })
        .collect();
    ApiVersionsResponse::default().with_api_keys(api_keys)
}
