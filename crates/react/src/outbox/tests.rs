use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};

use vitral_connect::{ConnectError, Notification, Notifier};
use vitral_store::alerts::TransitionKind;

use super::*;

/// Behaves as a test wants it, and keeps what it has accepted.
#[derive(Debug)]
struct Receiver {
    behaviour: Behaviour,
    attempts: AtomicI64,
    accepted: Mutex<Vec<String>>,
}

#[derive(Debug, Clone, Copy)]
enum Behaviour {
    Accepts,
    /// Answers 500 to so many attempts.
    Fails(i64),
    /// Answers 500 to this key.
    Refuses(&'static str),
    /// Takes what it gets and says nothing.
    Hangs,
    Panics,
}

impl Receiver {
    fn new(behaviour: Behaviour) -> Arc<Self> {
        Arc::new(Self { behaviour, attempts: AtomicI64::new(0), accepted: Mutex::default() })
    }

    fn accepted(&self) -> Vec<String> {
        self.accepted.lock().expect("no panic").clone()
    }
}

#[async_trait::async_trait]
impl Notifier for Receiver {
    async fn deliver(&self, notification: &Notification) -> Result<(), ConnectError> {
        let attempt = self.attempts.fetch_add(1, Ordering::SeqCst);
        match self.behaviour {
            Behaviour::Fails(count) if attempt < count => {
                return Err(ConnectError::outage("500 Internal Server Error"));
            }
            Behaviour::Hangs => std::future::pending().await,
            Behaviour::Panics => panic!("a notifier with a mistake"),
            Behaviour::Refuses(key) if notification.key == key => {
                return Err(ConnectError::passing("500 Internal Server Error"));
            }
            Behaviour::Accepts | Behaviour::Fails(_) | Behaviour::Refuses(_) => {}
        }
        self.accepted.lock().expect("no panic").push(notification.id.clone());
        Ok(())
    }
}

fn outbox(receivers: &[(&str, &Arc<Receiver>)]) -> Outbox {
    let mut notifiers = Notifiers::default();
    for (name, receiver) in receivers {
        notifiers.add(Destination::parse(name), Arc::clone(receiver) as _);
    }
    let (first, longest) = (Duration::from_millis(1), Duration::from_millis(2));
    let pace = Pace {
        retries: RetryPolicy::endless(first, longest),
        attempt_max: Duration::from_millis(50),
        patience: Duration::from_millis(100),
    };
    Outbox { pace, ..Outbox::new(notifiers, chrono_tz::UTC) }
}

/// One of a key that is figures to nobody.
pub(super) fn transition_of(key: &str, number: i64) -> Transition {
    let id = format!("ruptura/{key}/{number}/disparo");
    Transition { key: key.to_owned(), id, ..transition(number, &[]) }
}

fn transition(number: i64, destinations: &[&str]) -> Transition {
    Transition {
        alert: "ruptura".to_owned(),
        key: format!("p{number}"),
        episode: number,
        number,
        kind: TransitionKind::Fired,
        at_ms: number,
        since_ms: number,
        severity: "warning".to_owned(),
        rows: 0,
        content: String::new(),
        versions: String::new(),
        destinations: destinations.iter().map(|name| (*name).to_owned()).collect(),
        hush: None,
        id: format!("ruptura/p{number}/{number}/disparo"),
    }
}

/// Goes on until it holds; what was accepted or refused meanwhile.
async fn run_until(outbox: &mut Outbox, holds: impl Fn(&[Delivered]) -> bool) -> Vec<Delivered> {
    let (began, mut delivered) = (Instant::now(), Vec::new());
    while !holds(&delivered) {
        assert!(began.elapsed() < Duration::from_secs(30), "{} were delivered", delivered.len());
        outbox.deliver();
        let _ = tokio::time::timeout(Duration::from_millis(5), outbox.wait()).await;
        delivered.extend(outbox.accepted());
    }
    delivered
}

#[tokio::test]
async fn one_that_answers_500_for_long_gets_everything_later_and_in_order() {
    // It is back when the first is tried.
    let (failing, other) = (Receiver::new(Behaviour::Fails(69)), Receiver::new(Behaviour::Accepts));
    let mut outbox = outbox(&[("falho/x", &failing), ("outro/x", &other)]);
    (1..=3).for_each(|number| outbox.add(&transition(number, &["falho/x", "outro/x"])));
    let delivered = run_until(&mut outbox, |delivered| delivered.len() == 6).await;
    assert_eq!(failing.accepted(), other.accepted());
    assert_eq!(failing.accepted().len(), 3);
    let is_first = |of: &&Delivered| of.destination == "falho/x" && of.id == "ruptura/p1/1/disparo";
    let first = delivered.iter().find(is_first).expect("delivered");
    assert!(first.attempts > 30 && first.refusal.is_none(), "{first:?}");
    assert!(delivered[..3].iter().all(|of| of.destination == "outro/x"), "the other does not wait: {delivered:?}");
}

#[tokio::test]
async fn an_end_follows_its_beginning_even_if_the_clock_was_set_back_in_between() {
    let receiver = Receiver::new(Behaviour::Accepts);
    let mut outbox = outbox(&[("outro/x", &receiver)]);
    let fired = transition(5, &["outro/x"]);
    let resolved = Transition { number: 6, at_ms: 1, id: "ruptura/p5/5/resolucao".to_owned(), ..fired.clone() };
    let other = Transition { number: 7, at_ms: 2, ..transition(7, &["outro/x"]) };
    outbox.fill(&[fired, resolved, other], &[]);
    run_until(&mut outbox, |delivered| delivered.len() == 3).await;
    assert_eq!(receiver.accepted(), ["ruptura/p7/7/disparo", "ruptura/p5/5/disparo", "ruptura/p5/5/resolucao"]);
}

#[tokio::test]
async fn one_that_hangs_holds_nobody_up_and_is_asked_again() {
    let (hanging, other) = (Receiver::new(Behaviour::Hangs), Receiver::new(Behaviour::Accepts));
    let mut outbox = outbox(&[("preso/x", &hanging), ("outro/x", &other)]);
    // Far more than is kept in memory.
    let all: Vec<Transition> = (1..=5_000).map(|number| transition(number, &["preso/x", "outro/x"])).collect();
    let mut delivered = Vec::new();
    for transition in &all {
        outbox.add(transition);
    }
    assert!(outbox.lines.values().all(|line| line.len() <= WAITING_MAX), "the rest waits in the table");
    let began = Instant::now();
    while other.accepted().len() < 5_000 {
        assert!(began.elapsed() < Duration::from_secs(30), "{}", other.accepted().len());
        outbox.deliver();
        let _ = tokio::time::timeout(Duration::from_millis(5), outbox.wait()).await;
        delivered.extend(outbox.accepted());
        if outbox.wants_more() {
            outbox.fill(&all, &delivered);
        }
        assert!(outbox.lines.values().all(|line| line.len() <= WAITING_MAX));
    }
    let ids: BTreeSet<String> = other.accepted().into_iter().collect();
    assert_eq!(ids.len(), 5_000, "each came once");
    assert!(delivered.iter().all(|of| of.destination == "outro/x"));
    let deadline = Instant::now();
    while hanging.attempts.load(Ordering::SeqCst) < 3 {
        assert!(deadline.elapsed() < Duration::from_secs(30), "an attempt without an answer ends");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn what_is_always_refused_is_set_aside_and_holds_up_nothing() {
    let receiver = Receiver::new(Behaviour::Refuses("p1"));
    let mut outbox = outbox(&[("exigente/x", &receiver)]);
    // A resolution of the same key, and others of which some come later.
    outbox.add(&transition(1, &["exigente/x"]));
    let resolved = Transition { number: 9, at_ms: 9, id: "ruptura/p1/1/resolucao".to_owned(), ..transition(1, &[]) };
    outbox.add(&Transition { destinations: vec!["exigente/x".to_owned()], ..resolved });
    outbox.add(&transition(2, &["exigente/x"]));
    run_until(&mut outbox, |delivered| delivered.len() == 1).await;
    assert_eq!(receiver.accepted(), ["ruptura/p2/2/disparo"]);
    let (began, mut number, mut delivered) = (Instant::now(), 2, Vec::new());
    while delivered.len() < 2 {
        assert!(began.elapsed() < Duration::from_secs(30), "it is set aside: {delivered:?}");
        number += 1;
        outbox.add(&transition(number, &["exigente/x"]));
        let of_others = run_until(&mut outbox, |delivered| {
            delivered.iter().any(|of| of.id == format!("ruptura/p{number}/{number}/disparo"))
        });
        delivered.extend(of_others.await.into_iter().filter(|of| of.id.starts_with("ruptura/p1/")));
    }
    assert_eq!([&delivered[0].id, &delivered[1].id], ["ruptura/p1/1/disparo", "ruptura/p1/1/resolucao"]);
    for of in &delivered {
        let reason = of.refusal.as_deref().unwrap_or_default();
        assert!(reason.contains("set aside after") && reason.contains("500 Internal Server Error"), "{of:?}");
    }
    assert!(outbox.failed().iter().all(|delay| delay.id.starts_with("ruptura/p1/")));
    assert!(outbox.passed_over().is_empty());
}

#[tokio::test]
async fn what_waits_is_reported_until_it_is_committed() {
    let receiver = Receiver::new(Behaviour::Refuses("p1"));
    let mut outbox = outbox(&[("exigente/x", &receiver)]);
    (1..=3).for_each(|number| outbox.add(&transition(number, &["exigente/x"])));
    let health = Health::default();
    let figures = |outbox: &Outbox| {
        outbox.report(&health);
        let figures = health.notifications().remove("exigente/x").expect("reported");
        (figures.waiting, figures.passed_over)
    };
    assert_eq!(figures(&outbox), (3, 0));
    let delivered = run_until(&mut outbox, |delivered| delivered.len() == 2).await;
    assert_eq!(figures(&outbox).0, 3, "they are not committed yet");
    outbox.committed(&delivered);
    let began = Instant::now();
    while figures(&outbox) != (1, 1) {
        assert!(began.elapsed() < Duration::from_secs(30), "{:?}", figures(&outbox));
        outbox.deliver();
        tokio::task::yield_now().await;
    }
    assert_eq!(health.notifications()["exigente/x"].failing.as_deref(), Some("500 Internal Server Error"));
}

#[tokio::test]
async fn a_notifier_that_panics_loses_nothing() {
    let (panicking, other) = (Receiver::new(Behaviour::Panics), Receiver::new(Behaviour::Accepts));
    let mut outbox = outbox(&[("quebrado/x", &panicking), ("outro/x", &other)]);
    let all = [transition(1, &["quebrado/x", "outro/x"])];
    outbox.add(&all[0]);
    run_until(&mut outbox, |delivered| delivered.len() == 1).await;
    let began = Instant::now();
    while panicking.attempts.load(Ordering::SeqCst) < 3 {
        assert!(began.elapsed() < Duration::from_secs(30), "it is tried again");
        tokio::time::sleep(Duration::from_millis(5)).await;
        outbox.deliver();
    }
    assert_eq!(other.accepted().len(), 1);
}

#[tokio::test]
async fn what_was_waited_for_is_kept_where_others_wait_for_room() {
    let mut outbox = outbox(&[]);
    let (sender, count) = (outbox.accepted.0.clone(), ACCEPTED_MAX + 10);
    let of = |number: usize| Delivered {
        id: number.to_string(),
        destination: "outro/x".to_owned(),
        at_ms: 0,
        refusal: None,
        attempts: 1,
    };
    let sending = tokio::spawn(async move {
        for number in 0..count {
            sender.send(of(number)).await.expect("somebody takes it");
        }
    });
    while outbox.accepted.0.capacity() > 0 {
        tokio::task::yield_now().await;
    }
    let delivered = run_until(&mut outbox, |delivered| delivered.len() == count).await;
    sending.await.expect("all are sent");
    assert!(delivered.iter().enumerate().all(|(number, of)| of.id == number.to_string()), "in their order");
}
