"""Messages of a case, as they are in its file, sent to Kafka in order.

In FILE.jsonl each line is one message, once `@{...}` was replaced:

    @{now}  @{now-90s}  @{now+2h}      that time in UTC, as 2025-05-14T22:16:00Z
    @{local-90s}                       the same in Sao Paulo, without an offset
    @{now-90s|%Y-%m-%dT%H:%MZ}         in this form of strftime (of UTC; of Sao Paulo after `local`)
    @{epoch-90s}  @{epoch_ms-90s}      seconds, milliseconds since 1970

In FILE.b64 each line is the base64 of one message's bytes. Lines that begin with # are for people; `!tombstone KEY` is a message without a
payload, `!empty` one of no bytes. The key is the message's id_usuario, where it has one.
"""

import base64
import json
import re
from datetime import datetime, timedelta, timezone

from confluent_kafka import Producer

TOPIC = "eventos_clientes"
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
TOKEN = re.compile(r"@\{(now|local|epoch|epoch_ms)(?:([+-]\d+)([smhd]))?(?:\|([^}]*))?\}")
SAO_PAULO = timezone(timedelta(hours=-3))


def filled(line, now):
    def moment(found):
        kind, number, unit, form = found.groups()
        at = now + timedelta(seconds=int(number or 0) * UNITS[unit or "s"])
        if kind == "epoch":
            return str(int(at.timestamp()))
        if kind == "epoch_ms":
            return str(int(at.timestamp() * 1000))
        if kind == "local":
            return at.astimezone(SAO_PAULO).strftime(form or "%Y-%m-%dT%H:%M:%S")
        return at.strftime(form or "%Y-%m-%dT%H:%M:%SZ")

    return TOKEN.sub(moment, line)


def messages(path):
    """(key, payload) of each message; the payload is None for a tombstone."""
    now = datetime.now(timezone.utc).replace(microsecond=0)
    with open(path, encoding="utf-8", newline="\n") as lines:
        for line in lines:
            line = line.rstrip("\n")
            if not line or line.startswith("#"):
                continue
            if line.startswith("!tombstone"):
                yield line.split(maxsplit=1)[1].encode(), None
            elif line == "!empty":
                yield None, b""
            elif str(path).endswith(".b64"):
                yield None, base64.b64decode(line)
            else:
                text = filled(line, now)
                yield key_of(text), text.encode("utf-8", "surrogatepass")


def key_of(text):
    try:
        user = json.loads(text)["id_usuario"]
        return str(user).encode("utf-8", "replace") if user is not None else None
    except (ValueError, KeyError, TypeError):
        return None


def send_zeros(size, kafka, codec, partition):
    """One message of so many zeros, which a producer that allows it sends as very few bytes."""
    options = {"bootstrap.servers": kafka, "acks": "all", "message.max.bytes": 1_000_000_000, "compression.type": codec}
    producer, failed = Producer(options), []
    producer.produce(TOPIC, value=bytes(size), partition=partition, on_delivery=lambda error, _: failed.append(error) if error else None)
    if producer.flush(60) or failed:
        raise RuntimeError(f"not delivered: {failed[:1]}")
    return 1


def send(path, kafka, codec=None, idempotent=False, partition=None):
    """Sends the file's messages, and says how many they were once the broker has all of them."""
    options = {"bootstrap.servers": kafka, "acks": "all", "message.max.bytes": 4 << 20, "enable.idempotence": idempotent}
    if codec:
        options["compression.type"] = codec
    producer = Producer(options)
    failed, count = [], 0
    for key, value in messages(path):
        more = {} if partition is None else {"partition": partition}
        producer.produce(TOPIC, value=value, key=key, on_delivery=lambda error, _: failed.append(error) if error else None, **more)
        producer.poll(0)
        count += 1
    if producer.flush(30) or failed:
        raise RuntimeError(f"not delivered: {failed[:1]}")
    return count
