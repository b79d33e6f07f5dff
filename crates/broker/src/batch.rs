//! A record batch as producers send it: its head is read and checked, its records stay as they are.
//!
//! Only version 2 of the format, which every producer since Kafka 0.11 writes. The checksum covers
//! everything behind itself, so the two fields that the broker sets, the base offset and the
//! leader's epoch, leave it valid.

use kafka_protocol::ResponseError;

/// Of a batch without records.
pub const HEAD_BYTES: usize = 61;
/// The base offset and the length itself, which the length does not count.
const LENGTH_END: usize = 12;
const CHECKSUM_END: usize = 21;

const CODEC: i16 = 0b111;
const LOG_APPEND_TIME: i16 = 1 << 3;
const TRANSACTIONAL: i16 = 1 << 4;
const CONTROL: i16 = 1 << 5;
const NO_CODEC: i16 = 0;
const ZSTD: i16 = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    pub base_offset: i64,
    /// Of the whole batch.
    pub bytes: usize,
    magic: i8,
    checksum: u32,
    attributes: i16,
    last_offset_delta: i32,
    pub base_timestamp: i64,
    pub max_timestamp: i64,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    records: i32,
}

impl Head {
    /// The head of the batch that `bytes` begin with; nothing if they cannot be one.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let head: &[u8; HEAD_BYTES] = bytes.first_chunk()?;
        let length = i32::from_be_bytes(field(head, 8));
        let bytes = usize::try_from(length).ok()?.checked_add(LENGTH_END)?;
        (bytes >= HEAD_BYTES).then(|| Self {
            base_offset: i64::from_be_bytes(field(head, 0)),
            bytes,
            magic: i8::from_be_bytes(field(head, 16)),
            checksum: u32::from_be_bytes(field(head, 17)),
            attributes: i16::from_be_bytes(field(head, 21)),
            last_offset_delta: i32::from_be_bytes(field(head, 23)),
            base_timestamp: i64::from_be_bytes(field(head, 27)),
            max_timestamp: i64::from_be_bytes(field(head, 35)),
            producer_id: i64::from_be_bytes(field(head, 43)),
            producer_epoch: i16::from_be_bytes(field(head, 51)),
            base_sequence: i32::from_be_bytes(field(head, 53)),
            records: i32::from_be_bytes(field(head, 57)),
        })
    }

    pub fn placed(self, base_offset: i64) -> Self {
        Self { base_offset, ..self }
    }

    /// The offset after the batch.
    pub fn next_offset(&self) -> i64 {
        self.base_offset.saturating_add(i64::from(self.last_offset_delta)).saturating_add(1)
    }

    pub fn last_sequence(&self) -> i32 {
        // Sequences wrap to 0.
        self.base_sequence.wrapping_add(self.last_offset_delta) & i32::MAX
    }

    pub fn is_idempotent(&self) -> bool {
        self.producer_id >= 0
    }

    pub fn is_zstd(&self) -> bool {
        self.attributes & CODEC == ZSTD
    }

    /// If it is one that this broker wrote, whole.
    pub fn is_stored_whole(&self, batch: &[u8]) -> bool {
        self.magic == 2
            && batch.len() == self.bytes
            && self.last_offset_delta >= 0
            && crc32c::crc32c(&batch[CHECKSUM_END..]) == self.checksum
    }
}

/// Why a batch is refused: the error that the client gets, and the reason in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    pub error: ResponseError,
    pub reason: String,
}

impl Refused {
    pub fn new(error: ResponseError, reason: impl Into<String>) -> Self {
        Self { error, reason: reason.into() }
    }
}

/// The head of what a producer sent for one partition: exactly one whole batch that consumers will
/// be able to decode.
pub fn check(records: &[u8], bytes_max: usize) -> Result<Head, Refused> {
    // An older format has its own version at the same place.
    if let Some(magic @ (0 | 1)) = records.get(16) {
        let reason = format!("record format version {magic}; this broker accepts version 2, of Kafka 0.11 and newer");
        return Err(Refused::new(ResponseError::UnsupportedForMessageFormat, reason));
    }
    let corrupt = |reason: &str| Refused::new(ResponseError::CorruptMessage, reason);
    let invalid = |reason: &str| Refused::new(ResponseError::InvalidRecord, reason);
    let head = Head::read(records).ok_or_else(|| corrupt("not a record batch"))?;
    if head.bytes > bytes_max {
        let reason = format!("a record batch of {} bytes; at most {bytes_max} are accepted", head.bytes);
        return Err(Refused::new(ResponseError::MessageTooLarge, reason));
    }
    match records.len() {
        len if len < head.bytes => return Err(corrupt("a record batch that ends too early")),
        len if len > head.bytes => return Err(invalid("more than one record batch for a partition")),
        _ => {}
    }
    if head.magic != 2 {
        return Err(corrupt("an unknown version of the record format"));
    }
    if crc32c::crc32c(&records[CHECKSUM_END..]) != head.checksum {
        return Err(corrupt("a record batch whose checksum is wrong"));
    }
    if head.records <= 0 || head.last_offset_delta.checked_add(1) != Some(head.records) {
        return Err(invalid("a record batch whose count of records is not that of its offsets"));
    }
    if head.attributes & LOG_APPEND_TIME != 0 {
        return Err(Refused::new(ResponseError::InvalidTimestamp, "a producer sent timestamps of the broker"));
    }
    if head.attributes & (TRANSACTIONAL | CONTROL) != 0 {
        return Err(invalid("a record batch of a transaction; this broker has none"));
    }
    if head.attributes & CODEC > ZSTD {
        return Err(invalid("an unknown compression codec"));
    }
    if head.is_idempotent() && (head.producer_epoch < 0 || head.base_sequence < 0) {
        return Err(invalid("a producer id without an epoch or a sequence"));
    }
    if head.attributes & CODEC == NO_CODEC && !records_fit(&records[HEAD_BYTES..], head.records) {
        return Err(invalid("records whose lengths are not that of their batch"));
    }
    Ok(head)
}

/// If records that are not compressed fill their batch exactly.
fn records_fit(mut records: &[u8], count: i32) -> bool {
    for _ in 0..count {
        let Some(rest) = behind_record(records) else { return false };
        records = rest;
    }
    records.is_empty()
}

fn behind_record(records: &[u8]) -> Option<&[u8]> {
    let mut value = 0_u64;
    for (index, byte) in records.iter().take(5).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            // Zigzag: a negative length is odd.
            let length = (value & 1 == 0).then_some(value >> 1)?;
            return records.get(index + 1 + usize::try_from(length).ok()?..);
        }
    }
    None
}

/// Sets what only the broker knows.
pub fn place(batch: &mut [u8], base_offset: i64) {
    batch[..8].copy_from_slice(&base_offset.to_be_bytes());
    batch[LENGTH_END..16].copy_from_slice(&crate::LEADER_EPOCH.to_be_bytes());
}

fn field<const N: usize>(head: &[u8; HEAD_BYTES], at: usize) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&head[at..at + N]);
    field
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A batch of records with these values, without compression.
    pub fn batch(values: &[&str]) -> Vec<u8> {
        batch_of(values, -1, -1, -1)
    }

    /// The same from an idempotent producer.
    pub fn batch_of(values: &[&str], producer_id: i64, epoch: i16, sequence: i32) -> Vec<u8> {
        let mut records = Vec::new();
        for (delta, value) in values.iter().enumerate() {
            let mut record = vec![0, 0, varint(delta), 1, varint(value.len())];
            record.extend_from_slice(value.as_bytes());
            record.push(0);
            records.push(varint(record.len()));
            records.extend(record);
        }
        build(0, &records, values.len(), producer_id, epoch, sequence)
    }

    fn varint(value: usize) -> u8 {
        assert!(value < 64, "one byte holds it");
        u8::try_from(value * 2).expect("one byte")
    }

    pub fn build(attributes: i16, records: &[u8], count: usize, producer: i64, epoch: i16, sequence: i32) -> Vec<u8> {
        let count = i32::try_from(count).expect("a count");
        let mut tail = Vec::new();
        tail.extend(attributes.to_be_bytes());
        tail.extend((count - 1).to_be_bytes());
        tail.extend(1_000_i64.to_be_bytes());
        tail.extend(2_000_i64.to_be_bytes());
        tail.extend(producer.to_be_bytes());
        tail.extend(epoch.to_be_bytes());
        tail.extend(sequence.to_be_bytes());
        tail.extend(count.to_be_bytes());
        tail.extend(records);
        let mut batch = 0_i64.to_be_bytes().to_vec();
        batch.extend(i32::try_from(tail.len() + 9).expect("a length").to_be_bytes());
        batch.extend((-1_i32).to_be_bytes());
        batch.push(2);
        batch.extend(crc32c::crc32c(&tail).to_be_bytes());
        batch.extend(tail);
        batch
    }

    fn refused(batch: &[u8]) -> ResponseError {
        check(batch, 1 << 20).expect_err("refused").error
    }

    #[test]
    fn a_whole_batch_is_taken_and_placing_it_keeps_its_checksum() {
        let mut bytes = batch(&["a", "bc", ""]);
        let head = check(&bytes, 1 << 20).expect("taken");
        assert_eq!((head.bytes, head.next_offset(), head.max_timestamp), (bytes.len(), 3, 2_000));
        place(&mut bytes, 41);
        let placed = Head::read(&bytes).expect("a head");
        assert!(placed.is_stored_whole(&bytes));
        assert_eq!((placed.base_offset, placed.next_offset()), (41, 44));
    }

    #[test]
    fn what_is_not_one_whole_batch_is_refused_by_its_kind() {
        let good = batch(&["a", "b"]);
        assert_eq!(refused(&[]), ResponseError::CorruptMessage);
        assert_eq!(refused(&good[..good.len() - 1]), ResponseError::CorruptMessage);
        assert_eq!(refused(&[good.clone(), good.clone()].concat()), ResponseError::InvalidRecord);
        for at in CHECKSUM_END - 4..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert_eq!(refused(&bad), ResponseError::CorruptMessage, "byte {at}");
        }
        let mut old = good.clone();
        old[16] = 1;
        assert_eq!(refused(&old), ResponseError::UnsupportedForMessageFormat);
        assert_eq!(check(&good, good.len() - 1).expect_err("refused").error, ResponseError::MessageTooLarge);
    }

    #[test]
    fn a_batch_whose_checksum_is_right_but_whose_records_are_not_is_refused() {
        assert_eq!(refused(&build(0, &[2, 0, 0], 1, -1, -1, -1)), ResponseError::InvalidRecord);
        assert_eq!(refused(&build(0, &[4, 0, 0], 2, -1, -1, -1)), ResponseError::InvalidRecord);
        assert_eq!(refused(&build(0, &[0xff; 8], 1, -1, -1, -1)), ResponseError::InvalidRecord);
        assert_eq!(refused(&build(0, &[], 0, -1, -1, -1)), ResponseError::InvalidRecord);
        assert_eq!(refused(&build(TRANSACTIONAL, &[0], 1, 7, 0, 0)), ResponseError::InvalidRecord);
        assert_eq!(refused(&build(7, &[0], 1, -1, -1, -1)), ResponseError::InvalidRecord);
        assert_eq!(refused(&build(LOG_APPEND_TIME, &[0], 1, -1, -1, -1)), ResponseError::InvalidTimestamp);
        assert_eq!(refused(&build(0, &[0], 1, 7, -1, -1)), ResponseError::InvalidRecord);
    }
}
