"""Processes of vitral and Redis together, as checks start, kill and ask them."""

import http.client
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

VITRAL = str(Path(os.environ.get("VITRAL", "target/debug/vitral")).resolve())
PATIENCE_SECONDS = 600


class Failure(Exception):
    pass


def until(what: str, is_so: Callable[[], object], every_seconds: float = 0.05) -> object:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := is_so()):
        if time.monotonic() > deadline:
            raise Failure(f"{what}: not within {PATIENCE_SECONDS} s")
        time.sleep(every_seconds)
    return found


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Program:
    """A process that is started, killed and started again."""

    def __init__(self, name: str, command: list[object], log: Path):
        self.name, self.command, self.log = name, [str(word) for word in command], log
        self.process: subprocess.Popen | None = None

    def start(self) -> None:
        with open(self.log, "a") as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self, seconds: float = 60) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.kill()
            self.process = None

    def is_alive(self) -> bool:
        return self.process is not None and self.process.poll() is None


class Asked:
    """An answer: its status, its head in small letters, its bytes, and when it was asked for and there."""

    __slots__ = ("body", "ended", "head", "start", "status")

    def __init__(self, status: int, head: dict[str, str], body: bytes, start: float, ended: float):
        self.status, self.head, self.body, self.start, self.ended = status, head, body, start, ended


class Vitral(Program):
    """A process of vitral that answers by HTTP, with a connection for each thread that asks."""

    def __init__(self, name: str, command: list[object], folder: Path, address: str | None = None):
        super().__init__(name, [VITRAL, *command], folder / f"{name}.log")
        self.address, self.connections, self.authorization = address, threading.local(), {}

    def ask(self, path: str, headers: dict[str, str] | None = None) -> Asked:
        connection = getattr(self.connections, "one", None)
        start = time.monotonic()
        for is_last in (False, True):
            if connection is None:
                host, _, port = self.address.rpartition(":")
                connection = self.connections.one = http.client.HTTPConnection(host, int(port), timeout=60)
            try:
                connection.request("GET", path, headers={**self.authorization, **(headers or {})})
                answer = connection.getresponse()
                body = answer.read()
                head = {name.lower(): value for name, value in answer.getheaders()}
                return Asked(answer.status, head, body, start, time.monotonic())
            except (http.client.HTTPException, OSError):
                # The server may have closed what was idle.
                connection.close()
                connection = self.connections.one = None
                if is_last:
                    raise
        raise AssertionError

    def answers(self, path: str) -> Asked | None:
        try:
            asked = self.ask(path)
        except (http.client.HTTPException, OSError):
            return None
        return asked if asked.status == 200 else None

    def counts(self, *names: str) -> dict[str, float]:
        """Telemetry, summed up by its lines' names and labels."""
        lines = (line.rpartition(" ") for line in self.ask("/metrics").body.decode().splitlines() if not line.startswith("#"))
        return {name: float(value) for name, _, value in lines if name.startswith(names)}

    def usage(self) -> tuple[float, float]:
        """CPU seconds, and MiB of memory."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def demo(folder: Path, config: Path, rate: int, kafka: str = "127.0.0.1:0") -> tuple[Vitral, dict[str, str]]:
    """A stream with its broker, once it answers, and what is in its `demo.env`."""
    data = folder / "data"
    command = ["demo", "--config", config, "--data-dir", data, "--rate", rate, "--history", 0, "--kafka", kafka, "--api", "127.0.0.1:0", "--sql", "127.0.0.1:0"]
    process = Vitral("demo", command, folder)
    (data / "demo.env").unlink(missing_ok=True)
    process.start()

    def environment() -> dict[str, str] | None:
        if not process.is_alive():
            raise Failure(f"the demo has ended: {process.log.read_text()[-2000:]}")
        if not (data / "demo.env").exists():
            return None
        lines = (line.partition("=") for line in (data / "demo.env").read_text().splitlines())
        return {name: value for name, _, value in lines}

    try:
        found = until("the demo comes up", environment)
        process.address = found["VITRAL_API_URL"].removeprefix("http://")
        until("the demo is ready", lambda: process.answers("/readyz"))
    except BaseException:
        process.kill()
        raise
    return process, found


def serve(name: str, folder: Path, config: Path) -> Vitral:
    """`vitral serve` next to it, not started yet."""
    address = f"127.0.0.1:{free_port()}"
    return Vitral(name, ["serve", "--config", config, "--data-dir", folder / "data", "--api", address], folder, address)


class RedisPair:
    """A master and its replica, and two sentinels that watch over them; the user may do what the documentation says, and no more."""

    SERVICE, USER, PASSWORD = "vitral", "vitral", "segredo"
    RIGHTS = "~vitral:* resetchannels -@all +get +set +evalsha +script|load +time +role"

    def __init__(self, folder: Path, memory: str = "2mb"):
        self.program = os.environ.get("VITRAL_TEST_REDIS_PROGRAM", "redis-server")
        self.ports = [free_port() for _ in range(2)]
        self.servers = [self.server(folder, port, memory, None if port == self.ports[0] else self.ports[0]) for port in self.ports]
        self.sentinel_ports = [free_port() for _ in range(2)]
        self.sentinels = [self.sentinel(folder, port) for port in self.sentinel_ports]

    def server(self, folder: Path, port: int, memory: str, master: int | None) -> Program:
        home = folder / f"redis-{port}"
        home.mkdir()
        # Of so little memory, a backlog of the usual size would leave nothing for keys.
        text = f"""port {port}\nbind 127.0.0.1\ndir {home}\nsave ""\nmaxmemory {memory}\nmaxmemory-policy allkeys-lru\nrepl-diskless-sync-delay 0\nrepl-backlog-size 16kb
            user default on nopass ~* &* +@all\nuser {self.USER} on >{self.PASSWORD} {self.RIGHTS}\n"""
        text += f"replicaof 127.0.0.1 {master}\n" if master else ""
        (home / "redis.conf").write_text(text)
        return Program(f"redis {port}", [self.program, home / "redis.conf"], home / "log")

    def sentinel(self, folder: Path, port: int) -> Program:
        home = folder / f"sentinel-{port}"
        home.mkdir()
        name = self.SERVICE
        (home / "sentinel.conf").write_text(
            f"port {port}\nbind 127.0.0.1\ndir {home}\nsentinel monitor {name} 127.0.0.1 {self.ports[0]} 1\n"
            f"sentinel down-after-milliseconds {name} 700\nsentinel failover-timeout {name} 4000\n"
        )
        return Program(f"sentinel {port}", [self.program, home / "sentinel.conf", "--sentinel"], home / "log")

    def start(self) -> None:
        for program in [*self.servers, *self.sentinels]:
            program.start()
        until("Redis answers", lambda: self.master() is not None and command(self.master(), "PING") == "+PONG")
        until("its replica follows", lambda: "connected_slaves:1" in str(command(self.master(), "INFO", "replication")))
        until("the sentinels know each other", lambda: all("sentinels=2" in str(command(port, "INFO", "sentinel")) for port in self.sentinel_ports))

    def master(self) -> int | None:
        """Which port the sentinels name."""
        for port in self.sentinel_ports:
            said = command(port, "SENTINEL", "get-master-addr-by-name", self.SERVICE)
            if isinstance(said, list) and said:
                return int(said[1])
        return None

    def of(self, port: int) -> Program:
        return self.servers[self.ports.index(port)]

    def url(self) -> str:
        nodes = ",".join(f"127.0.0.1:{port}" for port in self.sentinel_ports)
        return f"redis+sentinel://{self.USER}:{self.PASSWORD}@{nodes}/{self.SERVICE}"

    def kill(self) -> None:
        for program in [*self.sentinels, *self.servers]:
            program.kill()


def command(port: int, *words: str) -> object:
    """What a server answers, by a connection of its own; nothing if it does not."""
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as connection:
            connection.settimeout(2)
            parts = [f"*{len(words)}\r\n", *(f"${len(word.encode())}\r\n{word}\r\n" for word in words)]
            connection.sendall("".join(parts).encode())
            with connection.makefile("rb") as answer:
                return reply(answer)
    except OSError:
        return None


def reply(answer: object) -> object:
    line = answer.readline().decode().rstrip("\r\n")
    if line.startswith("$"):
        length = int(line[1:])
        return None if length < 0 else answer.read(length + 2)[:-2].decode()
    if line.startswith("*"):
        return [reply(answer) for _ in range(int(line[1:]))]
    return line or None
