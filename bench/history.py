"""Jobs over fifty million sales, by Vitral, by DuckDB and by PySpark, from the same Parquet files.

A year of real sales (`completejourney`) is imported once; its rows are then put into the same table again and again, each time as other
orders. Every engine computes `vendas_por_regiao`, `vendas_por_categoria` and `receita_mensal`, with distinct orders and days of the shop's
zone, on two threads, and writes them. They take turns, and the best of each counts. What Vitral and DuckDB have computed must be equal.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts/verify"))

import duckdb  # noqa: E402
from deltalake import DeltaTable, write_deltalake  # noqa: E402

from history import SALES, VITRAL, ZONE, write  # noqa: E402

THREADS = 2
TURNS = 3
DUCKDB_MAX, SPARK_MAX = 1.2, 0.2
MOVEMENTS = """
SELECT {day} AS data, tipo_evento = 'compra' AS venda, id_pedido, regiao, categoria, moeda,
    CASE WHEN tipo_evento = 'compra' THEN quantidade ELSE 0 END AS unidades,
    CASE WHEN tipo_evento = 'compra' THEN coalesce(valor_total, preco * quantidade, 0) ELSE 0 END AS receita,
    CASE WHEN tipo_evento = 'compra' THEN coalesce(desconto, 0) ELSE 0 END AS desconto,
    CASE WHEN tipo_evento = 'compra' THEN 0 ELSE coalesce(valor_total, preco * quantidade, 0) END AS reembolso
FROM {rows} WHERE _veredito = 'contada' AND tipo_evento IN ('compra', 'reembolso')
"""
SUMS = """
count(DISTINCT CASE WHEN venda THEN id_pedido END) AS pedidos, sum(unidades) AS unidades, sum(receita) AS receita, sum(desconto) AS desconto,
sum(reembolso) AS reembolso, sum(receita) - sum(desconto) - sum(reembolso) AS receita_liquida
"""
QUERIES = {
    "vendas_por_regiao": "SELECT data, coalesce(regiao, '(sem região)') AS regiao, moeda, {sums} FROM ({movements}) GROUP BY 1, 2, 3",
    "vendas_por_categoria": "SELECT data, coalesce(categoria, '(sem categoria)') AS categoria, moeda, {sums} FROM ({movements}) GROUP BY 1, 2, 3",
    "receita_mensal": "SELECT CAST(date_trunc('month', data) AS DATE) AS mes, moeda, {sums} FROM ({movements}) GROUP BY 1, 2",
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench/history", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--copies", type=int, default=34, help="how often the year's 1.47 million lines are there")
    parser.add_argument("--spark", action="store_true", help="PySpark too, which is installed then")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="where the rows are left, and taken from when they are there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vitral-bench-") as folder:
        return measure(options.keep or Path(folder), options.copies, options.spark)


def measure(folder: Path, copies: int, spark: bool) -> int:
    data = folder / "data"
    table = data / "history" / "eventos_clientes"
    if not table.exists():
        prepare(folder, data, table, copies)
    files = DeltaTable(str(table)).file_uris()
    database = duckdb.connect(config={"threads": THREADS})
    database.execute("SET TimeZone = 'UTC'")
    day = f"CAST(timestamp AT TIME ZONE '{ZONE}' AS DATE)"
    movements = MOVEMENTS.format(day=day, rows=f"read_parquet({files!r})")
    rows, first, last = database.execute(f"SELECT count(*), min(data), max(data) FROM ({movements})").fetchall()[0]
    print(f"{rows:,} rows in {len(files)} files, {sum(os.path.getsize(file) for file in files) / 2**30:.1f} GiB, {first} to {last}", flush=True)
    took: dict[str, list[float]] = {}

    def timed(engine: str, what: str, run) -> None:
        started = time.monotonic()
        run()
        seconds = time.monotonic() - started
        took.setdefault(f"{engine} {what}", []).append(seconds)
        print(f"{engine:<8} {what:<22} {seconds:6.1f} s", flush=True)

    session = spark_session() if spark else None
    if session:
        session.read.parquet(*files).createOrReplaceTempView("linhas")
    for _ in range(TURNS):
        for name, query in QUERIES.items():
            sql = query.format(sums=SUMS, movements=movements)
            out = folder / f"{name}.parquet"
            timed("duckdb", name, lambda sql=sql, out=out: database.execute(f"COPY ({sql}) TO '{out}' (FORMAT parquet)"))
            timed("vitral", name, lambda name=name: vitral(data, name, first, last))
            if session:
                sql = query.format(sums=SUMS, movements=MOVEMENTS.format(day=f"to_date(from_utc_timestamp(timestamp, '{ZONE}'))", rows="linhas"))
                timed("pyspark", name, lambda sql=sql, name=name: session.sql(sql).write.mode("overwrite").parquet(str(folder / f"{name}.spark")))
    different = [name for name in QUERIES if differs(database, folder, data, name)]
    best = {key: min(seconds) for key, seconds in took.items()}
    sums = {engine: sum(seconds for key, seconds in best.items() if key.startswith(engine)) for engine in ("vitral", "duckdb", "pyspark")}
    against = sums["vitral"] / sums["duckdb"]
    words = f"{sums['vitral']:.1f} s, {against:.2f} times DuckDB's {sums['duckdb']:.1f} s"
    good = against <= DUCKDB_MAX and not different
    if session:
        words += f", {sums['vitral'] / sums['pyspark']:.2f} times PySpark's {sums['pyspark']:.1f} s"
        good = good and sums["vitral"] <= SPARK_MAX * sums["pyspark"]
    if different:
        words += f"; {', '.join(different)} differ"
    print(f"VERDICT: {'ok' if good else 'FAILED'}, {words}")
    return 0 if good else 1


def prepare(folder: Path, data: Path, table: Path, copies: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    database = duckdb.connect()
    database.execute(SALES)
    file = write(database, folder, "sale", "parquet")
    subprocess.run([VITRAL, "import", file, "--table", "vendas", "--map", "quando=timestamp", "--max-refused", "100%", "--data-dir", data], check=True)
    once = DeltaTable(str(table)).file_uris()
    for copy in range(1, copies):
        rows = database.execute(f"SELECT * REPLACE (id_pedido || '-{copy}' AS id_pedido) FROM read_parquet({once!r})")
        write_deltalake(str(table), rows.to_arrow_reader(100_000), mode="append")
        print(f"\rcopy {copy + 1} of {copies}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)


def vitral(data: Path, job: str, first, last) -> None:
    command = [VITRAL, "batch", "run", job, "--from", str(first), "--to", str(last), "--data-dir", data]
    subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL)


def differs(database: duckdb.DuckDBPyConnection, folder: Path, data: Path, name: str) -> bool:
    found = DeltaTable(str(data / "warehouse" / name)).file_uris()
    columns = ", ".join(column for column, *_ in database.execute(f"DESCRIBE FROM '{folder}/{name}.parquet'").fetchall())
    ours, theirs = f"SELECT {columns} FROM read_parquet({found!r})", f"SELECT {columns} FROM '{folder}/{name}.parquet'"
    rows = database.execute(f"SELECT count(*) FROM (({ours} EXCEPT {theirs}) UNION ALL ({theirs} EXCEPT {ours}))").fetchall()[0][0]
    return rows > 0


def spark_session():
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "pyspark==4.0.1"], check=True)
    from pyspark.sql import SparkSession

    return (
        SparkSession.builder.master(f"local[{THREADS}]")
        .config("spark.driver.memory", "8g")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.shuffle.partitions", 2 * THREADS)
        .config("spark.ui.enabled", "false")
        .getOrCreate()
    )


if __name__ == "__main__":
    sys.exit(main())
