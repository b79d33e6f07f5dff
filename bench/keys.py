"""A table with many keys: each key once, then a tenth of them again, then the stream is killed and started.

Bounds for ten million keys: 150 bytes a key on disk above the 24 that a key, its level and the time take; 2 GiB of memory; a start within 10 s.
The table's sum must be the generator's. The last line is `VERDICT: within` (exit code 0) or `VERDICT: beyond` (1).
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

TOPIC, TABLE, PARTITIONS = "levels", "newest_levels", 8
API = "127.0.0.1:18099"
VITRAL = os.environ.get("VITRAL", "target/release/vitral")
CATALOG = Path(__file__).with_name("keys.d")
PATIENCE_SECONDS = 900
DATA_BYTES, ABOVE_BYTES_MAX, MEMORY_MIB_MAX, START_SECONDS_MAX = 24, 150, 2048, 10


class Stream:
    def __init__(self, address: str, folder: Path):
        config = folder / "vitral.toml"
        config.write_text(f'[catalog]\ndomains = []\ndirs = ["{CATALOG}"]\n[query]\ntimeout_seconds = 120\n')
        self.data = folder / "data"
        self.command = [VITRAL, "stream", "--config", str(config), "--kafka", address, "--api", API, "--data-dir", str(self.data)]
        self.log = open(folder / "log", "a")
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self.command, stdout=self.log, stderr=self.log)

    def get(self, path: str) -> object:
        with urllib.request.urlopen(f"http://{API}{path}", timeout=150) as answer:
            return json.load(answer)

    def until(self, path: str, is_there) -> object:
        last, began = "nothing", time.monotonic()
        while time.monotonic() - began < PATIENCE_SECONDS:
            try:
                if is_there(found := self.get(path)):
                    return found
                last = str(found)[:500]
            except (urllib.error.URLError, ConnectionError, TimeoutError, json.JSONDecodeError) as error:
                last = error.read().decode()[:500] if isinstance(error, urllib.error.HTTPError) else str(error)
                if self.process.poll() is not None:
                    raise SystemExit(f"vitral has ended with {self.process.returncode}; see {self.log.name}") from None
            time.sleep(0.1)
        print(f"{path} does not say so after {PATIENCE_SECONDS} s; its last answer: {last}\nVERDICT: beyond")
        raise SystemExit(1)

    def status_mib(self, field: str) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition(f"{field}:")[2].split()[0]) // 1024


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench/keys", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kafka", required=True, metavar="ADDR")
    parser.add_argument("--keys", type=int, default=10_000_000)
    options = parser.parse_args()
    admin = AdminClient({"bootstrap.servers": options.kafka})
    if TOPIC in admin.list_topics(timeout=30).topics:
        admin.delete_topics([TOPIC])[TOPIC].result()
        while TOPIC in admin.list_topics(timeout=30).topics:
            time.sleep(0.2)
    admin.create_topics([NewTopic(TOPIC, PARTITIONS)])[TOPIC].result()
    with tempfile.TemporaryDirectory(prefix="vitral-keys-") as folder:
        stream = Stream(options.kafka, Path(folder))
        try:
            return measure(options, stream)
        finally:
            stream.process.kill()


def send(options: argparse.Namespace) -> tuple[int, int]:
    """How many messages there are, and the sum of the newest levels."""
    producer = Producer({"bootstrap.servers": options.kafka, "linger.ms": 50, "compression.type": "lz4", "queue.buffering.max.messages": 1_000_000})
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    # No two keys are next to each other; the second time is the later one.
    again = options.keys // 10
    total, sent = 0, 0
    for round_, count in ((0, options.keys), (1, again)):
        for number in range(count):
            key = number * 7_368_787 % options.keys
            payload = f'{{"id":{key},"level":{(key * 31 + round_) % 1000},"at":"{now}.{round_}Z"}}'
            while True:
                try:
                    producer.produce(TOPIC, payload, partition=key % PARTITIONS)
                    break
                except BufferError:
                    producer.poll(0.05)
            sent += 1
            if sent % 1000 == 0:
                producer.poll(0)
    newer = {number * 7_368_787 % options.keys for number in range(again)}
    total = sum((key * 31 + (key in newer)) % 1000 for key in range(options.keys))
    if producer.flush(120):
        raise SystemExit("Kafka did not take every message")
    return sent, total


def measure(options: argparse.Namespace, stream: Stream) -> int:
    sent, total = send(options)
    stream.until(f"/metricas/{TABLE}?limite=1", lambda page: page["completude"]["lidas"] >= sent)
    is_whole = lambda rows: rows[0]["keys"] == options.keys and rows[0]["level"] == total  # noqa: E731
    stream.until("/sums", is_whole)
    size = sum(path.stat().st_size for path in (stream.data / "tables" / TABLE).rglob("*.parquet"))
    above, memory = size / options.keys - DATA_BYTES, stream.status_mib("VmHWM")
    print(f"{options.keys} keys: {size / options.keys:.0f} bytes a key on disk, files that no reader needs any more included; {memory} MiB at most")
    stream.process.send_signal(signal.SIGKILL)
    stream.process.wait()
    began = time.monotonic()
    stream.start()
    stream.until(f"/metricas/{TABLE}?limite=1", lambda page: page["completude"]["lidas"] >= sent and page["linhas"])
    seconds = time.monotonic() - began
    stream.until("/sums", is_whole)
    print(f"after a kill: a row is answered after {seconds:.1f} s, all are summed up after {time.monotonic() - began:.1f} s")
    is_within = above <= ABOVE_BYTES_MAX and memory <= MEMORY_MIB_MAX and seconds <= START_SECONDS_MAX
    print(f"VERDICT: {'within' if is_within else 'beyond'}")
    return 0 if is_within else 1


if __name__ == "__main__":
    sys.exit(main())
