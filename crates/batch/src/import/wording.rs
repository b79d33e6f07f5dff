//! Counts and lists as people read them.

/// Names of a list that are shown.
const LISTED: usize = 30;

/// `1 row`, `2 rows`.
pub fn counted(count: u64, one: &str) -> String {
    let ends = if count == 1 { "" } else { "s" };
    format!("{count} {one}{ends}")
}

/// `1 is`, `2 are`, to be followed by what they are.
pub fn counted_are(count: u64) -> String {
    format!("{count} {}", if count == 1 { "is" } else { "are" })
}

/// Names, separated by commas; of thousands only the first.
pub fn listed<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> String {
    let mut names = names.into_iter();
    let shown: Vec<T> = names.by_ref().take(LISTED).collect();
    let shown = shown.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", ");
    match names.count() {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Whether a text stays what it is between the double quotes of a shell, and can be part of a
/// proposal: files hold whatever they like.
pub(super) fn is_pasteable(text: &str) -> bool {
    !text.contains(['"', '`', '$', '\\', '!']) && !text.contains(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_their_number() {
        assert_eq!([0, 1, 2].map(|count| counted(count, "row")), ["0 rows", "1 row", "2 rows"]);
        assert_eq!([0, 1, 2].map(counted_are), ["0 are", "1 is", "2 are"]);
    }

    #[test]
    fn long_lists_are_cut() {
        assert_eq!(listed(["a", "b"]), "a, b");
        assert_eq!(listed::<&str>([]), "");
        let long = listed((0..10_000).map(|number| number.to_string()));
        assert!(long.ends_with("29 and 9970 more"), "{long}");
    }
}
