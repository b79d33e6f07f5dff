//! Texts that wait to be merged with many others at once: over history most texts are met for the
//! first time.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use arrow::buffer::OffsetBuffer;
use datafusion::common::{Result, exec_err};

/// Loose texts that wait until it is seen whether they are repeated.
pub(super) const LOOSE_AT_FIRST: usize = if cfg!(test) { 8 } else { 256 << 10 };
/// Loose texts that wait at least, if they are not.
pub(super) const LOOSE: usize = if cfg!(test) { 32 } else { 8 << 20 };

/// Texts without null, each with its group.
pub(super) struct Loose {
    pub(super) texts: StringArray,
    pub(super) groups: Vec<u32>,
}

/// The texts in the order of their groups, and how many each group has. Each text is copied once,
/// and what is copied is let go: at the end of a partition these are many.
pub(super) fn by_group(groups: usize, loose: Vec<Loose>) -> Result<(OffsetBuffer<i32>, ArrayRef)> {
    // Where the next text of a group goes, and its bytes.
    let mut next = vec![(0, 0); groups];
    for Loose { texts, groups } in &loose {
        for (text, group) in texts.offsets().lengths().zip(groups) {
            let (texts, bytes) = &mut next[*group as usize];
            (*texts, *bytes) = (*texts + 1, *bytes + text);
        }
    }
    let lengths = OffsetBuffer::from_lengths(next.iter().map(|(texts, _)| *texts));
    let (mut texts_before, mut bytes_before) = (0, 0);
    for (texts, bytes) in &mut next {
        let (these, their_bytes) = (*texts, *bytes);
        (*texts, *bytes) = (texts_before, bytes_before);
        (texts_before, bytes_before) = (texts_before + these, bytes_before + their_bytes);
    }
    if i32::try_from(bytes_before).is_err() {
        return exec_err!("over 2 GiB of distinct strings at once: compute fewer days");
    }
    let (mut ends, mut copied) = (vec![0; texts_before + 1], vec![0; bytes_before]);
    for Loose { texts, groups } in loose {
        for (text, group) in texts.iter().flatten().zip(groups) {
            let (place, start) = &mut next[group as usize];
            let end = *start + text.len();
            copied[*start..end].copy_from_slice(text.as_bytes());
            ends[*place + 1] = end as i32;
            (*place, *start) = (*place + 1, end);
        }
    }
    let texts = StringArray::try_new(OffsetBuffer::new(ends.into()), copied.into(), None)?;
    Ok((lengths, Arc::new(texts)))
}
