"""What `mongodb.py` compares: nulls that were counted with those in the archive, documents with clicks in Kafka, copies with what the API answers."""

import json
import time
import urllib.error
import urllib.request
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

import duckdb
from deltalake import DeltaTable
from pymongo.database import Database

from comparison import Api
from faults import expect, until
from messages import from_kafka
from stream import Stream
from world import TABLE, World

# Looked-up columns of the topic, and the tables of mongodb.d that they come from.
LOOKED_UP = {"segmento": "perfis", "cidade": "cidades"}
METRIC = "eventos_por_segmento"
# Key and other fields of each sink's documents.
SINKS = {
    "segmentos_ao_vivo": (("janela_inicio", "segmento"), ("eventos", "provisoria")),
    "vendas_ao_vivo": (("janela_inicio", "moeda"), ("pedidos", "unidades", "centavos", "provisoria")),
}
KEPT = {"registros_cliques": timedelta(days=90), "cliques_do_minuto": timedelta(minutes=1)}
# By then expired documents are deleted, and clicks written: once a minute, and some seconds after they came.
DELETED_WITHIN, WRITTEN_WITHIN = timedelta(seconds=150), timedelta(seconds=40)
SHOWN = 5

Place = tuple[int, int]
Offsets = dict[int, int]


class Outage(NamedTuple):
    name: str
    began: datetime
    ended: datetime


def now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC).replace(tzinfo=None)


def get(stream: Stream, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(stream.url + path, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def completeness(stream: Stream) -> dict:
    return json.loads(get(stream, f"/metricas/{METRIC}?limite=1")[1])["completude"]


def telemetry(stream: Stream, name: str, *labels: str) -> list[float]:
    lines = get(stream, "/metrics")[1].splitlines()
    return [float(line.split()[-1]) for line in lines if line.startswith(name + "{") and all(label in line for label in labels)]


class Archive:
    """The archive's files, read by DuckDB."""

    def __init__(self, world: World):
        self.path = world.data / "archive" / TABLE

    def query(self, sql: str) -> list[tuple]:
        """Over `archive`, all its rows, and `counted`."""
        files = DeltaTable(self.path).file_uris()
        if not files:
            return []
        with duckdb.connect() as database:
            database.execute(f"CREATE VIEW archive AS FROM read_parquet({files!r}, union_by_name = true)")
            in_utc = "SELECT * REPLACE (timestamp::TIMESTAMPTZ AT TIME ZONE 'UTC' AS timestamp)"
            database.execute(f"CREATE VIEW counted AS {in_utc} FROM archive WHERE _veredito = 'contada'")
            return database.execute(sql).fetchall()

    def next_offsets(self) -> Offsets:
        return dict(self.query("SELECT _particao, max(coalesce(_deslocamento_fim, _deslocamento)) + 1 FROM archive GROUP BY 1"))

    def has(self, messages: int) -> bool:
        return self.query("SELECT count(*) FROM archive") == [(messages,)]

    def nulls(self, since: Offsets, before: Offsets | None = None) -> dict[str, int]:
        """Counted rows without a value, by column, from some offsets to before others."""
        columns = ", ".join(f"count(*) FILTER ({column} IS NULL)" for column in LOOKED_UP)
        low, high = (f"map_extract_value(MAP {offsets or {-1: 0}}, _particao)" for offsets in (since, before))
        where = f"_deslocamento >= coalesce({low}, 0) AND _deslocamento < coalesce({high}, 1::BIGINT << 60)"
        (found,) = self.query(f"SELECT {columns} FROM counted WHERE {where}")
        return dict(zip(LOOKED_UP, found, strict=True))


def without_value(counts: dict, column: str) -> int:
    """Rows that have null, as a process counts them."""
    found = counts["consultas"][column]
    return found["falhas"] + found["nao_encontradas"]


def judge_counts(stream: Stream, archive: Archive, since: Offsets, what: str) -> None:
    """At rest: what a process has counted since it began, with what the archive has since these offsets."""
    counts = completeness(stream)
    for column, nulls in archive.nulls(since).items():
        found = counts["consultas"][column]
        print(f"{what}: {nulls} rows without {column} in the archive; counted are {found}", flush=True)
        by_outcome = {"falhas": "failed", "nao_encontradas": "unknown", "desatualizadas": "stale"}
        for name, outcome in by_outcome.items():
            other = sum(telemetry(stream, "vitral_lookups_total", f'topic="{TABLE}"', f'column="{column}"', f'outcome="{outcome}"'))
            expect(found[name] == other, f"{what}: {name} of {column} is {found[name]} in completude and {other:.0f} in /metrics")
        least = without_value(counts, column)
        # What was known last of a key may be that nobody knows it: a null among those that are `desatualizadas`.
        most = least + found["desatualizadas"]
        expect(least <= nulls <= most, f"{what}: {nulls} rows without {column}, and {least} to {most} are counted")


def judge_times(archive: Archive, outages: list[Outage], strangers: list[str], kill: datetime) -> None:
    """When rows had null though their user has a profile. What was known last is not lost before the process is."""
    for column in LOOKED_UP:
        rows = archive.query(f"SELECT timestamp FROM counted WHERE {column} IS NULL AND id_usuario NOT IN {tuple(strangers)} ORDER BY 1")
        times = [at for (at,) in rows]
        others = len(times)
        for name, began, ended in outages:
            inside = [at for at in times if began - timedelta(seconds=2) <= at <= ended + timedelta(seconds=20)]
            others -= len(inside)
            words = "none"
            if inside:
                first, last = (inside[0] - began).total_seconds(), (inside[-1] - ended).total_seconds()
                words = f"{len(inside)}, the first {first:+.1f} s from its beginning, the last {last:+.1f} s from its end"
            print(f"rows without {column} by the {name}: {words}")
        print(f"rows without {column} at other times: {others}", flush=True)
        if column == "cidade":
            lost = sum(outages[0].began <= at < kill - timedelta(seconds=5) for at in times)
            expect(not lost, f"{lost} rows are without cidade, though what was known last should be there")


def clicks_sent(world: World) -> dict[Place, dict]:
    """Each click of the topic by partition and offset; of an event that came again the first counts."""
    seen, clicks = set(), {}
    for partition, offset, value in from_kafka(world.kafka.address, world.kafka_topic):
        sent = json.loads(value)
        if sent["id_evento"] not in seen and sent["tipo_evento"] == "clique":
            clicks[partition, offset] = sent
        seen.add(sent["id_evento"])
    return clicks


def judge_log(database: Database, archive: Archive, clicks: dict[Place, dict]) -> None:
    """A document for each click, once, with the values of the archive."""
    found = list(database.registros_cliques.find({}))
    places = {(document["particao"], document["deslocamento"]): document for document in found}
    doubles = len(found) - min(len(places), len({document["id_evento"] for document in found}))
    missing, others = clicks.keys() - places.keys(), places.keys() - clicks.keys()
    columns = ("id_evento", "id_usuario", "id_produto", "segmento")
    rows = archive.query(f"SELECT _particao, _deslocamento, _log, timestamp, {', '.join(columns)} FROM counted WHERE tipo_evento = 'clique'")
    archived = {(partition, offset): rest for partition, offset, *rest in rows}

    def is_right(place: Place, document: dict) -> bool:
        if place not in archived or place not in clicks:
            return False
        log, at, *values = archived[place]
        return (
            document["_id"] == f"{TABLE}/{log}/{place[0]}/{place[1]}"
            and values == [document[name] for name in columns]
            and values[0] == clicks[place]["id_evento"]
            and document["timestamp"] == at
            and document["expira_em"] == document["timestamp"] + KEPT["registros_cliques"]
        )

    wrong = [document for place, document in places.items() if not is_right(place, document)]
    words = f"{len(clicks)} clicks sent, {len(found)} documents: {len(missing)} missing, {len(others)} others, {doubles} doubles, {len(wrong)} wrong"
    print(f"registros_cliques: {words}; writes: {len(Counter(document['_epoch'] for document in found))}", flush=True)
    for document in wrong[:SHOWN]:
        print(f"  {document}")
    expect(len(archived) == len(clicks) and not (missing or others or doubles or wrong), f"registros_cliques: {words}")


def judge_expiry(documents: list[dict], at: datetime, clicks: dict[Place, dict]) -> None:
    """Of the log that expires after a minute, at a moment under load: what has not expired is there, and what has is not there for long."""
    there = {document["id_evento"] for document in documents}
    oldest = max((at - document["expira_em"] for document in documents), default=timedelta())
    kept = [click for click in clicks.values() if WRITTEN_WITHIN < at - instant(click["timestamp"]) < KEPT["cliques_do_minuto"]]
    missing = sum(click["id_evento"] not in there for click in kept)
    words = f"{len(documents)} documents, the oldest expired {oldest.total_seconds():.0f} s before; {missing} of {len(kept)} that have not are missing"
    print(f"cliques_do_minuto: {words}", flush=True)
    expect(kept and not missing and oldest < DELETED_WITHIN and len(there) == len(documents), f"cliques_do_minuto: {words}")


def answered(stream: Stream, sink: str) -> dict[tuple, tuple]:
    """What a sink's documents should be, of the API's rows."""
    api, rows = Api(stream.url), {}
    if sink == "vendas_ao_vivo":
        for row in api.metric("vendas_por_minuto"):
            cents = int(Decimal(row["receita"]) * 100)
            rows[instant(row["janela_inicio"]), row["moeda"]] = (int(row["pedidos"]), int(row["unidades"]), cents, row["provisoria"])
    else:
        for row in api.metric(METRIC):
            rows[instant(row["janela_inicio"]), row["segmento"] or "sem resposta"] = (int(row["eventos"]), row["provisoria"])
    return rows


def judge_sink(database: Database, stream: Stream, sink: str) -> int:
    """At rest: the documents are the rows that the API answers; how many of final windows."""
    key, fields = SINKS[sink]
    deadline = time.monotonic() + 120
    while True:
        found = list(database[sink].find({}))
        documents = {tuple(document[name] for name in key): tuple(document[name] for name in fields) for document in found}
        rows = answered(stream, sink)
        if rows == documents or time.monotonic() > deadline:
            break
        time.sleep(1)
    wrong = [place for place in rows.keys() | documents.keys() if rows.get(place) != documents.get(place)]
    final, doubles = sum(not values[-1] for values in rows.values()), len(found) - len(documents)
    words = f"{len(rows)} rows of the API, {final} of final windows, {len(found)} documents: {doubles} doubles, {len(wrong)} differ"
    print(f"{sink}: {words}", flush=True)
    for place in wrong[:SHOWN]:
        print(f"  {place}: the API has {rows.get(place)}, MongoDB {documents.get(place)}")
    set_aside = sum(telemetry(stream, "vitral_sink_set_aside_rows", f'sink="{sink}"'))
    expect(final and not (doubles or wrong or set_aside), f"{sink}: {words}, {set_aside:.0f} set aside")
    return final


def at_rest(world: World, stream: Stream, archive: Archive) -> None:
    """Everything that was sent is read and archived."""
    stream.until_read(world.sent)
    until("everything is archived", lambda: archive.has(world.sent))
