"""Adds latency in front of a stack: small TCP proxies on loopback, one a service."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

CHUNK = 65536


@contextmanager
def delayed(urls: dict[str, str], seconds: float) -> Iterator[dict[str, str]]:
    """The same URLs on other ports, with `seconds` added to every round trip."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    made = {
        name: asyncio.run_coroutine_threadsafe(_front(url, seconds / 2), loop).result(10)
        for name, url in urls.items()
    }
    try:
        yield made
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


async def _front(url: str, delay: float) -> str:
    parts = urlsplit(url)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream_writer = await asyncio.open_connection(
            "127.0.0.1", parts.port or 80
        )
        await asyncio.gather(
            _pump(reader, upstream_writer, delay), _pump(upstream_reader, writer, delay)
        )

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    return f"{parts.scheme}://localhost:{server.sockets[0].getsockname()[1]}"


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float) -> None:
    """Pass bytes on `delay` seconds after they came; a line of bytes is not slowed down."""
    loop = asyncio.get_running_loop()
    try:
        while data := await reader.read(CHUNK):
            loop.call_later(delay, writer.write, data)
        loop.call_later(delay, writer.close)
    except ConnectionError:
        writer.close()
