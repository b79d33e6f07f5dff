//! The state of one group, without waiting: its members, its generation, what each member was
//! assigned.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use tokio::time::Instant;
use uuid::Uuid;

/// The kind of all groups but those of Kafka Connect.
pub const CONSUMER: &str = "consumer";
/// A new group waits for members that start together, and for clients that are still learning of a
/// topic's partitions: some assign nothing when they are let in at once.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const MEMBERS: usize = 250;
const SESSION: std::ops::RangeInclusive<i32> = 1_000..=1_800_000;

#[derive(Debug, Default)]
pub struct Group {
    state: State,
    generation: i32,
    protocol_type: String,
    protocol: String,
    leader: String,
    members: BTreeMap<String, Member>,
    /// Ids that were given out to clients that have to come again with them, and until when.
    pending: BTreeMap<String, Instant>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Empty,
    /// Members are waited for until then; not less than `at_least`.
    Joining {
        at_least: Instant,
        until: Instant,
    },
    /// The leader's assignment is waited for.
    Assigning,
    Stable,
}

#[derive(Debug)]
pub struct Member {
    pub instance: Option<String>,
    pub client: String,
    session: Duration,
    rebalance: Duration,
    /// Names of protocols, the preferred one first, and what the leader needs to know.
    protocols: Vec<(String, Bytes)>,
    pub assignment: Bytes,
    seen: Instant,
    /// Waits for the others in this round.
    has_joined: bool,
}

#[derive(Debug)]
pub struct Join {
    pub member: String,
    pub instance: Option<String>,
    pub client: String,
    pub session_ms: i32,
    pub rebalance_ms: i32,
    pub protocol_type: String,
    pub protocols: Vec<(String, Bytes)>,
    /// Whether a new client has to join again with its id, so that one that went away leaves no
    /// member behind.
    pub id_first: bool,
}

#[derive(Debug)]
pub struct Joined {
    pub member: String,
    pub generation: i32,
    pub protocol_type: String,
    pub protocol: String,
    pub leader: String,
    /// For the leader: the id, instance and metadata of every member.
    pub members: Vec<(String, Option<String>, Bytes)>,
}

impl Group {
    pub fn generation(&self) -> i32 {
        self.generation
    }

    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub fn has(&self, member: &str) -> bool {
        self.members.contains_key(member)
    }

    pub fn protocol_type(&self) -> &str {
        &self.protocol_type
    }

    pub fn protocol(&self) -> &str {
        &self.protocol
    }

    pub fn members(&self) -> impl Iterator<Item = (&String, &Member, Bytes)> {
        self.members.iter().map(|(id, member)| (id, member, member.metadata(&self.protocol)))
    }

    pub fn state(&self) -> &'static str {
        match self.state {
            State::Empty => "Empty",
            State::Joining { .. } => "PreparingRebalance",
            State::Assigning => "CompletingRebalance",
            State::Stable => "Stable",
        }
    }

    /// When the round of joining ends even if no other member acts.
    pub fn round_end(&self) -> Option<Instant> {
        let State::Joining { at_least, until } = self.state else { return None };
        Some(if self.members.values().all(|member| member.has_joined) { at_least } else { until })
    }

    /// Adds a member, or a returning one; its id. The error comes with the id to use next.
    pub fn join(&mut self, join: Join, now: Instant) -> Result<String, (ResponseError, String)> {
        let refused = |error| Err((error, join.member.clone()));
        if !SESSION.contains(&join.session_ms) {
            return refused(ResponseError::InvalidSessionTimeout);
        }
        if !self.speaks_with(&join) {
            return refused(ResponseError::InconsistentGroupProtocol);
        }
        let id = self.id_of(&join, now)?;
        // A client that returns under the same instance replaces its former self.
        if let Some(instance) = &join.instance {
            self.members.retain(|other, member| *other == id || member.instance.as_ref() != Some(instance));
        }
        let known = self.members.remove(&id);
        let is_same = known.as_ref().is_some_and(|known| known.protocols == join.protocols);
        let member = Member {
            instance: join.instance,
            client: join.client,
            session: millis(join.session_ms),
            rebalance: millis(join.rebalance_ms.max(join.session_ms)),
            protocols: join.protocols,
            assignment: known.map(|known| known.assignment).unwrap_or_default(),
            seen: now,
            has_joined: false,
        };
        self.members.insert(id.clone(), member);
        self.protocol_type = join.protocol_type;
        match self.state {
            State::Joining { .. } => {}
            // Its answer was lost: the round stands. A leader that joins again wants to assign
            // partitions again.
            State::Assigning if is_same => return Ok(id),
            State::Stable if is_same && id != self.leader => return Ok(id),
            _ => self.begin_round(now),
        }
        if let Some(member) = self.members.get_mut(&id) {
            member.has_joined = true;
        }
        self.complete(now);
        Ok(id)
    }

    /// Whether who joins has a protocol in common with all others; its own former protocols do not
    /// bind a member.
    fn speaks_with(&self, join: &Join) -> bool {
        let others = || self.members.iter().filter(|(id, _)| **id != join.member);
        let is_common = |(name, _): &(String, Bytes)| {
            others().all(|(_, member)| member.protocols.iter().any(|(own, _)| own == name))
        };
        let is_of_its_kind = others().next().is_none() || join.protocol_type == self.protocol_type;
        is_of_its_kind && join.protocols.iter().any(is_common)
    }

    /// The id of a known member, or a new one.
    fn id_of(&mut self, join: &Join, now: Instant) -> Result<String, (ResponseError, String)> {
        let refused = |error| Err((error, join.member.clone()));
        if join.member.is_empty() {
            if self.members.len() + self.pending.len() >= MEMBERS {
                return refused(ResponseError::GroupMaxSizeReached);
            }
            let id = format!("{}-{}", join.client, Uuid::new_v4());
            if join.instance.is_none() && join.id_first {
                self.pending.insert(id.clone(), now + millis(join.session_ms));
                return Err((ResponseError::MemberIdRequired, id));
            }
            return Ok(id);
        }
        let known = self.members.get(&join.member);
        if known.is_none() && self.pending.remove(&join.member).is_none() {
            return refused(ResponseError::UnknownMemberId);
        }
        if known.is_some_and(|known| known.instance != join.instance) {
            return refused(ResponseError::FencedInstanceId);
        }
        Ok(join.member.clone())
    }

    fn begin_round(&mut self, now: Instant) {
        let longest = self.members.values().map(|member| member.rebalance).max().unwrap_or_default();
        let first_wait = if self.state == State::Empty { FIRST_WAIT } else { Duration::ZERO };
        self.state = State::Joining { at_least: now + first_wait, until: now + longest.max(first_wait) };
    }

    /// Ends the round if all are there, or the time is over. True if something changed.
    pub fn complete(&mut self, now: Instant) -> bool {
        if self.round_end().is_none_or(|end| now < end) {
            return false;
        }
        self.members.retain(|_, member| member.has_joined);
        self.generation += 1;
        let Some(first) = self.members.keys().next() else {
            self.state = State::Empty;
            return true;
        };
        if !self.members.contains_key(&self.leader) {
            self.leader = first.clone();
        }
        self.protocol = self.common_protocol();
        for member in self.members.values_mut() {
            member.has_joined = false;
            member.seen = now;
            member.assignment = Bytes::new();
        }
        self.state = State::Assigning;
        true
    }

    /// The protocol that all members speak and most prefer.
    fn common_protocol(&self) -> String {
        let is_common =
            |name: &str| self.members.values().all(|member| member.protocols.iter().any(|(own, _)| own == name));
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for member in self.members.values() {
            let liked = member.protocols.iter().map(|(name, _)| name.as_str()).find(|name| is_common(name));
            *votes.entry(liked.unwrap_or_default()).or_default() += 1;
        }
        votes.into_iter().max_by_key(|(_, votes)| *votes).map(|(name, _)| name.to_owned()).unwrap_or_default()
    }

    /// The response to a member that joined, once its round is over: a later generation than
    /// `before`.
    pub fn joined(&self, id: &str, before: Option<i32>) -> Option<Joined> {
        let is_over = matches!(self.state, State::Assigning | State::Stable);
        let is_later = before.is_none_or(|before| self.generation > before);
        if !is_over || !is_later || !self.has(id) {
            return None;
        }
        let members = if id == self.leader {
            self.members().map(|(id, member, metadata)| (id.clone(), member.instance.clone(), metadata)).collect()
        } else {
            Vec::new()
        };
        Some(Joined {
            member: id.to_owned(),
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            members,
        })
    }

    /// Records that a member is alive, if it belongs to this generation.
    pub fn seen(
        &mut self,
        id: &str,
        instance: Option<&str>,
        generation: i32,
        now: Instant,
    ) -> Result<(), ResponseError> {
        if let Some(instance) = instance
            && self.members.iter().any(|(other, member)| member.instance.as_deref() == Some(instance) && other != id)
        {
            return Err(ResponseError::FencedInstanceId);
        }
        let member = self.members.get_mut(id).ok_or(ResponseError::UnknownMemberId)?;
        if generation != self.generation {
            return Err(ResponseError::IllegalGeneration);
        }
        member.seen = now;
        Ok(())
    }

    /// If its members have to join again.
    pub fn is_joining(&self) -> bool {
        matches!(self.state, State::Joining { .. })
    }

    pub fn is_assigning(&self) -> bool {
        self.state == State::Assigning
    }

    /// Accepts what the leader assigns; what other members assign is ignored.
    pub fn assign(&mut self, id: &str, assignments: Vec<(String, Bytes)>) {
        if self.state != State::Assigning || id != self.leader {
            return;
        }
        for (member, assignment) in assignments {
            if let Some(member) = self.members.get_mut(&member) {
                member.assignment = assignment;
            }
        }
        self.state = State::Stable;
    }

    /// A member's assignment, with the kind and name of the protocol; none while the leader has not
    /// assigned.
    pub fn assigned(&self, id: &str) -> Result<Option<(Bytes, String, String)>, ResponseError> {
        let member = self.members.get(id).ok_or(ResponseError::UnknownMemberId)?;
        match self.state {
            State::Stable => Ok(Some((member.assignment.clone(), self.protocol_type.clone(), self.protocol.clone()))),
            State::Assigning => Ok(None),
            State::Joining { .. } | State::Empty => Err(ResponseError::RebalanceInProgress),
        }
    }

    /// By its id, or, without one, by its instance.
    pub fn leave(&mut self, id: &str, instance: Option<&str>, now: Instant) -> Result<(), ResponseError> {
        let found = self.members.iter().find(|(other, member)| {
            if id.is_empty() { instance.is_some() && member.instance.as_deref() == instance } else { *other == id }
        });
        let Some((id, member)) = found.map(|(id, member)| (id.clone(), member)) else {
            let was_pending = self.pending.remove(id).is_some();
            return if was_pending { Ok(()) } else { Err(ResponseError::UnknownMemberId) };
        };
        if instance.is_some() && member.instance.as_deref() != instance {
            return Err(ResponseError::FencedInstanceId);
        }
        self.members.remove(&id);
        self.member_left(now);
        Ok(())
    }

    /// Removes members that have been silent for too long. True if there were any.
    pub fn expire(&mut self, now: Instant) -> bool {
        self.pending.retain(|_, until| *until > now);
        let before = self.members.len();
        self.members.retain(|_, member| member.has_joined || now < member.seen + member.session);
        let some = self.members.len() < before;
        if some {
            self.member_left(now);
        }
        some
    }

    fn member_left(&mut self, now: Instant) {
        if self.members.is_empty() {
            self.state = State::Empty;
            self.generation += 1;
        } else if !self.is_joining() {
            self.begin_round(now);
        }
        self.complete(now);
    }
}

impl Member {
    fn metadata(&self, protocol: &str) -> Bytes {
        self.protocols
            .iter()
            .find(|(name, _)| name == protocol)
            .map(|(_, metadata)| metadata.clone())
            .unwrap_or_default()
    }
}

fn millis(millis: i32) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or_default())
}

#[cfg(test)]
mod tests;
