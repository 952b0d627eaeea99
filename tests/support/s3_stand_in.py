"""A stand-in for a large S3 bucket: lists a hundred thousand generated keys in milliseconds.

    python s3_stand_in.py PORT COUNT [SECONDS]

It has one bucket, of any name, with COUNT generated objects below `in/`, and what was put. SECONDS:
added to each listing. Signatures are not checked. The S3 servers of the other tests take a second
per page of so large a bucket.
"""

import bisect
import hashlib
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import escape

SHELVES = 40


def generated_keys(count: int) -> list[str]:
    """Return sorted keys below `in/`, in folders of different sizes."""
    return sorted(f"in/shelf {number % SHELVES}/{number:08}.jpg" for number in range(count))


class Bucket(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, count: int, seconds: float) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.keys = generated_keys(count)
        self.seconds = seconds
        self.puts: dict[str, bytes] = {}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Bucket

    def log_message(self, *_: object) -> None:
        pass

    def _target(self) -> tuple[str, dict[str, str]]:
        parts = urlsplit(self.path)
        _, _, key = unquote(parts.path).lstrip("/").partition("/")
        return key, {name: texts[0] for name, texts in parse_qs(parts.query).items()}

    def do_GET(self) -> None:
        key, query = self._target()
        if key:
            self._send_object(key)
        else:
            self._send_listing(query)

    do_HEAD = do_GET  # noqa: N815 - the base class looks for this name

    def do_PUT(self) -> None:
        key, _ = self._target()
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.puts[key] = body
        if key.startswith("in/") and key not in self.server.keys:
            bisect.insort(self.server.keys, key)
        self._send(200, b"", ETag=_etag(body))

    def do_DELETE(self) -> None:
        self.server.puts.pop(self._target()[0], None)
        self._send(204, b"")

    def _send_object(self, key: str) -> None:
        body = self.server.puts.get(key)
        if body is None:
            self._send(404, b"<Error><Code>NoSuchKey</Code></Error>")
        else:
            self._send(200, body, ETag=_etag(body))

    def _send_listing(self, query: dict[str, str]) -> None:
        time.sleep(self.server.seconds)
        prefix = query.get("prefix", "")
        after = query.get("continuation-token") or query.get("start-after", "")
        size = int(query.get("max-keys", "1000"))
        known = self.server.keys if prefix.startswith("in/") else sorted(self.server.puts)
        first = max(bisect.bisect_right(known, after), bisect.bisect_left(known, prefix))
        page = [key for key in known[first : first + size] if key.startswith(prefix)]
        more = len(page) == size and known[first + size : first + size + 1]
        token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if more else ""
        rows = "".join(
            f"<Contents><Key>{quote(key)}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
            f"<ETag>&quot;{key[-12:-4]}5d41402abc4b2a76b9719d91&quot;</ETag><Size>123456</Size>"
            "<StorageClass>STANDARD</StorageClass></Contents>"
            for key in page
        )
        body = (
            '<?xml version="1.0" encoding="UTF-8"?>'
            '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name>'
            f"<EncodingType>url</EncodingType><IsTruncated>{'true' if more else 'false'}"
            f"</IsTruncated>{token}<KeyCount>{len(page)}</KeyCount>{rows}</ListBucketResult>"
        )
        self._send(200, body.encode())

    def _send(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response_only(status)
        for name, text in headers.items():
            self.send_header(name, text)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _etag(body: bytes) -> str:
    return f'"{hashlib.md5(body).hexdigest()}"'  # noqa: S324 - as S3 does


@contextmanager
def running(count: int) -> Iterator[str]:
    """Serve a bucket from a thread of this process; yield its URL."""
    with Bucket(0, count, 0) as server:
        threading.Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


if __name__ == "__main__":
    port, count, seconds, *_ = [*sys.argv[1:], "0"]
    Bucket(int(port), int(count), float(seconds)).serve_forever()
