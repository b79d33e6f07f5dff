"""Steady load for an hour: whether the stream keeps up, and whether its memory stays where it is.

`vitral simulate` sends events of now, 1 % of them twice, to a topic with a lateness of two minutes, so that windows close and ids are
forgotten all the time. Resident memory is looked at each second; the median of the last minute must be within 10 % of that of the
tenth. At the end everything must have been read, every offset accounted for, and the published windows be equal to what the archive
gives.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from datetime import datetime, timezone
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "verify"))

from faults import Failed, expect  # noqa: E402
from memory import resident_mib  # noqa: E402
from services import Services  # noqa: E402
from stream import VITRAL, Stream  # noqa: E402
from world import COUNTS, World  # noqa: E402

PARTITIONS = 4
# What the stream has read may go, or the broker would keep 45 GB.
RETENTION = {"retention.ms": "600000", "segment.ms": "60000", "segment.bytes": str(256 << 20)}
LATENESS = "2 minutes"
FIRST_MINUTE = 10
GROWTH_MAX = 1.10
# Seconds of load that may be unread when the load ends.
BEHIND_MAX = 10


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--rate", type=int, default=50_000, help="events a second")
    options = parser.parse_args()
    if options.minutes <= FIRST_MINUTE:
        parser.error(f"--minutes must be more than {FIRST_MINUTE}: the last minute is compared with that one")
    services = Services()
    world = World("soak", services)
    try:
        words = soak(world, options.minutes, options.rate)
        print(f"VERDICT: ok, {words}")
        return 0
    except Failed as reason:
        print(f"VERDICT: FAILED, {reason}")
        return 1
    finally:
        world.close(keep=False)


def soak(world: World, minutes: int, rate: int) -> str:
    world.topic(PARTITIONS, RETENTION, lateness=LATENESS)
    stream = world.stream().ready()
    began = datetime.now(timezone.utc)
    command = [VITRAL, "simulate", "--rate", rate, "--count", rate * 60 * minutes, "--topic", world.kafka_topic]
    environment = os.environ | {"VITRAL__CONNECTIONS__KAFKA__URL": f"kafka://{world.kafka.address}"}
    load = subprocess.Popen(list(map(str, command)), env=environment, cwd=world.folder, stdout=subprocess.PIPE, text=True)
    try:
        memory = watch(world, stream, load, minutes)
        said, _ = load.communicate(timeout=120)
    finally:
        load.kill()
    expect(load.returncode == 0, f"the simulator ended with {load.returncode}")
    sent = sum(world.kafka.ends(world.kafka_topic).values())
    behind = (sent - stream.read) / rate
    stream.until_read(sent, within=600)
    completeness = stream.completeness()
    counts = {name: int(completeness[name]) for name in COUNTS}
    expect(sum(counts.values()) == 2 * sent, f"{sent} were sent, but the verdicts are {counts}")
    windows = world.reconcile(began.strftime("%Y-%m-%dT%H:00:00Z"), datetime.now(timezone.utc).isoformat())
    first, last = statistics.median(memory[FIRST_MINUTE - 1]), statistics.median(memory[minutes - 1])
    size = sum(file.stat().st_size for file in world.data.rglob("*") if file.is_file())
    print(f"{said.strip()}; verdicts {counts}; {windows} published windows reconciled; {size / 2**30:.1f} GiB on disk; stopped in {stream.stop():.1f} s")
    words = f"resident memory {first:.0f} MiB in minute {FIRST_MINUTE}, {last:.0f} MiB in minute {minutes}; {behind:.1f} s of load unread at the end"
    expect(last <= GROWTH_MAX * first, words)
    expect(behind <= BEHIND_MAX, words)
    return words


def watch(world: World, stream: Stream, load: subprocess.Popen, minutes: int) -> list[list[float]]:
    """MiB at each second, by minute."""
    memory: list[list[float]] = []
    started = time.monotonic()
    for minute in range(minutes):
        samples = []
        while time.monotonic() < started + 60 * (minute + 1):
            expect(stream.alive, f"it ended: {stream.words}")
            expect(load.poll() in (None, 0), f"the simulator ended with {load.returncode}")
            samples.append(resident_mib(stream.process.pid))
            time.sleep(1)
        memory.append(samples)
        sent, read = sum(world.kafka.ends(world.kafka_topic).values()), stream.read
        print(
            f"minute {minute + 1:>3}: {sent:>11,} sent, {sent - read:>9,} unread, {statistics.median(samples):>5.0f} MiB"
            f" (at most {max(samples):.0f}), {cpu_seconds(stream.process.pid):>6.0f} s of CPU",
            flush=True,
        )
    return memory


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    sys.exit(main())
