"""MongoDB goes away under load: what the stream makes of it, and what MongoDB has once it is back.

Events of now pour into a Kafka topic, every hundredth twice. Two of the topic's columns are looked up in MongoDB, clicks are written there as documents
by two logs, and two live metrics by two sinks (`mongodb.d`). The server is stopped by SIGSTOP for a while, later killed and started again; in the middle
of that the stream is killed too. What must hold:

- all the time: `/readyz` is 200, and the last commit, the committed watermark and the open windows are never far behind what was sent;
- rows without an answer are counted (`completude`, `/metrics`): as many as there are nulls in the archive's files;
- afterwards there is a document for each click in Kafka and no other, each with the archive's values; of the log that expires after a minute
  there is what has not expired;
- the sinks' documents are the rows that the API answers, and `vitral reconcile` finds them right.

The last line is `VERDICT: ok, ...` (exit code 0) or `VERDICT: FAILED, ...` (1).
"""

import argparse
import signal
import sys
import threading
import time
from collections import deque
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from pymongo import MongoClient

sys.path.insert(0, str(Path(__file__).parents[1] / "faults.d"))

from faults import Failed, expect, until  # noqa: E402
from mongodb_judges import (  # noqa: E402
    LOOKED_UP,
    METRIC,
    SINKS,
    Archive,
    Outage,
    at_rest,
    clicks_sent,
    completeness,
    get,
    judge_counts,
    judge_expiry,
    judge_log,
    judge_sink,
    judge_times,
    now,
    telemetry,
    without_value,
)
from services import Service, Services  # noqa: E402
from stream import Stream  # noqa: E402
from traffic import Traffic, event  # noqa: E402
from world import TABLE, World  # noqa: E402

CATALOG = Path(__file__).with_name("mongodb.d")
DATABASE = "verificacao"
PARTITIONS, LATENESS, WATERMARK_SECONDS = 4, "30 seconds", 10
# Of these customers every fiftieth has no profile.
USERS, STRANGER_EVERY = 300, 50
SEGMENTS, CITIES = ("vip", "varejo", "atacado"), ("Recife", "Manaus", "Curitiba")
# Clicks are few, as FerretDB 1 reads a whole collection for each thousand documents that are written.
KINDS = ["visualizacao"] * 6 + ["clique", "busca", "adicao_carrinho", "compra"]
REPEAT_EVERY = 100
SAMPLE_SECONDS = 0.5
# A batch waits for three attempts of 200 ms, and its commit for a second; this leaves room for a busy machine.
BEHIND_MAX = 15
MIB_MAX = 600
# Between two attempts are at most two minutes; then what has waited is written.
CAUGHT_UP_WITHIN = 240


class Shop(Traffic):
    """Events of now, each customer's in one partition."""

    def next(self) -> tuple[int, bytes]:
        number, self.count = self.count, self.count + 1
        if number % REPEAT_EVERY == REPEAT_EVERY - 1:
            return self.last
        user, kind = self.draw.randrange(USERS), self.draw.choice(KINDS)
        fields = f'"id_evento":"e{number}","id_produto":"p{self.draw.randrange(20)}"'
        if kind == "compra":
            fields += f',"id_pedido":"o{number}","quantidade":{self.draw.randint(1, 5)},"preco":{self.draw.randrange(99999) / 100:.2f}'
        at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self.last = user % self.partitions, event(at, f"u{user}", kind, fields)
        return self.last


class Sample(NamedTuple):
    """What the stream says of itself at one moment; times in seconds."""

    phase: str
    is_ready: bool
    # How long its answers took.
    answer: float
    # How long the oldest message that is not in the windows has been sent.
    unread: float
    # The age of the last commit, and how far the committed watermark is behind where it would be without any delay.
    commit: float
    watermark: float


class Watch(threading.Thread):
    """Looks at a stream twice a second, while it has one."""

    def __init__(self, world: World):
        super().__init__()
        self.world, self.phase = world, ""
        self.stream: Stream | None = None
        self.samples: list[Sample] = []
        self.failures: list[str] = []
        # When how many had been sent.
        self.sent: deque[tuple[float, int]] = deque()
        self.over = threading.Event()

    def __enter__(self) -> "Watch":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.join()
        for phase in dict.fromkeys(sample.phase for sample in self.samples):
            print(self.words(phase), flush=True)

    def run(self) -> None:
        while not self.over.wait(SAMPLE_SECONDS):
            self.sent.append((time.monotonic(), self.world.sent))
            stream = self.stream
            try:
                if stream is not None:
                    self.samples.append(self.look(stream, self.phase))
            except (OSError, ValueError, LookupError) as error:
                # It may have been killed meanwhile.
                if self.stream is stream:
                    self.failures.append(f"{self.phase}: {error!r}")

    def look(self, stream: Stream, phase: str) -> Sample:
        began = time.monotonic()
        is_ready = get(stream, "/readyz")[0] == 200
        found = completeness(stream)
        (commit,) = telemetry(stream, "vitral_commit_age_seconds", f'topic="{TABLE}"') or (0.0,)
        while self.sent and self.sent[0][1] <= found["lidas"]:
            self.sent.popleft()
        unread = began - self.sent[0][0] if self.sent else 0.0
        mark = found["marca_dagua"] and datetime.fromisoformat(found["marca_dagua"])
        watermark = (datetime.now(UTC) - mark).total_seconds() - WATERMARK_SECONDS if mark else 0.0
        return Sample(phase, is_ready, time.monotonic() - began, max(0.0, unread), commit, watermark)

    def words(self, phase: str) -> str:
        """The worst of a phase."""
        samples = [sample for sample in self.samples if sample.phase == phase]
        worst = {name: max((getattr(sample, name) for sample in samples), default=0.0) for name in Sample._fields[2:]}
        listed = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in worst.items())
        return f"{phase:<15} {len(samples):>4} samples, {sum(not sample.is_ready for sample in samples)} not ready; at most {listed}"


def declare(world: World, address: str) -> None:
    """The topic with looked-up columns, and what is in `mongodb.d`."""
    world.topic(PARTITIONS, lateness=LATENESS, watermark=f"{WATERMARK_SECONDS} seconds")
    world.traffic = Shop(PARTITIONS)
    file = world.folder / "catalog" / f"{TABLE}.sql"
    columns = "".join(f",\n    {name} TEXT GENERATED ALWAYS AS (lookup('{table}', id_usuario, '{name}')) STORED" for name, table in LOOKED_UP.items())
    file.write_text(file.read_text().replace("\n) WITH (", f"{columns}\n) WITH ("))
    world.configure("catalog", dirs=[str(world.folder / "catalog"), str(CATALOG)])
    world.configure("connections.clientes", url=f"mongodb://{address}/{DATABASE}")


def profiles() -> list[dict]:
    return [
        {"_id": user, "id_usuario": f"u{user}", "segmento": SEGMENTS[user % 3], "cidade": CITIES[user % 3]}
        for user in range(USERS)
        if user % STRANGER_EVERY
    ]


def hang(world: World, watch: Watch, server: Service, options: argparse.Namespace) -> Outage:
    """The server answers nobody for a while."""
    with world.pour(options.rate):
        watch.phase = "before"
        time.sleep(20)
        watch.phase, began = "hanging", now()
        server.signal(signal.SIGSTOP)
        try:
            time.sleep(options.hang)
        finally:
            server.signal(signal.SIGCONT)
        watch.phase, ended = "after the hang", now()
        time.sleep(25)
    return Outage("hang", began, ended)


def verify(world: World, options: argparse.Namespace) -> str:
    server = Service("mongodb")
    address = f"127.0.0.1:{server.port}"
    database = MongoClient(address)[DATABASE]
    database.client.drop_database(DATABASE)
    database.perfis_usuarios.insert_many(profiles())
    declare(world, address)
    archive, log, began = Archive(world), database.registros_cliques, now()
    with Watch(world) as watch:
        stream = watch.stream = world.stream().ready()
        outages = [hang(world, watch, server, options)]
        # At rest, so that what this process has counted can be compared to the row before it is killed.
        at_rest(world, stream, archive)
        judge_counts(stream, archive, {}, "first process, after the hang")
        rest, counts = archive.next_offsets(), completeness(stream)
        with world.pour(options.rate):
            watch.phase, died = "away", now()
            server.kill()
            time.sleep(options.away / 2)
            watch.stream, kill, killed = None, now(), time.monotonic()
            last_counts, peak = completeness(stream), stream.peak_mib()
            stream.kill()
            begins = archive.next_offsets()
            stream = world.stream().ready()
            watch.phase, watch.stream = "restarted", stream
            until("the stream has caught up", lambda: watch.samples[-1].phase == "restarted" and watch.samples[-1].unread < 1)
            restart = time.monotonic() - killed
            watch.phase = "still away"
            time.sleep(max(0.0, options.away / 2 - restart))
            server.start()
            watch.phase, back = "back", time.monotonic()
            outages.append(Outage("death", died, now()))
            clicks = len(clicks_sent(world))
            until("the log has caught up", lambda: log.estimated_document_count() >= clicks, CAUGHT_UP_WITHIN)
            log_back = time.monotonic() - back
            # By then what expired meanwhile was looked for.
            time.sleep(max(10.0, 75 - log_back))
            short, short_at = list(database.cliques_do_minuto.find({})), now()
        at_rest(world, stream, archive)
    peak = max(peak, stream.peak_mib())

    print(f"killed and started again: everything in the windows after {restart:.1f} s", flush=True)
    judged = [sample for sample in watch.samples if sample.phase != "restarted"]
    behind = max(max(sample[2:]) for sample in judged)
    expect(not watch.failures, f"the API did not answer: {watch.failures[:3]}")
    expect(all(sample.is_ready for sample in judged), "/readyz was not 200")
    expect(behind < BEHIND_MAX, f"the stream was up to {behind:.1f} s behind")

    judge_counts(stream, archive, begins, "second process")
    nulls = archive.nulls(rest, begins)["segmento"]
    more = without_value(last_counts, "segmento") - without_value(counts, "segmento") - nulls
    print(f"first process, until it was killed: {nulls} rows without segmento in the archive, {more} more were counted, and read again")
    # What came between the question and the kill; what was read and not committed.
    expect(-options.rate <= more <= 5 * options.rate, f"{more} rows more were counted than archived")
    strangers = [f"u{user}" for user in range(0, USERS, STRANGER_EVERY)]
    judge_times(archive, outages, strangers, kill)
    sent = clicks_sent(world)
    until("the log has every click", lambda: log.estimated_document_count() >= len(sent), CAUGHT_UP_WITHIN)
    judge_log(database, archive, sent)
    judge_expiry(short, short_at, sent)
    final = sum(judge_sink(database, stream, sink) for sink in SINKS)
    windows = world.reconcile(began.strftime("%Y-%m-%dT%H:00:00Z"), f"{now().isoformat()}Z")
    expect(windows, "no window was published")
    expect(peak < MIB_MAX, f"{peak} MiB of resident memory")
    stream.stop()
    return (
        f"{world.sent} messages, never more than {behind:.1f} s behind; {len(sent)} clicks as documents, up to date {log_back:.0f} s after MongoDB was "
        f"back; {final} rows of final windows copied, {windows} published windows reconciled; {peak} MiB at most"
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/verify/mongodb", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=int, default=500, help="events a second; default: %(default)s")
    parser.add_argument("--hang", type=float, default=30, metavar="SECONDS", help="how long the server is stopped by SIGSTOP; default: %(default)s")
    parser.add_argument("--away", type=float, default=120, metavar="SECONDS", help="how long it is dead; default: %(default)s")
    parser.add_argument("--keep", action="store_true", help="leave data and logs")
    options = parser.parse_args()
    world = World("mongodb", Services())
    try:
        words = verify(world, options)
        print(f"VERDICT: ok, {words}")
        return 0
    except Failed as reason:
        print(f"VERDICT: FAILED, {reason}")
        return 1
    finally:
        world.close(options.keep)


if __name__ == "__main__":
    sys.exit(main())
