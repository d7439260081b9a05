"""A way round that takes time: `python -m tests.faults.delay LISTEN PORT MS`.

Passes TCP from port LISTEN on to PORT of the same host, each piece MS milliseconds later. Lives
until its standard input ends.
"""

import asyncio
import sys
from contextlib import suppress

PIECE = 65536


async def main(listen: int, port: int, seconds: float) -> None:
    """Serve until standard input ends."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            onward_reader, onward_writer = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.gather(
                late(reader, onward_writer, seconds), late(onward_reader, writer, seconds)
            )

    server = await asyncio.start_server(serve, "0.0.0.0", listen)
    print("ready", flush=True)  # noqa: T201 - tells whoever started it
    async with server:
        await asyncio.to_thread(sys.stdin.read)


async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float) -> None:
    """Pass everything on, each piece `seconds` after it came, without holding up the next."""
    loop = asyncio.get_running_loop()
    with suppress(OSError):
        while piece := await reader.read(PIECE):
            loop.call_later(seconds, writer.write, piece)
        await asyncio.sleep(seconds)
    writer.close()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]) / 1000))
