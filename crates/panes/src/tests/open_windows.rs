//! The rows of open windows are made when somebody asks: once, and as of the refresh that is asked
//! for.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use vitral_schemas::event_time::Watermark;
use vitral_schemas::topic::Topic;

use super::rows::{Event, batch, fold, panes, plan};
use crate::open_windows::OpenWindows;
use crate::split_by_window;
use crate::state::MetricPanes;

const COUNTS: &str = "CREATE MATERIALIZED VIEW m AS SELECT tumble(INTERVAL '1 minute') AS janela, count(*) AS n
    FROM eventos_clientes GROUP BY janela";
/// 2025-03-01T00:00:00Z.
const START_MS: i64 = 1_740_787_200_000;
const MINUTE_MS: i64 = 60_000;

fn event(minute: i64) -> Event {
    let time = format!("2025-03-01T00:{minute:02}:30Z");
    vec![("id_usuario", "u".into()), ("tipo_evento", "c".into()), ("timestamp", time)]
}

fn fold_minutes(panes: &mut MetricPanes, topic: &Topic, minutes: &[i64]) {
    let events: Vec<Event> = minutes.iter().map(|minute| event(*minute)).collect();
    fold(panes, topic, 0, &batch(topic, &events));
}

fn refresh(open: &OpenWindows, panes: &mut MetricPanes) -> OpenWindows {
    let touched = panes.take_dirty();
    open.refreshed(panes.states(), touched, 0)
}

/// All rows made at once.
fn eager(panes: &MetricPanes) -> BTreeMap<i64, RecordBatch> {
    let rows = panes.rows_of(|_| true).expect("finished");
    rows.iter().flat_map(|rows| split_by_window(rows).expect("split")).collect()
}

#[test]
fn touches_add_up_while_nobody_asks_and_a_later_refresh_goes_on_from_what_was_made() {
    let (topic, plan) = plan(COUNTS);
    let mut panes = panes(&plan);
    let mut open = OpenWindows::default();
    for round in 0..6 {
        fold_minutes(&mut panes, &topic, &[round, round, round % 2]);
        open = refresh(&open, &mut panes);
        assert!(!open.is_made() && open.row_bytes() == 0, "nothing is made for nobody");
    }
    assert_eq!(*open.rows(), eager(&panes));
    assert!(open.is_made());

    fold_minutes(&mut panes, &topic, &[3]);
    let next = refresh(&open, &mut panes);
    assert_eq!(*next.rows(), eager(&panes));
    let is_shared = |minute: i64| {
        let start_ms = START_MS + minute * MINUTE_MS;
        let [before, after] =
            [&open, &next].map(|open| open.rows()[&start_ms].column(0).to_data().buffers()[0].as_ptr());
        before == after
    };
    assert!(is_shared(2) && !is_shared(3), "only what was touched is made again");
}

#[test]
fn all_who_ask_of_one_refresh_share_its_rows() {
    let (topic, plan) = plan(COUNTS);
    let mut panes = panes(&plan);
    fold_minutes(&mut panes, &topic, &[0, 1]);
    let open = refresh(&OpenWindows::default(), &mut panes);
    // Another picture of the same refresh: a window was published since.
    let later = open.since(START_MS + MINUTE_MS).expect("a window is published");
    let place =
        |open: &OpenWindows| open.rows()[&(START_MS + MINUTE_MS)].column(0).to_data().buffers()[0].as_ptr() as usize;
    let places: Vec<usize> = std::thread::scope(|scope| {
        let readers: Vec<_> = [&open, &later, &open, &later].map(|open| scope.spawn(move || place(open))).into();
        readers.into_iter().map(|reader| reader.join().expect("a place")).collect()
    });
    assert!(places.iter().all(|place| *place == places[0]), "{places:?}");
}

#[test]
fn a_refresh_shows_the_states_as_they_were_then() {
    let (topic, plan) = plan(COUNTS);
    let mut panes = panes(&plan);
    fold_minutes(&mut panes, &topic, &[0, 1]);
    let open = refresh(&OpenWindows::default(), &mut panes);
    let then = eager(&panes);
    // Enough to merge runs, and to drop a pane.
    for _ in 0..40 {
        fold_minutes(&mut panes, &topic, &[0, 1]);
    }
    panes.evict(Watermark::from_ms(START_MS + MINUTE_MS), 0).expect("evicted");
    assert_eq!(*open.rows(), then);
}

/// A view may have states that were merged meanwhile: they are counted until its rows are made.
#[test]
fn states_that_only_a_view_has_are_counted_and_then_let_go() {
    let (topic, plan) = plan(COUNTS);
    let mut panes = panes(&plan);
    fold_minutes(&mut panes, &topic, &[0]);
    let open = refresh(&OpenWindows::default(), &mut panes);
    let of_one_run = panes.memory_bytes();
    for _ in 0..7 {
        fold_minutes(&mut panes, &topic, &[0]);
    }
    assert_eq!(panes.group_count(), 1, "eight runs are one now");
    let with_retired = panes.memory_bytes();
    open.rows();
    assert!(
        with_retired - panes.memory_bytes() == of_one_run,
        "{with_retired} - {} of {of_one_run}",
        panes.memory_bytes()
    );
}

#[test]
fn published_windows_leave_whether_their_rows_were_made_or_not() {
    let (topic, plan) = plan(COUNTS);
    for is_asked in [false, true] {
        let mut panes = panes(&plan);
        fold_minutes(&mut panes, &topic, &[0, 1, 2]);
        let open = refresh(&OpenWindows::default(), &mut panes);
        if is_asked {
            open.rows();
        }
        let second_ms = START_MS + MINUTE_MS;
        assert!(open.since(START_MS).is_none(), "none of them is");
        let open = open.since(second_ms).expect("the first is published");
        assert!(open.since(second_ms).is_none(), "it has left already");
        // More is published before the next refresh: another picture, as this one may still be
        // read.
        let third = open.since(second_ms + MINUTE_MS).expect("the second is published");
        assert!(third.since(second_ms).is_none(), "a publication that came before");
        assert_eq!(third.rows().keys().copied().collect::<Vec<_>>(), [second_ms + MINUTE_MS]);
        let starts = |open: &OpenWindows| open.rows().keys().copied().collect::<Vec<_>>();
        assert_eq!(starts(&open), [second_ms, second_ms + MINUTE_MS]);
        fold_minutes(&mut panes, &topic, &[4]);
        let next = refresh(&open, &mut panes);
        assert_eq!(starts(&next), [1, 2, 4].map(|minute| START_MS + minute * MINUTE_MS));
        assert_eq!(starts(&open), [second_ms, second_ms + MINUTE_MS]);
    }
}

#[test]
fn a_window_that_cannot_be_finished_is_missing_alone_and_says_why() {
    let (topic, plan) = plan(
        "CREATE MATERIALIZED VIEW m AS SELECT tumble(INTERVAL '1 minute') AS janela,
            count(*) / count(*) FILTER (WHERE tipo_evento = 'c') AS n FROM eventos_clientes GROUP BY janela",
    );
    let mut panes = panes(&plan);
    let other = |minute: i64| {
        let mut event = event(minute);
        event[1].1 = "v".to_owned();
        event
    };
    fold(&mut panes, &topic, 0, &batch(&topic, &[event(0), other(1)]));
    let open = refresh(&OpenWindows::default(), &mut panes);
    assert_eq!(open.known_unfinished().count(), 0, "nobody has asked");
    open.rows();
    let unfinished: Vec<_> =
        open.known_unfinished().map(|(start_ms, window)| (start_ms, window.reason.clone())).collect();
    assert_eq!(open.rows().keys().copied().collect::<Vec<_>>(), [START_MS]);
    let [(start_ms, reason)] = unfinished.as_slice() else { panic!("{unfinished:?}") };
    assert!(*start_ms == START_MS + MINUTE_MS && reason.contains("division by zero"), "{reason}");
    // Another window is touched: this one stays missing, until it is touched itself.
    fold_minutes(&mut panes, &topic, &[0]);
    let open = refresh(&open, &mut panes);
    open.rows();
    assert_eq!(open.known_unfinished().count(), 1);
    fold_minutes(&mut panes, &topic, &[1]);
    let open = refresh(&open, &mut panes);
    assert_eq!((open.rows().len(), open.known_unfinished().count()), (2, 0));
}
