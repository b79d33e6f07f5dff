"""Runs TPC-H's 22 queries through the SQL endpoint, compares their rows with the answers that the benchmark publishes for scale 1, and their time with
DuckDB's on the same machine.

The tables are reference tables of a catalog folder that is written for the run: Parquet files of the benchmark's own generator.
"""

import argparse
import csv
import io
import os
import signal
import subprocess
import sys
import tempfile
import time
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from pathlib import Path

import duckdb
import psycopg

TABLES = ["customer", "lineitem", "nation", "orders", "part", "partsupp", "region", "supplier"]
# As a folder of the catalog writes them.
TYPES = {"VARCHAR": "TEXT", "INTEGER": "BIGINT"}
START_SECONDS = 120
# DuckDB reckons some averages in floating point.
RELATIVE = Decimal("1e-9")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", type=Path)
    parser.add_argument("--runs", type=int, default=3, help="the best of so many counts")
    parser.add_argument("--times", type=float, default=1.3, help="DuckDB's time, as often, is the limit; 0 compares no time")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        return check(arguments, Path(folder))


def check(arguments: argparse.Namespace, folder: Path) -> int:
    database = generate(folder)
    environment, process = start(arguments.binary.resolve(), folder)
    wrong: list[int] = []
    ours = theirs = 0.0
    try:
        with psycopg.connect(environment["VITRAL_SQL_URL"], autocommit=True) as connection:
            for number, query in database.execute("SELECT query_nr, query FROM tpch_queries() ORDER BY 1").fetchall():
                rows, seconds = best(arguments.runs, lambda query=query: connection.execute(query).fetchall())
                _, duckdb_seconds = best(arguments.runs, lambda query=query: database.execute(query).fetchall())
                ours += seconds
                theirs += duckdb_seconds
                difference = compare(rows, answer(database, number))
                if difference:
                    wrong.append(number)
                print(f"q{number:02} {len(rows):6} rows {seconds * 1000:8.0f} ms, DuckDB {duckdb_seconds * 1000:8.0f} ms  {difference or 'equal'}", flush=True)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)
    is_slow = arguments.times and ours > arguments.times * theirs
    verdict = f"{22 - len(wrong)} of 22 equal; {ours:.2f} s, DuckDB {theirs:.2f} s: {ours / theirs:.2f} times"
    print(f"tpch: {'FAILED' if wrong or is_slow else 'ok'}: {verdict}")
    return 1 if wrong or is_slow else 0


def generate(folder: Path) -> duckdb.DuckDBPyConnection:
    """The tables in DuckDB, as Parquet files, and as a folder of the catalog."""
    database = duckdb.connect(config={"threads": os.cpu_count()})
    database.execute("SET TimeZone = 'UTC'")
    database.execute("LOAD tpch")
    database.execute("CALL dbgen(sf = 1)")
    reference, catalog = folder / "data" / "reference", folder / "tpch"
    reference.mkdir(parents=True)
    catalog.mkdir()
    for table in TABLES:
        columns = [(name, kind) for name, kind, *_ in database.execute(f"DESCRIBE {table}").fetchall()]
        dates = {name for name, kind in columns if kind == "DATE"}
        stored = ", ".join(f"CAST({name} AS TIMESTAMPTZ) AS {name}" if name in dates else name for name, _ in columns)
        database.execute(f"COPY (SELECT {stored} FROM {table}) TO '{reference / table}.parquet' (FORMAT parquet)")
        # Tables of files have no days.
        declared = ", ".join(f"{name} {'TIMESTAMP' if name in dates else TYPES.get(kind, kind)}" for name, kind in columns)
        text = f"CREATE TABLE arquivo_{table} ({declared}) WITH (connector = 'file', path = '{table}.parquet');\n"
        (catalog / f"arquivo_{table}.sql").write_text(text)
        shown = ", ".join(f"CAST({name} AS DATE) AS {name}" if name in dates else name for name, _ in columns)
        (catalog / f"{table}.sql").write_text(f"CREATE VIEW {table} AS SELECT {shown} FROM arquivo_{table};\n")
    (folder / "vitral.toml").write_text(
        f'[catalog]\ndirs = ["{catalog}"]\n[query]\nmemory_bytes = {8 << 30}\ntimeout_seconds = 300\n[sql]\nstatement_timeout_seconds = 300\n'
    )
    return database


def start(binary: Path, folder: Path) -> tuple[dict[str, str], subprocess.Popen]:
    data = folder / "data"
    command = [binary, "demo", "--config", folder / "vitral.toml", "--data-dir", data, "--rate", "0"]
    addresses = ["--kafka", "127.0.0.1:0", "--api", "127.0.0.1:0", "--sql", "127.0.0.1:0"]
    process = subprocess.Popen([*map(str, command), *addresses], stdout=subprocess.DEVNULL)
    until = time.monotonic() + START_SECONDS
    while not (data / "demo.env").exists():
        if process.poll() is not None or time.monotonic() > until:
            raise SystemExit("tpch: the demo did not start")
        time.sleep(0.1)
    lines = (line.partition("=") for line in (data / "demo.env").read_text().splitlines())
    return {name: value for name, _, value in lines}, process


def best(runs: int, run) -> tuple[list[tuple], float]:
    """The rows, and the shortest time."""
    shortest, rows = float("inf"), []
    for _ in range(runs):
        began = time.perf_counter()
        rows = run()
        shortest = min(shortest, time.perf_counter() - began)
    return rows, shortest


def answer(database: duckdb.DuckDBPyConnection, number: int) -> list[list[str]]:
    text = database.execute("SELECT answer FROM tpch_answers() WHERE query_nr = ? AND scale_factor = 1", [number]).fetchone()[0]
    return list(csv.reader(io.StringIO(text), delimiter="|"))[1:]


def compare(rows: list[tuple], published: list[list[str]]) -> str:
    """What is different first; nothing if nothing is."""
    if len(rows) != len(published):
        return f"{len(rows)} rows, published are {len(published)}"
    for at, (row, wanted) in enumerate(zip(rows, published, strict=True), 1):
        for found, text in zip(row, wanted, strict=True):
            if not is_equal(found, text):
                return f"row {at}: {found!r}, published is {text!r}"
    return ""


def is_equal(found: object, text: str) -> bool:
    if found is None:
        return text in {"", "NULL"}
    if isinstance(found, (int, float, Decimal)):
        try:
            wanted = Decimal(text)
        except InvalidOperation:
            return False
        value = Decimal(str(found))
        # A decimal of fewer digits than the published number has is right to its last one.
        rounded = wanted.quantize(Decimal(1).scaleb(value.as_tuple().exponent), ROUND_HALF_UP)
        return value == rounded or abs(value - wanted) <= RELATIVE * abs(wanted)
    return str(found) == text


if __name__ == "__main__":
    sys.exit(main())
