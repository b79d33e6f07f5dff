"""Expected rows, in DuckDB, against the rows that Vitral's API answers: exact, as multisets, and the verdict."""

import re
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import urljoin

import duckdb
import pyarrow as pa

from exact import Number, parse, stream

SHOWN_DIFFERENCES = 20
TIMEOUT_SECONDS = 60
NEXT_PAGE = re.compile(r'<([^>]*)>\s*;\s*rel="?next"?')


class Api:
    def __init__(self, url: str):
        self.url = url
        self.completeness: dict = {}

    def get(self, path: str) -> tuple[object, str | None]:
        """The JSON of an answer, and the address of the next page."""
        try:
            with urllib.request.urlopen(urljoin(self.url, path), timeout=TIMEOUT_SECONDS) as answer:
                link = NEXT_PAGE.search(", ".join(answer.headers.get_all("Link", [])))
                return parse(answer.read().decode()), link and urljoin(answer.url, link[1])
        except urllib.error.HTTPError as error:
            raise SystemExit(f"{error.url}: {error.code} {error.read().decode(errors='replace')}") from None
        except urllib.error.URLError as error:
            raise SystemExit(f"{self.url}: {error.reason}") from None

    def metric(self, name: str) -> Iterator[dict]:
        """All rows of a metric, page by page."""
        page, seen = f"/metricas/{name}?limite=1000", set()
        while page:
            if page in seen:
                raise SystemExit(f"{page} is its own successor")
            seen.add(page)
            document, page = self.get(page)
            self.completeness = document["completude"]
            yield from document["linhas"]


class Comparison:
    """Collects the outcome of every check; `finish` prints them and gives the exit code."""

    def __init__(self, database: duckdb.DuckDBPyConnection):
        self.database = database
        self.outcomes: list[tuple] = []

    def rows(self, name: str, query: str, rows: Iterable[dict]) -> None:
        """The columns of a query against the fields of the same names; rows may have further fields."""
        kinds = {column: kind for column, kind, *_ in self.database.execute(f"DESCRIBE {query}").fetchall()}
        texts = (f"strftime({c}, '{TIME_FORMAT}')" if kind == "TIMESTAMP" else f"{c}::VARCHAR" for c, kind in kinds.items())
        readers = [(column, READERS.get(kind, number)) for column, kind in kinds.items()]
        cells = (tuple(read(row.get(column, ABSENT)) for column, read in readers) for row in rows)
        self.database.register("answer", stream(cells, pa.schema([(column, pa.string()) for column in kinds])))
        self.database.execute(f"CREATE OR REPLACE TEMP TABLE expected AS SELECT {', '.join(texts)} FROM ({query})")
        self.database.execute("CREATE OR REPLACE TEMP TABLE answered AS FROM answer")
        missing = self.found(f"{name}: missing", "FROM expected EXCEPT ALL FROM answered")
        unexpected = self.found(f"{name}: unexpected", "FROM answered EXCEPT ALL FROM expected")
        self.outcomes.append((name, self.count("FROM expected"), self.count("FROM answered"), missing, unexpected))

    def nothing(self, name: str, query: str) -> None:
        """A query that must find nothing."""
        found = self.found(name, query)
        self.outcomes.append((name, 0, found, 0, found))

    def found(self, title: str, query: str) -> int:
        """Prints the first rows of a query and counts them all."""
        for row in self.database.execute(f"FROM ({query}) ORDER BY ALL LIMIT {SHOWN_DIFFERENCES}").fetchall():
            print(f"{title}:", *("null" if cell is None else cell for cell in row), sep="  ")
        return self.count(query)

    def count(self, query: str) -> int:
        return self.database.execute(f"SELECT count(*) FROM ({query})").fetchall()[0][0]

    def finish(self) -> int:
        for name, *counts in [("", "expected", "found", "missing", "unexpected"), *self.outcomes]:
            print(name.ljust(40), *(str(count).rjust(10) for count in counts))
        equal = bool(self.outcomes) and all(missing == unexpected == 0 for *_, missing, unexpected in self.outcomes)
        print(f"VERDICT: {'equal' if equal else 'different'}")
        return 0 if equal else 1


TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"

# Stands for a field that a row does not have.
ABSENT = Number("absent")


def number(value: object) -> str | None:
    return value if value is None or isinstance(value, Number) else f"not a number: {value!r}"


def text(value: object) -> str | None:
    return value if value is None or type(value) is str else f"not a string: {value!r}"


@lru_cache
def time(value: object) -> str:
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return f"not a time: {value!r}"
    return moment.astimezone(UTC).strftime(TIME_FORMAT) if moment.tzinfo else f"without offset: {value}"


READERS = {"TIMESTAMP": time, "VARCHAR": text}
