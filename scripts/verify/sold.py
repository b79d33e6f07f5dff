"""Sales as a check makes them, and what the API has to answer once so many of them were read: each message has its place, so that the number of messages
that an answer rests on says exactly what must be in it.
"""

import json
import random
import threading
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import NamedTuple

import numpy

PRODUCTS, REGIONS, CATEGORIES = 40, ["SP", "RJ", "MG", "BA", "RS"], ["casa", "livros", "moda", "jogos"]
CURRENCIES = ["BRL", "USD"]
COUNTED, DUPLICATE, LATE, REFUSED = range(4)
MINUTE = 60_000_000
CAPACITY = 1 << 21
# As the topic has them: within this time nothing is late.
LATENESS, WATERMARK = 60 * MINUTE, MINUTE // 6
# How far the order of messages is from that of their times.
DISORDER = 3 * MINUTE


class Question(NamedTuple):
    """What a sales endpoint is asked; times in microseconds."""

    path: str
    after: int | None
    before: int | None
    category: str | None
    region: str | None
    currency: str | None
    limit: int
    is_closed: bool

    def address(self) -> str:
        asked = {"de": self.after, "ate": self.before}
        asked = {name: text(time) for name, time in asked.items() if time is not None}
        asked |= {"categoria": self.category, "regiao": self.region, "moeda": self.currency, "limite": str(self.limit)}
        return self.path + "?" + "&".join(f"{name}={value}" for name, value in asked.items() if value is not None)


def text(micros: int) -> str:
    return datetime.fromtimestamp(micros / 1e6, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Rows:
    """Sales that count, column by column."""

    def __init__(self, capacity: int):
        self.length = 0
        self.columns = {name: numpy.zeros(capacity, numpy.int64) for name in ("offset", "time", "product", "category", "region", "currency", "units", "cents", "order")}

    def add(self, **values: int) -> None:
        for name, value in values.items():
            self.columns[name][self.length] = value
        # Readers see it only now.
        self.length += 1

    def chosen(self, asked: Question, offset: int | None) -> dict[str, numpy.ndarray]:
        length = self.length
        if offset is not None:
            length = int(numpy.searchsorted(self.columns["offset"][:length], offset))
        column = {name: values[:length] for name, values in self.columns.items()}
        chosen = column["currency"] == CURRENCIES.index(asked.currency or CURRENCIES[0])
        if asked.category is not None:
            chosen &= column["category"] == CATEGORIES.index(asked.category)
        if asked.region is not None:
            chosen &= column["region"] == REGIONS.index(asked.region)
        if asked.after is not None:
            chosen &= column["time"] >= asked.after
        if asked.before is not None:
            chosen &= column["time"] < asked.before
        return {name: column[name][chosen] for name in ("product", "units", "cents", "order")}


class Sold:
    """Every message in its order, and every file that is imported."""

    def __init__(self, seed: int, start: int):
        self.chance, self.newest, self.start = random.Random(seed), start, start
        self.streamed, self.imported = Rows(CAPACITY), {}
        self.verdicts = numpy.zeros((CAPACITY, 4), numpy.int64)
        self.furthest = numpy.zeros(CAPACITY, numpy.int64)
        self.count, self.orders, self.pending = 0, 0, []
        self.recent: list[str] = []
        self.order_codes: dict[str, int] = {}
        self.lock = threading.Lock()

    def messages(self, count: int, time: int) -> list[str]:
        """The next ones, as they are sent, when it is that time in the shop."""
        return [self.message(time) for _ in range(count)]

    def message(self, time: int) -> str:
        kind = self.chance.random()
        if kind < 0.03 and self.recent:
            return self.noted(DUPLICATE, self.chance.choice(self.recent[-30:]))
        if kind < 0.04 and self.newest > self.start + 4 * 60 * MINUTE:
            return self.noted(LATE, json.dumps(self.event(time - 3 * 60 * MINUTE, "compra")))
        if kind < 0.045:
            return self.noted(REFUSED, '{"id_usuario": "u1", "tipo_evento": "compra", "timestamp": "ontem"}')
        if kind < 0.15:
            event = self.event(time, "visualizacao")
            self.newest = max(self.newest, time)
            return self.counted(event)
        if not self.pending:
            self.orders += 1
            self.pending = [f"o{self.orders}"] * self.chance.randint(1, 3)
        at = time - self.chance.randrange(DISORDER)
        event = self.event(at, "compra") | {"id_pedido": self.pending.pop()}
        self.newest = max(self.newest, at)
        product, region = int(event["id_produto"][1:]), event["regiao"]
        self.streamed.add(
            offset=self.count,
            time=at,
            product=product,
            category=CATEGORIES.index(event["categoria"]),
            region=REGIONS.index(region),
            currency=CURRENCIES.index(event["moeda"]),
            units=event["quantidade"],
            cents=int(Decimal(event["valor_total"]) * 100),
            order=self.code(event["id_pedido"]),
        )
        return self.counted(event)

    def event(self, time: int, kind: str) -> dict:
        product = min(int(self.chance.paretovariate(0.8)) - 1, PRODUCTS - 1)
        return {
            "id_evento": f"e{self.count}",
            "id_usuario": f"u{self.chance.randrange(200)}",
            "tipo_evento": kind,
            "timestamp": text(time),
            "id_produto": f"p{product}",
            "categoria": CATEGORIES[product % len(CATEGORIES)],
            "regiao": self.chance.choice(REGIONS),
            "moeda": CURRENCIES[self.chance.random() < 0.1],
            "quantidade": self.chance.randint(1, 5),
            "valor_total": f"{self.chance.randint(1, 99_999) / 100:.2f}",
        }

    def counted(self, event: dict) -> str:
        message = json.dumps(event)
        self.recent = [*self.recent[-29:], message]
        return self.noted(COUNTED, message)

    def noted(self, verdict: int, message: str) -> str:
        before = self.verdicts[self.count - 1] if self.count else numpy.zeros(4, numpy.int64)
        self.verdicts[self.count] = before
        self.verdicts[self.count][verdict] += 1
        self.furthest[self.count] = self.newest
        self.count += 1
        return message

    def code(self, order: str) -> int:
        with self.lock:
            return self.order_codes.setdefault(order, len(self.order_codes))

    def file(self, rows: int) -> tuple[str, Rows]:
        """A file of sales of the month before, some of orders that the stream has too."""
        lines, made = ["id_pedido,id_produto,quantidade,valor_total,timestamp,id_usuario,regiao,categoria,moeda"], Rows(rows)
        chance = random.Random(self.chance.random())
        for number in range(rows):
            product, time = chance.randrange(PRODUCTS), self.start - chance.randrange(30 * 24 * 60) * MINUTE - number
            order = f"o{chance.randint(1, self.orders)}" if chance.random() < 0.3 else f"i{chance.randrange(1 << 60)}"
            units, cents, region, currency = chance.randint(1, 5), chance.randint(1, 99_999), chance.randrange(len(REGIONS)), int(chance.random() < 0.1)
            category = product % len(CATEGORIES)
            lines.append(f"{order},p{product},{units},{cents / 100:.2f},{text(time)},u{number},{REGIONS[region]},{CATEGORIES[category]},{CURRENCIES[currency]}")
            made.add(time=time, product=product, category=category, region=region, currency=currency, units=units, cents=cents, order=self.code(order))
        return "\n".join(lines) + "\n", made

    def answer(self, asked: Question, read: int, imports: Iterable[str]) -> list[dict]:
        """The rows once so many messages were read and these files are in."""
        parts = [self.streamed.chosen(asked, read), *(self.imported[name].chosen(asked, None) for name in imports)]
        product, units, cents, order = (numpy.concatenate([part[name] for part in parts]) for name in ("product", "units", "cents", "order"))
        sums = [numpy.zeros(PRODUCTS, numpy.int64) for _ in range(3)]
        numpy.add.at(sums[0], product, units)
        numpy.add.at(sums[1], product, cents)
        numpy.add.at(sums[2], numpy.unique(product << 32 | order) >> 32, 1)
        there = sorted((int(one) for one in numpy.unique(product)), key=lambda one: (-sums[0][one], -sums[1][one], f"p{one}"))
        rows = []
        for position, one in enumerate(there[: asked.limit], 1):
            row = {"id_produto": f"p{one}", "total_vendido": int(sums[0][one]), "receita": Decimal(int(sums[1][one])) / 100}
            rows.append({"posicao": position, **row} if asked.path.endswith("vendidos") else {**row, "pedidos": int(sums[2][one])})
        return rows

    def counts(self, read: int) -> list[int]:
        """How many of so many messages count, and how many are duplicates, late, refused."""
        return [int(count) for count in self.verdicts[read - 1]] if read else [0] * 4

    def closes(self, window_end: int) -> int:
        """How many messages have to be read until the window that ends then is final."""
        return int(numpy.searchsorted(self.furthest[: self.count], window_end + LATENESS + WATERMARK)) + 1

    def question(self) -> Question:
        """A range that nothing can be added to any more, or one that can."""
        chance = random.Random()
        closed = self.newest - LATENESS - WATERMARK - DISORDER - 2 * MINUTE
        first = self.start - 30 * 24 * 60 * MINUTE
        is_closed = chance.random() < 0.5 and closed > self.start
        before = chance.choice([closed, self.start, first + chance.randrange(30 * 24) * 60 * MINUTE]) if is_closed else None
        before = before - chance.randrange(600) * MINUTE // 10 if is_closed else None
        latest = before or self.newest
        spans = (None, 24 * 60, 7 * 24 * 60, 90)
        span = chance.choice(spans)
        after = None if span is None else latest - span * MINUTE - chance.randrange(60) * MINUTE // 7
        return Question(
            chance.choice(["/vendas/resumo", "/produtos/mais_vendidos"]),
            after,
            before,
            chance.choice([None, None, *CATEGORIES]),
            chance.choice([None, None, *REGIONS]),
            chance.choice([None, None, *CURRENCIES]),
            chance.choice([5, 10, 100]),
            is_closed,
        )
