//! A group's rounds, step by step.

use super::*;

fn join(member: &str, protocols: &[&str]) -> Join {
    Join {
        member: member.to_owned(),
        instance: None,
        client: "test".to_owned(),
        session_ms: 10_000,
        rebalance_ms: 60_000,
        protocol_type: CONSUMER.to_owned(),
        protocols: protocols.iter().map(|name| ((*name).to_owned(), Bytes::from(name.to_string()))).collect(),
        id_first: false,
    }
}

fn joined(group: &Group, id: &str) -> Joined {
    group.joined(id, None).expect("its round is over")
}

#[test]
fn a_round_ends_when_all_are_there_and_the_leader_assigns() {
    let (mut group, begin) = (Group::default(), Instant::now());
    let a = group.join(join("", &["range", "sticky"]), begin).expect("in");
    let b = group.join(join("", &["sticky"]), begin).expect("in");
    assert!(group.joined(&a, None).is_none(), "others may start together with it");
    assert!(group.complete(begin + FIRST_WAIT));
    assert_eq!((joined(&group, &a).protocol, joined(&group, &b).generation), ("sticky".to_owned(), 1));
    let (leader, other) = if group.leader == a { (a, b) } else { (b, a) };
    assert_eq!(joined(&group, &leader).members.len(), 2);
    assert!(joined(&group, &other).members.is_empty());
    assert_eq!(group.assigned(&other), Ok(None));
    group.assign(&other, vec![(other.clone(), Bytes::from("wrong"))]);
    group.assign(&leader, vec![(other.clone(), Bytes::from("all"))]);
    assert_eq!(group.assigned(&other).expect("stable").expect("assigned").0, "all");
    group.leave(&other, None, begin).expect("it was in");
    assert!(group.is_joining());
    assert_eq!(group.assigned(&leader), Err(ResponseError::RebalanceInProgress));
}

#[test]
fn members_that_are_quiet_or_do_not_come_again_are_out() {
    let (mut group, begin) = (Group::default(), Instant::now());
    let a = group.join(join("", &["range"]), begin).expect("in");
    let b = group.join(join("", &["range"]), begin).expect("in");
    let now = begin + FIRST_WAIT;
    assert!(group.complete(now));
    let later = now + Duration::from_secs(9);
    group.seen(&a, None, 1, later).expect("alive");
    assert!(!group.expire(later) && group.expire(later + Duration::from_secs(2)));
    assert!(group.has(&a) && !group.has(&b));
    // Nobody joins again until the round is over.
    assert!(group.is_joining() && !group.complete(later + Duration::from_secs(3)));
    assert!(group.complete(later + Duration::from_secs(63)));
    assert!(group.is_empty());
    assert_eq!(group.seen(&a, None, 2, later), Err(ResponseError::UnknownMemberId));
}

#[test]
fn wrong_members_are_told() {
    let (mut group, now) = (Group::default(), Instant::now());
    let error = |refused: Result<String, (ResponseError, String)>| refused.expect_err("refused");
    assert_eq!(error(group.join(join("stranger", &["range"]), now)).0, ResponseError::UnknownMemberId);
    assert_eq!(
        error(group.join(Join { session_ms: 1, ..join("", &["range"]) }, now)).0,
        ResponseError::InvalidSessionTimeout
    );
    let (first, id) = error(group.join(Join { id_first: true, ..join("", &["range"]) }, now));
    assert_eq!(first, ResponseError::MemberIdRequired);
    let id = group.join(join(&id, &["range"]), now).expect("in with its id");
    assert_eq!(error(group.join(join("", &["other"]), now)).0, ResponseError::InconsistentGroupProtocol);
    assert!(group.complete(now + FIRST_WAIT));
    assert_eq!(group.seen(&id, None, 7, now), Err(ResponseError::IllegalGeneration));
}
