"""What producers send: again, in disorder, late, of the future, malformed, too large, and in transactions."""

import os
import random
import struct
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from confluent_kafka import Producer

from faults import Failed, expect, fault, until
from stream import Stream
from traffic import at, event
from world import World

MIB = 1 << 20


@fault("each counts once, the rest are `duplicada`")
def duplicates(world: World) -> str:
    """Each message comes one to five times, up to 500 messages later"""
    world.topic()
    draw = random.Random(2)
    messages, repeated = [], 0
    for index, message in enumerate(world.traffic.take(20_000)):
        times = draw.randint(1, 5)
        repeated += times - 1
        messages += [(index + draw.randrange(500) * (again > 0), message) for again in range(times)]
    # The first is where it was, and those that follow keep their order of arrival.
    messages.sort(key=lambda each: each[0])
    stream = world.stream()
    world.send([message for _, message in messages])
    return f"{repeated} repetitions; {world.judge(stream, duplicates=repeated)}"


@fault("all count: none is late, every window is right")
def disorder_within_lateness(world: World) -> str:
    """An hour of events in random order, lateness an hour; then five more hours in disorder of up to 55 minutes"""
    world.topic(lateness="1 hour", step=1)
    draw = random.Random(3)
    stream = world.stream()
    first = world.traffic.take(3600)
    draw.shuffle(first)
    world.send(first)
    rest = sorted(enumerate(world.traffic.take(5 * 3600)), key=lambda each: each[0] + draw.randrange(55 * 60))
    world.send([message for _, message in rest])
    return world.judge(stream)


def until_watermark(world: World, stream: Stream, behind_newest: float = 10) -> datetime:
    """Waits for the watermark to be where the newest event has brought it."""
    wanted = world.traffic.newest - timedelta(seconds=behind_newest)
    stream.until(f"the watermark is at {wanted}", lambda: stream.watermark == wanted)
    return wanted


@fault("late exactly from the first millisecond before watermark - lateness")
def late_rows(world: World) -> str:
    """Rows a millisecond within and a millisecond beyond the lateness"""
    world.topic(partitions=1, lateness="60 seconds")
    stream = world.stream()
    world.send(world.traffic.take(4000))
    stream.until_read(4000)
    edge = until_watermark(world, stream) - timedelta(seconds=60)
    world.send([(0, event(at(0.001 * offset, edge))) for offset in (-5, -1, 0, 1, 5) for _ in range(10)])
    return world.judge(stream, late=20)


@fault("it is named idle, the others' windows close; what it sends then may be late")
def idle_partition(world: World) -> str:
    """One of three partitions never has a message; later it gets an old one and a new one"""
    world.topic(partitions=3, lateness="10 seconds", idle="3 seconds")
    world.traffic.partitions = 2
    stream = world.stream()
    with world.pour(500):
        stream.ready().until("partition 2 is idle", lambda: stream.idle == {2})
        stream.until("the watermark moves", lambda: stream.watermark)
    world.send([(2, event(at(-3600))), (2, event(at(0, world.traffic.newest)))])
    return world.judge(stream, late=1, idle=True)


@fault("it counts, and the watermark stays behind the wall clock, so that events of now are not late")
def event_59_minutes_ahead(world: World) -> str:
    """An event 59 minutes ahead of the clock, then events of now"""
    world.topic(partitions=1, lateness="10 seconds")
    stream = world.stream()
    for seconds in (0, 59 * 60, 0, 0):
        world.send([(0, event(at(seconds, datetime.now(UTC))))] * 5)
        time.sleep(1)
    stream.until_read(20)
    ahead = stream.watermark - datetime.now(UTC)
    expect(ahead < timedelta(seconds=-9), f"the watermark is at now + {ahead}")
    return f"watermark {ahead.total_seconds():.1f} s from now; {world.judge(stream, published=False)}"


@fault("refused as `futuro`, the watermark unmoved, the rest counts")
def year_2099(world: World) -> str:
    """An event of 2099 between events of 2025"""
    world.topic(partitions=1)
    stream = world.stream()
    world.send(world.traffic.take(2000) + [(0, event("2099-01-01T00:00:00Z"))] + world.traffic.take(2000))
    stream.until_read(4001)
    until_watermark(world, stream)
    return world.judge(stream, refused=1)


POISON = {
    "10,000 arrays deep": event(at(), fields='"x":' + "[" * 10_000 + "]" * 10_000),
    "10,000 objects deep": event(at(), fields='"x":' + '{"y":' * 10_000 + "1" + "}" * 10_000),
    "10,000 arrays, never closed": b"[" * 10_000,
    "invalid UTF-8": b'{"id_usuario":"\xff\xfe","tipo_evento":"clique","timestamp":"2025-05-14T12:00:00Z"}',
    "a long form of a zero byte": event(at()).replace(b"u1", b"\xc0\x80"),
    "half a surrogate pair": event(at()).replace(b"u1", b"\\ud800"),
    "a number of 100,000 digits": event(at(), "u1", "compra", '"quantidade":' + "9" * 100_000),
    "1e400": event(at(), "u1", "compra", '"preco":1e400'),
    "1e-400": event(at(), "u1", "compra", '"preco":1e-400'),
    "1e999999999999": event(at(), "u1", "compra", '"quantidade":1e999999999999'),
    "NaN": event(at(), "u1", "compra", '"preco":NaN'),
    "a zero byte": b"\0" * 1000,
    "nothing": b"",
    "no object": b"[1,2,3]",
    "a text": b'"x"',
    "a year of five digits": event("12025-05-14T12:00:00Z"),
    "a year below zero": event("-0001-05-14T12:00:00Z"),
}


@fault("each is refused or counts as the oracle says, none stops the stream, all refused are dead letters")
def poison_messages(world: World) -> str:
    """Nesting of 10,000, invalid UTF-8, huge numbers and the like, between good messages, in every partition"""
    world.topic()
    stream = world.stream()
    world.send(world.traffic.take(2000))
    world.send([(partition, value) for value in POISON.values() for partition in (0, 1)])
    world.send(world.traffic.take(4000))
    stream.until_read(world.sent)
    refused = int(stream.completeness()["recusadas"])
    expect(refused >= 20, f"only {refused} were refused")
    outcome = world.judge(stream, refused=refused)
    letters = world.dead_letters()
    expect(len(letters) == refused, f"{refused} refused, {len(letters)} dead letters")
    return f"{len(POISON)} poisons twice, {refused} refused, each a dead letter; {outcome}"


def padded(size: int) -> bytes:
    """An event of exactly so many bytes, nearly all of them the same."""
    return event(at(), fields=f'"x":"{"0" * (size - len(event(at(), fields=EMPTY)))}"')


EMPTY = '"x":""'


@fault("a message of 1 MiB counts, one byte more is `tamanho` and a dead letter of its beginning, the next is processed")
def message_too_large(world: World) -> str:
    """Messages of 1 MiB and of 1 MiB + 1 on a topic that allows more"""
    world.topic(partitions=1, config={"max.message.bytes": str(8 * MIB)})
    world.renew_sender(**{"message.max.bytes": 8 * MIB})
    stream = world.stream()
    world.send([(0, padded(MIB)), (0, padded(MIB + 1)), (0, padded(4 * MIB))])
    world.send(world.traffic.take(4000))
    outcome = world.judge(stream, refused=2)
    sizes = sorted(world.dead_letters().values())
    expect(max(sizes) <= MIB and len(sizes) == 2, f"the dead letters have {sizes} bytes")
    return outcome


@fault("all are read")
def every_codec(world: World) -> str:
    """Events compressed with gzip, snappy, lz4 and zstd"""
    world.topic()
    stream = world.stream()
    for codec in ("gzip", "snappy", "lz4", "zstd"):
        world.renew_sender(**{"compression.codec": codec})
        world.send(world.traffic.take(2000))
        try:
            stream.until_read(world.sent, within=30)
        except Failed as failed:
            raise Failed(f"{codec}: {failed}; {stream.words[-300:]}") from None
    return world.judge(stream)


MEMORY_MIB = 1200


@fault(f"all count, in at most {MEMORY_MIB} MiB")
def compressed_batches(world: World) -> str:
    """Batches of 100 MB of zeros that arrive as some kilobytes, by gzip and zstd"""
    world.topic(partitions=2)
    stream = world.stream().ready()
    before = stream.peak_mib()
    for codec in ("gzip", "zstd"):
        squeeze(world, codec)
        for partition in (0, 1):
            world.send([(partition, padded(900 << 10))] * 105)
    world.send(world.traffic.take(4000))
    outcome = world.judge(stream)
    peak = stream.peak_mib()
    expect(peak < MEMORY_MIB, f"{peak} MiB at most, before that {before}")
    return f"4 batches of 100 MB: {peak} MiB at most, before that {before}; {outcome}"


def squeeze(world: World, codec: str) -> None:
    """From now on what is sent together is one batch, compressed."""
    sizes = {"batch.size": 400 * MIB, "message.max.bytes": 400 * MIB, "queue.buffering.max.kbytes": 800 << 10}
    world.renew_sender(**{"compression.codec": codec, "linger.ms": 3000, **sizes})


def giant(world: World, megabytes: int) -> str:
    world.topic(partitions=1)
    stream = world.stream()
    squeeze(world, "gzip")
    world.send([(0, padded(megabytes * 1_000_000))])
    world.send(world.traffic.take(4000))
    outcome = world.judge(stream, refused=1)
    letters = world.dead_letters()
    expect(len(letters) == 1, f"{len(letters)} dead letters")
    kept = sum(letters.values())
    expect(0 < kept <= MIB, f"the dead letter has {kept} bytes")
    return f"dead letter of {kept} bytes, {stream.peak_mib()} MiB at most; {outcome}"


@fault("`tamanho`, its beginning is a dead letter, the stream goes on")
def compressed_giant_90(world: World) -> str:
    """One message of 90 MB of zeros, which the broker takes as some kilobytes"""
    return giant(world, 90)


@fault("`tamanho`, its beginning is a dead letter, the stream goes on")
def compressed_giant_102(world: World) -> str:
    """The same of 102 MB, more than the client library receives by default"""
    return giant(world, 102)


@fault("`tamanho`, its beginning is a dead letter, the stream goes on")
def compressed_giant_150(world: World) -> str:
    """The same of 150 MB, more than a message in the dead-letter topic may have"""
    return giant(world, 150)


@fault("exit 1 that names the batch and the command; with it all others count, and the range is in the ledger")
def damaged_batch(world: World) -> str:
    """A byte of a batch is changed on the broker's disk"""
    world.topic(partitions=1)
    world.renew_sender(**{"compression.codec": "zstd", "linger.ms": 500, "batch.num.messages": 500})
    world.send(world.traffic.take(2000))
    log = Path(world.kafka.environment["VITRAL_TEST_KAFKA_DATA"]) / f"{world.kafka_topic}-0" / "00000000000000000000.log"
    first, last = damage(log, behind=500)
    skip = f"{world.kafka_topic}/0:{first}-{last}"
    words = world.stream().refused(f"offset {first} cannot be read", f"vitral stream --skip {skip}")
    rest = 2000 - (last - first + 1)
    stream = world.stream(None, "--skip", skip).until_read(rest)
    expect(int(stream.completeness()["puladas"]) == last - first + 1, f"{stream.completeness()}")
    stream.stop()
    expect(world.undelivered() == [(first, last)], f"{world.undelivered()}")
    return repr(words)


def damage(log: Path, behind: int) -> tuple[int, int]:
    """Changes a byte of the first batch behind an offset; the batch's first and last offset."""
    with log.open("r+b") as file:
        at = 0
        while True:
            file.seek(at)
            head = file.read(61)
            first, length, last_delta = struct.unpack(">qi11xi34x", head)
            if first >= behind:
                file.seek(at + 61 + (length + 12 - 61) // 2)
                byte = file.read(1)
                file.seek(-1, os.SEEK_CUR)
                file.write(bytes([byte[0] ^ 0xFF]))
                return first, first + last_delta
            at += 12 + length


def transactional(world: World, name: str) -> Producer:
    producer = Producer(world.kafka.client(**{"transactional.id": f"{world.kafka_topic}-{name}"}))
    producer.init_transactions(30)
    return producer


@fault("it becomes idle like any other, and the other's windows close")
def idle_after_transactions(world: World) -> str:
    """A partition ends with committed transactions and nothing follows; the other goes on"""
    world.topic(lateness="10 seconds", idle="3 seconds")
    stream = world.stream().ready()
    producer = transactional(world, "last")
    for _ in range(3):
        producer.begin_transaction()
        for _, value in world.traffic.take(200):
            producer.produce(world.kafka_topic, value, partition=1)
        producer.flush(30)
        producer.commit_transaction(30)
        world.delivered_else += 200
    world.traffic.partitions = 1
    with world.pour(500):
        stream.until("partition 1 is idle", lambda: stream.idle == {1}, within=20)
        wanted = world.traffic.newest
        stream.until("the watermark goes on", lambda: stream.watermark and stream.watermark > wanted, within=20)
    return world.judge(stream, idle=True)


@fault("committed ones count, aborted ones and marks are ranges `nao_entregue`")
def aborted_transactions(world: World) -> str:
    """Transactions that commit and that abort, by turns, one of them at the end of the topic"""
    world.topic(partitions=1)
    stream = world.stream()
    producer = transactional(world, "turns")
    for turn in range(8):
        producer.begin_transaction()
        for partition, value in world.traffic.take(1000):
            producer.produce(world.kafka_topic, value, partition=partition)
        producer.flush(30)
        if turn % 2:
            producer.abort_transaction(30)
        else:
            producer.commit_transaction(30)
            world.delivered_else += 1000
    world.send(world.traffic.take(2000))
    producer.begin_transaction()
    producer.produce(world.kafka_topic, b"aborted", partition=0)
    producer.flush(30)
    producer.abort_transaction(30)
    outcome = world.judge(stream)
    end = world.kafka.ends(world.kafka_topic)[0]
    ranges = until("the archive reaches the topic's end", lambda: ranges_to(world, end), within=30)
    return f"{ranges} ranges `nao_entregue` to the end, {end}; {outcome}"


def ranges_to(world: World, end: int) -> int:
    """How many ranges the archive has, once the last goes to this end, which is not an offset yet."""
    ranges = world.undelivered()
    return len(ranges) if ranges and max(last for _, last in ranges) == end - 1 else 0


def open_transaction(world: World, before: bool) -> str:
    world.topic(partitions=2, lateness="10 seconds", idle="3 seconds")
    producer = transactional(world, "open")

    def begin() -> list:
        producer.begin_transaction()
        held = [value for partition, value in world.traffic.take(2000) if partition == 1]
        for value in held:
            producer.produce(world.kafka_topic, value, partition=1)
        producer.flush(30)
        return held

    world.send(world.traffic.take(2000))
    newest = world.traffic.newest
    held = begin() if before else None
    stream = world.stream().until_read(2000)
    held = held or begin()
    until_idle = time.monotonic() + 10
    # Partition 0 alone goes on, far ahead.
    world.traffic.partitions = 1
    while time.monotonic() < until_idle:
        world.send(world.traffic.take(200))
        expect(1 not in stream.idle, "the partition with the open transaction is idle")
    watermark = stream.watermark
    expect(watermark < newest, f"the watermark went on to {watermark}, beyond {newest}")
    producer.commit_transaction(30)
    world.delivered_else += len(held)
    return f"watermark held at {watermark:%H:%M:%S} for 10 s, {len(held)} rows then committed; {world.judge(stream)}"


@fault("it holds the watermark and is not idle; nothing in it is late once it commits")
def open_transaction_found(world: World) -> str:
    """A partition ends with an open transaction that was there when the stream began; the other goes on for three times `idle`"""
    return open_transaction(world, before=True)


@fault("it holds the watermark and is not idle; nothing in it is late once it commits")
def open_transaction_begun(world: World) -> str:
    """The same, opened after the stream had read to the partition's end"""
    return open_transaction(world, before=False)
