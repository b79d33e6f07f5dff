//! Alerts from committed rows to those who are notified, with processes that die in between.

mod catch_up;
mod clock;
mod counted;
mod failures;
mod imports;
mod levels;
mod world;

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use vitral_connect::memory::MemoryNotifier;
use vitral_connect::{ConnectError, Event, Notification, Notifier};
use vitral_store::Act;
use vitral_store::alerts::{Silence, TransitionKind, episode_rows, read_alerts, read_episodes};

use self::world::{World, many_alerts, run_until};

const RUPTURE: &str =
    "CREATE VIEW ruptura WITH (alert = 'p', notify = 'operacao') AS SELECT p, n FROM contagem WHERE n <= 0;";

/// Never takes anything.
#[derive(Debug)]
struct Away;

#[async_trait::async_trait]
impl Notifier for Away {
    async fn deliver(&self, _: &Notification) -> Result<(), ConnectError> {
        Err(ConnectError::outage("away"))
    }
}

/// Refuses everything for good.
#[derive(Debug)]
struct Refusing;

#[async_trait::async_trait]
impl Notifier for Refusing {
    async fn deliver(&self, _: &Notification) -> Result<(), ConnectError> {
        Err(ConnectError::permanent("not here"))
    }
}

/// Answers one key with an error, however often it comes.
#[derive(Debug, Default)]
struct Picky(MemoryNotifier);

#[async_trait::async_trait]
impl Notifier for Picky {
    async fn deliver(&self, notification: &Notification) -> Result<(), ConnectError> {
        match notification.key.as_str() {
            "x" => Err(ConnectError::passing("500 Internal Server Error")),
            _ => self.0.deliver(notification).await,
        }
    }
}

fn ids(notifier: &MemoryNotifier) -> Vec<String> {
    notifier.delivered().into_iter().map(|delivered| delivered.id).collect()
}

fn distinct(notifier: &MemoryNotifier) -> usize {
    ids(notifier).into_iter().collect::<BTreeSet<_>>().len()
}

async fn kinds(world: &World, kind: TransitionKind) -> usize {
    let (transitions, _) = read_alerts(&world.store).await.expect("read").expect("tables");
    transitions.iter().filter(|transition| transition.kind == kind).count()
}

#[tokio::test]
async fn a_key_that_comes_and_goes_is_reported_twice() {
    let world = World::new(RUPTURE);
    let notifier = Arc::new(MemoryNotifier::new());
    let mut alerts = world.alerts(&notifier);
    world.show(&[("a", 5)]);
    alerts.poll().await.expect("nothing is wrong");
    world.show(&[("a", 0), ("b", 3)]);
    run_until(&mut alerts, || ids(&notifier).len() == 1).await;
    let fired = &notifier.delivered()[0];
    assert_eq!((fired.event, fired.key.as_str(), fired.rows.as_str()), (Event::Fired, "a", r#"[{"p":"a","n":0}]"#));
    assert_eq!(world.states(), ["a disparado 1"]);
    world.show(&[("a", 7), ("b", 3)]);
    run_until(&mut alerts, || ids(&notifier).len() == 2).await;
    assert_eq!(ids(&notifier), ["ruptura/a/2/disparo", "ruptura/a/2/resolucao"]);
    assert_eq!(world.states(), ["a resolvido 1"]);
    alerts.poll().await.expect("nothing is wrong");
    assert_eq!((kinds(&world, TransitionKind::Fired).await, kinds(&world, TransitionKind::Resolved).await), (1, 1));
}

#[tokio::test]
async fn rows_that_were_there_before_the_alert_are_shown_and_not_told() {
    let world = World::new(RUPTURE);
    world.show(&[("a", 0)]);
    let notifier = Arc::new(MemoryNotifier::new());
    let mut alerts = world.alerts(&notifier);
    alerts.poll().await.expect("nothing is wrong");
    assert_eq!(world.states(), ["a disparado 1"]);
    world.show(&[("a", 0), ("b", 0)]);
    run_until(&mut alerts, || !ids(&notifier).is_empty()).await;
    assert_eq!(ids(&notifier), ["ruptura/b/3/disparo"]);
}

#[tokio::test]
async fn what_was_committed_before_a_process_died_is_delivered_by_the_next() {
    let world = World::new(RUPTURE);
    world.show(&[]);
    let mut first = world.alerts_telling(Arc::new(Away));
    first.poll().await.expect("nothing is wrong");
    world.show(&[("a", 0)]);
    first.poll().await.expect("the receiver that is away holds nothing up");
    assert_eq!(world.states(), ["a disparado 1"]);
    drop(first);

    let notifier = Arc::new(MemoryNotifier::new());
    let mut second = world.alerts(&notifier);
    run_until(&mut second, || ids(&notifier).len() == 1).await;
    world.show(&[]);
    run_until(&mut second, || ids(&notifier).len() == 2).await;
    second.poll().await.expect("nothing is wrong");
    drop(second);
    assert_eq!(ids(&notifier), ["ruptura/a/2/disparo", "ruptura/a/2/resolucao"]);
    assert_eq!(kinds(&world, TransitionKind::Fired).await, 1, "it was decided once");

    let mut third = world.alerts(&notifier);
    third.poll().await.expect("nothing is wrong");
    tokio::task::yield_now().await;
    third.poll().await.expect("nothing is wrong");
    assert_eq!(ids(&notifier).len(), 2, "nothing is delivered again once that is committed");
}

#[tokio::test]
async fn however_often_it_dies_there_is_one_fire_and_one_resolve() {
    const STARTS: u64 = 200;
    let world = World::new(RUPTURE);
    let notifier = Arc::new(MemoryNotifier::new());
    world.show(&[("a", 5)]);
    let began = std::time::Instant::now();
    world.alerts(&notifier).poll().await.expect("the alert begins");
    let whole = began.elapsed();
    let mut chance = 7_u64;
    for start in 0..STARTS {
        match start {
            60 => world.show(&[("a", 0)]),
            140 => world.show(&[("a", 5)]),
            _ => {}
        }
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // Some die before they have read what was committed, some after they have committed more.
        let life = whole * u32::try_from((chance >> 33) % 200).expect("few") / 100;
        let mut alerts = world.alerts(&notifier);
        let lives = async {
            loop {
                alerts.poll().await.expect("nothing is wrong");
                tokio::task::yield_now().await;
            }
        };
        // Dropped wherever it stands.
        let _: Result<(), _> = tokio::time::timeout(life, lives).await;
    }
    let mut last = world.alerts(&notifier);
    run_until(&mut last, || distinct(&notifier) == 2).await;
    assert_eq!((kinds(&world, TransitionKind::Fired).await, kinds(&world, TransitionKind::Resolved).await), (1, 1));
    println!("{} deliveries of 2 notifications over {STARTS} starts", ids(&notifier).len());
}

#[tokio::test]
async fn an_alert_that_fails_is_shown_alone() {
    let failing = format!(
        "{RUPTURE}\nCREATE VIEW falho WITH (alert = 'p', notify = 'operacao') AS SELECT p, 1 / n AS x FROM contagem WHERE 1 / n > 0;"
    );
    let world = World::new(&failing);
    let notifier = Arc::new(MemoryNotifier::new());
    let mut alerts = world.alerts(&notifier);
    world.show(&[("a", 1)]);
    alerts.poll().await.expect("nothing is wrong");
    assert_eq!(world.states(), ["a disparado 1"], "of falho, from before it was there");
    world.show(&[("a", 0)]);
    run_until(&mut alerts, || ids(&notifier).len() == 1).await;
    assert_eq!(ids(&notifier), ["ruptura/a/2/disparo"], "one fires, the other neither fires nor resolves");
    assert_eq!(world.states(), [" falha 0", "a disparado 1", "a disparado 1"]);
    world.show(&[("a", 1)]);
    run_until(&mut alerts, || world.states() == [" resolvido 0", "a disparado 1", "a resolvido 1"]).await;
}

#[tokio::test]
async fn a_metric_whose_committed_windows_are_not_known_is_waited_for() {
    let world = World::new(RUPTURE);
    let notifier = Arc::new(MemoryNotifier::new());
    let mut alerts = world.alerts(&notifier);
    world.show(&[("a", 0)]);
    alerts.poll().await.expect("nothing is wrong");
    world.hide();
    alerts.poll().await.expect("nothing is wrong");
    assert_eq!(world.states(), ["a disparado 1"], "nothing is resolved because a topic waits");
}

#[tokio::test]
async fn nobody_is_told_during_a_silence() {
    let world = World::new(RUPTURE);
    let notifier = Arc::new(MemoryNotifier::new());
    world.show(&[]);
    let mut alerts = world.alerts(&notifier);
    let until_ms = 3_600_000;
    let silence = Silence::new("ruptura", None, (0, until_ms), None);
    silence.record(&world.store, Act::of_command("silenciar", "ruptura")).await.expect("kept");
    alerts.poll().await.expect("nothing is wrong");
    world.set_now_ms(2_000);
    world.show(&[("a", 0)]);
    alerts.poll().await.expect("nothing is wrong");
    assert_eq!(world.states(), ["a disparado 1"]);
    assert!(ids(&notifier).is_empty());
    world.set_now_ms(until_ms);
    run_until(&mut alerts, || ids(&notifier).len() == 1).await;
    assert_eq!(ids(&notifier), ["ruptura/a/2/disparo"], "it is notified once the silence is over");
}

#[tokio::test]
async fn a_refusal_is_kept_and_holds_up_nothing() {
    let world = World::new(RUPTURE);
    world.show(&[]);
    let mut alerts = world.alerts_telling(Arc::new(Refusing));
    alerts.poll().await.expect("nothing is wrong");
    world.show(&[("a", 0)]);
    run_until(&mut alerts, || world.column("notificacao") == ["recusada: not here"]).await;
    let (_, deliveries) = read_alerts(&world.store).await.expect("read").expect("tables");
    assert_eq!((deliveries.len(), deliveries[0].refusal.as_deref()), (1, Some("not here")));
}

#[tokio::test]
async fn what_a_receiver_does_not_take_holds_back_nothing_else_and_shows() {
    let world = World::new(RUPTURE);
    let notifier = Arc::new(Picky::default());
    world.show(&[]);
    let mut alerts = world.alerts_telling(Arc::clone(&notifier) as _);
    alerts.poll().await.expect("nothing is wrong");
    world.show(&[("x", 0)]);
    run_until(&mut alerts, || world.column("notificacao") == ["pendente: 500 Internal Server Error"]).await;
    world.show(&[("x", 0), ("a", 0), ("b", 0), ("c", 0)]);
    run_until(&mut alerts, || ids(&notifier.0).len() == 3).await;
    let shown = || {
        let mut shown: Vec<String> = world
            .column("chave")
            .into_iter()
            .zip(world.column("notificacao"))
            .map(|(key, of)| format!("{key} {of}"))
            .collect();
        shown.sort();
        shown
    };
    let expected = ["a entregue", "b entregue", "c entregue", "x pendente: 500 Internal Server Error"];
    run_until(&mut alerts, || shown() == expected).await;
    // Commands see it, too.
    let seen = async || {
        let rows =
            episode_rows(read_episodes(&world.store).await.expect("read").expect("episodes").all()).expect("rows");
        let column = rows.column_by_name("notificacao").expect("a column").as_string::<i32>().clone();
        (0..column.len()).any(|row| column.is_valid(row) && column.value(row).starts_with("pendente: 500"))
    };
    let began = std::time::Instant::now();
    while !seen().await {
        assert!(began.elapsed() < std::time::Duration::from_secs(60), "it is noted");
        alerts.poll().await.expect("nothing is wrong");
    }
    let waiting = world.notifications();
    assert_eq!((waiting.waiting, waiting.passed_over, waiting.refused), (1, 1, 0), "{waiting:?}");
}

#[tokio::test]
async fn a_report_is_sent_once_a_day() {
    let world =
        World::new("CREATE VIEW diario WITH (report = '08:00', notify = 'operacao') AS SELECT p, n FROM contagem;");
    let notifier = Arc::new(MemoryNotifier::new());
    let day_ms = 86_400_000;
    let at_eight_ms = 20_000 * day_ms + 11 * 3_600_000;
    world.set_now_ms(at_eight_ms - 1_000);
    world.show(&[("a", 2)]);
    let mut alerts = world.alerts(&notifier);
    alerts.poll().await.expect("nothing is wrong");
    alerts.poll().await.expect("nothing is wrong");
    assert!(ids(&notifier).is_empty());
    world.set_now_ms(at_eight_ms);
    run_until(&mut alerts, || ids(&notifier).len() == 1).await;
    let report = &notifier.delivered()[0];
    assert_eq!((report.event, report.text.as_str()), (Event::Reported, "p: a · n: 2"));
    drop(alerts);
    let mut alerts = world.alerts(&notifier);
    world.set_now_ms(at_eight_ms + 3_600_000);
    alerts.poll().await.expect("nothing is wrong");
    alerts.poll().await.expect("nothing is wrong");
    // The first may have come again: it was accepted a moment before its process ended.
    assert_eq!(distinct(&notifier), 1);
    world.set_now_ms(at_eight_ms + day_ms);
    run_until(&mut alerts, || distinct(&notifier) == 2).await;
    let (transitions, _) = read_alerts(&world.store).await.expect("read").expect("tables");
    let reports = transitions.iter().filter(|made| made.kind == TransitionKind::Reported);
    assert_eq!(reports.map(|made| made.key.as_str()).collect::<Vec<_>>(), ["2024-10-04", "2024-10-05"]);
}

#[tokio::test]
async fn a_watermark_that_stands_still_is_reported_until_it_moves() {
    let world = World::new(RUPTURE).with_default_receiver();
    let notifier = Arc::new(MemoryNotifier::new());
    world.show(&[]);
    world.stand_at(5, 20);
    let mut alerts = world.alerts(&notifier);
    alerts.poll().await.expect("nothing is wrong");
    world.set_now_ms(1_000 + 119_999);
    alerts.poll().await.expect("nothing is wrong");
    assert!(ids(&notifier).is_empty(), "a batch may take so long");
    world.set_now_ms(1_000 + 120_000);
    run_until(&mut alerts, || ids(&notifier).len() == 1).await;
    assert_eq!(ids(&notifier), ["marca_dagua_parada/eventos/2/disparo"]);
    alerts.poll().await.expect("nothing is wrong");
    drop(alerts);
    let mut alerts = world.alerts(&notifier);
    alerts.poll().await.expect("nothing is wrong");
    assert_eq!(world.states(), ["eventos disparado 1"], "a start is not progress");
    world.stand_at(6, 20);
    run_until(&mut alerts, || distinct(&notifier) == 2).await;
    assert_eq!(world.states(), ["eventos resolvido 1"]);
}

/// 1,000 alerts over 20 views, of which 50 change: only those are evaluated, and within a second.
#[tokio::test(flavor = "multi_thread")]
async fn only_what_has_changed_is_evaluated() {
    let world = World::with_metrics(&many_alerts(), 20);
    let notifier = Arc::new(MemoryNotifier::new());
    let mut alerts = world.alerts(&notifier);
    world.show(&[("a", -1)]);
    let began = std::time::Instant::now();
    alerts.poll().await.expect("nothing is wrong");
    let all = began.elapsed();
    // The metric that 50 of them read.
    world.show_in(3, &[("a", 43)]);
    let began = std::time::Instant::now();
    alerts.poll().await.expect("nothing is wrong");
    let changed = began.elapsed();
    println!("1,000 alerts in {all:?}, the 50 that changed in {changed:?}");
    run_until(&mut alerts, || ids(&notifier).len() == 1).await;
    assert!(ids(&notifier)[0].starts_with("alerta_43/a/"), "{:?}", ids(&notifier));
    assert!(changed * 5 < all, "50 of 1,000 take {changed:?}, all take {all:?}");
}
