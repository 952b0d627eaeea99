"""Networks that misbehave on demand: proxies before Redis and before object storage."""

import http.client
import random
import select
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

CHUNK = 65536
TICK = 0.05
Mode = Literal["pass", "refuse", "blackhole"]


def cut(connection: socket.socket) -> None:
    """Reset the connection, as a host does that has restarted."""
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with suppress(OSError):
        # a thread that waits in recv() keeps the socket alive past close()
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


class TcpProxy:
    """Forwards connections to a Unix socket's path or a (host, port), and spoils them on demand.

    `mode` may be set at any time. `pass`: forward. `refuse`: reset open connections, and new ones
    at once. `blackhole`: accept connections and keep them open, but deliver nothing; back in
    `pass`, everything sent meanwhile is delivered. `delay`: seconds added in each direction.
    """

    def __init__(self, upstream: Path | str | tuple[str, int]) -> None:
        self.delay = 0.0
        self.accepted = 0
        self._upstream = upstream
        self._mode: Mode = "pass"
        self._closed = False
        self._stranded = 0
        self._changed = threading.Condition()
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.host, self.port = self._listener.getsockname()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        return f"redis://{self.host}:{self.port}/0"

    @property
    def mode(self) -> Mode:
        return self._mode

    @mode.setter
    def mode(self, mode: Mode) -> None:
        assert mode in {"pass", "refuse", "blackhole"}, mode
        with self._changed:
            self._mode = mode
            self._changed.notify_all()
        if mode == "refuse":
            self.cut()

    @property
    def connections(self) -> int:
        """How many clients are connected, even if their upstream is not reached yet."""
        with self._changed:
            return sum(1 for one in self._open if one.getsockname()[1:] == (self.port,))

    def cut(self) -> None:
        """Reset the open connections; `mode` decides about new ones."""
        with self._changed:
            doomed, self._open = self._open, set()
        for connection in doomed:
            cut(connection)

    def strand(self) -> None:
        """Deliver nothing more on open connections, as a firewall that dropped their state."""
        with self._changed:
            self._stranded = self.accepted
            self._changed.notify_all()

    def close(self) -> None:
        self._closed = True
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
        self._listener.close()
        with self._changed:
            self._changed.notify_all()
        self.cut()

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            with self._changed:
                refused = self._mode == "refuse" or self._closed
                if not refused:
                    self._open.add(client)
            if refused:
                cut(client)
            else:
                arguments = [client, self.accepted]
                threading.Thread(target=self._serve, args=arguments, daemon=True).start()

    def _serve(self, client: socket.socket, number: int) -> None:
        self._wait_for_passage(number)
        try:
            server = self._connect()
        except OSError:
            self._forget(client)
            return
        with self._changed:
            alive = client in self._open
            if alive:
                self._open.add(server)
        if not alive:  # cut in the meantime
            cut(server)
            return
        back = threading.Thread(target=self._pump, args=[server, client, number], daemon=True)
        back.start()
        self._pump(client, server, number)
        back.join()
        self._forget(client, server)

    def _connect(self) -> socket.socket:
        if isinstance(self._upstream, tuple):
            return socket.create_connection(self._upstream)
        server = socket.socket(socket.AF_UNIX)
        try:
            server.connect(str(self._upstream))
        except OSError:
            server.close()
            raise
        return server

    def _forget(self, *connections: socket.socket) -> None:
        with self._changed:
            self._open.difference_update(connections)
        for connection in connections:
            cut(connection)

    def _wait_for_passage(self, number: int) -> None:
        def passes() -> bool:
            return self._mode != "blackhole" and number > self._stranded

        with self._changed:
            self._changed.wait_for(lambda: passes() or self._closed)

    def _pump(self, source: socket.socket, sink: socket.socket, number: int) -> None:
        """Forward one direction until either side closes; a black hole swallows the close too."""
        try:
            while data := source.recv(CHUNK):
                if self.delay:
                    time.sleep(self.delay)
                self._wait_for_passage(number)
                sink.sendall(data)
            self._wait_for_passage(number)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            self._wait_for_passage(number)
            # the other direction waits in recv()
            for connection in (source, sink):
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


@dataclass
class Answer:
    """A whole response, which a `rewrite` may change."""

    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: bytes
    sent: int | None = None
    """bytes of the body to send before cutting the connection; None: all of it, and no cut"""


class NoAnswer(Exception):  # noqa: N818 - not an error: a rule wants the client to get no answer
    pass


Rewrite = Callable[[Answer], Answer]
CODES = {403: "AccessDenied", 404: "NoSuchKey", 500: "InternalError", 503: "SlowDown"}


@dataclass(frozen=True)
class Fault:
    """What a rule does. The functions below make one."""

    name: str
    seconds: float = 0
    answer: Answer | None = None
    rewrite: Rewrite | None = None
    methods: frozenset[str] | None = None


def status(number: int, code: str | None = None) -> Fault:
    """Answer with an error of S3's, without forwarding the request."""
    code = code or CODES.get(number, "InternalError")
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{code}</Code><Message>a drill</Message><RequestId>0</RequestId></Error>"
    ).encode()
    reason = http.client.responses.get(number, "Drill")
    return Fault(f"status {number}", answer=Answer(number, reason, [XML], body))


XML = ("Content-Type", "application/xml")


def delay(seconds: float) -> Fault:
    """Wait, then apply the later rules."""
    return Fault("delay", seconds=seconds)


def truncate(share: float = 0.5) -> Fault:
    """Announce the whole body of a GET, send this share of it, and cut the connection."""

    def shorten(answer: Answer) -> Answer:
        answer.sent = int(len(answer.body) * share)
        return answer

    return Fault("truncate", rewrite=shorten, methods=frozenset({"GET"}))


def hang() -> Fault:
    """Never answer, and keep the connection open."""
    return Fault("hang", seconds=float("inf"))


def close() -> Fault:
    """Close the connection without an answer; the request is not forwarded."""
    return Fault("close")


def rewrite(change: Rewrite) -> Fault:
    """Change the storage's answer, after the request took effect. Raise `NoAnswer` to drop it."""
    return Fault("rewrite", rewrite=change)


@dataclass
class Rule:
    """A fault, and which requests it applies to. Fields may be changed while the proxy runs."""

    fault: Fault
    methods: Collection[str] | None = None
    path: str | Callable[[str], bool] = ""
    """part of the path with its query string, percent-encoded; or a predicate of that"""
    probability: float = 1
    limit: int | None = None
    """how often it fires at most; None: always"""
    seed: int = 0
    fired: int = 0
    _random: random.Random = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def fires(self, method: str, path: str) -> bool:
        """Return whether the rule applies to this request, and count it if so."""
        for methods in (self.methods, self.fault.methods):
            if methods is not None and method not in methods:
                return False
        if not (self.path(path) if callable(self.path) else self.path in path):
            return False
        if self.limit is not None and self.fired >= self.limit:
            return False
        if self.probability < 1 and self._random.random() >= self.probability:
            return False
        self.fired += 1
        return True


class HttpProxy:
    """A proxy before an S3 endpoint (`http://host:port`) that applies rules to requests.

    The Host header stays as the client sent it, because the signature covers it. Rules apply in
    the order in which they were added, up to the first that answers or ends the request. `before`
    is called with method and path before anything else happens to a request.
    """

    def __init__(self, upstream: str) -> None:
        address = urlsplit(upstream)
        assert address.scheme == "http", upstream
        self.requests: Counter[str] = Counter()
        self.before: Callable[[str, str], object] | None = None
        self.closed = threading.Event()
        self._upstream = (address.hostname or "", address.port or 80)
        self._rules: list[Rule] = []
        self._lock = threading.Lock()
        self._server = Server(self)
        self.host, self.port = self._server.server_address[:2]
        self.url = f"http://{self.host}:{self.port}"
        threading.Thread(target=self._server.serve_forever, args=[TICK], daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.closed.set()
        self._server.shutdown()
        self._server.server_close()
        self._server.cut()

    def add(
        self,
        fault: Fault,
        methods: Collection[str] | None = None,
        path: str | Callable[[str], bool] = "",
        probability: float = 1,
        limit: int | None = None,
        seed: int = 0,
    ) -> Rule:
        """Add a rule behind the others, and return it."""
        rule = Rule(fault, methods, path, probability, limit, seed)
        with self._lock:
            self._rules.append(rule)
        return rule

    def remove(self, rule: Rule) -> None:
        with self._lock:
            self._rules.remove(rule)

    def clear(self) -> None:
        """Remove all rules."""
        with self._lock:
            self._rules.clear()

    def faults(self, method: str, path: str) -> list[Fault]:
        """Count a request, and return the faults that apply to it."""
        if self.before:
            self.before(method, path)
        faults: list[Fault] = []
        with self._lock:
            self.requests[method] += 1
            for rule in self._rules:
                if rule.fires(method, path):
                    faults.append(rule.fault)
                    if not rule.fault.rewrite and rule.fault.name != "delay":
                        break
        return faults

    def forward(
        self, method: str, target: str, headers: list[tuple[str, str]], body: bytes | None
    ) -> Answer:
        """Send a request to the storage. Raises OSError or HTTPException if it is down."""
        upstream = http.client.HTTPConnection(*self._upstream, timeout=120)
        try:
            upstream.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
            chunked = False
            for name, text in headers:
                chunked = chunked or name.lower() == "transfer-encoding"
                if name.lower() not in {"connection", "expect"}:
                    upstream.putheader(name, text)
            upstream.putheader("Connection", "close")
            upstream.endheaders(body, encode_chunked=chunked)
            got = upstream.getresponse()
            return Answer(got.status, got.reason, got.getheaders(), got.read())
        finally:
            upstream.close()


class Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, proxy: HttpProxy) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.proxy = proxy
        self._open: set[socket.socket] = set()

    def process_request(self, request, client_address) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request, client_address) -> None:
        """Print nothing: in a drill, clients are meant to give up."""

    def cut(self) -> None:
        while self._open:
            cut(self._open.pop())


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *_: object) -> None:
        """Print nothing; the proxy counts requests."""

    def parse_request(self) -> bool:
        if not super().parse_request():
            return False
        # one method for all verbs; the base class looks for do_GET and so on
        setattr(self, f"do_{self.command}", self._handle)
        return True

    def _handle(self) -> None:
        target = self.requestline.split()[1]  # the base class changes a path that begins with //
        proxy = self.server.proxy
        body = self._body()
        try:
            answer = self._answer(target, body, proxy.faults(self.command, target))
        except (NoAnswer, OSError, http.client.HTTPException):
            self.close_connection = True  # storage that is down shows as a cut
            return
        self._send(answer)

    def _body(self) -> bytes | None:
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            return b"".join(iter(self._chunk, b""))
        length = self.headers.get("Content-Length")
        return None if length is None else self.rfile.read(int(length))

    def _chunk(self) -> bytes:
        size = int(self.rfile.readline().partition(b";")[0], 16)
        data = self.rfile.read(size)
        if size:
            self.rfile.readline()
        else:
            while self.rfile.readline().strip():  # trailers
                pass
        return data

    def _answer(self, target: str, body: bytes | None, faults: list[Fault]) -> Answer:
        for fault in faults:
            if fault.seconds:
                self._wait(fault.seconds)
            if fault.name == "close":
                raise NoAnswer
            if fault.answer:
                return fault.answer
        answer = self.server.proxy.forward(self.command, target, self.headers.items(), body)
        for fault in faults:
            if fault.rewrite:
                answer = fault.rewrite(answer)
        return answer

    def _wait(self, seconds: float) -> None:
        """Wait, unless the client gives up or the proxy is closed."""
        deadline = time.monotonic() + seconds
        while (remaining := deadline - time.monotonic()) > 0:
            if self.server.proxy.closed.is_set():
                raise NoAnswer
            readable, _, _ = select.select([self.connection], [], [], min(remaining, TICK))
            if readable and not self.connection.recv(1, socket.MSG_PEEK):
                raise NoAnswer

    def _send(self, answer: Answer) -> None:
        self.send_response_only(answer.status, answer.reason)
        announced = False
        for name, text in answer.headers:
            announced = announced or name.lower() == "content-length"
            if name.lower() not in {"transfer-encoding", "connection"}:
                self.send_header(name, text)
        bare = self.command == "HEAD" or answer.status in {204, 304}
        if not announced and not bare:
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if not bare:
            self.wfile.write(answer.body[: answer.sent])
        if answer.sent is not None:
            self.close_connection = True
