"""JSON that keeps the text of its numbers, and rows on their way to DuckDB as Arrow batches."""

import itertools
import json
from collections.abc import Iterable, Iterator

import pyarrow as pa

BATCH_ROWS = 50_000


class Number(str):
    """The text of a JSON number: floating point would lose digits of money, and 12.3 is not 12.30."""


def parse(text: str) -> object:
    """Strict JSON (RFC 8259); DuckDB's own reader takes NaN and trailing commas and rounds numbers."""
    return STRICT.decode(text)


def refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


STRICT = json.JSONDecoder(parse_int=Number, parse_float=Number, parse_constant=refuse_constant)


def batches(rows: Iterable[tuple]) -> Iterator[list[tuple]]:
    rows = iter(rows)
    while batch := list(itertools.islice(rows, BATCH_ROWS)):
        yield batch


def record_batch(rows: Iterable[tuple], schema: pa.Schema) -> pa.RecordBatch:
    return pa.record_batch([pa.array(column, field.type) for column, field in zip(zip(*rows), schema)], schema)


def stream(rows: Iterable[tuple], schema: pa.Schema) -> pa.RecordBatchReader:
    return pa.RecordBatchReader.from_batches(schema, (record_batch(batch, schema) for batch in batches(rows)))
