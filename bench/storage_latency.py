"""Measures what distant storage costs: a run with and without a delay before every S3 request.

usage: storage_latency.py [--milliseconds 30] [--model NAME] [--megapixels 4] [--count 60]
                          [--rounds 3]

`cutout run` from bucket to bucket, with and without the delay in turns. Both go through the same
proxy, which delays each request and forwards everything else at once.
"""

import argparse
import asyncio
import signal
import statistics
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import cutout_run
from compare import MODELS, ROOT, SKIP
from photographs import photographs

from worker.cpu.count import available_cpus, default_children

CHUNK_BYTES = 1 << 20
"""Forwarded at a time: a photograph is one chunk, a cut-out a few."""


class Proxy:
    """Forwards connections. The first bytes after a response are a request, and are delayed.

    So is a body sent after `Expect: 100-continue`: it costs one more round trip.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._target: tuple[str | None, int | None] = (None, None)

    @contextmanager
    def before(self, address: str) -> Iterator[str]:
        """Serve in a thread in front of the server at `address`; yield the proxy's address."""
        target = urlsplit(address)
        self._target = (target.hostname, target.port)
        loop = asyncio.new_event_loop()
        server = loop.run_until_complete(
            asyncio.start_server(self._connected, "127.0.0.1", 0, limit=CHUNK_BYTES)
        )
        thread = threading.Thread(target=loop.run_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            asyncio.run_coroutine_threadsafe(_close(server), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        response_seen = asyncio.Event()
        response_seen.set()
        try:
            from_server, to_server = await asyncio.open_connection(*self._target, limit=CHUNK_BYTES)
            try:
                await asyncio.gather(
                    self._requests(reader, to_server, response_seen),
                    _responses(from_server, writer, response_seen),
                )
            finally:
                to_server.close()
        except OSError:
            pass  # one side closed the connection; closing the other tells it
        finally:
            writer.close()

    async def _requests(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        response_seen: asyncio.Event,
    ) -> None:
        while data := await reader.read(CHUNK_BYTES):
            if response_seen.is_set():
                response_seen.clear()
                await asyncio.sleep(self._seconds)
            writer.write(data)
            await writer.drain()
        writer.write_eof()


async def _responses(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, response_seen: asyncio.Event
) -> None:
    while data := await reader.read(CHUNK_BYTES):
        response_seen.set()
        writer.write(data)
        await writer.drain()
    writer.write_eof()


async def _close(server: asyncio.Server) -> None:
    server.close()
    connections = asyncio.all_tasks() - {asyncio.current_task()}
    for connection in connections:
        connection.cancel()
    await asyncio.gather(*connections, return_exceptions=True)


def main() -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the same as Ctrl-C
    parser = argparse.ArgumentParser(description="Measure what distant storage costs.")
    parser.add_argument("--milliseconds", type=float, default=30, help="delay of a request")
    parser.add_argument("--model", default=MODELS[0])
    parser.add_argument("--megapixels", type=float, default=4)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    children = default_children(available_cpus())
    paths = photographs(
        Path("samples"), ROOT / "photographs" / "samples", options.megapixels, options.count
    )
    delays = (0.0, options.milliseconds)
    rates: dict[float, list[float]] = {delay: [] for delay in delays}
    with tempfile.TemporaryDirectory(dir=ROOT, prefix="run-") as name:
        for number in range(options.rounds):
            for delay in delays if number % 2 == 0 else reversed(delays):
                proxy = Proxy(delay / 1000)
                folder = Path(name).resolve() / "cutout"
                result = cutout_run.run(
                    paths, options.model, folder, children, SKIP, proxy=proxy.before
                )
                rates[delay].append(result.rate)
                print(f"  {delay:3g} ms {result.rate:6.2f} images/s", flush=True)
    near, far = (statistics.median(rates[delay]) for delay in delays)
    print(
        f"{options.model} at {options.megapixels:g} MP, {children} worker processes, medians of "
        f"{options.rounds}: {near:.2f} images/s; {far:.2f} with {options.milliseconds:g} ms before "
        f"every S3 request: {1 - far / near:.1%} slower."
    )


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
