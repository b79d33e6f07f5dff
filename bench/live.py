"""A thousand clients read `/metricas/vendas_por_minuto/ao_vivo` while it is renewed once a second: what they cost, and whether each gets every update.

The demo runs for some time with one client, which tells what updates there are, then for as long with all of them. Memory and CPU of its process are
compared; each client has to have received the same messages, in the same order, as the one that came first. The last line is `VERDICT: within` (exit code
0) or `VERDICT: beyond` (1).
"""

import argparse
import asyncio
import hashlib
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

VITRAL = str(Path(os.environ.get("VITRAL", "target/dist/vitral")).resolve())
PATH = "/metricas/vendas_por_minuto/ao_vivo"
RATE = 200
PATIENCE_SECONDS = 120
# What is expected of a thousand clients.
MEMORY_MIB, CORES = 200, 0.5
# So many addresses of this machine: one client may have half of all streams.
ADDRESSES = 8


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench/live", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--seconds", type=int, default=60, help="of each of the two measurements; default: %(default)s")
    arguments = parser.parse_args()
    needed = 2 * arguments.clients + 1024
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(needed, hard)), hard))
    with tempfile.TemporaryDirectory(prefix="vitral-live-") as folder:
        return asyncio.run(measure(arguments, Path(folder)))


class Demo:
    """Renews its live results once a second."""

    def __init__(self, folder: Path, clients: int):
        config, self.log = folder / "vitral.toml", folder / "log"
        config.write_text(f"[stream]\nlive_refresh_ms = 1000\n[api]\nconnections = {2 * clients + 64}\nlive_streams = {2 * clients + 8}\n")
        command = [VITRAL, "demo", "--config", config, "--data-dir", folder / "data", "--rate", RATE, "--history", 0]
        addresses = ["--kafka", "127.0.0.1:0", "--api", "127.0.0.1:0", "--sql", "127.0.0.1:0"]
        with open(self.log, "w") as log:
            self.process = subprocess.Popen([*map(str, command), *addresses], stdout=subprocess.DEVNULL, stderr=log)
        environment, until = folder / "data/demo.env", time.monotonic() + PATIENCE_SECONDS
        while not environment.exists():
            if self.process.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"the demo did not come up: {self.log.read_text()[-2000:]}")
            time.sleep(0.2)
        lines = (line.partition("=") for line in environment.read_text().splitlines())
        host, _, port = {name: value for name, _, value in lines}["VITRAL_API_URL"].removeprefix("http://").partition(":")
        self.address = (host, int(port))

    def usage(self) -> tuple[float, float]:
        """CPU seconds, and MiB of memory that are the process's own."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        status = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        resident = next(int(line.split()[1]) for line in status if line.startswith("RssAnon:"))
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), resident / 1024

    def stop(self) -> None:
        self.process.send_signal(signal.SIGINT)
        self.process.wait(60)


class Client:
    """A live stream that is read, by its messages' hashes."""

    def __init__(self, number: int):
        self.number, self.seen, self.times, self.fault = number, [], [], ""
        self.is_there = asyncio.Event()

    async def read(self, address: tuple[str, int]) -> None:
        # On Linux every address of 127.0.0.0/8 is this machine's.
        local = (f"127.0.1.{1 + self.number % ADDRESSES}", 0) if address[0] == "127.0.0.1" else None
        try:
            await self.messages(*await asyncio.open_connection(*address, local_addr=local, limit=1 << 20))
        except asyncio.CancelledError:
            raise
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError) as error:
            self.fault = repr(error)
        self.is_there.set()

    async def messages(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"GET {PATH} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n".encode())
        status = (await reader.readuntil(b"\r\n\r\n")).splitlines()[0].decode()
        if " 200 " not in status:
            raise ValueError(f"answered {status}")
        events = b""
        while size := int(await reader.readline(), 16):
            events += (await reader.readexactly(size + 2))[:-2]
            *whole, events = events.split(b"\n\n")
            for event in whole:
                # Other lines keep the connection alive.
                if event.startswith(b"data:"):
                    self.seen.append(hashlib.sha256(event).digest()[:8])
                    self.times.append(time.monotonic())
                    self.is_there.set()
        raise ValueError("the stream has ended")


async def measure(arguments: argparse.Namespace, folder: Path) -> int:
    demo = Demo(folder, arguments.clients)
    tasks: list[asyncio.Task] = []
    try:
        first = Client(0)
        tasks.append(asyncio.create_task(first.read(demo.address)))
        await asyncio.wait_for(first.is_there.wait(), PATIENCE_SECONDS)
        # What a start needs is over.
        await asyncio.sleep(20)
        before = await usage(demo, first, arguments.seconds)
        clients = [Client(1 + number) for number in range(arguments.clients - 1)]
        began = time.monotonic()
        for client in clients:
            tasks.append(asyncio.create_task(client.read(demo.address)))
            await asyncio.sleep(0.002)
        await asyncio.wait_for(asyncio.gather(*(client.is_there.wait() for client in clients)), PATIENCE_SECONDS)
        print(f"{arguments.clients} clients have their first message {time.monotonic() - began:.1f} s after the second began", flush=True)
        await asyncio.sleep(5)
        after = await usage(demo, first, arguments.seconds)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        demo.stop()
    return judge(arguments, before, after, [first, *clients])


async def usage(demo: Demo, first: Client, seconds: int) -> dict[str, float]:
    """What the process takes meanwhile, on average, and at most."""
    count, (cpu, _), memory, began = len(first.seen), demo.usage(), [], time.monotonic()
    own = time.process_time()
    while time.monotonic() < began + seconds:
        await asyncio.sleep(0.5)
        memory.append(demo.usage()[1])
    took = time.monotonic() - began
    seen = {"cores": (demo.usage()[0] - cpu) / took, "memory": sum(memory) / len(memory), "most": max(memory)}
    seen |= {"updates": (len(first.seen) - count) / took, "own": (time.process_time() - own) / took, "from": count, "to": len(first.seen)}
    words = "{cores:.3f} cores, {memory:.0f} MiB on average and {most:.0f} at most, {updates:.2f} updates a second (the clients: {own:.2f} cores)"
    print(words.format(**seen), flush=True)
    return seen


def judge(arguments: argparse.Namespace, before: dict[str, float], after: dict[str, float], clients: list[Client]) -> int:
    faults = [f"client {client.number}: {client.fault}" for client in clients if client.fault]
    # Those that the first one has seen until shortly before the end.
    wanted, spread = clients[0].seen[int(after["from"]) : int(after["to"]) - 1], []
    for client in clients[1:]:
        if not wanted or wanted[0] not in client.seen:
            faults.append(f"client {client.number}: none of {len(wanted)} updates that the first one got")
            continue
        start = client.seen.index(wanted[0])
        got = client.seen[start : start + len(wanted)]
        if got != wanted:
            missing = len(set(wanted) - set(client.seen))
            faults.append(f"client {client.number}: {missing} of {len(wanted)} updates are missing, or they are in another order")
        spread.append(client.times[start + len(got) - 1] - clients[0].times[int(after["from"]) + len(got) - 1])
    for fault in faults[:10]:
        print(f"  {fault}")
    memory, cores = after["most"] - before["most"], after["cores"] - before["cores"]
    spread.sort()
    late = f"; the last update came to the slowest {spread[-1] * 1000:.0f} ms after it came to the first" if spread else ""
    print(f"{len(clients)} clients, {len(wanted)} updates each: {len(faults)} faults{late}")
    is_within = not faults and memory <= MEMORY_MIB and cores <= CORES and after["updates"] > 0.8
    print(
        f"VERDICT: {'within' if is_within else 'beyond'}, {len(clients)} clients take {memory:.0f} MiB (limit {MEMORY_MIB}) and {cores:.3f} cores (limit {CORES}) more "
        f"than one, at {after['updates']:.2f} updates a second"
    )
    return 0 if is_within else 1


if __name__ == "__main__":
    sys.exit(main())
