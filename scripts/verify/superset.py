"""Apache Superset on the SQL endpoint of a demo: connects, lists schemas and tables, makes datasets, asks in SQL Lab, makes four charts and a dashboard,
all by its REST API, and opens the dashboard in Chromium. Between the two, each statement is noted with what the endpoint had against it.

Prints what was seen and a verdict; exit code 1 when an answer is an error or empty, when a chart is not drawn, or when a statement failed.
"""

import argparse
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from datetime import UTC, datetime, timedelta
from http.cookiejar import CookieJar
from pathlib import Path

HERE = Path(__file__).parent
PROGRAMS = HERE / "superset.d"
sys.path.insert(0, str(PROGRAMS))

from listen import Listener  # noqa: E402

TABLES = {"vendas_por_minuto": "janela_inicio", "produtos_mais_vistos": "janela_inicio", "vendas": "timestamp"}
SCHEMA = "public"
USER = "admin"
SPAN = "7 days ago : tomorrow"
START_SECONDS = 180
ROWS_SECONDS = 120
EVENTS = 10_000
QUESTION = "SELECT regiao, count(*) AS pedidos, sum(valor) AS receita FROM vendas GROUP BY regiao ORDER BY receita DESC"


class Failed(Exception):
    """An answer that is not as it should be."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", type=Path)
    parser.add_argument("--screenshot", type=Path, help="keeps the picture of the dashboard here")
    parser.add_argument("--url", help="a server that runs, in the place of a demo")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, processes = Path(name), []
        try:
            seen = run(arguments, folder, processes)
        except Failed as error:
            seen = None
            print(f"superset: {error}")
        finally:
            for process in reversed(processes):
                process.send_signal(signal.SIGINT)
                process.wait(60)
    print(f"VERDICT: {'ok, ' + seen if seen else 'FAILED'}")
    return 0 if seen else 1


def run(arguments: argparse.Namespace, folder: Path, processes: list[subprocess.Popen]) -> str:
    listener = Listener(arguments.url or demo(arguments.binary.resolve(), folder, processes))
    url = listener.start().replace("postgresql://", "postgresql+psycopg2://").replace("postgres://", "postgresql+psycopg2://")
    api = Superset(folder, processes)
    try:
        seen = check(api, url, arguments.screenshot.resolve() if arguments.screenshot else folder / "dashboard.png")
    finally:
        failures = {statement.text: statement.error for statement in listener.statements if statement.error}
        for text, error in failures.items():
            print(f"statement that failed: {text}\n    {error}")
        if failures:
            print(tail(folder / "demo.log"), end="")
    if failures:
        raise Failed(f"{len(failures)} of {len(listener.statements)} statements failed")
    return f"{seen}, {len(listener.statements)} statements"


def demo(binary: Path, folder: Path, processes: list[subprocess.Popen]) -> str:
    """A demo with some days of sales and two hours of events; its SQL endpoint once all are read."""
    data, log = folder / "data", folder / "demo.log"
    places = [word for flag in ("--kafka", "--api", "--sql") for word in (flag, "127.0.0.1:0")]
    with log.open("wb") as output:
        command = [binary, "demo", "--data-dir", data, "--rate", "0", "--history", "3", *places]
        processes.append(subprocess.Popen(command, cwd=folder, stdout=output, stderr=output))
        eventually("the demo", START_SECONDS, lambda: (data / "demo.env").exists(), processes[-1], log)
        known = dict(line.split("=", 1) for line in (data / "demo.env").read_text().splitlines())
        if "VITRAL_SQL_URL" not in known:
            raise Failed("demo.env has no VITRAL_SQL_URL: this vitral has no SQL endpoint")
        start = (datetime.now(UTC) - timedelta(hours=2)).isoformat()
        command = [binary, "simulate", "--seed", "7", "--start", start, "--count", str(EVENTS), "--rate", "2", "--to", "kafka"]
        place = {**os.environ, "VITRAL__CONNECTIONS__KAFKA__URL": f"kafka://{known['VITRAL_KAFKA']}"}
        if subprocess.run(command, cwd=folder, env=place, stdout=output, stderr=output).returncode:
            raise Failed(f"the simulator:\n{tail(log)}")
    minutes = f"{known['VITRAL_API_URL']}/metricas/vendas_por_minuto?limite=1"

    def is_read() -> bool:
        with urllib.request.urlopen(minutes) as answer:
            return json.load(answer)["completude"]["lidas"] == EVENTS

    eventually("the events", ROWS_SECONDS, is_read, processes[-1], log)
    return known["VITRAL_SQL_URL"]


def eventually(what: str, seconds: float, is_there, process: subprocess.Popen, log: Path) -> None:
    until = time.monotonic() + seconds
    while not is_there():
        if process.poll() is not None or time.monotonic() > until:
            raise Failed(f"{what} did not come:\n{tail(log)}")
        time.sleep(0.3)


def tail(log: Path, lines: int = 30) -> str:
    return "".join(log.read_text(errors="replace").splitlines(keepends=True)[-lines:]) if log.exists() else ""


class Superset:
    """A Superset of its own, and its REST API once signed in."""

    def __init__(self, folder: Path, processes: list[subprocess.Popen]) -> None:
        self.folder, self.password, self.headers = folder, secrets.token_urlsafe(16), {}
        own = {"SUPERSET_CONFIG_PATH": str(PROGRAMS / "superset_config.py"), "SUPERSET_HOME": str(folder), "FLASK_APP": "superset"}
        self.environment = {**os.environ, **own, "SUPERSET_SECRET_KEY": secrets.token_urlsafe(32), "PYTHONWARNINGS": "ignore"}
        self.browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.base = f"http://127.0.0.1:{port}"
        log = folder / "superset.log"
        with log.open("wb") as output:
            for words in (["db", "upgrade"], ["fab", "create-admin", *self.admin()], ["init"]):
                if subprocess.run(self.command(*words), cwd=folder, env=self.environment, stdout=output, stderr=output).returncode:
                    raise Failed(f"superset {words[0]}:\n{tail(log)}")
            command = self.command("run", "--with-threads", "--port", str(port))
            processes.append(subprocess.Popen(command, cwd=folder, env=self.environment, stdout=output, stderr=output))
        eventually("Superset", START_SECONDS, self.is_up, processes[-1], log)
        self.sign_in()

    def sign_in(self) -> None:
        token = self.post("/security/login", {"username": USER, "password": self.password, "provider": "db", "refresh": False})["access_token"]
        self.headers = {"Authorization": f"Bearer {token}", "Referer": self.base}
        self.headers["X-CSRFToken"] = self.get("/security/csrf_token/")["result"]

    def admin(self) -> list[str]:
        names = {"username": USER, "firstname": "Ana", "lastname": "Silva", "email": "admin@example.com", "password": self.password}
        return [word for name, value in names.items() for word in (f"--{name}", value)]

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-c", "from superset.cli.main import superset; superset()", *words]

    def is_up(self) -> bool:
        try:
            return urllib.request.urlopen(f"{self.base}/health").status == 200
        except OSError:
            return False

    def get(self, path: str, **query: str) -> dict:
        return self.ask(path + ("?" + urllib.parse.urlencode(query) if query else ""), None, "GET")

    def post(self, path: str, body: dict) -> dict:
        return self.ask(path, body, "POST")

    def put(self, path: str, body: dict) -> dict:
        return self.ask(path, body, "PUT")

    def ask(self, path: str, body: dict | None, method: str) -> dict:
        data, kind = (None, {}) if body is None else (json.dumps(body).encode(), {"Content-Type": "application/json"})
        request = urllib.request.Request(f"{self.base}/api/v1{path}", data, {**kind, **self.headers}, method=method)
        try:
            with self.browser.open(request) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            text = error.read().decode(errors="replace")[:3000]
            raise Failed(f"{method} {path} is answered {error.code}: {text}\n{tail(self.folder / 'superset.log')}") from None


def check(api: Superset, url: str, picture: Path) -> str:
    database = connect(api, url)
    datasets = {name: dataset(api, database, name, time_column) for name, time_column in TABLES.items()}
    ask_in_sql_lab(api, database)
    charts = [chart(api, datasets, **one) for one in CHARTS]
    board = dashboard(api, charts)
    drawn = look(api, board, len(charts), picture)
    return f"{len(datasets)} datasets, {len(charts)} charts, {drawn['drawn']} drawn in the browser"


def connect(api: Superset, url: str) -> int:
    api.post("/database/test_connection/", {"database_name": "vitral", "sqlalchemy_uri": url})
    print("the connection is tested")
    made = api.post("/database/", {"database_name": "vitral", "sqlalchemy_uri": url, "expose_in_sqllab": True, "allow_ctas": False, "allow_dml": False})
    database = made["id"]
    schemas = api.get(f"/database/{database}/schemas/")["result"]
    listed = {table["value"] for table in api.get(f"/database/{database}/tables/", q=f"(schema_name:{SCHEMA})")["result"]}
    print(f"{len(schemas)} schemas: {', '.join(schemas)}; {len(listed)} tables of {SCHEMA}: {', '.join(sorted(listed))}")
    if SCHEMA not in schemas or not set(TABLES) <= listed:
        raise Failed("a schema or a table is not listed")
    for table in TABLES:
        described = api.get(f"/database/{database}/table_metadata/", name=table, schema=SCHEMA)
        types = {column["name"]: column["type"] for column in described["columns"]}
        print(f"{table}: {types}; comment: {described.get('comment')}")
        if TABLES[table] not in types:
            raise Failed(f"{table} has no column {TABLES[table]}")
    return database


def dataset(api: Superset, database: int, table: str, time_column: str) -> int:
    made = api.post("/dataset/", {"database": database, "schema": SCHEMA, "table_name": table})["id"]
    api.put(f"/dataset/{made}/refresh", {})
    columns = api.get(f"/dataset/{made}")["result"]["columns"]
    if not any(column["column_name"] == time_column and column["is_dttm"] for column in columns):
        raise Failed(f"{table}.{time_column} is not known as a time: {[(column['column_name'], column['type']) for column in columns]}")
    api.put(f"/dataset/{made}", {"main_dttm_col": time_column})
    asked = {"datasource": {"id": made, "type": "table"}, "queries": [{"row_limit": 50}], "result_type": "samples", "result_format": "json", "force": True}
    samples = api.post("/chart/data", asked)["result"][0]["data"]
    if not samples:
        raise Failed(f"{table} has no samples")
    first = next(column["column_name"] for column in columns if not column["is_dttm"])
    values = api.get(f"/datasource/table/{made}/column/{first}/values/")["result"]
    print(f"dataset {table}: {len(columns)} columns, {len(samples)} samples, {len(values)} values of {first}")
    return made


def ask_in_sql_lab(api: Superset, database: int) -> None:
    query = {"database_id": database, "sql": QUESTION, "schema": SCHEMA, "runAsync": False, "queryLimit": 1000, "client_id": secrets.token_hex(5), "tab": "t"}
    answer = api.post("/sqllab/execute/", query)
    if answer["status"] != "success" or not answer["data"]:
        raise Failed(f"SQL Lab: {answer}")
    print(f"SQL Lab: {len(answer['data'])} rows, {answer['data'][0]}")


def amount(column: str, type_name: str = "NUMERIC") -> dict:
    return {"expressionType": "SIMPLE", "column": {"column_name": column, "type": type_name}, "aggregate": "SUM", "label": f"SUM({column})"}


PRODUCT_VIEWS = amount("visualizacoes", "BIGINT")
SALE = ["timestamp", "id_pedido", "id_produto", "regiao", "valor"]


def since(column: str) -> dict:
    return {"clause": "WHERE", "subject": column, "operator": "TEMPORAL_RANGE", "comparator": SPAN, "expressionType": "SIMPLE"}


MINUTES = {"timeGrain": "PT1M", "columnType": "BASE_AXIS", "sqlExpression": "janela_inicio", "label": "janela_inicio", "expressionType": "SQL"}
# What charts are made of: the form that the browser shows, and the question of it that the API is asked.
CHARTS = [
    {
        "name": "Receita por minuto",
        "table": "vendas_por_minuto",
        "kind": "echarts_timeseries_line",
        "form": {"x_axis": "janela_inicio", "time_grain_sqla": "PT1M", "metrics": [amount("receita")], "groupby": ["moeda"], "row_limit": 10000},
        "question": {"columns": [MINUTES, "moeda"], "metrics": [amount("receita")], "orderby": [[amount("receita"), False]], "row_limit": 10000},
    },
    {
        "name": "Produtos mais vistos",
        "table": "produtos_mais_vistos",
        "kind": "echarts_timeseries_bar",
        "form": {"x_axis": "id_produto", "metrics": [PRODUCT_VIEWS], "groupby": [], "row_limit": 10, "x_axis_sort": "SUM(visualizacoes)"},
        "question": {"columns": ["id_produto"], "metrics": [PRODUCT_VIEWS], "orderby": [[PRODUCT_VIEWS, False]], "row_limit": 10},
    },
    {
        "name": "Pedidos",
        "table": "vendas_por_minuto",
        "kind": "big_number_total",
        "form": {"metric": amount("pedidos", "BIGINT")},
        "question": {"columns": [], "metrics": [amount("pedidos", "BIGINT")]},
    },
    {
        "name": "Vendas",
        "table": "vendas",
        "kind": "table",
        "form": {"query_mode": "raw", "all_columns": SALE, "row_limit": 100, "order_by_cols": ['["timestamp", false]']},
        "question": {"columns": SALE, "metrics": None, "orderby": [["timestamp", False]], "row_limit": 100},
    },
]


def chart(api: Superset, datasets: dict[str, int], name: str, table: str, kind: str, form: dict, question: dict) -> int:
    source = {"id": datasets[table], "type": "table"}
    range_of = {"col": TABLES[table], "op": "TEMPORAL_RANGE", "val": SPAN}
    form = {**form, "datasource": f"{datasets[table]}__table", "viz_type": kind, "adhoc_filters": [since(TABLES[table])]}
    context = {"datasource": source, "force": True, "queries": [{"filters": [range_of], "granularity": TABLES[table], **question}], "form_data": form}
    context |= {"result_format": "json", "result_type": "full"}
    made = {"slice_name": name, "viz_type": kind, "datasource_id": datasets[table], "datasource_type": "table"}
    made |= {"params": json.dumps(form), "query_context": json.dumps(context)}
    identity = api.post("/chart/", made)["id"]
    for found in (api.post("/chart/data", context), api.get(f"/chart/{identity}/data/")):
        (result,) = found["result"]
        if result["status"] != "success" or result["error"] or not result["data"] or all(value is None for value in result["data"][0].values()):
            raise Failed(f"the chart {name}: {result}")
    print(f"chart {name}: {len(result['data'])} rows, {result['data'][0]}; {' '.join(result['query'].split())}")
    return identity


def dashboard(api: Superset, charts: list[int]) -> int:
    """Two rows of two charts."""
    made = api.post("/dashboard/", {"dashboard_title": "Vitral", "published": True})["id"]
    for one in charts:
        api.put(f"/chart/{one}", {"dashboards": [made]})
    grid = {"DASHBOARD_VERSION_KEY": "v2", "ROOT_ID": {"type": "ROOT", "id": "ROOT_ID", "children": ["GRID_ID"]}}
    grid["HEADER_ID"] = {"type": "HEADER", "id": "HEADER_ID", "meta": {"text": "Vitral"}}
    rows = [f"ROW-{at}" for at in range(0, len(charts), 2)]
    grid["GRID_ID"] = {"type": "GRID", "id": "GRID_ID", "children": rows, "parents": ["ROOT_ID"]}
    for at, one in enumerate(charts):
        row = rows[at // 2]
        parents = ["ROOT_ID", "GRID_ID"]
        grid.setdefault(row, {"type": "ROW", "id": row, "children": [], "parents": parents, "meta": {"background": "BACKGROUND_TRANSPARENT"}})
        grid[row]["children"].append(f"CHART-{one}")
        meta = {"chartId": one, "width": 6, "height": 50, "sliceName": CHARTS[at]["name"]}
        grid[f"CHART-{one}"] = {"type": "CHART", "id": f"CHART-{one}", "children": [], "parents": [*parents, row], "meta": meta}
    api.put(f"/dashboard/{made}", {"position_json": json.dumps(grid)})
    linked = api.get(f"/dashboard/{made}/charts")["result"]
    if len(linked) != len(charts):
        raise Failed(f"the dashboard has {len(linked)} charts")
    return made


def look(api: Superset, board: int, charts: int, picture: Path) -> dict:
    command = ["node", "dashboard.mjs", api.base, str(board), str(charts), USER, api.password, str(picture)]
    said = subprocess.run(command, cwd=PROGRAMS, capture_output=True, text=True)
    if said.returncode:
        raise Failed(f"the browser: {said.stderr[-3000:]}\n{tail(api.folder / 'superset.log')}")
    return json.loads(said.stdout.splitlines()[-1])


if __name__ == "__main__":
    sys.exit(main())
