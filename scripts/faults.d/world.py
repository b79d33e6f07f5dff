"""What a fault is given: a topic and a data directory of its own, streams on them, and the judge."""

import contextlib
import io
import re
import secrets
import shutil
import subprocess
import tempfile
from pathlib import Path

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from deltalake import DeltaTable

from comparison import Api, Comparison
from faults import Failed, expect
from messages import from_kafka
from oracle import DISCREPANCIES, METRICS, VERDICTS, oracle
from services import Kafka, Services
from stream import REPOSITORY, VITRAL, Stream
from traffic import Messages, Pour, Sender, Traffic, at

TABLE = "eventos_clientes"
DECLARATION = REPOSITORY / "catalog/ecommerce/topics" / f"{TABLE}.sql"
SECONDS = {"second": 1, "minute": 60, "hour": 3600}
SHOWN_CHARACTERS = 600
# How `vitral reconcile` ends where no window is published.
NOTHING_TO_COMPARE = 4


class World:
    def __init__(self, name: str, services: Services):
        self.name, self.services = name, services
        self.folder = Path(tempfile.mkdtemp(prefix=f"vitral-{name}-"))
        self.data = self.folder / "data"
        self.settings: dict[str, dict[str, object]] = {"catalog": {"dirs": [str(self.folder / "catalog")]}}
        self.streams: list[Stream] = []
        self.at_end = contextlib.ExitStack()
        self.bucket: tuple[str, dict[str, str]] | None = None

    @property
    def kafka(self) -> Kafka:
        return self.services.kafka

    def topic(
        self,
        partitions: int = 2,
        config: dict[str, str] | None = None,
        brokers: list | None = None,
        lateness: str = "2 minutes",
        step: float = 0.25,
        **options: str,
    ) -> None:
        """A topic of this name alone, declared as the built-in table with other options."""
        # The fault before may have left it dead.
        self.kafka.start()
        self.kafka_topic = f"faults-{self.name}-{secrets.token_hex(3)}"
        self.kafka.create(self.kafka_topic, partitions, config, brokers)
        declaration = DECLARATION.read_text()
        for option, value in {"topic": self.kafka_topic, "lateness": lateness, **options}.items():
            declaration, found = re.subn(rf"\b{option} = '[^']*'", f"{option} = '{value}'", declaration)
            expect(found == 1, f"the table has no option {option}")
        (self.folder / "catalog").mkdir()
        (self.folder / "catalog" / f"{TABLE}.sql").write_text(declaration)
        number, unit = lateness.split()
        self.lateness_seconds = int(number) * SECONDS[unit.rstrip("s")]
        self.traffic = Traffic(partitions, step)
        self.sender = Sender(self.kafka.client(), self.kafka_topic)
        # By other producers than `sender`.
        self.delivered_else = 0

    def renew_sender(self, **options: object) -> None:
        """Another producer, with these settings."""
        self.delivered_else += self.sender.delivered
        self.sender = Sender(self.kafka.client(), self.kafka_topic, **options)

    def configure(self, section: str, **values: object) -> None:
        self.settings.setdefault(section, {}).update(values)

    def use_bucket(self, endpoint: str) -> None:
        """Keeps everything in the object store, reached by this address."""
        environment = self.services.s3.environment
        url = f"s3://{environment['VITRAL_TEST_S3_BUCKET']}/{self.name}-{secrets.token_hex(3)}"
        options = {
            "aws_endpoint": endpoint,
            "aws_access_key_id": environment["VITRAL_TEST_S3_KEY"],
            "aws_secret_access_key": environment["VITRAL_TEST_S3_SECRET"],
            "aws_region": "us-east-1",
            "aws_allow_http": "true",
        }
        self.configure("store", url=url)
        self.configure("store.options", **options)
        # The judge goes straight to the store.
        self.bucket = url, options | {"aws_endpoint": environment["VITRAL_TEST_S3"]}

    @property
    def config(self) -> Path:
        lines = []
        for section, values in self.settings.items():
            lines.append(f"[{section}]")
            # Python's lists, numbers and quoted texts are TOML's.
            lines += [f'"{key}" = {value!r}' for key, value in values.items()]
        file = self.folder / "vitral.toml"
        file.write_text("\n".join(lines) + "\n")
        return file

    @property
    def sent(self) -> int:
        return self.sender.delivered + self.delivered_else

    def send(self, messages: Messages) -> None:
        self.sender.send(messages)

    def pour(self, rate: int = 1000) -> Pour:
        return Pour(self.sender, self.traffic, rate)

    def stream(self, kafka: str | None = None, *flags: str, **environment: str) -> Stream:
        arguments = ["--config", self.config, "--data-dir", self.data, "--kafka", kafka or self.kafka.address, *flags]
        stream = Stream(list(map(str, arguments)), self.folder / f"stream-{len(self.streams)}.log", environment)
        self.streams.append(stream)
        return stream

    @property
    def archive(self) -> tuple[Path | str, dict[str, str] | None]:
        if self.bucket:
            url, options = self.bucket
            return f"{url}/archive/{TABLE}", options
        return self.data / "archive" / TABLE, None

    def judge(
        self, stream: Stream, duplicates: int = 0, late: int = 0, refused: int = 0, idle: bool = False, published: bool = True
    ) -> str:
        """Everything that was sent is counted exactly so, and every number is what DuckDB and `vitral reconcile` compute."""
        sent = self.sent
        stream.until_read(sent)
        completeness = stream.completeness()
        found = [int(completeness[name]) for name in COUNTS]
        counts = [sent, sent - duplicates - late - refused, duplicates, late, refused]
        expect(found == counts, f"{', '.join(COUNTS)} are {found}, expected {counts}")
        archive, storage = self.archive
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            database = oracle(
                from_kafka(self.kafka.address, self.kafka_topic),
                archive,
                idle=idle,
                wait_seconds=60,
                lateness_seconds=self.lateness_seconds,
                storage=storage,
            )
            comparison = Comparison(database)
            comparison.nothing("archive", DISCREPANCIES)
            api, rows = Api(stream.url), 0
            for metric in METRICS:
                comparison.rows(metric, f"FROM {metric}", api.metric(metric))
                rows += comparison.outcomes[-1][2]
            comparison.rows("completude", VERDICTS, [api.completeness])
            code = comparison.finish()
        if code:
            (self.folder / "differences").write_text(printed.getvalue())
            raise Failed(f"the oracle differs: {printed.getvalue()[:SHOWN_CHARACTERS]}")
        expect(stream.alive, f"it ended while it was judged: {stream.words}")
        windows = self.reconcile()
        expect(windows or not published, "no window was published, so none was reconciled")
        return f"{sent} messages, {rows} rows equal, {windows} published windows reconciled"

    def dead_letters(self) -> dict[tuple[int, int], int]:
        """The offsets that their headers name, with the bytes of each."""
        letters = {}
        consumer = Consumer(
            self.kafka.client(**{"group.id": "vitral-faults", "enable.partition.eof": True, "receive.message.max.bytes": 300 << 20})
        )
        consumer.assign([TopicPartition(f"{self.kafka_topic}.dlq", 0, OFFSET_BEGINNING)])
        # A message without bytes is false.
        while (message := consumer.poll(30)) is not None and not message.error():
            headers = dict(message.headers())
            place = int(headers["vitral.partition"]), int(headers["vitral.offset"])
            letters[place] = len(message.value() or b"")
        consumer.close()
        return letters

    def undelivered(self) -> list[tuple[int, int]]:
        """The first and the last offset of each range that the archive says was never delivered."""
        archive, storage = self.archive
        rows = DeltaTable(archive, storage_options=storage).to_pyarrow_dataset()
        columns = ["_deslocamento", "_deslocamento_fim", "_veredito"]
        rows = rows.to_table(columns).to_pylist()
        return [(row[columns[0]], row[columns[1]]) for row in rows if row["_veredito"] == "nao_entregue"]

    def reconcile(self, since: str | None = None, until: str | None = None, behind: bool = False) -> int:
        """The published windows, all of which must be equal to what the archive gives; 0 where none is published.

        `behind`: the stream died before the tables without windows had what is archived, and that is all that may be said of them.
        """
        command = [VITRAL, "reconcile", "--config", self.config, "--data-dir", self.data]
        # It takes its time for each day, whether there is something in it or not.
        command += ["--from", since or at(-7200), "--to", until or at(7200, self.traffic.newest)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=self.folder)
        is_behind = behind and "are archived and not in it yet" in done.stdout and "the others are equal" in done.stderr
        is_equal = done.returncode in (0, NOTHING_TO_COMPARE) or is_behind
        expect(is_equal, f"reconcile differs: {(done.stdout + done.stderr)[-SHOWN_CHARACTERS:]}")
        lines = [line.split() for line in done.stdout.splitlines()]
        return sum(int(line[1]) for line in lines if line and line[0] in METRICS)

    def close(self, keep: bool) -> None:
        for stream in self.streams:
            if stream.alive:
                stream.kill()
        self.at_end.close()
        self.services.close()
        if keep:
            print(f"kept: {self.folder}")
        else:
            shutil.rmtree(self.folder, ignore_errors=True)


COUNTS = ("lidas", "contadas", "duplicadas", "atrasadas", "recusadas")
