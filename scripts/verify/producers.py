"""The mission's producer against Vitral, unchanged with kafka-python and once more over confluent-kafka.

    vitral demo --rate 0 --data-dir NEW_FOLDER          the program's broker is localhost:9092
    scripts/verify/venv scripts/verify/producers.py --api http://127.0.0.1:8080

After each, `GET /produtos/mais_vistos` must count one more view of `p456` within 3 seconds. The event is of 2025-05-14, so
nothing newer may have been sent before: it would be late. Prints the times; exit code 1 when one is missed.
"""

import argparse
import runpy
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import confluent_kafka
import kafka

from comparison import Api

PROGRAM = Path(__file__).with_name("mission_producer.py")
DEADLINE_SECONDS = 3
POLL_SECONDS = 0.05


class ConfluentProducer:
    """As much of kafka-python's producer as the program uses."""

    def __init__(self, bootstrap_servers, value_serializer):
        self.producer = confluent_kafka.Producer({"bootstrap.servers": bootstrap_servers})
        self.value_serializer = value_serializer

    def send(self, topic, value):
        self.producer.produce(topic, self.value_serializer(value), on_delivery=self.delivered)

    def flush(self):
        if self.producer.flush(30):
            raise SystemExit("confluent-kafka: not delivered within 30 s")

    def delivered(self, error, _message):
        if error:
            raise confluent_kafka.KafkaException(error)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--api", metavar="URL", required=True)
    api = Api(parser.parse_args().api)
    return max(
        check("kafka-python", kafka, api),
        check("confluent-kafka", SimpleNamespace(KafkaProducer=ConfluentProducer), api),
    )


def check(name: str, library: object, api: Api) -> int:
    before = views(api)
    sys.modules["kafka"] = library
    runpy.run_path(str(PROGRAM))
    sent = time.monotonic()
    while (waited := time.monotonic() - sent) < DEADLINE_SECONDS:
        if views(api) == before + 1:
            print(f"{name}: p456 counted {waited:.2f} s after it was sent")
            return 0
        time.sleep(POLL_SECONDS)
    print(f"{name}: p456 still has {views(api)} views, {DEADLINE_SECONDS} s after it was sent; before, it had {before}")
    return 1


def views(api: Api) -> int:
    rows, _ = api.get("/produtos/mais_vistos?limite=1000")
    return sum(int(row["visualizacoes"]) for row in rows if row["id_produto"] == "p456")


if __name__ == "__main__":
    sys.exit(main())
