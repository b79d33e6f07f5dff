"""Stock updates in disorder, and `estoque_por_armazem` recomputed from them: the newest of each product and place.

    scripts/verify/venv scripts/verify/tables.py send --kafka ADDR --count N --rate N
    scripts/verify/venv scripts/verify/tables.py compare --kafka ADDR --api URL

Times go back and forth by up to ten minutes, and many are the same: then partition and offset decide. Waits for the table to have every update. Prints
last `VERDICT: equal` (exit code 0) or `VERDICT: different` (1).
"""

import argparse
import json
import random
import sys
import time
from datetime import UTC, datetime

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from comparison import Api
from messages import from_kafka

TOPIC, TABLE, PARTITIONS = "atualizacoes_estoque", "estoque_por_armazem", 3
PRODUCTS, PLACES = 2_000, 5
BACK_SECONDS = 600
SHOWN = 5


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    send = commands.add_parser("send")
    send.add_argument("--count", type=int, default=200_000)
    send.add_argument("--rate", type=int, default=5_000)
    compare = commands.add_parser("compare")
    compare.add_argument("--api", required=True, metavar="URL")
    compare.add_argument("--wait", type=float, default=60, metavar="SECONDS", help="for the table; default: %(default)s")
    for command in (send, compare):
        command.add_argument("--kafka", required=True, metavar="ADDR")
    options = parser.parse_args()
    return sent(options) if options.command == "send" else compared(options)


def sent(options: argparse.Namespace) -> int:
    admin = AdminClient({"bootstrap.servers": options.kafka})
    if TOPIC not in admin.list_topics(timeout=30).topics:
        admin.create_topics([NewTopic(TOPIC, PARTITIONS)])[TOPIC].result()
    producer = Producer({"bootstrap.servers": options.kafka, "linger.ms": 20})
    draw, began = random.Random(11), time.time()
    for number in range(options.count):
        ahead = began + number / options.rate - time.time()
        if ahead > 0.01:
            time.sleep(ahead)
        # Tenths of a second only, so that times are the same now and then.
        at = round(time.time() - draw.random() * BACK_SECONDS, 1)
        product = f"p{draw.randrange(PRODUCTS)}"
        update = {
            "id_produto": product,
            "id_armazem": draw.randrange(PLACES),
            "nivel_estoque": draw.randrange(-5, 1000),
            "timestamp": datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z"),
        }
        producer.produce(TOPIC, json.dumps(update), key=product)
        producer.poll(0)
    return 1 if producer.flush(120) else 0


def compared(options: argparse.Namespace) -> int:
    newest: dict[tuple, tuple] = {}
    for partition, offset, payload in from_kafka(options.kafka, TOPIC):
        update = json.loads(payload)
        key = (update["id_produto"], str(update["id_armazem"]))
        row = (datetime.fromisoformat(update["timestamp"]), partition, offset, update["nivel_estoque"])
        newest[key] = max(newest.get(key, row), row)
    expected = {key: (level, at) for key, (at, _, _, level) in newest.items()}
    api, deadline = Api(options.api), time.monotonic() + options.wait
    while (found := rows(api)) != expected and time.monotonic() < deadline:
        time.sleep(1)
    differing = [key for key in expected.keys() | found.keys() if expected.get(key) != found.get(key)]
    for key in differing[:SHOWN]:
        print(f"  {key}: expected {expected.get(key)}, found {found.get(key)}")
    print(f"{TABLE}: {len(expected)} rows, {len(differing)} differ")
    print(f"VERDICT: {'different' if differing else 'equal'}")
    return 1 if differing else 0


def rows(api: Api) -> dict[tuple, tuple]:
    read = {}
    for row in api.metric(TABLE):
        key = (row["id_produto"], row["id_armazem"])
        assert key not in read, f"{key} occurs twice"
        read[key] = (int(str(row["nivel_estoque"])), datetime.fromisoformat(row["ultima_atualizacao"]))
    return read


if __name__ == "__main__":
    sys.exit(main())
