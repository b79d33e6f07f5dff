"""The oracle against numbers computed by hand, and the whole of metrics.py against a small API that answers those numbers."""

import json
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from deltalake import write_deltalake

import metrics
from messages import Message, saved
from oracle import METRICS, oracle


def event(user: str, kind: str, time: str, fields: str = "") -> str:
    return f'{{"id_usuario":"{user}","tipo_evento":"{kind}","timestamp":"2025-05-14T{time}"{fields and ","}{fields}}}'


def sale(user: str, time: str, fields: str) -> str:
    return event(user, "compra", time, fields)


# Partition, verdict and reason, JSON; each partition counts its offsets. 19:16 in São Paulo is 22:16 UTC.
EVENTS = [
    (0, "contada", event("u1", "clique", "19:16:00", '"id_evento":"e1","id_produto":"p1"')),
    (0, "duplicada", event("u1", "clique", "19:16:00", '"id_evento":"e1","id_produto":"p1"')),
    (0, "contada", event("u2", "visualizacao", "22:16:30Z", '"id_produto":"p1"')),
    (0, "contada", event("u1", "clique", "22:16:40Z")),
    # 2 x 10.50 = 21.00; of the same order 5.05, one unit, 1.00 off; without an order 0.25, which wins over 3 x 0.10.
    (0, "contada", sale("u1", "22:17:00Z", '"id_pedido":7,"id_produto":"p1","categoria":"c","quantidade":2,"preco":10.50')),
    (0, "contada", sale("u1", "22:17:10Z", '"id_pedido":"7","id_produto":"p2","regiao":"sul","valor_total":"5.05","desconto":1')),
    (0, "contada", sale("u3", "22:17:59.9Z", '"id_produto":"p1","categoria":"c","quantidade":3,"preco":0.10,"valor_total":0.25')),
    (0, "contada", event("u1", "reembolso", "23:05:00Z", '"id_pedido":"7","id_produto":"p1","preco":10.5')),
    (0, "recusada json", event("u1", "clique", "22:16:40Z", '"canal":"app",')),
    (0, "recusada campo_ausente", '{"tipo_evento":"clique","timestamp":"2025-05-14T22:16:40Z"}'),
    (0, "recusada valor", sale("u1", "22:16:40Z", '"quantidade":0')),
    (0, "recusada valor", sale("u1", "22:16:40Z", '"preco":1.005')),
    (0, "recusada tipo", sale("u1", "22:16:40Z", '"preco":"1,00"')),
    (0, "recusada tempo", event("u1", "clique", "24:00:00Z")),
    (0, "recusada valor", sale("u1", "22:16:40Z", '"moeda":"R$"')),
    (0, "recusada valor", sale("u1", "22:16:40Z", '"categoria":"a\\u0000"')),
    (0, "recusada tamanho", sale("u1", "22:16:40Z", f'"categoria":"{257 * "c"}"')),
    (0, "recusada campo_ausente", event(" ", "clique", "22:16:40Z")),
    (0, "recusada futuro", event("u1", "clique", "23:30:01-02:00")),
    # Late: before 23:05:00 - 1 h - 10 s. It does not make its id known.
    (0, "atrasada", event("u4", "clique", "22:04:49Z", '"id_evento":"e2","id_produto":"p9"')),
    (0, "contada", event("u4", "clique", "22:16:01Z", '"id_evento":"e2","id_produto":"p9"')),
    # A tombstone.
    (0, None, None),
    (0, "contada", event("u2", "adicao_carrinho", "22:20:00Z")),
    # An empty text is not an id.
    (0, "contada", event("u2", "inicio_checkout", "22:59:59Z", '"id_evento":""')),
    (0, "contada", event("u2", "inicio_checkout", "22:59:59Z", '"id_evento":""')),
    # An id is known in its own partition only; half of 0.01 is 0.01.
    (1, "contada", event("u5", "clique", "23:46:59.5+01:30", '"id_evento":"e1","id_produto":"p1"')),
    (1, "contada", sale("u5", "22:17:30Z", '"moeda":"USD","preco":0.01')),
    (1, "contada", sale("u5", "22:17:31Z", '"moeda":"USD"')),
]
ARRIVAL = datetime(2025, 5, 15, 0, 30, tzinfo=UTC)

# Start, with seconds if it has any, and length in minutes of the window, then the metric's columns. Worked out by hand.
COLUMNS = {
    "produtos_mais_vistos": ("id_produto", "visualizacoes"),
    "vendas_por_minuto": ("moeda", "pedidos", "unidades", "receita"),
    "vendas_por_produto": ("id_produto", "categoria", "regiao", "moeda", "pedidos", "unidades", "receita"),
    "usuarios_ativos": ("usuarios",),
    "ticket_medio": ("moeda", "receita_liquida", "pedidos", "ticket"),
    "funil_conversao": ("ordem", "etapa", "usuarios"),
    "sessoes": ("id_usuario", "eventos", "visualizacoes", "adicoes", "pedidos", "receita", "moeda"),
}
ROWS = {
    "produtos_mais_vistos": [("22:16", 1, '"p1"', "3"), ("22:16", 1, '"p9"', "1")],
    "vendas_por_minuto": [("22:17", 1, '"BRL"', "2", "6", "26.30"), ("22:17", 1, '"USD"', "2", "2", "0.01")],
    "vendas_por_produto": [
        ("22:17", 1, '"p1"', '"c"', "null", '"BRL"', "2", "5", "21.25"),
        ("22:17", 1, '"p2"', "null", '"sul"', '"BRL"', "1", "1", "5.05"),
        ("22:17", 1, "null", "null", "null", '"USD"', "2", "2", "0.01"),
    ],
    # 22:16 has u1, u2, u4, u5; 22:17 has u1, u3, u5; 22:20 and 22:59 have u2; 23:05 has u1.
    "usuarios_ativos": [
        ("22:12", 5, "4"), ("22:13", 5, "5"), ("22:14", 5, "5"), ("22:15", 5, "5"), ("22:16", 5, "5"), ("22:17", 5, "4"),
        ("22:18", 5, "1"), ("22:19", 5, "1"), ("22:20", 5, "1"),
        ("22:55", 5, "1"), ("22:56", 5, "1"), ("22:57", 5, "1"), ("22:58", 5, "1"), ("22:59", 5, "1"),
        ("23:01", 5, "1"), ("23:02", 5, "1"), ("23:03", 5, "1"), ("23:04", 5, "1"), ("23:05", 5, "1"),
    ],
    "ticket_medio": [
        ("22:00", 60, '"BRL"', "25.30", "2", "12.65"), ("22:00", 60, '"USD"', "0.01", "2", "0.01"),
        ("23:00", 60, '"BRL"', "-10.50", "0", "null"),
    ],
    "funil_conversao": [
        ("22:00", 60, "1", '"visualizacao"', "4"), ("22:00", 60, "2", '"adicao_carrinho"', "1"),
        ("22:00", 60, "3", '"inicio_checkout"', "1"), ("22:00", 60, "4", '"compra"', "3"),
    ],
    # Half an hour after the last event; u5 has events in two currencies.
    "sessoes": [
        ("22:16:00", 31 + 10 / 60, '"u1"', "4", "2", "0", "1", "26.05", '"BRL"'),
        ("23:05:00", 30, '"u1"', "1", "0", "0", "0", "0.00", '"BRL"'),
        ("22:16:30", 33.5, '"u2"', "2", "1", "1", "0", "0.00", '"BRL"'),
        ("22:59:59", 30, '"u2"', "2", "0", "0", "0", "0.00", '"BRL"'),
        ("22:17:59.900", 30, '"u3"', "1", "0", "0", "1", "0.25", '"BRL"'),
        ("22:16:01", 30, '"u4"', "1", "1", "0", "0", "0.00", '"BRL"'),
        ("22:16:59.500", 30 + 31.5 / 60, '"u5"', "1", "1", "0", "0", "0.00", '"BRL"'),
        ("22:16:59.500", 30 + 31.5 / 60, '"u5"', "2", "0", "0", "2", "0.01", '"USD"'),
    ],
}
COMPLETENESS = '{"contadas":14,"duplicadas":1,"atrasadas":1,"recusadas":11}'


def messages() -> list[Message]:
    offsets = {0: 0, 1: 0}
    rows = []
    for partition, _, value in EVENTS:
        rows.append(Message(partition, offsets[partition], value and value.encode()))
        offsets[partition] += 1
    return rows


def archive_row(partition: int, offset: int, verdict: str, reason: str | None = None) -> dict:
    return {
        "_particao": partition,
        "_deslocamento": offset,
        "_deslocamento_fim": None,
        "_chegada": ARRIVAL,
        "_log": "log",
        "_veredito": verdict,
        "_motivo": reason,
    }


def archive_rows() -> list[dict]:
    return [
        archive_row(message.partition, message.offset, *verdict.split())
        for message, (_, verdict, _) in zip(messages(), EVENTS)
        if verdict
    ]


ARCHIVE_SCHEMA = pa.schema(
    [
        ("_particao", pa.int32()),
        ("_deslocamento", pa.int64()),
        ("_deslocamento_fim", pa.int64()),
        ("_chegada", pa.timestamp("us", "UTC")),
        ("_log", pa.string()),
        ("_veredito", pa.string()),
        ("_motivo", pa.string()),
    ]
)


def write_archive(path: Path, rows: list[dict]) -> Path:
    write_deltalake(path, pa.Table.from_pylist(rows, ARCHIVE_SCHEMA), mode="overwrite")
    return path


def row_json(metric: str, row: tuple) -> str:
    start, minutes, *values = row
    seconds = ":00" if start.count(":") == 1 else ""
    begins = datetime.fromisoformat(f"2025-05-14T{start}{seconds}+00:00")
    window = f'"janela_inicio":"{begins.isoformat()}","janela_fim":"{(begins + timedelta(minutes=minutes)).isoformat()}"'
    fields = "".join(f',"{column}":{value}' for column, value in zip(COLUMNS[metric], values, strict=True))
    return f'{{{window}{fields},"provisoria":true}}'


@pytest.fixture
def api():
    """Answers `rows` in pages of two; a test may change them."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            address = urlsplit(self.path)
            metric = address.path.removeprefix("/metricas/")
            start = int(parse_qs(address.query).get("cursor", ["0"])[0])
            page = ",".join(row_json(metric, row) for row in self.server.rows[metric][start : start + 2])
            self.send_response(200)
            if start + 2 < len(self.server.rows[metric]):
                self.send_header("Link", f'</metricas/{metric}?limite=1000&cursor={start + 2}>; rel="next"')
            self.end_headers()
            self.wfile.write(f'{{"nome":"{metric}","linhas":[{page}],"completude":{COMPLETENESS}}}'.encode())

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.rows = {metric: list(rows) for metric, rows in ROWS.items()}
        server.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever).start()
        yield server
        server.shutdown()


@pytest.fixture
def check(api, tmp_path, monkeypatch, capsys):
    """Runs metrics.py on these messages and archive rows: its exit code and what it printed."""

    def run(archive: list[dict], *options: str) -> tuple[int, str]:
        source = tmp_path / "messages.parquet"
        for _ in saved(messages(), source):
            pass
        folder = write_archive(tmp_path / "archive", archive)
        arguments = ["--messages", source, "--archive", folder, "--api", api.url, "--wait", 0]
        monkeypatch.setattr("sys.argv", ["metrics.py", *map(str, arguments), *options])
        return metrics.main(), capsys.readouterr().out

    return run


def test_equal(check):
    code, printed = check(archive_rows())
    assert printed.splitlines()[-1] == "VERDICT: equal", printed
    assert "note" not in printed
    assert code == 0


def test_a_cent_is_a_difference(check, api):
    api.rows["vendas_por_minuto"][0] = ("22:17", 1, '"BRL"', "2", "6", "26.3")
    code, printed = check(archive_rows())
    assert "vendas_por_minuto: missing:  2025-05-14T22:17:00Z  2025-05-14T22:18:00Z  BRL  2  6  26.30\n" in printed
    assert "vendas_por_minuto: unexpected:  2025-05-14T22:17:00Z  2025-05-14T22:18:00Z  BRL  2  6  26.3\n" in printed
    assert printed.splitlines()[-1] == "VERDICT: different"
    assert code == 1


def test_a_repeated_row_is_a_difference(check, api):
    api.rows["usuarios_ativos"].append(api.rows["usuarios_ativos"][0])
    assert check(archive_rows())[0] == 1


@pytest.mark.parametrize(
    ("offset", "change", "found"),
    [
        (1, {"_veredito": "contada"}, "contada, expected duplicada"),
        (2, {"_veredito": "atrasada"}, "atrasada, expected contada"),
        (9, {"_veredito": "contada"}, "contada, expected recusada"),
        (9, {"_deslocamento": 99}, "not in the archive"),
        (9, {"_deslocamento": 8}, "more than once in the archive"),
        (9, {"_deslocamento_fim": 10}, "in a range of undelivered offsets"),
        (9, {"_log": "another"}, "logs of more than one topic"),
    ],
)
def test_archive(check, offset, change, found):
    rows = archive_rows()
    rows[offset].update(change)
    code, printed = check(rows)
    assert found in printed
    assert code == 1


def test_a_reason_is_only_noted(check):
    rows = archive_rows()
    rows[9]["_motivo"] = "tipo"
    code, printed = check(rows)
    assert "note" in printed
    assert code == 0


def search(offset: int, time: str, id: str | None = None, partition: int = 0) -> Message:
    event = {"id_usuario": "u", "tipo_evento": "busca", "timestamp": time, "id_evento": id}
    return Message(partition, offset, json.dumps(event).encode())


@pytest.mark.parametrize(
    ("again", "found", "expected"),
    [
        # The first is older than 12:00:00 - 1 h - 10 s, so its id may be forgotten by now, or not yet.
        ("2025-05-14T12:00:00Z", "contada", "contada"),
        ("2025-05-14T12:00:00Z", "duplicada", "duplicada"),
        ("2025-05-14T10:59:49Z", "atrasada", "atrasada"),
        # Not late, whatever the archive says.
        ("2025-05-14T10:59:50Z", "atrasada", "duplicada"),
    ],
)
def test_a_forgotten_id(tmp_path, again, found, expected):
    events = [search(0, "2025-05-14T10:59:49Z", "e"), search(1, "2025-05-14T12:00:00Z"), search(2, again, "e")]
    verdicts = ["contada", "contada", found]
    archive = write_archive(tmp_path, [archive_row(0, offset, verdict) for offset, verdict in enumerate(verdicts)])
    judged = oracle(events, archive).execute('SELECT verdict FROM judged ORDER BY "offset"').fetchall()
    assert judged == [("contada",), ("contada",), (expected,)]


@pytest.mark.parametrize(("idle", "expected"), [(False, "contada"), (True, "atrasada")])
def test_a_late_row_of_an_idle_partition(tmp_path, idle, expected):
    events = [search(0, "2025-05-14T12:00:00Z"), search(0, "2025-05-14T10:59:49Z", partition=1)]
    archive = write_archive(tmp_path, [archive_row(0, 0, "contada"), archive_row(1, 0, "atrasada")])
    judged = oracle(events, archive, idle=idle).execute('SELECT verdict FROM judged ORDER BY "partition"').fetchall()
    assert judged == [("contada",), (expected,)]


@pytest.mark.parametrize(
    ("price", "expected"),
    [("12e-1", "contada"), ("1.00500e1", "contada"), ("0e-400", "contada"), ("1.005e0", "recusada"), ("1e-400", "recusada")],
)
def test_an_exponent_is_judged_by_its_value(price, expected):
    message = Message(0, 0, sale("u", "22:17:00Z", f'"preco":{price}').encode())
    assert oracle([message]).execute("SELECT verdict FROM judged").fetchall() == [(expected,)]


@pytest.mark.parametrize("zone", ["America/Sao_Paulo", "Europe/Lisbon"])
def test_local_times(zone):
    """Through two years of changes; Python's `fold=0` is the contract's rule."""
    times = [datetime(2018, 1, 1) + timedelta(minutes=30 * step) for step in range(2 * 365 * 48)]
    database = oracle((search(offset, time.isoformat()) for offset, time in enumerate(times)), zone=zone)
    found = [time for (time,) in database.execute('SELECT time FROM judged ORDER BY "offset"').fetchall()]
    assert found == [time.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC).replace(tzinfo=None) for time in times]


def test_every_metric_is_checked_by_hand():
    assert set(ROWS) == set(METRICS)
