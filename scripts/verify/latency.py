"""How long an event takes from its producer to the API, under a steady load.

    vitral stream --kafka ADDR --api 127.0.0.1:8080 &
    vitral simulate --rate 1000 &                                      the load, of now and at its pace
    scripts/verify/venv scripts/verify/latency.py --kafka ADDR --api http://127.0.0.1:8080

Sends views of products that nobody else views, and asks `/metricas/produtos_mais_vistos?id_produto=...` until each is there. The
time runs from before `produce` to the answer that shows it, the asking included. Last line: VERDICT, by the 99th percentile.
"""

import argparse
import json
import sys
import threading
import time
import urllib.request
import uuid
from datetime import datetime, timezone

from confluent_kafka import Producer

LIMIT_SECONDS = 1.5
PATIENCE_SECONDS = 20


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kafka", required=True, metavar="ADDR")
    parser.add_argument("--api", required=True, metavar="URL")
    parser.add_argument("--topic", default="eventos_clientes")
    parser.add_argument("--count", type=int, default=300, help="how many events are timed (default: 300)")
    parser.add_argument("--every", type=float, default=0.2, help="seconds between them (default: 0.2)")
    arguments = parser.parse_args()

    producer = Producer({"bootstrap.servers": arguments.kafka, "linger.ms": 0})
    seconds, threads = [], []
    for _ in range(arguments.count):
        product = f"medida-{uuid.uuid4()}"
        sent = time.monotonic()
        now = datetime.now(timezone.utc).isoformat()
        event = {"id_usuario": product, "tipo_evento": "visualizacao", "id_produto": product, "timestamp": now}
        producer.produce(arguments.topic, json.dumps(event).encode(), key=product.encode())
        producer.poll(0)
        thread = threading.Thread(target=lambda p=product, s=sent: seconds.append(until_seen(arguments.api, p, s)))
        thread.start()
        threads.append(thread)
        time.sleep(arguments.every)
    producer.flush(10)
    for thread in threads:
        thread.join()
    seconds.sort()
    at = lambda share: seconds[min(len(seconds) - 1, int(share * len(seconds)))]
    print(f"{len(seconds)} events: median {at(0.5):.3f} s, p90 {at(0.9):.3f} s, p99 {at(0.99):.3f} s, longest {seconds[-1]:.3f} s")
    ok = at(0.99) < LIMIT_SECONDS
    print(f"VERDICT: {'within' if ok else 'beyond'} {LIMIT_SECONDS} s")
    return 0 if ok else 1


def until_seen(api, product, sent):
    url = f"{api}/metricas/produtos_mais_vistos?limite=1&id_produto={product}"
    while time.monotonic() - sent < PATIENCE_SECONDS:
        with urllib.request.urlopen(url) as answer:
            if json.load(answer)["linhas"]:
                return time.monotonic() - sent
        time.sleep(0.05)
    return float("inf")


if __name__ == "__main__":
    sys.exit(main())
