//! Parameters: which types a statement wants, and what a client has bound to them.

use arrow::datatypes::{DataType, IntervalMonthDayNano};
use bytes::Buf;
use datafusion::common::DFSchema;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::Result as EngineResult;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan};
use datafusion::scalar::ScalarValue;
use datafusion_postgres::pgwire::api::Type;
use datafusion_postgres::pgwire::error::PgWireError;

use crate::dialect::AS_TEXT;
use crate::error::{code, fault, of_engine};
use crate::list_items::array_items;
use crate::minutes::with_seconds;
use crate::numeric;
use crate::types::{pg_type_of, plain_type};
use crate::values::{EPOCH_DAYS, EPOCH_MICROS};

/// Casts to a type of the engine, by its name.
const ARROW_CAST: &str = "arrow_cast";
/// What `item = ANY(list)` becomes.
const ARRAY_HAS: &str = "array_has";
/// So many parameters at most, as in PostgreSQL.
const PARAMETERS_MAX: usize = 65_535;

/// The type of each parameter, `$1` first, where the statement tells it.
pub(crate) fn wanted(plan: &LogicalPlan) -> Result<Vec<Option<DataType>>, PgWireError> {
    let mut found = Vec::new();
    let walk = plan.apply_with_subqueries(|node| {
        let is_count = matches!(node, LogicalPlan::Limit(_));
        let schema = merge_schema(&node.inputs());
        node.apply_expressions(|expr| expr.apply(|expr| note(expr, is_count, &schema, &mut found)))
    });
    walk.map_err(|error| of_engine(&error, ""))?;
    Ok(found)
}

fn note(
    expr: &Expr,
    is_count: bool,
    schema: &DFSchema,
    found: &mut Vec<Option<DataType>>,
) -> EngineResult<TreeNodeRecursion> {
    let (id, described) = match expr {
        Expr::Cast(cast) => match cast.expr.as_ref() {
            Expr::Placeholder(placeholder) => (&placeholder.id, Some(cast.field.data_type().clone())),
            _ => return Ok(TreeNodeRecursion::Continue),
        },
        Expr::ScalarFunction(call) if call.name() == ARROW_CAST => match call.args.as_slice() {
            [Expr::Placeholder(placeholder), Expr::Literal(wanted, _)] => {
                (&placeholder.id, wanted.try_as_str().flatten().and_then(|wanted| wanted.parse().ok()))
            }
            _ => return Ok(TreeNodeRecursion::Continue),
        },
        Expr::ScalarFunction(call) if call.name() == AS_TEXT => match call.args.as_slice() {
            [Expr::Placeholder(placeholder), ..] => (&placeholder.id, Some(DataType::Utf8)),
            _ => return Ok(TreeNodeRecursion::Continue),
        },
        Expr::ScalarFunction(call) if call.name() == ARRAY_HAS => match call.args.as_slice() {
            [Expr::Placeholder(placeholder), item] if !matches!(item, Expr::Placeholder(_)) => {
                let item = item.get_type(schema).unwrap_or(DataType::Utf8);
                (&placeholder.id, Some(DataType::new_list(item, true)))
            }
            _ => return Ok(TreeNodeRecursion::Continue),
        },
        Expr::Placeholder(placeholder) => {
            let described = placeholder.field.as_ref().map(|field| field.data_type().clone());
            (&placeholder.id, described.or(is_count.then_some(DataType::Int64)))
        }
        _ => return Ok(TreeNodeRecursion::Continue),
    };
    let number = id.trim_start_matches('$').parse::<usize>().ok();
    if let Some(index) = number.and_then(|number| number.checked_sub(1)).filter(|index| *index < PARAMETERS_MAX) {
        if found.len() <= index {
            found.resize(index + 1, None);
        }
        if found[index].is_none() {
            found[index] = described.filter(|described| *described != DataType::Null);
        }
    }
    Ok(TreeNodeRecursion::Continue)
}

/// What a client hears of a parameter that it has given no type.
pub(crate) fn told_type(wanted: Option<&DataType>) -> Type {
    wanted.map_or(Type::TEXT, |wanted| pg_type_of(&plain_type(wanted)))
}

/// What parameters may be before they are bound; none unless the client has declared one of them.
pub(crate) fn nulls(declared: &[Option<Type>], wanted: &[Option<DataType>]) -> EngineResult<Option<Vec<ScalarValue>>> {
    let is_known = |declared: &Option<Type>| declared.as_ref().is_some_and(|declared| *declared != Type::UNKNOWN);
    if !declared.iter().any(is_known) {
        return Ok(None);
    }
    let null = |index: usize| {
        let declared = declared.get(index).and_then(Option::as_ref);
        match bound_type(declared, wanted.get(index).and_then(Option::as_ref)) {
            (Type::NUMERIC, DataType::Null) => ScalarValue::try_new_null(&DataType::Decimal128(38, 0)),
            (_, bound) => ScalarValue::try_new_null(&bound),
        }
    };
    (0..declared.len().max(wanted.len())).map(null).collect::<EngineResult<_>>().map(Some)
}

/// The type that a parameter is read in, and the one that it is bound in.
fn bound_type(declared: Option<&Type>, wanted: Option<&DataType>) -> (Type, DataType) {
    let declared = declared.filter(|declared| **declared != Type::UNKNOWN);
    let pg_type = declared.cloned().unwrap_or_else(|| told_type(wanted));
    let plain = plain_of(&pg_type);
    let bound = match (declared, wanted) {
        (None, Some(wanted)) => wanted.clone(),
        // `LIMIT` and the like take whole numbers of one size only.
        (Some(_), Some(DataType::Int64)) if matches!(plain, DataType::Int16 | DataType::Int32) => DataType::Int64,
        _ => plain,
    };
    (pg_type, bound)
}

/// A parameter's value. What the client has declared stays as it is, and is compared as the engine
/// compares such types; what it has left open becomes what the statement wants.
pub(crate) fn value(
    number: usize,
    bytes: Option<&[u8]>,
    is_binary: bool,
    declared: Option<&Type>,
    wanted: Option<&DataType>,
) -> Result<ScalarValue, PgWireError> {
    let (pg_type, target) = bound_type(declared, wanted);
    let unreadable = |said: String| {
        let message = format!("parameter ${number} cannot be read as {}: {said}", pg_type.name());
        fault(code::UNREADABLE, message, "bind a value of that type, or cast the parameter")
    };
    let Some(bytes) = bytes else {
        return ScalarValue::try_new_null(&target).map_err(|error| of_engine(&error, ""));
    };
    let scalar = if is_binary {
        binary(&pg_type, bytes)
            .ok_or_else(|| unreadable(format!("{} bytes are not one in binary form", bytes.len())))?
    } else {
        text(&pg_type, bytes).map_err(&unreadable)?
    };
    let scalar = if pg_type == Type::NUMERIC { decimal(scalar, &target).map_err(&unreadable)? } else { scalar };
    if scalar.data_type() == target || target == DataType::Null {
        return Ok(scalar);
    }
    scalar.cast_to(&target).map_err(|error| unreadable(error.strip_backtrace()))
}

/// How values of a type are held.
fn plain_of(pg_type: &Type) -> DataType {
    use arrow::datatypes::{IntervalUnit, TimeUnit};
    match *pg_type {
        Type::BOOL => DataType::Boolean,
        Type::INT2 => DataType::Int16,
        Type::INT4 | Type::REGCLASS | Type::REGTYPE | Type::REGPROC | Type::REGNAMESPACE | Type::OID => DataType::Int32,
        Type::INT8 => DataType::Int64,
        Type::FLOAT4 => DataType::Float32,
        Type::FLOAT8 => DataType::Float64,
        // The scale is that of the value.
        Type::NUMERIC => DataType::Null,
        Type::BYTEA => DataType::Binary,
        Type::DATE => DataType::Date32,
        Type::TIME => DataType::Time64(TimeUnit::Microsecond),
        Type::TIMESTAMP => DataType::Timestamp(TimeUnit::Microsecond, None),
        Type::TIMESTAMPTZ => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        Type::INTERVAL => DataType::Interval(IntervalUnit::MonthDayNano),
        _ => match item_of(pg_type) {
            Some(item) => DataType::new_list(item, true),
            None => DataType::Utf8,
        },
    }
}

/// What arrays of a type hold; none if it is not one that can be bound.
fn item_of(pg_type: &Type) -> Option<DataType> {
    Some(match *pg_type {
        Type::BOOL_ARRAY => DataType::Boolean,
        Type::INT2_ARRAY => DataType::Int16,
        Type::INT4_ARRAY | Type::OID_ARRAY => DataType::Int32,
        Type::INT8_ARRAY => DataType::Int64,
        Type::FLOAT8_ARRAY => DataType::Float64,
        Type::TEXT_ARRAY | Type::VARCHAR_ARRAY | Type::NAME_ARRAY => DataType::Utf8,
        _ => return None,
    })
}

fn text(pg_type: &Type, bytes: &[u8]) -> Result<ScalarValue, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    if *pg_type == Type::BYTEA {
        return hex(text).map(|bytes| ScalarValue::Binary(Some(bytes))).ok_or_else(|| "not in hex format".to_owned());
    }
    if let Some(item) = item_of(pg_type) {
        let items = array_items(text).ok_or_else(|| format!("\"{text}\" is not an array"))?;
        let item_value = |found: Option<String>| match found {
            None => ScalarValue::try_new_null(&item).map_err(|error| error.strip_backtrace()),
            found => ScalarValue::Utf8(found).cast_to(&item).map_err(|error| error.strip_backtrace()),
        };
        let items: Vec<_> = items.into_iter().map(item_value).collect::<Result<_, _>>()?;
        return Ok(ScalarValue::List(ScalarValue::new_list(&items, &item, true)));
    }
    let scalar = ScalarValue::Utf8(Some(text.to_owned()));
    match plain_of(pg_type) {
        // Spaces are part of texts alone.
        DataType::Utf8 => Ok(scalar),
        DataType::Null => Ok(ScalarValue::Utf8(Some(text.trim().to_owned()))),
        plain => {
            let whole = if matches!(plain, DataType::Timestamp(..)) { with_seconds(text) } else { None };
            let trimmed = ScalarValue::Utf8(Some(whole.unwrap_or_else(|| text.trim().to_owned())));
            trimmed.cast_to(&plain).map_err(|error| error.strip_backtrace())
        }
    }
}

/// A number that was read as text, in the type that is wanted or with the scale it has.
fn decimal(scalar: ScalarValue, target: &DataType) -> Result<ScalarValue, String> {
    let ScalarValue::Utf8(Some(text)) = &scalar else { return Ok(scalar) };
    let scale = text.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    let own = DataType::Decimal128(38, i8::try_from(scale).unwrap_or(38).min(38));
    let wanted = if *target == DataType::Null { &own } else { target };
    scalar.cast_to(wanted).map_err(|error| error.strip_backtrace())
}

fn binary(pg_type: &Type, bytes: &[u8]) -> Option<ScalarValue> {
    let has = |length: usize| (bytes.len() == length).then_some(());
    let mut rest = bytes;
    Some(match *pg_type {
        Type::BOOL => has(1).map(|()| ScalarValue::Boolean(Some(bytes[0] != 0)))?,
        Type::INT2 => has(2).map(|()| ScalarValue::Int16(Some(rest.get_i16())))?,
        Type::INT8 => has(8).map(|()| ScalarValue::Int64(Some(rest.get_i64())))?,
        Type::FLOAT4 => has(4).map(|()| ScalarValue::Float32(Some(rest.get_f32())))?,
        Type::FLOAT8 => has(8).map(|()| ScalarValue::Float64(Some(rest.get_f64())))?,
        Type::NUMERIC => ScalarValue::Utf8(Some(numeric::read(bytes)?)),
        Type::BYTEA => ScalarValue::Binary(Some(bytes.to_vec())),
        Type::DATE => {
            has(4)?;
            ScalarValue::Date32(Some(rest.get_i32().checked_add(EPOCH_DAYS)?))
        }
        Type::TIME => has(8).map(|()| ScalarValue::Time64Microsecond(Some(rest.get_i64())))?,
        Type::TIMESTAMP | Type::TIMESTAMPTZ => {
            has(8)?;
            let micros = rest.get_i64().checked_add(EPOCH_MICROS)?;
            let zone = (*pg_type == Type::TIMESTAMPTZ).then(|| "UTC".into());
            ScalarValue::TimestampMicrosecond(Some(micros), zone)
        }
        Type::INTERVAL => {
            has(16)?;
            let nanoseconds = rest.get_i64().checked_mul(1_000)?;
            let (days, months) = (rest.get_i32(), rest.get_i32());
            ScalarValue::IntervalMonthDayNano(Some(IntervalMonthDayNano { months, days, nanoseconds }))
        }
        Type::UUID => has(16).map(|()| ScalarValue::Utf8(Some(uuid(bytes))))?,
        _ => match (item_of(pg_type), plain_of(pg_type)) {
            (Some(item), _) => binary_list(&item, bytes)?,
            (None, DataType::Int32) => has(4).map(|()| ScalarValue::Int32(Some(rest.get_i32())))?,
            // Texts of all kinds, and unknown types, whose binary form is mostly that of a text.
            _ => ScalarValue::Utf8(Some(std::str::from_utf8(bytes).ok()?.to_owned())),
        },
    })
}

fn binary_list(item: &DataType, mut bytes: &[u8]) -> Option<ScalarValue> {
    if bytes.len() < 12 {
        return None;
    }
    let (dimensions, _has_nulls, _item_oid) = (bytes.get_i32(), bytes.get_i32(), bytes.get_u32());
    let mut items = Vec::new();
    if dimensions == 1 && bytes.len() >= 8 {
        let (length, _first) = (usize::try_from(bytes.get_i32()).ok()?, bytes.get_i32());
        for _ in 0..length {
            if bytes.len() < 4 {
                return None;
            }
            let Ok(size) = usize::try_from(bytes.get_i32()) else {
                items.push(ScalarValue::try_new_null(item).ok()?);
                continue;
            };
            let value = bytes.get(..size)?;
            items.push(binary(&pg_type_of(item), value)?);
            bytes.advance(size);
        }
    } else if dimensions != 0 {
        return None;
    }
    Some(ScalarValue::List(ScalarValue::new_list(&items, item, true)))
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix("\\x")?.as_bytes();
    if digits.len() % 2 != 0 {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    digits.chunks(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

fn uuid(bytes: &[u8]) -> String {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::TimeUnit;

    use super::*;

    fn read(bytes: &[u8], is_binary: bool, declared: Option<Type>, wanted: Option<DataType>) -> ScalarValue {
        value(1, Some(bytes), is_binary, declared.as_ref(), wanted.as_ref()).expect("a value")
    }

    #[test]
    fn what_is_declared_is_not_rounded_to_what_is_wanted() {
        let found = read(&1.5_f64.to_be_bytes(), true, Some(Type::FLOAT8), Some(DataType::Int32));
        assert_eq!(found, ScalarValue::Float64(Some(1.5)));
        let large = read(&5_000_000_000_i64.to_be_bytes(), true, Some(Type::INT8), Some(DataType::Int32));
        assert_eq!(large, ScalarValue::Int64(Some(5_000_000_000)));
        let count = read(&7_i32.to_be_bytes(), true, Some(Type::INT4), Some(DataType::Int64));
        assert_eq!(count, ScalarValue::Int64(Some(7)));
    }

    #[test]
    fn what_is_left_open_becomes_what_is_wanted() {
        let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let found = read(b"2000-01-01 00:00:01+00", false, None, Some(utc.clone()));
        assert_eq!(found, ScalarValue::TimestampMicrosecond(Some(EPOCH_MICROS + 1_000_000), Some("UTC".into())));
        let binary = read(&1_000_000_i64.to_be_bytes(), true, None, Some(utc));
        assert_eq!(binary, found);
        let money = DataType::Decimal128(38, 2);
        assert_eq!(read(b"10.5", false, None, Some(money)), ScalarValue::Decimal128(Some(1050), 38, 2));
        assert_eq!(read(b"abc", false, None, None), ScalarValue::Utf8(Some("abc".into())));
    }

    #[test]
    fn decimals_keep_all_of_their_digits() {
        let mut bytes = bytes::BytesMut::new();
        numeric::write("99999999999999999999999999999999999.99", &mut bytes);
        let found = read(&bytes, true, Some(Type::NUMERIC), None);
        assert_eq!(found, ScalarValue::Decimal128(Some(9_999_999_999_999_999_999_999_999_999_999_999_999), 38, 2));
    }

    #[test]
    fn arrays_are_read_in_both_forms() {
        let text = read(br#"{1,NULL,3}"#, false, Some(Type::INT4_ARRAY), None);
        let binary = [1, 1, 23, 3, 1, 4, 1, -1, 4, 3].map(i32::to_be_bytes).concat();
        assert_eq!(text, read(&binary, true, Some(Type::INT4_ARRAY), None));
    }

    #[test]
    fn wrong_bytes_are_an_error_and_no_panic() {
        for pg_type in [Type::INT4, Type::NUMERIC, Type::TIMESTAMP, Type::INTERVAL, Type::INT4_ARRAY, Type::UUID] {
            assert!(value(1, Some(&[1, 2, 3]), true, Some(&pg_type), None).is_err(), "{pg_type}");
        }
        assert!(value(1, Some(b"12x"), false, Some(&Type::INT4), None).is_err());
    }
}
