//! How deep SQL goes: each operator of a row of them is one level, and what plans it calls itself
//! for each level. A few thousand, as programs write them, would end the process that counts
//! events.

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan};

/// Some 20 kilobytes of stack each where nothing is optimised, of the megabytes that threads have.
pub const LEVELS_MAX: usize = 250;

/// Where a statement goes deeper than can be planned, by its words.
pub fn too_deep(tokens: &[TokenWithSpan]) -> Option<Location> {
    // Operators between commas, and set operations, for each open parenthesis.
    let mut open = vec![(0_usize, 0_usize)];
    let mut levels = 0;
    for token in tokens {
        let last = open.len() - 1;
        match &token.token {
            Token::LBracket => {
                // `a[1][1]` is one in the other.
                open[last].0 += 1;
                levels += 1;
                open.push((0, 0));
            }
            Token::LParen => open.push((0, 0)),
            Token::RParen | Token::RBracket if last > 0 => {
                levels -= open.pop().map_or(0, |(operators, sets)| operators + sets);
            }
            Token::Comma => levels -= std::mem::take(&mut open[last].0),
            Token::SemiColon => {
                open = vec![(0, 0)];
                levels = 0;
            }
            Token::Word(word) => match word.keyword {
                Keyword::AND
                | Keyword::OR
                | Keyword::NOT
                | Keyword::CASE
                | Keyword::LIKE
                | Keyword::JOIN
                | Keyword::IS
                | Keyword::AT
                | Keyword::COLLATE => {
                    open[last].0 += 1;
                    levels += 1;
                }
                Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT => {
                    levels -= std::mem::take(&mut open[last].0);
                    open[last].1 += 1;
                    levels += 1;
                }
                Keyword::FROM | Keyword::WHERE | Keyword::GROUP | Keyword::HAVING | Keyword::ORDER => {
                    levels -= std::mem::take(&mut open[last].0);
                }
                _ => {}
            },
            token if is_operator(token) => {
                open[last].0 += 1;
                levels += 1;
            }
            _ => {}
        }
        if levels > LEVELS_MAX {
            return Some(token.span.start);
        }
    }
    None
}

fn is_operator(token: &Token) -> bool {
    // A comparison stands between operands and is a level for both: counted where it is joined to
    // others.
    matches!(
        token,
        Token::Plus
            | Token::Minus
            | Token::Mul
            | Token::Div
            | Token::Mod
            | Token::StringConcat
            | Token::Ampersand
            | Token::Pipe
            | Token::Caret
            | Token::DoubleColon
            | Token::ShiftLeft
            | Token::ShiftRight
    )
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::dialect::GenericDialect;
    use datafusion::sql::sqlparser::tokenizer::Tokenizer;

    use super::*;

    fn is_too_deep(sql: &str) -> bool {
        let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize_with_location().expect("tokens");
        too_deep(&tokens).is_some()
    }

    #[test]
    fn long_rows_of_operators_are_deep_and_lists_are_not() {
        let conditions = |count: usize| vec!["id = 'a'"; count].join(" OR ");
        assert!(!is_too_deep(&format!("SELECT 1 FROM t WHERE {}", conditions(200))));
        assert!(is_too_deep(&format!("SELECT 1 FROM t WHERE {}", conditions(300))));
        assert!(is_too_deep(&format!("SELECT 1{}", "+1".repeat(600))));
        assert!(is_too_deep(&vec!["SELECT a + 1 FROM t"; 600].join(" UNION ALL ")));
        let list = vec!["'a'"; 5_000].join(", ");
        assert!(!is_too_deep(&format!("SELECT 1 FROM t WHERE id IN ({list}) AND b = 2")));
        let columns = vec!["a * b + c"; 2_000].join(", ");
        assert!(!is_too_deep(&format!("SELECT {columns} FROM t")));
        let nested = format!("{}1{}", "(1 + ".repeat(600), ")".repeat(600));
        assert!(is_too_deep(&format!("SELECT {nested}")));
        for more in ["[1]", " IS NULL", " AT TIME ZONE 'UTC'", "::INT", " COLLATE \"C\""] {
            assert!(is_too_deep(&format!("SELECT a{}", more.repeat(600))), "{more}");
        }
        assert!(!is_too_deep(&"SELECT a + b FROM t;".repeat(1_000)));
    }
}
