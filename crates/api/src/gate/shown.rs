//! What a request shows of who sends it: a key or token in a header, or the cookie of a session.

use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, COOKIE};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use vitral_access::{Access, Credentials, Denied};
use vitral_query::remote::SCOPE;
use vitral_query::{Principal, RowFilters};

/// What a browser has that has signed in.
pub(crate) const SESSION_COOKIE: &str = "vitral_sessao";

/// What a request shows of who sends it. Not to be printed.
#[derive(Clone)]
pub(crate) enum Shown {
    Nothing,
    Bearer(String),
    Basic {
        user: String,
        secret: String,
    },
    Cookie(String),
    /// Of a scheme or form that is not known here, and why.
    Unreadable(&'static str),
}

const UNKNOWN_FORM: Shown =
    Shown::Unreadable("Authorization is neither Bearer with a key or token nor Basic with a key");

impl Shown {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut given = headers.get_all(AUTHORIZATION).iter();
        match (given.next(), given.next()) {
            (Some(one), None) => one.to_str().ok().and_then(Self::of_header).unwrap_or(UNKNOWN_FORM),
            (Some(_), Some(_)) => Self::Unreadable("Authorization is given more than once"),
            (None, _) => cookie(headers, SESSION_COOKIE).map_or(Self::Nothing, |value| Self::Cookie(value.to_owned())),
        }
    }

    fn of_header(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once(' ')?;
        let rest = rest.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            return Some(Self::Bearer(rest.to_owned()));
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let pair = String::from_utf8(BASE64_STANDARD.decode(rest).ok()?).ok()?;
        let (user, secret) = pair.split_once(':')?;
        Some(Self::Basic { user: user.to_owned(), secret: secret.to_owned() })
    }

    fn credentials(&self) -> Result<Credentials<'_>, Denied> {
        match self {
            Self::Nothing => Ok(Credentials::None),
            Self::Bearer(token) => Ok(Credentials::Bearer(token)),
            Self::Basic { user, secret } => Ok(Credentials::Basic { user, secret }),
            Self::Cookie(value) => Ok(Credentials::Cookie(value)),
            Self::Unreadable(why) => Err(Denied::Unreadable(why)),
        }
    }

    pub(crate) async fn authenticate(&self, access: &Access) -> Result<Principal, Denied> {
        // Another process of the installation: it may ask for nothing but what the stream shows.
        if let Self::Bearer(token) = self
            && access.internal(token)
        {
            return Ok(Principal::new("serve", [SCOPE].into_iter().collect(), RowFilters::default()));
        }
        access.authenticate(self.credentials()?).await
    }

    pub(crate) fn is_session(&self) -> bool {
        matches!(self, Self::Cookie(_))
    }

    pub(crate) fn is_nothing(&self) -> bool {
        matches!(self, Self::Nothing)
    }
}

/// The first cookie of this name.
pub(crate) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find_map(|(found, value)| (found == name).then_some(value))
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn shown(lines: &[(HeaderName, &'static str)]) -> Shown {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name, HeaderValue::from_static(value));
        }
        Shown::of(&headers)
    }

    #[test]
    fn credentials_are_found_where_clients_write_them() {
        let is_bearer = |shown: Shown| matches!(shown, Shown::Bearer(token) if token == "a.b");
        assert!(
            is_bearer(shown(&[(AUTHORIZATION, "Bearer a.b")])) && is_bearer(shown(&[(AUTHORIZATION, "bearer  a.b ")]))
        );
        let basic = shown(&[(AUTHORIZATION, "Basic bG9qYTpzOmVncmVkbw==")]);
        assert!(matches!(basic, Shown::Basic { user, secret } if user == "loja" && secret == "s:egredo"));
        let session = shown(&[(COOKIE, "a=1"), (COOKIE, "b=2; vitral_sessao=x=y; vitral_sessao=z")]);
        assert!(matches!(session, Shown::Cookie(value) if value == "x=y"));
        assert!(shown(&[(COOKIE, "xvitral_sessao=1")]).is_nothing() && shown(&[]).is_nothing());
        // What is sent on purpose counts, not what the browser adds.
        assert!(is_bearer(shown(&[(AUTHORIZATION, "Bearer a.b"), (COOKIE, "vitral_sessao=z")])));
    }

    #[test]
    fn what_is_not_understood_is_not_nothing() {
        for text in ["Bearer", "Digest x", "Basic ***", "Basic bG9qYQ==", ""] {
            assert!(
                matches!(shown(&[(AUTHORIZATION, text)]), Shown::Unreadable(why) if why.contains("neither")),
                "{text}"
            );
        }
        let twice = [(AUTHORIZATION, "Bearer a"), (AUTHORIZATION, "Bearer b")];
        assert!(matches!(shown(&twice), Shown::Unreadable(why) if why.contains("more than once")));
    }
}
