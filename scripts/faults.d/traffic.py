"""Events of a shop, in the order of their time, as messages for a topic."""

import random
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from confluent_kafka import KafkaException, Producer

START = datetime(2025, 5, 14, 12, tzinfo=UTC)
KINDS = ["visualizacao"] * 5 + ["clique"] * 3 + ["busca", "adicao_carrinho", "inicio_checkout", "compra", "compra", "reembolso"]

Messages = list[tuple[int, bytes]]


def at(seconds: float = 0, start: datetime = START) -> str:
    return (start + timedelta(seconds=seconds)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def event(time: str, user: str = "u1", kind: str = "visualizacao", fields: str = '"id_produto":"p1"') -> bytes:
    return f'{{"id_usuario":"{user}","tipo_evento":"{kind}","timestamp":"{time}"{fields and ","}{fields}}}'.encode()


class Traffic:
    """Never ends; `step` seconds of event time lie between two events. What differs between two runs is nothing but `padding`."""

    def __init__(self, partitions: int, step: float = 0.25, start: datetime = START):
        self.partitions, self.step, self.start = partitions, step, start
        self.padding = 0
        # Of those that are refused, which may be longer than a field.
        self.refused_padding = 0
        # Of all events, that many are not JSON.
        self.refused_share = 0.0
        self.draw = random.Random(1)
        self.count = 0

    @property
    def newest(self) -> datetime:
        return self.start + timedelta(seconds=(self.count - 1) * self.step)

    def take(self, count: int) -> Messages:
        return [self.next() for _ in range(count)]

    def next(self) -> tuple[int, bytes]:
        draw, number = self.draw, self.count
        self.count += 1
        partition = number % self.partitions
        if draw.random() < self.refused_share:
            return partition, b'{"id_usuario":"u1",' + b"x" * (self.refused_padding or self.padding)
        kind = draw.choice(KINDS)
        fields = f'"id_evento":"e{number}","id_produto":"p{draw.randrange(40)}","canal":"app"'
        if kind in ("compra", "reembolso"):
            fields += f',"id_pedido":"o{number // 3}","quantidade":{draw.randint(1, 5)},"preco":{draw.randrange(99999) / 100:.2f}'
        if self.padding:
            # A field holds 256 bytes.
            text, half = draw.randbytes(self.padding // 2).hex(), self.padding // 2
            fields += f',"id_sessao":"{text[:half]}","id_afiliado":"{text[half:]}"'
        return partition, event(at(number * self.step, self.start), f"u{draw.randrange(500)}", kind, fields)


class Sender:
    """An idempotent producer that knows how many of its messages the broker has."""

    def __init__(self, client: dict[str, object], topic: str, **options: object):
        self.topic, self.delivered, self.failed = topic, 0, None
        defaults = {"enable.idempotence": True, "linger.ms": 20, "message.timeout.ms": 300_000}
        self.producer = Producer(client | defaults | options)

    def put(self, partition: int, value: bytes | None, **record: object) -> None:
        while True:
            try:
                self.producer.produce(self.topic, value, partition=partition, on_delivery=self.answered, **record)
                self.producer.poll(0)
                return
            except BufferError:
                self.producer.poll(0.1)

    def answered(self, error: object, _message: object) -> None:
        if error:
            self.failed = error
        else:
            self.delivered += 1

    def flush(self, within: float = 120) -> None:
        left = self.producer.flush(within)
        if left or self.failed:
            raise KafkaException(self.failed or f"{left} messages were not taken by the broker within {within} s")

    def send(self, messages: Iterator[tuple[int, bytes]] | Messages) -> None:
        for partition, value in messages:
            self.put(partition, value)
        self.flush()


class Pour:
    """Sends traffic at a pace in the background until the block ends."""

    def __init__(self, sender: Sender, traffic: Traffic, rate: int):
        self.sender, self.traffic, self.rate = sender, traffic, rate
        self.over, self.thread = threading.Event(), threading.Thread(target=self.run, daemon=True)

    def __enter__(self) -> "Pour":
        self.thread.start()
        return self

    def __exit__(self, failure: object, *_: object) -> None:
        self.over.set()
        self.thread.join()
        if failure is None:
            self.sender.flush()

    def run(self) -> None:
        started, sent = time.monotonic(), 0
        while not self.over.is_set():
            due = int((time.monotonic() - started) * self.rate)
            for partition, value in self.traffic.take(max(0, min(due - sent, self.rate))):
                self.sender.put(partition, value)
                sent += 1
            self.over.wait(0.02)
