"""Clients of five libraries, all codecs, with and without idempotence, against the demo or Apache Kafka: all counted, all read back.

    scripts/verify/venv scripts/verify/clients.py              the demo, in a folder of its own
    scripts/verify/venv scripts/verify/clients.py --kafka      Apache Kafka (scripts/services start kafka) and vitral stream

Each client sends events of a product of its own and reads them back, in a group or from all partitions; then the API must
have counted every event, product by product. Prints a table and a verdict; exit code 1 when one is missed.

Needs a built vitral (VITRAL), Java and Maven, Node.js and npm, Go. The libraries come from their registries and are kept
outside the repository.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from comparison import Api
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

HERE = Path(__file__).parent
PROGRAMS = HERE / "clients.d"
CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
TOPIC = "eventos_clientes"
DEADLINE_SECONDS = 180
OLDER_JAVA_CLIENT = "3.9.1"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kafka", action="store_true", help="Apache Kafka and vitral stream instead of the demo")
    parser.add_argument("--count", type=int, default=500, help="events of each client")
    parser.add_argument("--only", metavar="NAME", help="one client")
    arguments = parser.parse_args()
    cache = Path(os.environ.get("VITRAL_VERIFY_DIR") or Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "vitral-verify")
    clients = {name: command for name, command in installed(cache).items() if arguments.only in (None, name)}
    with tempfile.TemporaryDirectory() as folder:
        process, brokers, url = started(Path(folder), arguments.kafka)
        try:
            return check(clients, brokers, Api(url), arguments.count, "Apache Kafka" if arguments.kafka else "the demo")
        finally:
            process.terminate()
            process.wait(60)


def installed(cache: Path) -> dict[str, list[str]]:
    python = [sys.executable]
    java = {
        f"java {version or 'newest'}": ["java", "-cp", f"{java_client(cache, version)}/*", str(PROGRAMS / "java/Client.java")]
        for version in ("", OLDER_JAVA_CLIENT)
    }
    return {
        "kafka-python": [*python, str(PROGRAMS / "kafka_python.py")],
        "confluent-kafka": [*python, str(PROGRAMS / "confluent.py")],
        **java,
        "kafkajs": ["node", str(kept(cache, "kafkajs", "", lambda to: run(["npm", "install", "--silent", "--no-fund"], to)) / "client.js")],
        "franz-go": [str(kept(cache, "franz-go", "", build_go) / "client")],
    }


def java_client(cache: Path, version: str) -> Path:
    def copy(to: Path) -> None:
        plugin = "org.apache.maven.plugins:maven-dependency-plugin:3.9.0:copy-dependencies"
        run(["mvn", "--batch-mode", "--quiet", plugin, "-DoutputDirectory=jars", *([f"-Dkafka={version}"] if version else [])], to)

    return kept(cache, "java", version, copy) / "jars"


def build_go(to: Path) -> None:
    run(["go", "mod", "tidy"], to)
    run(["go", "build", "-o", "client", "."], to)


def kept(cache: Path, name: str, variant: str, install) -> Path:
    """The folder of a program with its libraries, made once for each state of its files."""
    source = PROGRAMS / name
    state = hashlib.sha256(variant.encode() + b"".join(path.read_bytes() for path in sorted(source.iterdir()))).hexdigest()[:12]
    folder = cache / f"client-{name}-{state}"
    if not folder.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as part:
            made = Path(part) / name
            shutil.copytree(source, made)
            install(made)
            try:
                made.rename(folder)
            except OSError:  # Another run has made it meanwhile.
                if not folder.exists():
                    raise
    return folder


def run(command: list[str], folder: Path) -> None:
    subprocess.run(command, cwd=folder, check=True, stdout=sys.stderr)


def started(folder: Path, kafka: bool) -> tuple[subprocess.Popen, str, str]:
    vitral = os.environ.get("VITRAL", "target/debug/vitral")
    data = folder / "data"
    with open(folder / "log", "w") as log:
        if kafka:
            api = os.environ.get("VITRAL_VERIFY_API", "127.0.0.1:18082")
            brokers = os.environ["VITRAL_TEST_KAFKA"]
            make_topics(brokers)
            command = [vitral, "stream", "--kafka", brokers, "--api", api, "--data-dir", str(data)]
            process = subprocess.Popen(command, stdout=log, stderr=log)
            wait_for(process, folder, lambda: ready(f"http://{api}"))
            return process, brokers, f"http://{api}"
        command = [vitral, "demo", "--rate", "0", "--kafka", "127.0.0.1:0", "--api", "127.0.0.1:0", "--sql", "127.0.0.1:0", "--data-dir", str(data)]
        process = subprocess.Popen(command, stdout=log, stderr=log)
    wait_for(process, folder, (data / "demo.env").exists)
    values = dict(line.split("=", 1) for line in (data / "demo.env").read_text().splitlines())
    return process, values["VITRAL_KAFKA"], values["VITRAL_API_URL"]


def make_topics(brokers: str) -> None:
    topics = [NewTopic(name, 4, 1) for name in (TOPIC, f"{TOPIC}.dlq", "atualizacoes_estoque", "atualizacoes_estoque.dlq")]
    client = AdminClient({"bootstrap.servers": brokers})
    for future in client.create_topics(topics).values():
        try:
            future.result(DEADLINE_SECONDS)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise


def ready(url: str) -> bool:
    try:
        Api(url).get("/metricas/ticket_medio?limite=1")
        return True
    except SystemExit:
        return False


def wait_for(process: subprocess.Popen, folder: Path, condition) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"vitral did not come up: {(folder / 'log').read_text()[-2000:]}")
        time.sleep(0.2)


def check(clients: dict[str, list[str]], brokers: str, api: Api, count: int, where: str) -> int:
    products: dict[str, tuple[str, str, str]] = {}
    outcomes: dict[str, str] = {}
    run_id = f"{time.time_ns() // 1_000_000:x}"
    print(f"{'client':<16} {'codec':<8} {'idempotent':<11} outcome")
    for client, command in clients.items():
        for codec in CODECS:
            for idempotence in ("true", "false"):
                product = f"{client}-{codec}-{idempotence}-{run_id}".replace(" ", "-")
                products[product] = (client, codec, idempotence)
                try:
                    done = subprocess.run(
                        [*command, brokers, TOPIC, product, codec, idempotence, str(count)],
                        capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False,
                    )
                    failed = "" if done.returncode == 0 else (done.stdout + done.stderr).strip()[-400:]
                except subprocess.TimeoutExpired:
                    failed = "did not end"
                outcomes[product] = failed
                print(f"{client:<16} {codec:<8} {idempotence:<11} {failed or f'{count} sent and read back'}", flush=True)
    counted: dict[str, int] = {}
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        counted = {}
        for row in api.metric("produtos_mais_vistos"):
            if row["id_produto"] in products:
                counted[row["id_produto"]] = counted.get(row["id_produto"], 0) + int(str(row["visualizacoes"]))
        if all(counted.get(product) == count for product in products):
            break
        time.sleep(0.5)
    missed = {product: counted.get(product, 0) for product in products if counted.get(product, 0) != count}
    for product, number in missed.items():
        print(f"{' '.join(products[product])}: {number} of {count} counted")
    failures = sum(bool(failed) for failed in outcomes.values())
    total = len(products) * count
    if failures or missed:
        print(f"VERDICT: FAILED on {where}: {failures} of {len(products)} clients failed, {len(missed)} were not counted whole")
        return 1
    print(f"VERDICT: on {where} all {total} events of {len(products)} clients are counted and were read back ({api.completeness})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
