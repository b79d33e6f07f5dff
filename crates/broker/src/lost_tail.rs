//! Logs that lost their last messages, though a reader had them: a machine that loses power may
//! lose what was not on its disk yet.

use std::io;

/// The offset behind the last message that a reader has of a partition, by the topic's name and
/// identity; none if it has none.
pub type Reached<'a> = &'a dyn Fn(&str, &str, i32) -> io::Result<Option<i64>>;

/// What is missing of a partition. Its log continues behind that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostTail {
    /// The topic's name.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// Where its log ended.
    pub end: i64,
    /// Where it continues.
    pub next: i64,
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;

    use super::*;
    use crate::batch::{Head, tests::batch};
    use crate::limits::Limits;
    use crate::log::PartitionLog;
    use crate::topics::Topics;

    fn append(log: &mut PartitionLog) -> i64 {
        let batch = batch(&["a message"]);
        let head = Head::read(&batch).expect("a head");
        log.append(&batch, &head, &Limits::default()).expect("appended").base_offset
    }

    /// The base offset of what is found at an offset.
    fn found(log: &PartitionLog, offset: i64) -> i64 {
        let stretch = log.stretch(offset).expect("read").expect("not the end");
        let bytes = stretch.read(offset, 1 << 20, true).expect("read");
        Head::read(&bytes).expect("a head").base_offset
    }

    /// What a machine that lost power leaves: the last batches are missing or torn, though a reader
    /// had them.
    #[test]
    fn a_log_that_lost_its_tail_continues_behind_what_was_read() {
        let dir = tempfile::tempdir().expect("a folder");
        let open = || PartitionLog::open(dir.path().to_owned()).expect("opened");
        let mut log = open();
        assert_eq!([(); 5].map(|()| append(&mut log)), [0, 1, 2, 3, 4]);
        drop(log);
        let path = std::fs::read_dir(dir.path()).expect("a folder").next().expect("a log").expect("an entry").path();
        let file = OpenOptions::new().write(true).open(path).expect("the log");
        file.set_len(file.metadata().expect("its length").len() * 3 / 5 - 7).expect("torn");

        let mut log = open();
        assert_eq!(log.continue_at(5).expect("continued"), Some(2));
        assert_eq!(append(&mut log), 5, "no offset means two messages");
        for (asked, there) in [(0, 0), (1, 1), (2, 5), (4, 5), (5, 5)] {
            assert_eq!(found(&log, asked), there, "offset {asked}");
        }
        drop(log);
        let mut log = open();
        assert_eq!(log.continue_at(5).expect("continued"), None, "said once");
        assert_eq!((append(&mut log), log.end_offset()), (6, 7));
    }

    #[test]
    fn each_partition_is_asked_for_by_the_identity_of_its_topic() {
        let dir = tempfile::tempdir().expect("a folder");
        let topics = Topics::open(dir.path().to_owned(), Limits::default()).expect("opened");
        let id = topics.create("events", 2).map_err(|refused| refused.reason).expect("created").id.to_string();
        let reached = |topic: &str, log: &str, partition: i32| {
            assert_eq!((topic, log), ("events", id.as_str()));
            Ok((partition == 1).then_some(3))
        };
        let lost = LostTail { topic: "events".to_owned(), partition: 1, end: 0, next: 3 };
        assert_eq!(topics.continue_behind(&reached).expect("continued"), [lost]);
        assert_eq!(topics.continue_behind(&reached).expect("continued"), []);
        let failed = topics.continue_behind(&|_, _, _| Err(io::Error::other("away"))).expect_err("nobody knows");
        assert!(failed.to_string().contains("cannot be continued"), "{failed}");
    }
}
