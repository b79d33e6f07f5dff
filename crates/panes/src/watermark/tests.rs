use proptest::prelude::*;
use vitral_schemas::event_time::{EventTime, Watermark};
use vitral_schemas::position::PartitionId;

use super::Watermarks;

const NOW: i64 = 1_000_000;

fn two_partitions() -> Watermarks {
    let mut watermarks = Watermarks::new(10_000, 30_000, None);
    watermarks.add_partition(PartitionId(0), None);
    watermarks.add_partition(PartitionId(1), None);
    watermarks
}

fn of_topic_ms(watermarks: &Watermarks) -> Option<i64> {
    watermarks.of_topic().map(Watermark::ms)
}

fn of_partition_ms(watermarks: &Watermarks, partition: i32) -> Option<i64> {
    let mut known = watermarks.by_partition().filter(|(id, _)| *id == PartitionId(partition));
    known.next().map(|(_, watermark)| watermark.ms())
}

#[test]
fn undefined_until_every_partition_is_known() {
    let mut watermarks = two_partitions();
    watermarks.observe_event(PartitionId(0), EventTime::from_ms(500_000));
    assert!(!watermarks.advance(NOW, NOW));
    assert_eq!(of_topic_ms(&watermarks), None);
    watermarks.observe_event(PartitionId(1), EventTime::from_ms(400_000));
    assert!(watermarks.advance(NOW, NOW));
    assert_eq!(of_topic_ms(&watermarks), Some(390_000));
}

#[test]
fn windows_are_open_from_the_first_event_until_there_is_a_watermark() {
    let mut watermarks = two_partitions();
    assert_eq!(watermarks.open_since(), None);
    watermarks.observe_event(PartitionId(0), EventTime::from_ms(500_000));
    watermarks.observe_event(PartitionId(0), EventTime::from_ms(700_000));
    assert_eq!(watermarks.open_since(), Some(EventTime::from_ms(500_000)));
    let reached = [(PartitionId(0), Some(EventTime::from_ms(700_000))), (PartitionId(1), None)];
    assert_eq!(watermarks.reached().collect::<Vec<_>>(), reached);
    watermarks.observe_event(PartitionId(1), EventTime::from_ms(600_000));
    assert!(watermarks.advance(NOW, NOW));
    watermarks.observe_event(PartitionId(1), EventTime::from_ms(100_000));
    assert_eq!(watermarks.open_since(), Some(EventTime::from_ms(590_000)));
}

#[test]
fn never_goes_back_and_never_passes_the_clock() {
    let mut watermarks = two_partitions();
    watermarks.observe_event(PartitionId(0), EventTime::from_ms(NOW + 59 * 60_000));
    watermarks.observe_event(PartitionId(1), EventTime::from_ms(NOW + 59 * 60_000));
    assert!(watermarks.advance(NOW, NOW));
    assert_eq!(of_topic_ms(&watermarks), Some(NOW - 10_000));
    assert!(!watermarks.advance(NOW - 500_000, NOW - 500_000), "a clock that steps back");
    assert_eq!(of_topic_ms(&watermarks), Some(NOW - 10_000));
}

#[test]
fn idle_only_at_the_end_for_long_enough_and_not_paused() {
    let mut watermarks = two_partitions();
    watermarks.observe_event(PartitionId(0), EventTime::from_ms(900_000));
    watermarks.observe_end(PartitionId(1), NOW);
    assert!(!watermarks.advance(NOW + 29_999, NOW + 29_999));
    watermarks.observe_more(PartitionId(0), NOW);
    assert_eq!(watermarks.unchecked(NOW + 14_999), Vec::<PartitionId>::new());
    assert_eq!(watermarks.unchecked(NOW + 15_000), [0, 1].map(PartitionId));
    watermarks.observe_end(PartitionId(1), NOW + 20_000);
    assert!(!watermarks.advance(NOW + 30_000, NOW + 30_000), "a broker that does not answer may have more");
    watermarks.observe_end(PartitionId(1), NOW + 30_000);
    assert!(watermarks.advance(NOW + 30_000, NOW + 30_000), "a second end does not start the time again");
    assert_eq!(of_topic_ms(&watermarks), Some(890_000));
    assert_eq!(watermarks.idle_partitions(NOW + 30_000).collect::<Vec<_>>(), [PartitionId(1)]);
    assert_eq!(watermarks.idle_partitions(NOW + 49_999).count(), 1);
    assert_eq!(watermarks.idle_partitions(NOW + 50_000).count(), 0);

    let mut watermarks = two_partitions();
    watermarks.observe_event(PartitionId(0), EventTime::from_ms(900_000));
    watermarks.observe_end(PartitionId(1), NOW);
    watermarks.observe_pause();
    assert!(!watermarks.advance(NOW + 60_000, NOW + 60_000), "a paused partition must not look idle");

    let mut watermarks = two_partitions();
    watermarks.observe_event(PartitionId(0), EventTime::from_ms(900_000));
    watermarks.observe_end(PartitionId(1), NOW);
    watermarks.observe_delivery(PartitionId(1));
    assert!(!watermarks.advance(NOW + 60_000, NOW + 60_000));
}

#[test]
fn a_wall_clock_that_steps_back_does_not_delay_idleness() {
    let mut watermarks = two_partitions();
    watermarks.observe_event(PartitionId(0), EventTime::from_ms(900_000));
    watermarks.observe_end(PartitionId(1), 0);
    watermarks.observe_end(PartitionId(1), 30_000);
    assert!(watermarks.advance(NOW - 3_600_000, 30_000), "the wall clock is an hour slow");
}

#[test]
fn stays_when_all_are_idle() {
    let mut watermarks = two_partitions();
    for partition in [0, 1] {
        watermarks.observe_event(PartitionId(partition), EventTime::from_ms(500_000));
    }
    watermarks.advance(NOW, NOW);
    for partition in [0, 1] {
        watermarks.observe_event(PartitionId(partition), EventTime::from_ms(600_000));
        watermarks.observe_end(PartitionId(partition), NOW);
        watermarks.observe_end(PartitionId(partition), NOW + 30_000);
    }
    assert!(!watermarks.advance(NOW + 40_000, NOW + 40_000));
    assert_eq!(of_topic_ms(&watermarks), Some(490_000));
}

#[test]
fn partitions_without_an_event_join_the_others_when_all_become_idle_at_once() {
    let mut watermarks = two_partitions();
    for partition in [0, 1] {
        watermarks.observe_end(PartitionId(partition), NOW);
        watermarks.observe_end(PartitionId(partition), NOW + 30_000);
    }
    assert!(!watermarks.advance(NOW + 30_000, NOW + 30_000), "nobody has had an event");
    let mut watermarks = two_partitions();
    watermarks.observe_event(PartitionId(0), EventTime::from_ms(500_000));
    watermarks.advance(NOW, NOW);
    for partition in [0, 1] {
        watermarks.observe_end(PartitionId(partition), NOW);
        watermarks.observe_end(PartitionId(partition), NOW + 30_000);
    }
    assert!(watermarks.advance(NOW + 30_000, NOW + 30_000));
    assert_eq!(of_topic_ms(&watermarks), Some(490_000));
}

#[test]
fn an_idle_partition_follows_the_others_and_goes_on_from_there() {
    let mut watermarks = two_partitions();
    watermarks.observe_event(PartitionId(0), EventTime::from_ms(500_000));
    watermarks.observe_event(PartitionId(1), EventTime::from_ms(100_000));
    watermarks.advance(NOW, NOW);
    assert_eq!((of_partition_ms(&watermarks, 0), of_partition_ms(&watermarks, 1)), (Some(490_000), Some(90_000)));
    watermarks.observe_end(PartitionId(1), NOW);
    watermarks.observe_end(PartitionId(1), NOW + 30_000);
    assert!(watermarks.advance(NOW + 30_000, NOW + 30_000));
    assert_eq!(of_partition_ms(&watermarks, 1), Some(490_000));
    // It wakes with an event that is older than what the others have come to.
    watermarks.observe_delivery(PartitionId(1));
    watermarks.observe_event(PartitionId(1), EventTime::from_ms(200_000));
    watermarks.observe_event(PartitionId(0), EventTime::from_ms(700_000));
    assert!(!watermarks.advance(NOW + 31_000, NOW + 31_000), "it holds the topic where it woke");
    assert_eq!((of_topic_ms(&watermarks), of_partition_ms(&watermarks, 0)), (Some(490_000), Some(690_000)));
    watermarks.observe_event(PartitionId(1), EventTime::from_ms(600_000));
    assert!(watermarks.advance(NOW + 32_000, NOW + 32_000));
    assert_eq!(of_topic_ms(&watermarks), Some(590_000));
}

#[test]
fn a_partition_without_a_commit_joins_where_the_topic_stands() {
    let mut watermarks = Watermarks::new(10_000, 30_000, Some(Watermark::from_ms(490_000)));
    watermarks.add_partition(PartitionId(0), Some(Watermark::from_ms(690_000)));
    watermarks.add_partition(PartitionId(1), None);
    assert_eq!((of_partition_ms(&watermarks, 0), of_partition_ms(&watermarks, 1)), (Some(690_000), Some(490_000)));
    assert!(!watermarks.advance(NOW, NOW));
    watermarks.observe_event(PartitionId(1), EventTime::from_ms(800_000));
    assert!(watermarks.advance(NOW, NOW));
    assert_eq!(of_topic_ms(&watermarks), Some(690_000));
}

/// What happens to one of three partitions.
#[derive(Debug, Clone, Copy)]
enum Step {
    Event(i32, i64),
    End(i32),
    Wait(i64),
    /// The process dies, and the next one takes what was committed with the last commit.
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        5 => (0..3, 0..900_000_i64).prop_map(|(partition, ms)| Step::Event(partition, ms)),
        3 => (0..3).prop_map(Step::End),
        2 => (1_000..40_000_i64).prop_map(Step::Wait),
        1 => Just(Step::Restart),
    ];
    proptest::collection::vec(step, 1..80)
}

/// The rule for the topic as it was before partitions had watermarks of their own: the smallest
/// over those that are not idle.
#[derive(Clone, Default)]
struct OfTopicAlone {
    newest_ms: [Option<i64>; 3],
    of_topic_ms: Option<i64>,
}

impl OfTopicAlone {
    fn advance(&mut self, is_idle: impl Fn(i32) -> bool) {
        let active = (0..3).zip(self.newest_ms).filter(|(partition, _)| !is_idle(*partition));
        let smallest = active.map(|(_, newest_ms)| newest_ms).min().flatten();
        self.of_topic_ms = self.of_topic_ms.max(smallest.map(|newest_ms| newest_ms.min(NOW) - 10_000));
    }
}

proptest! {
    #[test]
    fn partitions_never_go_back_and_the_topic_stands_where_it_always_stood(steps in steps()) {
        let start = |committed: &Watermarks| {
            let mut watermarks = Watermarks::new(10_000, 30_000, committed.of_topic());
            for partition in (0..3).map(PartitionId) {
                let of_partition = committed.by_partition().find(|(id, _)| *id == partition).map(|(_, watermark)| watermark);
                watermarks.add_partition(partition, of_partition);
            }
            for (partition, newest) in committed.newest_events() {
                watermarks.observe_event(partition, newest);
            }
            watermarks
        };
        let mut watermarks = start(&Watermarks::new(10_000, 30_000, None));
        let mut reference = OfTopicAlone::default();
        let mut steady_ms = 0;
        for step in steps {
            let before: Vec<_> = watermarks.by_partition().collect();
            match step {
                Step::Event(partition, ms) => {
                    watermarks.observe_delivery(PartitionId(partition));
                    watermarks.observe_event(PartitionId(partition), EventTime::from_ms(ms));
                    let newest_ms = &mut reference.newest_ms[partition as usize];
                    *newest_ms = (*newest_ms).max(Some(ms));
                }
                Step::End(partition) => watermarks.observe_end(PartitionId(partition), steady_ms),
                Step::Wait(ms) => steady_ms += ms,
                Step::Restart => watermarks = start(&watermarks),
            }
            let idle: Vec<_> = watermarks.idle_partitions(steady_ms).collect();
            watermarks.advance(NOW, steady_ms);
            reference.advance(|partition| idle.contains(&PartitionId(partition)));
            if idle.len() == 3 && reference.of_topic_ms.is_none() {
                // The former rule had no watermark forever where all became idle at once.
                prop_assert_eq!(watermarks.of_topic().is_some(), reference.newest_ms.iter().any(Option::is_some));
                reference.of_topic_ms = of_topic_ms(&watermarks);
            }
            prop_assert_eq!(of_topic_ms(&watermarks), reference.of_topic_ms);
            for (partition, watermark) in before {
                prop_assert!(of_partition_ms(&watermarks, partition.0) >= Some(watermark.ms()));
            }
        }
    }
}
