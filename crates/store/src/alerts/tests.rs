use super::*;
use crate::audit::Act;

fn transition(number: i64, kind: TransitionKind, destinations: &[&str]) -> Transition {
    Transition {
        alert: "ruptura".to_owned(),
        key: "p1".to_owned(),
        episode: 1,
        number,
        kind,
        at_ms: 1_000 * number,
        since_ms: 1_000,
        severity: "warning".to_owned(),
        rows: 1,
        content: "[]".to_owned(),
        versions: "{}".to_owned(),
        destinations: destinations.iter().map(|to| (*to).to_owned()).collect(),
        hush: None,
        id: format!("ruptura/p1/1/{}", kind.name()),
    }
}

fn store() -> (tempfile::TempDir, Location) {
    let dir = tempfile::tempdir().expect("a folder");
    let store = Location::folder(dir.path()).expect("a store");
    (dir, store)
}

#[tokio::test]
async fn what_was_committed_is_read_back_in_order() {
    let (_dir, store) = store();
    assert!(read_alerts(&store).await.expect("nothing yet").is_none());
    let mut log = AlertLog::open(&store).await.expect("open");
    let fired = transition(1, TransitionKind::Fired, &["operacao/alertas", "kafka/alertas"]);
    let resolved = Transition { hush: Some(Hush::Silence), ..transition(2, TransitionKind::Resolved, &[]) };
    log.append(std::slice::from_ref(&fired)).await.expect("one");
    log.append(std::slice::from_ref(&resolved)).await.expect("the next");
    let delivered = Delivered {
        id: fired.id.clone(),
        destination: "operacao/alertas".to_owned(),
        at_ms: 5,
        refusal: None,
        attempts: 2,
    };
    log.delivered(std::slice::from_ref(&delivered)).await.expect("noted");
    let read = read_alerts(&store).await.expect("read").expect("tables");
    assert_eq!(read, (vec![fired, resolved], vec![delivered]));
    let table = alerts_table(&store).await.expect("read").expect("a table");
    assert_eq!(read_session(1).read_table(table).expect("a frame").count().await.expect("counted"), 1);
}

#[tokio::test]
async fn other_processes_see_which_notifications_are_behind_others() {
    let (_dir, store) = store();
    assert!(read_episodes(&store).await.expect("nothing yet").is_none());
    let mut log = AlertLog::open(&store).await.expect("open");
    let fired = transition(1, TransitionKind::Fired, &["operacao/alertas"]);
    log.append(std::slice::from_ref(&fired)).await.expect("one");
    let reason = "hooks answers 500: \"não\"".to_owned();
    let delay = Delay { id: fired.id.clone(), destination: "operacao/alertas".to_owned(), attempts: 9, reason };
    log.set_delays(std::slice::from_ref(&delay)).await.expect("noted");
    let seen = async || {
        let episodes = read_episodes(&store).await.expect("read").expect("episodes");
        episodes.all().next().and_then(Episode::notification)
    };
    assert_eq!(seen().await.as_deref(), Some("pendente: hooks answers 500: \"não\""));
    log.set_delays(&[]).await.expect("noted");
    assert_eq!(seen().await.as_deref(), Some("pendente"));
}

#[tokio::test]
async fn of_two_writers_the_second_is_stopped() {
    let (_dir, store) = store();
    let mut one = AlertLog::open(&store).await.expect("open");
    let mut other = AlertLog::open(&store).await.expect("open");
    let fired = transition(1, TransitionKind::Fired, &[]);
    one.append(std::slice::from_ref(&fired)).await.expect("the first");
    other.append(std::slice::from_ref(&fired)).await.expect_err("the same number");
    let mut third = AlertLog::open(&store).await.expect("open");
    let error = third.append(std::slice::from_ref(&fired)).await.expect_err("decided already");
    assert!(matches!(error, StoreError::Overtaken { .. }), "{error}");
}

#[test]
fn an_episode_says_what_became_of_it() {
    let fired = transition(1, TransitionKind::Fired, &["operacao/alertas", "kafka/alertas"]);
    let mut episodes = Episodes::of(std::slice::from_ref(&fired), &[]);
    let state = |episodes: &Episodes| {
        let episode = episodes.all().next().expect("an episode");
        (episode.state(), episode.notification())
    };
    assert_eq!(state(&episodes), ("disparado", Some("pendente".to_owned())));
    let accepted =
        |to: &str| Delivered { id: fired.id.clone(), destination: to.to_owned(), at_ms: 9, refusal: None, attempts: 1 };
    episodes.deliver(&accepted("operacao/alertas"));
    assert_eq!(state(&episodes), ("disparado", Some("pendente".to_owned())));
    let delay =
        |to: &str| Delay { id: fired.id.clone(), destination: to.to_owned(), attempts: 3, reason: "500".to_owned() };
    episodes.delay(&delay("operacao/alertas"));
    assert_eq!(state(&episodes).1.as_deref(), Some("pendente"), "that one was accepted since");
    episodes.delay(&delay("kafka/alertas"));
    assert_eq!(state(&episodes).1.as_deref(), Some("pendente: 500"));
    episodes.deliver(&Delivered { refusal: Some("404".to_owned()), ..accepted("kafka/alertas") });
    assert_eq!(state(&episodes), ("disparado", Some("recusada: 404".to_owned())));
    episodes.add(&transition(2, TransitionKind::Resolved, &[]));
    assert_eq!(state(&episodes).0, "resolvido");
    episodes.forget_all_but(1);
    assert_eq!(episodes.all().len(), 1);
    episodes.forget_all_but(0);
    assert_eq!(episodes.all().len(), 0);
}

#[test]
fn what_never_fired_leaves_nothing() {
    let pending = transition(1, TransitionKind::Pending, &[]);
    let withdrawn = transition(2, TransitionKind::Withdrawn, &[]);
    assert_eq!(Episodes::of(std::slice::from_ref(&pending), &[]).all().next().map(Episode::state), Some("pendente"));
    assert_eq!(Episodes::of(&[pending, withdrawn], &[]).all().len(), 0);
}

#[tokio::test]
async fn silences_are_seen_by_others_and_end_early() {
    let (_dir, store) = store();
    let mut silences = Silences::of(&store);
    assert!(!silences.refresh().await.expect("none"));
    let now_ms = chrono::Utc::now().timestamp_millis();
    let silence =
        Silence::new("ruptura", Some("p1".to_owned()), (now_ms, now_ms + 60_000), Some("inventário".to_owned()));
    let act = || Act::of_command("silenciar", "ruptura");
    let silence = silence.record(&store, act()).await.expect("kept");
    assert!(silences.refresh().await.expect("read") && silence.principal.starts_with("os:"));
    assert!(silences.cover("ruptura", "p1", now_ms + 1_000));
    assert!(!silences.cover("ruptura", "p2", now_ms + 1_000) && !silences.cover("outra", "p1", now_ms + 1_000));
    assert!(!silences.cover("ruptura", "p1", now_ms + 60_000));
    let ended = Silence { until_ms: now_ms, ..silence };
    ended.record(&store, act()).await.expect("ended");
    assert!(silences.refresh().await.expect("read"));
    assert_eq!(silences.standing(now_ms).count(), 0);
}
