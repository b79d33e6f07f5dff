//! The committed watermarks of partitions: over stops, over kills, and with a directory of an older
//! version.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use vitral_schemas::event_time::Watermark;
use vitral_schemas::position::PartitionId;
use vitral_schemas::time::Clock;
use vitral_schemas::verdict::Verdict;
use vitral_store::{Archive, ArchiveCommit, Location};
use vitral_stream::StreamConfig;

use crate::world::{
    Archived, HOUR_MS, MINUTE_MS, NOON_MS, Shop, archived, completeness, end, event_at, go_on_until, wait_for,
    wait_for_archive, wait_until,
};

/// What the archive in a data directory says of the topic and of partitions 0 and 1, in
/// milliseconds.
async fn committed(shop: &Shop, data_dir: &Path) -> [Option<i64>; 3] {
    let archive = open(shop, data_dir).await;
    let of_partition = |partition| archive.partition_watermark(PartitionId(partition)).map(Watermark::ms);
    [archive.watermark().map(Watermark::ms), of_partition(0), of_partition(1)]
}

async fn open(shop: &Shop, data_dir: &Path) -> Archive {
    let store = Location::folder(data_dir).expect("a folder");
    Archive::open(&shop.topic, &shop.log(), [0, 1].map(PartitionId), &store).await.expect("opened")
}

/// A data directory as a kill leaves it: as it is at one moment.
pub fn killed(data_dir: &Path) -> tempfile::TempDir {
    fn copy(from: &Path, to: &Path) {
        std::fs::create_dir_all(to).expect("a folder");
        let mut entries: Vec<_> =
            std::fs::read_dir(from).expect("a folder").map(|entry| entry.expect("an entry")).collect();
        // A table's log first: what it names is there already.
        entries.sort_by_key(|entry| entry.file_name() != "_delta_log");
        for entry in entries {
            let target = to.join(entry.file_name());
            match entry.file_type().expect("its kind").is_dir() {
                true => copy(&entry.path(), &target),
                // A file that was only for a while may have been deleted by now, as after a kill.
                false => match std::fs::copy(entry.path(), target) {
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    copied => drop(copied.expect("copied")),
                },
            }
        }
    }
    let killed = tempfile::tempdir().expect("a folder");
    copy(data_dir, killed.path());
    killed
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_was_idle_goes_on_after_a_stop_from_where_it_followed_to() {
    let (shop, clock) = Shop::at_noon(2);
    let dir = tempfile::tempdir().expect("a folder");
    let (stream, mut view) = shop.start(dir.path());
    for (id, partition) in [(0, 0), (1, 1)] {
        shop.produce_to(partition, &[event_at(id, "p1", "clique", NOON_MS)]);
    }
    let at_noon = Some(NOON_MS - shop.topic.watermark_ms);
    wait_for(&mut view, "both are read", |seen| seen.watermark.map(Watermark::ms) == at_noon).await;
    clock.set_ms(NOON_MS + 3 * HOUR_MS);
    let what = "partition 1 is idle, and follows";
    let seen = go_on_until(&shop, &clock, &mut view, what, |seen| seen.watermark.map(Watermark::ms) > at_noon).await;
    end(stream).await;
    let stood = completeness(&view.borrow()).watermark.map(Watermark::ms);
    assert!(stood >= seen.watermark.map(Watermark::ms));
    let [of_topic, of_active, of_idle] = committed(&shop, dir.path()).await;
    assert_eq!((of_topic, of_idle), (stood, stood));
    assert!(of_active >= stood);

    // It wakes behind the others: what it missed is late, and the topic waits for it where it
    // stands.
    let later_ms = clock.now_ms() + HOUR_MS;
    clock.set_ms(later_ms);
    let (stream, mut view) = shop.start(dir.path());
    let ready = wait_until(&mut view, "it goes on", |view| view.ready).await;
    let read = completeness(&ready).read;
    let stood_ms = stood.expect("a watermark");
    let oldest_ms = stood_ms - shop.topic.lateness_ms;
    shop.produce_to(1, &[event_at(10, "p1", "clique", oldest_ms - 1), event_at(11, "p1", "clique", oldest_ms)]);
    let seen = wait_for(&mut view, "what partition 1 has missed", |seen| seen.read == read + 2).await;
    assert_eq!((seen.late, seen.watermark.map(Watermark::ms)), (1, stood), "{seen:?}");
    shop.produce_to(0, &[event_at(12, "p1", "clique", later_ms)]);
    let seen = wait_for(&mut view, "partition 0 is ahead", |seen| seen.read == read + 3).await;
    assert_eq!(seen.watermark.map(Watermark::ms), stood, "{seen:?}");
    shop.produce_to(1, &[event_at(13, "p1", "clique", later_ms - 30 * MINUTE_MS)]);
    let raised = Some(later_ms - 30 * MINUTE_MS - shop.topic.watermark_ms);
    wait_for(&mut view, "the topic follows its slowest partition", |seen| seen.watermark.map(Watermark::ms) == raised)
        .await;
    end(stream).await;
    let ahead = Some(later_ms - shop.topic.watermark_ms);
    assert_eq!(committed(&shop, dir.path()).await, [raised, ahead, raised]);
}

/// Partition, and minutes after noon: some late, some just not, some ahead while the other
/// partition holds the topic back.
const EVENTS: [(i32, i64); 11] =
    [(0, 0), (1, 0), (0, 120), (1, -50), (1, 90), (0, 31), (1, 29), (0, 10), (1, 200), (0, 61), (1, 150)];

/// The verdicts of the events, each of which is classified by those before it, and the watermarks
/// that are committed in the end. The process is killed once it has read the event with this
/// number, whether that is committed by then or not.
async fn verdicts(killed_behind: Option<usize>) -> (Vec<Archived>, [Option<i64>; 3]) {
    let (shop, clock) = Shop::at_noon(2);
    clock.set_ms(NOON_MS + 6 * HOUR_MS);
    let mut dir = tempfile::tempdir().expect("a folder");
    let config = |data_dir: &Path| StreamConfig { commit_interval: Duration::from_millis(10), ..shop.config(data_dir) };
    let (mut stream, mut view) = shop.start_with(config(dir.path()));
    let mut next = [0, 0];
    for (index, (partition, minutes)) in EVENTS.into_iter().enumerate() {
        shop.produce_to(partition, &[event_at(index, "p1", "clique", NOON_MS + minutes * MINUTE_MS)]);
        next[partition as usize] += 1;
        if killed_behind == Some(index) {
            wait_for(&mut view, "it is read", |seen| seen.read == index as u64 + 1).await;
            let left = killed(dir.path());
            end(stream).await;
            dir = left;
            (stream, view) = shop.start_with(config(dir.path()));
        }
        wait_for_archive(&mut view, partition, next[partition as usize]).await;
    }
    end(stream).await;
    (archived(&view).await, committed(&shop, dir.path()).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn verdicts_are_the_same_wherever_a_process_is_killed() {
    let expected = verdicts(None).await;
    let late = expected.0.iter().filter(|row| row.verdict == Verdict::Late).count();
    assert_eq!((expected.0.len(), late), (EVENTS.len(), 2), "{expected:?}");
    for index in 0..EVENTS.len() {
        assert_eq!(verdicts(Some(index)).await, expected, "killed behind event {index}");
    }
}

/// An archive with the topic's watermark alone: every partition has it, and a row behind it is as
/// late as before.
#[tokio::test(flavor = "multi_thread")]
async fn an_archive_of_an_older_version_has_the_topics_watermark_for_all_partitions() {
    let (shop, clock) = Shop::at_noon(2);
    clock.set_ms(NOON_MS + 3 * HOUR_MS);
    let dir = tempfile::tempdir().expect("a folder");
    let noon = Watermark::from_ms(NOON_MS);
    let commit = ArchiveCommit { watermark: Some(noon), token: 1, ..ArchiveCommit::default() };
    open(&shop, dir.path()).await.commit(&commit).await.expect("committed");
    assert_eq!(committed(&shop, dir.path()).await, [Some(NOON_MS); 3]);

    let (stream, mut view) = shop.start(dir.path());
    let oldest_ms = NOON_MS - shop.topic.lateness_ms;
    let events = [event_at(0, "p1", "clique", oldest_ms - 1), event_at(1, "p1", "clique", oldest_ms)];
    shop.produce_to(1, &events);
    let seen = wait_for(&mut view, "both are read", |seen| seen.read == 2).await;
    assert_eq!((seen.late, seen.counted, seen.watermark.map(Watermark::ms)), (1, 1, Some(NOON_MS)), "{seen:?}");
    shop.produce_to(0, &[event_at(2, "p1", "clique", NOON_MS + 2 * HOUR_MS)]);
    wait_for(&mut view, "partition 0 is ahead", |seen| seen.read == 3).await;
    end(stream).await;
    let ahead = NOON_MS + 2 * HOUR_MS - shop.topic.watermark_ms;
    assert_eq!(committed(&shop, dir.path()).await, [NOON_MS, ahead, NOON_MS].map(Some));
}
