"""A `vitral stream` of its own process."""

import json
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from comparison import Api
from faults import Failed, expect, until

REPOSITORY = Path(__file__).parents[2]
VITRAL = Path(os.environ.get("VITRAL") or f"{os.environ.get('CARGO_TARGET_DIR') or REPOSITORY / 'target'}/debug/vitral").absolute()


class Stream:
    def __init__(self, arguments: list[str], log: Path, environment: dict[str, str]):
        self.log, self.found_api = log, None
        with log.open("wb") as stderr:
            self.process = subprocess.Popen(
                [VITRAL, "stream", *arguments, "--api", "127.0.0.1:0"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                env=os.environ | environment,
                cwd=log.parent,
            )

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    @property
    def words(self) -> str:
        """What it said at its end; else its last lines."""
        lines = self.log.read_text(errors="replace").splitlines()
        starts = (number for start in ("vitral:", "thread") for number, line in enumerate(lines) if line.startswith(start))
        said = next(starts, -3)
        return " ".join(" ".join(lines[said:]).split())

    def logged(self, text: str) -> list[str]:
        return [line for line in self.log.read_text(errors="replace").splitlines() if text in line]

    @property
    def url(self) -> str:
        if not self.found_api:
            line = self.until("it serves its API", lambda: self.logged('"serving"'))[-1]
            self.found_api = "http://" + json.loads(line)["api"]
        return self.found_api

    def until(self, what: str, condition: Callable, within: float = 60) -> object:
        """Polls; an end of the process meanwhile is a failure."""

        def alive_and() -> object:
            expect(self.alive, f"it ended ({self.process.returncode}) before {what}: {self.words}")
            try:
                return condition()
            except (SystemExit, OSError):
                # The API breaks off when the process ends.
                time.sleep(1)
                expect(self.alive, f"it ended ({self.process.returncode}) before {what}: {self.words}")
                raise

        return until(what, alive_and, within)

    def ready(self, within: float = 120) -> "Stream":
        url = self.url

        def answers() -> bool:
            try:
                with urllib.request.urlopen(f"{url}/readyz", timeout=10) as answer:
                    return answer.status == 200
            except OSError:
                return False

        self.until("it is ready", answers, within)
        return self

    def completeness(self) -> dict:
        document, _ = Api(self.url).get("/metricas/ticket_medio?limite=1")
        return document["completude"]

    @property
    def read(self) -> int:
        return int(self.completeness()["lidas"])

    @property
    def watermark(self) -> datetime | None:
        found = self.completeness()["marca_dagua"]
        return found and datetime.fromisoformat(found)

    @property
    def idle(self) -> set[int]:
        return set(map(int, self.completeness()["particoes_ociosas"]))

    def until_read(self, count: int, within: float = 120) -> "Stream":
        self.ready(within)
        try:
            self.until(f"{count} messages are read", lambda: self.read >= count, within)
        except Failed as failed:
            raise Failed(f"{failed}; read: {self.read if self.alive else 'ended'}") from None
        return self

    def peak_mib(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) // 1024

    def counter(self, name: str) -> float:
        """A number of /metrics, summed over its labels."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def ended(self, within: float = 60) -> int:
        """Waits for its end: the exit code, or less than 0 for a signal."""
        try:
            return self.process.wait(within)
        except subprocess.TimeoutExpired:
            raise Failed(f"it did not end within {within:.0f} s") from None

    def stop(self, within: float = 60) -> float:
        """SIGTERM, which must end it well: the seconds that took."""
        started = time.monotonic()
        self.terminate()
        code = self.ended(within)
        expect(code == 0, f"SIGTERM ended it with {code}: {self.words}")
        return time.monotonic() - started

    def refused(self, *words: str, within: float = 60) -> str:
        """It must end by itself, with exit 1, saying these words: what it said."""
        code = self.ended(within)
        expect(code == 1, f"it ended with {code}, not 1: {self.words}")
        missing = [word for word in words if word.lower() not in self.words.lower()]
        expect(not missing, f"it does not say {missing}: {self.words}")
        return self.words
