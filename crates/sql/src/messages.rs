//! Whether a client's message is what its kind says. That is checked before it is decoded: the
//! decoder relies on it, and reads surplus bytes of a message as the next one.

/// A message is not what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Malformed(pub(crate) &'static str);

const TOO_SHORT: Malformed = Malformed("a message ends before it is whole");
const TOO_LONG: Malformed = Malformed("a message goes on behind its end");
const NO_END: Malformed = Malformed("a text in a message has no end");

/// The first message of a connection, or another one without a kind.
pub(crate) const STARTUP: u8 = 0;
/// A request to end another connection's statement begins with this number.
const CANCEL: u32 = 80_877_102;
/// The process, and four bytes of a secret at the least.
const CANCEL_BYTES_MIN: usize = 8;

/// Looks at the body of a message. `is_first_proof` tells the message that begins a sign-in from
/// those that go on with it: both have one kind.
pub(crate) fn check(kind: u8, body: &[u8], is_first_proof: bool) -> Result<(), Malformed> {
    let mut body = Body(body);
    match kind {
        STARTUP => match body.number()? {
            CANCEL => return body.bytes(CANCEL_BYTES_MIN).map(|_| ()),
            // Pairs of texts, and an empty one.
            _ if body.0.last() == Some(&0) => return Ok(()),
            _ => return Err(NO_END),
        },
        b'p' if is_first_proof => {
            body.text()?;
            body.value()?;
        }
        b'Q' => body.text()?,
        b'P' => {
            body.text()?;
            body.text()?;
            body.list(Body::number)?;
        }
        b'B' => {
            body.text()?;
            body.text()?;
            body.list(Body::format)?;
            body.list(Body::value)?;
            body.list(Body::format)?;
        }
        b'E' => {
            body.text()?;
            body.number()?;
        }
        b'D' | b'C' => {
            if !matches!(body.bytes(1)?, b"S" | b"P") {
                return Err(Malformed("what is named is neither a statement nor a portal"));
            }
            body.text()?;
        }
        b'S' | b'H' | b'X' | b'c' => {}
        b'f' => body.text()?,
        // The rest of a sign-in, rows of a COPY, and kinds that nobody knows.
        _ => return Ok(()),
    }
    if body.0.is_empty() { Ok(()) } else { Err(TOO_LONG) }
}

/// What of a body has not been looked at yet.
struct Body<'a>(&'a [u8]);

impl<'a> Body<'a> {
    fn bytes(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (bytes, rest) = self.0.split_at_checked(count).ok_or(TOO_SHORT)?;
        self.0 = rest;
        Ok(bytes)
    }

    fn text(&mut self) -> Result<(), Malformed> {
        let end = self.0.iter().position(|byte| *byte == 0).ok_or(NO_END)?;
        self.bytes(end + 1).map(|_| ())
    }

    fn short(&mut self) -> Result<u16, Malformed> {
        Ok(self.bytes(2)?.iter().fold(0, |number, byte| number << 8 | u16::from(*byte)))
    }

    fn number(&mut self) -> Result<u32, Malformed> {
        Ok(self.bytes(4)?.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
    }

    /// Text or binary.
    fn format(&mut self) -> Result<(), Malformed> {
        if self.short()? > 1 { Err(Malformed("a format is neither text nor binary")) } else { Ok(()) }
    }

    /// Its length, which is -1 of null, and as many bytes.
    fn value(&mut self) -> Result<(), Malformed> {
        match self.number()? {
            u32::MAX => Ok(()),
            length if length > i32::MAX as u32 => Err(Malformed("the length of a value is negative")),
            length => self.bytes(length as usize).map(|_| ()),
        }
    }

    fn list<T>(&mut self, mut one: impl FnMut(&mut Self) -> Result<T, Malformed>) -> Result<(), Malformed> {
        (0..self.short()?).try_for_each(|_| one(self).map(|_| ()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_what_their_kinds_say() {
        let bind = b"p\0s\0\0\x01\0\x01\0\x02\0\0\0\x01x\xff\xff\xff\xff\0\x01\0\0";
        let startup = b"\0\x03\0\0user\0a\0\0";
        let cancel = [&CANCEL.to_be_bytes()[..], &[0; 8]].concat();
        for (kind, body) in [
            (STARTUP, &startup[..]),
            (STARTUP, &cancel),
            (b'Q', b"select 1\0"),
            (b'P', b"s\0select $1\0\0\x01\0\0\0\x17"),
            (b'P', b"\0\0\0\0"),
            (b'B', bind),
            (b'E', b"p\0\0\0\0\0"),
            (b'D', b"Sa\0"),
            (b'C', b"P\0"),
            (b'S', b""),
            (b'd', b"anything"),
            (b'p', b"SCRAM-SHA-256\0\0\0\0\x01n"),
            (b'p', b"SCRAM-SHA-256\0\xff\xff\xff\xff"),
        ] {
            assert_eq!(check(kind, body, true), Ok(()), "{} {body:?}", char::from(kind));
            // A startup is as long as its pairs are, and a cancelling one as its secret is.
            let longer = [body, b"Q"].concat();
            let may_be_longer = [STARTUP, b'd'].contains(&kind);
            assert!(may_be_longer || check(kind, &longer, true).is_err(), "{} {longer:?}", char::from(kind));
            for end in 0..body.len() {
                let is_cut = check(kind, &body[..end], true).is_err() || [STARTUP, b'd'].contains(&kind);
                assert!(is_cut, "{} {:?}", char::from(kind), &body[..end]);
            }
        }
        assert_eq!(check(b'p', b"c=biws", false), Ok(()));
    }

    #[test]
    fn what_would_be_read_wrongly_is_refused() {
        for (kind, body) in [
            (b'p', &b""[..]),
            (b'p', b"SCRAM-SHA-256\0"),
            (b'p', b"SCRAM-SHA-256\0\x7f\xff\xff\xffn"),
            (b'P', b"a\0select 1\0\x9c\x40"),
            (b'Q', b""),
            (b'Q', b"select 1"),
            (b'Q', b"select 'x'\0Q\0\0\0\x0eselect 42\0"),
            (b'S', b"Q\0\0\0\x0eselect 43\0"),
            (b'B', b"\0\0\xff\xff"),
            (b'B', b"\0\0\0\0\0\x01\xff\xff\xff\xfe\0\0"),
            (b'B', b"\0\0\0\x01\0\x07\0\0\0\0"),
            (b'D', b"X\0"),
            (STARTUP, b"\0\x03\0"),
            (STARTUP, b"\0\x03\0\0user\0a"),
            (STARTUP, &CANCEL.to_be_bytes()),
        ] {
            assert!(check(kind, body, true).is_err(), "{} {body:?}", char::from(kind));
        }
    }
}
