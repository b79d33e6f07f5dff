use std::cell::Cell;
use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const SECOND: i64 = 1_000;

/// An alert that has begun, at 0.
struct World {
    state: AlertState,
    policy: Policy,
    hushed: Cell<bool>,
    /// By how much the clock on the wall was set wrong.
    wrong_ms: i64,
}

impl World {
    fn new(after_ms: i64, repeat_ms: Option<i64>) -> Self {
        let policy = Policy {
            alert: "ruptura".to_owned(),
            severity: "warning".to_owned(),
            after_ms,
            repeat_ms,
            destinations: vec!["operacao/alertas".to_owned()],
        };
        let mut world = Self { state: AlertState::default(), policy, hushed: Cell::new(false), wrong_ms: 0 };
        world.step(0, &[]);
        world
    }

    fn step_on(&mut self, now_ms: i64, keys: &[&str], is_past: bool) -> Vec<Transition> {
        let found = Found::of_rows(keys.iter().map(|key| ((*key).to_owned(), "{}".to_owned())));
        let moment = Moment { now_ms: now_ms + self.wrong_ms, steady_ms: now_ms, is_past, versions: String::new() };
        let made = self.state.step(&self.policy, &found, &moment, &|_| self.hushed.get());
        made.iter().for_each(|transition| self.state.apply(transition, now_ms));
        made
    }

    /// What is made, and whether somebody is notified of it.
    fn step(&mut self, now_ms: i64, keys: &[&str]) -> Vec<(String, bool)> {
        let made = self.step_on(now_ms, keys, false);
        made.iter().map(|made| (made.id.clone(), !made.destinations.is_empty())).collect()
    }
}

fn sent(id: &str) -> Vec<(String, bool)> {
    vec![(id.to_owned(), true)]
}

fn unsent(id: &str) -> Vec<(String, bool)> {
    vec![(id.to_owned(), false)]
}

#[test]
fn a_key_fires_once_and_is_resolved_once() {
    let mut world = World::new(0, None);
    assert_eq!(world.step(SECOND, &["p1"]), sent("ruptura/p1/2/disparo"));
    assert!(world.step(2 * SECOND, &["p1"]).is_empty());
    assert_eq!(world.step(3 * SECOND, &[]), sent("ruptura/p1/2/resolucao"));
    assert!(world.step(4 * SECOND, &[]).is_empty());
    assert_eq!(world.step(5 * SECOND, &["p1"]), sent("ruptura/p1/4/disparo"), "another episode has another id");
}

#[test]
fn a_key_must_stay_before_it_fires() {
    let mut world = World::new(120 * SECOND, None);
    assert_eq!(world.step(SECOND, &["p1"]), unsent("ruptura/p1/2/pendente"));
    assert!(world.step(60 * SECOND, &["p1"]).is_empty());
    assert!(!world.state.is_due(&world.policy, 120 * SECOND) && world.state.is_due(&world.policy, 121 * SECOND));
    assert_eq!(world.step(121 * SECOND, &["p1"]), sent("ruptura/p1/2/disparo"));
    let mut world = World::new(120 * SECOND, None);
    world.step(SECOND, &["p1"]);
    assert_eq!(world.step(60 * SECOND, &[]), unsent("ruptura/p1/2/cancelado"));
    assert_eq!(world.step(61 * SECOND, &["p1"]), unsent("ruptura/p1/4/pendente"), "it begins again");
}

#[test]
fn what_fires_is_told_again() {
    let mut world = World::new(0, Some(60 * SECOND));
    world.step(SECOND, &["p1"]);
    assert!(world.step(60 * SECOND, &["p1"]).is_empty());
    assert_eq!(world.step(61 * SECOND, &["p1"]), sent("ruptura/p1/2/repeticao-1"));
    assert!(world.step(62 * SECOND, &["p1"]).is_empty());
    assert_eq!(world.step(121 * SECOND, &["p1"]), sent("ruptura/p1/2/repeticao-2"));
}

#[test]
fn lengths_of_time_do_not_follow_a_clock_that_is_set() {
    for wrong_ms in [-3_600 * SECOND, 3_600 * SECOND] {
        let mut world = World::new(120 * SECOND, Some(60 * SECOND));
        world.step(SECOND, &["p1"]);
        world.wrong_ms = wrong_ms;
        assert!(world.step(120 * SECOND, &["p1"]).is_empty(), "not yet");
        assert_eq!(world.step(121 * SECOND, &["p1"]), sent("ruptura/p1/2/disparo"));
        world.wrong_ms = -wrong_ms;
        assert!(world.step(180 * SECOND, &["p1"]).is_empty(), "not again yet");
        assert_eq!(world.step(181 * SECOND, &["p1"]), sent("ruptura/p1/2/repeticao-1"));
    }
}

#[test]
fn a_report_that_was_made_ahead_of_time_does_not_hold_up_those_of_a_corrected_clock() {
    let mut world = World::new(0, None);
    let moment = Moment { now_ms: 900 * SECOND, ..Moment::default() };
    let made = world.state.report(&world.policy, &moment, "2030-01-01", 1, "[]".to_owned());
    made.iter().for_each(|transition| world.state.apply(transition, 0));
    assert_eq!((world.state.last_ms(901 * SECOND), world.state.last_day()), (Some(900 * SECOND), Some("2030-01-01")));
    world.state.forget_future(5 * SECOND);
    assert_eq!(world.state.last_ms(901 * SECOND), Some(5 * SECOND));
}

#[test]
fn a_new_alert_and_a_correction_are_silent_for_the_past() {
    let mut world = World::new(0, Some(60 * SECOND));
    world.state = AlertState::default();
    let made = world.step(SECOND, &["p1"]);
    assert_eq!(made[1], ("ruptura/p1/2/disparo".to_owned(), false), "{made:?}");
    assert!(world.step(9_999 * SECOND, &["p1"]).is_empty(), "nor is it notified again");
    assert_eq!(world.step(10_000 * SECOND, &["p2"])[0], ("ruptura/p2/3/disparo".to_owned(), true));
    let corrected = world.step_on(10_001 * SECOND, &["p2", "p3"], true);
    assert_eq!((corrected.len(), corrected[0].hush), (1, Some(Hush::Past)));
    assert_eq!(world.step(10_002 * SECOND, &["p2"]), unsent("ruptura/p3/5/resolucao"), "nobody had heard of it");
}

#[test]
fn a_silence_delays_the_news_and_never_hides_an_end() {
    let mut world = World::new(0, Some(60 * SECOND));
    world.hushed.set(true);
    assert_eq!(world.step(SECOND, &["p1"]), unsent("ruptura/p1/2/disparo"));
    assert!(world.step(70 * SECOND, &["p1"]).is_empty());
    world.hushed.set(false);
    assert_eq!(world.step(71 * SECOND, &["p1"]), sent("ruptura/p1/2/disparo"));
    world.hushed.set(true);
    assert!(world.step(999 * SECOND, &["p1"]).is_empty(), "repeats are silenced");
    assert_eq!(world.step(1_000 * SECOND, &[]), sent("ruptura/p1/2/resolucao"));
}

#[test]
fn a_failure_neither_fires_nor_resolves() {
    let mut world = World::new(0, None);
    world.step(SECOND, &["p1"]);
    let moment = Moment { now_ms: 2 * SECOND, ..Moment::default() };
    let failed = world.state.fail(&world.policy, &moment, "a cast fails");
    assert_eq!((failed.len(), failed[0].kind, failed[0].content.as_str()), (1, TransitionKind::Failed, "a cast fails"));
    failed.iter().for_each(|transition| world.state.apply(transition, 2 * SECOND));
    assert!(world.state.fail(&world.policy, &moment, "a cast fails").is_empty(), "it is said once");
    let after = world.step_on(3 * SECOND, &["p1"], false);
    assert_eq!(after.iter().map(|made| made.kind).collect::<Vec<_>>(), [TransitionKind::Recovered]);
}

#[test]
fn ids_are_visible_ascii() {
    assert_eq!(id("ruptura", "São Paulo/1%", 7, "disparo"), "ruptura/S%C3%A3o%20Paulo%2F1%25/7/disparo");
}

proptest! {
    /// Whatever comes and goes, and wherever a process dies: episodes fire once and are resolved
    /// once, in this order.
    #[test]
    fn every_episode_fires_once_at_most_and_ends_once(
        steps in proptest::collection::vec((0_u8..8, 1_i64..200, any::<bool>(), any::<bool>()), 1..60),
        after_ms in prop_oneof![Just(0), Just(100)],
    ) {
        let mut world = World::new(after_ms, Some(150));
        let (mut now_ms, mut log) = (0, Vec::new());
        for (present, passed_ms, is_hushed, dies) in steps {
            now_ms += passed_ms;
            world.hushed.set(is_hushed);
            let keys: Vec<&str> = ["a", "b", "c"].into_iter().enumerate()
                .filter(|(index, _)| present >> index & 1 == 1).map(|(_, key)| key).collect();
            log.extend(world.step_on(now_ms, &keys, false));
            if dies {
                // The next start knows what was committed, and that alone.
                let mut again = AlertState::default();
                again.apply(&Transition { kind: TransitionKind::Began, ..log_start() }, 0);
                log.iter().for_each(|transition| again.apply(transition, transition.at_ms));
                world.state = again;
            }
        }
        log.extend(world.step_on(now_ms + 1, &[], false));
        let numbers: Vec<i64> = log.iter().map(|made| made.number).collect();
        prop_assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
        let episodes: BTreeSet<(String, i64)> = log.iter().map(|made| (made.key.clone(), made.episode)).collect();
        for (key, episode) in episodes {
            let of = |kind| log.iter().filter(|made| made.key == key && made.episode == episode && made.kind == kind).count();
            let (fired, resolved) = (of(TransitionKind::Fired), of(TransitionKind::Resolved));
            prop_assert_eq!(fired + of(TransitionKind::Withdrawn), 1);
            prop_assert_eq!(fired, resolved);
        }
        let sent: Vec<&String> = log.iter().filter(|made| !made.destinations.is_empty()).map(|made| &made.id).collect();
        prop_assert_eq!(sent.iter().collect::<BTreeSet<_>>().len(), sent.len(), "no id is sent for two things");
    }
}

/// As it is made when an alert begins.
fn log_start() -> Transition {
    let moment = Moment::default();
    let mut maker = Maker { policy: &Policy::default(), moment: &moment, number: 0, made: Vec::new() };
    maker.begin();
    maker.made.remove(0)
}
