//! What parses and plans, and can still fail on data: divisions and casts; and windows that share
//! their events with many others.
//!
//! From the text alone: what a column is, a topic or reference table of the catalog says; of others
//! nothing is said.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CastKind, DataType, ExactNumberInfo, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArguments, Spanned, Statement, TimezoneInfo, UnaryOperator, Value,
};

use super::metric::windows_per_event;
use super::{Catalog, Diagnostic, Position, expressions};
use crate::position::InFile;
use vitral_schemas::topic::{Column, ColumnKind};

/// Each event is in so many windows of a metric before it is warned of.
const MANY_WINDOWS: i64 = 60;

/// Of amounts as topics declare them: DECIMAL(18, 2).
const WHOLE_DIGITS: i64 = 16;

/// An expression that may fail, as it was read.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "few, and made once when a catalog is read")]
pub(super) enum Suspect {
    Division { at: Position, operator: BinaryOperator, dividend: Expr, divisor: Expr },
    Cast { at: Position, operand: Expr, data_type: DataType },
}

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Number,
    Float,
    Time,
    Other,
}

/// The suspects of a statement.
pub(super) fn suspects(statement: &Statement, position: &Position) -> Vec<Suspect> {
    let mut found = Vec::new();
    // What a CASE asks for before it divides.
    let mut conditions = Vec::new();
    expressions::look(statement, &mut |expr| {
        match expr {
            Expr::Case { conditions: asked, .. } => {
                conditions.extend(asked.iter().map(|when| when.condition.to_string()));
            }
            Expr::BinaryOp { left, op: operator @ (BinaryOperator::Divide | BinaryOperator::Modulo), right } => {
                found.push(Suspect::Division {
                    at: position.at(expr.span()),
                    operator: operator.clone(),
                    dividend: left.as_ref().clone(),
                    divisor: right.as_ref().clone(),
                });
            }
            Expr::Cast { kind: CastKind::Cast | CastKind::DoubleColon, expr: operand, data_type, .. } => {
                found.push(Suspect::Cast {
                    at: position.at(expr.span()),
                    operand: operand.as_ref().clone(),
                    data_type: data_type.clone(),
                });
            }
            Expr::Function(function) => found.extend(cast_of_call(function).map(|(operand, data_type)| {
                Suspect::Cast { at: position.at(expr.span()), operand: operand.clone(), data_type }
            })),
            _ => {}
        }
        ControlFlow::Continue(())
    });
    let is_asked_for = |divisor: &Expr| {
        let divisor = divisor.to_string();
        conditions.iter().any(|condition| condition.contains(&divisor))
    };
    found.retain(|suspect| !matches!(suspect, Suspect::Division { divisor, .. } if is_asked_for(divisor)));
    found
}

/// What a call casts, and to which type, if it is a cast that is written as a function.
fn cast_of_call(function: &Function) -> Option<(&Expr, DataType)> {
    let name = name_of(function);
    let arguments = arguments(function);
    let operand = *arguments.first()?;
    let timestamp = DataType::Timestamp(None, TimezoneInfo::None);
    let data_type = match name.as_str() {
        "arrow_cast" => type_of_arrow(arguments.get(1)?)?,
        "to_date" => DataType::Date,
        "to_time" => DataType::Time(None, TimezoneInfo::None),
        "to_unixtime" => timestamp,
        name if name.starts_with("to_timestamp") => timestamp,
        _ => return None,
    };
    Some((operand, data_type))
}

/// A type of Arrow in the words of SQL: `Int64`, `Decimal128(18, 2)`,
/// `Timestamp(Microsecond, None)`. None of one whose values no text fails to be.
fn type_of_arrow(name: &Expr) -> Option<DataType> {
    let Expr::Value(value) = name else { return None };
    let Value::SingleQuotedString(name) = &value.value else { return None };
    let (base, arguments) = name.trim().split_once('(').unwrap_or((name.trim(), ""));
    let mut numbers = arguments.split([',', ')']).map(|number| number.trim().parse::<i64>());
    match base.trim().to_lowercase().as_str() {
        "int8" | "int16" | "int32" | "uint8" | "uint16" => Some(DataType::Int(None)),
        "int64" | "uint32" | "uint64" => Some(DataType::BigInt(None)),
        "float16" | "float32" | "float64" => Some(DataType::Double(ExactNumberInfo::None)),
        "boolean" => Some(DataType::Boolean),
        "date32" | "date64" => Some(DataType::Date),
        "time32" | "time64" => Some(DataType::Time(None, TimezoneInfo::None)),
        "timestamp" => Some(DataType::Timestamp(None, TimezoneInfo::None)),
        base if base.starts_with("decimal") => Some(DataType::Decimal(match (numbers.next(), numbers.next()) {
            (Some(Ok(precision)), Some(Ok(scale))) if precision >= 0 => {
                ExactNumberInfo::PrecisionAndScale(precision.unsigned_abs(), scale)
            }
            _ => ExactNumberInfo::None,
        })),
        _ => None,
    }
}

impl Catalog {
    /// What can fail on data though it parses and plans, in the order of the files.
    pub fn warnings(&self) -> Vec<Diagnostic> {
        let topics = self.topics.iter().flat_map(|topic| &topic.columns);
        let columns: Vec<&Column> = topics.chain(self.references.iter().flat_map(|table| &table.columns)).collect();
        let mut warnings: Vec<Diagnostic> =
            self.suspects.iter().filter_map(|suspect| suspect.warning(&columns)).collect();
        for metric in &self.metrics {
            let count = windows_per_event(metric.window);
            if count > MANY_WINDOWS {
                warnings.push(metric.position.error(
                    format!(
                        "each event of metric {} is in {count} windows: the rows of all that are open are kept in memory, and recomputed at \
                         each refresh",
                        metric.name
                    ),
                    "slide by a longer step, or group by fewer keys".into(),
                ));
            }
        }
        let place =
            |warning: &Diagnostic| (warning.position.file.clone(), warning.position.line, warning.position.column);
        warnings.sort_by_key(place);
        warnings
    }
}

impl Suspect {
    fn warning(&self, columns: &[&Column]) -> Option<Diagnostic> {
        match self {
            Self::Division { at, operator, dividend, divisor } => {
                let is_float = [dividend, divisor].iter().any(|side| kind_of(side, columns) == Kind::Float);
                if is_float || is_never_zero(divisor) {
                    return None;
                }
                let written = divisor;
                let divisor = match divisor {
                    Expr::Nested(inner) => inner,
                    other => other,
                };
                let remedy = match operator {
                    BinaryOperator::Divide => format!(
                        "divide_half_up({dividend}, {divisor}) gives cents, rounded, and null at 0; {dividend} / nullif({divisor}, 0) \
                         gives null at 0"
                    ),
                    _ => format!("{dividend} {operator} nullif({divisor}, 0) gives null at 0"),
                };
                Some(at.error(format!("{dividend} {operator} {written} fails where {divisor} is 0"), remedy))
            }
            Self::Cast { at, operand, data_type } => {
                if is_column(operand) && kind_of(operand, columns) == Kind::Number && is_narrow(data_type) {
                    return Some(at.error(
                        format!("the cast fails where {operand} does not fit {data_type}"),
                        format!(
                            "BIGINT and DECIMAL(38, 2) have room for it; try_cast({operand} AS {data_type}) gives null there"
                        ),
                    ));
                }
                let can_fail = kind_of(operand, columns) == Kind::Text
                    && !is_literal(operand)
                    && !matches!(kind_of_type(data_type), Kind::Text | Kind::Other);
                can_fail.then(|| {
                    at.error(
                        format!("the cast fails where {operand} is a text that is not a valid {data_type}"),
                        format!("try_cast({operand} AS {data_type}) gives null there"),
                    )
                })
            }
        }
    }
}

fn is_column(expr: &Expr) -> bool {
    match expr {
        Expr::Nested(inner) => is_column(inner),
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) => true,
        _ => false,
    }
}

/// Whether a type holds fewer numbers than the columns of topics do.
fn is_narrow(data_type: &DataType) -> bool {
    match data_type {
        DataType::Decimal(ExactNumberInfo::PrecisionAndScale(precision, scale))
        | DataType::Numeric(ExactNumberInfo::PrecisionAndScale(precision, scale)) => {
            i64::try_from(*precision).is_ok_and(|precision| precision - scale < WHOLE_DIGITS)
        }
        DataType::TinyInt(_) | DataType::SmallInt(_) | DataType::Int(_) | DataType::Integer(_) => true,
        _ => false,
    }
}

fn is_never_zero(divisor: &Expr) -> bool {
    match divisor {
        Expr::Nested(inner) | Expr::Cast { expr: inner, .. } => is_never_zero(inner),
        Expr::UnaryOp { op: UnaryOperator::Minus | UnaryOperator::Plus, expr } => is_never_zero(expr),
        Expr::Value(value) => match &value.value {
            Value::Number(number, _) => number.parse::<f64>().is_ok_and(|number| number != 0.0),
            _ => false,
        },
        Expr::Function(function) if name_of(function) == "nullif" => match arguments(function).as_slice() {
            [_, Expr::Value(zero)] => zero.value.to_string().parse::<f64>().is_ok_and(|zero| zero == 0.0),
            _ => false,
        },
        Expr::Function(function) if name_of(function) == "greatest" => {
            arguments(function).into_iter().any(|argument| is_literal(argument) && is_never_zero(argument))
        }
        _ => false,
    }
}

fn is_literal(expr: &Expr) -> bool {
    match expr {
        Expr::Value(_) => true,
        Expr::Nested(inner) | Expr::UnaryOp { expr: inner, .. } => is_literal(inner),
        _ => false,
    }
}

fn kind_of(expr: &Expr, columns: &[&Column]) -> Kind {
    match expr {
        Expr::Nested(inner) | Expr::UnaryOp { expr: inner, .. } => kind_of(inner, columns),
        Expr::Identifier(ident) => kind_of_column(&ident.value, columns),
        Expr::CompoundIdentifier(idents) => {
            idents.last().map_or(Kind::Other, |ident| kind_of_column(&ident.value, columns))
        }
        Expr::Value(value) => match &value.value {
            Value::Number(..) => Kind::Number,
            Value::SingleQuotedString(_) => Kind::Text,
            _ => Kind::Other,
        },
        Expr::Cast { data_type, .. } => kind_of_type(data_type),
        Expr::AtTimeZone { .. } | Expr::Interval(_) => Kind::Time,
        Expr::Extract { .. } => Kind::Number,
        Expr::Trim { .. } | Expr::Substring { .. } => Kind::Text,
        Expr::BinaryOp { left, op, right } => match op {
            BinaryOperator::StringConcat => Kind::Text,
            BinaryOperator::Plus
            | BinaryOperator::Minus
            | BinaryOperator::Multiply
            | BinaryOperator::Divide
            | BinaryOperator::Modulo => {
                let sides = [kind_of(left, columns), kind_of(right, columns)];
                [Kind::Time, Kind::Float].into_iter().find(|kind| sides.contains(kind)).unwrap_or(Kind::Number)
            }
            _ => Kind::Other,
        },
        Expr::Case { conditions, .. } => {
            conditions.first().map_or(Kind::Other, |first| kind_of(&first.result, columns))
        }
        Expr::Function(function) => kind_of_call(function, columns),
        _ => Kind::Other,
    }
}

fn kind_of_call(function: &Function, columns: &[&Column]) -> Kind {
    const TEXTS: [&str; 20] = [
        "btrim",
        "concat",
        "concat_ws",
        "initcap",
        "left",
        "lower",
        "lpad",
        "ltrim",
        "overlay",
        "regexp_replace",
        "replace",
        "reverse",
        "right",
        "rpad",
        "rtrim",
        "split_part",
        "string_agg",
        "substr",
        "to_char",
        "upper",
    ];
    let name = name_of(function);
    match name.as_str() {
        name if TEXTS.contains(&name) => Kind::Text,
        "coalesce" | "nullif" | "min" | "max" | "greatest" | "least" | "first_value" | "last_value" => {
            arguments(function).first().map_or(Kind::Other, |first| kind_of(first, columns))
        }
        _ => Kind::Other,
    }
}

fn kind_of_column(name: &str, columns: &[&Column]) -> Kind {
    let found = columns.iter().find(|column| column.name.eq_ignore_ascii_case(name));
    found.map_or(Kind::Other, |column| match column.kind {
        ColumnKind::Text | ColumnKind::TextOrNumber | ColumnKind::Currency => Kind::Text,
        ColumnKind::Integer | ColumnKind::Decimal { .. } => Kind::Number,
        ColumnKind::Timestamp => Kind::Time,
        ColumnKind::Boolean => Kind::Other,
    })
}

/// By its name: SQL has too many. A text that is not a truth value fails like one that is not a
/// number.
fn kind_of_type(data_type: &DataType) -> Kind {
    let name = data_type.to_string().to_uppercase();
    let is_one_of = |names: &[&str]| names.iter().any(|known| name.starts_with(known));
    if is_one_of(&["TEXT", "VARCHAR", "CHAR", "STRING", "NVARCHAR"]) {
        Kind::Text
    } else if is_one_of(&["DOUBLE", "FLOAT", "REAL"]) {
        Kind::Float
    } else if is_one_of(&["DATE", "TIME", "INTERVAL"]) {
        Kind::Time
    } else if is_one_of(&["BOOL", "INT", "BIGINT", "SMALLINT", "TINYINT", "DEC", "NUM", "UNSIGNED", "SIGNED"]) {
        Kind::Number
    } else {
        Kind::Other
    }
}

fn name_of(function: &Function) -> String {
    function.name.to_string().to_lowercase()
}

fn arguments(function: &Function) -> Vec<&Expr> {
    let FunctionArguments::List(list) = &function.args else { return Vec::new() };
    let plain = list.args.iter().filter_map(|argument| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
        _ => None,
    });
    plain.collect()
}

#[cfg(test)]
mod tests;
