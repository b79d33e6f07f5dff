"""What `sold.py` says has to be answered, against the messages themselves, added up one by one."""

import json
from collections import defaultdict
from datetime import datetime
from decimal import Decimal

from sold import COUNTED, DUPLICATE, LATE, MINUTE, REFUSED, Question, Sold

START = 1_780_000_000_000_000 // MINUTE * MINUTE


def made(count: int) -> tuple[Sold, list[str]]:
    sold = Sold(1, START)
    return sold, [sold.message(START + number * 600 * MINUTE // count) for number in range(count)]


def question(**asked: object) -> Question:
    nothing = dict.fromkeys(Question._fields)
    return Question(**{**nothing, "path": "/vendas/resumo", "limit": 1000, "is_closed": False, **asked})


def added_up(messages: list[str], asked: Question) -> dict[str, tuple[int, Decimal, int]]:
    known, units, money, orders, newest = set(), defaultdict(int), defaultdict(Decimal), defaultdict(set), START
    for event in (json.loads(message) for message in messages if "ontem" not in message):
        time = int(datetime.fromisoformat(event["timestamp"]).timestamp() * 1e6)
        is_new = event["id_evento"] not in known and time > newest - 2 * 60 * MINUTE
        newest = max(newest, time)
        known.add(event["id_evento"])
        fits = event["moeda"] == (asked.currency or "BRL") and asked.region in (None, event["regiao"]) and asked.category in (None, event["categoria"])
        if is_new and fits and event["tipo_evento"] == "compra" and (asked.after or 0) <= time < (asked.before or 1 << 62):
            product = event["id_produto"]
            units[product] += event["quantidade"]
            money[product] += Decimal(event["valor_total"])
            orders[product].add(event["id_pedido"])
    return {product: (units[product], money[product], len(orders[product])) for product in units}


def test_answers_are_what_the_messages_add_up_to() -> None:
    sold, messages = made(3000)
    for asked in (
        question(),
        question(currency="USD"),
        question(region="SP", category="moda"),
        question(after=START + 100 * MINUTE, before=START + 101 * MINUTE),
        *(sold.question()._replace(path="/vendas/resumo", limit=1000) for _ in range(20)),
    ):
        for read in (0, 1, 1500, 3000):
            rows = sold.answer(asked, read, ())
            found = {row["id_produto"]: (row["total_vendido"], row["receita"], row["pedidos"]) for row in rows}
            assert found == added_up(messages[:read], asked)
            assert rows == sorted(rows, key=lambda row: (-row["total_vendido"], -row["receita"], row["id_produto"]))


def test_orders_of_files_and_of_the_stream_count_once() -> None:
    sold, messages = made(300)
    _, rows = sold.file(200)
    sold.imported["a"] = rows
    alone, with_file = (sum(row["pedidos"] for row in sold.answer(question(), 300, names)) for names in ((), ("a",)))
    pairs = set(zip(rows.columns["product"].tolist(), rows.columns["order"].tolist(), rows.columns["currency"].tolist(), strict=True))
    streamed = {(int(event["id_produto"][1:]), sold.code(event["id_pedido"])) for event in map(json.loads, filter(lambda text: "id_pedido" in text, messages)) if event["moeda"] == "BRL"}
    of_file = {(product, order) for product, order, currency in pairs if currency == 0}
    assert with_file - alone == len(of_file - streamed) and of_file & streamed


def test_every_verdict_occurs_and_is_counted() -> None:
    sold, messages = made(3000)
    counts = sold.counts(3000)
    assert sum(counts) == 3000 and all(counts[verdict] > 0 for verdict in (COUNTED, DUPLICATE, LATE, REFUSED))
    assert sold.closes(START) < sold.closes(START + 60 * MINUTE) <= len(messages)
