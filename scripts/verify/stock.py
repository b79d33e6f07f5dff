"""Products that run out of stock and are refilled, while the stream is killed by SIGKILL at random moments: who is notified, and how often.

Levels come through Kafka, from two places for each product, with repeats and old levels in between; the alert is the built-in `ruptura_estoque`.
Half of the kills fall while products run out one after the other and, two minutes later, are reported; the other half while they are refilled. By
turns they come at any moment of a start, and shortly after a process is ready or a notification was accepted. Some other products run out for some
seconds only, and some never. Notifications go to a signed webhook in this process, by mail to a real server, and to a real Alertmanager, on the way
to which they are counted here.

Each product must have one row in `alertas`, fired and resolved once, and each receiver one id of each. Where one arrives again, a kill must have come
in between, before the stream had noted that it was accepted. The last line is `VERDICT: ok, ...` (exit code 0) or `VERDICT: FAILED, ...` (1).
"""

import argparse
import bisect
import email
import hashlib
import hmac
import http.server
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from deltalake import DeltaTable

TOPIC, EVENTS, ALERT, PARTITIONS = "atualizacoes_estoque", "eventos_clientes", "ruptura_estoque", 4
API = "127.0.0.1:18097"
VITRAL = os.environ.get("VITRAL", "target/debug/vitral")
KEY = "0123456789abcdef"
# As the catalog has it.
AFTER_SECONDS = 120
DIP_SECONDS = 20
PLACES = ["cd-sp", "loja-1"]
WEBHOOK, MAIL, ALERTMANAGER = "webhook", "mail", "alertmanager"
DEADLINE_SECONDS = 180
# What was sent before a kill may be accepted so long after it; a new process takes longer.
UNDER_WAY_SECONDS = 1.0


def until(what: str, is_so: Callable[[], object], every_seconds: float = 0.5) -> object:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not (found := is_so()):
        if time.monotonic() > deadline:
            raise Failure(f"{what}: not within {DEADLINE_SECONDS} s")
        time.sleep(every_seconds)
    return found


class Failure(Exception):
    pass


class Receivers:
    """Takes notifications, and keeps under which id and when each was accepted."""

    def __init__(self, alertmanager: str, mail: Path):
        self.accepted: dict[str, list[tuple[str, float]]] = {WEBHOOK: [], ALERTMANAGER: []}
        self.wrong: list[str] = []
        self.alertmanager, self.folder, self.lock, self.news = alertmanager, mail, threading.Lock(), threading.Event()
        receivers = self

        class Take(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = receivers.hook(self.headers, body) if self.path == "/webhook" else receivers.pass_on(self.path, body)
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        class Server(http.server.ThreadingHTTPServer):
            # The client has been killed.
            def handle_error(self, *_: object) -> None:
                pass

        self.server = Server(("127.0.0.1", 0), Take)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def accept(self, receiver: str, id: str) -> None:
        with self.lock:
            self.accepted[receiver].append((id, time.time()))
        self.news.set()

    def hook(self, headers: object, body: bytes) -> int:
        seconds, _, signed = headers["Vitral-Signature"].removeprefix("t=").partition(",v1=")
        own = hmac.new(KEY.encode(), f"{seconds}.".encode() + body, hashlib.sha256).hexdigest()
        id = json.loads(body)["id"]
        if not hmac.compare_digest(own, signed) or abs(time.time() - int(seconds)) > 60 or headers["Idempotency-Key"] != id:
            self.wrong.append(id)
            return 400
        self.accept(WEBHOOK, id)
        # What takes long to answer is often killed before it has heard it.
        time.sleep(random.uniform(0, 0.2))
        return 200

    def pass_on(self, path: str, body: bytes) -> int:
        request = urllib.request.Request(self.alertmanager + path.removeprefix("/alertmanager"), body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                status = answer.status
        except urllib.error.HTTPError as error:
            self.wrong.append(error.read().decode(errors="replace"))
            return error.code
        for alert in json.loads(body):
            self.accept(ALERTMANAGER, alert["annotations"]["id"])
        return status

    def of(self, receiver: str) -> dict[str, list[float]]:
        """The ids of the alert, each with the times at which it was accepted."""
        found = defaultdict(list)
        for id, at in sorted(self.mail() if receiver == MAIL else self.accepted[receiver], key=lambda one: one[1]):
            if id.startswith(f"{ALERT}/"):
                found[id].append(at)
        return found

    def mail(self) -> list[tuple[str, float]]:
        ids = ((email.message_from_bytes(file.read_bytes())["Message-ID"], file.stat().st_mtime) for file in self.folder.iterdir())
        return [(id.strip().removeprefix("<").partition("@")[0], at) for id, at in ids]

    def firing(self) -> dict[str, str]:
        """What Alertmanager says fires: the id of each key."""
        with urllib.request.urlopen(f"{self.alertmanager}/api/v2/alerts", timeout=10) as answer:
            alerts = [alert for alert in json.loads(answer.read()) if alert["labels"]["alertname"] == ALERT]
        return {alert["labels"]["chave"]: alert["annotations"]["id"] for alert in alerts}


class Stream:
    def __init__(self, options: argparse.Namespace, folder: Path, receivers: Receivers):
        hooks = f"http://127.0.0.1:{receivers.server.server_port}"
        config = folder / "vitral.toml"
        config.write_text(f"""
            [alerts]
            notify = ["{WEBHOOK}", "{MAIL}", "{ALERTMANAGER}"]
            [http]
            allowed_hosts = ["127.0.0.1"]
            [connections.{WEBHOOK}]
            url = "{hooks}/webhook"
            secrets = {{ signing_key = "{KEY}" }}
            [connections.{MAIL}]
            url = "smtp://{options.smtp}"
            options = {{ from = "vitral@example.com", to = "estoque@example.com", ca = "{options.ca}" }}
            [connections.{ALERTMANAGER}]
            url = "{hooks}/alertmanager"
            options = {{ format = "alertmanager" }}
            """)
        self.data, self.common = folder / "data", ["--config", str(config), "--data-dir", str(folder / "data")]
        self.command = [VITRAL, "stream", *self.common, "--kafka", options.kafka, "--api", API]
        self.log = open(folder / "log", "a")
        self.starts: list[float] = []
        self.kills: list[float] = []
        self.start()

    def start(self) -> None:
        self.starts.append(time.time())
        self.process = subprocess.Popen(self.command, stdout=self.log, stderr=self.log)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.kills.append(time.time())

    def kill_after(self, seconds: float) -> None:
        """At that moment, and started again."""
        try:
            self.process.wait(max(0.0, seconds))
        except subprocess.TimeoutExpired:
            self.kill()
            self.start()
            return
        raise Failure(f"vitral has ended by itself with {self.process.returncode}: {Path(self.log.name).read_text()[-2000:]}")

    def until_ready(self) -> float:
        """How long that took from its start, in seconds."""
        until("the API answers", lambda: self.get("/readyz"), 0.05)
        return time.time() - self.starts[-1]

    def get(self, path: str) -> object:
        try:
            with urllib.request.urlopen(f"http://{API}{path}", timeout=60) as answer:
                return json.loads(answer.read())
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return None

    def alerts(self) -> list[dict]:
        """The rows of `alertas`."""
        return self.get(f"/alertas?alerta={ALERT}&limite=1000") or []

    def transitions(self) -> list[dict]:
        sql = f"SELECT * FROM alertas_transicoes WHERE alerta = '{ALERT}' ORDER BY numero"
        done = subprocess.run([VITRAL, "query", *self.common, "--format", "json", sql], capture_output=True, text=True, check=False)
        return json.loads(done.stdout) if done.returncode == 0 else []

    def noted(self) -> list[dict]:
        """Which notifications the stream knows to be accepted."""
        return [row for row in DeltaTable(str(self.data / "alertas_entregas")).to_pyarrow_table().to_pylist() if row["id"].startswith(f"{ALERT}/")]


class Warehouse:
    """Sends levels, each at its time, from a thread of its own."""

    def __init__(self, address: str, chance: random.Random):
        self.producer = Producer({"bootstrap.servers": address, "enable.idempotence": True, "linger.ms": 5, "log_level": 3})
        self.chance = chance
        self.last: dict[str, tuple[str, str]] = {}

    def send(self, product: str, place: str, level: int) -> None:
        at = datetime.now(UTC).isoformat()
        update = json.dumps({"id_produto": product, "id_armazem": place, "nivel_estoque": level, "timestamp": at})
        # Twice, as systems do that cannot know whether it arrived; at last an old level once more, which says nothing any more.
        old = self.last.get(f"{product}/{place}", update)
        for value in self.chance.choice([[update], [update, update], [update, old]]):
            self.producer.produce(TOPIC, value, product)
        self.last[f"{product}/{place}"] = update
        self.producer.flush(30)

    def levels(self, product: str, levels: list[int]) -> None:
        for place, level in self.chance.sample(list(zip(PLACES, levels, strict=True)), len(PLACES)):
            self.send(product, place, level)

    def begin(self, plan: list[tuple[float, str, list[int]]]) -> threading.Thread:
        """Each product's levels, so many seconds from now."""
        began = time.monotonic()

        def send() -> None:
            for seconds, product, levels in sorted(plan):
                time.sleep(max(0.0, began + seconds - time.monotonic()))
                self.levels(product, levels)

        thread = threading.Thread(target=send, daemon=True)
        thread.start()
        return thread


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/verify/stock", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200, help="half of them in each part; default: %(default)s")
    parser.add_argument("--products", type=int, default=100, help="that run out and are refilled; default: %(default)s")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    options = parser.parse_args()
    options.kafka, options.smtp, options.ca = (os.environ[f"VITRAL_TEST_{name}"] for name in ("KAFKA", "SMTP", "SMTP_CA"))
    receivers = Receivers(os.environ["VITRAL_TEST_ALERTMANAGER"], Path(os.environ["VITRAL_TEST_SMTP_MAIL"]))
    print(f"seed {options.seed}", flush=True)
    chance = random.Random(options.seed)
    admin = AdminClient({"bootstrap.servers": options.kafka})
    for made in admin.create_topics([NewTopic(name, PARTITIONS) for name in (TOPIC, EVENTS)]).values():
        made.result()
    with tempfile.TemporaryDirectory(prefix="vitral-stock-") as folder:
        stream = Stream(options, Path(folder), receivers)
        try:
            faults, said = check(options, chance, stream, receivers)
        except Failure as failure:
            faults, said = [str(failure)], ""
        finally:
            stream.kill()
    for fault in faults[:20]:
        print(f"  {fault}")
    print(f"VERDICT: FAILED, {len(faults)} faults, the first: {faults[0]}" if faults else f"VERDICT: ok, {said}")
    return 1 if faults else 0


def check(options: argparse.Namespace, chance: random.Random, stream: Stream, receivers: Receivers) -> tuple[list[str], str]:
    products = [f"p{number:03}" for number in range(options.products)]
    dips, full = [f"dip{number}" for number in range(10)], [f"full{number}" for number in range(10)]
    warehouse = Warehouse(options.kafka, chance)
    for product in [*products, *dips, *full]:
        warehouse.levels(product, [5, 3])
    keys = len(PLACES) * (len(products) + len(dips) + len(full))
    until("the first levels", lambda: len((stream.get("/metricas/estoque_por_armazem?limite=1000") or {"linhas": []})["linhas"]) == min(keys, 1000))
    until("the alert's beginning", stream.transitions)
    print(f"the alert has begun {time.time() - stream.starts[0]:.1f} s after the start, with {len(products)} products in stock", flush=True)

    # How long a start takes on this machine.
    stream.kill_after(0)
    ready = stream.until_ready()
    stream.kills.clear()
    kills = options.kills // 2
    part = kills * (0.75 * ready + 1)
    # Those that run out last have to be reported while processes are still killed.
    spare = max(0.0, AFTER_SECONDS + 40 - part)
    part += spare
    print(f"a process is ready after {ready:.1f} s; each half of the kills takes about {part:.0f} s", flush=True)
    window = 0.9 * part - AFTER_SECONDS
    plan = [(chance.uniform(0, window), product, [0, 0]) for product in products]
    plan += [(chance.uniform(0, window), product, [2, 1]) for product in full]
    for product in dips:
        at = chance.uniform(0, window)
        plan += [(at, product, [0, -1]), (at + DIP_SECONDS, product, [4, 4])]
    kill(stream, warehouse.begin(plan), receivers.news, kills, 3 + 4 * spare / max(1, kills), chance)
    until("every product fires", lambda: states(stream, products, "disparado"))
    until("all of it is noted", lambda: noted(stream))
    print(f"all have run out and fire after {len(stream.kills)} kills", flush=True)
    faults = []
    firing = receivers.firing()
    if set(firing) != set(products) or not all(id.endswith("/disparo") for id in firing.values()):
        faults.append(f"Alertmanager has other alerts than those of the products: {firing}")

    plan = [(chance.uniform(0, 0.9 * (part - spare)), product, [7, 2]) for product in products]
    kill(stream, warehouse.begin(plan), receivers.news, options.kills - kills, 3, chance)
    until("every product is resolved", lambda: states(stream, products, "resolvido"))
    until("all of it is noted", lambda: noted(stream))
    print(f"all are refilled and resolved after {len(stream.kills)} kills", flush=True)
    if firing := receivers.firing():
        faults.append(f"Alertmanager still has {firing}")
    return faults, judge(products, stream, receivers, faults)


def kill(stream: Stream, sends: threading.Thread, news: threading.Event, kills: int, seconds: float, chance: random.Random) -> None:
    """While levels are sent: by turns at any moment of a start, and up to so many seconds after it or shortly after a notification was accepted."""
    ready = stream.until_ready()
    for number in range(kills):
        if number % 2:
            stream.kill_after(chance.uniform(0, ready + 1))
            continue
        ready = stream.until_ready()
        news.clear()
        stream.kill_after(chance.uniform(0, 0.3) if news.wait(chance.uniform(0, seconds)) else 0)
    sends.join()


def states(stream: Stream, products: list[str], state: str) -> bool:
    return {row["chave"] for row in stream.alerts() if row["estado"] == state} >= set(products)


def noted(stream: Stream) -> bool:
    """Whether the stream knows that all receivers have accepted everything."""
    rows = stream.alerts()
    return bool(rows) and all(row["notificacao"] == "entregue" for row in rows)


def judge(products: list[str], stream: Stream, receivers: Receivers, faults: list[str]) -> str:
    rows = stream.alerts()
    episodes = {row["chave"]: row["episodio"] for row in rows}
    if sorted(row["chave"] for row in rows) != products:
        times = Counter(row["chave"] for row in rows)
        faults += [f"{key} is {times[key]} times in alertas" for key in sorted({*products, *times}) if times[key] != (key in products)]
    is_over = lambda row: row["estado"] == "resolvido" and row["disparado_em"] and row["resolvido_em"]  # noqa: E731
    faults += [f"{row['chave']} has not fired and been resolved: {row}" for row in rows if not is_over(row)]

    made = stream.transitions()
    numbers = [int(row["numero"]) for row in made]
    if numbers != list(range(1, len(made) + 1)):
        faults.append("the numbers of transitions do not follow each other")
    kinds = Counter((row["chave"], row["transicao"]) for row in made)
    for key in sorted({key for key, _ in kinds if key}):
        found = {kind: count for (of, kind), count in kinds.items() if of == key}
        if found != ({"pendente": 1, "disparo": 1, "resolucao": 1} if key in products else {"pendente": 1, "cancelado": 1}):
            faults.append(f"{key} has the transitions {found}")

    expected = {f"{ALERT}/{product}/{episodes.get(product)}/{word}" for product in products for word in ("disparo", "resolucao")}
    repeats, waits, accepted = {}, [0.0], []
    for receiver in (WEBHOOK, MAIL, ALERTMANAGER):
        found = receivers.of(receiver)
        faults += [f"{receiver} has never got {id}" for id in sorted(expected - set(found))]
        faults += [f"{receiver} has got {id}, which nothing stands for" for id in sorted(set(found) - expected)]
        for id, times in found.items():
            for before, again in zip(times, times[1:]):
                killed = bisect.bisect(stream.kills, before - UNDER_WAY_SECONDS)
                if killed == len(stream.kills) or stream.kills[killed] > again:
                    faults.append(f"{receiver} has got {id} twice without a kill in between, {again - before:.2f} s apart")
                else:
                    waits.append(stream.kills[killed] - before)
        for product in products:
            fire, resolve = (found.get(f"{ALERT}/{product}/{episodes.get(product)}/{word}") for word in ("disparo", "resolucao"))
            if fire and resolve and fire[0] > resolve[0]:
                faults.append(f"{receiver} has got the end of {product} before its beginning")
        accepted += [at for times in found.values() for at in times]
        repeats[receiver] = sum(len(times) - 1 for times in found.values())
    noted = Counter((row["id"], row["destino"]) for row in stream.noted() if row["recusa"] is None)
    wanted = {(id, f"{receiver}/alertas") for id in expected for receiver in (WEBHOOK, MAIL, ALERTMANAGER)}
    faults += [f"{one} was noted {noted[one]} times" for one in sorted({*wanted, *noted}) if noted[one] != (one in wanted)]
    faults += [f"refused: {what}" for what in receivers.wrong]

    decided = [datetime.fromisoformat(row["instante"]).timestamp() for row in made]
    around = sum(any(abs(at - kill) <= 1 for at in decided) for kill in stream.kills)
    after = sum(any(0 <= kill - at <= 1 for at in accepted) for kill in stream.kills)
    print(f"of {len(stream.kills)} kills {around} came within a second of one of {len(made)} transitions, {after} within a second after an acceptance")
    print(f"repeats: {repeats}, none noted twice; the kill came {min(waits):.2f} to {max(waits):.2f} s after the acceptance")
    return (
        f"{len(stream.kills)} kills, {len(products)} products, one fire and one resolve of each, {len(expected)} ids at each of {len(repeats)} receivers, "
        f"{sum(repeats.values())} repeats, each with a kill between acceptance and commit"
    )


if __name__ == "__main__":
    sys.exit(main())
