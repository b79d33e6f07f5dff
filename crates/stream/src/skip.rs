//! Ranges of offsets that somebody wants to pass over: `vitral stream --skip
//! TOPIC/PARTITION:FROM-TO`.

use std::fmt;
use std::str::FromStr;

use vitral_schemas::position::{Offset, PartitionId};
use vitral_store::archive::Skipped;

/// `first` to `last`, both included, of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skip {
    /// The topic's name in the catalog or in Kafka.
    pub topic: String,
    /// The partition's number.
    pub partition: PartitionId,
    /// The first offset that is passed over.
    pub first: Offset,
    /// The last one.
    pub last: Offset,
}

/// What is left to do of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    /// An earlier start has skipped it.
    Nothing,
    /// From here to the range's end.
    From(Offset),
}

/// A text that is not a [`Skip`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a range of offsets such as TOPIC/0:120-140, both included")]
pub struct NotASkip(String);

impl FromStr for Skip {
    type Err = NotASkip;

    fn from_str(text: &str) -> Result<Self, NotASkip> {
        let read = || {
            let (topic, range) = text.split_once('/')?;
            let (partition, offsets) = range.split_once(':')?;
            let (first, last) = offsets.split_once('-')?;
            let number = |text: &str| text.parse::<i64>().ok().filter(|number| (0..i64::MAX).contains(number));
            let partition = PartitionId(i32::try_from(number(partition)?).ok()?);
            let (first, last) = (Offset(number(first)?), Offset(number(last)?));
            Some(Self { topic: topic.to_owned(), partition, first, last })
        };
        read().filter(|skip| !skip.topic.is_empty() && skip.first <= skip.last).ok_or_else(|| NotASkip(text.to_owned()))
    }
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}:{}-{}", self.topic, self.partition, self.first, self.last)
    }
}

impl Skip {
    /// What is left of it where reading is at `at`, the partition ends before `end`, and these
    /// ranges of the partition were skipped already. Nothing that can be read is passed over unless
    /// it is named, and nothing that does not exist yet.
    pub(crate) fn left(&self, at: Offset, end: Offset, skipped: &[Skipped]) -> Result<Left, String> {
        if skipped.iter().any(|range| self.first <= range.first && range.last == self.last) {
            return Ok(Left::Nothing);
        }
        if at > self.last {
            return Err(format!("reading has already passed it and is at offset {at}: leave the flag out"));
        }
        if at < self.first {
            return Err(format!(
                "reading is at offset {at}, and what lies between would be skipped without being listed: begin the range with {at}"
            ));
        }
        if self.last >= end {
            return Err(format!(
                "the partition ends before offset {end}, and messages that come later would be skipped: end the range before it"
            ));
        }
        Ok(Left::From(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_and_written() {
        let skip: Skip = "eventos.clientes-1/12:5-900".parse().expect("a range");
        assert_eq!(
            skip,
            Skip {
                topic: "eventos.clientes-1".to_owned(),
                partition: PartitionId(12),
                first: Offset(5),
                last: Offset(900),
            }
        );
        assert_eq!(skip.to_string(), "eventos.clientes-1/12:5-900");
        for wrong in
            ["", "t", "t/0", "t/0:1", "t/0:2-1", "/0:1-2", "t/-1:1-2", "t/0:-1-2", "t/x:1-2", "t/0:1-", "t:0:1-2"]
        {
            assert!(wrong.parse::<Skip>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_what_was_named_and_is_there_is_skipped() {
        let skip: Skip = "t/0:10-19".parse().expect("a range");
        let left = |at, end, skipped: &[(i64, i64)]| {
            let range = |(first, last): &(i64, i64)| {
                let (first, last) = (Offset(*first), Offset(*last));
                Skipped { partition: PartitionId(0), first, last }
            };
            skip.left(Offset(at), Offset(end), &skipped.iter().map(range).collect::<Vec<_>>())
        };
        let from = |offset| Ok(Left::From(Offset(offset)));
        assert_eq!(left(10, 100, &[]), from(10));
        assert_eq!(left(15, 100, &[]), from(15), "the first ones were read");
        assert_eq!(left(19, 20, &[]), from(19));
        assert!(left(20, 100, &[]).expect_err("past").contains("is at offset 20"));
        assert!(left(9, 100, &[]).expect_err("before").contains("begin the range with 9"));
        assert!(left(10, 19, &[]).expect_err("beyond the end").contains("ends before offset 19"));
        assert_eq!(left(20, 100, &[(10, 19)]), Ok(Left::Nothing), "the same command again");
        assert_eq!(left(500, 1_000, &[(15, 19)]), Ok(Left::Nothing));
        assert!(left(20, 100, &[(5, 19)]).is_err(), "another range");
    }
}
