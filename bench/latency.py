"""What a distant storage costs: the same run with and without a wait before every S3 request.

usage: latency.py [--milliseconds 30] [--model NAME] [--megapixels 4] [--count 60] [--rounds 3]

The real thing, `cutout run` from bucket to bucket, in turns. Both go through the same proxy, which
holds each request back, for no time or for that long, and passes all else on.
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

import load
import ours
from compare import MODELS, ROOT, SKIP

from worker.cpu.count import available_cpus, default_children

PIECE = 1 << 20  # bytes passed on at a time: a photograph is one, a cut-out a few


class Proxy:
    """Passes connections on. The first bytes after an answer are a request, and wait.

    So does a body whose sender first asked whether to go on: that is a round trip more.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._target: tuple[str | None, int | None] = (None, None)

    @contextmanager
    def before(self, address: str) -> Iterator[str]:
        """Serve in a thread, before the server at `address`, until left; yield our own address."""
        target = urlsplit(address)
        self._target = (target.hostname, target.port)
        loop = asyncio.new_event_loop()
        server = loop.run_until_complete(
            asyncio.start_server(self._connected, "127.0.0.1", 0, limit=PIECE)
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
        answered = asyncio.Event()
        answered.set()
        try:
            there, back = await asyncio.open_connection(*self._target, limit=PIECE)
            try:
                await asyncio.gather(
                    self._requests(reader, back, answered), _answers(there, writer, answered)
                )
            finally:
                back.close()
        except OSError:
            pass  # one side went away: the other learns it by our closing
        finally:
            writer.close()

    async def _requests(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answered: asyncio.Event
    ) -> None:
        while data := await reader.read(PIECE):
            if answered.is_set():
                answered.clear()
                await asyncio.sleep(self._seconds)
            writer.write(data)
            await writer.drain()
        writer.write_eof()


async def _answers(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answered: asyncio.Event
) -> None:
    while data := await reader.read(PIECE):
        answered.set()
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
    parser = argparse.ArgumentParser(description="What a distant storage costs.")
    parser.add_argument("--milliseconds", type=float, default=30)
    parser.add_argument("--model", default=MODELS[0])
    parser.add_argument("--megapixels", type=float, default=4)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    children = default_children(available_cpus())
    photographs = load.photographs(
        Path("samples"), ROOT / "photographs" / "samples", given.megapixels, given.count
    )
    waits = (0.0, given.milliseconds)
    rates: dict[float, list[float]] = {wait: [] for wait in waits}
    with tempfile.TemporaryDirectory(dir=ROOT, prefix="run-") as name:
        for number in range(given.rounds):
            for wait in waits if number % 2 == 0 else reversed(waits):
                proxy = Proxy(wait / 1000)
                folder = Path(name).resolve() / "cutout"
                result = ours.run(photographs, given.model, folder, children, SKIP, proxy.before)
                rates[wait].append(result.rate)
                print(f"  {wait:3g} ms {result.rate:6.2f} images/s", flush=True)
    near, far = (statistics.median(rates[wait]) for wait in waits)
    print(
        f"{given.model} at {given.megapixels:g} MP, {children} children, medians of "
        f"{given.rounds}: {near:.2f} images/s; {far:.2f} with {given.milliseconds:g} ms before "
        f"every S3 request: {1 - far / near:.1%} slower."
    )


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
