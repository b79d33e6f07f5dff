"""`vitral serve` next to a demo: killed and started again, it answers within two seconds, and then what the stream's own API answers.

Metrics, tables that are kept up to date and endpoints are asked for all the time, at the stream, at `vitral serve` and at the stream again. Where both say
that as many messages were read, the numbers have to be the same at once; what is said besides (whether a window is still open, watermarks) at the latest
three seconds later. Where the stream has come further in between they are asked again; events come with pauses, so that there are moments in common
on a slow machine too. Now and then the stream is killed too: then `vitral serve` has to say so, and to answer what is stored. The last line is `VERDICT: ok, ...` (exit code 0) or `VERDICT: FAILED, ...` (1).
"""

import argparse
import json
import os
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from processes import VITRAL, Asked, Failure, Program, Vitral, demo, free_port, serve, until

RATE, SENDING_SECONDS, PAUSE_SECONDS = 200, 4, 4
SOON_SECONDS = 2.0
LATER_SECONDS = 3.0
METRICS = ["vendas_por_minuto", "vendas_por_produto", "ticket_medio", "produtos_mais_vistos", "funil_conversao", "usuarios_ativos", "sessoes"]
TABLES = ["carrinhos", "estoque_por_armazem", "unidades_por_hora"]
ENDPOINTS = [
    "/vendas/resumo",
    "/vendas/resumo?limite=5&regiao=SP",
    "/produtos/mais_vendidos",
    "/produtos/mais_vistos",
    "/carrinhos/abandonados?estado=aberto",
    "/estoque/alertas",
    "/livro?limite=20",
    "/reconciliacao",
    "/importacoes",
]
PATHS = [*(f"/metricas/{name}?limite=50" for name in METRICS + TABLES), *ENDPOINTS]
FIRST = "/metricas/vendas_por_minuto?limite=10"


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/verify/serve", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=20, help="that it is killed; default: %(default)s")
    parser.add_argument("--seconds", type=float, default=8, help="that it is asked in between; default: %(default)s")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="vitral-serve-") as folder:
        check = Check(options, Path(folder))
        try:
            check.run()
        except Failure as failure:
            check.faults.append(str(failure))
        finally:
            check.end()
    for fault in check.faults[:20]:
        print(f"  {fault}")
    said = check.said()
    print(f"VERDICT: FAILED, {len(check.faults)} faults; {said}" if check.faults else f"VERDICT: ok, {said}")
    return 1 if check.faults else 0


class Check:
    def __init__(self, options: argparse.Namespace, folder: Path):
        self.options, self.folder, self.chance = options, folder, random.Random(options.seed)
        self.faults: list[str] = []
        self.equal: Counter[str] = Counter()
        self.missed: Counter[str] = Counter()
        self.soon: list[float] = []
        self.cpu: list[float] = []
        self.flags_later, self.kills_of_stream, self.stored_first = 0, 0, 0
        self.config = folder / "vitral.toml"
        self.config.write_text("")
        self.stream: Vitral | None = None
        self.serve: Vitral | None = None
        self.kafka = f"127.0.0.1:{free_port()}"
        self.sender: Program | None = None
        # Held by who needs the broker: it is killed with the stream.
        self.sending, self.stopping = threading.Lock(), threading.Event()

    def end(self) -> None:
        self.stopping.set()
        if self.sender is not None:
            self.sender.kill()
        for process in (self.serve, self.stream):
            if process is not None:
                process.kill()

    def said(self) -> str:
        soon, cpu = sorted(self.soon) or [0.0], sorted(self.cpu) or [0.0]
        return (
            f"{len(self.soon)} starts, answers after {soon[len(soon) // 2]:.2f} s (median), {soon[-1]:.2f} s at most, and {cpu[len(cpu) // 2]:.2f} s of CPU; {self.equal.total()} answers equal "
            f"({', '.join(f'{path} {count}' for path, count in sorted(self.equal.items()))}), {self.missed.total()} times without a moment in common, "
            f"{self.flags_later} times equal in all but the numbers only when asked again; the stream away {self.kills_of_stream} times; "
            f"{self.stored_first} first answers of stored rows alone, as the stream was slow; "
            f"a load of {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors"
        )

    def run(self) -> None:
        self.stream, _ = demo(self.folder, self.config, 0, self.kafka)
        threading.Thread(target=self.send, daemon=True).start()
        until("something is sold", lambda: (asked := self.stream.answers(FIRST)) and json.loads(asked.body)["linhas"])
        for number in range(self.options.times):
            self.serve = serve(f"serve-{number}", self.folder, self.config)
            self.serve.start()
            began = time.monotonic()
            asked = until("it answers", self.first_answer, 0.005)
            self.soon.append(time.monotonic() - began)
            self.cpu.append(self.serve.usage()[0])
            if self.soon[-1] > SOON_SECONDS:
                self.faults.append(f"start {number}: the first answer came after {self.soon[-1]:.2f} s and {self.cpu[-1]:.2f} s of CPU")
            # A stream that takes longer than a second is not waited for.
            if json.loads(asked.body)["completude"]["ao_vivo"] != "atual":
                self.stored_first += 1
                until("it follows the stream", lambda: self.live(self.serve, "atual"))
            self.compare_for(self.options.seconds)
            # Before one of the kills the stream is away: every seventh time.
            if number % 7 == 6:
                self.without_stream(number)
            self.serve.kill()
            print(f"start {number + 1}: answers after {self.soon[-1]:.2f} s, {self.cpu[-1]:.2f} s of CPU; {self.equal.total()} answers equal, {len(self.faults)} faults", flush=True)

    def send(self) -> None:
        config, number = self.folder / "events.toml", 0
        config.write_text(f'[connections.kafka]\nurl = "kafka://{self.kafka}"\n')
        while not self.stopping.wait(PAUSE_SECONDS):
            with self.sending:
                number += 1
                words = ["--seed", number, "--rate", RATE, "--count", RATE * SENDING_SECONDS, "--data-dir", self.folder / "simulated"]
                self.sender = Program("simulate", [VITRAL, "simulate", "--config", config, *words], self.folder / "simulate.log")
                self.sender.start()
                if self.sender.process.wait() and not self.stopping.is_set():
                    self.faults.append(f"events cannot be sent: {self.sender.log.read_text()[-500:]}")

    def first_answer(self) -> Asked | None:
        if not self.serve.is_alive():
            raise Failure(f"vitral serve has ended: {self.serve.log.read_text()[-2000:]}")
        return self.serve.answers(FIRST)

    def compare_for(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            path = self.chance.choice(PATHS)
            outcome, tried = None, time.monotonic()
            while outcome is None and time.monotonic() < tried + SENDING_SECONDS + PAUSE_SECONDS:
                outcome = self.compare(path)
            if outcome is None:
                self.missed[path.partition("?")[0]] += 1

    def compare(self, path: str) -> bool | None:
        """Whether they are equal; nothing if there was no moment in common."""
        before, theirs, after = self.stream.ask(path), self.serve.ask(path), self.stream.ask(path)
        name = path.partition("?")[0]
        if {asked.status for asked in (before, theirs, after)} != {200}:
            self.faults.append(f"{path}: answered {before.status}, {theirs.status} by serve, {after.status}: {theirs.body[:300]!r}")
            return False
        same = [asked for asked in (before, after) if read(asked) == read(theirs)]
        if not same:
            return None
        if any(whole(asked) == whole(theirs) for asked in same):
            self.equal[name] += 1
            return True
        # Tables come with their own commits, between which nothing is read: only if the stream stands still, serve has to have the same.
        is_steady = len(same) == 2 and numbers(before) == numbers(after)
        if not is_steady:
            return None
        is_table = name.removeprefix("/metricas/") in TABLES
        if any(numbers(asked) == numbers(theirs) for asked in same) or is_table or name in ENDPOINTS_LATER:
            return self.later(path, theirs)
        self.faults.append(f"{path}: as many messages ({read(theirs)}), other numbers: {difference(before, theirs)}")
        return False

    def later(self, path: str, first: Asked) -> bool:
        """What says how far tables have come may be known a moment later."""
        end = time.monotonic() + LATER_SECONDS
        while time.monotonic() < end:
            before, theirs, after = self.stream.ask(path), self.serve.ask(path), self.stream.ask(path)
            if any(read(asked) == read(theirs) and whole(asked) == whole(theirs) for asked in (before, after)):
                self.flags_later += 1
                self.equal[path.partition("?")[0]] += 1
                return True
        self.faults.append(f"{path}: for {LATER_SECONDS} s not the stream's: {difference(before, theirs)}; at first {first.body[:200]!r}")
        return False

    def without_stream(self, number: int) -> None:
        with self.sending:
            self.kill_stream(number)
        self.compare_for(self.options.seconds)

    def kill_stream(self, number: int) -> None:
        self.stream.kill()
        self.kills_of_stream += 1
        away = until("it says that the stream is away", lambda: self.live(self.serve, "ausente"))
        stored = json.loads(away.body)["completude"]["contadas"]
        self.serve.kill()
        self.serve = serve(f"serve-{number}-alone", self.folder, self.config)
        self.serve.start()
        began = time.monotonic()
        asked = until("it answers without a stream", self.first_answer, 0.005)
        took = time.monotonic() - began
        completeness = json.loads(asked.body)["completude"]
        if took > SOON_SECONDS or completeness["ao_vivo"] != "ausente" or completeness["contadas"] != stored:
            self.faults.append(f"without a stream: after {took:.2f} s {completeness}, before it was killed {stored} counted")
        self.stream, _ = demo(self.folder, self.config, 0, self.kafka)
        until("it follows the stream again", lambda: self.live(self.serve, "atual"))

    @staticmethod
    def live(process: Vitral, word: str) -> Asked | None:
        asked = process.answers(FIRST)
        return asked if asked and json.loads(asked.body)["completude"]["ao_vivo"] == word else None


# What other tables than a topic's are in, which come by polling.
ENDPOINTS_LATER = ("/carrinhos/abandonados", "/estoque/alertas", "/reconciliacao", "/importacoes")


def read(asked: Asked) -> object:
    """How many messages the answer rests on."""
    if "vitral-read" in asked.head:
        return asked.head["vitral-read"]
    document = json.loads(asked.body)
    return document["completude"]["lidas"] if isinstance(document, dict) else None


def whole(asked: Asked) -> tuple[object, dict[str, str]]:
    return json.loads(asked.body), {name: value for name, value in asked.head.items() if name.startswith("vitral-")}


def numbers(asked: Asked) -> object:
    document = json.loads(asked.body)
    rows = document["linhas"] if isinstance(document, dict) else document
    return [{name: value for name, value in row.items() if name != "provisoria"} for row in rows]


def difference(ours: Asked, theirs: Asked) -> str:
    one, other = json.loads(ours.body), json.loads(theirs.body)
    if isinstance(one, dict) and one["completude"] != other["completude"]:
        return f"{one['completude']} and {other['completude']} by serve"
    one, other = ((found["linhas"] if isinstance(found, dict) else found) for found in (one, other))
    for first, second in zip(one, other, strict=False):
        if first != second:
            return f"{first} and {second} by serve"
    return f"{len(one)} rows and {len(other)} by serve, {ours.head} and {theirs.head}"


if __name__ == "__main__":
    sys.exit(main())
