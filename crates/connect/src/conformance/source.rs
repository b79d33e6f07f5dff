//! What a source and its log must do.

use std::collections::{BTreeMap, BTreeSet};

use vitral_schemas::position::{Offset, PartitionId};

use super::{PATIENCE, POLL_WAIT, Read, TestTopic};

const FIRST: PartitionId = PartitionId(0);
const SECOND: PartitionId = PartitionId(1);

/// Messages are read from any position, in order and once each; ends are marked; partitions that
/// are held back lose nothing.
pub fn source_conforms(test: &impl TestTopic) {
    let mut source = test.connector().source(test.topic()).expect("a source");
    let log = source.log();
    assert_eq!(log.partitions().expect("the partitions"), [FIRST, SECOND]);
    assert_eq!(log.range(FIRST, PATIENCE).expect("its range"), Offset(0)..Offset(0));
    let identity = log.identity().expect("an identity");
    assert_eq!(log.identity().expect("an identity"), identity, "the same log");

    let from_the_beginning = BTreeMap::from([(FIRST, None), (SECOND, None)]);
    source.assign(&from_the_beginning).expect("assigned");
    let empty = Read::until(&mut *source, 10, |read| read.ends.len() == 2);
    assert_eq!(empty.messages, []);
    let ends: BTreeSet<_> = empty.ends.into_iter().collect();
    assert_eq!(ends, BTreeSet::from([(FIRST, Offset(0)), (SECOND, Offset(0))]));
    assert!(source.poll(POLL_WAIT, 10).expect("a poll").ends.is_empty(), "an end is marked once");

    for number in 0..25_u8 {
        test.append(FIRST, Some(b"k"), Some(&[number]));
    }
    test.append(SECOND, None, None);
    let all = |read: &Read| read.ends.contains(&(FIRST, Offset(25))) && read.ends.contains(&(SECOND, Offset(1)));
    let read = Read::until(&mut *source, 7, all);
    assert_eq!(read.offsets(FIRST), (0..25).collect::<Vec<_>>());
    let of_first = read.messages.iter().filter(|seen| seen.partition == FIRST);
    assert!(of_first.clone().zip(0..).all(|(seen, number)| seen.payload == Some(vec![number])));
    assert!(of_first.clone().all(|seen| seen.key.as_deref() == Some(b"k")));
    let tombstone = read.messages.iter().find(|seen| seen.partition == SECOND).expect("the tombstone");
    assert_eq!((tombstone.offset, &tombstone.key, &tombstone.payload), (Offset(0), &None, &None));
    assert_eq!(log.range(FIRST, PATIENCE).expect("its range"), Offset(0)..Offset(25));
    assert_eq!(source.known_end(FIRST), Some(Offset(25)));

    holds_back(test, &mut *source);

    // From the middle, and only what was assigned.
    source.assign(&BTreeMap::from([(FIRST, Some(Offset(20)))])).expect("assigned");
    assert!(!source.is_held(FIRST));
    let read = Read::until(&mut *source, 100, |read| read.ends.contains(&(FIRST, Offset(27))));
    assert_eq!((read.offsets(FIRST), read.offsets(SECOND)), ((20..27).collect(), vec![]));
    assert_eq!(log.identity().expect("an identity"), identity);
}

fn holds_back(test: &impl TestTopic, source: &mut dyn crate::Source) {
    source.hold(&BTreeSet::from([FIRST]));
    assert!(source.is_held(FIRST) && !source.is_held(SECOND));
    for payload in [b"held", b"back"] {
        test.append(FIRST, None, Some(payload));
        test.append(SECOND, None, Some(payload));
    }
    let read = Read::until(source, 100, |read| read.offsets(SECOND).len() == 2);
    assert_eq!(read.offsets(FIRST), Vec::<i64>::new(), "it waits");
    source.hold(&BTreeSet::new());
    assert!(!source.is_held(FIRST));
    let read = Read::until(source, 100, |read| read.offsets(FIRST).len() == 2);
    assert_eq!(read.offsets(FIRST), [25, 26]);
}
