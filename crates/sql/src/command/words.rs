//! The words of a statement, one after the other.

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use datafusion_postgres::pgwire::error::PgWireError;

use crate::error::{code, fault};

pub(super) struct Words<'a> {
    tokens: &'a [TokenWithSpan],
    /// Of the next token.
    place: usize,
}

impl<'a> Words<'a> {
    pub(super) fn new(tokens: &'a [TokenWithSpan]) -> Self {
        Self { tokens, place: 0 }
    }

    /// The number of the next token.
    pub(super) fn place(&self) -> usize {
        self.place
    }

    /// The first word, in small letters; none if it is a symbol, which stays.
    pub(super) fn verb(&mut self) -> Option<String> {
        match self.peek() {
            Some(Token::Word(_)) => self.next_word(),
            _ => None,
        }
    }

    /// The next word or symbol, as PostgreSQL understands it.
    pub(super) fn next_word(&mut self) -> Option<String> {
        let word = text(self.peek()?);
        self.place += 1;
        Some(word)
    }

    /// Takes the next word if it is this one.
    pub(super) fn takes(&mut self, word: &str) -> bool {
        let is_it = matches!(self.peek(), Some(Token::Word(found))
            if found.quote_style.is_none() && found.value.eq_ignore_ascii_case(word));
        self.place += usize::from(is_it);
        is_it
    }

    pub(super) fn takes_symbol(&mut self, symbol: &Token) -> bool {
        let is_it = self.peek() == Some(symbol);
        self.place += usize::from(is_it);
        is_it
    }

    pub(super) fn number(&mut self) -> Option<usize> {
        let Some(Token::Number(text, _)) = self.peek() else { return None };
        let number = text.parse().ok()?;
        self.place += 1;
        Some(number)
    }

    /// A name, in the letters it has when it is quoted.
    pub(super) fn name(&mut self) -> Result<String, PgWireError> {
        match self.peek() {
            Some(Token::Word(_) | Token::SingleQuotedString(_)) => Ok(self.next_word().unwrap_or_default()),
            _ => Err(fault(code::SYNTAX, "a name is missing at the end of the statement", "")),
        }
    }

    /// A setting's name, which may have a prefix: `vitral.x`.
    pub(super) fn setting_name(&mut self) -> Result<String, PgWireError> {
        let mut name = self.name()?.to_lowercase();
        while self.takes_symbol(&Token::Period) {
            name = format!("{name}.{}", self.name()?.to_lowercase());
        }
        Ok(name)
    }

    /// All that is left as one name, words apart by a space, parts by a point.
    pub(super) fn rest_name(&mut self) -> Option<String> {
        let mut name = String::new();
        while let Some(word) = self.next_word() {
            let is_joined = word == "." || name.ends_with('.') || name.is_empty();
            name = format!("{name}{}{}", if is_joined { "" } else { " " }, word.to_lowercase());
        }
        (!name.is_empty()).then_some(name)
    }

    /// All that is left as a value: parts of a list are apart by commas. None for DEFAULT.
    pub(super) fn value(&mut self) -> Option<String> {
        let mut value = String::new();
        let mut is_default = false;
        while let Some(token) = self.peek() {
            is_default =
                value.is_empty() && matches!(token, Token::Word(word) if word.value.eq_ignore_ascii_case("default"));
            let word = match token {
                Token::Word(word) => word.value.clone(),
                token => text(token),
            };
            self.place += 1;
            let is_joined = value.is_empty() || word == "," || matches!(value.as_str(), "-" | "+");
            value = format!("{value}{}{word}", if is_joined { "" } else { " " });
        }
        (!is_default).then_some(value)
    }

    /// The options in parentheses, if these are next: the words of each.
    pub(super) fn options(&mut self) -> Vec<Vec<String>> {
        let mut options = vec![Vec::new()];
        let is_query = |token: &Token| {
            matches!(token, Token::Word(word) if ["select", "with", "values", "table"]
                .iter().any(|verb| word.value.eq_ignore_ascii_case(verb)))
        };
        let place = self.place;
        if !self.takes_symbol(&Token::LParen) || self.peek().is_some_and(is_query) {
            self.place = place;
            return Vec::new();
        }
        while let Some(word) = self.next_word() {
            match (word.as_str(), options.last_mut()) {
                (")", _) => break,
                (",", _) => options.push(Vec::new()),
                (_, Some(option)) => option.push(word),
                (_, None) => {}
            }
        }
        options
    }

    /// Whether a word is among those that are left, outside of parentheses.
    pub(super) fn has_outside(&self, word: &str) -> bool {
        let mut depth = 0_i32;
        self.tokens[self.place..].iter().any(|token| match &token.token {
            Token::LParen => {
                depth += 1;
                false
            }
            Token::RParen => {
                depth -= 1;
                false
            }
            Token::Word(found) => depth == 0 && found.value.eq_ignore_ascii_case(word),
            _ => false,
        })
    }

    /// The next token that is not a space.
    fn peek(&mut self) -> Option<&'a Token> {
        loop {
            let token = &self.tokens.get(self.place)?.token;
            match token {
                Token::Whitespace(_) => self.place += 1,
                Token::EOF => return None,
                token => return Some(token),
            }
        }
    }
}

fn text(token: &Token) -> String {
    match token {
        Token::Word(word) if word.quote_style.is_some() => word.value.clone(),
        Token::Word(word) => word.value.to_lowercase(),
        Token::SingleQuotedString(text)
        | Token::EscapedStringLiteral(text)
        | Token::DoubleQuotedString(text)
        | Token::NationalStringLiteral(text) => text.clone(),
        other => other.to_string(),
    }
}
