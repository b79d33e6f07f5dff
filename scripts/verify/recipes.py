"""Runs the programs of docs/recipes/estoque.md as they stand there, against a demo without its simulator and a small warehouse system, and asks the
API what has come of them.

Only the broker's address and the pause between two questions are replaced.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = re.compile(r"<!-- tested: (\w+) -->\n```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PATIENCE_SECONDS = 60
# Of these, the place of p1 in cd-pe changes once the whole stock was sent.
STOCK = {("p1", "cd-sp"): 4, ("p1", "cd-pe"): 3, ("p2", "cd-sp"): -2}


class Warehouse:
    """A system with an API for its stock, which fails every third time."""

    def __init__(self) -> None:
        start = datetime.now(UTC) - timedelta(minutes=30)
        self.levels = {place: (level, start) for place, level in STOCK.items()}
        self.asked: list[str | None] = []
        warehouse = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parameters = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
                since = parameters.get("updated_since", [None])[0]
                warehouse.asked.append(since)
                if len(warehouse.asked) % 3 == 0:
                    self.send_error(503)
                    return
                rows = [
                    {"sku": sku, "location": location, "available": level, "updated_at": at.isoformat()}
                    for (sku, location), (level, at) in warehouse.levels.items()
                    if since is None or at >= datetime.fromisoformat(since)
                ]
                self.send_response(200)
                self.end_headers()
                self.wfile.write(json.dumps(rows).encode())

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", type=Path)
    binary = parser.parse_args().binary.resolve()
    programs = dict(PROGRAM.findall((ROOT / "docs/recipes/estoque.md").read_text()))
    if programs.keys() != {"webhook", "poll"}:
        raise SystemExit(f"recipes: the programs are {', '.join(programs)}")
    running: list[subprocess.Popen] = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            check(binary, Path(folder), programs, running)
        finally:
            for process in reversed(running):
                process.send_signal(signal.SIGTERM)
                process.wait()
    print("recipes: every program as it stands has brought its levels in")
    return 0


def check(binary: Path, folder: Path, programs: dict[str, str], running: list[subprocess.Popen]) -> None:
    data = folder / "data"
    demo = [binary, "--data-dir", data, "demo", "--rate", "0", "--kafka", "127.0.0.1:0", "--api", "127.0.0.1:0", "--sql", "127.0.0.1:0"]
    running.append(subprocess.Popen(demo, cwd=folder, stdout=subprocess.DEVNULL))
    until("the demo answers", (data / "demo.env").exists)
    known = dict(line.split("=", 1) for line in (data / "demo.env").read_text().splitlines())
    kafka, api = known["VITRAL_KAFKA"], known["VITRAL_API_URL"]

    subprocess.run([sys.executable, "-c", programs["webhook"].replace("localhost:9092", kafka)], check=True, timeout=PATIENCE_SECONDS)
    until("the level of the webhook is there", lambda: level(api, "p456", "cd-sp") == 0)
    alerts = get(f"{api}/estoque/alertas")
    if [row["id_produto"] for row in alerts] != ["p456"]:
        raise SystemExit(f"recipes: p456 is out of stock, and the alerts are {alerts}")

    warehouse = Warehouse()
    text = programs["poll"].replace("EVERY_SECONDS = 60", "EVERY_SECONDS = 0.2")
    environment = os.environ | {"WMS_URL": warehouse.url(), "KAFKA": kafka}
    running.append(subprocess.Popen([sys.executable, "-c", text], env=environment, stdout=subprocess.DEVNULL))
    until("the whole stock is there", lambda: all(level(api, *place) == there for place, there in STOCK.items()))
    warehouse.levels[("p1", "cd-pe")] = (0, datetime.now(UTC))
    until("the change is there", lambda: level(api, "p1", "cd-pe") == 0)
    if not any(warehouse.asked):
        raise SystemExit("recipes: the system was only asked for everything")
    until("who is asked again after a failure", lambda: len(warehouse.asked) > 4)


def level(api: str, product: str, place: str) -> int | None:
    try:
        rows = get(f"{api}/metricas/estoque_por_armazem?limite=1000")["linhas"]
    except urllib.error.HTTPError:
        # The table is new, and does not have its history yet.
        return None
    found = [row["nivel_estoque"] for row in rows if (row["id_produto"], row["id_armazem"]) == (product, place)]
    return found[0] if found else None


def get(url: str) -> object:
    with urllib.request.urlopen(url, timeout=PATIENCE_SECONDS) as answer:
        return json.load(answer)


def until(what: str, holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        if time.monotonic() > deadline:
            raise SystemExit(f"recipes: {what}: not within {PATIENCE_SECONDS} s")
        time.sleep(0.2)


if __name__ == "__main__":
    sys.exit(main())
