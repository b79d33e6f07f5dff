//! Totals of integers and decimals in 128 bits: what `sum` and `avg` accumulate.
//!
//! Integers cannot overflow here, so their result does not depend on the order of the rows; it is
//! only at the end that it must fit its type. Decimals fail when a partial total leaves 128 bits.

use std::collections::HashSet;
use std::mem::size_of_val;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray};
use arrow::buffer::NullBuffer;
use arrow::compute;
use arrow::datatypes::{DataType, Decimal128Type, Int64Type, UInt64Type};
use datafusion::common::utils::SingleRowListArrayBuilder;
use datafusion::common::{DataFusionError, Result, ScalarValue, exec_datafusion_err, internal_err};
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};
use datafusion_functions_aggregate_common::aggregate::groups_accumulator::accumulate::NullState;
use datafusion_functions_aggregate_common::aggregate::groups_accumulator::nulls::filtered_null_mask;

/// Decimals of an average of integers.
pub(super) const AVERAGE_SCALE: i8 = 6;
/// The longest integer has 19 digits.
pub(super) const AVERAGE_TYPE: DataType = DataType::Decimal128(25, AVERAGE_SCALE);
/// Of a total of integers.
pub(super) const WIDE: DataType = DataType::Decimal128(38, 0);

/// What becomes of a total.
#[derive(Debug, Clone)]
pub(super) enum Outcome {
    /// Of this type, `BIGINT`, `BIGINT UNSIGNED` or a decimal.
    Sum(DataType),
    /// Of integers, rounded half away from zero.
    Average,
}

/// What is accumulated, and under which name.
#[derive(Debug, Clone)]
pub(super) struct Total {
    /// As it is written in the query, for errors.
    pub(super) name: String,
    pub(super) outcome: Outcome,
}

impl Total {
    fn does_not_fit(&self) -> DataFusionError {
        let (what, data_type) = match &self.outcome {
            Outcome::Sum(data_type) => ("sum", data_type),
            Outcome::Average => ("average", &AVERAGE_TYPE),
        };
        exec_datafusion_err!("the {what} {} does not fit {}", self.name, type_name(data_type))
    }

    /// How totals are kept between the steps of a query.
    pub(super) fn state_type(&self) -> DataType {
        match &self.outcome {
            Outcome::Sum(DataType::Decimal128(precision, scale)) => DataType::Decimal128(*precision, *scale),
            _ => WIDE,
        }
    }

    fn averages(&self) -> bool {
        matches!(self.outcome, Outcome::Average)
    }

    fn averaged(&self, total: i128, count: u64) -> Result<i128> {
        let Some(count) = Some(i128::from(count)).filter(|count| *count > 0) else { return Ok(0) };
        let scaled = total.checked_mul(10_i128.pow(AVERAGE_SCALE.unsigned_abs().into()));
        let Some(scaled) = scaled else { return Err(self.does_not_fit()) };
        let (quotient, rest) = (scaled / count, scaled % count);
        Ok(if rest.unsigned_abs() * 2 >= count.unsigned_abs() { quotient + scaled.signum() } else { quotient })
    }

    /// The results of totals; what is null in them is 0 here.
    fn finish(&self, totals: Vec<i128>, counts: &[u64], nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        fn narrow<T: ArrowPrimitiveType>(
            total: &Total,
            totals: Vec<i128>,
            nulls: Option<NullBuffer>,
        ) -> Result<ArrayRef>
        where
            T::Native: TryFrom<i128>,
        {
            let narrowed = totals.into_iter().map(|value| T::Native::try_from(value).map_err(|_| total.does_not_fit()));
            let values: Vec<T::Native> = narrowed.collect::<Result<_>>()?;
            Ok(Arc::new(PrimitiveArray::<T>::try_new(values.into(), nulls)?))
        }
        let decimals = |totals: Vec<i128>, precision: u8, scale: i8| -> Result<ArrayRef> {
            let bound = 10_i128.pow(precision.into());
            if totals.iter().any(|total| *total >= bound || *total <= -bound) {
                return Err(self.does_not_fit());
            }
            let values = PrimitiveArray::<Decimal128Type>::try_new(totals.into(), nulls.clone())?;
            Ok(Arc::new(values.with_precision_and_scale(precision, scale)?))
        };
        match &self.outcome {
            Outcome::Sum(DataType::Int64) => narrow::<Int64Type>(self, totals, nulls),
            Outcome::Sum(DataType::UInt64) => narrow::<UInt64Type>(self, totals, nulls),
            Outcome::Sum(DataType::Decimal128(precision, scale)) => decimals(totals, *precision, *scale),
            Outcome::Sum(other) => internal_err!("no total of {other}"),
            Outcome::Average => {
                let DataType::Decimal128(precision, scale) = AVERAGE_TYPE else { return internal_err!("no decimal") };
                let averages = totals.iter().zip(counts).map(|(total, count)| self.averaged(*total, *count));
                decimals(averages.collect::<Result<_>>()?, precision, scale)
            }
        }
    }

    fn finish_one(&self, total: Option<i128>, count: u64) -> Result<ScalarValue> {
        let nulls = total.is_none().then(|| NullBuffer::new_null(1));
        let result = self.finish(vec![total.unwrap_or_default()], &[count], nulls)?;
        ScalarValue::try_from_array(&result, 0)
    }

    /// A total as it is kept between the steps of a query.
    fn kept(&self, totals: Vec<i128>, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        let totals = PrimitiveArray::<Decimal128Type>::try_new(totals.into(), nulls)?;
        Ok(Arc::new(totals.with_data_type(self.state_type())))
    }
}

fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Int64 => "bigint".to_owned(),
        DataType::UInt64 => "bigint unsigned".to_owned(),
        DataType::Decimal128(precision, scale) => format!("decimal({precision}, {scale})"),
        other => other.to_string(),
    }
}

/// One total for each group.
pub(super) struct Totals {
    total: Total,
    totals: Vec<i128>,
    /// Of averages alone.
    counts: Vec<u64>,
    nulls: NullState,
}

impl Totals {
    pub(super) fn new(total: Total) -> Self {
        Self { total, totals: Vec::new(), counts: Vec::new(), nulls: NullState::new() }
    }

    /// Adds values to their groups' totals, and to their counts if each is a row.
    fn add<T>(
        &mut self,
        values: &PrimitiveArray<T>,
        groups: &[usize],
        filter: Option<&BooleanArray>,
        group_count: usize,
        are_rows: bool,
    ) -> Result<()>
    where
        T: ArrowPrimitiveType + Send,
        T::Native: Into<i128>,
    {
        self.totals.resize(group_count, 0);
        let mut overflows = false;
        let totals = &mut self.totals;
        // Asking for each row whether it failed would cost more than adding it.
        if are_rows && self.total.averages() {
            let counts = &mut self.counts;
            counts.resize(group_count, 0);
            self.nulls.accumulate(groups, values, filter, group_count, |group, value| {
                let (sum, overflow) = totals[group].overflowing_add(value.into());
                totals[group] = sum;
                counts[group] += 1;
                overflows |= overflow;
            });
        } else {
            self.nulls.accumulate(groups, values, filter, group_count, |group, value| {
                let (sum, overflow) = totals[group].overflowing_add(value.into());
                totals[group] = sum;
                overflows |= overflow;
            });
        }
        if overflows { Err(self.total.does_not_fit()) } else { Ok(()) }
    }
}

impl GroupsAccumulator for Totals {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        let values = &values[0];
        let (groups, filter, group_count) = (group_indices, opt_filter, total_num_groups);
        match values.data_type() {
            DataType::Int64 => self.add(values.as_primitive::<Int64Type>(), groups, filter, group_count, true),
            DataType::UInt64 => self.add(values.as_primitive::<UInt64Type>(), groups, filter, group_count, true),
            DataType::Decimal128(..) => {
                self.add(values.as_primitive::<Decimal128Type>(), groups, filter, group_count, true)
            }
            other => internal_err!("no total of {other}"),
        }
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        if self.total.averages() {
            self.counts.resize(total_num_groups, 0);
            let counts = values[1].as_primitive::<UInt64Type>();
            for (group, count) in group_indices.iter().zip(counts.values()) {
                self.counts[*group] += count;
            }
        }
        self.add(values[0].as_primitive::<Decimal128Type>(), group_indices, None, total_num_groups, false)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let totals = emit_to.take_needed(&mut self.totals);
        let counts = if self.total.averages() { emit_to.take_needed(&mut self.counts) } else { Vec::new() };
        let nulls = self.nulls.build(emit_to);
        self.total.finish(totals, &counts, nulls)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let totals = emit_to.take_needed(&mut self.totals);
        let nulls = self.nulls.build(emit_to);
        let mut state = vec![self.total.kept(totals, nulls)?];
        if self.total.averages() {
            let counts = emit_to.take_needed(&mut self.counts);
            state.push(Arc::new(PrimitiveArray::<UInt64Type>::from_iter_values(counts)));
        }
        Ok(state)
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let values = compute::cast(&values[0], &self.total.state_type())?;
        let nulls = filtered_null_mask(opt_filter, &values);
        let totals: ArrayRef = match values.as_primitive_opt::<Decimal128Type>() {
            Some(values) => {
                let kept = PrimitiveArray::<Decimal128Type>::try_new(values.values().clone(), nulls)?;
                Arc::new(kept.with_data_type(self.total.state_type()))
            }
            None => return internal_err!("no total of {}", values.data_type()),
        };
        let mut state = vec![Arc::clone(&totals)];
        if self.total.averages() {
            let counts = (0..totals.len()).map(|row| u64::from(totals.is_valid(row)));
            state.push(Arc::new(PrimitiveArray::<UInt64Type>::from_iter_values(counts)));
        }
        Ok(state)
    }

    fn size(&self) -> usize {
        self.totals.capacity() * size_of::<i128>() + self.counts.capacity() * size_of::<u64>() + self.nulls.size()
    }
}

/// The total of one group, or of a frame of rows that come and go.
#[derive(Debug)]
pub(super) struct OneTotal {
    total: Total,
    value: i128,
    count: u64,
}

impl OneTotal {
    pub(super) fn new(total: Total) -> Self {
        Self { total, value: 0, count: 0 }
    }

    fn change(&mut self, values: &ArrayRef, add: impl Fn(i128, i128) -> Option<i128>) -> Result<u64> {
        let mut value = Some(self.value);
        for_each(values, |next| value = value.and_then(|value| add(value, next)))?;
        let Some(value) = value else { return Err(self.total.does_not_fit()) };
        self.value = value;
        Ok((values.len() - values.null_count()) as u64)
    }
}

impl Accumulator for OneTotal {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.count += self.change(&values[0], i128::checked_add)?;
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let rows = self.change(&states[0], i128::checked_add)?;
        // Whether there was a value at all is what a sum needs to know of its count.
        self.count += match states.get(1) {
            Some(counts) => compute::sum(counts.as_primitive::<UInt64Type>()).unwrap_or_default(),
            None => rows,
        };
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.count -= self.change(&values[0], i128::checked_sub)?;
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let nulls = (self.count == 0).then(|| NullBuffer::new_null(1));
        let mut state = vec![ScalarValue::try_from_array(&self.total.kept(vec![self.value], nulls)?, 0)?];
        if self.total.averages() {
            state.push(self.count.into());
        }
        Ok(state)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.total.finish_one((self.count > 0).then_some(self.value), self.count)
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}

/// The total of each value once.
#[derive(Debug)]
pub(super) struct DistinctTotal {
    total: Total,
    values: HashSet<i128>,
}

impl DistinctTotal {
    pub(super) fn new(total: Total) -> Self {
        Self { total, values: HashSet::new() }
    }
}

impl Accumulator for DistinctTotal {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for_each(&values[0], |value| {
            self.values.insert(value);
        })
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for list in states[0].as_list::<i32>().iter().flatten() {
            self.update_batch(&[list])?;
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let values = self.total.kept(self.values.iter().copied().collect(), None)?;
        Ok(vec![ScalarValue::List(Arc::new(SingleRowListArrayBuilder::new(values).build_list_array()))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let total = self.values.iter().try_fold(0_i128, |total, value| total.checked_add(*value));
        let Some(total) = total else { return Err(self.total.does_not_fit()) };
        self.total.finish_one((!self.values.is_empty()).then_some(total), self.values.len() as u64)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.values.capacity() * size_of::<i128>()
    }
}

fn for_each(values: &ArrayRef, mut each: impl FnMut(i128)) -> Result<()> {
    match values.data_type() {
        DataType::Int64 => values.as_primitive::<Int64Type>().iter().flatten().for_each(|value| each(value.into())),
        DataType::UInt64 => values.as_primitive::<UInt64Type>().iter().flatten().for_each(|value| each(value.into())),
        DataType::Decimal128(..) => values.as_primitive::<Decimal128Type>().iter().flatten().for_each(each),
        other => return internal_err!("no total of {other}"),
    }
    Ok(())
}
