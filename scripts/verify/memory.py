"""Fills the open windows with 100,000 products and 1,000,000 distinct users, and reads the stream's resident memory.

    vitral stream --kafka ADDR --api 127.0.0.1:8080 &
    scripts/verify/venv scripts/verify/memory.py --kafka ADDR --api http://127.0.0.1:8080 --pid PID

Sends four-field events and ids within one hour of event time, so that none of their windows closes. Last line: VERDICT, by the
largest resident memory seen from the first event until all are read and 10 s more have passed.
"""

import argparse
import json
import random
import sys
import threading
import time
import urllib.request

from confluent_kafka import Producer

# 600 for the windows, and as much for the sessions of so many users.
LIMIT_MIB = 1200
PRODUCTS, USERS = 100_000, 1_000_000
START = 1_747_224_000  # 2025-05-14T12:00:00Z
MINUTES = 55


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kafka", required=True, metavar="ADDR")
    parser.add_argument("--api", required=True, metavar="URL")
    parser.add_argument("--pid", required=True, type=int, help="of the stream")
    parser.add_argument("--topic", default="eventos_clientes")
    parser.add_argument("--events", type=int, default=2_000_000)
    arguments = parser.parse_args()

    largest, done = [0.0], threading.Event()

    def watch():
        while not done.is_set():
            largest[0] = max(largest[0], resident_mib(arguments.pid))
            time.sleep(0.1)

    watcher = threading.Thread(target=watch)
    watcher.start()
    producer = Producer({"bootstrap.servers": arguments.kafka, "linger.ms": 50, "queue.buffering.max.messages": 500_000})
    draw = random.Random(1)
    users = list(range(USERS))
    draw.shuffle(users)
    kinds = ["visualizacao"] * 12 + ["adicao_carrinho", "inicio_checkout", "compra"]
    for index in range(arguments.events):
        second = index * MINUTES * 60 // arguments.events
        # Every user once at least, the rest at random.
        user = users[index] if index < USERS else draw.randrange(USERS)
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(START + second))
        event = (
            f'{{"id_usuario":"u{user}","tipo_evento":"{draw.choice(kinds)}","id_produto":"p{draw.randrange(PRODUCTS)}",'
            f'"id_evento":"e{index}","timestamp":"{stamp}"}}'
        )
        while True:
            try:
                producer.produce(arguments.topic, event.encode(), key=f"u{user}".encode())
                break
            except BufferError:
                producer.poll(0.1)
    producer.flush(60)
    while read(arguments.api) < arguments.events:
        time.sleep(0.5)
    time.sleep(10)
    done.set()
    watcher.join()
    print(f"{arguments.events} events read; resident memory at most {largest[0]:.0f} MiB, now {resident_mib(arguments.pid):.0f} MiB")
    ok = largest[0] < LIMIT_MIB
    print(f"VERDICT: {'under' if ok else 'over'} {LIMIT_MIB} MiB")
    return 0 if ok else 1


def resident_mib(pid):
    with open(f"/proc/{pid}/status") as status:
        line = next(line for line in status if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def read(api):
    with urllib.request.urlopen(f"{api}/metricas/usuarios_ativos?limite=1") as answer:
        return json.load(answer)["completude"]["lidas"]


if __name__ == "__main__":
    sys.exit(main())
