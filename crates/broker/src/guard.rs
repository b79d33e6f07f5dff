//! Requests whose arrays claim more elements than they hold are refused before they are decoded.
//!
//! The decoder allocates as much as an array's length says; four bytes of garbage would make it ask
//! for more than the machine has, and end the process that counts events. So the shape of each
//! request is walked first, without allocating.

mod shapes;

use kafka_protocol::messages::ApiKey;

use shapes::{Field, Shape};

/// Over a whole request. A client of a hundred partitions needs a few hundred.
const ELEMENTS_MAX: usize = 100_000;

/// If the body of a request is as long as it says.
pub fn holds(api: ApiKey, version: i16, body: &[u8]) -> bool {
    let Some((flexible, fields)) = shapes::of(api) else { return true };
    let mut walk = Walk { rest: body, version, flexible: version >= flexible, elements: 0 };
    walk.fields(fields).is_some()
}

struct Walk<'a> {
    rest: &'a [u8],
    version: i16,
    /// Lengths are varints, and a structure ends with tagged fields.
    flexible: bool,
    elements: usize,
}

impl Walk<'_> {
    fn fields(&mut self, fields: &[Field]) -> Option<()> {
        for Field { since, until, shape } in fields {
            if (*since..=*until).contains(&self.version) {
                self.shape(shape)?;
            }
        }
        if self.flexible {
            for _ in 0..self.varint()? {
                self.varint()?;
                let bytes = self.varint()?;
                self.skip(bytes)?;
            }
        }
        Some(())
    }

    fn shape(&mut self, shape: &Shape) -> Option<()> {
        match shape {
            Shape::Fixed(bytes) => self.skip(*bytes),
            Shape::Text => {
                let bytes = if self.flexible { self.compact()? } else { self.i16()? };
                self.skip(bytes)
            }
            Shape::Bytes => {
                let bytes = self.length()?;
                self.skip(bytes)
            }
            Shape::Many(fields) => self.each(|walk| walk.fields(fields)),
            Shape::ManyOf(shape) => self.each(|walk| walk.shape(shape)),
            Shape::Option(fields) => {
                let there = self.take(1)?[0];
                if there == 0xff { Some(()) } else { self.fields(fields) }
            }
        }
    }

    fn each(&mut self, mut element: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        let count = self.length()?;
        self.elements = self.elements.checked_add(count).filter(|elements| *elements <= ELEMENTS_MAX)?;
        for _ in 0..count {
            element(self)?;
        }
        Some(())
    }

    /// Of bytes or an array; 0 if it is null.
    fn length(&mut self) -> Option<usize> {
        if self.flexible {
            return self.compact();
        }
        let length = i32::from_be_bytes(*self.take(4)?.first_chunk()?);
        if length == -1 { Some(0) } else { usize::try_from(length).ok() }
    }

    fn compact(&mut self) -> Option<usize> {
        Some(self.varint()?.saturating_sub(1))
    }

    fn i16(&mut self) -> Option<usize> {
        let length = i16::from_be_bytes(*self.take(2)?.first_chunk()?);
        if length == -1 { Some(0) } else { usize::try_from(length).ok() }
    }

    fn varint(&mut self) -> Option<usize> {
        let mut value = 0_u64;
        for index in 0..5 {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                return usize::try_from(value).ok().filter(|value| *value <= u32::MAX as usize);
            }
        }
        None
    }

    fn skip(&mut self, bytes: usize) -> Option<()> {
        self.take(bytes).map(drop)
    }

    fn take(&mut self, bytes: usize) -> Option<&[u8]> {
        let (taken, rest) = self.rest.split_at_checked(bytes)?;
        self.rest = rest;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use kafka_protocol::messages::*;
    use kafka_protocol::protocol::Decodable;

    use super::*;

    #[test]
    fn a_count_beyond_the_request_is_refused() {
        let all_topics = [0xff, 0xff, 0xff, 0xff];
        assert!(holds(ApiKey::Metadata, 1, &all_topics));
        for count in [i32::MAX, i32::MIN, -2, 1] {
            assert!(!holds(ApiKey::Metadata, 1, &count.to_be_bytes()), "{count}");
        }
        assert!(holds(ApiKey::Metadata, 1, &[0, 0, 0, 1, 0, 1, b'a']));
        // The same in the flexible encoding.
        assert!(holds(ApiKey::Metadata, 9, &[2, 2, b'a', 0, 1, 0, 0, 0]));
        assert!(!holds(ApiKey::Metadata, 9, &[0xff, 0xff, 0xff, 0xff, 0x0f, 2, b'a', 0, 1, 0, 0, 0]));
        // Elements are counted, however small they are.
        let names = [200_000_i32.to_be_bytes().as_slice(), &vec![0; 400_000]].concat();
        assert!(!holds(ApiKey::Metadata, 1, &names));
    }

    /// A body with two elements in each array.
    fn sample(fields: &[Field], version: i16, flexible: bool, out: &mut Vec<u8>) {
        for field in fields.iter().filter(|field| (field.since..=field.until).contains(&version)) {
            sample_of(&field.shape, version, flexible, out);
        }
        if flexible {
            // A tagged field that nobody knows.
            out.extend([1, 99, 1, 7]);
        }
    }

    fn sample_of(shape: &Shape, version: i16, flexible: bool, out: &mut Vec<u8>) {
        let count = |count: u8, out: &mut Vec<u8>| {
            if flexible { out.push(count + 1) } else { out.extend([0, 0, 0, count]) }
        };
        match shape {
            Shape::Fixed(bytes) => out.extend(vec![0; *bytes]),
            Shape::Text if flexible => out.extend([2, b'a']),
            Shape::Text => out.extend([0, 1, b'a']),
            Shape::Bytes => {
                count(1, out);
                out.push(b'b');
            }
            Shape::Many(fields) => {
                count(2, out);
                (0..2).for_each(|_| sample(fields, version, flexible, out));
            }
            Shape::ManyOf(shape) => {
                count(2, out);
                (0..2).for_each(|_| sample_of(shape, version, flexible, out));
            }
            Shape::Option(fields) => {
                out.push(1);
                sample(fields, version, flexible, out);
            }
        }
    }

    #[test]
    fn every_shape_is_that_of_the_decoder() {
        macro_rules! check {
            ($($api:ident $request:ident),*) => {
                [$((ApiKey::$api, |body: &mut Bytes, version| $request::decode(body, version).map(drop))),*]
            };
        }
        type Decode = fn(&mut Bytes, i16) -> anyhow::Result<()>;
        let decoders: [(ApiKey, Decode); 22] = check!(
            Produce ProduceRequest, Fetch FetchRequest, ListOffsets ListOffsetsRequest, Metadata MetadataRequest,
            ApiVersions ApiVersionsRequest, CreateTopics CreateTopicsRequest, DeleteTopics DeleteTopicsRequest,
            InitProducerId InitProducerIdRequest, OffsetForLeaderEpoch OffsetForLeaderEpochRequest,
            FindCoordinator FindCoordinatorRequest, DescribeConfigs DescribeConfigsRequest,
            DescribeCluster DescribeClusterRequest, DescribeTopicPartitions DescribeTopicPartitionsRequest,
            JoinGroup JoinGroupRequest, SyncGroup SyncGroupRequest, Heartbeat HeartbeatRequest,
            LeaveGroup LeaveGroupRequest, OffsetCommit OffsetCommitRequest, OffsetFetch OffsetFetchRequest,
            ListGroups ListGroupsRequest, DescribeGroups DescribeGroupsRequest, DeleteGroups DeleteGroupsRequest
        );
        for &(api, oldest, newest) in crate::api::SERVED {
            let (_, decode) = decoders.iter().find(|(decoded, _)| *decoded == api).expect("its decoder");
            let (flexible, fields) = shapes::of(api).expect("its shape");
            for version in oldest.max(api.valid_versions().min)..=newest {
                let mut body = Vec::new();
                sample(fields, version, version >= flexible, &mut body);
                assert!(holds(api, version, &body), "{api:?} {version}");
                assert!(body.is_empty() || !holds(api, version, &body[..body.len() - 1]), "{api:?} {version}");
                let mut body = Bytes::from(body);
                decode(&mut body, version).unwrap_or_else(|error| panic!("{api:?} {version}: {error}"));
                assert!(body.is_empty(), "{api:?} {version} leaves {body:?}");
            }
        }
    }
}
