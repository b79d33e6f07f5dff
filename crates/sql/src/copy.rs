//! `COPY (query) TO STDOUT`: rows as text, CSV or PostgreSQL's binary files.

use bytes::{BufMut, Bytes, BytesMut};
use datafusion::sql::sqlparser::ast::{
    CopyLegacyCsvOption, CopyLegacyOption, CopyOption, CopySource, CopyTarget, Ident, Query, Statement,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion_postgres::pgwire::api::results::FieldInfo;
use datafusion_postgres::pgwire::error::PgWireError;

use crate::error::{code, fault, read_only};
use crate::rows::Row;
use crate::values::{self, put_with_length};

/// What a binary file begins with: its signature, no flags, no extension.
const BINARY_HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const BINARY_END: &[u8] = &[0xff, 0xff];

/// How rows are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CopyOptions {
    pub format: CopyFormat,
    delimiter: u8,
    null: String,
    has_header: bool,
    quote: u8,
    escape: u8,
    /// Whether all texts of CSV are quoted.
    quotes_all: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CopyFormat {
    Text,
    Csv,
    Binary,
}

impl CopyOptions {
    fn new(format: CopyFormat) -> Self {
        let (delimiter, null) = if format == CopyFormat::Csv { (b',', "") } else { (b'\t', "\\N") };
        let null = null.to_owned();
        Self { format, delimiter, null, has_header: false, quote: b'"', escape: b'"', quotes_all: false }
    }

    /// The query of a `COPY`, and how its rows are to be written.
    pub(crate) fn read(statement: Statement) -> Result<(Box<Query>, Self), PgWireError> {
        let Statement::Copy { source, to, target, options, legacy_options, .. } = statement else {
            return Err(fault(code::SYNTAX, "this is not a COPY", ""));
        };
        if !to {
            return Err(read_only("COPY FROM"));
        }
        if target != CopyTarget::Stdout {
            let remedy = "write COPY (query) TO STDOUT; psql's \\copy puts the rows into a file of its own machine";
            return Err(fault(code::NOT_ALLOWED, "COPY writes no files of the server", remedy));
        }
        let query = match source {
            CopySource::Query(query) => query,
            CopySource::Table { table_name, columns } => {
                let names: Vec<String> = columns.iter().map(Ident::to_string).collect();
                let columns = if names.is_empty() { "*".to_owned() } else { names.join(", ") };
                select(&format!("SELECT {columns} FROM {table_name}"))?
            }
        };
        Ok((query, Self::of(&options, &legacy_options)?))
    }

    fn of(options: &[CopyOption], legacy: &[CopyLegacyOption]) -> Result<Self, PgWireError> {
        let named = options.iter().find_map(|option| match option {
            CopyOption::Format(name) => Some(name.value.to_lowercase()),
            _ => None,
        });
        let format = match named.as_deref() {
            Some("text") => CopyFormat::Text,
            Some("csv") => CopyFormat::Csv,
            Some("binary") => CopyFormat::Binary,
            Some(other) => {
                let message = format!("COPY format \"{other}\" not recognized");
                return Err(fault(code::WRONG_VALUE, message, "write FORMAT text, csv or binary"));
            }
            None if legacy.iter().any(|option| matches!(option, CopyLegacyOption::Csv(_))) => CopyFormat::Csv,
            None if legacy.iter().any(|option| matches!(option, CopyLegacyOption::Binary)) => CopyFormat::Binary,
            None => CopyFormat::Text,
        };
        let mut found = Self::new(format);
        for option in options {
            found.take(option)?;
        }
        for option in legacy {
            found.take_legacy(option)?;
        }
        Ok(found)
    }

    fn take(&mut self, option: &CopyOption) -> Result<(), PgWireError> {
        match option {
            CopyOption::Delimiter(character) => self.delimiter = byte(*character)?,
            CopyOption::Null(text) => self.null.clone_from(text),
            CopyOption::Header(has_header) => self.has_header = *has_header,
            CopyOption::Quote(character) => {
                self.quote = byte(*character)?;
                self.escape = self.quote;
            }
            CopyOption::Escape(character) => self.escape = byte(*character)?,
            CopyOption::ForceQuote(_) => self.quotes_all = true,
            CopyOption::Encoding(name) if !is_utf8(name) => {
                return Err(fault(code::NOT_SUPPORTED, format!("encoding {name} is not supported"), "use UTF8"));
            }
            _ => {}
        }
        Ok(())
    }

    fn take_legacy(&mut self, option: &CopyLegacyOption) -> Result<(), PgWireError> {
        match option {
            CopyLegacyOption::Delimiter(character) => self.delimiter = byte(*character)?,
            CopyLegacyOption::Null(text) => self.null.clone_from(text),
            CopyLegacyOption::Header => self.has_header = true,
            CopyLegacyOption::Csv(options) => {
                for option in options {
                    match option {
                        CopyLegacyCsvOption::Header => self.has_header = true,
                        CopyLegacyCsvOption::Quote(character) => {
                            self.quote = byte(*character)?;
                            self.escape = self.quote;
                        }
                        CopyLegacyCsvOption::Escape(character) => self.escape = byte(*character)?,
                        CopyLegacyCsvOption::ForceQuote(_) => self.quotes_all = true,
                        CopyLegacyCsvOption::ForceNotNull(_) => {}
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    pub(crate) fn is_binary(&self) -> bool {
        self.format == CopyFormat::Binary
    }

    /// What comes before the rows.
    pub(crate) fn start(&self, fields: &[FieldInfo]) -> Bytes {
        let mut out = BytesMut::new();
        match self.format {
            CopyFormat::Binary => out.put_slice(BINARY_HEADER),
            CopyFormat::Text | CopyFormat::Csv if self.has_header => {
                for (index, field) in fields.iter().enumerate() {
                    self.put_delimiter(index, &mut out);
                    self.put_text(field.name().as_bytes(), &mut out);
                }
                out.put_u8(b'\n');
            }
            CopyFormat::Text | CopyFormat::Csv => {}
        }
        out.freeze()
    }

    /// What comes after them.
    pub(crate) fn end(&self) -> Bytes {
        if self.is_binary() { Bytes::from_static(BINARY_END) } else { Bytes::new() }
    }

    /// One row.
    pub(crate) fn write(&self, row: Row<'_>, out: &mut BytesMut) -> Result<(), PgWireError> {
        let columns = row.batch.columns();
        if self.is_binary() {
            out.put_i16(i16::try_from(columns.len()).unwrap_or(i16::MAX));
            return columns.iter().try_for_each(|column| put_with_length(column.as_ref(), row.index, true, out));
        }
        let mut value = BytesMut::new();
        for (index, column) in columns.iter().enumerate() {
            self.put_delimiter(index, out);
            if values::is_null(column.as_ref(), row.index) {
                out.put_slice(self.null.as_bytes());
                continue;
            }
            value.clear();
            values::write(column.as_ref(), row.index, false, &mut value)?;
            self.put_text(&value, out);
        }
        out.put_u8(b'\n');
        Ok(())
    }

    fn put_delimiter(&self, index: usize, out: &mut BytesMut) {
        if index > 0 {
            out.put_u8(self.delimiter);
        }
    }

    fn put_text(&self, text: &[u8], out: &mut BytesMut) {
        if self.format == CopyFormat::Csv { self.put_csv(text, out) } else { self.put_escaped(text, out) }
    }

    fn put_csv(&self, text: &[u8], out: &mut BytesMut) {
        let is_special = |byte: &u8| *byte == self.delimiter || *byte == self.quote || matches!(byte, b'\n' | b'\r');
        let is_like_null = text == self.null.as_bytes() || text == b"\\.";
        if !self.quotes_all && !is_like_null && !text.iter().any(is_special) {
            out.put_slice(text);
            return;
        }
        out.put_u8(self.quote);
        for byte in text {
            if *byte == self.quote || *byte == self.escape {
                out.put_u8(self.escape);
            }
            out.put_u8(*byte);
        }
        out.put_u8(self.quote);
    }

    fn put_escaped(&self, text: &[u8], out: &mut BytesMut) {
        for byte in text {
            let letter = match *byte {
                b'\\' => b'\\',
                b'\n' => b'n',
                b'\r' => b'r',
                b'\t' => b't',
                0x08 => b'b',
                0x0b => b'v',
                0x0c => b'f',
                other if other == self.delimiter => other,
                other => {
                    out.put_u8(other);
                    continue;
                }
            };
            out.put_slice(&[b'\\', letter]);
        }
    }
}

fn select(text: &str) -> Result<Box<Query>, PgWireError> {
    let parsed = Parser::parse_sql(&PostgreSqlDialect {}, text).ok().and_then(|mut statements| statements.pop());
    match parsed {
        Some(Statement::Query(query)) => Ok(query),
        _ => Err(fault(code::SYNTAX, format!("{text} cannot be read"), "write COPY (query) TO STDOUT")),
    }
}

fn byte(character: char) -> Result<u8, PgWireError> {
    let byte = u8::try_from(character).ok().filter(u8::is_ascii);
    let message = || format!("COPY takes one ASCII character here, not {character}");
    byte.ok_or_else(|| fault(code::NOT_SUPPORTED, message(), ""))
}

fn is_utf8(name: &str) -> bool {
    matches!(name.to_lowercase().replace(['-', '_'], "").as_str(), "utf8" | "unicode")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int32Array, RecordBatch, StringArray};

    use super::*;

    fn written(copy: &str) -> Vec<u8> {
        let mut parsed = Parser::parse_sql(&PostgreSqlDialect {}, copy).expect("a statement");
        let (_, options) = CopyOptions::read(parsed.remove(0)).expect("options");
        let texts = StringArray::from(vec![Some("a,\"b\"\t\\"), Some(""), None]);
        let batch = RecordBatch::try_from_iter([
            ("t", Arc::new(texts) as _),
            ("n", Arc::new(Int32Array::from(vec![Some(1), None, Some(3)])) as _),
        ]);
        let batch = batch.expect("rows");
        let mut out = BytesMut::new();
        for index in 0..3 {
            options.write(Row { batch: &batch, index }, &mut out).expect("a row");
        }
        let fields = crate::types::fields(&batch.schema(), &Default::default());
        [options.start(&fields).as_ref(), &out, options.end().as_ref()].concat()
    }

    #[test]
    fn all_formats_are_those_of_postgresql() {
        assert_eq!(written("COPY (SELECT 1) TO STDOUT"), b"a,\"b\"\\t\\\\\t1\n\t\\N\n\\N\t3\n");
        let csv = b"t,n\n\"a,\"\"b\"\"\t\\\",1\n\"\",\n,3\n";
        assert_eq!(written("COPY t TO STDOUT WITH (FORMAT csv, HEADER true)"), csv);
        assert_eq!(written("COPY t TO STDOUT CSV HEADER"), csv);
        let binary = written("COPY (SELECT 1) TO STDOUT WITH (FORMAT binary)");
        assert_eq!(&binary[..BINARY_HEADER.len() + 6], [BINARY_HEADER, &[0, 2, 0, 0, 0, 7]].concat());
        assert!(binary.ends_with(&[0, 0, 0, 4, 0, 0, 0, 3, 0xff, 0xff]));
    }

    #[test]
    fn files_of_the_server_stay_as_they_are() {
        let mut parsed = Parser::parse_sql(&PostgreSqlDialect {}, "COPY t TO '/tmp/x'").expect("a statement");
        assert!(CopyOptions::read(parsed.remove(0)).is_err());
    }
}
