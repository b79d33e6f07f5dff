"""The real services, from scripts/services: started when a fault needs them, killed, and started again."""

import os
import signal
import subprocess
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

from faults import until

SCRIPTS = Path(__file__).parents[1]
ROOT = Path(
    os.environ.get("VITRAL_SERVICES_DIR") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vitral-services"
)


class Service:
    def __init__(self, name: str, fresh: bool = False):
        self.name = name
        self.start(fresh)

    def start(self, fresh: bool = False) -> None:
        self.command("start", *["--fresh"] * fresh)

    def stop(self) -> None:
        self.command("stop")

    def command(self, action: str, *flags: str) -> str:
        done = subprocess.run([SCRIPTS / "services", action, *flags, self.name], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{self.name} does not {action}: {done.stderr}")
        return done.stdout

    @property
    def environment(self) -> dict[str, str]:
        return dict(line.split("=", 1) for line in self.command("env").split())

    @property
    def port(self) -> int:
        return int((ROOT / self.name / "port").read_text())

    def signal(self, number: int) -> None:
        os.kill(int((ROOT / self.name / "pid").read_text().split()[0]), number)

    def kill(self) -> None:
        pid = int((ROOT / self.name / "pid").read_text().split()[0])
        os.kill(pid, signal.SIGKILL)
        until(f"{self.name} has ended", lambda: ended(pid))


def ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


class Kafka(Service):
    """A broker. Clients that connect to `proxy_port` are directed to that port: a proxy to `proxied_port` must be there."""

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def proxied_port(self) -> int:
        return self.port + 2

    @property
    def proxy_port(self) -> int:
        return self.port + 3

    def client(self, **options: object) -> dict[str, object]:
        """A client's settings. It tells nothing of broken connections, which are what is meant here."""
        return {"bootstrap.servers": self.address, "log_level": 0, "reconnect.backoff.max.ms": 1000} | options

    def ask(self, request: Callable[[AdminClient], dict]) -> None:
        """By a new client: one that knew the second broker would go on asking it."""
        admin = AdminClient(self.client())
        for future in request(admin).values():
            future.result(30)

    def topics(self) -> dict:
        return AdminClient(self.client()).list_topics(timeout=10).topics

    def create(self, topic: str, partitions: int = 1, config: dict[str, str] | None = None, brokers: list | None = None) -> None:
        """`brokers` names the broker of each partition."""
        options = {"replica_assignment": [[broker] for broker in brokers]} if brokers else {}
        partitions = len(brokers) if brokers else partitions
        self.ask(lambda admin: admin.create_topics([NewTopic(topic, partitions, config=config or {}, **options)]))
        until(f"{topic} is there", lambda: topic in self.topics())

    def delete(self, topic: str) -> None:
        self.ask(lambda admin: admin.delete_topics([topic]))
        until(f"{topic} is deleted", lambda: topic not in self.topics())

    def grow(self, topic: str, partitions: int) -> None:
        self.ask(lambda admin: admin.create_partitions([NewPartitions(topic, partitions)]))

    def drop_records(self, topic: str, partition: int, before: int) -> None:
        self.ask(lambda admin: admin.delete_records([TopicPartition(topic, partition, before)]))

    def ends(self, topic: str) -> dict[int, int]:
        """The offset after the last of each partition."""
        consumer = Consumer(self.client(**{"group.id": "vitral-faults"}))
        try:
            partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
            return {id: consumer.get_watermark_offsets(TopicPartition(topic, id), timeout=10)[1] for id in partitions}
        finally:
            consumer.close()


class Services:
    """Each starts when it is asked for first."""

    @cached_property
    def kafka(self) -> Kafka:
        kafka = Kafka("kafka")
        listeners = (ROOT / "kafka" / "server.properties").read_text()
        if f"127.0.0.1:{kafka.proxy_port}" not in listeners:
            raise RuntimeError("the kafka that runs has no listener for a proxy: scripts/services stop kafka")
        try:
            kafka.topics()
        except KafkaException as error:
            raise RuntimeError(f"kafka does not answer: {error}") from error
        return kafka

    @cached_property
    def second_kafka(self) -> Kafka:
        _ = self.kafka
        # What it has may be of an earlier cluster.
        return Kafka("kafka-second", fresh=True)

    def close(self) -> None:
        """Without the second broker, all partitions are on the first."""
        if second := self.__dict__.pop("second_kafka", None):
            second.stop()

    @cached_property
    def s3(self) -> Service:
        return Service("s3")
