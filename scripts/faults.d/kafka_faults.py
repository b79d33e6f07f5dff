"""Kafka fails: brokers die, connections break, stall and slow down, topics change under the stream."""

import time

from confluent_kafka import KafkaException
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from deltalake import DeltaTable

from faults import expect, fault, until
from proxies import TcpProxy
from services import Kafka
from world import World


def proxied(world: World, kafka: Kafka) -> TcpProxy:
    proxy = TcpProxy(kafka.proxy_port, kafka.proxied_port)
    world.at_end.callback(proxy.close)
    return proxy


def by_proxy(kafka: Kafka) -> str:
    return f"127.0.0.1:{kafka.proxy_port}"


@fault("the same process goes on, every message counts once")
def broker_killed(world: World) -> str:
    """kill -9 of the broker while events pour in, three times; it is back after some seconds"""
    world.topic()
    stream = world.stream()
    with world.pour():
        for _ in range(3):
            stream.until_read(world.sent)
            world.kafka.kill()
            time.sleep(3)
            world.kafka.start()
    return world.judge(stream)


@fault("the same process goes on, every message counts once")
def connections_cut(world: World) -> str:
    """Every connection to the broker is cut, again and again for 15 s"""
    world.topic()
    proxy, cuts = proxied(world, world.kafka), 0
    stream = world.stream(by_proxy(world.kafka)).ready()
    with world.pour(2000):
        until_over = time.monotonic() + 15
        while time.monotonic() < until_over:
            cuts += proxy.cut()
            time.sleep(0.4)
    return f"{cuts} connections cut; {world.judge(stream)}"


@fault("the same process goes on, every message counts once")
def replies_delayed(world: World) -> str:
    """Each reply of the broker comes 300 ms late, for 15 s"""
    return delayed(world, 0.3)


@fault("the same process goes on, every message counts once")
def replies_after_the_deadline(world: World) -> str:
    """Each reply comes 4 s late, for 20 s: long after the stream's polls have ended, and after the client's own deadline"""
    return delayed(world, 4, **{"socket.timeout.ms": 3000})


def delayed(world: World, seconds: float, **client: object) -> str:
    world.topic()
    world.configure("connections.kafka", url=f"kafka://{by_proxy(world.kafka)}")
    world.configure("connections.kafka.options", **{name: str(value) for name, value in client.items()})
    proxy = proxied(world, world.kafka)
    stream = world.stream(by_proxy(world.kafka)).ready()
    with world.pour(2000):
        stream.until_read(world.sent)
        proxy.delay = seconds
        time.sleep(max(15, 5 * seconds))
        proxy.delay = 0
        stream.until_read(world.sent)
    return world.judge(stream)


@fault("the same process goes on, every message counts once")
def replies_dropped(world: World) -> str:
    """What the broker answers is lost on the way, for 6 s, three times"""
    world.topic()
    world.configure("connections.kafka", url=f"kafka://{by_proxy(world.kafka)}")
    world.configure("connections.kafka.options", **{"socket.timeout.ms": "3000"})
    proxy = proxied(world, world.kafka)
    stream = world.stream(by_proxy(world.kafka)).ready()
    with world.pour(2000):
        for _ in range(3):
            stream.until_read(world.sent)
            proxy.drop_replies = True
            time.sleep(6)
            proxy.drop_replies = False
    return world.judge(stream)


@fault("no partition is taken for idle meanwhile: nothing is late afterwards")
def connection_stalls(world: World) -> str:
    """All connections stand still for four times `idle`, while events go on"""
    world.topic(lateness="10 seconds", idle="3 seconds")
    proxy = proxied(world, world.kafka)
    stream = world.stream(by_proxy(world.kafka))
    with world.pour(4000):
        stream.until_read(world.sent)
        proxy.stalled = True
        time.sleep(12)
        proxy.stalled = False
        stream.until_read(world.sent)
    return world.judge(stream)


@fault("it holds the watermark and is not idle: nothing of it is late afterwards")
def partition_stalls(world: World) -> str:
    """Of two brokers one's connections stand still for four times `idle`, after the stream had read to its partition's end"""
    kafka, second = world.kafka, world.services.second_kafka
    world.topic(brokers=[1, 2], lateness="10 seconds", idle="3 seconds")
    proxied(world, kafka)
    proxy = proxied(world, second)
    stream = world.stream(by_proxy(kafka))
    world.send(world.traffic.take(4000))
    stream.until_read(4000)
    time.sleep(1)
    proxy.stalled = True
    newest, ever_idle = world.traffic.newest, set()
    with world.pour(500):
        until_over = time.monotonic() + 12
        while time.monotonic() < until_over:
            ever_idle |= stream.idle
            time.sleep(0.2)
        watermark = stream.watermark
        proxy.stalled = False
    expect(watermark < newest, f"idle: {ever_idle}; the watermark went on to {watermark}, beyond {newest}")
    expect(1 not in ever_idle, f"partition 1 was idle while its connection stalled; idle: {ever_idle}")
    return f"watermark held at {watermark}; {world.judge(stream)}"


@fault("the commit waits, nothing is lost, every refused message is a dead letter, the same process goes on")
def dead_letter_broker_killed(world: World) -> str:
    """kill -9 of the broker that holds the dead-letter topic, while a tenth of the events are refused; it is back after 8 s"""
    second = world.services.second_kafka
    world.topic(brokers=[1, 1])
    world.kafka.create(f"{world.kafka_topic}.dlq", brokers=[2])
    world.traffic.refused_share = 0.1
    stream = world.stream()
    with world.pour():
        stream.until_read(world.sent)
        second.kill()
        time.sleep(8)
        second.start()
    stream.until_read(world.sent)
    refused = int(stream.completeness()["recusadas"])
    outcome = world.judge(stream, refused=refused)
    letters = world.dead_letters()
    expect(len(letters) == refused, f"{refused} refused, {len(letters)} of them are dead letters")
    return f"{refused} dead letters; {outcome}"


@fault("their bytes are left out, what they were is said")
def dead_letters_too_large(world: World) -> str:
    """The dead-letter topic takes 500 bytes, the refused messages have 5,000"""
    world.topic()
    world.kafka.create(f"{world.kafka_topic}.dlq", config={"max.message.bytes": "500"})
    world.traffic.refused_share, world.traffic.refused_padding = 0.1, 5000
    stream = world.stream()
    world.send(world.traffic.take(4000))
    stream.until_read(4000)
    refused = int(stream.completeness()["recusadas"])
    outcome = world.judge(stream, refused=refused)
    letters = world.dead_letters()
    expect(len(letters) == refused, f"{refused} refused, {len(letters)} of them are dead letters")
    expect(not any(letters.values()), "some have their bytes")
    return f"{refused} dead letters without their bytes; {outcome}"


@fault("nothing is committed without its dead letter: it stops or waits; once they are taken it goes on, nothing lost")
def dead_letters_refused(world: World) -> str:
    """The dead-letter topic takes no message at all; later it does"""
    world.topic()
    letters_topic = f"{world.kafka_topic}.dlq"
    world.kafka.create(letters_topic, config={"max.message.bytes": "10"})
    stream = world.stream()
    world.send(world.traffic.take(2000))
    stream.until_read(2000)
    world.send([(0, b"no json")] + world.traffic.take(2000))
    time.sleep(5)
    state = "it waited" if stream.alive else f"it stopped with {stream.ended()}, {stream.words!r}"
    if not stream.alive:
        stream.refused("dead letter")
        world.stream().refused("dead letter")
    entry = ConfigEntry("max.message.bytes", "100000", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, letters_topic, incremental_configs=[entry])
    world.kafka.ask(lambda admin: admin.incremental_alter_configs([resource]))
    stream = stream if stream.alive else world.stream()
    outcome = world.judge(stream, refused=1)
    expect(len(world.dead_letters()) == 1, "the refused message is not a dead letter")
    return f"{state}; {outcome}"


@fault("exit 1 that names topic, partition, offsets and the command; with it the rest counts, and the range is in the ledger")
def offset_out_of_range(world: World) -> str:
    """The broker deletes records that the stream has not read, while it is down"""
    world.topic(partitions=2)
    world.send(world.traffic.take(2000))
    world.stream().until_read(2000).stop()
    world.send(world.traffic.take(2000))
    world.kafka.drop_records(world.kafka_topic, 1, 1500)
    skip = f"{world.kafka_topic}/1:1000-1499"
    words = world.stream().refused("partition 1", "offset 1000", f"vitral stream --skip {skip}")
    stream = world.stream(None, "--skip", skip).until_read(3500)
    expect(int(stream.completeness()["puladas"]) == 500, f"{stream.completeness()}")
    world.send(world.traffic.take(1000))
    stream.until_read(4500).stop()
    expect((1000, 1499) in world.undelivered(), f"{world.undelivered()}")
    # The same command again, as a service manager would.
    world.stream(None, "--skip", skip).until_read(4500)
    expect(world.reconcile(), "nothing is left")
    return repr(words)


@fault("exit 1 that names the topic and the command; the archive is as it was; with the command the new topic is read")
def topic_recreated(world: World) -> str:
    """The topic is deleted and made again while the stream is down"""
    world.topic()
    world.send(world.traffic.take(2000))
    world.stream().until_read(2000).stop()
    world.kafka.delete(world.kafka_topic)
    world.kafka.create(world.kafka_topic, 2)
    world.renew_sender()
    world.send(world.traffic.take(3000))
    words = world.stream().refused("created again", "vitral stream --accept-new-log eventos_clientes")
    expect(world.reconcile(), "nothing is left")
    stream = world.stream(None, "--accept-new-log", "eventos_clientes").until_read(5000)
    stream.stop()
    stream = world.stream().until_read(5000)
    expect(world.reconcile(), "nothing is left")
    return repr(words)


@fault("it ends with exit 1, by itself or at its next start; nothing of the new topic is in the archive")
def topic_recreated_while_read(world: World) -> str:
    """The topic is deleted and made again while the stream reads it"""
    world.topic()
    world.send(world.traffic.take(2000))
    stream = world.stream().until_read(2000)
    archive, storage = world.archive

    def archived() -> int:
        return DeltaTable(archive, storage_options=storage).to_pyarrow_dataset().count_rows()

    stream.until("they are committed", lambda: archived() == 2000)
    world.kafka.delete(world.kafka_topic)
    world.kafka.create(world.kafka_topic, 2)
    world.renew_sender()
    world.send(world.traffic.take(6000))
    until_over = time.monotonic() + 30
    while stream.alive and time.monotonic() < until_over:
        time.sleep(0.2)
    state = f"it ended by itself: {stream.words!r}" if not stream.alive else "it did not notice for 30 s"
    if stream.alive:
        stream.kill()
    rows = archived()
    expect(rows == 2000, f"{rows} rows in the archive, 2000 of them of the topic that was deleted")
    return f"{state}; then {world.stream().refused('created again')!r}"


@fault("all of them are read, from their beginning")
def partitions_added(world: World) -> str:
    """Two partitions become five while events pour in, into the new ones as well"""
    # So slow that the watermark, until the stream knows of the new partitions, does not leave them an hour behind.
    world.topic(lateness="1 hour")
    stream = world.stream()
    with world.pour(200):
        stream.until_read(500)
    world.kafka.grow(world.kafka_topic, 5)

    def has_them() -> bool:
        try:
            return len(world.kafka.ends(world.kafka_topic)) == 5
        except KafkaException:
            # A new partition has no leader yet.
            return False

    until("the broker has them", has_them)
    world.renew_sender()
    world.traffic.partitions = 5
    with world.pour(200):
        time.sleep(8)
    added = time.monotonic()
    stream.until_read(world.sent)
    seconds = time.monotonic() - added
    # And on, until windows close.
    world.send(world.traffic.take(20_000))
    outcome = world.judge(stream)
    return f"all read {seconds:.0f} s later; {outcome}"
