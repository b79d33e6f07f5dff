"""The object store fails: replies are lost, errors, refused connections, uploads that never end."""

import random
import subprocess
import threading
import time
from collections.abc import Callable

from faults import expect, fault
from proxies import HttpProxy
from stream import VITRAL, Stream
from world import TABLE, World

MEMORY_MIB = 1000


def store(world: World) -> HttpProxy:
    proxy = HttpProxy(f"127.0.0.1:{world.services.s3.port}")
    world.at_end.callback(proxy.close)
    world.use_bucket(proxy.url)
    return proxy


def is_commit(method: str, path: str) -> bool:
    return method == "PUT" and "/_delta_log/" in path and path.split("?")[0].endswith(".json")


def reply_lost(world: World, fault_name: str) -> str:
    world.topic()
    world.configure("stream", commit_interval_ms=300)
    proxy, draw = store(world), random.Random(4)
    stream = world.stream().ready()
    proxy.rule = lambda method, path: fault_name if is_commit(method, path) and draw.random() < 0.3 else None
    with world.pour():
        stream.until("ten commits lost their reply", lambda: proxy.made.get(fault_name, 0) >= 10, within=120)
    proxy.rule = lambda _method, _path: None
    return f"{proxy.made[fault_name]} commits; {world.judge(stream)}"


@fault("it is read back: no row twice, none lost, the same process goes on")
def commit_reply_lost(world: World) -> str:
    """Commits that the store took, whose connection is cut before the reply"""
    return reply_lost(world, "done_and_cut")


@fault("it is read back: no row twice, none lost, the same process goes on")
def commit_answered_500(world: World) -> str:
    """Commits that the store took, and answered with 500"""
    return reply_lost(world, "done_and_500")


@fault("the start goes on with the tables that are there")
def creation_reply_lost(world: World) -> str:
    """The commits that make the tables are taken by the store, and the connection is cut before the reply"""
    world.topic()
    proxy, cut = store(world), set()

    def rule(method: str, path: str) -> str | None:
        """The first time only: what is tried again finds its own table."""
        if not is_commit(method, path) or path in cut:
            return None
        cut.add(path)
        return "done_and_cut"

    proxy.rule = rule
    stream = world.stream().ready()
    proxy.rule = lambda _method, _path: None
    world.send(world.traffic.take(4000))
    return f"{proxy.made}; {world.judge(stream)}"


@fault("no row twice, none lost, the same process goes on")
def upload_answered_500(world: World) -> str:
    """Data files and the ends of multipart uploads that the store took, and answered with 500 or not at all"""
    world.topic()
    world.configure("stream", commit_interval_ms=300, snapshot_seconds=1)
    proxy, draw = store(world), random.Random(5)

    def rule(method: str, path: str) -> str | None:
        is_upload = method in ("PUT", "POST") and not is_commit(method, path)
        return draw.choice(["done_and_500", "done_and_cut"]) if is_upload and draw.random() < 0.3 else None

    proxy.rule = rule
    stream = world.stream().ready()
    with world.pour():
        stream.until("thirty uploads failed", lambda: sum(proxy.made.values()) >= 30, within=120)
    proxy.rule = lambda _method, _path: None
    return f"{proxy.made}; {world.judge(stream)}"


def in_bad_weather(seed: int) -> Callable[[str, str], str | None]:
    """A third of the requests is answered with 500, 429, or half a body, or not at all."""
    draw = random.Random(seed)

    def rule(method: str, _path: str) -> str | None:
        kinds = ["answer_500", "answer_429", "cut_body" if method == "GET" else "cut"]
        return draw.choice(kinds) if draw.random() < 0.33 else None

    return rule


@fault("the same process goes on, numbers equal")
def store_errors(world: World) -> str:
    """For 30 s a third of the requests is answered with 500, 429, or half a body"""
    world.topic()
    world.configure("stream", commit_interval_ms=300, snapshot_seconds=2)
    proxy = store(world)
    stream = world.stream().ready()
    with world.pour():
        stream.until_read(world.sent)
        proxy.rule = in_bad_weather(6)
        time.sleep(30)
        proxy.rule = lambda _method, _path: None
        stream.until_read(world.sent)
    return f"{proxy.made}; {world.judge(stream)}"


@fault("each start comes to its end, numbers equal")
def start_amid_store_errors(world: World) -> str:
    """Three starts while a third of the requests is answered with 500, 429, or half a body"""
    world.topic()
    proxy = store(world)
    stream = world.stream().ready()
    for seed in range(3):
        world.send(world.traffic.take(4000))
        stream.until_read(world.sent).kill()
        proxy.rule = in_bad_weather(seed)
        stream = world.stream().ready(within=180)
        proxy.rule = lambda _method, _path: None
    return f"{proxy.made}; {world.judge(stream)}"


@fault(f"the process stays alive, below {MEMORY_MIB} MiB, pauses reading, and goes on by itself")
def store_down(world: World) -> str:
    """The store refuses connections for two minutes while 3,000 events a second pour in"""
    world.topic()
    world.configure("stream", uncommitted_bytes_max=16 << 20)
    world.traffic.padding = 200
    proxy = store(world)
    stream = world.stream().ready()
    with world.pour(3000):
        stream.until_read(world.sent)
        proxy.close()
        until_over = time.monotonic() + 120
        while time.monotonic() < until_over:
            expect(stream.alive, f"it ended: {stream.words}")
            time.sleep(0.5)
        pauses = stream.counter("vitral_pauses_total")
        proxy.open()
        up = time.monotonic()
        stream.until("it commits again", lambda: stream.read and not paused(stream), within=60)
        seconds = time.monotonic() - up
    outcome = world.judge(stream)
    peak = stream.peak_mib()
    expect(pauses, "reading did not pause")
    expect(peak < MEMORY_MIB, f"{peak} MiB at most")
    return f"going on {seconds:.1f} s after the store was back, {peak} MiB at most; {outcome}"


def paused(stream: Stream) -> bool:
    return stream.counter("vitral_uncommitted_bytes") >= 8 << 20


@fault("what was uploaded is nobody's: a restart goes on with equal numbers")
def killed_while_uploading(world: World) -> str:
    """kill -9 with a multipart upload begun and not ended, three times"""
    world.topic()
    world.configure("stream", snapshot_seconds=1)
    # Data files of more than one part.
    world.traffic.padding = 400
    proxy = store(world)
    begun = threading.Event()

    def rule(method: str, path: str) -> str | None:
        if method == "PUT" and "partNumber=" in path:
            begun.set()
            return "hold"
        return None

    world.send(world.traffic.take(30_000))
    for _ in range(3):
        proxy.rule = rule
        begun.clear()
        stream = world.stream()
        world.send(world.traffic.take(5_000))
        stream.until("a part is uploaded", begun.is_set, within=90)
        stream.kill()
    proxy.rule = lambda _method, _path: None
    return f"{proxy.made.get('hold', 0)} parts held; {world.judge(world.stream())}"


def compacted(world: World) -> str:
    """Everything is compacted again and again while the stream commits, publishes, merges and reads."""
    world.configure("stream", commit_interval_ms=300, snapshot_seconds=1)
    stream = world.stream().ready()
    command = [VITRAL, "batch", "run", "compactacao", "--config", world.config, "--data-dir", world.data]
    runs, merged = 0, 0
    with world.pour():
        stream.until("a window is published", lambda: stream.watermark, within=60)
        while runs < 10:
            time.sleep(2)
            done = subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=world.folder)
            expect(done.returncode == 0, f"the compaction failed: {done.stdout[-500:]}{done.stderr[-500:]}")
            for line in done.stdout.splitlines():
                if line.startswith(f"archive/{TABLE}:"):
                    before, after = files(line)
                    merged += before - after
            runs += 1
    expect(merged > 0, "no file of the archive was merged")
    return f"{runs} times, {merged} fewer files of the archive; {world.judge(stream)}"


def files(line: str) -> tuple[int, int]:
    """Before and after, of `TABLE: 12 files became 3, 0 old ones deleted`."""
    numbers = [int(word) for word in line.split() if word.isdigit()]
    return numbers[0], numbers[1]


@fault("the stream goes on, files become fewer, every number stays")
def compacted_alongside(world: World) -> str:
    """`vitral batch run compactacao` ten times while the stream runs"""
    world.topic()
    return compacted(world)


@fault("the stream goes on, files become fewer, every number stays")
def compacted_alongside_in_a_bucket(world: World) -> str:
    """The same on an object store"""
    world.topic()
    store(world)
    return compacted(world)


def retained(world: World) -> str:
    """All that has come is made cold again and again; in the middle of it the stream is killed, and goes on from cold rows."""
    world.configure("stream", commit_interval_ms=300, snapshot_seconds=0)
    world.configure("retention", hot_days=0)
    stream = world.stream().ready()
    command = [VITRAL, "batch", "run", "retencao", "--yes", "--config", world.config, "--data-dir", world.data]
    moved = 0
    with world.pour():
        for number in range(10):
            time.sleep(2)
            done = subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=world.folder)
            expect(done.returncode == 0, f"retention failed: {done.stdout[-500:]}{done.stderr[-500:]}")
            moved += int(done.stdout.split(f"{TABLE}: ")[1].split()[0])
            if number == 5:
                stream.kill()
                stream = world.stream().ready()
    expect(moved > 0, "no row became cold")
    return f"{moved} rows became cold; {world.judge(stream)}"


@fault("the stream goes on, also from cold rows alone, every number stays")
def retained_alongside(world: World) -> str:
    """`vitral batch run retencao` ten times while the stream runs, for all that has come"""
    world.topic()
    return retained(world)


@fault("the stream goes on, also from cold rows alone, every number stays")
def retained_alongside_in_a_bucket(world: World) -> str:
    """The same on an object store"""
    world.topic()
    store(world)
    return retained(world)
