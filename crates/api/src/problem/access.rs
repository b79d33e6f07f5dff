//! Requests that are refused for who sends them, from where, how often or in which form.

use std::time::Duration;

use axum::http::StatusCode;
use vitral_access::{Denied, SignInError};

use super::Problem;

/// A problem's code, for those who write down what became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProblemCode(pub &'static str);

impl Problem {
    pub(crate) fn denied(denied: &Denied) -> Self {
        let remedy = "send another key as `Authorization: Bearer ID.SECRET`, or sign in again at /entrar; `vitral keys list` shows which are valid";
        let invalid = |detail: &str| Self::new(StatusCode::UNAUTHORIZED, "invalid_credentials", detail, remedy);
        match denied {
            Denied::Missing => Self::new(
                StatusCode::UNAUTHORIZED,
                "missing_credentials",
                "the request does not say who sends it",
                "send a key that `vitral keys create` has made as `Authorization: Bearer ID.SECRET`, or sign in at /entrar",
            ),
            Denied::Unreadable(why) => Self::new(
                StatusCode::UNAUTHORIZED,
                "invalid_credentials",
                *why,
                "send one Authorization header, as `Authorization: Bearer ID.SECRET` or Basic with the key's id and secret",
            ),
            // Whether the name or the secret is wrong is nobody's business.
            Denied::Wrong => invalid("the key, token or session is not known here"),
            Denied::Expired => invalid("the key, token or session has expired"),
            Denied::Revoked => invalid("the key was revoked"),
            Denied::Unavailable(reason) => {
                tracing::warn!(reason, "credentials cannot be examined");
                Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "access_unavailable",
                    "credentials cannot be examined at the moment",
                    "ask again in a moment; the server's log says what it cannot reach",
                )
                .retry_after(5)
            }
        }
    }

    pub(crate) fn not_signed_in(error: &SignInError) -> Self {
        let remedy = "open /entrar and sign in again";
        match error {
            SignInError::Denied(denied) => Self::denied(denied),
            SignInError::State | SignInError::BackTo(_) => {
                Self::new(StatusCode::BAD_REQUEST, "invalid_sign_in", error.to_string(), remedy)
            }
            SignInError::Refused(_) => {
                Self::new(StatusCode::UNAUTHORIZED, "sign_in_refused", error.to_string(), remedy)
            }
            SignInError::Access(_) => {
                let error: &dyn std::error::Error = error;
                tracing::error!(error, "a sign-in cannot be begun");
                Self::internal()
            }
        }
    }

    /// A scope that is not that of a name.
    pub(crate) fn needs_scope(scope: &str) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            format!("this needs the scope {scope}"),
            "ask an administrator for a key with this scope",
        )
    }

    pub(crate) fn foreign_origin(origin: &str) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "foreign_origin",
            format!("the request comes from {origin}, which is not known here"),
            "ask from a page of this server, or add the page's origin to api.cors_origins in the server's configuration",
        )
    }

    pub(crate) fn not_of_json_type() -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "Content-Type is not application/json",
            "send JSON, with `Content-Type: application/json`",
        )
    }

    pub(crate) fn too_many_requests(limit: u32, wait: Duration) -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_requests",
            format!("these credentials may be used {limit} times in a window, and were"),
            "wait as long as Retry-After says; RateLimit-Remaining counts down before it is too late",
        )
        .retry_after(whole_seconds(wait))
    }

    pub(crate) fn too_many_failures(wait: Duration) -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_failures",
            "too many wrong keys have come from this address",
            "wait as long as Retry-After says, then send a valid key",
        )
        .retry_after(whole_seconds(wait))
    }

    pub(crate) fn slow_body(time: Duration) -> Self {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            "slow_body",
            format!("the request's body was not whole within {} seconds", time.as_secs_f64()),
            "send less at once, or over a faster connection",
        )
    }

    pub(crate) fn broken_body(why: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_body", why, "send the whole body, as long as Content-Length says")
    }

    pub(crate) fn no_key(detail: &str) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "invalid_body",
            detail,
            "send {\"chave\": \"...\"} as application/json, with a key that `vitral keys create` has made",
        )
    }
}

/// Never earlier than it is of use.
pub(crate) fn whole_seconds(duration: Duration) -> u32 {
    let seconds = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    u32::try_from(seconds.max(1)).unwrap_or(u32::MAX)
}
