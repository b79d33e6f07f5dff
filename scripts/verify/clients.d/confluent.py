"""Sends events with confluent-kafka and reads them back: brokers, topic, name, codec, idempotence, count."""

import json
import sys
import time
from datetime import UTC, datetime

from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition

DEADLINE_SECONDS = 60


def main() -> int:
    brokers, topic, name, codec, idempotence, count = sys.argv[1:]
    failed = []
    producer = Producer({
        "bootstrap.servers": brokers, "compression.type": codec, "enable.idempotence": idempotence, "linger.ms": 50,
    })
    for n in range(int(count)):
        event = {"id_usuario": f"{name}-{n}", "tipo_evento": "visualizacao", "id_produto": name, "id_evento": f"{name}-{n}",
                 "timestamp": datetime.now(UTC).isoformat()}
        producer.produce(topic, json.dumps(event), f"{name}-{n}", on_delivery=lambda error, _: error and failed.append(error))
    if producer.flush(DEADLINE_SECONDS) or failed:
        print("not delivered:", *failed[:1])
        return 1

    # A group of its own, or every partition by hand.
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": name, "auto.offset.reset": "earliest"})
    if idempotence == "true":
        consumer.subscribe([topic])
    else:
        partitions = consumer.list_topics(topic, DEADLINE_SECONDS).topics[topic].partitions
        consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in partitions])
    read, deadline = set(), time.monotonic() + DEADLINE_SECONDS
    while len(read) < int(count) and time.monotonic() < deadline:
        for message in consumer.consume(1000, 0.2):
            if message.error():
                print("reading failed:", message.error())
            elif (message.key() or b"").startswith(f"{name}-".encode()):
                read.add(message.key())
    consumer.close()
    print("read", len(read))
    return len(read) != int(count)


sys.exit(main())
