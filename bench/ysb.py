"""The Yahoo Streaming Benchmark: 100 campaigns of 10 advertisements, views counted for each campaign and window of ten seconds.

By its protocol: seven fields, three types of events of which one is counted, times up to 50 ms early or late, and one event in a hundred
thousand up to a minute late. Other than there, times are RFC 3339 strings, and the campaign of an advertisement is looked up in a file and not in
Redis. Two parts, both on one topic with eight partitions:

- A backlog that is read as fast as it can be: events per second and per second of CPU time, start and commits included.
- Events at a rate: when a window's count at the API holds every event that was sent in time, after the window's end; and when it is final.

Every count is compared with the generator's own. The last line is `VERDICT: equal` (exit code 0) or `VERDICT: different` (1).
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

TOPIC, METRIC = "ad-events", "campaign_views"
CAMPAIGNS, ADS_EACH, PARTITIONS = 100, 10, 8
WINDOW_MS = 10_000
SKEW_MS, LATE_BY_MS, LATE_ONE_IN = 50, 60_000, 100_000
API = "127.0.0.1:18097"
POLL_SECONDS = 0.2
VITRAL = os.environ.get("VITRAL", "target/release/vitral")
CATALOG = Path(__file__).with_name("ysb.d")


class Generator:
    """Makes events and counts what they add up to."""

    def __init__(self, seed: int):
        self.random = random.Random(seed)
        identify = lambda count: [str(uuid.UUID(int=self.random.getrandbits(128), version=4)) for _ in range(count)]  # noqa: E731
        self.campaigns = identify(CAMPAIGNS)
        ads = identify(CAMPAIGNS * ADS_EACH)
        self.campaign_of = {ad: self.campaigns[number // ADS_EACH] for number, ad in enumerate(ads)}
        users, pages = identify(100), identify(100)
        kinds = ["banner", "modal", "sponsored-search", "mail", "mobile"]
        # What an event has besides its advertisement, type and time: enough different ones for caches to be of no use.
        self.heads = [
            f'{{"user_id":"{self.random.choice(users)}","page_id":"{self.random.choice(pages)}","ad_type":"{self.random.choice(kinds)}","ad_id":"'
            for _ in range(4096)
        ]
        self.ads = ads
        self.windows: dict[int, Counter] = {}
        self.in_time: Counter = Counter()
        self.second, self.prefix = -1, ""

    def event(self, now_ms: int) -> str:
        draw = self.random.random
        skew = int(draw() * 2 * SKEW_MS) - SKEW_MS
        late = int(draw() * LATE_BY_MS) if draw() * LATE_ONE_IN < 1 else 0
        at_ms = now_ms + skew - late
        second, ms = divmod(at_ms, 1000)
        if second != self.second:
            self.second, self.prefix = second, datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S.")
        ad = self.ads[int(draw() * len(self.ads))]
        kind = int(draw() * 3)
        if kind == 0:
            window = at_ms // WINDOW_MS
            counts = self.windows.get(window)
            if counts is None:
                counts = self.windows[window] = Counter()
            counts[self.campaign_of[ad]] += 1
            if not late:
                self.in_time[window] += 1
        kind = ("view", "click", "purchase")[kind]
        head = self.heads[int(draw() * 4096)]
        return f'{head}{ad}","event_type":"{kind}","event_time":"{self.prefix}{ms:03}Z","ip_address":"1.2.3.4"}}'

    def expected(self) -> dict[tuple[int, str], int]:
        return {(window * WINDOW_MS, campaign): views for window, counts in self.windows.items() for campaign, views in counts.items()}


class Sender:
    def __init__(self, address: str):
        settings = {"bootstrap.servers": address, "linger.ms": 20, "compression.type": "lz4", "queue.buffering.max.messages": 1_000_000}
        self.producer = Producer(settings)
        self.failed = 0
        self.sent = 0

    def send(self, payload: str) -> None:
        while True:
            try:
                self.producer.produce(TOPIC, payload, partition=self.sent % PARTITIONS, on_delivery=self.delivered)
                break
            except BufferError:
                self.producer.poll(0.05)
        self.sent += 1
        if self.sent % 1000 == 0:
            self.producer.poll(0)

    def delivered(self, error, _) -> None:
        self.failed += error is not None

    def finish(self) -> None:
        if self.producer.flush(120) or self.failed:
            raise SystemExit("Kafka did not take every event")


class Stream:
    """A `vitral stream` of its own."""

    def __init__(self, address: str, folder: Path):
        config = folder / "vitral.toml"
        config.write_text(f'[catalog]\ndomains = []\ndirs = ["{CATALOG}"]\n')
        self.log = open(folder / "log", "w")
        command = [VITRAL, "stream", "--config", str(config), "--kafka", address, "--api", API, "--data-dir", str(folder / "data")]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def peak_mib(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) // 1024

    def page(self, path: str) -> tuple[dict, str | None]:
        with urllib.request.urlopen(f"http://{API}{path}", timeout=60) as answer:
            link = answer.headers.get("Link", "")
            following = link[link.find("<") + 1 : link.find(">")] if 'rel="next"' in link else None
            return json.load(answer), following

    def read(self) -> int:
        try:
            return self.page(f"/metricas/{METRIC}?limite=1")[0]["completude"]["lidas"]
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            if self.process.poll() is not None:
                raise SystemExit(f"vitral has ended with {self.process.returncode}; see {self.log.name}") from None
            return -1

    def wait_for(self, events: int) -> None:
        while self.read() < events:
            time.sleep(0.1)

    def rows(self, since_ms: int | None = None) -> tuple[list[dict], dict]:
        path = f"/metricas/{METRIC}?limite=1000"
        if since_ms is not None:
            path += "&de=" + datetime.fromtimestamp(since_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        rows = []
        while path:
            document, path = self.page(path)
            rows += document["linhas"]
        return rows, document["completude"]

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(60)


def start_ms(row: dict) -> int:
    return round(datetime.fromisoformat(row["janela_inicio"]).timestamp() * 1000)


def is_equal(stream: Stream, generator: Generator, sent: int) -> bool:
    rows, completeness = stream.rows()
    found = {(start_ms(row), row["campaign_id"]): row["views"] for row in rows}
    expected = generator.expected()
    differing = [key for key in expected.keys() | found.keys() if expected.get(key) != found.get(key)]
    for key in differing[:10]:
        print(f"  {key}: expected {expected.get(key)}, found {found.get(key)}")
    print(f"{len(expected)} counts of {sum(expected.values())} views, {len(differing)} differ; of {sent} events {completeness['contadas']} count")
    return not differing and completeness["contadas"] == sent


class Watch(threading.Thread):
    """When each window's count is whole, and when it is final, in seconds after its end."""

    def __init__(self, stream: Stream, since_ms: int):
        super().__init__(daemon=True)
        self.stream, self.since_ms = stream, since_ms
        self.seen: list[tuple[float, dict[int, int], set[int]]] = []
        self.has_ended = False

    def run(self) -> None:
        while not self.has_ended:
            rows, _ = self.stream.rows(self.since_ms)
            now, views = time.time(), Counter()
            for row in rows:
                views[start_ms(row)] += row["views"]
            open_windows = {start_ms(row) for row in rows if row["provisoria"]}
            self.seen.append((now, views, views.keys() - open_windows))
            time.sleep(POLL_SECONDS)

    def latencies(self, in_time: Counter) -> tuple[list[float], list[float]]:
        whole, final = [], []
        for window, count in in_time.items():
            start, end = window * WINDOW_MS, (window + 1) * WINDOW_MS / 1000
            if start < self.since_ms:
                continue
            whole += [now - end for now, views, _ in self.seen if views.get(start, 0) >= count][:1]
            final += [now - end for now, _, finals in self.seen if start in finals][:1]
        return whole, final


def quantile(values: list[float], part: float) -> float:
    values = sorted(values)
    return values[min(len(values) - 1, int(part * len(values)))] if values else float("nan")


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench/ysb", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kafka", required=True, metavar="ADDR")
    parser.add_argument("--events", type=int, default=5_000_000, help="of the backlog; default: %(default)s")
    parser.add_argument("--backlog-rate", type=int, default=100_000, help="events for each second of the backlog's time; default: %(default)s")
    parser.add_argument("--rate", type=int, default=20_000, help="events per second of the second part; default: %(default)s")
    parser.add_argument("--seconds", type=int, default=150, help="of the second part, in which windows are final after some 70; default: %(default)s")
    options = parser.parse_args()
    admin = AdminClient({"bootstrap.servers": options.kafka})
    if TOPIC in admin.list_topics(timeout=30).topics:
        admin.delete_topics([TOPIC])[TOPIC].result()
        while TOPIC in admin.list_topics(timeout=30).topics:
            time.sleep(0.2)
    admin.create_topics([NewTopic(TOPIC, PARTITIONS)])[TOPIC].result()
    generator, sender = Generator(7), Sender(options.kafka)
    with tempfile.TemporaryDirectory(prefix="vitral-ysb-") as folder:
        return measure(options, generator, sender, Path(folder))


def measure(options: argparse.Namespace, generator: Generator, sender: Sender, folder: Path) -> int:
    reference = folder / "data" / "reference"
    reference.mkdir(parents=True)
    lines = [f"{ad},{campaign}\n" for ad, campaign in generator.campaign_of.items()]
    (reference / "campaigns.csv").write_text("ad_id,campaign_id\n" + "".join(lines))
    # Its last event comes a minute before now, so that none of it lies ahead.
    first_ms = int(time.time() * 1000) - 60_000 - options.events * 1000 // options.backlog_rate
    began = time.monotonic()
    for number in range(options.events):
        sender.send(generator.event(first_ms + number * 1000 // options.backlog_rate))
    sender.finish()
    print(f"{options.events} events sent, {options.events / (time.monotonic() - began):,.0f} a second")
    stream = Stream(options.kafka, folder)
    try:
        began = time.monotonic()
        stream.wait_for(options.events)
        took, cpu = time.monotonic() - began, stream.cpu_seconds()
        print(f"backlog: {options.events / took:,.0f} events/s, {options.events / cpu:,.0f} events per CPU-second, {stream.peak_mib()} MiB at most")
        equal = is_equal(stream, generator, sender.sent)
        if options.seconds:
            equal &= at_rate(options, generator, sender, stream)
    finally:
        stream.stop()
    print(f"VERDICT: {'equal' if equal else 'different'}")
    return 0 if equal else 1


def at_rate(options: argparse.Namespace, generator: Generator, sender: Sender, stream: Stream) -> bool:
    began_ms = int(time.time() * 1000)
    # The first window may have begun before, and the last may be cut short.
    since_ms = (began_ms // WINDOW_MS + 1) * WINDOW_MS
    watch = Watch(stream, since_ms)
    watch.start()
    cpu, events, in_time = stream.cpu_seconds(), options.rate * options.seconds, Counter(generator.in_time)
    for number in range(events):
        due_ms = began_ms + number * 1000 // options.rate
        ahead = due_ms / 1000 - time.time()
        if ahead > 0.01:
            sender.producer.poll(0)
            time.sleep(ahead)
        sender.send(generator.event(due_ms))
    sender.finish()
    took = time.time() - began_ms / 1000
    stream.wait_for(sender.sent)
    print(f"at {events / took:,.0f} events/s: {events / (stream.cpu_seconds() - cpu):,.0f} events per CPU-second")
    # Windows close when event time has passed them by the lateness: those of the first seconds have.
    watch.has_ended = True
    watch.join()
    last = (began_ms + options.seconds * 1000) // WINDOW_MS
    sent = Counter({window: count - in_time[window] for window, count in generator.in_time.items() if window < last})
    whole, final = watch.latencies(sent)
    print(
        f"a window is whole {quantile(whole, 0.5):.2f} s after its end, {quantile(whole, 0.99):.2f} s at most "
        f"({len(whole)} windows, looked at every {POLL_SECONDS} s); final {quantile(final, 0.5):.1f} s after it ({len(final)} windows)"
    )
    return is_equal(stream, generator, sender.sent)


if __name__ == "__main__":
    sys.exit(main())
