//! Consumers that share the partitions of a topic.

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::{
    DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest, DescribeGroupsResponse, GroupId,
    HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, LeaveGroupResponse,
    ListGroupsRequest, ListGroupsResponse, SyncGroupRequest, SyncGroupResponse,
};
use kafka_protocol::protocol::StrBytes;
use tokio::time::Instant;

use super::{Request, text};
use crate::connection::{Connection, End};
use crate::groups::Join;

/// From this version on, a new client joins again with the id that it is given.
const ID_FIRST: i16 = 4;

pub async fn join(
    connection: &Connection,
    mut request: Request,
    client: Option<StrBytes>,
) -> Result<Option<Bytes>, End> {
    let asked: JoinGroupRequest = request.decode()?;
    let name = asked.group_id.0.to_string();
    let join = Join {
        member: asked.member_id.to_string(),
        instance: asked.group_instance_id.as_ref().map(|instance| instance.to_string()),
        client: client.map(|client| client.to_string()).unwrap_or_default(),
        session_ms: asked.session_timeout_ms,
        rebalance_ms: asked.rebalance_timeout_ms,
        protocol_type: asked.protocol_type.to_string(),
        protocols: asked.protocols.into_iter().map(|protocol| (protocol.name.to_string(), protocol.metadata)).collect(),
        id_first: request.version >= ID_FIRST,
    };
    let joined = if name.is_empty() {
        Err((ResponseError::InvalidGroupId, join.member))
    } else {
        connection.shared.groups.join(&name, join).await
    };
    let answer = match joined {
        Ok(joined) => {
            let member = |(id, instance, metadata): (String, Option<String>, Bytes)| {
                let member = JoinGroupResponseMember::default().with_member_id(id.into()).with_metadata(metadata);
                if request.version >= 5 { member.with_group_instance_id(instance.map(Into::into)) } else { member }
            };
            let answer = JoinGroupResponse::default()
                .with_generation_id(joined.generation)
                .with_protocol_name(Some(joined.protocol.into()))
                .with_leader(joined.leader.into())
                .with_member_id(joined.member.into())
                .with_members(joined.members.into_iter().map(member).collect());
            if request.version >= 7 { answer.with_protocol_type(Some(joined.protocol_type.into())) } else { answer }
        }
        Err((error, member)) => {
            let answer = JoinGroupResponse::default()
                .with_error_code(error.code())
                .with_generation_id(-1)
                .with_member_id(member.into());
            // Before version 7 it cannot be left out.
            answer.with_protocol_name((request.version < 7).then(StrBytes::new))
        }
    };
    request.encode(&answer)
}

pub async fn sync(connection: &Connection, mut request: Request) -> Result<Option<Bytes>, End> {
    let asked: SyncGroupRequest = request.decode()?;
    let assignments = asked.assignments.into_iter().map(|part| (part.member_id.to_string(), part.assignment)).collect();
    let (group, member) = (asked.group_id.as_str(), asked.member_id.as_str());
    let instance = asked.group_instance_id.as_deref();
    let synced = connection.shared.groups.sync(group, member, instance, asked.generation_id, assignments).await;
    let answer = match synced {
        Ok((assignment, protocol_type, protocol)) => {
            let answer = SyncGroupResponse::default().with_assignment(assignment);
            if request.version >= 5 {
                answer.with_protocol_type(Some(protocol_type.into())).with_protocol_name(Some(protocol.into()))
            } else {
                answer
            }
        }
        Err(error) => SyncGroupResponse::default().with_error_code(error.code()),
    };
    request.encode(&answer)
}

pub fn heartbeat(connection: &Connection, mut request: Request) -> Result<Option<Bytes>, End> {
    let asked: HeartbeatRequest = request.decode()?;
    let instance = asked.group_instance_id.as_deref();
    let alive = connection.shared.groups.with(&asked.group_id, |group| {
        group.seen(&asked.member_id, instance, asked.generation_id, Instant::now())?;
        if group.is_joining() { Err(ResponseError::RebalanceInProgress) } else { Ok(()) }
    });
    let code = code(alive.unwrap_or(Err(ResponseError::UnknownMemberId)));
    request.encode(&HeartbeatResponse::default().with_error_code(code))
}

pub fn leave(connection: &Connection, mut request: Request) -> Result<Option<Bytes>, End> {
    let asked: LeaveGroupRequest = request.decode()?;
    let leave = |id: &str, instance: Option<&str>| {
        let left = connection.shared.groups.with(&asked.group_id, |group| group.leave(id, instance, Instant::now()));
        code(left.unwrap_or(Err(ResponseError::UnknownMemberId)))
    };
    if request.version < 3 {
        return request.encode(&LeaveGroupResponse::default().with_error_code(leave(&asked.member_id, None)));
    }
    let members = asked
        .members
        .iter()
        .map(|member| {
            let code = leave(&member.member_id, member.group_instance_id.as_deref());
            MemberResponse::default()
                .with_member_id(member.member_id.clone())
                .with_group_instance_id(member.group_instance_id.clone())
                .with_error_code(code)
        })
        .collect();
    request.encode(&LeaveGroupResponse::default().with_members(members))
}

pub fn list(connection: &Connection, mut request: Request) -> Result<Option<Bytes>, End> {
    let asked: ListGroupsRequest = request.decode()?;
    let is_wanted = |wanted: &[StrBytes], what: &str| {
        wanted.is_empty() || wanted.iter().any(|wanted| wanted.as_str().eq_ignore_ascii_case(what))
    };
    let groups = connection.shared.groups.list();
    let groups = groups
        .into_iter()
        .filter(|(_, state, _)| is_wanted(&asked.states_filter, state) && is_wanted(&asked.types_filter, "classic"))
        .map(|(name, state, protocol_type)| {
            let group =
                ListedGroup::default().with_group_id(GroupId(name.into())).with_protocol_type(protocol_type.into());
            let group = if request.version >= 4 { group.with_group_state(text(state)) } else { group };
            if request.version >= 5 { group.with_group_type(text("classic")) } else { group }
        })
        .collect();
    request.encode(&ListGroupsResponse::default().with_groups(groups))
}

pub fn describe(connection: &Connection, mut request: Request) -> Result<Option<Bytes>, End> {
    let asked: DescribeGroupsRequest = request.decode()?;
    let groups = asked
        .groups
        .into_iter()
        .map(|name| {
            let described = connection.shared.groups.with(&name, |group| {
                let members = group.members().map(|(id, member, metadata)| {
                    let described = DescribedGroupMember::default()
                        .with_member_id(text(id))
                        .with_client_id(text(&member.client))
                        .with_member_metadata(metadata)
                        .with_member_assignment(member.assignment.clone());
                    let instance = member.instance.as_deref().map(text);
                    if request.version >= 4 { described.with_group_instance_id(instance) } else { described }
                });
                DescribedGroup::default()
                    .with_group_state(text(group.state()))
                    .with_protocol_type(text(group.protocol_type()))
                    .with_protocol_data(text(group.protocol()))
                    .with_members(members.collect())
            });
            // A group without members, or one that never existed: the same answer as from Apache
            // Kafka.
            let state =
                if connection.shared.groups.offsets.groups().contains(&name.to_string()) { "Empty" } else { "Dead" };
            described.unwrap_or_else(|| DescribedGroup::default().with_group_state(text(state))).with_group_id(name)
        })
        .collect();
    request.encode(&DescribeGroupsResponse::default().with_groups(groups))
}

pub fn delete(connection: &Connection, mut request: Request) -> Result<Option<Bytes>, End> {
    let asked: DeleteGroupsRequest = request.decode()?;
    let results = asked
        .groups_names
        .into_iter()
        .map(|name| {
            let code = code(connection.shared.groups.delete(&name));
            DeletableGroupResult::default().with_group_id(name).with_error_code(code)
        })
        .collect();
    request.encode(&DeleteGroupsResponse::default().with_results(results))
}

pub fn code(result: Result<(), ResponseError>) -> i16 {
    result.map_or_else(|error| error.code(), |()| 0)
}
