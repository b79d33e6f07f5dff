"""Proxies that fail on demand: one for any TCP connection, one that understands HTTP."""

import http.client
import queue
import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CHUNK = 64 << 10


class TcpProxy:
    """Hands on what comes; `delay`, `drop_replies` and `stalled` may be changed at any time."""

    def __init__(self, port: int, target_port: int):
        self.port, self.target_port = port, target_port
        self.delay, self.drop_replies, self.stalled = 0.0, False, False
        self.sockets: set[socket.socket] = set()
        self.open()

    def open(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", self.port), backlog=64)
        threading.Thread(target=self.accept, args=(self.listener,), daemon=True).start()

    def close(self) -> None:
        """From now on connections are refused."""
        # Without a shutdown the thread that accepts would keep the port.
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.cut()

    def cut(self) -> int:
        """Ends all connections, as a broken cable does: with no goodbye."""
        cut = list(self.sockets)
        for each in cut:
            hang_up(each)
        return len(cut) // 2

    def accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.target_port))
            except OSError:
                client.close()
                continue
            self.sockets |= {client, server}
            for source, target, replies in [(client, server, False), (server, client, True)]:
                chunks: queue.Queue = queue.Queue()
                threading.Thread(target=self.take, args=(source, chunks), daemon=True).start()
                threading.Thread(target=self.give, args=(target, chunks, replies), daemon=True).start()

    def take(self, source: socket.socket, chunks: queue.Queue) -> None:
        try:
            while chunk := source.recv(CHUNK):
                chunks.put((time.monotonic(), chunk))
        except OSError:
            pass
        chunks.put((time.monotonic(), b""))
        self.sockets.discard(source)

    def give(self, target: socket.socket, chunks: queue.Queue, replies: bool) -> None:
        try:
            while True:
                came, chunk = chunks.get()
                while chunk and (self.stalled or (replies and time.monotonic() < came + self.delay)):
                    time.sleep(0.01)
                if not chunk:
                    break
                if not (replies and self.drop_replies):
                    target.sendall(chunk)
        except OSError:
            pass
        hang_up(target)


def hang_up(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


class HttpProxy:
    """Asks `rule(method, path)` what to do with each request: a method of `Handler`, by name; None hands it on."""

    def __init__(self, target: str):
        self.target = target
        self.rule: Callable[[str, str], str | None] = lambda _method, _path: None
        self.connections: set[socket.socket] = set()
        self.made: dict[str, int] = {}
        self.port = 0
        self.open()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def open(self) -> None:
        self.server = Server(("127.0.0.1", self.port), Handler)
        self.server.proxy = self
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        """From now on connections are refused."""
        self.server.shutdown()
        self.server.server_close()
        for connection in list(self.connections):
            hang_up(connection)


class Server(ThreadingHTTPServer):
    daemon_threads, block_on_close, request_queue_size = True, False, 128
    proxy: HttpProxy

    def handle_error(self, *_) -> None:
        """A client that was killed, or a store that went away: both are meant."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Headers and body are written one after the other: without this the second waits 40 ms for the reader to acknowledge the first.
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self.server.proxy.connections.add(self.connection)

    def finish(self) -> None:
        self.server.proxy.connections.discard(self.connection)
        super().finish()

    def handle_any(self) -> None:
        proxy = self.server.proxy
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = proxy.rule(self.command, self.path)
        if fault:
            proxy.made[fault] = proxy.made.get(fault, 0) + 1
        getattr(self, fault or "hand_on")(body)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_any

    def ask(self, body: bytes) -> tuple[http.client.HTTPResponse, bytes]:
        upstream = http.client.HTTPConnection(self.server.proxy.target, timeout=60)
        try:
            # The signature covers the host that the client spoke to: every header goes on as it came.
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                upstream.putheader(name, value)
            upstream.endheaders(body or None)
            answer = upstream.getresponse()
            return answer, answer.read()
        finally:
            upstream.close()

    def answer(self, status: int, headers: list[tuple[str, str]], body: bytes, cut_at: int | None = None) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                self.send_header(name, value)
        length = dict((name.lower(), value) for name, value in headers).get("content-length", str(len(body)))
        self.send_header("Content-Length", length if self.command == "HEAD" else str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[:cut_at])
        if cut_at is not None:
            self.cut(b"")

    def hand_on(self, body: bytes) -> None:
        answer, content = self.ask(body)
        self.answer(answer.status, answer.getheaders(), content)

    def cut(self, _body: bytes) -> None:
        self.wfile.flush()
        hang_up(self.connection)
        self.close_connection = True

    def done_and_cut(self, body: bytes) -> None:
        self.ask(body)
        self.cut(body)

    def done_and_500(self, body: bytes) -> None:
        self.ask(body)
        self.answer_500(body)

    def answer_500(self, _body: bytes) -> None:
        self.answer(500, [], b"<Error><Code>InternalError</Code><Message>made by a test</Message></Error>")

    def answer_429(self, _body: bytes) -> None:
        self.answer(429, [], b"<Error><Code>TooManyRequests</Code><Message>made by a test</Message></Error>")

    def cut_body(self, body: bytes) -> None:
        answer, content = self.ask(body)
        self.answer(answer.status, answer.getheaders(), content, cut_at=len(content) // 2)

    def hold(self, body: bytes) -> None:
        time.sleep(10)
        self.cut(body)

    def log_message(self, *_) -> None:
        pass
