"""A Vitral table that follows a PostgreSQL table, by messages in Debezium's form, compared with it row by row.

The messages are made from PostgreSQL's logical decoding by `pgoutput`, the plugin that Debezium uses: every change with its own LSN, transactions in the
order of their commits. Half of them carry their schema, with decimals as bytes and times as numbers, the others do as `decimal.handling.mode = string`
without schemas. A stop of the connector sends the last changes again; a snapshot in the middle sends every row as it is then.

The last line is `VERDICT: equal` (exit code 0) or `VERDICT: different` (1).
"""

import argparse
import base64
import json
import os
import signal
import struct
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

TOPIC, TABLE, PARTITIONS = "loja.public.clientes", "clientes", 3
API = "127.0.0.1:18098"
VITRAL = os.environ.get("VITRAL", "target/debug/vitral")
CATALOG = Path(__file__).with_name("debezium.d")
RESENT = 700
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# PostgreSQL counts microseconds from here.
EPOCH_2000_US = 946_684_800_000_000

SETUP = """
DROP PUBLICATION IF EXISTS vitral;
DROP TABLE IF EXISTS clientes;
CREATE TABLE clientes (
    regiao text NOT NULL, id bigint NOT NULL, nome text, limite numeric(18, 2), ativo boolean,
    criado timestamp(3), alterado timestamp(6), visto timestamptz, PRIMARY KEY (regiao, id));
CREATE PUBLICATION vitral FOR TABLE clientes;
-- One random change: half of them update, a quarter inserts, the others delete or give a row another key.
CREATE OR REPLACE FUNCTION mudar(vezes int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE sorte float; r text; i bigint;
BEGIN
    FOR n IN 1..vezes LOOP
        sorte := random();
        r := (ARRAY['norte', 'sul', 'São Paulo', 'a"b\\c'])[1 + floor(random() * 4)];
        i := floor(random() * 2500);
        IF sorte < 0.25 THEN
            DELETE FROM clientes WHERE regiao = r AND id = i;
        ELSIF sorte < 0.3 THEN
            UPDATE clientes SET id = id + 2500 WHERE regiao = r AND id = i
                AND NOT EXISTS (SELECT 1 FROM clientes WHERE regiao = r AND id = i + 2500);
        ELSE
            INSERT INTO clientes VALUES (
                r, i, CASE WHEN random() < 0.9 THEN 'nome ' || random() END,
                CASE WHEN random() < 0.9 THEN ((random() - 0.3) * 100000)::numeric(18, 2) END, random() < 0.5,
                clock_timestamp() AT TIME ZONE 'UTC', clock_timestamp() AT TIME ZONE 'UTC',
                CASE WHEN random() < 0.9 THEN clock_timestamp() END)
            ON CONFLICT (regiao, id) DO UPDATE SET
                nome = excluded.nome, limite = excluded.limite, ativo = excluded.ativo, alterado = excluded.alterado, visto = excluded.visto;
        END IF;
    END LOOP;
END $$;
"""
# As text, so that both sides are compared digit by digit.
ROWS = f"""
SELECT regiao, id, nome, limite, ativo, {", ".join(f"to_char({expression}, 'YYYY-MM-DD HH24:MI:SS.US')"
    for expression in ("criado", "alterado", "visto AT TIME ZONE 'UTC'"))}
FROM clientes
"""
FIELDS = {
    "regiao": ("string", None),
    "id": ("int64", None),
    "nome": ("string", None),
    "limite": ("bytes", {"name": "org.apache.kafka.connect.data.Decimal", "parameters": {"scale": "2", "connect.decimal.precision": "18"}}),
    "ativo": ("boolean", None),
    "criado": ("int64", {"name": "io.debezium.time.Timestamp"}),
    "alterado": ("int64", {"name": "io.debezium.time.MicroTimestamp"}),
    "visto": ("string", {"name": "io.debezium.time.ZonedTimestamp"}),
}
KEY = ("regiao", "id")


class Postgres:
    """By psql, which is there wherever PostgreSQL is."""

    def __init__(self, url: str):
        self.url = url

    def lines(self, sql: str) -> list[list[str | None]]:
        command = ["psql", self.url, "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", f"COPY ({sql.strip().rstrip(';')}) TO STDOUT"]
        out = subprocess.run(command, capture_output=True, text=True, check=False)
        if out.returncode:
            raise SystemExit(f"psql: {out.stderr}")
        unescape = {"\\N": None}
        rows = [line.split("\t") for line in out.stdout.split("\n")[:-1]]
        return [[unescape.get(cell, cell.replace("\\\\", "\\")) for cell in row] for row in rows]

    def run(self, *statements: str) -> None:
        # Each of them a transaction of its own.
        command = ["psql", self.url, "-XAtq", "-v", "ON_ERROR_STOP=1"]
        for statement in statements:
            command += ["-c", statement]
        out = subprocess.run(command, capture_output=True, text=True, check=False)
        if out.returncode:
            raise SystemExit(f"psql: {out.stderr}")

    def change(self, changes: int) -> None:
        """In two sessions at once, each in many transactions, so that the LSNs of their changes interleave."""
        statement = "SELECT mudar(20)"
        command = ["psql", self.url, "-XAtq", "-v", "ON_ERROR_STOP=1"] + ["-c", statement] * (changes // 40)
        sessions = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for _ in range(2)]
        for session in sessions:
            _, error = session.communicate()
            # Of two sessions that wait for each other's rows one is ended, and what it had changed in that transaction undone.
            if session.returncode and b"deadlock" not in error:
                raise SystemExit(f"psql: {error.decode()}")


def lsn_of(text: str) -> int:
    high, low = text.split("/")
    return int(high, 16) << 32 | int(low, 16)


class Decoding:
    """Changes as `pgoutput` writes them, taken from a slot of their own."""

    def __init__(self, postgres: Postgres):
        self.postgres = postgres
        postgres.run("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = 'vitral'")
        postgres.run("SELECT pg_create_logical_replication_slot('vitral', 'pgoutput')")
        self.columns: list[str] = []
        self.committed_us, self.xid, self.commit_lsn = 0, 0, 0

    def changes(self) -> Iterator[tuple[str, int, dict | None, dict | None]]:
        """Each change: its operation, its LSN, the row before it as far as that is logged, and after it."""
        options = "'proto_version', '1', 'publication_names', 'vitral'"
        sql = f"SELECT lsn, encode(data, 'hex') FROM pg_logical_slot_get_binary_changes('vitral', NULL, NULL, {options})"
        for lsn, data in self.postgres.lines(sql):
            yield from self.change(lsn_of(lsn), bytes.fromhex(data))

    def change(self, lsn: int, data: bytes) -> Iterator[tuple[str, int, dict | None, dict | None]]:
        kind, rest = chr(data[0]), data[1:]
        if kind == "B":
            self.commit_lsn, micros, self.xid = struct.unpack(">QQI", rest)
            self.committed_us = micros + EPOCH_2000_US
        elif kind == "R":
            _, rest = rest[:4], rest[4:]
            _, _, rest = rest.split(b"\0", 2)
            (count,) = struct.unpack(">H", rest[1:3])
            rest, self.columns = rest[3:], []
            for _ in range(count):
                name, rest = rest[1:].split(b"\0", 1)
                self.columns.append(name.decode())
                rest = rest[8:]
        elif kind == "I":
            yield "c", lsn, None, self.row(rest[5:])[0]
        elif kind == "U":
            before = None
            if chr(rest[4]) in "KO":
                before, rest = self.row(rest[5:])
                after, _ = self.row(rest[1:])
                # Another key: to Debezium the row goes, and one comes.
                yield "d", lsn, before, None
                yield "c", lsn, None, after
                return
            yield "u", lsn, before, self.row(rest[5:])[0]
        elif kind == "D":
            yield "d", lsn, self.row(rest[5:])[0], None

    def row(self, rest: bytes) -> tuple[dict, bytes]:
        (count,) = struct.unpack(">H", rest[:2])
        rest, row = rest[2:], {}
        for name in self.columns[:count]:
            kind, rest = chr(rest[0]), rest[1:]
            if kind == "t":
                (size,) = struct.unpack(">I", rest[:4])
                row[name], rest = rest[4 : 4 + size].decode(), rest[4 + size :]
            else:
                assert kind == "n", "values that are not logged are not part of this"
                row[name] = None
        return row, rest


def micros(text: str) -> int:
    return (datetime.fromisoformat(text).replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)


def value(name: str, text: str | None, has_schema: bool) -> object:
    if text is None:
        return None
    match name:
        case "id":
            return int(text)
        case "ativo":
            return text == "t"
        case "limite" if has_schema:
            unscaled = int(Decimal(text).scaleb(2))
            return base64.b64encode(unscaled.to_bytes((unscaled.bit_length() + 8) // 8, "big", signed=True)).decode()
        case "criado":
            return micros(text) // 1000 if has_schema else datetime.fromisoformat(text).isoformat() + "Z"
        case "alterado":
            return micros(text) if has_schema else datetime.fromisoformat(text).isoformat() + "Z"
        case "visto":
            return datetime.fromisoformat(text + ":00" if text[-3] in "+-" else text).astimezone(UTC).isoformat().replace("+00:00", "Z")
    return text


def schema() -> dict:
    fields = [{"type": kind, "optional": True, "field": name, **({"version": 1} | extra if extra else {})} for name, (kind, extra) in FIELDS.items()]
    row = {"type": "struct", "fields": fields, "optional": True, "name": f"{TOPIC}.Value"}
    return {"type": "struct", "fields": [row | {"field": "before"}, row | {"field": "after"}], "optional": False, "name": f"{TOPIC}.Envelope"}


class Connector:
    """What Debezium does: envelopes, tombstones, keys."""

    def __init__(self, address: str):
        self.producer = Producer({"bootstrap.servers": address, "linger.ms": 20, "partitioner": "murmur2_random"})
        self.schema = schema()
        self.key_schema = {"type": "struct", "fields": [{"type": FIELDS[name][0], "optional": False, "field": name} for name in KEY], "optional": False}
        self.sent: list[tuple[str, str | None]] = []
        self.count = 0

    def send(self, op: str, lsn: int, before: dict | None, after: dict | None, committed_us: int, xid: int, has_schema: bool) -> None:
        shown = lambda row: row and {name: value(name, row.get(name), has_schema) for name in FIELDS}  # noqa: E731
        of = after or before
        key: dict = {name: value(name, of[name], False) for name in KEY}
        source = {
            "version": "3.0.8.Final", "connector": "postgresql", "name": "loja", "ts_ms": committed_us // 1000,
            "snapshot": "true" if op == "r" else "false", "db": "postgres", "sequence": json.dumps([None, str(lsn)]), "ts_us": committed_us,
            "ts_ns": committed_us * 1000, "schema": "public", "table": TABLE, "txId": xid, "lsn": lsn, "xmin": None,
        }  # fmt: skip
        payload: dict = {"before": shown(before), "after": shown(after), "source": source, "op": op, "ts_ms": int(time.time() * 1000), "transaction": None}
        if has_schema:
            key, payload = {"schema": self.key_schema, "payload": key}, {"schema": self.schema, "payload": payload}
        text = json.dumps(key, ensure_ascii=False)
        self.put(text, json.dumps(payload, ensure_ascii=False))
        if op == "d":
            self.put(text, None)

    def put(self, key: str, payload: str | None) -> None:
        self.sent.append((key, payload))
        self.produce(key, payload)

    def produce(self, key: str, payload: str | None) -> None:
        while True:
            try:
                self.producer.produce(TOPIC, payload and payload.encode(), key=key.encode(), partition=partition(key))
                break
            except BufferError:
                self.producer.poll(0.1)
        self.count += 1
        self.producer.poll(0)

    def send_again(self) -> None:
        """After a stop that came before its place was kept."""
        for key, payload in self.sent[-RESENT:]:
            self.produce(key, payload)

    def finish(self) -> None:
        if self.producer.flush(120):
            raise SystemExit("Kafka did not take every message")
        del self.sent[:-RESENT]


def partition(key: str) -> int:
    """By the row, whether its key has a schema or not."""
    document = json.loads(key)
    row = document.get("payload", document)
    return sum(f"{row['regiao']}/{row['id']}".encode()) % PARTITIONS


class Stream:
    def __init__(self, address: str, folder: Path):
        config = folder / "vitral.toml"
        config.write_text(f'[catalog]\ndomains = []\ndirs = ["{CATALOG}"]\n')
        self.data, self.common = folder / "data", ["--config", str(config), "--data-dir", str(folder / "data")]
        self.command = [VITRAL, "stream", *self.common, "--kafka", address, "--api", API]
        self.log = open(folder / "log", "a")
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self.command, stdout=self.log, stderr=self.log)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def get(self, path: str) -> tuple[dict, str | None]:
        with urllib.request.urlopen(f"http://{API}{path}", timeout=60) as answer:
            link = answer.headers.get("Link", "")
            return json.loads(answer.read(), parse_float=Decimal), link[link.find("<") + 1 : link.find(">")] if 'rel="next"' in link else None

    def wait_for(self, messages: int, deadline_seconds: int = 300) -> dict:
        deadline = time.monotonic() + deadline_seconds
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise SystemExit(f"vitral has ended with {self.process.returncode}; see {self.log.name}")
            try:
                completeness = self.get(f"/metricas/{TABLE}?limite=1")[0]["completude"]
                if completeness["lidas"] >= messages:
                    return completeness
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                pass
            time.sleep(0.2)
        raise SystemExit(f"{messages} messages were not read in {deadline_seconds} s")

    def rows(self) -> list[tuple]:
        rows, path = [], f"/metricas/{TABLE}?limite=1000"
        while path:
            document, path = self.get(path)
            rows += [tuple(text(row.get(name)) for name in FIELDS) for row in document["linhas"]]
        return rows

    def query(self, sql: str) -> list[dict]:
        command = [VITRAL, "query", *self.common, "--format", "json", sql]
        out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return json.loads(out, parse_float=Decimal)

    def reconciles(self) -> bool:
        now = datetime.now(UTC)
        hours = [(now + timedelta(hours=by)).strftime("%Y-%m-%dT%H:00:00Z") for by in (-24, 1)]
        out = subprocess.run([VITRAL, "reconcile", *self.common, "--from", hours[0], "--to", hours[1]], capture_output=True, text=True, check=False)
        print("vitral reconcile: " + (out.stdout.strip().splitlines() or [out.stderr.strip()])[-1])
        return out.returncode == 0


def text(found: object) -> str | None:
    """As PostgreSQL writes it."""
    if isinstance(found, bool):
        return "t" if found else "f"
    if isinstance(found, str) and found[-1:] == "Z" and found[10:11] == "T":
        return datetime.fromisoformat(found).strftime("%Y-%m-%d %H:%M:%S.%f")
    return None if found is None else str(found)


def compare(stream: Stream, postgres: Postgres, what: str) -> bool:
    source = sorted(tuple(row) for row in postgres.lines(ROWS))
    deadline = time.monotonic() + 60
    # A table has what the last commit has brought within a second or two.
    while sorted(found := stream.rows()) != source and time.monotonic() < deadline:
        time.sleep(0.5)
    expected, got = set(source), set(found)
    for row in list(expected - got)[:3]:
        print(f"  missing: {row}")
    for row in list(got - expected)[:3]:
        print(f"  not in the source: {row}")
    is_equal = expected == got and len(found) == len(source)
    print(f"{what}: {len(source)} rows, {'equal' if is_equal else f'{len(expected ^ got)} differ'}")
    return is_equal


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/verify/debezium", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kafka", required=True, metavar="ADDR")
    parser.add_argument("--postgres", required=True, metavar="URL")
    parser.add_argument("--changes", type=int, default=100_000, help="at least; default: %(default)s")
    parser.add_argument("--restarts", type=int, default=4, help="kills of stream and connector; default: %(default)s")
    options = parser.parse_args()
    admin = AdminClient({"bootstrap.servers": options.kafka})
    if TOPIC in admin.list_topics(timeout=30).topics:
        admin.delete_topics([TOPIC])[TOPIC].result()
        while TOPIC in admin.list_topics(timeout=30).topics:
            time.sleep(0.2)
    admin.create_topics([NewTopic(TOPIC, PARTITIONS)])[TOPIC].result()
    postgres = Postgres(options.postgres)
    postgres.run(SETUP)
    with tempfile.TemporaryDirectory(prefix="vitral-debezium-") as folder:
        stream = Stream(options.kafka, Path(folder))
        try:
            is_equal = follow(options, postgres, stream)
        finally:
            stream.kill()
    print(f"VERDICT: {'equal' if is_equal else 'different'}")
    return 0 if is_equal else 1


def snapshot(postgres: Postgres, connector: Connector) -> int:
    """Every row as it is, at the LSN of this moment. Nothing changes meanwhile."""
    (lsn,) = postgres.lines("SELECT pg_current_wal_insert_lsn()")[0]
    rows = postgres.lines(ROWS)
    now_us = int(time.time() * 1_000_000)
    for number, cells in enumerate(rows):
        row = dict(zip(FIELDS, cells, strict=True))
        row["visto"] = row["visto"] and row["visto"] + "+00:00"
        connector.send("r", lsn_of(lsn), None, row, now_us, 0, number % 2 == 0)
    return len(rows)


def follow(options: argparse.Namespace, postgres: Postgres, stream: Stream) -> bool:
    connector = Connector(options.kafka)
    postgres.change(5_000)
    # As a connector begins: a slot, then what was there before it.
    decoding = Decoding(postgres)
    print(f"snapshot: {snapshot(postgres, connector)} rows")
    rounds, is_equal, changes, deletes = options.restarts + 1, True, 0, 0
    for number in range(rounds):
        # A third of them find no row to delete.
        postgres.change(options.changes * 3 // 2 // rounds)
        for op, lsn, before, after in decoding.changes():
            changes += 1
            deletes += op == "d"
            connector.send(op, lsn, before, after, decoding.committed_us, decoding.xid, changes % 2 == 0)
            # In the middle of what is read.
            if changes % 9_000 == 0 and number < rounds - 1:
                stream.kill()
                stream.start()
        if number == rounds // 2:
            print(f"snapshot in the middle: {snapshot(postgres, connector)} rows")
        if number < rounds - 1:
            connector.send_again()
            stream.kill()
            stream.start()
        connector.finish()
        completeness = stream.wait_for(connector.count)
        is_equal &= compare(stream, postgres, f"after {changes} changes, {deletes} of them deletes, and {connector.count} messages")
    is_equal &= changes >= options.changes and completeness["recusadas"] == 0 and completeness["atrasadas"] == 0
    print(f"completude: {completeness}")
    by_region = {row["regiao"]: (row["clientes"], row["limite"]) for row in stream.query("SELECT * FROM clientes_por_regiao")}
    source = {row[0]: (int(row[1]), Decimal(row[2])) for row in postgres.lines("SELECT regiao, count(*), sum(limite) FROM clientes GROUP BY 1")}
    print(f"view over it by vitral query: {'equal' if by_region == source else f'{by_region} and not {source}'}")
    return is_equal and by_region == source and stream.reconciles()


if __name__ == "__main__":
    sys.exit(main())
