//! Where a page of a metric ended.
//!
//! A cursor names a window and how many of its rows have been sent. Closed windows keep their rows
//! in one order for good, so the next page neither repeats nor skips one, whatever newer windows
//! have come meanwhile. A window that was provisional when the page ended and is closed now is
//! begun again: none of its closed rows has been sent.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::problem::Problem;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cursor {
    /// The window's start in microseconds since the epoch.
    pub window: i64,
    /// How many of its rows have been sent.
    pub rows: usize,
    /// Whether it was still open.
    pub provisional: bool,
}

impl Cursor {
    /// `fingerprint` binds it to what was asked: with other filters its count of rows would mean
    /// other rows.
    pub(super) fn write(&self, fingerprint: &str) -> String {
        let state = if self.provisional { 'p' } else { 'f' };
        URL_SAFE_NO_PAD.encode(format!("{}.{}.{state}.{fingerprint}", self.window, self.rows))
    }

    pub(super) fn read(text: &str, fingerprint: &str) -> Result<Self, Problem> {
        let (cursor, asked) =
            parse(text).ok_or_else(|| Problem::invalid_cursor("the cursor was not made by this server"))?;
        if asked != fingerprint {
            return Err(Problem::invalid_cursor("cursor belongs to a request with other parameters"));
        }
        Ok(cursor)
    }
}

fn parse(text: &str) -> Option<(Cursor, String)> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
    let mut parts = text.split('.');
    let (window, rows) = (parts.next()?.parse().ok()?, parts.next()?.parse::<u32>().ok()?);
    let provisional = match parts.next()? {
        "p" => true,
        "f" => false,
        _ => return None,
    };
    let fingerprint = parts.next()?.to_owned();
    parts.next().is_none().then_some((Cursor { window, rows: rows as usize, provisional }, fingerprint))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parameters::Parameters;

    fn asked(query: &str) -> String {
        Parameters::read(Some(query), &["de", "limite", "cursor", "regiao"]).expect("known").fingerprint("m")
    }

    #[test]
    fn reads_what_it_wrote() {
        for provisional in [true, false] {
            let cursor = Cursor { window: -1_747_260_960_000_000, rows: 1000, provisional };
            let text = cursor.write(&asked("regiao=Sul"));
            assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{text}");
            assert_eq!(Cursor::read(&text, &asked("regiao=Sul&limite=7&cursor=x")), Ok(cursor));
            assert!(Cursor::read(&text, &asked("regiao=Norte")).is_err());
            assert!(Cursor::read(&text, &asked("")).is_err());
        }
    }

    #[test]
    fn refuses_everything_else() {
        let good = format!("0.0.f.{}", asked(""));
        assert!(Cursor::read(&URL_SAFE_NO_PAD.encode(&good), &asked("")).is_ok());
        for text in ["", "0", "0.0.f", "x.0.f.q", "0.-1.f.q", "0.99999999999.f.q", "0.0.x.q", &format!("{good}.x")] {
            assert!(Cursor::read(&URL_SAFE_NO_PAD.encode(text), &asked("")).is_err(), "{text}");
        }
        assert!(Cursor::read("not base64!", &asked("")).is_err());
    }
}
