"""Stands between a client and a PostgreSQL server, and notes each statement with what the server had against it."""

import socket
import struct
import threading
from dataclasses import dataclass, field
from urllib.parse import urlsplit, urlunsplit

CHUNK_BYTES = 1 << 16


@dataclass
class Statement:
    text: str
    error: str | None = None


@dataclass
class Listener:
    """Forwards connections to the server of a URL; without TLS, so that it understands them."""

    server_url: str
    statements: list[Statement] = field(default_factory=list)

    def start(self) -> str:
        """The URL under which clients reach the server from now on."""
        listening = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, args=(listening,), daemon=True).start()
        parts = urlsplit(self.server_url)
        who = parts.netloc.rpartition("@")[0]
        place = f"127.0.0.1:{listening.getsockname()[1]}"
        return urlunsplit(parts._replace(netloc=f"{who}@{place}" if who else place, query="sslmode=disable&gssencmode=disable"))

    def _accept(self, listening: socket.socket) -> None:
        target = urlsplit(self.server_url)
        while True:
            client, _ = listening.accept()
            server = socket.create_connection((target.hostname, target.port))
            current: list[Statement] = []
            threading.Thread(target=self._forward, args=(client, server, self._asked(current)), daemon=True).start()
            threading.Thread(target=self._forward, args=(server, client, answered(current)), daemon=True).start()

    def _forward(self, source: socket.socket, sink: socket.socket, note) -> None:
        next(note)
        try:
            while data := source.recv(CHUNK_BYTES):
                note.send(data)
                sink.sendall(data)
        except OSError:
            pass
        finally:
            for end in (source, sink):
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def _asked(self, current: list[Statement]):
        """Takes what the client sends; the newest statement is in `current`."""
        is_started = False
        buffer = b""
        while True:
            buffer += yield
            while True:
                start = 1 if is_started else 0
                if len(buffer) < start + 4:
                    break
                (length,) = struct.unpack_from("!i", buffer, start)
                if len(buffer) < start + length:
                    break
                kind, body, buffer = buffer[:start], buffer[start + 4 : start + length], buffer[start + length :]
                if not is_started:
                    is_started = True
                elif kind in (b"Q", b"P"):
                    text = body.split(b"\0")[0 if kind == b"Q" else 1].decode()
                    current[:] = [Statement(text)]
                    self.statements.append(current[0])


def answered(current: list[Statement]):
    """Takes what the server sends, and writes its errors to the newest statement."""
    buffer = b""
    while True:
        buffer += yield
        while len(buffer) >= 5:
            (length,) = struct.unpack_from("!i", buffer, 1)
            if len(buffer) < 1 + length:
                break
            kind, body, buffer = buffer[:1], buffer[5 : 1 + length], buffer[1 + length :]
            if kind == b"E" and current:
                fields = {part[:1]: part[1:].decode() for part in body.split(b"\0") if part}
                current[0].error = " ".join(fields[name] for name in (b"C", b"M", b"D", b"H") if name in fields)
