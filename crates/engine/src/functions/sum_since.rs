//! `sum_since(value, restart, order, ...)`: the sum over the rows that come after the newest one at
//! which it begins again.
//!
//! What is kept of a group is that row's place in the order, and the place and value of each row
//! behind it: states of any parts of the rows merge in any order, whatever comes late.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, new_empty_array};
use arrow::datatypes::{DataType, Decimal128Type, Field, FieldRef, Int64Type};
use arrow::row::{RowConverter, SortField};
use datafusion::common::{DataFusionError, Result, ScalarValue, exec_datafusion_err, exec_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility,
};

/// The sum itself.
pub const SUM_SINCE: &str = "sum_since";
/// The same as a state, of rows with one column of bytes that orders them.
pub const SUM_SINCE_STATE: &str = "sum_since_state";
/// States merged into one.
pub const SUM_SINCE_MERGE: &str = "sum_since_merge";
/// The sum that a state stands for.
const SUM_SINCE_VALUE: &str = "sum_since_value";
const DECIMAL_DIGITS: u8 = 38;

/// The aggregate, and those that make and merge its states.
pub fn sums_since() -> [AggregateUDF; 3] {
    [Step::Whole, Step::State, Step::Merge]
        .map(|step| AggregateUDF::from(SumSince { step, signature: Signature::user_defined(Volatility::Immutable) }))
}

/// `sum_since_value(state, of_type)`: the sum of a state, in the type of the second argument.
pub fn sum_since_value() -> ScalarUDF {
    ScalarUDF::from(SumSinceValue { signature: Signature::any(2, Volatility::Immutable) })
}

/// No sum over some of a state's rows is larger, whatever its sign.
pub fn sum_since_bound(state: &[u8]) -> Result<f64> {
    let mut stretch = Stretch::default();
    stretch.merge(state)?;
    Ok(stretch.values.values().map(|value| value.unsigned_abs() as f64).sum())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Step {
    Whole,
    State,
    Merge,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct SumSince {
    step: Step,
    signature: Signature,
}

impl AggregateUDFImpl for SumSince {
    fn name(&self) -> &str {
        match self.step {
            Step::Whole => SUM_SINCE,
            Step::State => SUM_SINCE_STATE,
            Step::Merge => SUM_SINCE_MERGE,
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        match (self.step, arguments) {
            (Step::Merge, [_]) => Ok(vec![DataType::Binary]),
            // Numbers would pass for conditions: 0 is false, and anything else true.
            (Step::Whole, [_, condition, _, ..]) if *condition != DataType::Boolean && !condition.is_null() => {
                plan_err!(
                    "{SUM_SINCE} begins again where its second argument is true, which is {condition} and not BOOLEAN: \
                     write a condition, such as kind = 'prize'"
                )
            }
            (Step::Whole | Step::State, [value, _, orders @ ..]) if !orders.is_empty() => {
                let value = match value {
                    DataType::Decimal128(..) => value.clone(),
                    value if value.is_integer() || value.is_null() => DataType::Int64,
                    other => return plan_err!("{} adds up integers and decimals, not {other}", self.name()),
                };
                Ok([&[value, DataType::Boolean][..], orders].concat())
            }
            _ => plan_err!(
                "{SUM_SINCE} takes a value, a condition at which it begins again, and what rows are ordered by, such as \
                 {SUM_SINCE}(points, kind = 'prize', timestamp)"
            ),
        }
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok(match (self.step, arguments) {
            (Step::Whole, [DataType::Decimal128(_, scale), ..]) => DataType::Decimal128(DECIMAL_DIGITS, *scale),
            (Step::Whole, _) => DataType::Int64,
            (Step::State | Step::Merge, _) => DataType::Binary,
        })
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new(format!("{}[stretch]", args.name), DataType::Binary, true))])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let orders = args.expr_fields.iter().skip(2).map(|field| SortField::new(field.data_type().clone()));
        let orders: Vec<SortField> = orders.collect();
        // Bytes are an order as they are; others are turned into such.
        let is_plain = matches!(args.expr_fields.get(2..), Some([order]) if *order.data_type() == DataType::Binary);
        let converter = if is_plain || self.step == Step::Merge { None } else { Some(RowConverter::new(orders)?) };
        Ok(Box::new(SumSinceAccumulator {
            step: self.step,
            output: args.return_field.data_type().clone(),
            converter,
            stretch: Stretch::default(),
        }))
    }
}

/// What is known of a group: where the sum began last, and the rows behind that.
#[derive(Debug, Default)]
struct Stretch {
    restart: Option<Vec<u8>>,
    values: BTreeMap<Vec<u8>, i128>,
}

impl Stretch {
    fn restart_at(&mut self, place: &[u8]) {
        if self.restart.as_deref() < Some(place) {
            self.restart = Some(place.to_vec());
            self.values.retain(|known, _| known.as_slice() > place);
        }
    }

    fn add(&mut self, place: &[u8], value: i128) -> Result<()> {
        if self.restart.as_deref() >= Some(place) {
            return Ok(());
        }
        match self.values.entry(place.to_vec()) {
            Entry::Vacant(entry) => {
                entry.insert(value);
            }
            // Only what is ordered by a time alone has rows in the same place.
            Entry::Occupied(mut entry) => {
                let sum = entry.get().checked_add(value).ok_or_else(does_not_fit)?;
                entry.insert(sum);
            }
        }
        Ok(())
    }

    /// None of no rows.
    fn sum(&self) -> Result<Option<i128>> {
        let mut values = self.values.values();
        let Some(first) = values.next() else { return Ok(None) };
        let sum = values.try_fold(*first, |sum, value| sum.checked_add(*value));
        sum.map(Some).ok_or_else(does_not_fit)
    }

    /// Whether there is a place where it began; then each place with its length before it, and
    /// behind those of values 16 bytes.
    fn to_bytes(&self) -> Vec<u8> {
        fn put(bytes: &mut Vec<u8>, place: &[u8]) {
            bytes.extend(u32::try_from(place.len()).unwrap_or(u32::MAX).to_le_bytes());
            bytes.extend(place);
        }
        let mut bytes = vec![u8::from(self.restart.is_some())];
        if let Some(restart) = &self.restart {
            put(&mut bytes, restart);
        }
        for (place, value) in &self.values {
            put(&mut bytes, place);
            bytes.extend(value.to_le_bytes());
        }
        bytes
    }

    fn merge(&mut self, bytes: &[u8]) -> Result<()> {
        let (flag, mut rest) = take(bytes, 1)?;
        if flag == [1] {
            let restart = take_place(&mut rest)?;
            self.restart_at(restart);
        }
        while !rest.is_empty() {
            let place = take_place(&mut rest)?;
            let (value, behind) = take(rest, size_of::<i128>())?;
            rest = behind;
            self.add(place, i128::from_le_bytes(value.try_into().map_err(|_| damaged())?))?;
        }
        Ok(())
    }

    fn size(&self) -> usize {
        let place = self.values.first_key_value().map_or(0, |(place, _)| place.capacity());
        self.values.len() * (place + size_of::<(Vec<u8>, i128)>()) + self.restart.as_ref().map_or(0, Vec::capacity)
    }
}

fn take(bytes: &[u8], count: usize) -> Result<(&[u8], &[u8])> {
    bytes.split_at_checked(count).ok_or_else(damaged)
}

fn take_place<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8]> {
    let (length, rest) = take(bytes, size_of::<u32>())?;
    let length = u32::from_le_bytes(length.try_into().map_err(|_| damaged())?);
    let (place, rest) = take(rest, usize::try_from(length).map_err(|_| damaged())?)?;
    *bytes = rest;
    Ok(place)
}

fn damaged() -> DataFusionError {
    exec_datafusion_err!("a state of {SUM_SINCE} is damaged")
}

fn does_not_fit() -> DataFusionError {
    exec_datafusion_err!("the sum {SUM_SINCE} does not fit its type")
}

/// The sum in its type.
fn typed(sum: Option<i128>, output: &DataType) -> Result<ScalarValue> {
    match output {
        DataType::Int64 => {
            let sum = sum.map(|sum| i64::try_from(sum).map_err(|_| does_not_fit())).transpose()?;
            Ok(ScalarValue::Int64(sum))
        }
        DataType::Decimal128(precision, scale) => {
            let largest = 10_i128.checked_pow((*precision).into()).unwrap_or(i128::MAX);
            match sum {
                Some(sum) if sum.checked_abs().is_none_or(|sum| sum >= largest) => Err(does_not_fit()),
                sum => Ok(ScalarValue::Decimal128(sum, *precision, *scale)),
            }
        }
        other => exec_err!("{SUM_SINCE} has no values of type {other}"),
    }
}

#[derive(Debug)]
struct SumSinceAccumulator {
    step: Step,
    output: DataType,
    converter: Option<RowConverter>,
    stretch: Stretch,
}

impl SumSinceAccumulator {
    fn update(&mut self, values: &ArrayRef, restarts: &ArrayRef, orders: &[ArrayRef]) -> Result<()> {
        let restarts = restarts.as_boolean();
        let value = |row: usize| -> Option<i128> {
            if values.is_null(row) {
                return None;
            }
            match values.data_type() {
                DataType::Int64 => Some(values.as_primitive::<Int64Type>().value(row).into()),
                _ => Some(values.as_primitive::<Decimal128Type>().value(row)),
            }
        };
        let converted = self.converter.as_ref().map(|converter| converter.convert_columns(orders)).transpose()?;
        for row in 0..values.len() {
            let place = match (&converted, orders) {
                (Some(rows), _) => rows.row(row).data(),
                (None, [order, ..]) => order.as_binary::<i32>().value(row),
                (None, []) => return exec_err!("{SUM_SINCE} has no order"),
            };
            if restarts.is_valid(row) && restarts.value(row) {
                self.stretch.restart_at(place);
            } else if let Some(value) = value(row) {
                self.stretch.add(place, value)?;
            }
        }
        Ok(())
    }
}

impl Accumulator for SumSinceAccumulator {
    fn update_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        match (self.step, columns) {
            (Step::Merge, [states]) => self.merge_batch(std::slice::from_ref(states)),
            (_, [values, restarts, orders @ ..]) => self.update(values, restarts, orders),
            _ => exec_err!("{SUM_SINCE} has no value"),
        }
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        match self.step {
            Step::Whole => typed(self.stretch.sum()?, &self.output),
            Step::State | Step::Merge => Ok(ScalarValue::Binary(Some(self.stretch.to_bytes()))),
        }
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.stretch.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::Binary(Some(self.stretch.to_bytes()))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let [states] = states else { return Err(damaged()) };
        states.as_binary::<i32>().iter().flatten().try_for_each(|state| self.stretch.merge(state))
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct SumSinceValue {
    signature: Signature,
}

impl ScalarUDFImpl for SumSinceValue {
    fn name(&self) -> &str {
        SUM_SINCE_VALUE
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match arguments {
            [_, of_type] => Ok(of_type.clone()),
            _ => plan_err!("{SUM_SINCE_VALUE} takes a state and a value of the wanted type"),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let output = args.return_field.data_type().clone();
        let states = args.args.first().map(|states| states.to_array(args.number_rows)).ok_or_else(damaged)??;
        let mut sums = Vec::with_capacity(states.len());
        for state in states.as_binary::<i32>() {
            let mut stretch = Stretch::default();
            state.map(|state| stretch.merge(state)).transpose()?;
            sums.push(typed(stretch.sum()?, &output)?);
        }
        if sums.is_empty() {
            return Ok(ColumnarValue::Array(new_empty_array(&output)));
        }
        Ok(ColumnarValue::Array(ScalarValue::iter_to_array(sums)?))
    }
}

#[cfg(test)]
mod tests;
