//! What the broker says to single requests, written byte by byte: what it takes, what it refuses,
//! what it keeps.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use vitral_broker::{Broker, Limits};

const PATIENCE: Duration = Duration::from_secs(10);
const TOPIC: &str = "events";

const MESSAGE_TOO_LARGE: i16 = 10;
const CORRUPT_MESSAGE: i16 = 2;
const UNKNOWN_TOPIC: i16 = 3;
const OUT_OF_RANGE: i16 = 1;
const OUT_OF_ORDER: i16 = 45;
const UNSUPPORTED_FORMAT: i16 = 43;
const STORAGE_ERROR: i16 = 56;

fn start(dir: &Path, limits: Limits) -> Broker {
    let broker = Broker::start("127.0.0.1:0".parse().expect("an address"), dir, limits).expect("it starts");
    broker.ensure_topic(TOPIC, 1).expect("the topic");
    broker
}

/// A connection that speaks the protocol's plainest versions.
struct Client(TcpStream);

impl Client {
    fn new(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("connected");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Self(stream)
    }

    fn ask(&mut self, key: i16, version: i16, body: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        frame.extend(key.to_be_bytes());
        frame.extend(version.to_be_bytes());
        frame.extend(77_i32.to_be_bytes());
        frame.extend(text("test"));
        frame.extend(body);
        self.send(&frame);
        self.answer().expect("an answer")
    }

    fn send(&mut self, frame: &[u8]) {
        self.0.write_all(&i32::try_from(frame.len()).expect("a length").to_be_bytes()).expect("sent");
        self.0.write_all(frame).expect("sent");
    }

    /// Behind the correlation id; nothing if the broker closed the connection.
    fn answer(&mut self) -> Option<Vec<u8>> {
        let mut length = [0; 4];
        self.0.read_exact(&mut length).ok()?;
        let mut answer = vec![0; usize::try_from(i32::from_be_bytes(length)).expect("a length")];
        self.0.read_exact(&mut answer).expect("the whole answer");
        assert_eq!(answer[..4], 77_i32.to_be_bytes());
        answer.drain(..4);
        Some(answer)
    }

    /// The error and the base offset.
    fn produce(&mut self, topic: &str, records: &[u8]) -> (i16, i64) {
        let mut body = vec![0xff, 0xff, 0, 1];
        body.extend(1_000_i32.to_be_bytes());
        body.extend(1_i32.to_be_bytes());
        body.extend(text(topic));
        body.extend(1_i32.to_be_bytes());
        body.extend(0_i32.to_be_bytes());
        body.extend(i32::try_from(records.len()).expect("a length").to_be_bytes());
        body.extend(records);
        let answer = self.ask(0, 3, &body);
        let at = 4 + 2 + topic.len() + 4 + 4;
        (i16::from_be_bytes(field(&answer, at)), i64::from_be_bytes(field(&answer, at + 2)))
    }

    /// The error, the high watermark and the records.
    fn fetch(&mut self, offset: i64, wait: Duration, bytes_max: i32) -> (i16, i64, Vec<u8>) {
        let mut body = (-1_i32).to_be_bytes().to_vec();
        body.extend(i32::try_from(wait.as_millis()).expect("a time").to_be_bytes());
        body.extend(1_i32.to_be_bytes());
        body.extend(bytes_max.to_be_bytes());
        body.push(0);
        body.extend(1_i32.to_be_bytes());
        body.extend(text(TOPIC));
        body.extend(1_i32.to_be_bytes());
        body.extend(0_i32.to_be_bytes());
        body.extend(offset.to_be_bytes());
        body.extend(bytes_max.to_be_bytes());
        let answer = self.ask(1, 4, &body);
        // Throttle time, topics, name, partitions, index.
        let at = 4 + 4 + 2 + TOPIC.len() + 4 + 4;
        let error = i16::from_be_bytes(field(&answer, at));
        let high_watermark = i64::from_be_bytes(field(&answer, at + 2));
        // Last stable offset, aborted transactions, length.
        (error, high_watermark, answer[at + 2 + 8 + 8 + 4 + 4..].to_vec())
    }
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("a field")
}

fn text(text: &str) -> Vec<u8> {
    let mut bytes = i16::try_from(text.len()).expect("a length").to_be_bytes().to_vec();
    bytes.extend(text.as_bytes());
    bytes
}

/// A batch of one record of this size, or, with a codec, of bytes that stand for compressed ones.
fn batch(attributes: i16, size: usize, producer: i64, sequence: i32) -> Vec<u8> {
    let mut record = vec![0, 0, 0, 1];
    varint(&mut record, size);
    record.extend(vec![b'x'; size]);
    record.push(0);
    let mut records = Vec::new();
    varint(&mut records, record.len());
    records.extend(record);
    let mut tail = attributes.to_be_bytes().to_vec();
    tail.extend(0_i32.to_be_bytes());
    tail.extend(1_000_i64.to_be_bytes());
    tail.extend(1_000_i64.to_be_bytes());
    tail.extend(producer.to_be_bytes());
    tail.extend(if producer < 0 { [0xff, 0xff] } else { [0, 0] });
    tail.extend(sequence.to_be_bytes());
    tail.extend(1_i32.to_be_bytes());
    tail.extend(records);
    let mut batch = 0_i64.to_be_bytes().to_vec();
    batch.extend(i32::try_from(tail.len() + 9).expect("a length").to_be_bytes());
    batch.extend((-1_i32).to_be_bytes());
    batch.push(2);
    batch.extend(crc32c::crc32c(&tail).to_be_bytes());
    batch.extend(tail);
    batch
}

fn varint(out: &mut Vec<u8>, value: usize) {
    let mut value = value * 2;
    while value > 0x7f {
        out.push(u8::try_from(value & 0x7f).expect("seven bits") | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).expect("seven bits"));
}

#[test]
fn batches_of_every_codec_are_handed_out_as_they_came() {
    let dir = tempfile::tempdir().expect("a folder");
    let broker = start(dir.path(), Limits::default());
    let mut client = Client::new(broker.address());
    for (codec, offset) in (0_i16..=4).zip(0_i64..) {
        let sent = batch(codec, 100, -1, -1);
        // Zstandard needs a newer producer than this one.
        if codec == 4 {
            assert_eq!(client.produce(TOPIC, &sent).0, 76);
            continue;
        }
        assert_eq!(client.produce(TOPIC, &sent), (0, offset), "codec {codec}");
        let (error, high_watermark, got) = client.fetch(offset, Duration::ZERO, 1 << 20);
        assert_eq!((error, high_watermark), (0, offset + 1));
        // But for the base offset and the leader's epoch.
        assert_eq!(got[..8], offset.to_be_bytes());
        assert_eq!(got[8..12], sent[8..12]);
        assert_eq!(got[16..], sent[16..], "codec {codec}");
    }
}

#[test]
fn what_cannot_be_kept_is_refused_and_the_rest_goes_on() {
    let dir = tempfile::tempdir().expect("a folder");
    let broker = start(dir.path(), Limits::default());
    let mut client = Client::new(broker.address());
    assert_eq!(client.produce(TOPIC, &batch(0, 1_100_000, -1, -1)).0, MESSAGE_TOO_LARGE);
    let mut corrupt = batch(0, 10, -1, -1);
    *corrupt.last_mut().expect("a byte") ^= 1;
    assert_eq!(client.produce(TOPIC, &corrupt).0, CORRUPT_MESSAGE);
    let mut old = batch(0, 10, -1, -1);
    old[16] = 1;
    assert_eq!(client.produce(TOPIC, &old).0, UNSUPPORTED_FORMAT);
    assert_eq!(client.produce("elsewhere", &batch(0, 10, -1, -1)).0, UNKNOWN_TOPIC);
    assert_eq!(client.produce(TOPIC, &batch(0, 10, -1, -1)), (0, 0));
    assert_eq!(client.fetch(5, Duration::ZERO, 1 << 20).0, OUT_OF_RANGE);
}

#[test]
fn a_batch_sent_again_is_stored_once_over_a_restart_too() {
    let dir = tempfile::tempdir().expect("a folder");
    let broker = start(dir.path(), Limits::default());
    let mut client = Client::new(broker.address());
    for sequence in 0..3 {
        assert_eq!(client.produce(TOPIC, &batch(0, 10, 9, sequence)), (0, sequence.into()));
    }
    assert_eq!(client.produce(TOPIC, &batch(0, 10, 9, 1)), (0, 1));
    drop(client);
    broker.stop().expect("stopped");

    let broker = start(dir.path(), Limits::default());
    let mut client = Client::new(broker.address());
    assert_eq!(client.produce(TOPIC, &batch(0, 10, 9, 2)), (0, 2));
    assert_eq!(client.produce(TOPIC, &batch(0, 10, 9, 4)).0, OUT_OF_ORDER);
    assert_eq!(client.produce(TOPIC, &batch(0, 10, 9, 3)), (0, 3));
    assert_eq!(client.fetch(0, Duration::ZERO, 1 << 20).1, 4);
}

#[test]
fn every_offset_is_found_and_one_batch_is_always_handed_out() {
    let dir = tempfile::tempdir().expect("a folder");
    // Several segments, and batches larger and smaller than what is read at once.
    let broker = start(dir.path(), Limits { segment_bytes: 50_000, ..Limits::default() });
    let mut client = Client::new(broker.address());
    let sizes: Vec<usize> = (0..100).map(|n| if n % 7 == 0 { 9_000 } else { 10 * (n % 50) }).collect();
    let sent: Vec<Vec<u8>> = sizes.iter().map(|size| batch(0, *size, -1, -1)).collect();
    for batch in &sent {
        assert_eq!(client.produce(TOPIC, batch).0, 0);
    }
    for bytes_max in [1, 200, 5_000, 20_000, 1 << 20] {
        for (offset, batch) in (0_i64..).zip(&sent) {
            let (error, _, got) = client.fetch(offset, Duration::ZERO, bytes_max);
            assert_eq!((error, &got[..8]), (0, offset.to_be_bytes().as_slice()), "{bytes_max}");
            assert_eq!(got[16..batch.len()], batch[16..]);
            assert!(got.len() <= batch.len().max(usize::try_from(bytes_max).expect("a size")), "{bytes_max}");
        }
    }
}

#[test]
fn a_torn_end_is_cut_off_at_the_start() {
    let dir = tempfile::tempdir().expect("a folder");
    let broker = start(dir.path(), Limits::default());
    let mut client = Client::new(broker.address());
    for _ in 0..3 {
        assert_eq!(client.produce(TOPIC, &batch(0, 100, -1, -1)).0, 0);
    }
    drop(client);
    broker.stop().expect("stopped");
    let log = log_files(dir.path()).pop().expect("a log file");
    let whole = std::fs::metadata(&log).expect("the file").len();
    let file = std::fs::OpenOptions::new().write(true).open(&log).expect("the file");
    file.set_len(whole - 5).expect("cut");

    let broker = start(dir.path(), Limits::default());
    let mut client = Client::new(broker.address());
    assert_eq!(client.fetch(0, Duration::ZERO, 1 << 20).1, 2);
    assert_eq!(client.produce(TOPIC, &batch(0, 100, -1, -1)), (0, 2));
    assert_eq!(std::fs::metadata(&log).expect("the file").len(), whole);
}

fn log_files(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(log_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "log") {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[test]
fn a_full_log_refuses_until_what_is_old_is_deleted() {
    let dir = tempfile::tempdir().expect("a folder");
    let grace = Duration::from_millis(100);
    let limits =
        Limits { segment_bytes: 20_000, retention_bytes: 50_000, log_bytes: 100_000, grace, ..Limits::default() };
    let broker = start(dir.path(), limits);
    let mut client = Client::new(broker.address());
    let mut taken = 0;
    let error = loop {
        match client.produce(TOPIC, &batch(0, 9_000, -1, -1)) {
            (0, _) => taken += 1,
            (error, _) => break error,
        }
    };
    assert_eq!((error, taken), (STORAGE_ERROR, 12));
    let began = Instant::now();
    while broker.delete_old() == 0 {
        assert!(began.elapsed() < PATIENCE, "nothing is deleted");
    }
    // Whole segments of three batches, the oldest first, until it is small enough.
    assert_eq!(client.fetch(0, Duration::ZERO, 1 << 20).0, OUT_OF_RANGE);
    assert_eq!(client.fetch(9, Duration::ZERO, 1).0, 0);
    assert_eq!(client.produce(TOPIC, &batch(0, 9_000, -1, -1)), (0, 12));
}

#[test]
fn offsets_go_on_where_they_were_when_everything_is_deleted() {
    let dir = tempfile::tempdir().expect("a folder");
    let limits = Limits { retention: Duration::ZERO, grace: Duration::ZERO, ..Limits::default() };
    let broker = start(dir.path(), limits.clone());
    assert_eq!(Client::new(broker.address()).produce(TOPIC, &batch(0, 10, -1, -1)), (0, 0));
    let began = Instant::now();
    while broker.delete_old() == 0 {
        assert!(began.elapsed() < PATIENCE, "nothing is deleted");
    }
    broker.stop().expect("stopped");
    let broker = start(dir.path(), limits);
    assert_eq!(Client::new(broker.address()).produce(TOPIC, &batch(0, 10, -1, -1)), (0, 1));
}

#[test]
fn a_fetch_waits_for_what_comes() {
    let dir = tempfile::tempdir().expect("a folder");
    let broker = start(dir.path(), Limits::default());
    let address = broker.address();
    let waiting = std::thread::spawn(move || Client::new(address).fetch(0, PATIENCE, 1 << 20));
    assert_eq!(Client::new(address).produce(TOPIC, &batch(0, 10, -1, -1)), (0, 0));
    let (error, high_watermark, records) = waiting.join().expect("an answer");
    assert_eq!((error, high_watermark), (0, 1));
    assert!(!records.is_empty());
}

#[test]
fn clients_newer_than_the_broker_are_told_what_it_speaks() {
    let dir = tempfile::tempdir().expect("a folder");
    let broker = start(dir.path(), Limits::default());
    let answer = Client::new(broker.address()).ask(18, 99, &[0]);
    assert_eq!(answer[..2], 35_i16.to_be_bytes());
    assert!(answer.len() > 100, "with the versions of all requests");
}

#[test]
fn garbage_ends_its_connection_alone() {
    let dir = tempfile::tempdir().expect("a folder");
    let broker = start(dir.path(), Limits::default());
    let mut witness = Client::new(broker.address());
    let of_metadata = [0, 3, 0, 1, 0, 0, 0, 77, 0, 0];
    let frames: [&[u8]; 5] = [
        &[],
        &[0, 3],
        b"GET / HTTP/1.1\r\nHost: localhost:9092\r\n\r\n",
        // Two thousand million topics in four bytes.
        &[of_metadata.as_slice(), &[0x7f, 0xff, 0xff, 0xff]].concat(),
        &[of_metadata.as_slice(), &[0x80, 0, 0, 0]].concat(),
    ];
    for frame in frames {
        let mut client = Client::new(broker.address());
        client.send(frame);
        assert_eq!(client.answer(), None, "{frame:?}");
    }
    // What a browser sends is a length of its own.
    let mut browser = Client::new(broker.address());
    browser.0.write_all(b"GET / HTTP/1.1\r\nHost: localhost:9092\r\n\r\n").expect("sent");
    assert_eq!(browser.answer(), None);
    assert_eq!(witness.produce(TOPIC, &batch(0, 10, -1, -1)), (0, 0));
}

#[test]
fn half_open_connections_hold_no_place_against_a_client_that_asks() {
    let dir = tempfile::tempdir().expect("a folder");
    let limits = Limits { connections: 20, patience: 2 * PATIENCE, ..Limits::default() };
    let broker = start(dir.path(), limits);
    // One says nothing, one half a length, one a hundred megabytes and sends none of them.
    let opened: Vec<TcpStream> = (0..60)
        .map(|n| {
            let mut stream = TcpStream::connect(broker.address()).expect("connected");
            let begun: [&[u8]; 3] = [&[], &[0, 0], &[6, 0, 0, 0, 0]];
            // Those that gave way to later ones are closed by now.
            let _ = stream.write_all(begun[n % 3]);
            stream
        })
        .collect();
    // Another client is served at once, not when their patience is over.
    let began = Instant::now();
    let mut client = Client::new(broker.address());
    assert_eq!(client.produce(TOPIC, &batch(0, 10, -1, -1)), (0, 0));
    assert!(began.elapsed() < PATIENCE / 2, "{:?}", began.elapsed());
    // More of them take nothing from one that asks.
    let more: Vec<TcpStream> = (0..40).map(|_| TcpStream::connect(broker.address()).expect("connected")).collect();
    assert_eq!(client.produce(TOPIC, &batch(0, 10, -1, -1)), (0, 1));
    drop((opened, more));
}

#[test]
fn a_request_that_does_not_come_whole_is_not_waited_for_forever() {
    let dir = tempfile::tempdir().expect("a folder");
    let broker = start(dir.path(), Limits { patience: Duration::from_millis(200), ..Limits::default() });
    for begun in [[].as_slice(), &[0, 0], &[6, 0, 0, 0, 0]] {
        let mut client = Client::new(broker.address());
        client.0.write_all(begun).expect("sent");
        assert_eq!(client.answer(), None, "{begun:?}");
    }
}
