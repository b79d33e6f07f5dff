"""Checks Vitral against DuckDB: every built-in metric from the raw JSON of a topic, compared with the API and the archive.

    scripts/verify/venv scripts/verify/metrics.py --kafka 127.0.0.1:9092 --archive DIR --api http://127.0.0.1:8080

The topic must be at rest. Only the archive knows which rows were late; without it, none may be. Prints the first differences, a
table, and last `VERDICT: equal` (exit code 0) or `VERDICT: different` (1).
"""

import argparse
import gc
import sys
from pathlib import Path

from comparison import Api, Comparison
from messages import from_files, from_kafka, saved
from oracle import DISCREPANCIES, METRICS, REASONS, VERDICTS, oracle


def main() -> int:
    options = arguments()
    # Nothing here makes cycles, and looking for them among a million rows takes a third of the time.
    gc.disable()
    messages = from_files(options.messages) if options.messages else from_kafka(options.kafka, options.topic)
    if options.save:
        messages = saved(messages, options.save)
    database = oracle(messages, options.archive, options.zone, options.currency, options.idle, options.wait)
    comparison = Comparison(database)
    if options.archive:
        comparison.nothing("archive", DISCREPANCIES)
        comparison.found("note: reason differs (of a refused row; not in the verdict)", REASONS)
    if options.api:
        api = Api(options.api)
        for metric in METRICS:
            comparison.rows(metric, f"FROM {metric}", api.metric(metric))
        comparison.rows("completude", VERDICTS, [api.completeness])
    return comparison.finish()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--kafka", metavar="ADDR", help="read the topic there, from its beginning to its end")
    source.add_argument("--messages", type=Path, metavar="PATH", help="a file that --save wrote, NDJSON, or a folder of them")
    parser.add_argument("--topic", default="eventos_clientes", help="default: %(default)s")
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the messages to this Parquet file as well")
    parser.add_argument("--archive", type=Path, metavar="DIR", help="the topic's Delta table")
    parser.add_argument("--api", metavar="URL")
    parser.add_argument("--zone", default="America/Sao_Paulo", help="of timestamps without offset; default: %(default)s")
    parser.add_argument("--currency", default="BRL", help="of events without one; default: %(default)s")
    parser.add_argument(
        "--idle", action="store_true", help="partitions may have been idle: what is late is bounded by the newest row of all"
    )
    parser.add_argument(
        "--wait", type=float, default=30, metavar="SECONDS", help="for the archive to have every message; default: %(default)s"
    )
    options = parser.parse_args()
    if not (options.archive or options.api):
        parser.error("nothing to compare with: give --archive, --api or both")
    return options


if __name__ == "__main__":
    sys.exit(main())
