"""Sends events with kafka-python and reads them back: brokers, topic, name, codec, idempotence, count."""

import json
import sys
import time
from datetime import UTC, datetime

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

DEADLINE_SECONDS = 60


def main() -> int:
    brokers, topic, name, codec, idempotence, count = sys.argv[1:]
    producer = KafkaProducer(
        bootstrap_servers=brokers, compression_type=None if codec == "none" else codec, linger_ms=50,
        enable_idempotence=idempotence == "true",
    )
    sent = []
    for n in range(int(count)):
        event = {"id_usuario": f"{name}-{n}", "tipo_evento": "visualizacao", "id_produto": name, "id_evento": f"{name}-{n}",
                 "timestamp": datetime.now(UTC).isoformat()}
        sent.append(producer.send(topic, json.dumps(event).encode(), f"{name}-{n}".encode()))
    producer.flush(DEADLINE_SECONDS)
    for future in sent:
        future.get(DEADLINE_SECONDS)
    producer.close()

    # A group of its own, or every partition by hand.
    group = name if idempotence == "true" else None
    consumer = KafkaConsumer(bootstrap_servers=brokers, group_id=group, auto_offset_reset="earliest")
    if group:
        # As the group's leader it assigns nothing if it joins before it knows the partitions, on Apache Kafka too.
        consumer.partitions_for_topic(topic)
        consumer.subscribe([topic])
    else:
        consumer.assign([TopicPartition(topic, partition) for partition in consumer.partitions_for_topic(topic)])
        consumer.seek_to_beginning()
    read, deadline = set(), time.monotonic() + DEADLINE_SECONDS
    while len(read) < int(count) and time.monotonic() < deadline:
        for records in consumer.poll(200).values():
            read.update(record.key for record in records if (record.key or b"").startswith(f"{name}-".encode()))
    consumer.close()
    print("read", len(read))
    return len(read) != int(count)


sys.exit(main())
