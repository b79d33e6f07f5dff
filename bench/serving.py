"""How fast the API and the SQL endpoint answer over many sales while events are committed, with the API's cache and without; and the same endpoints in
FastAPI and pandas on PostgreSQL.

Prints a line for each measurement. Some answers are compared with DuckDB's over the same file, to the cent. The last line is `VERDICT: within` (exit code
0) or `VERDICT: beyond` (1).
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import duckdb
import numpy
import pyarrow
import pyarrow.parquet

ROOT = Path(__file__).resolve().parent.parent
VITRAL = os.environ.get("VITRAL", "target/dist/vitral")
LOAD = os.environ.get("VITRAL_LOAD", "target/dist/load")
DAYS, PRODUCTS, CATEGORIES = 365, 1000, 20
REGIONS = "AC AL AP AM BA CE DF ES GO MA MT MS MG PA PB PR PE PI RJ RN RS RO RR SC SP SE TO".split()
COMBINATIONS = 12_000
PATIENCE_SECONDS = 900
EVENTS_A_SECOND = 1000
# Milliseconds: path, requests a second, p99, p99.9; with the cache and without.
CACHED = [("/vendas/resumo", 2000, 5, 15), ("/produtos/mais_vendidos", 2000, 5, 15)]
PLAIN = [("/vendas/resumo", 500, 25, None), ("/produtos/mais_vendidos", 500, 25, None)]
METRICS = [("/metricas/vendas_por_minuto", 1000, 10, None), ("/metricas/usuarios_ativos", 1000, 10, None)]
TIMES_AS_FAST = 50
# An answer has some 12 kB: as much as all combinations take.
CACHE = f"[cache]\nmemory_bytes = {256 << 20}\n"
TOP_10_MS = 300


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sales", type=int, default=10_000_000)
    parser.add_argument("--seconds", type=int, default=30, help="of each measurement")
    parser.add_argument("--without-baseline", action="store_true")
    parser.add_argument("--folder", type=Path, help="keeps what is made, and takes what is there")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = arguments.folder or Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        return measure(arguments, folder)


def measure(arguments: argparse.Namespace, folder: Path) -> int:
    sales = folder / "vendas.parquet"
    if not sales.exists():
        generate(sales, arguments.sales)
    if not (folder / "data").exists():
        began = time.perf_counter()
        subprocess.run([VITRAL, "import", sales, "--table", "vendas", "--data-dir", folder / "data"], check=True, stdout=subprocess.DEVNULL)
        print(f"import: {arguments.sales} sales in {time.perf_counter() - began:.1f} s", flush=True)
    failures = 0
    rates = {}
    for name, settings, wanted in (("without cache", "[cache]\nmemory_bytes = 0\n", PLAIN + METRICS), ("with cache", CACHE, CACHED + METRICS)):
        server = Server(folder, settings)
        try:
            server.wait()
            failures += compare(server.url, sales)
            failures += top_10(server.sql, sales)
            for path, rate, p99, p999 in wanted:
                failures += run(name, server, folder, path, rate, arguments.seconds, p99, p999)
            if name == "with cache":
                rates = {path: throughput(server.url, folder, path) for path, *_ in CACHED}
        finally:
            server.stop()
    if not arguments.without_baseline:
        failures += baseline(folder, sales, rates)
    print(f"VERDICT: {'beyond' if failures else 'within'}")
    return 1 if failures else 0


def generate(path: Path, count: int) -> None:
    """Orders of one to three lines, over a year."""
    chance = numpy.random.default_rng(7)
    lines = chance.integers(1, 4, count)
    order = numpy.repeat(numpy.arange(count), lines)[:count]
    start = int((datetime.now(UTC) - timedelta(days=DAYS + 2)).timestamp() * 1e6)
    times = (start + chance.integers(0, DAYS * 86_400_000_000, count))[order]
    regions = numpy.array(REGIONS)[chance.integers(0, len(REGIONS), count)[order]]
    products = numpy.minimum(chance.zipf(1.3, count) - 1, PRODUCTS - 1) % PRODUCTS
    categories = products % CATEGORIES
    currencies = numpy.where(chance.random(count)[order] < 0.95, "BRL", "USD")
    units = chance.integers(1, 5, count)
    cents = chance.integers(100, 100_000, count) * units
    text = lambda prefix, numbers: pyarrow.array(numpy.char.add(prefix, numbers.astype(str)))
    table = pyarrow.table(
        {
            "id_pedido": text("pd", order),
            "id_produto": text("p", products),
            "categoria": text("c", categories),
            "regiao": pyarrow.array(regions),
            "moeda": pyarrow.array(currencies),
            "quantidade": pyarrow.array(units),
            "valor_total": pyarrow.array([Decimal(int(value)).scaleb(-2) for value in cents], pyarrow.decimal128(18, 2)),
            "timestamp": pyarrow.array(times, pyarrow.timestamp("us", "UTC")),
        }
    )
    pyarrow.parquet.write_table(table, path)


class Server:
    def __init__(self, folder: Path, settings: str):
        self.folder = folder
        (folder / "vitral.toml").write_text(settings)
        self.log = open(folder / "log", "w")
        addresses = ["--kafka", "127.0.0.1:0", "--api", "127.0.0.1:0", "--sql", "127.0.0.1:0"]
        command = [VITRAL, "demo", "--config", folder / "vitral.toml", "--data-dir", folder / "data", "--rate", EVENTS_A_SECOND, "--history", 0]
        self.process = subprocess.Popen([*map(str, command), *addresses], stdout=subprocess.DEVNULL, stderr=self.log)

    def wait(self) -> None:
        environment, until = self.folder / "data/demo.env", time.monotonic() + PATIENCE_SECONDS
        while not environment.exists():
            self.check(until)
        lines = (line.partition("=") for line in environment.read_text().splitlines())
        known = {name: value for name, _, value in lines}
        self.url, self.sql = known["VITRAL_API_URL"], known["VITRAL_SQL_URL"]
        # The first request has the sums loaded.
        began = time.perf_counter()
        while "sums of a table are in memory" not in (self.folder / "log").read_text():
            try:
                get(self.url + "/vendas/resumo")
            except urllib.error.HTTPError as error:
                # Until then each answer is computed from all sales, which may take longer than a query may.
                if error.code != 503:
                    raise
            self.check(until)
            time.sleep(15)
        print(f"sums in memory after {time.perf_counter() - began:.1f} s", flush=True)

    def check(self, until: float) -> None:
        if self.process.poll() is not None or time.monotonic() > until:
            raise SystemExit(f"the demo did not come up; see {self.folder}/log")
        time.sleep(0.2)

    def usage(self) -> tuple[float, float]:
        """CPU seconds, and MiB of memory."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGINT)
        self.process.wait(120)


def combinations(path: str) -> list[str]:
    """Addresses of one endpoint, each with another choice of what may be asked."""
    if path.startswith("/metricas"):
        return [path]
    chance, found = random.Random(11), []
    end = datetime.now(UTC).replace(microsecond=0, second=0)
    while len(found) < COMBINATIONS:
        begin = end - timedelta(minutes=chance.randrange(60, DAYS * 1440))
        asked = {"de": begin, "ate": begin + timedelta(minutes=chance.randrange(30, DAYS * 1440))}
        asked = {name: time.strftime("%Y-%m-%dT%H:%M:%SZ") for name, time in asked.items() if chance.random() < 0.9}
        if chance.random() < 0.5:
            asked["categoria"] = f"c{chance.randrange(CATEGORIES)}"
        if chance.random() < 0.5:
            asked["regiao"] = chance.choice(REGIONS)
        if chance.random() < 0.3:
            asked["moeda"] = chance.choice(["BRL", "USD"])
        found.append(f"{path}?{urllib.parse.urlencode(asked)}")
    return found


def run(name: str, server: Server, folder: Path, path: str, rate: int, seconds: int, p99: float, p999: float | None) -> int:
    load(server.url, folder, combinations(path), rate, 5)
    before, _ = server.usage()
    seen = load(server.url, folder, combinations(path), rate, seconds)
    after, memory = server.usage()
    is_within = seen["p99"] <= p99 and (p999 is None or seen["p999"] <= p999) and set(seen["statuses"]) == {"200"}
    bounds = f"p99 {p99}" + (f", p99.9 {p999}" if p999 else "")
    print(
        f"{name}: {path} at {rate}/s: p50 {seen['p50']} ms, p99 {seen['p99']} ms, p99.9 {seen['p999']} ms, {seen['statuses']}, "
        f"{(after - before) / seconds:.2f} cores, {memory:.0f} MiB: {'within' if is_within else 'BEYOND'} {bounds}",
        flush=True,
    )
    return not is_within


def load(url: str, folder: Path, paths: list[str], rate: float, seconds: float) -> dict:
    (folder / "paths").write_text("\n".join(paths))
    said = subprocess.run([LOAD, url, folder / "paths", str(rate), str(seconds)], capture_output=True, text=True, check=True)
    return json.loads(said.stdout)


def throughput(url: str, folder: Path, path: str) -> float:
    """The highest rate at which the 99th percentile stays below a quarter of a second, about."""
    rate = 250.0
    while rate < 64_000:
        seen = load(url, folder, combinations(path), rate, 5)
        if seen["p99"] > 250 or set(seen["statuses"]) != {"200"}:
            return rate / 1.5
        rate *= 1.5
    return rate


def get(url: str, timeout: float = 60) -> list[dict]:
    with urllib.request.urlopen(url, timeout=timeout) as answer:
        return json.loads(answer.read(), parse_float=Decimal)


def compare(url: str, sales: Path) -> int:
    """Ranges that are over: no new event changes them."""
    database, failures = duckdb.connect(), 0
    for address in random.Random(3).sample(combinations("/vendas/resumo"), 40):
        asked = {"moeda": "BRL", "de": "2000-01-01T00:00:00Z"} | dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(address).query))
        asked["ate"] = min(asked.get("ate", "2100"), (datetime.now(UTC) - timedelta(days=2)).strftime("%Y-%m-%dT%H:%M:%SZ"))
        conditions = " AND ".join(f"{name} = '{asked[name]}'" for name in ("moeda", "categoria", "regiao") if name in asked)
        rows = database.execute(
            f"""SELECT id_produto, sum(quantidade), sum(valor_total), count(DISTINCT id_pedido) FROM '{sales}'
            WHERE timestamp >= '{asked["de"]}' AND timestamp < '{asked["ate"]}' AND {conditions}
            GROUP BY id_produto ORDER BY 2 DESC, 3 DESC, 1 LIMIT 100"""
        ).fetchall()
        found = get(f"{url}/vendas/resumo?{urllib.parse.urlencode(asked)}")
        found = [(row["id_produto"], row["total_vendido"], row["receita"], row["pedidos"]) for row in found]
        if found != rows:
            failures += 1
            print(f"DIFFERENT: {address}: {found[:2]} and DuckDB {rows[:2]}")
    print(f"{40 - failures} of 40 answers as DuckDB, to the cent", flush=True)
    return failures


def top_10(url: str, sales: Path) -> int:
    """The best sold over all sales, as SQL: the first time that it is asked for, and then again."""
    import psycopg

    end = f"{datetime.now(UTC) - timedelta(days=2):%Y-%m-%dT%H:%M:%SZ}"
    query = "SELECT id_produto, sum(quantidade), sum({}) FROM {} WHERE moeda = 'BRL' AND timestamp < '{}' GROUP BY 1 ORDER BY 3 DESC, 1 LIMIT 10"
    expected = duckdb.sql(query.format("valor_total", f"'{sales}'", end)).fetchall()
    took = []
    with psycopg.connect(url, autocommit=True) as connection:
        for _ in range(5):
            began = time.perf_counter()
            found = connection.execute(query.format("valor", "vendas", end)).fetchall()
            took.append((time.perf_counter() - began) * 1000)
    is_within = took[0] <= TOP_10_MS and found == expected
    judged = "as DuckDB" if found == expected else f"DIFFERENT: {found[:2]}, {expected[:2]}"
    times = ", ".join(f"{one:.0f}" for one in took)
    print(f"SQL, top 10: {times} ms, {judged}: {'within' if is_within else 'BEYOND'} {TOP_10_MS} ms at first", flush=True)
    return not is_within


def baseline(folder: Path, sales: Path, ours: dict[str, float]) -> int:
    """The usual service: as much as it answers one after the other."""
    import psycopg

    address = os.environ["VITRAL_TEST_POSTGRES"]
    # Tests have a table of this name too.
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS bench_serving CASCADE; CREATE SCHEMA bench_serving")
    address += ("&" if "?" in address else "?") + "options=-csearch_path%3Dbench_serving"
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE vendas (id_pedido text, id_produto text, categoria text, regiao text, moeda text, quantidade bigint, valor numeric(18, 2), instante timestamptz)"
        )
        with connection.cursor().copy("COPY vendas FROM STDIN (FORMAT csv)") as copy:
            process = subprocess.Popen([sys.executable, "-c", f"import duckdb; duckdb.sql('SET enable_progress_bar = false'); duckdb.sql(\"COPY (SELECT * FROM '{sales}') TO '/dev/stdout' (FORMAT csv, HEADER false)\")"], stdout=subprocess.PIPE)
            while data := process.stdout.read(1 << 20):
                copy.write(data)
        connection.execute("CREATE INDEX ON vendas (instante)")
        connection.execute("ANALYZE vendas")
    command = [sys.executable, "-m", "uvicorn", "service:app", "--port", "18199", "--workers", "2", "--log-level", "warning"]
    # A worker that holds Python's lock for long is not a dead one.
    command += ["--timeout-worker-healthcheck", "600"]
    process = subprocess.Popen(command, cwd=ROOT / "bench/serving.d", env={**os.environ, "DATABASE": address})
    failures = 0
    try:
        time.sleep(10)
        for path, rate in ours.items():
            paths = combinations(path)
            began, count = time.perf_counter(), 0
            while time.perf_counter() - began < 60:
                get(f"http://127.0.0.1:18199{paths[count]}", 600)
                count += 1
            theirs = count / (time.perf_counter() - began)
            is_within = rate >= TIMES_AS_FAST * theirs
            failures += not is_within
            print(f"{path}: {rate:.0f}/s, FastAPI and pandas {theirs:.2f}/s: {rate / theirs:.0f} times: {'within' if is_within else 'BEYOND'} {TIMES_AS_FAST}", flush=True)
    finally:
        process.terminate()
        process.wait(30)
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute("DROP SCHEMA bench_serving CASCADE")
    return failures


if __name__ == "__main__":
    sys.exit(main())
