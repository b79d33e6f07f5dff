"""Files and messages as shops really have them, each with its right answer, through the real binary.

    scripts/verify/cases [NAME...] [--keep]

Every case has a fresh data directory. Files are imported, and what was counted and refused is read from the history's table; messages are
sent to `vitral demo --rate 0`, one after the other, and what became of them is asked of its API. Prints a table; the last line is the verdict.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from decimal import Decimal
from pathlib import Path

from deltalake import DeltaTable

import case_messages

INPUTS = Path(__file__).parent / "cases.d"
VITRAL = os.environ.get("VITRAL", "vitral")
START_SECONDS = 60
SETTLE_SECONDS = 30

CASES = {}


def case(function):
    """Registers a case; its name is the function's, its words the docstring's."""
    CASES[function.__name__] = function
    return function


class Wrong(Exception):
    """What a case gave instead of its right answer."""


def must(condition, words):
    if not condition:
        raise Wrong(words)


class Imported:
    """What one data directory holds after imports."""

    def __init__(self, folder):
        self.folder, self.code, self.text = folder, 0, ""

    def add(self, *files, table="vendas", words=(), ok=(0,)):
        names = [str(name) if isinstance(name, Path) else str(INPUTS / name) for name in files]
        done = vitral(self.folder, "import", *names, "--table", table, *words)
        self.code, self.text = done.returncode, done.stdout + done.stderr
        must(ok is None or self.code in ok, f"exit {self.code}: {self.text.strip()[-300:]}")
        return self

    def rows(self, verdict="contada"):
        if not (self.folder / "history/eventos_clientes/_delta_log").is_dir():
            return []
        table = DeltaTable(self.folder / "history/eventos_clientes").to_pyarrow_table()
        return sorted((row for row in table.to_pylist() if row["_veredito"] == verdict), key=lambda row: (row["_arquivo"], row["_linha"]))

    def refused(self):
        """The reasons by line."""
        return {row["_linha"]: row["_motivo"] for row in self.rows("recusada")}

    def sales(self, *columns):
        return [tuple(shown(row, column) for column in columns) for row in self.rows()]

    def are(self, columns, expected):
        found = sorted(self.sales(*columns.split()), key=str)
        must(found == sorted(expected, key=str), f"{found}")
        return self


def shown(row, column):
    if column == "valor":
        whole = row["valor_total"]
        return str(whole if whole is not None else (Decimal(0) if row["preco"] is None else row["preco"]) * (row["quantidade"] or 1))
    if column == "momento":
        return row["timestamp"].strftime("%Y-%m-%dT%H:%M:%S") + (f".{row['timestamp'].microsecond:06d}".rstrip("0") if row["timestamp"].microsecond else "")
    return row[column]


def vitral(folder, *words, **options):
    command = [VITRAL, "--data-dir", str(folder), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=folder, **options)


def asks(imported, flag):
    """Nothing was imported, and the error names the flag that answers it."""
    must(imported.code not in (0, 3) and flag in imported.text and not imported.rows(), f"exit {imported.code}, {imported.text.strip()[-300:]}")


# Delimited files.


@case
def month_first_dates(store):
    """12/13/2010 in one row proves the month first for all of them"""
    maps = "InvoiceNo=id_pedido StockCode=id_produto Quantity=quantidade InvoiceDate=timestamp UnitPrice=preco CustomerID=id_usuario Country=regiao"
    words = [word for pair in maps.split() for word in ("--map", pair)]
    store.add("us_dates.csv", words=words)
    store.are("id_pedido momento", [
        ("900001", "2010-12-01T10:26:00"), ("900002", "2010-12-02T11:05:00"), ("900003", "2010-12-13T12:00:00"), ("900004", "2011-01-04T13:15:00"),
    ])


@case
def unclear_dates(store):
    """days and months up to 12 alone: it asks, and --dates answers"""
    file = store.folder / "datas.csv"
    file.write_text("Pedido;Produto;Valor;Data\nA;p;1.00;03/04/2025\nB;p;2.00;05/06/2025\n")
    asks(store.add(file, ok=None), "--dates")
    store.add(file, words=("--dates", "mdy")).are("id_pedido momento", [("A", "2025-03-04T03:00:00"), ("B", "2025-05-06T03:00:00")])


@case
def thousands_by_commas(store):
    """12,500 yen: asked, never a thousandth"""
    asks(store.add("whole_amounts.csv", ok=None), "--numbers")
    store.add("whole_amounts.csv", words=("--numbers", "plain"))
    store.are("id_pedido valor moeda", [("J1", "12500.00", "JPY"), ("J2", "980000.00", "JPY"), ("J3", "900.00", "JPY")])


@case
def overlapping_exports(store):
    """the next week's file has this week's rows too: each once"""
    store.add("week1.csv", words=("--dates", "dmy")).add("week2.csv")
    store.are("id_pedido", [("W1",), ("W2",), ("W3",), ("W4",), ("W5",)])
    must("3 already imported" in store.text, store.text)


@case
def saved_again(store):
    """the same rows with other line ends, a byte order mark and one row more"""
    text = (INPUTS / "week1.csv").read_text()
    again = store.folder / "again.csv"
    again.write_bytes(b"\xef\xbb\xbf" + (text + "W9;p1;1;10,00;08/05/2025 11:00\n").replace("\n", "\r\n").encode())
    store.add("week1.csv", again, words=("--dates", "dmy"))
    store.are("id_pedido", [("W1",), ("W2",), ("W3",), ("W9",)])


@case
def imported_again_with_a_map(store):
    """a second try with one more column adds nothing, and says how to replace"""
    store.add("channel.csv").add("channel.csv", words=("--map", "Origem=canal"))
    store.are("id_pedido", [("M1",), ("M2",)])
    must("replace" in store.text, store.text)


@case
def event_ids(store):
    """one id is one event"""
    store.add("event_ids.csv").are("id_evento valor", [("ev-1", "10.00"), ("ev-2", "20.00")])


def orders(store, file):
    pairs = ["Name=id_pedido", "Created at=timestamp", "Lineitem quantity=quantidade", "Lineitem price=preco", "Lineitem sku=id_produto", "Currency=moeda", "Email=id_usuario"]
    store.add(file, words=[word for pair in pairs for word in ("--map", pair)])
    must([row[:2] for row in store.sales("id_produto", "valor")] == [("FERN-1", "100.00"), ("TOTE-1", "30.00"), ("TOTE-1", "30.00")], f"{store.sales('id_produto', 'valor')}")


@case
def offsets_without_a_colon(store):
    """2025-05-14 10:15:00 -0300, and an order's total that is not a line's"""
    orders(store, "orders_offset.csv")


@case
def offsets_with_a_colon(store):
    """the same with -03:00"""
    orders(store, "orders_colon.csv")


@case
def orders_of_shopify(store):
    """recognised by its headings: order's columns filled down, cancelled orders left out"""
    store.add("orders_offset.csv").are("id_pedido id_produto valor moeda momento", [
        ("#1001", "FERN-1", "100.00", "USD", "2025-05-14T13:15:00"), ("#1001", "TOTE-1", "30.00", "USD", "2025-05-14T13:15:00"),
    ])


@case
def refunds_that_grow(store):
    """a later export of the same orders adds nothing twice, and names what has changed and what is left out"""
    header = "Name,Financial Status,Currency,Created at,Lineitem quantity,Lineitem name,Lineitem price,Lineitem sku,Refunded Amount\n"
    rows = "#1001,partially_refunded,USD,2025-05-14 12:00:00 -0300,2,Bag,30.00,B1,{}\n#1002,{},USD,2025-05-14 13:00:00 -0300,1,Bag,30.00,B1,\n"
    older, newer = store.folder / "maio.csv", store.folder / "junho.csv"
    older.write_text(header + rows.format("5.00", "paid"))
    newer.write_text(header + rows.format("10.00", "voided"))
    store.add(older).add(newer)
    store.are("id_pedido tipo_evento valor", [("#1001", "compra", "60.00"), ("#1001", "reembolso", "5.00"), ("#1002", "compra", "30.00")])
    must("10.00 here, 5.00 is in" in store.text and "#1002 (line 3): counted, and left out here" in store.text, store.text[-400:])
    must("import replace" in store.text, store.text[-400:])


@case
def quantities_less_refunds(store):
    """a quantity that shrinks is the same line, and named"""
    text = "Order Number,Order Status,Order Date,SKU,Quantity (- Refund),Item Cost\n71,Completed,2025-05-14 10:00,S1,{},10.50\n"
    older, newer = store.folder / "maio.csv", store.folder / "junho.csv"
    older.write_text(text.format(3))
    newer.write_text(text.format(2))
    store.add(older).add(newer).are("id_pedido quantidade", [("71", 3)])
    must("quantidade 2 here, 3 is in" in store.text, store.text[-400:])


@case
def sales_without_an_amount(store):
    """it asks, and the user may say that there is none"""
    file = store.folder / "contagem.csv"
    file.write_text("Pedido;Produto;Qtd;Data\nA;p;1;14/05/2025\n")
    asks(store.add(file, ok=None), "--map =valor_total")
    store.add(file, words=("--map", "=valor_total")).are("id_pedido", [("A",)])


@case
def orders_of_nuvemshop(store):
    """products without a date take their order's; declined orders are left out; the discount stands once"""
    store.add("loja.csv").are("id_pedido id_produto valor desconto", [("5001", "CAM-01", "100.00", Decimal("10.00")), ("5001", "BON-02", "80.00", None)])


@case
def offsets_of_two_digits(store):
    """as PostgreSQL copies timestamptz"""
    store.add("copy.csv").are("id_pedido momento", [("C1", "2025-05-14T22:16:00"), ("C2", "2025-05-14T22:16:00.25"), ("C3", "2025-05-14T22:16:00")])


@case
def the_word_utc(store):
    """as BigQuery exports times"""
    store.add("utc_suffix.csv").are("id_pedido momento", [(name, "2025-05-14T22:16:00") for name in ("B1", "B2", "B3")])


@case
def twelve_hour_clocks(store):
    """PM is never lost"""
    store.add("am_pm.csv").are("id_pedido momento", [("H1", "2025-05-14T22:16:00"), ("H2", "2025-05-14T03:05:00"), ("H3", "2025-05-15T00:05:00")])


@case
def the_smallest_date(store):
    """01/01/0001 is where nobody filled in a date: refused, and no job fails for it"""
    store.add("min_date.csv", ok=(0, 3)).are("id_pedido", [("D1",)])
    must(store.refused() == {3: "tempo"}, f"{store.refused()}")
    for words in (("vendas_por_regiao",), ("receita_mensal", "--from", "0001-01-01", "--to", "0001-01-31"), ("limpeza",)):
        done = vitral(store.folder, "batch", "run", *words)
        must(done.returncode == 0, f"{words}: exit {done.returncode}, {done.stderr.strip()[-300:]}")


@case
def unicode_text(store):
    """UTF-16 with tabs, as spreadsheets save it"""
    store.add("unicode_text.txt").are("valor regiao", [("1234.56", "Maranhão")])


@case
def a_line_that_names_the_separator(store):
    """sep=;"""
    store.add("sep_line.csv").are("id_pedido", [("S1",)])


@case
def titles_above_and_totals_below(store):
    """the header is found, the total is not a sale"""
    store.add("report.csv").are("id_pedido valor", [("R1", "10.00"), ("R2", "30.00")])
    must(len(store.refused()) == 1, f"{store.refused()}")


@case
def ids_as_formulas(store):
    """="000123" keeps its zeros and loses its quotes"""
    store.add("formula_ids.csv").are("id_pedido id_produto", [(f"00012{last}", "00042") for last in "3456"])


@case
def the_same_heading_twice(store):
    """the second is Valor_2"""
    store.add("same_heading.csv", words=("--map", "Valor=preco", "--map", "Valor_2=valor_total")).are("id_pedido valor preco", [("K1", "20.00", Decimal("10.00"))])


@case
def what_the_user_names_wins(store):
    """--map Data da Venda=timestamp, though Data is alike"""
    store.add("two_dates.csv", words=("--map", "Data da Venda=timestamp")).are("momento", [("2025-05-14T13:00:00",)])


@case
def a_column_left_out(store):
    """--map Data= leaves it out"""
    store.add("two_dates.csv", words=("--map", "Data=")).are("momento", [("2025-05-14T13:00:00",)])


@case
def which_rows_are_sales(store):
    """--where on the file's own columns"""
    store.add("status.csv", words=("--where", "\"Situação\" <> 'Cancelado'")).are("id_pedido", [("G1",), ("G3",), ("G4",)])


@case
def a_quote_that_never_closes(store):
    """one row is refused, not the rest of the file"""
    store.add("open_quote.csv", ok=None)
    if store.code in (0, 3):
        store.are("id_pedido", [("Q1",), ("Q3",), ("Q4",), ("Q5",)])
        must(list(store.refused()) == [3], f"{store.refused()}")
    else:
        must("line 3" in store.text and not store.rows(), store.text)


@case
def forms_of_amounts(store):
    """signs, blanks as thousands, exponents: right or refused, none misread"""
    store.add("amounts.csv", ok=None, words=("--numbers", "plain"))
    right = {"F01": "1234.56", "F02": "99.00", "F03": "12.50", "F06": "1000.00", "F07": "1234.56", "F08": "0.00", "F11": "7.00", "F12": "8.00", "F15": "100000.00"}
    found = dict(store.sales("id_pedido", "valor"))
    must(all(right.get(name) == value for name, value in found.items()), f"{found}")
    # A foreign sign without a column of currency may be refused.
    must(set(right) - set(found) <= {"F01", "F02", "F03", "F15"}, f"missing: {sorted(set(right) - set(found))}")


@case
def words_among_numbers(store):
    """a comment does not suggest decimal commas"""
    store.add("words.csv", ok=(0, 3)).are("id_pedido valor", [("V1", "12.50"), ("V3", "7.00")])


@case
def words_are_no_evidence(store):
    """with 1.250 in place of 12.50 it is still unclear"""
    file = store.folder / "words.csv"
    file.write_text((INPUTS / "words.csv").read_text().replace("12.50", "1.250").replace("7.00", "7"))
    asks(store.add(file, ok=None), "--numbers")


@case
def cancellations(store):
    """invoices C... and negative quantities come in as refunds"""
    store.add("cancellations.csv", ok=(0, 3))
    found = sorted(store.sales("tipo_evento", "id_pedido", "valor"))
    must(found == [("compra", "700001", "15.30"), ("compra", "700002", "20.00"), ("compra", "700005", "0.00"), ("reembolso", "C700003", "15.30")], f"{found}")


@case
def joined_files(store):
    """a second header and byte order mark in the middle"""
    store.add("joined.csv").are("id_pedido", [("A1",), ("A2",), ("B1",), ("B2",)])


@case
def two_encodings(store):
    """and both line ends in one file"""
    store.add("mixed.csv")
    found = dict(store.sales("id_pedido", "regiao"))
    must(len(found) == 3 and found["Y1"] == found["Y2"] == "São Paulo", f"{found}")


@case
def years_of_two_digits(store):
    """2025 or refused, never the year 25"""
    store.add("short_years.csv", ok=(0, 1, 3))
    must(all(moment.startswith("2025-05-14") for (moment,) in store.sales("momento")), f"{store.sales('momento')}")


@case
def honest_lines_that_are_alike(store):
    """the same product twice in an order is two units, and no check is red for it"""
    pairs = ["order_id=id_pedido", "product_id=id_produto", "price=preco", "purchase=timestamp"]
    store.add("same_lines.csv", words=[word for pair in pairs for word in ("--map", pair)]).are("valor", [("58.90",), ("58.90",)])
    done = vitral(store.folder, "batch", "run", "verificacoes", "--date", "2025-05-14")
    must(done.returncode == 0, done.stdout[-400:] + done.stderr[-300:])


@case
def changes_of_the_clock(store):
    """days of the shop's zone around changes of its clocks"""
    store.add("clock_changes.csv")
    done = vitral(store.folder, "batch", "run", "vendas_por_regiao")
    must(done.returncode == 0, done.stderr[-300:])
    table = DeltaTable(store.folder / "warehouse/vendas_por_regiao").to_pyarrow_table().to_pylist()
    found = {str(row["data"]): str(row["receita"]) for row in table}
    must(found == {
        "2018-11-03": "1.00", "2018-11-04": "6.00", "2019-02-16": "8.00", "2019-02-17": "16.00", "2025-05-31": "32.00", "2025-06-01": "64.00",
    }, f"{found}")


# Workbooks.


@case
def all_sheets_with_data(store):
    """a sheet for each year, with the same columns: all of them, unasked"""
    store.add("two_sheets.xlsx").are("id_pedido", [("A1",), ("A2",), ("B1",), ("B2",), ("B3",)])


@case
def ids_of_sixteen_digits(store):
    """as the file holds them exactly"""
    store.add("long_ids.xlsx").are("id_pedido", [(f"200000765432109{last}",) for last in "1234"])


@case
def formulas_without_a_value(store):
    """refused, naming the cell; never nothing"""
    store.add("formulas.xlsx", ok=(0, 3)).are("id_pedido valor", [("M2", "8.00")])
    must("D2" in store.text, store.text)


@case
def reports_of_mercado_livre(store):
    """header in row 6, dates in words, packages that sum up their lines, cancelled sales"""
    store.add("marketplace.xlsx").are("id_produto valor momento", [("SKU-1", "100.00", "2025-05-14T22:16:00"), ("SKU-2", "50.00", "2025-05-14T22:16:00")])


@case
def days_from_1904(store):
    """as old Macs count them"""
    store.add("1904.xlsx").are("momento", [("2025-05-14T22:16:00",)])


@case
def numbers_and_dates_as_text(store):
    """along with real ones"""
    store.add("as_text.xlsx").are("id_pedido valor quantidade", [("N1", "1234.56", 1), ("N2", "1234.56", 2), ("N3", "10.00", 3), ("404", "0.30", 1)])


@case
def bare_serial_numbers(store):
    """a date without its format: reported, or 2025-05-14 19:16"""
    store.add("serials.xlsx", ok=None)
    found = store.sales("momento")
    must(found == [("2025-05-14T22:16:00",)] or (not found and "date" in store.text), f"{found}, {store.text[-300:]}")


@case
def cells_without_references(store):
    """rich and inline text, a wrong dimension"""
    store.add("no_references.xlsx").are("id_pedido momento", [("R1", "2025-05-14T15:00:00"), ("R2", "2025-05-14T16:00:00")])


@case
def zeros_of_the_format(store):
    """order 000123 where the format shows zeros, or 123 as the value is"""
    store.add("zero_format.xlsx")
    must(store.sales("id_pedido", "id_produto") in ([("000123", "00042")], [("123", "42")]), f"{store.sales('id_pedido', 'id_produto')}")


@case
def strict_open_xml(store):
    """other namespaces"""
    store.add("strict.xlsx").are("momento", [("2025-05-14T15:00:00",)])


@case
def a_table_at_b4(store):
    """a hidden row counts, the total does not"""
    store.add("offset_table.xlsx", ok=(0, 3)).are("id_pedido", [("L1",), ("L2",), ("L3",)])


# Parquet.


@case
def uuids_of_sixteen_bytes(store):
    """as text"""
    store.add("uuid.parquet").are("id_pedido", [("11111111-2222-4333-8444-555555555555",), ("66666666-7777-4888-9999-aaaaaaaaaaaa",)])


@case
def money_in_binary_fractions(store):
    """3.3000000000000003 is 3.30"""
    store.add("float_money.parquet").are("id_pedido valor", [("F1", "59.97"), ("F2", "3.30"), ("F3", "0.30"), ("F4", "8.00")])


@case
def ids_as_floats(store):
    """17850.0 is 17850"""
    store.add("float_ids.parquet").are("id_pedido id_produto id_usuario", [("489434", "85048", "13085"), ("489435", None, None)])


def codec(name):
    def run(store):
        store.add(f"{name}.parquet").are("id_pedido valor momento", [
            ("18446744073709551615", "10.50", "2025-05-14T18:00:00.123456"), ("1", "0.02", "2025-05-14T18:00:00"),
        ])
    run.__name__, run.__doc__ = f"parquet_{name}", "rare types, this codec"
    return run


for codec_name in ("plain", "snappy", "gzip", "lz4", "brotli", "zstd"):
    case(codec(codec_name))


@case
def parquet_zone(store):
    """times with a zone, whole decimals"""
    store.add("zone.parquet").are("valor momento", [("1.00", "2025-05-14T13:00:00"), ("2.00", "2025-05-14T14:00:00")])


@case
def parquet_dates(store):
    """wide decimals, days"""
    store.add("dates.parquet").are("id_pedido valor momento", [("T1", "1.23", "2025-05-14T03:00:00"), ("T2", "0", "2025-05-15T03:00:00")])


@case
def not_a_number(store):
    """missing, or refused; not 0.00"""
    store.add("nan.parquet", ok=(0, 3))
    found = dict(store.sales("id_pedido", "valor"))
    must(found == {"A1": "10.00"} or found == {"A1": "10.00", "A2": "0"}, f"{found}")


# The stream.


class Demo:
    """A demo without a simulator, from start to stop."""

    def __init__(self, folder, words=()):
        self.folder = folder
        self.process = subprocess.Popen(
            [VITRAL, "--data-dir", str(folder), "demo", "--rate", "0", "--kafka", "127.0.0.1:0", "--api", "127.0.0.1:0", "--sql", "127.0.0.1:0", *words],
            stdout=subprocess.DEVNULL, stderr=open(folder / "log", "w"), cwd=folder,
        )
        deadline = time.monotonic() + START_SECONDS
        while not (folder / "demo.env").exists():
            must(self.process.poll() is None and time.monotonic() < deadline, "the demo did not start: " + (folder / "log").read_text()[-400:])
            time.sleep(0.1)
        values = dict(line.split("=", 1) for line in (folder / "demo.env").read_text().splitlines())
        self.kafka, self.api = values["VITRAL_KAFKA"], values["VITRAL_API_URL"]
        self.sent = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()

    def send(self, name, **options):
        """Sends a case's messages, and waits until all of them have their verdict."""
        self.sent += case_messages.send(INPUTS / name, self.kafka, **options)
        deadline = time.monotonic() + SETTLE_SECONDS
        while self.completeness()["lidas"] < self.sent:
            must(time.monotonic() < deadline, f"read {self.completeness()} of {self.sent}")
            time.sleep(0.2)
        return self

    def get(self, path, headers=None, **parameters):
        url = f"{self.api}{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers or {}), timeout=30) as answer:
            body = answer.read().decode()
            return json.loads(body, parse_float=Decimal) if "json" in answer.headers["Content-Type"] else body

    def wait_for_watermark(self):
        deadline = time.monotonic() + START_SECONDS
        while self.completeness()["marca_dagua"] is None:
            must(time.monotonic() < deadline, f"no watermark: {self.completeness()}")
            time.sleep(0.5)

    def completeness(self):
        return self.get("/metricas/vendas_por_minuto")["completude"]

    def ledger(self):
        """How many rows for each verdict and reason, once all of them are committed."""
        deadline = time.monotonic() + SETTLE_SECONDS
        counts = self.completeness()
        expected = counts["recusadas"] + counts["duplicadas"] + counts["atrasadas"]
        while True:
            rows = [row for row in self.get("/livro", limite=1000) if row["veredito"] != "vazia"]
            if len(rows) >= expected or time.monotonic() > deadline:
                break
            time.sleep(0.2)
        found = {}
        for row in rows:
            key = (row["veredito"], row["motivo"])
            found[key] = found.get(key, 0) + 1
        return found

    def summary(self, **parameters):
        return {row["id_produto"]: row for row in self.get("/vendas/resumo", limite=1000, **parameters)}


@case
def blank_event_ids(store):
    """an empty text identifies nothing"""
    with Demo(store.folder) as demo:
        demo.send("empty_event_id.jsonl")
        found = demo.summary()
        must(sum(row["receita"] for name, row in found.items() if name and name.startswith("p")) == 60, f"{found}")


@case
def blank_order_ids(store):
    """three sales without an order are three"""
    with Demo(store.folder) as demo:
        demo.send("empty_order_id.jsonl")
        rows = demo.get("/metricas/vendas_por_minuto")["linhas"]
        must(sum(row["pedidos"] for row in rows) == 4, f"{rows}")


@case
def zero_characters(store):
    """refused with its reason; the good sale counts"""
    with Demo(store.folder) as demo:
        demo.send("nul.jsonl")
        must(set(demo.summary()) == {"p2"} and demo.ledger() == {("recusada", "valor"): 1}, f"{demo.summary()}, {demo.ledger()}")


@case
def a_category_of_8000_bytes(store):
    """refused with its reason; the good sale counts"""
    with Demo(store.folder) as demo:
        demo.send("long_category.jsonl")
        must(len(demo.summary()) == 1 and demo.ledger() == {("recusada", "tamanho"): 1}, f"{demo.summary()}, {demo.ledger()}")


@case
def currencies(store):
    """brl is BRL, usd is USD, R$ is refused"""
    with Demo(store.folder) as demo:
        demo.send("currency.jsonl")
        real, dollar = demo.summary(moeda="BRL"), demo.summary(moeda="USD")
        must(real["p1"]["receita"] in (60, 70) and dollar["p1"]["receita"] == 10, f"{real}, {dollar}")
        must(real["p1"]["receita"] == 70 or demo.ledger() == {("recusada", "valor"): 1}, f"{demo.ledger()}")


@case
def forms_of_json_numbers(store):
    """exponents, zeros, bounds"""
    with Demo(store.folder) as demo:
        demo.send("numbers.jsonl")
        must(demo.completeness()["contadas"] == 29, f"{demo.completeness()}")
        must(demo.ledger() == {("recusada", "valor"): 13, ("recusada", "tipo"): 11, ("recusada", "json"): 9}, f"{demo.ledger()}")
        total = sum(row["receita"] for row in demo.summary().values())
        must(total == Decimal("10000000000000109.49"), f"{total}")


@case
def forms_of_times(store):
    """seconds left out, offsets without a colon, epochs"""
    with Demo(store.folder) as demo:
        demo.send("times.jsonl")
        refused = {("recusada", "tempo"): 24, ("recusada", "tipo"): 5, ("recusada", "futuro"): 3, ("recusada", "campo_ausente"): 1}
        must(demo.completeness()["contadas"] == 10 and demo.ledger() == refused, f"{demo.completeness()}, {demo.ledger()}")
        # Once the partitions that got nothing are idle, there is a watermark that an event can be late by.
        demo.wait_for_watermark()
        demo.send("late.jsonl")
        # One of them is of the year 1: event times before 1970 are refused.
        must(demo.ledger() == refused | {("recusada", "tempo"): 25, ("atrasada", None): 3}, f"{demo.ledger()}")


@case
def odd_texts(store):
    """cut emoji, keys in escapes, repeated keys"""
    with Demo(store.folder) as demo:
        demo.send("texts.jsonl")
        must(demo.completeness()["contadas"] == 10, f"{demo.completeness()}, {demo.ledger()}")
        must(demo.ledger() == {("recusada", "json"): 10, ("recusada", "tipo"): 2}, f"{demo.ledger()}")


@case
def framed_messages(store):
    """bytes of a schema registry before the JSON; what follows counts"""
    with Demo(store.folder) as demo:
        demo.send("framing.b64").send("empty_order_id.jsonl")
        must(demo.completeness()["contadas"] == 4, f"{demo.completeness()}")
        must(demo.ledger() == {("recusada", "json"): 12, ("recusada", "campo_ausente"): 1}, f"{demo.ledger()}")


@case
def one_id_in_two_partitions(store):
    """ids are known by partition: a key keeps a user's events together, and without it both count"""
    with Demo(store.folder) as demo:
        demo.send("same_id.jsonl", partition=0).send("same_id.jsonl", partition=1).send("same_id.jsonl", partition=1)
        counts = demo.completeness()
        must((counts["contadas"], counts["duplicadas"]) == (2, 1), f"{counts}")
        must(demo.summary()["p1"]["receita"] == 20, f"{demo.summary()}")


@case
def a_message_of_100_megabytes(store):
    """100 MB of zeros, 100 KB as gzip: refused, and what follows on its partition counts"""
    with Demo(store.folder) as demo:
        demo.sent += case_messages.send_zeros(100_000_000, demo.kafka, codec="gzip", partition=0)
        demo.send("empty_order_id.jsonl", partition=0)
        must(demo.completeness()["contadas"] == 4 and demo.ledger() == {("recusada", "tamanho"): 1}, f"{demo.completeness()}, {demo.ledger()}")


def compression(codec_name):
    def run(store):
        with Demo(store.folder) as demo:
            demo.send("numbers.jsonl", codec=codec_name, idempotent=codec_name == "snappy")
            must(demo.completeness()["contadas"] == 29, f"{demo.completeness()}")
    run.__name__, run.__doc__ = f"codec_{codec_name}", "read on, whatever the codec"
    return run


for codec_name in ("gzip", "snappy", "lz4", "zstd"):
    case(compression(codec_name))


@case
def refunds(store):
    """by total, by unit, without an amount, above the sale"""
    with Demo(store.folder) as demo:
        demo.send("refunds.jsonl")
        rows = demo.get("/metricas/ticket_medio")["linhas"]
        must(sum(row["receita_liquida"] for row in rows) == -461 and sum(row["pedidos"] for row in rows) == 1, f"{rows}")


@case
def large_sums(store):
    """digit for digit"""
    with Demo(store.folder) as demo:
        demo.send("large_sums.jsonl")
        found = {name: str(row["receita"]) for name, row in demo.summary().items()}
        must(found == {"big": "29999999999999999.97", "bigger": "9999999999999999990000000.00"}, f"{found}")


@case
def forms_of_parameters(store):
    """times that are not RFC 3339 are a 400 which says the form; CSV is CSV"""
    with Demo(store.folder) as demo:
        for text in ("1747260960000", "2025-05-14", "ontem"):
            try:
                demo.get("/vendas/resumo", de=text)
                raise Wrong(f"{text} was taken")
            except urllib.error.HTTPError as error:
                must(error.code == 400, f"{text}: {error.code}")
        must(demo.get("/vendas/resumo", de="2025-05-14T22:16:00.000Z") == [], "no list")
        try:
            text = demo.get("/vendas/resumo", headers={"Accept": "text/csv"})
            must(isinstance(text, str) and text.startswith("id_produto,"), f"{text!r}")
        except urllib.error.HTTPError as error:
            must(error.code == 406, f"{error.code}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="cases; all of them when none is named")
    parser.add_argument("--keep", action="store_true", help="keep the data directories of cases that fail")
    flags = parser.parse_args()
    unknown = [name for name in flags.names if name not in CASES]
    if unknown:
        parser.error(f"there is no case {', '.join(unknown)}; there are {', '.join(CASES)}")
    failed = []
    for name in flags.names or CASES:
        folder = Path(tempfile.mkdtemp(prefix="vitral-case-"))
        started = time.monotonic()
        try:
            CASES[name](Imported(folder))
            outcome = "ok"
        except Exception as error:  # a case that breaks is a case that fails
            outcome = f"FAILED: {error if isinstance(error, Wrong) else repr(error)}"
            failed.append(name)
        words = " ".join((CASES[name].__doc__ or "").split())
        print(f"{name:34} {time.monotonic() - started:5.1f} s  {words:80.80}  {outcome}", flush=True)
        if flags.keep and outcome != "ok":
            print(f"    kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    total = len(flags.names or CASES)
    print(f"VERDICT: {'ok' if not failed else 'FAILED'}, {total - len(failed)} of {total} cases" + (f"; failed: {', '.join(failed)}" if failed else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
