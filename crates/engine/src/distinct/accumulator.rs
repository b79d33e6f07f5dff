//! The table of (group, text) pairs that all groups share, and what waits to be put into it.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, BooleanBufferBuilder, Int64Array, ListArray, UInt32Array, UInt64Array,
    new_empty_array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute;
use arrow::datatypes::{DataType, Field, Schema, UInt64Type};
use datafusion::common::{Result, exec_datafusion_err, exec_err};
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_plan::aggregates::group_values::{GroupValues, new_group_values};
use datafusion::physical_plan::aggregates::order::GroupOrdering;

use super::loose::{LOOSE, LOOSE_AT_FIRST, Loose, by_group};
use super::spread::{Spread, bucket_count, lists_of, texts_of};
use super::text_field;

/// Groups of a batch whose last text is remembered.
const GROUPS_REMEMBERED: usize = 256;

pub(super) struct DistinctAccumulator {
    /// The distinct (group, text) pairs.
    pairs: Box<dyn GroupValues>,
    /// How many pairs each group has.
    counts: Vec<i64>,
    /// Scratch: the pair that each row of a batch belongs to.
    pair_of_row: Vec<usize>,
    /// Lists of states, each with its group, that wait until all have come; they share their memory
    /// with the states.
    waiting: Vec<(ListArray, Vec<u64>)>,
    /// What they take, if nobody else has accounted for it.
    waiting_bytes: usize,
    owns_states: bool,
    /// Texts, each with its group, that wait to be merged by others; they may be repeated.
    loose: Vec<Loose>,
    loose_texts: usize,
    /// So many of them are made distinct.
    loose_max: usize,
    /// Texts do not wait, as the same ones come again and again.
    are_repeated: bool,
}

fn new_pairs() -> Result<Box<dyn GroupValues>> {
    let schema =
        Schema::new(vec![Field::new("group", DataType::UInt64, false), Field::new("text", DataType::Utf8, true)]);
    new_group_values(Arc::new(schema), &GroupOrdering::None)
}

impl DistinctAccumulator {
    pub(super) fn new(owns_states: bool) -> Result<Self> {
        Ok(Self {
            pairs: new_pairs()?,
            counts: Vec::new(),
            pair_of_row: Vec::new(),
            waiting: Vec::new(),
            waiting_bytes: 0,
            owns_states,
            loose: Vec::new(),
            loose_texts: 0,
            loose_max: LOOSE_AT_FIRST,
            are_repeated: false,
        })
    }

    /// Lets pairs without null texts wait.
    fn wait(&mut self, groups: &[u64], texts: &ArrayRef) -> Result<()> {
        let groups = groups.iter().map(|group| {
            u32::try_from(*group).map_err(|_| exec_datafusion_err!("group {group} of distinct texts is out of range"))
        });
        self.loose_texts += texts.len();
        self.loose.push(Loose { texts: texts.as_string().clone(), groups: groups.collect::<Result<_>>()? });
        if self.loose_texts < self.loose_max {
            return Ok(());
        }
        let before = self.loose_texts;
        self.merge_loose();
        let group_count = self.counts.len();
        let (offsets, texts) = self.take_distinct()?;
        self.counts.resize(group_count, 0);
        let groups: Vec<u64> = (0..group_count as u64).collect();
        let groups: Vec<u64> = group_of_text(&groups, &offsets).collect();
        self.are_repeated = before > 2 * texts.len();
        if self.are_repeated {
            return self.insert(groups, texts);
        }
        self.loose_max = LOOSE.max(2 * texts.len());
        self.wait(&groups, &texts)
    }

    /// Lets loose texts wait among the states.
    fn merge_loose(&mut self) {
        self.loose_texts = 0;
        for Loose { texts, groups } in self.loose.drain(..) {
            let each = OffsetBuffer::from_repeated_length(1, texts.len());
            let lists = ListArray::new(text_field(), each, Arc::new(texts), None);
            self.waiting.push((lists, groups.into_iter().map(u64::from).collect()));
        }
    }

    /// Takes in pairs without null texts.
    fn insert(&mut self, groups: Vec<u64>, texts: ArrayRef) -> Result<()> {
        let groups = UInt64Array::from(groups);
        let mut known = self.pairs.len();
        self.pairs.intern(&[Arc::new(groups.clone()), texts], &mut self.pair_of_row)?;
        // New pairs are numbered in the order in which they are met.
        for (pair, group) in self.pair_of_row.iter().zip(groups.values()) {
            if *pair >= known {
                known = pair + 1;
                self.counts[usize_of(*group)?] += 1;
            }
        }
        Ok(())
    }

    /// Takes in the lists that wait, bucket by bucket; after each of them, all its pairs are here.
    fn take_in_waiting(&mut self, buckets: usize, mut after_each: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        self.waiting_bytes = 0;
        if buckets == 1 {
            for (lists, groups) in waiting {
                self.insert(group_of_text(&groups, lists.offsets()).collect(), texts_of(&lists))?;
            }
            return after_each(self);
        }
        let waiting = waiting.into_iter().map(|(lists, groups)| Spread::new(lists, groups, buckets));
        let waiting = waiting.collect::<Result<Vec<_>>>()?;
        for bucket in 0..buckets {
            for spread in &waiting {
                let (groups, texts) = spread.bucket(bucket)?;
                self.insert(groups, texts)?;
            }
            after_each(self)?;
        }
        Ok(())
    }

    /// How many buckets suit what waits; one if there are pairs already, of any bucket.
    fn buckets(&self) -> usize {
        match self.pairs.is_empty() {
            true => bucket_count(self.waiting.iter().map(|(lists, _)| texts_of(lists).len()).sum()),
            false => 1,
        }
    }

    /// Takes out the pairs of the emitted groups: the number of texts of each group, and the texts
    /// in that order. Loose ones may be among them more than once.
    fn take(&mut self, emit_to: EmitTo) -> Result<(OffsetBuffer<i32>, ArrayRef)> {
        let (offsets, texts) = if self.pairs.is_empty() && self.waiting.is_empty() && !self.loose.is_empty() {
            self.loose_texts = 0;
            by_group(std::mem::take(&mut self.counts).len(), std::mem::take(&mut self.loose))?
        } else {
            self.merge_loose();
            self.take_distinct()?
        };
        let EmitTo::First(emitted) = emit_to else { return Ok((offsets, texts)) };
        let boundary = offsets[emitted] as usize;
        let lengths = offsets.lengths();
        self.counts = vec![0; lengths.len() - emitted];
        let kept = lengths.skip(emitted).enumerate();
        let groups = kept.flat_map(|(group, count)| std::iter::repeat_n(group as u64, count)).collect();
        self.insert(groups, texts.slice(boundary, texts.len() - boundary))?;
        Ok((offsets.slice(0, emitted), texts.slice(0, boundary)))
    }

    fn take_distinct(&mut self) -> Result<(OffsetBuffer<i32>, ArrayRef)> {
        let (mut groups, mut texts) = (Vec::new(), Vec::new());
        self.take_in_waiting(self.buckets(), |this| {
            if !this.pairs.is_empty() {
                let columns = std::mem::replace(&mut this.pairs, new_pairs()?).emit(EmitTo::All)?;
                let [group, text] = columns.as_slice() else { return exec_err!("pairs have two columns") };
                groups.push(Arc::clone(group));
                texts.push(Arc::clone(text));
            }
            Ok(())
        })?;
        let offsets = OffsetBuffer::<i32>::from_lengths(self.counts.drain(..).map(|count| count as usize));
        let texts = match texts.as_slice() {
            [] => return Ok((offsets, new_empty_array(&DataType::Utf8))),
            [texts] => Arc::clone(texts),
            texts => compute::concat(&texts.iter().map(AsRef::as_ref).collect::<Vec<_>>())?,
        };
        if offsets.len() == 2 {
            // One group has them all.
            return Ok((offsets, texts));
        }
        let mut next: Vec<usize> = offsets.iter().map(|offset| *offset as usize).collect();
        let mut order = vec![0_u32; texts.len()];
        let groups = groups.iter().flat_map(|groups| groups.as_primitive::<UInt64Type>().values());
        for (row, group) in groups.enumerate() {
            let place = &mut next[usize_of(*group)?];
            order[*place] = u32::try_from(row).map_err(|_| exec_datafusion_err!("over 4 billion distinct strings"))?;
            *place += 1;
        }
        Ok((offsets, compute::take(&texts, &UInt32Array::from(order), None)?))
    }
}

/// The group of each text of the lists.
fn group_of_text(groups: &[u64], offsets: &OffsetBuffer<i32>) -> impl Iterator<Item = u64> {
    groups.iter().zip(offsets.lengths()).flat_map(|(group, count)| std::iter::repeat_n(*group, count))
}

fn usize_of(group: u64) -> Result<usize> {
    usize::try_from(group).map_err(|_| exec_datafusion_err!("group {group} is out of range"))
}

impl GroupsAccumulator for DistinctAccumulator {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.counts.resize(total_num_groups, 0);
        let texts = values[0].as_string::<i32>();
        // Most rows of a group say what the one before it in that group said, such as the lines of
        // an order.
        let mut last_of_group = [usize::MAX; GROUPS_REMEMBERED];
        let mut new = BooleanBufferBuilder::new(texts.len());
        for (row, group) in group_indices.iter().enumerate() {
            let is_wanted =
                texts.is_valid(row) && opt_filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
            let last = &mut last_of_group[group % GROUPS_REMEMBERED];
            let is_known = group_indices.get(*last) == Some(group) && texts.value(*last) == texts.value(row);
            new.append(is_wanted && !is_known);
            if is_wanted {
                *last = row;
            }
        }
        let new = BooleanArray::new(new.finish(), None);
        let groups = group_indices.iter().zip(new.values()).filter(|(_, new)| *new);
        let groups: Vec<u64> = groups.map(|(group, _)| *group as u64).collect();
        let texts = compute::filter(&values[0], &new)?;
        if self.owns_states && !self.are_repeated { self.wait(&groups, &texts) } else { self.insert(groups, texts) }
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.counts.resize(total_num_groups, 0);
        if self.owns_states {
            self.waiting_bytes += values[0].to_data().get_slice_memory_size()?;
        }
        self.waiting.push((lists_of(&values[0]), group_indices.iter().map(|group| *group as u64).collect()));
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let counts = match emit_to {
            EmitTo::All => {
                self.merge_loose();
                self.take_in_waiting(self.buckets(), |this| {
                    this.pairs = new_pairs()?;
                    Ok(())
                })?;
                std::mem::take(&mut self.counts)
            }
            EmitTo::First(_) => {
                // What waits becomes distinct.
                self.merge_loose();
                self.take_in_waiting(1, |_| Ok(()))?;
                let (offsets, _) = self.take(emit_to)?;
                offsets.lengths().map(|count| count as i64).collect()
            }
        };
        Ok(Arc::new(Int64Array::from(counts)))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let (offsets, texts) = self.take(emit_to)?;
        Ok(vec![Arc::new(ListArray::new(text_field(), offsets, texts, None))])
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let texts = &values[0];
        let counted =
            |row| texts.is_valid(row) && opt_filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
        let mask: BooleanArray = (0..texts.len()).map(|row| Some(counted(row))).collect();
        let offsets = OffsetBuffer::from_lengths(mask.values().iter().map(usize::from));
        Ok(vec![Arc::new(ListArray::new(text_field(), offsets, compute::filter(texts, &mask)?, None))])
    }

    fn size(&self) -> usize {
        let waiting = self.waiting.iter().map(|(_, groups)| groups.capacity() * size_of::<u64>());
        // What their arrays share with each other is counted for each.
        let loose = self.loose.iter().map(|loose| loose.texts.get_array_memory_size() + size_of_val(&*loose.groups));
        self.pairs.size()
            + self.counts.capacity() * size_of::<i64>()
            + self.pair_of_row.capacity() * size_of::<usize>()
            + waiting.sum::<usize>()
            + loose.sum::<usize>()
            + self.waiting_bytes
    }
}
