"""The process dies: at each point of a cycle, at random, at a signal, on a full disk."""

import random
import signal
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

from faults import LeftOut, expect, fault
from stream import Stream
from traffic import at, event
from world import World

FAKETIME = list(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))

# What the failpoints of a build of the dev profile are called, and when a pass has just happened.
POINTS = {
    "cycle.judged": "a batch is judged and folded, nothing committed",
    "cycle.cut": "a cycle was handed to the committer",
    "archive.before": "dead letters are acknowledged, the archive's commit has not begun",
    "archive.after": "the archive is committed, nobody knows yet",
    "publish.before": "windows have closed and are not published",
    "publish.between": "one metric's windows are published, others are not",
    "publish.after": "windows are published, nobody knows yet",
    "compact.after": "small files were merged",
    "snapshot.segment": "a snapshot's segment is written, its manifest is not",
    "snapshot.manifest": "a snapshot's manifest is written, the old ones are not deleted",
}


def abort_at(world: World, point: str) -> str:
    world.topic(lateness="1 minute")
    # Many commits, so that files are merged as well.
    world.configure("stream", commit_interval_ms=100, snapshot_seconds=1)
    world.traffic.refused_share = 0.01
    with world.pour():
        # Some way on; then in what follows a restart, right away; then both once more on what those left.
        for passes in ("2*off->1*return", "1*return", "2*off->1*return", "1*return"):
            stream = world.stream(FAILPOINTS=f"{point}={passes}")
            code = stream.ended(within=90)
            expect(code == -signal.SIGABRT, f"it ended with {code}, not by the fail point: {stream.words}")
        stream = world.stream().ready()
        enough = world.sent + 2000
        stream.until("more is read", lambda: stream.read >= enough)
    refused = int(stream.until_read(world.sent).completeness()["recusadas"])
    expect(refused, "nothing was refused")
    return f"4 aborts; {world.judge(stream, refused=refused)}"


for point, meaning in POINTS.items():
    fault(
        "each restart goes on, and every message counts once",
        name=f"abort-at-{point.replace('.', '-')}",
        does=f"Aborts where {meaning}, four times",
    )(lambda world, point=point: abort_at(world, point))


@fault("every message counts once")
def killed_at_random(world: World) -> str:
    """kill -9 ten times, at random moments, while events pour in"""
    world.topic()
    draw = random.Random()
    stream = world.stream()
    with world.pour(2000):
        for _ in range(10):
            time.sleep(draw.uniform(0.5, 3))
            stream.kill()
            stream = world.stream()
    return f"10 kills; {world.judge(stream)}"


@fault("the windows that the lost commit closed are published by the next start")
def killed_before_publishing(world: World) -> str:
    """Dies between an archive commit that closes windows and their publication"""
    world.topic(lateness="10 seconds")
    world.send(world.traffic.take(4000))
    stream = world.stream(FAILPOINTS="archive.after=1*return")
    expect((code := stream.ended()) == -signal.SIGABRT, f"it ended with {code}: {stream.words}")
    expect(world.reconcile(behind=True) == 0, "windows were published before the end")
    stream = world.stream().ready()
    return world.judge(stream)


@fault("exit 0 within the configured seconds, and a restart loses nothing")
def stopped_under_load(world: World) -> str:
    """SIGTERM while events pour in, three times"""
    world.topic()
    took = []
    with world.pour(5000):
        for _ in range(3):
            stream = world.stream().until_read(world.sent)
            took.append(stream.stop(within=30))
        stream = world.stream()
    return f"stopped after {', '.join(f'{seconds:.1f}' for seconds in took)} s; {world.judge(stream)}"


def stuck(world: World, shutdown_seconds: int) -> Stream:
    """A stream whose commit waits for dead letters: the broker of their topic stands still."""
    second = world.services.second_kafka
    world.topic(brokers=[1, 1])
    world.kafka.create(f"{world.kafka_topic}.dlq", brokers=[2])
    world.configure("stream", shutdown_seconds=shutdown_seconds)
    stream = world.stream()
    world.send(world.traffic.take(2000) + [(0, b"no json")])
    stream.until_read(2001)
    second.signal(signal.SIGSTOP)
    world.at_end.callback(second.signal, signal.SIGCONT)
    world.send([(0, b"no json")] * 9)
    stream.until("the refused are read", lambda: stream.read == 2010)
    return stream


@fault("the first waits for the commit; the second ends it within 5 s, exit 1; a restart loses nothing")
def second_signal(world: World) -> str:
    """SIGTERM twice while a commit cannot come to its end"""
    stream = stuck(world, 30)
    stream.terminate()
    time.sleep(2)
    expect(stream.alive, f"the first signal ended it: {stream.words}")
    started = time.monotonic()
    stream.terminate()
    words = stream.refused("stopped at once", within=5)
    seconds = time.monotonic() - started
    world.services.second_kafka.signal(signal.SIGCONT)
    return f"{words!r} after {seconds:.1f} s; {world.judge(world.stream(), refused=10)}"


@fault("exit 1 soon after shutdown_seconds, saying that it will be read again; a restart loses nothing")
def stop_that_cannot_commit(world: World) -> str:
    """SIGTERM with shutdown_seconds = 3 while a commit cannot come to its end"""
    stream = stuck(world, 3)
    started = time.monotonic()
    stream.terminate()
    words = stream.refused("read again", within=15)
    seconds = time.monotonic() - started
    world.services.second_kafka.signal(signal.SIGCONT)
    return f"{words!r} after {seconds:.1f} s; {world.judge(world.stream(), refused=10)}"


@fault("exit 1 that names the disk; with more room it goes on, nothing lost")
def disk_full(world: World) -> str:
    """The data directory is a disk of 24 MiB, which grows after it was full"""
    world.data.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "faults", world.data], capture_output=True, text=True)
    if mounted.returncode:
        raise LeftOut(f"nothing can be mounted here: {mounted.stderr.strip()}")
    world.at_end.callback(subprocess.run, ["umount", "--lazy", world.data], check=True)
    world.topic()
    world.traffic.padding = 500
    stream = world.stream()
    with world.pour(3000):
        words = stream.refused("no space", within=120)
        again = world.stream().refused("no space", within=120)
    subprocess.run(["mount", "-o", "remount,size=1g", world.data], check=True)
    return f"{words!r}, again at a start: {again == words}; then {world.judge(world.stream())}"


@fault("no panic; the watermark does not go back, and goes on once the clock has caught up")
def clock_steps_back(world: World) -> str:
    """The wall clock steps back by ten minutes while events of now come in, and forward again"""
    if not FAKETIME:
        raise LeftOut("libfaketime is missing; on Debian: apt-get install faketime")
    world.topic(partitions=1, lateness="10 seconds")
    world.folder.joinpath("clock").write_text("+0")
    stream = world.stream(
        LD_PRELOAD=str(FAKETIME[0]),
        FAKETIME_TIMESTAMP_FILE=str(world.folder / "clock"),
        FAKETIME_NO_CACHE="1",
        FAKETIME_DONT_FAKE_MONOTONIC="1",
    )

    def now(count: int) -> list:
        return [(0, event(at(start=datetime.now(UTC)))) for _ in range(count)]

    def until_watermark_moves(count: int) -> datetime:
        before = stream.watermark

        def moved() -> bool:
            world.send(now(count))
            return stream.watermark != before

        stream.until("the watermark moves", moved)
        return stream.watermark

    stream.ready()
    first = until_watermark_moves(10)
    world.folder.joinpath("clock").write_text("-600")
    deadline = time.monotonic() + 8
    while time.monotonic() < deadline:
        world.send(now(20))
        time.sleep(0.5)
    stream.until_read(world.sent)
    held = stream.watermark
    expect(held >= first, f"the watermark went from {first} back to {held}")
    world.folder.joinpath("clock").write_text("+0")
    last = until_watermark_moves(10)
    expect(last > held, f"the watermark went from {held} to {last}")
    outcome = world.judge(stream, published=False)
    return f"watermark {first:%H:%M:%S}, {held:%H:%M:%S} while the clock was back, then {last:%H:%M:%S}; {outcome}"
