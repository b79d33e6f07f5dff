"""The snapshots of open state are damaged: a restart must not believe them."""

import shutil
from collections.abc import Callable
from pathlib import Path

from comparison import Api
from faults import expect, fault
from oracle import METRICS
from stream import Stream
from world import COUNTS, World

Damage = tuple[str, Callable[[Path], object]]


def damages(size: int) -> list[Damage]:
    places = sorted({0, 1, 20, size // 3, size // 2, size - 1} & set(range(size)))
    return [
        ("deleted", Path.unlink),
        ("filled with zeros", lambda file: file.write_bytes(bytes(size))),
        ("longer", lambda file: file.write_bytes(file.read_bytes() + b"x")),
        *((f"cut at {place}", lambda file, place=place: file.write_bytes(file.read_bytes()[:place])) for place in places),
        *((f"bit flipped at {place}", lambda file, place=place: flip(file, place)) for place in places),
    ]


def flip(file: Path, place: int) -> None:
    content = bytearray(file.read_bytes())
    content[place] ^= 1 << place % 8
    file.write_bytes(content)


def numbers(stream: Stream) -> dict:
    """All that the API answers about closed and open windows."""
    api = Api(stream.url)
    rows = {metric: [{**row, "provisoria": None} for row in api.metric(metric)] for metric in METRICS}
    return rows | {"counts": {name: api.completeness[name] for name in COUNTS}}


def snapshot_of(world: World) -> list[Path]:
    """The newest manifest, and the first and the last segment."""
    folder = world.data / "snapshots" / "eventos_clientes"
    segments = sorted(folder.glob("segment-*.bin"))
    manifests = sorted(folder.glob("manifest-*.json"))
    return [manifests[-1], *{segments[0], segments[-1]}] if manifests and segments else []


def with_snapshot(world: World) -> Stream:
    """A stream with a snapshot that is older than its archive, and duplicates that only known ids can tell."""
    world.topic(lateness="5 minutes")
    world.configure("stream", snapshot_seconds=2)
    stream = world.stream()
    with world.pour(2000):
        stream.until_read(8000)
        stream.until("a snapshot is written", lambda: snapshot_of(world))
        stream.until_read(world.sent + 4000)
    stream.until_read(world.sent)
    return stream


@fault("each restart answers the same numbers: it rebuilds from the archive")
def snapshots_damaged(world: World) -> str:
    """Manifests and segments deleted, truncated at many places, with flipped bits: a restart on each"""
    stream = with_snapshot(world)
    outcome = world.judge(stream)
    stream.kill()
    expected, saved, restarts = numbers_after_restart(world), world.folder / "saved", 0
    shutil.copytree(world.data, saved)
    warned = 0
    for file in snapshot_of(world):
        file = file.relative_to(world.data)
        for name, damage in damages((saved / file).stat().st_size):
            shutil.rmtree(world.data)
            shutil.copytree(saved, world.data)
            damage(world.data / file)
            found = numbers_after_restart(world)
            restarts += 1
            warned += bool(world.streams[-1].logged('"WARN"'))
            different = [metric for metric in expected if found[metric] != expected[metric]]
            expect(not different, f"{file.name} {name}: {', '.join(different)} differ")
    # The next events find the same known ids and open windows.
    again = world.traffic.take(3000)
    world.send(again)
    world.send(again)
    return f"{restarts} restarts, equal, {warned} with a warning; {outcome}; then {world.judge(world.stream(), duplicates=3000)}"


def numbers_after_restart(world: World) -> dict:
    stream = world.stream().until_read(world.sent)
    found = numbers(stream)
    stream.kill()
    return found


@fault("it is not believed: the numbers are those of the archive")
def snapshot_of_another_time(world: World) -> str:
    """An old snapshot put in the place of newer ones, and a new snapshot over an older archive"""
    stream = with_snapshot(world)
    stream.kill()
    old = world.folder / "old"
    shutil.copytree(world.data, old)
    stream = world.stream()
    with world.pour(2000):
        stream.until_read(world.sent + 10_000)
    stream.until_read(world.sent)
    stream.kill()
    new = world.folder / "new"
    shutil.copytree(world.data, new)
    shutil.rmtree(world.data / "snapshots")
    shutil.copytree(old / "snapshots", world.data / "snapshots")
    with_old = world.judge(stream := world.stream())
    stream.kill()
    # As when a folder is restored from two backups: the archive, the tables, but not the snapshot.
    shutil.rmtree(world.data)
    shutil.copytree(old, world.data)
    shutil.rmtree(world.data / "snapshots")
    shutil.copytree(new / "snapshots", world.data / "snapshots")
    return f"with the old snapshot {with_old}; with the new one over the old archive {world.judge(world.stream())}"
