"""Jobs, reconciliation and backfills on a cluster: a scheduler and two executors as processes give the same rows as one process.

    scripts/verify/venv scripts/verify/cluster.py [--count N]

A demo takes hours of events in seconds and is stopped; from then on its data directory stands still. Of two copies one is worked on by
`--engine local`, the other by `--engine ballista`. Then the history of every metric is recomputed in two copies without it. At last one
of the executors is killed during a job, which must end; if it says that it failed, as the answer was at the executor, the same job must
succeed with the other. The rows are the same. The last line is the verdict. Needs a vitral (VITRAL) built with the feature `distributed`.
"""

import argparse
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path

import duckdb
from deltalake import DeltaTable

VITRAL = os.environ.get("VITRAL", "vitral")
START = "2025-05-13T22:00:00Z"
RANGE = ("--from", "2025-05-13T00:00:00Z", "--to", "2025-05-16T00:00:00Z")
JOBS = {
    "limpeza": ["vendas", "reembolsos"],
    "vendas_por_regiao": ["vendas_por_regiao"],
    "vendas_por_categoria": ["vendas_por_categoria"],
    "receita_mensal": ["receita_mensal"],
    "mais_vendidos": ["mais_vendidos"],
}
PATIENCE_SECONDS = 120
# A backfill stops where the stream goes on: of sessions cut by day, at the last midnight.
COMPLETE = re.compile(r"^(\w+): .*; complete for windows that start before (\S+)$", re.MULTILINE)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=40_000, help="events, one of each second")
    count = parser.parse_args().count
    with tempfile.TemporaryDirectory(prefix="vitral-cluster-") as folder, ExitStack() as processes:
        shop = Path(folder) / "shop"
        fill(shop, count)
        here, there, before_here, before_there = (Path(folder) / name for name in ("here", "there", "before-here", "before-there"))
        for copy in (here, there):
            shutil.copytree(shop, copy)
        for copy in (before_here, before_there):
            shutil.copytree(shop, copy, ignore=shutil.ignore_patterns("metrics"))
        cluster, executors = start_cluster(Path(folder), processes)
        wrong = []

        def compare(what: str, tables: list[str], one: Path, other: Path, complete: dict[str, str] | None = None) -> None:
            found = {table: [rows(data, table, (complete or {}).get(table)) for data in (one, other)] for table in tables}
            differing = [table for table, (ours, theirs) in found.items() if ours != theirs or not ours or not ours[0][0]]
            wrong.extend(differing)
            total = sum(ours[0][0] for ours, _ in found.values() if ours)
            print(f"{what}: {total} rows, {', '.join(differing) + ' differ' if differing else 'equal'}", flush=True)

        for job, tables in JOBS.items():
            for data, engine in ((here, []), (there, cluster)):
                print(f"  {last_line(run(data, 'batch', 'run', job, *engine))}", flush=True)
            compare(job, [f"warehouse/{table}" for table in tables], here, there)
        for data, engine in ((here, []), (there, cluster)):
            said = last_line(run(data, "reconcile", *RANGE, *engine))
            print(f"reconcile {' '.join(engine)}: {said}", flush=True)
            if said != "VERDICT: equal":
                wrong.append("reconcile")
        versions = {metric.name: [f"metrics/{metric.name}/{version.name}" for version in metric.iterdir()] for metric in (shop / "metrics").iterdir()}
        for name, data, engine in (("there", before_there, cluster), ("here", before_here, [])):
            complete = COMPLETE.findall(run(data, "backfill", *engine))
            bounds = {table: until for metric, until in complete for table in versions[metric]}
            compare(f"backfilled {name}, and published by the stream", sorted(sum(versions.values(), [])), data, shop, bounds)
        words = ("batch", "run", "vendas_por_categoria", "--from", "2025-05-13", "--to", "2025-05-15", "--allow-open", *cluster)
        job = start(there, *words)
        processes.callback(job.kill)
        time.sleep(0.3)
        executors[0].kill()
        began = time.monotonic()
        try:
            code = job.wait(timeout=PATIENCE_SECONDS)
            print(f"an executor killed during a job: exit {code} {time.monotonic() - began:.1f} s later", flush=True)
            if code:
                print(f"again: {last_line(run(there, *words))}", flush=True)
        except subprocess.TimeoutExpired:
            print(f"an executor killed during a job: the job has not ended after {PATIENCE_SECONDS} s", flush=True)
            wrong.append("the job")
        compare("after it", ["warehouse/vendas_por_categoria"], here, there)
    print(f"VERDICT: {'FAILED' if wrong else 'ok'}")
    return 1 if wrong else 0


def fill(data: Path, count: int) -> None:
    """What a shop has after hours of events."""
    demo = start(data, "demo", "--rate", "0", "--kafka", "127.0.0.1:0", "--api", "127.0.0.1:0", "--sql", "127.0.0.1:0")
    try:
        environment = wait_for(lambda: (data / "demo.env").read_text() if (data / "demo.env").exists() else None)
        known = dict(line.split("=", 1) for line in environment.splitlines() if "=" in line)
        known = {name: value.strip("'\"") for name, value in known.items()}
        simulate = ["simulate", "--seed", "7", "--start", START, "--count", str(count), "--rate", "1", "--to", "kafka"]
        subprocess.run([VITRAL, *simulate], check=True, env=os.environ | {"VITRAL__CONNECTIONS__KAFKA__URL": "kafka://" + known["VITRAL_KAFKA"]}, stdout=subprocess.DEVNULL)

        def is_read() -> bool:
            with urllib.request.urlopen(f"{known['VITRAL_API_URL']}/metricas/ticket_medio?limite=1", timeout=10) as answer:
                return json.load(answer)["completude"]["lidas"] >= count

        wait_for(is_read)
    finally:
        demo.terminate()
        demo.wait(timeout=PATIENCE_SECONDS)


def start_cluster(folder: Path, processes: ExitStack) -> tuple[list[str], list[subprocess.Popen]]:
    scheduler, *others = (free_port() for _ in range(3))
    url = f"http://127.0.0.1:{scheduler}"

    def process(*words: str) -> subprocess.Popen:
        started = start(folder / "cluster", "cluster", *words)
        processes.callback(started.wait)
        processes.callback(started.kill)
        return started

    process("scheduler", "--listen", f"127.0.0.1:{scheduler}")
    executors = [
        process("executor", "--scheduler", url, "--listen", f"127.0.0.1:{listen}", "--cores", "1", "--memory-mib", "512")
        for listen in others
    ]
    for port in (scheduler, *others):
        wait_for(lambda port=port: is_open(port))
    return ["--engine", "ballista", "--scheduler", url], executors


def rows(data: Path, table: str, until: str | None = None) -> list[tuple]:
    """How many there are of windows that start before `until`, and a hash that does not depend on their order."""
    if not (data / table / "_delta_log").exists():
        return []
    files = DeltaTable(str(data / table)).file_uris()
    if not files:
        return []
    whole = f" WHERE janela_inicio < '{until}'" if until else ""
    return duckdb.execute(f"SELECT count(*), sum(hash(row)) FROM (SELECT * FROM read_parquet({files!r}){whole}) AS row").fetchall()


def run(data: Path, *words: str) -> str:
    began = time.monotonic()
    done = subprocess.run([VITRAL, *words, "--data-dir", str(data)], capture_output=True, text=True, timeout=600)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}: exit {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    print(f"  {' '.join(words[:3])}: {time.monotonic() - began:.1f} s", flush=True)
    return done.stdout.rstrip()


def last_line(answer: str) -> str:
    return answer.splitlines()[-1]


def start(data: Path, *words: str) -> subprocess.Popen:
    log = Path(f"{data}-{words[0]}-{words[1]}.log").open("a")
    return subprocess.Popen([VITRAL, *words, "--data-dir", str(data)], stdout=log, stderr=log)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def is_open(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def wait_for(condition):
    began = time.monotonic()
    while not (found := condition()):
        if time.monotonic() - began > PATIENCE_SECONDS:
            raise SystemExit("it does not come up")
        time.sleep(0.1)
    return found


if __name__ == "__main__":
    sys.exit(main())
