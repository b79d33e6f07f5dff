//! `format('%I.%s', schema, name)`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::error::{DataFusionError, Result as EngineResult};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};

/// The function, under a name that the engine has not.
pub(super) fn format() -> ScalarUDF {
    let signature = Signature::one_of(vec![TypeSignature::VariadicAny], Volatility::Immutable);
    ScalarUDF::new_from_impl(Format { signature })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Format {
    signature: Signature,
}

impl ScalarUDFImpl for Format {
    fn name(&self) -> &str {
        "pg_format"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> EngineResult<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
        let texts = arguments.args.iter().map(|argument| -> EngineResult<ArrayRef> {
            let values = argument.to_array(arguments.number_rows)?;
            Ok(cast(&values, &DataType::Utf8)?)
        });
        let texts: Vec<ArrayRef> = texts.collect::<EngineResult<_>>()?;
        let Some((patterns, texts)) = texts.split_first() else {
            return Err(DataFusionError::Plan("format has no pattern".to_owned()));
        };
        let texts: Vec<&StringArray> = texts.iter().map(|texts| texts.as_string::<i32>()).collect();
        let rows = (0_usize..).zip(patterns.as_string::<i32>()).map(|(row, pattern)| {
            let value = |texts: &&StringArray| texts.is_valid(row).then(|| texts.value(row).to_owned());
            let values: Vec<Option<String>> = texts.iter().map(value).collect();
            pattern.map(|pattern| formatted(pattern, &values)).transpose()
        });
        let rows: StringArray = rows.collect::<Result<_, _>>().map_err(DataFusionError::Execution)?;
        Ok(ColumnarValue::Array(Arc::new(rows)))
    }
}

fn formatted(pattern: &str, values: &[Option<String>]) -> Result<String, String> {
    let (mut out, mut rest, mut next) = (String::new(), pattern, 0);
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let digits = after.bytes().take_while(u8::is_ascii_digit).count();
        let (place, after) = match (after[..digits].parse::<usize>(), after[digits..].strip_prefix('$')) {
            (Ok(place), Some(after)) if place > 0 => (Some(place - 1), after),
            _ => (None, after),
        };
        let kind = after.chars().next().ok_or("unterminated format() type specifier: write %% for a single %")?;
        rest = &after[kind.len_utf8()..];
        if kind == '%' {
            out.push('%');
            continue;
        }
        let place = place.unwrap_or(next);
        let value = values.get(place).ok_or("too few arguments for format()")?.as_deref();
        next = place + 1;
        match (kind, value) {
            ('s', value) => out.push_str(value.unwrap_or_default()),
            ('I', Some(name)) => out.push_str(&identifier(name)),
            ('I', None) => return Err("null values cannot be formatted as an SQL identifier".to_owned()),
            ('L', Some(text)) => out.push_str(&format!("'{}'", text.replace('\'', "''"))),
            ('L', None) => out.push_str("NULL"),
            (other, _) => return Err(format!("unrecognized format() type specifier \"{other}\": write %s, %I or %L")),
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// A name, in quotes if it needs them.
fn identifier(name: &str) -> String {
    let is_plain = name.starts_with(|sign: char| sign.is_ascii_lowercase() || sign == '_')
        && name.bytes().all(|sign| sign.is_ascii_lowercase() || sign.is_ascii_digit() || sign == b'_');
    if is_plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_put_into_patterns() {
        let values = [Some("a".to_owned()), Some("B c".to_owned()), None];
        for (pattern, wanted) in [
            ("%I.%I", "a.\"B c\""),
            ("\"%s\".\"%s\" 100%%", "\"a\".\"B c\" 100%"),
            ("%2$L %1$s %s %L", "'B c' a B c NULL"),
        ] {
            assert_eq!(formatted(pattern, &values).as_deref(), Ok(wanted), "{pattern}");
        }
        assert!(formatted("%d", &values).is_err() && formatted("%", &values).is_err());
        assert!(formatted("%s %s %s %s", &values).is_err());
    }
}
