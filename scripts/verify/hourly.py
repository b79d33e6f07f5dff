"""The warehouse's tables of the job `tempo_real`, against what a demo on the same data answers and what `vitral query` reads.

    scripts/verify/venv scripts/verify/hourly.py DIR      whose folder `data` a stopped demo and the job have left

Every metric's final windows, the events, stock and carts: the same rows, and not none. The last line is the verdict. Needs a built vitral (VITRAL).
"""

import sys
from pathlib import Path

import duckdb
import pyarrow as pa

from comparison import Comparison
from customers import METRICS, Demo, same, vitral, warehouse


def main() -> int:
    folder = Path(sys.argv[1])
    database = duckdb.connect()
    database.execute("SET TimeZone = 'UTC'")
    comparison = Comparison(database)
    with Demo(folder) as demo:
        for table in [*METRICS, "estoque_por_armazem"]:
            rows = [row for row in demo.api.metric(table) if not row.get("provisoria")]
            database.register("answer", pa.Table.from_pylist([{name: None if cell is None else str(cell) for name, cell in row.items()} for row in rows]))
            same(comparison, f"API: {table}", f"SELECT * EXCLUDE (data) {warehouse(comparison, folder, table, None)}", "FROM answer")
    for table in [*METRICS, "eventos_clientes", "estoque_por_armazem", "estoque", "carrinhos_abandonados"]:
        file = folder / f"{table}.parquet"
        vitral(folder, "query", f"SELECT * FROM {table}", "--output", str(file))
        same(comparison, f"query: {table}", f"FROM read_parquet('{file}')", warehouse(comparison, folder, table, None))
        if not comparison.outcomes[-1][1]:
            comparison.nothing(f"{table} has rows", "SELECT 1")
    return comparison.finish()


if __name__ == "__main__":
    sys.exit(main())
