//! Which answers are compressed: not what is small, not what a reader waits for line by line, and
//! not what is compressed already.

use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};

/// About what one packet holds: less would not arrive sooner.
const PLAIN_BYTES_MAX: u16 = 1_024;

/// With gzip or zstd, whichever a client likes better.
pub(crate) fn layer() -> CompressionLayer<impl Predicate> {
    let predicate = SizeAbove::new(PLAIN_BYTES_MAX)
        .and(NotForContentType::SSE)
        .and(NotForContentType::IMAGES)
        .and(NotForContentType::const_new("font/"));
    // Answers are made for each request: the first bytes count for more than the last few percent.
    CompressionLayer::new().quality(CompressionLevel::Fastest).compress_when(predicate)
}
