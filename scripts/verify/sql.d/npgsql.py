"""Npgsql, .NET's driver: runs the queries that come as a JSON array on stdin, and prints each one's rows, as texts, as a line of JSON.

Arguments: the folder with Npgsql.dll, the URL, and `cursor` to read a million rows by cursor instead, of which count and sum are printed.
"""

import json
import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

import dotnetcore2
from clr_loader import get_coreclr
from pythonnet import set_runtime

MILLION = "DECLARE milhao NO SCROLL CURSOR FOR SELECT value AS n FROM generate_series(1, 1000000) AS g(value)"
INVARIANT = {"System.Globalization.Invariant": True}


def main() -> None:
    folder, url, *mode = sys.argv[1:]
    os.environ["TZ"] = "UTC"
    start_net(Path(folder))
    import Npgsql

    parts = urlsplit(url)
    settings = f"Host={parts.hostname};Port={parts.port};Database={parts.path[1:]};Username={parts.username};Timeout=30;Command Timeout=120"
    connection = Npgsql.NpgsqlConnection(settings + (f";Password={parts.password}" if parts.password else ""))
    connection.Open()
    if mode:
        print(json.dumps(read_by_cursor(connection)))
    else:
        for query in json.load(sys.stdin):
            print(json.dumps(rows(connection, query, text)))
    connection.Close()


def start_net(folder: Path) -> None:
    root = Path(dotnetcore2.__file__).parent / "bin"
    framework = {"name": "Microsoft.NETCore.App", "version": "3.1.0"}
    configuration = folder / "runtime.json"
    configuration.write_text(json.dumps({"runtimeOptions": {"tfm": "netcoreapp3.1", "framework": framework, "configProperties": INVARIANT}}))
    set_runtime(get_coreclr(runtime_config=str(configuration), dotnet_root=str(root)))
    import clr

    sys.path.append(str(folder))
    clr.AddReference("System.Data.Common")
    clr.AddReference("Npgsql")


def rows(connection: object, query: str, value: object) -> list[list]:
    command = connection.CreateCommand()
    command.CommandText = query
    reader = command.ExecuteReader()
    found = []
    while reader.Read():
        found.append([None if reader.IsDBNull(at) else value(reader, at) for at in range(reader.FieldCount)])
    reader.Close()
    return found


def text(reader: object, at: int) -> str:
    found = reader.GetValue(at)
    # To the last digit: the usual form of a .NET time has none of its fractions.
    return found.ToString("o") if reader.GetFieldType(at).Name == "DateTime" else str(found)


def read_by_cursor(connection: object) -> list[int]:
    transaction = connection.BeginTransaction()
    rows(connection, MILLION, text)
    count, total = 0, 0
    while batch := rows(connection, "FETCH 10000 FROM milhao", lambda reader, at: int(reader.GetValue(at))):
        count += len(batch)
        total += sum(row[0] for row in batch)
    rows(connection, "CLOSE milhao", text)
    transaction.Commit()
    return [count, total]


if __name__ == "__main__":
    main()
