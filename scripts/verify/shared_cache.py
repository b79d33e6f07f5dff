"""Answers with a cache that processes share equal answers without one, at every commit, whatever happens to Redis; and processes count rates together.

A demo without simulated events and two processes of `vitral serve` share one Redis (a pair with two sentinels, little memory, and a user who may do what the
documentation says); one of them keeps nothing in its own memory. Another `vitral serve` has no cache at all. Sales are sent at 200/s, with pauses, imported
from files and taken back. Each question goes to the one without a cache, to those with, and to the one without again.

What a sales endpoint has to answer is also computed here: an answer says how many messages it rests on, and these are known one by one. Ranges that are over
have to be strictly equal whatever was read, and no process may answer anything older than a closed window that it has shown, or bring back what was taken
back. Other endpoints equal one of the two answers around them, or do so as soon as the processes have polled what they read.

Meanwhile the master of Redis is killed and started again, a failover is asked for, all of Redis is away for a while, and is emptied: every answer is 200.
At last two processes with access control are asked more often than one key may. The last line is `VERDICT: ok, ...` (exit code 0) or
`VERDICT: FAILED, ...` (1).
"""

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from pathlib import Path

from confluent_kafka import Producer
from processes import VITRAL, Asked, Failure, RedisPair, Vitral, command, demo, serve, until
from rates import check_rates
from sold import MINUTE, Question, Sold

RATE, SENDING_SECONDS, PAUSE_SECONDS = 200, 4.0, 2.5
# A second of this check is a minute in the shop, so that windows close.
SHOP = 60
READERS = 3
# Of two hours of the shop, before the first question.
EARLIER = 8_000
# What other processes have written is polled for, at least this often.
POLLED_SECONDS = 20
OTHERS = [
    "/produtos/mais_vistos?limite=20",
    "/livro?limite=20",
    "/livro?limite=5&veredito=recusada",
    "/importacoes",
    "/importacoes?estado=desfeita",
    "/alertas",
    "/reconciliacao?limite=50",
    "/carrinhos/abandonados?estado=aberto&limite=20",
    "/estoque/alertas",
]


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/verify/shared_cache", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reads", type=int, default=100_000, help="of processes with a cache; default: %(default)s")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="vitral-shared-") as folder:
        check = Check(options, Path(folder))
        try:
            check.run()
        except Failure as failure:
            check.fault(str(failure))
        finally:
            check.end()
    for fault in check.faults[:20]:
        print(f"  {fault}")
    print(f"VERDICT: FAILED, {len(check.faults)} faults, {check.said()}" if check.faults else f"VERDICT: ok, {check.said()}")
    return 1 if check.faults else 0


class Import:
    """A file, and from when to when it may or may not be in what is answered."""

    def __init__(self, name: str):
        self.name, self.is_in, self.begun, self.ended = name, False, 0.0, 0.0
        # Which processes have shown what it has come to.
        self.shown: dict[str, float] = {}

    def begin(self) -> None:
        self.shown, self.ended, self.begun = {}, float("inf"), time.monotonic()
        self.is_in = not self.is_in


class Check:
    def __init__(self, options: argparse.Namespace, folder: Path):
        self.options, self.folder = options, folder
        self.faults: list[str] = []
        self.lock, self.stopping = threading.Lock(), threading.Event()
        self.sold = Sold(options.seed, int((time.time() - 36 * 3600) * 1e6) // MINUTE * MINUTE)
        self.imports: list[Import] = []
        self.pool: list[Question] = []
        self.kinds: Counter[str] = Counter()
        self.reads, self.ages, self.windows, self.rates = 0, 0, 0, ""
        self.floors: dict[str, tuple[float, int]] = {}
        self.history: dict[str, list[tuple[float, bytes]]] = {}
        self.redis = RedisPair(folder)
        self.hits: list[str] = []
        self.processes: list[Vitral] = []
        self.expected = lru_cache(4096)(lambda asked, read, imports: self.sold.answer(asked, read, imports))

    def fault(self, words: str) -> None:
        with self.lock:
            self.faults.append(words)
            if len(self.faults) <= 20:
                print(f"FAULT: {words}", flush=True)
        if len(self.faults) > 200:
            self.stopping.set()

    def end(self) -> None:
        self.stopping.set()
        for process in self.processes:
            process.kill()
        self.redis.kill()

    def said(self) -> str:
        kinds = ", ".join(f"{count} {name}" for name, count in sorted(self.kinds.items()))
        return (
            f"{self.reads} reads with a cache ({kinds}; {self.ages} with an age), {self.sold.count} messages, {len(self.imports)} files and "
            f"{sum(not one.is_in for one in self.imports)} taken back, {self.windows} windows seen to close; hits in Redis {'; '.join(self.hits)}; {self.rates}; "
            f"a load of {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors"
        )

    def run(self) -> None:
        self.start()
        threads = [threading.Thread(target=self.guarded, args=(work,), daemon=True) for work in (self.send, self.import_files, self.follow_windows)]
        readers = [threading.Thread(target=self.guarded, args=(self.read,), daemon=True) for _ in range(READERS)]
        for thread in threads + readers:
            thread.start()
        self.break_redis()
        for thread in readers:
            thread.join()
        self.stopping.set()
        for thread in threads:
            thread.join()
        for process in self.processes:
            process.stop()
        self.rates, faults = check_rates(self.folder, f"redis://{self.redis.USER}:{self.redis.PASSWORD}@127.0.0.1:{self.redis.master()}")
        self.faults += faults

    def guarded(self, work: object) -> None:
        try:
            work()
        except Exception as error:
            self.fault(f"{getattr(work, '__name__', work)} has ended: {error!r}")
            self.stopping.set()

    def start(self) -> None:
        self.redis.start()
        print(f"Redis answers, its master is {self.redis.master()}", flush=True)
        shared, alone, without = (self.folder / f"{name}.toml" for name in ("shared", "alone", "without"))
        shared.write_text(f'[cache]\nredis_url = "{self.redis.url()}"\n')
        alone.write_text(f'[cache]\nmemory_bytes = 0\nredis_url = "{self.redis.url()}"\n')
        without.write_text("[cache]\nmemory_bytes = 0\n")
        stream, environment = demo(self.folder, shared, 0)
        others = [serve(name, self.folder, config) for name, config in (("shared", shared), ("alone", alone), ("without", without))]
        self.processes = [stream, *others]
        for process in others:
            process.start()
        self.cached, self.plain = self.processes[:3], self.processes[3]
        self.producer = Producer({"bootstrap.servers": environment["VITRAL_KAFKA"], "enable.idempotence": True, "linger.ms": 5, "log_level": 0})
        for number in range(EARLIER):
            self.produce(1, self.sold.start + number * 120 * MINUTE // EARLIER)
        self.producer.flush(60)
        self.began = time.monotonic()
        for process in self.processes:
            until(f"{process.name} has read it", lambda process=process: self.is_read(process))
        print(f"{EARLIER} messages are read by all {len(self.processes)} processes", flush=True)
        # The other partitions have to be known to be idle.
        until("windows are closed", lambda: self.newest_closed(self.plain), 0.5)
        self.pool = [self.sold.question() for _ in range(150)]

    def is_read(self, process: Vitral) -> bool:
        asked = process.answers("/vendas/resumo")
        return asked is not None and int(asked.head.get("vitral-read", 0)) == self.sold.count

    def produce(self, count: int, now: int) -> None:
        for message in self.sold.messages(count, now):
            self.producer.produce("eventos_clientes", message, partition=0)
        self.producer.poll(0)

    def send(self) -> None:
        began, sent, first = time.monotonic(), 0, self.sold.start + 120 * MINUTE
        while not self.stopping.is_set():
            elapsed = time.monotonic() - began
            whole, part = divmod(elapsed, SENDING_SECONDS + PAUSE_SECONDS)
            due = int((whole * SENDING_SECONDS + min(part, SENDING_SECONDS)) * RATE)
            now = first + int(elapsed * SHOP * 1e6)
            if now > time.time() * 1e6 + 30 * MINUTE:
                raise Failure("the shop's time has come to the present: the machine is too slow for so many reads")
            self.produce(due - sent, now)
            sent = due
            time.sleep(0.02)
        self.producer.flush(60)

    def import_files(self) -> None:
        chance = random.Random(self.options.seed)
        while not self.stopping.wait(12):
            there = [one for one in self.imports if one.is_in]
            if len(there) > 2 or there and chance.random() < 0.4:
                one = chance.choice(there)
                one.begin()
                self.run_import("undo", one.name)
            else:
                text, rows = self.sold.file(300)
                path = self.folder / f"vendas-{len(self.imports)}.csv"
                path.write_text(text)
                one = Import(f"file {len(self.imports)}")
                self.sold.imported[one.name] = rows
                one.begin()
                self.imports.append(one)
                said = self.run_import("--table", "vendas", "--numbers", "plain", "--profile", "none", path)
                name = re.search(r"\(import (\w+)\)", said)
                if name is None or "300 rows imported" not in said:
                    raise Failure(f"a file was not imported whole: {said}")
                # From now on as the program calls it.
                self.sold.imported[name[1]] = rows
                one.name = name[1]
            one.ended = time.monotonic()
            self.stopping.wait(POLLED_SECONDS)
            one.ended = 0.0

    def run_import(self, *words: object) -> str:
        line = [VITRAL, "import", *map(str, words), "--config", str(self.folder / "without.toml"), "--data-dir", str(self.folder / "data")]
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Failure(f"{' '.join(line)}: {done.returncode}: {done.stdout[-1000:]}{done.stderr[-1000:]}")
        return done.stdout

    def newest_closed(self, process: Vitral) -> str | None:
        asked = process.answers("/metricas/vendas_por_minuto?moeda=BRL&limite=200")
        rows = json.loads(asked.body)["linhas"] if asked else []
        return max((row["janela_inicio"] for row in rows if not row["provisoria"]), default=None)

    def follow_windows(self) -> None:
        """What each process has shown to be final: from then on no answer may rest on less."""
        while not self.stopping.wait(0.3):
            for process in self.processes:
                newest = self.newest_closed(process)
                if newest is None:
                    continue
                end = int(time_of(newest) + MINUTE)
                floor = self.sold.closes(end)
                if floor > self.floors.get(process.name, (0.0, 0))[1]:
                    self.floors[process.name] = (time.monotonic(), floor)
                    self.windows += 1

    def read(self) -> None:
        chance = random.Random()
        while not self.stopping.is_set() and self.reads < self.options.reads:
            if chance.random() < 0.1:
                self.compare_other(chance.choice(OTHERS))
                continue
            number = chance.randrange(len(self.pool))
            if chance.random() < 0.03:
                self.pool[number] = self.sold.question()
            self.compare_sales(self.pool[number], chance)

    def asked(self, process: Vitral, path: str) -> Asked | None:
        asked = process.ask(path)
        if process is not self.plain:
            with self.lock:
                self.reads += 1
                self.ages += "age" in asked.head
        if asked.status != 200:
            self.fault(f"{process.name} {path}: answered {asked.status}: {asked.body[:300].decode(errors='replace')}")
            return None
        return asked

    def compare_sales(self, question: Question, chance: random.Random) -> None:
        path = question.address()
        order = [self.plain, *chance.sample(self.cached, len(self.cached)), self.plain]
        found = []
        for process in order:
            floor = self.floors.get(process.name, (0.0, 0))
            asked = self.asked(process, path)
            if asked is None:
                return
            found.append(asked)
            if (read := int(asked.head["vitral-read"])) < floor[1]:
                self.fault(f"{process.name} {path}: rests on {read} messages, after it has shown a window as closed that needs {floor[1]}")
            self.judge(process, question, asked)
        first, *between, last = found
        is_same = first.body == last.body
        for process, asked in zip(order[1:-1], between, strict=True):
            kind = "closed" if question.is_closed else "live"
            is_equal = asked.body in (first.body, last.body)
            # A file may be in at one process and not yet at another.
            if is_same and not is_equal and question.is_closed and not self.unsure(first.start, last.ended):
                self.fault(f"{process.name} {path}: {asked.body[:200]!r}, and without a cache {first.body[:200]!r}")
            with self.lock:
                self.kinds[f"{kind}, {'as without a cache' if is_equal else 'of another moment'}"] += 1

    def unsure(self, start: float, ended: float) -> list[Import]:
        """What may or may not be in an answer of that time."""
        return [one for one in self.imports if one.begun <= ended and one.ended != 0.0 and one.ended >= start - POLLED_SECONDS]

    def rows(self, question: Question, read: int, asked: Asked, other: Import | None = None) -> list[dict]:
        """What has to be answered, as if the import had not come to what it has."""
        there = [one.name for one in self.imports if one.is_in != (one is other or one.begun > asked.ended)]
        return self.expected(question, read, tuple(there))

    def judge(self, process: Vitral, question: Question, asked: Asked) -> None:
        """Against what has to be in it."""
        read, path = int(asked.head["vitral-read"]), question.address()
        counts = [int(asked.head[f"vitral-{name}"]) for name in ("counted", "duplicate", "late", "refused")]
        if counts != self.sold.counts(read):
            self.fault(f"{process.name} {path}: of {read} messages {counts} count, are duplicates, late, refused, and should be {self.sold.counts(read)}")
            return
        rows = [{name: value for name, value in row.items() if name != "nome"} for row in json.loads(asked.body, parse_float=Decimal)]
        unsure, now = self.unsure(asked.start, asked.ended), self.rows(question, read, asked)
        for one in unsure:
            before = self.rows(question, read, asked, one)
            if rows == now and before != now:
                one.shown.setdefault(process.name, asked.ended)
            if rows == before != now:
                if one.shown.get(process.name, float("inf")) < asked.start:
                    self.fault(f"{process.name} {path}: what was {'imported' if one.is_in else 'taken back'} was shown, and is not any more")
                return
        if rows == now:
            return
        at = next((f"{one} and {other}" for one, other in zip(rows, now, strict=False) if one != other), f"{len(rows)} rows and {len(now)}")
        self.fault(f"{process.name} {path}: at {read} messages it answers {at} ({len(unsure)} imports under way, age {asked.head.get('age')})")

    def compare_other(self, path: str) -> None:
        """Equal to one of two answers around it, or so as soon as what is polled has come."""
        process, end = random.choice(self.cached), time.monotonic() + POLLED_SECONDS
        while not self.stopping.is_set():
            first, asked, last = self.asked(self.plain, path), self.asked(process, path), self.asked(self.plain, path)
            if None in (first, asked, last):
                return
            if asked.body in (first.body, last.body):
                with self.lock:
                    self.kinds["of other endpoints"] += 1
                return
            if time.monotonic() > end:
                self.fault(f"{process.name} {path}: for {POLLED_SECONDS} s other rows than without a cache: {asked.body[:300]!r} and {last.body[:300]!r}")
                return
            time.sleep(0.05)

    def break_redis(self) -> None:
        """By the number of reads."""
        master = self.redis.master()
        other = next(port for port in self.redis.ports if port != master)
        steps = [
            (0.15, "at first", lambda: self.redis.of(master).kill()),
            (0.25, "after the master was killed", lambda: self.redis.of(master).start()),
            (0.40, "after it was started again", lambda: command(self.redis.sentinel_ports[0], "SENTINEL", "failover", self.redis.SERVICE)),
            (0.55, "after a failover", self.redis.kill),
            (0.65, None, lambda: [program.start() for program in [*self.redis.servers, *self.redis.sentinels]]),
            (0.80, "after all were away", lambda: [command(port, "FLUSHALL") for port in (master, other)]),
            (1.00, "after it was emptied", lambda: None),
        ]
        for share, name, step in steps:
            before, reported = self.shared_hits(), time.monotonic()
            while self.reads < share * self.options.reads and not self.stopping.wait(0.2):
                if time.monotonic() > reported + 30:
                    print(f"{self.reads} reads, {self.sold.count} messages, {len(self.imports)} files, {len(self.faults)} faults", flush=True)
                    reported = time.monotonic()
            if self.stopping.is_set():
                return
            hits = self.shared_hits() - before
            if name is not None:
                self.hits.append(f"{name} {hits}")
                if hits == 0:
                    self.fault(f"Redis {name}: nothing was found there")
            print(f"{self.reads} reads: {hits} hits in Redis {name or 'while it was away'}, its master is {self.redis.master()}", flush=True)
            step()

    def shared_hits(self) -> int:
        counts = [process.counts("vitral_cache_hits") for process in self.cached]
        return int(sum(value for count in counts for name, value in count.items() if 'level="shared"' in name))


def time_of(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1e6)


if __name__ == "__main__":
    sys.exit(main())
