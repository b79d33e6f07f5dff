"""Raw Kafka messages: where they come from, and what their JSON holds, as Arrow batches for the oracle."""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from exact import BATCH_ROWS, Number, batches, parse, record_batch, stream

RAW_SCHEMA = pa.schema([("partition", pa.int32()), ("offset", pa.int64()), ("value", pa.binary())])


class Message(NamedTuple):
    partition: int
    offset: int
    value: bytes | None


TEXT = (str,)
TEXT_OR_NUMBER = (str, Number)

# The fields of `eventos_clientes` and the JSON types that each may have; null counts as absent.
FIELDS = {
    "id_usuario": TEXT,
    "tipo_evento": TEXT,
    "timestamp": TEXT,
    "id_produto": TEXT_OR_NUMBER,
    "id_evento": TEXT_OR_NUMBER,
    "id_sessao": TEXT_OR_NUMBER,
    "id_pedido": TEXT_OR_NUMBER,
    "canal": TEXT_OR_NUMBER,
    "regiao": TEXT_OR_NUMBER,
    "categoria": TEXT_OR_NUMBER,
    "id_afiliado": TEXT_OR_NUMBER,
    "quantidade": (Number,),
    "preco": TEXT_OR_NUMBER,
    "valor_total": TEXT_OR_NUMBER,
    "desconto": TEXT_OR_NUMBER,
    "moeda": TEXT,
}

# Texts that are kept as they are, each of 256 bytes at most.
KEYS = [field for field in FIELDS if field.startswith("id_")] + ["tipo_evento", "canal", "regiao", "categoria"]
KEY_BYTES_MAX = 256

# One row per message: `size` is null for a tombstone, `fault` is the reason where a field is already wrong by itself.
DECODED_SCHEMA = pa.schema(
    [("partition", pa.int32()), ("offset", pa.int64()), ("size", pa.int64()), ("fault", pa.string())]
    + [(field, pa.string()) for field in FIELDS]
)


def from_kafka(address: str, topic: str) -> Iterator[Message]:
    """Every message from the beginning of each partition to where it ends now."""
    consumer = Consumer(
        {
            "bootstrap.servers": address,
            "group.id": "vitral-verify",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            # Also bounds what a compressed batch may become.
            "receive.message.max.bytes": 1_000_000_000,
        }
    )
    metadata = consumer.list_topics(topic, timeout=30).topics[topic]
    if metadata.error:
        raise KafkaException(metadata.error)
    unread = set(metadata.partitions)
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in unread])
    while unread:
        for message in consumer.consume(num_messages=10_000, timeout=1):
            error = message.error()
            if error is None:
                yield Message(message.partition(), message.offset(), message.value())
            elif error.code() == KafkaError._PARTITION_EOF:
                unread.discard(message.partition())
            elif not error.retriable():
                raise KafkaException(error)
    consumer.close()


def from_files(path: Path) -> Iterator[Message]:
    """The messages of a Parquet or NDJSON file (`partition`, `offset`, `value`), or of all such files of a folder."""
    if path.is_dir():
        for file in sorted([*path.glob("*.parquet"), *path.glob("*.ndjson")]):
            yield from from_files(file)
    elif path.suffix == ".parquet":
        for batch in pq.ParquetFile(path).iter_batches(BATCH_ROWS, columns=RAW_SCHEMA.names):
            yield from map(Message, *(column.to_pylist() for column in batch.cast(RAW_SCHEMA).columns))
    else:
        with path.open(encoding="utf-8") as lines:
            for line in map(json.loads, lines):
                value = line["value"]
                yield Message(line["partition"], line["offset"], None if value is None else value.encode())


def saved(messages: Iterable[Message], path: Path) -> Iterator[Message]:
    """The same messages, written to a Parquet file on their way."""
    with pq.ParquetWriter(path, RAW_SCHEMA, compression="zstd") as writer:
        for batch in batches(messages):
            writer.write_batch(record_batch(batch, RAW_SCHEMA))
            yield from batch


def decoded(messages: Iterable[Message]) -> pa.RecordBatchReader:
    return stream(map(decode, messages), DECODED_SCHEMA)


def decode(message: Message) -> tuple:
    """One row of DECODED_SCHEMA."""
    partition, offset, value = message
    if value is None:
        return (partition, offset, None, None) + NO_FIELDS
    try:
        document = parse_object(value)
    except (ValueError, RecursionError):
        return (partition, offset, len(value), "json") + NO_FIELDS
    texts = [document.get(field) for field in FIELDS]
    for text, types in zip(texts, FIELDS.values()):
        if text is not None and type(text) not in types:
            return (partition, offset, len(value), "tipo") + NO_FIELDS
    fields = dict(zip(FIELDS, texts))
    fault = text_fault(fields)
    if fault:
        return (partition, offset, len(value), fault) + NO_FIELDS
    return (partition, offset, len(value), None, *fields.values())


def text_fault(fields: dict) -> str | None:
    """Why a text cannot be kept; a blank one becomes null, a currency is written in upper case."""
    for field in [*KEYS, "moeda"]:
        if fields[field] is not None and not fields[field].strip():
            fields[field] = None
    for field in KEYS:
        text = fields[field] or ""
        if "\0" in text:
            return "valor"
        if len(text.encode()) > KEY_BYTES_MAX:
            return "tamanho"
    if fields["moeda"] is not None:
        fields["moeda"] = fields["moeda"].strip().upper()
        if not re.fullmatch("[A-Z]{3}", fields["moeda"]):
            return "valor"
    return None


NO_FIELDS = (None,) * len(FIELDS)


def parse_object(value: bytes) -> dict:
    document = parse(value.decode())
    if not isinstance(document, dict):
        raise ValueError("not an object")
    if b"\\u" in value:
        # Half of a surrogate pair is not valid text.
        json.dumps(document, ensure_ascii=False).encode()
    return document
