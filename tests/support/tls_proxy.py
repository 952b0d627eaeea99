"""A TLS server before a Redis that has none: the servers of these tests are built without TLS."""

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from support.receivers import tls


@contextmanager
def tls_redis(socket: Path | str, folder: Path, *hosts: str) -> Iterator[tuple[int, Path]]:
    """Serve a Redis's Unix socket over TLS at 127.0.0.1, with a certificate for `hosts`.

    Yields the port, and the file of the CA that signed the certificate: the certificate itself.
    """
    folder.mkdir(parents=True, exist_ok=True)
    context, _ = tls(folder, *hosts)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(_serve(str(socket), context), loop).result(10)
    try:
        yield server.sockets[0].getsockname()[1], folder / "server.pem"
    finally:
        asyncio.run_coroutine_threadsafe(_stop(server), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


async def _serve(socket: str, context: ssl.SSLContext) -> asyncio.Server:
    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            server_reader, server_writer = await asyncio.open_unix_connection(socket)
            await asyncio.gather(_pump(reader, server_writer), _pump(server_reader, writer))

    return await asyncio.start_server(forward, "127.0.0.1", 0, ssl=context)


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
    sink.close()


async def _stop(server: asyncio.Server) -> None:
    server.close()
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
