"""Ways round that take time: `python -m tests.faults.delay LISTEN PORT MS`.

Passes TCP from port LISTEN on to PORT of the same host, each piece MS milliseconds later. Lives
until its standard input ends.
"""

import asyncio
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import AsyncExitStack, contextmanager, suppress
from urllib.parse import urlsplit

PIECE = 65536


async def serve(host: str, listen: int, port: int, seconds: float) -> asyncio.Server:
    """Pass on what comes to a port, at once and for as long as the loop runs."""

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            onward_reader, onward_writer = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.gather(
                late(reader, onward_writer, seconds), late(onward_reader, writer, seconds)
            )

    return await asyncio.start_server(pass_on, host, listen)


async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float) -> None:
    """Pass everything on, each piece `seconds` after it came, without holding up the next."""
    loop = asyncio.get_running_loop()
    try:
        with suppress(OSError):
            while piece := await reader.read(PIECE):
                loop.call_later(seconds, writer.write, piece)
            await asyncio.sleep(seconds)
    finally:
        writer.close()


@contextmanager
def delayed(urls: dict[str, str], seconds: float) -> Iterator[dict[str, str]]:
    """Give the same URLs on other ports, with `seconds` added to every round trip."""
    made: Future[dict[str, str]] = Future()
    ended = threading.Event()

    async def work() -> None:
        fronts = {}
        async with AsyncExitStack() as servers:
            for name, url in urls.items():
                parts = urlsplit(url)
                server = await serve("127.0.0.1", 0, parts.port or 80, seconds / 2)
                await servers.enter_async_context(server)
                port = server.sockets[0].getsockname()[1]
                fronts[name] = f"{parts.scheme}://localhost:{port}"
            made.set_result(fronts)
            await asyncio.to_thread(ended.wait)

    thread = threading.Thread(target=asyncio.run, args=(work(),), daemon=True)
    thread.start()
    try:
        yield made.result(10)
    finally:
        ended.set()
        thread.join()


async def main(listen: int, port: int, seconds: float) -> None:
    """Serve until standard input ends."""
    async with await serve("0.0.0.0", listen, port, seconds):
        print("ready", flush=True)  # noqa: T201 - tells whoever started it
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]) / 1000))
