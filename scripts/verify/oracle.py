"""The built-in metrics computed by DuckDB from raw messages, and what the archive says about the same offsets."""

import time
from collections.abc import Iterable
from pathlib import Path

import duckdb
from deltalake import DeltaTable
from pyarrow.dataset import dataset

from messages import Message, decoded

SQL = Path(__file__).with_name("oracle.sql").read_text()

METRICS = (
    "produtos_mais_vistos",
    "vendas_por_minuto",
    "vendas_por_produto",
    "usuarios_ativos",
    "ticket_medio",
    "funil_conversao",
    "sessoes",
)

# What the oracle reads of the archive, under its own names. `end_offset` is the last, and set only for a range of
# offsets that were never delivered.
ARCHIVE = """
CREATE OR REPLACE TABLE archive AS SELECT
    _particao::INTEGER AS "partition", _deslocamento::BIGINT AS "offset", _deslocamento_fim::BIGINT AS end_offset,
    _chegada::TIMESTAMPTZ AT TIME ZONE 'UTC' AS arrival, _log::VARCHAR AS log, _veredito::VARCHAR AS verdict,
    _motivo::VARCHAR AS reason
FROM """
NO_ARCHIVE = """(SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL LIMIT 0)
    AS nothing(_particao, _deslocamento, _deslocamento_fim, _chegada, _log, _veredito, _motivo)"""

# One row for each thing that an archive must not show: `what`, `partition`, `offset`, `found`.
DISCREPANCIES = """
    SELECT 'not in the archive' AS what, "partition", "offset", '' AS found
    FROM delivered ANTI JOIN archive USING ("partition", "offset")
UNION ALL
    SELECT 'more than once in the archive', "partition", "offset", string_agg(verdict, ', ')
    FROM archive WHERE end_offset IS NULL GROUP BY ALL HAVING count(*) > 1
UNION ALL
    SELECT 'in the archive, never delivered', "partition", "offset", verdict
    FROM archive ANTI JOIN message USING ("partition", "offset") WHERE end_offset IS NULL
UNION ALL
    SELECT 'delivered, in a range of undelivered offsets', "partition", delivered."offset",
        archive."offset" || ' to ' || end_offset
    FROM delivered JOIN archive USING ("partition")
    WHERE delivered."offset" BETWEEN archive."offset" AND end_offset
UNION ALL
    SELECT 'verdict differs', "partition", "offset",
        format('{}, expected {}', archived, verdict)
            || CASE WHEN archived = 'atrasada' THEN format(': {} is not before {}', time, horizon) ELSE '' END
    FROM judged WHERE archived <> verdict
UNION ALL
    SELECT 'logs of more than one topic', NULL, NULL, string_agg(DISTINCT log, ', ')
    FROM archive HAVING count(DISTINCT log) > 1
"""

REASONS = """
    SELECT refusal AS expected, archived_reason AS found, count(*) AS rows, min(("partition", "offset")) AS "first"
    FROM judged WHERE verdict = 'recusada' AND archived = 'recusada' AND archived_reason IS DISTINCT FROM refusal
    GROUP BY ALL
"""

# As the API's `completude` counts them.
VERDICTS = """
    SELECT
        count(*) FILTER (verdict = 'contada') AS contadas, count(*) FILTER (verdict = 'duplicada') AS duplicadas,
        count(*) FILTER (verdict = 'atrasada') AS atrasadas, count(*) FILTER (verdict = 'recusada') AS recusadas
    FROM judged
"""


def oracle(
    messages: Iterable[Message],
    archive: Path | str | None = None,
    zone: str = "America/Sao_Paulo",
    currency: str = "BRL",
    idle: bool = False,
    wait_seconds: float = 0,
    watermark_seconds: int = 10,
    lateness_seconds: int = 3600,
    storage: dict[str, str] | None = None,
) -> duckdb.DuckDBPyConnection:
    """A database with a view for each of METRICS and the tables behind them; waits for the archive to have every message."""
    database = duckdb.connect()
    database.execute("SET TimeZone = 'UTC'")
    for name, value in {
        "zone": zone,
        "currency": currency,
        "idle": idle,
        "trail": watermark_seconds + lateness_seconds,
    }.items():
        database.execute(f"SET VARIABLE {name} = ?", [value])
    database.register("decoded", decoded(messages))
    database.execute("CREATE TABLE message AS FROM decoded")
    if archive is None:
        database.execute(ARCHIVE + NO_ARCHIVE)
    else:
        deadline = time.monotonic() + wait_seconds
        while not load_archive(database, archive, storage) and time.monotonic() < deadline:
            time.sleep(1)
    database.execute(SQL)
    return database


def load_archive(database: duckdb.DuckDBPyConnection, archive: Path | str, storage: dict[str, str] | None) -> bool:
    """Whether every message is in it."""
    # What `retencao` has moved is a table of its own.
    root, folder, table = str(archive).rpartition("/archive/")
    places = [str(archive), *([f"{root}/cold/archive/{table}"] if folder else [])]
    parts = [place for place in places if DeltaTable.is_deltatable(place, storage)]
    rows = [DeltaTable(place, storage_options=storage).to_pyarrow_dataset() for place in parts]
    database.register("delta", dataset(rows) if len(rows) > 1 else rows[0])
    database.execute(ARCHIVE + "delta")
    missing = """SELECT NOT EXISTS (FROM message ANTI JOIN archive USING ("partition", "offset") WHERE size IS NOT NULL)"""
    return database.execute(missing).fetchall()[0][0]
